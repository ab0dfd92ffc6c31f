"""Arrays, tensors, tables and lazy arrays against values worked out by hand."""

import dask.array as da
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image

from sktl._preprocessing import Preprocessing
from sktl.images import ArraySource, as_pictures, infer_image_shape, row_value_range

RGB = np.random.default_rng(0).integers(0, 256, (5, 6, 8, 3), dtype=np.uint8)
GREY = RGB[..., 0]
AS_IS = Preprocessing(size=(6, 8), crop_pct=1.0)


def pixels(X, **kwargs):
    source = as_pictures(X, **kwargs)
    batch = source.batch(range(len(source)), AS_IS)
    assert batch.dtype == torch.uint8
    assert batch.is_contiguous(memory_format=torch.channels_last)
    return batch.permute(0, 2, 3, 1).numpy()


class OnlyArray:
    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values


class Slices:
    """Reads slices only, as an HDF5 data set does."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.rows_read = values, values.shape, values.dtype, 0

    def __getitem__(self, key):
        assert isinstance(key, slice)
        self.rows_read += len(self.values[key])
        return self.values[key]


@pytest.mark.parametrize(
    "X",
    [
        RGB,
        RGB.transpose(0, 3, 1, 2),
        np.ascontiguousarray(RGB.transpose(0, 3, 1, 2)),
        torch.from_numpy(RGB),
        torch.from_numpy(RGB).permute(0, 3, 1, 2),
        torch.from_numpy(RGB / np.float32(255)).requires_grad_(),
        torch.from_numpy(RGB / np.float32(255)).half(),
        RGB / 255,
        (RGB / 255).astype(np.float32),
        (RGB / 255).astype(np.float16),
        RGB.astype(np.uint16) * 257,
        RGB.astype(np.int64),
        list(RGB),
        tuple(torch.from_numpy(RGB)),
        RGB.tolist(),
        OnlyArray(RGB),
        da.from_array(RGB, chunks=(2, -1, -1, -1)),
        Slices(RGB),
        [Image.fromarray(picture) for picture in RGB],
    ],
    ids=lambda X: f"{type(X).__name__}-{getattr(X, 'dtype', '')}",
)
def test_every_form_of_the_same_pictures_gives_the_same_bytes(X):
    np.testing.assert_array_equal(pixels(X), RGB)


@pytest.mark.parametrize("X", [GREY, GREY[..., None], GREY[:, None], torch.from_numpy(GREY)[:, None]])
def test_grey_becomes_three_equal_channels(X):
    assert as_pictures(X).shape == (5, 6, 8, 1)
    np.testing.assert_array_equal(pixels(X), np.repeat(GREY[..., None], 3, axis=3))


def test_ambiguous_axes_go_by_the_habit_of_the_library():
    X = np.zeros((2, 3, 7, 3), dtype=np.uint8)
    assert as_pictures(X).shape == (2, 3, 7, 3)
    assert as_pictures(torch.from_numpy(X)).shape == (2, 7, 3, 3)


def test_bool_uint16_and_rounding():
    np.testing.assert_array_equal(pixels(GREY > 100)[..., 0], np.where(GREY > 100, 255, 0))
    deep = np.array([0, 1, 128, 129, 385, 386, 65407, 65535], dtype=np.uint16)
    expected = np.rint(deep / 257).astype(np.uint8)
    np.testing.assert_array_equal(pixels(np.tile(deep, (1, 6, 1)))[0, 0, :, 0], expected)
    fractions = np.linspace(0, 1, 48).reshape(1, 6, 8)
    np.testing.assert_array_equal(pixels(fractions)[..., 0], np.rint(fractions * 255))


def test_value_range_maps_linearly_and_clips():
    X = np.linspace(-3, 5, 48).reshape(1, 6, 8)
    expected = np.rint(np.interp(X, [-2, 4], [0, 255]))
    np.testing.assert_array_equal(pixels(X, value_range=(-2, 4))[..., 0], expected)
    np.testing.assert_array_equal(pixels(RGB.astype(np.float32), value_range=(0, 255)), RGB)
    np.testing.assert_array_equal(pixels(RGB, value_range=(0, 255)), RGB)


def test_rows_are_flattened_pictures():
    flat = RGB.reshape(5, -1)
    source = as_pictures(flat, image_shape=(6, 8, 3))
    assert (source.kind, source.shape, len(source)) == ("rows", (5, 6, 8, 3), 5)
    np.testing.assert_array_equal(pixels(flat, image_shape=(6, 8, 3)), RGB)
    np.testing.assert_array_equal(pixels(flat / 255, image_shape=[6, 8, 3]), RGB)
    channels_first = np.ascontiguousarray(RGB.transpose(0, 3, 1, 2)).reshape(5, -1)
    np.testing.assert_array_equal(pixels(channels_first, image_shape=(3, 6, 8)), RGB)
    for frame in (pd.DataFrame(flat), pl.DataFrame(flat), flat.tolist(), flat.astype(object)):
        np.testing.assert_array_equal(pixels(frame, image_shape=(6, 8, 3), value_range=(0, 255)), RGB)


@pytest.mark.parametrize(("width", "shape"), [(784, (28, 28)), (3072, (32, 32, 3)), (16, (4, 4)), (48, (4, 4, 3))])
def test_image_shape_of_a_row(width, shape):
    assert infer_image_shape(width) == shape
    assert as_pictures(np.zeros((2, width))).shape[1:3] == shape[:2]


@pytest.mark.parametrize("width", [1, 2, 3, 4, 12, 13, 101, 800])
def test_rows_of_no_picture_need_their_shape(width):
    with pytest.raises(ValueError, match=f"Rows of width {width} are no flattened square pictures.*image_shape"):
        as_pictures(np.zeros((2, width)))
    assert as_pictures(np.zeros((2, width)), image_shape=(1, -1)).shape == (2, 1, width, 1)


def test_the_rest_of_a_row_is_found():
    assert as_pictures(np.zeros((2, 60)), image_shape=(-1, 5, 3)).shape == (2, 4, 5, 3)
    for bad in [(-1, -1), (-1, 7), (0, -1), (-2, 5)]:
        with pytest.raises(ValueError, match="image_shape"):
            as_pictures(np.zeros((2, 60)), image_shape=bad)


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (np.zeros((2, 4), dtype=np.uint8), None),
        (np.zeros((2, 4), dtype=bool), None),
        (np.array([[0.0, 1.0]]), None),
        (np.array([[0.0, 200.0]]), (0.0, 255.0)),
        (np.array([[0, 255]]), (0.0, 255.0)),
        (np.array([[0.0, 16.0]]), (0.0, 16.0)),
        (np.array([[-2.5, 1.0]]), (-2.5, 1.0)),
        (np.array([[7.0, 7.0]]), (7.0, 8.0)),
        (np.array([[0, 1]]), (0.0, 1.0)),
        (da.from_array(np.array([[0.0, 16.0]])), (0.0, 16.0)),
        (torch.tensor([[0.0, 16.0]]), (0.0, 16.0)),
        (pd.DataFrame({"a": [0.0, 4.0], "b": [1.0, 9.0]}), (0.0, 9.0)),
        (pd.DataFrame({"a": pd.array([0, 4], dtype="Int64"), "b": [1.0, 9.0]}), (0.0, 9.0)),
        (np.array([[0.0, 16.0]], dtype=object), (0.0, 16.0)),
        (GREY, None),
        (["a.png"], None),
    ],
)
def test_row_value_range(X, expected):
    assert row_value_range(X) == expected


def test_dask_is_computed_block_by_block():
    computed = []

    def block(block_info=None):
        place = block_info[None]["chunk-location"][0]
        computed.append(place)
        return np.full((2, 6, 8), 10 * place, dtype=np.uint8)

    X = da.map_blocks(block, chunks=((2,) * 5, (6,), (8,)), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    source = as_pictures(X)
    source.check()
    assert computed == []
    batch = source.batch([7, 2, 7], AS_IS)
    assert sorted(computed) == [1, 3]
    assert batch[:, 0, 0, 0].tolist() == [30, 10, 30]


def test_lazy_arrays_read_only_the_rows_asked_for(tmp_path):
    X = Slices(GREY)
    source = as_pictures(X)
    X.rows_read = 0
    batch = source.batch([4, 0, 1, 4], AS_IS)
    assert X.rows_read == 3
    np.testing.assert_array_equal(batch[:, 0].numpy(), GREY[[4, 0, 1, 4]])
    np.save(tmp_path / "x.npy", GREY)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(pixels(mapped)[..., 0], GREY)
    np.testing.assert_array_equal(as_pictures(mapped).batch([3, 1], AS_IS)[:, 0].numpy(), GREY[[3, 1]])


def test_lazy_values_are_checked_as_they_are_read():
    X = np.zeros((6, 4, 4))
    X[4, 1, 2] = np.nan
    source = as_pictures(da.from_array(X, chunks=(2, -1, -1)))
    source.batch([0, 1], AS_IS)
    with pytest.raises(ValueError, match=r"NaN.*index \(4, 1, 2\)"):
        source.batch([0, 4], AS_IS)


def test_reading_changes_nothing_and_results_share_no_memory():
    X = RGB.copy()
    X.flags.writeable = False
    source = as_pictures(X)
    assert as_pictures(source) is source
    assert isinstance(source, ArraySource)
    np.testing.assert_array_equal(source.read(3), RGB[3])
    source.batch([0, 1], AS_IS).zero_()
    source.batch([0, 1], Preprocessing(size=(4, 4))).zero_()
    np.testing.assert_array_equal(X, RGB)
    assert source.batch([], AS_IS).shape == (0, 3, 6, 8)
    with pytest.raises(IndexError, match=r"0\.\.4"):
        source.batch([5], AS_IS)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="tensors on a GPU are read, and this machine has none")
def test_cuda_tensors():
    X = torch.from_numpy(RGB).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(pixels(X.cuda()), RGB)
    np.testing.assert_array_equal(pixels(X.float().cuda() / 255), RGB)
    with pytest.raises(ValueError, match=r"looks like floats on the scale 0\.\.255"):
        as_pictures(X.float().cuda())
