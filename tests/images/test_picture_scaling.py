"""Geometry against torchvision, values against PIL, and one road for every form."""

import contextlib
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from sktl._preprocessing import Preprocessing
from sktl.exceptions import PictureWarning
from sktl.images import _decode as decode_module
from sktl.images import as_pictures
from sktl.images._resample import placement, write_scaled


def smooth(height, width, seed=0):
    low = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(low).resize((width, height), Image.Resampling.BICUBIC)


def array_of(batch):
    return batch.permute(0, 2, 3, 1).numpy().astype(int)


SIZES = [(375, 500), (500, 375), (224, 224), (256, 256), (33, 71), (1, 40), (90, 2), (257, 301), (64, 64), (7, 1000)]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", SIZES)
def test_against_torchvision_on_pil_images(size, interpolation):
    image = smooth(*size)
    preprocessing = Preprocessing(size=(64, 64), interpolation=interpolation)
    theirs = Compose([Resize(73, InterpolationMode(interpolation)), CenterCrop(64)])(image)
    found = array_of(as_pictures([image]).batch([0], preprocessing))[0]
    difference = np.abs(found - np.asarray(theirs).astype(int))
    assert difference.max() <= 2
    assert difference.mean() < 0.2


@pytest.mark.parametrize("size", SIZES)
def test_nearest_takes_pixels_that_are_there(size):
    image = smooth(*size)
    preprocessing = Preprocessing(size=(64, 64), interpolation="nearest")
    found = as_pictures([image]).batch([0], preprocessing)
    whole = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    scaled = torch.nn.functional.interpolate(whole[None], placement(size, preprocessing)[0], mode="nearest-exact")
    assert torch.equal(found, CenterCrop(64)(scaled))


@pytest.mark.parametrize("target", [(224, 224), (96, 64), (50, 81)])
def test_placement_covers_as_little_as_it_can(target):
    preprocessing = Preprocessing(size=target)
    cover = preprocessing.scaled_size
    for size in SIZES:
        scaled, (top, left) = placement(size, preprocessing)
        assert scaled[0] >= cover[0]
        assert scaled[1] >= cover[1]
        assert cover[0] == scaled[0] or cover[1] == scaled[1]
        assert top == round((scaled[0] - target[0]) / 2)
        assert left == round((scaled[1] - target[1]) / 2)
        if cover[0] == cover[1]:
            assert scaled == tuple(Resize(cover[0])(torch.zeros(1, *size)).shape[1:])


def test_right_size_is_only_cropped():
    image = np.random.default_rng(0).integers(0, 256, (256, 300, 3), dtype=np.uint8)
    found = array_of(as_pictures(image[None]).batch([0], Preprocessing()))[0]
    np.testing.assert_array_equal(found, image[16:240, 38:262])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("size", [(40, 60), (8, 8), (300, 200)])
def test_files_objects_and_arrays_agree_bit_for_bit(interpolation, size, tmp_path):
    preprocessing = Preprocessing(size=(48, 32), interpolation=interpolation)
    images = [smooth(*size, seed=seed) for seed in range(3)]
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    stack = np.stack([np.asarray(image) for image in images])
    forms = [paths, images, [paths[0], images[1], paths[2]], stack, stack / 255, torch.from_numpy(stack)]
    forms += [np.ascontiguousarray(stack.transpose(0, 3, 1, 2)), stack.reshape(3, -1)]
    batches = [as_pictures(X, image_shape=(*size, 3)).batch([0, 1, 2], preprocessing) for X in forms]
    for batch in batches[1:]:
        assert torch.equal(batch, batches[0])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_results_do_not_depend_on_the_batch(channels):
    X = np.random.default_rng(0).integers(0, 256, (7, 19, 23, channels), dtype=np.uint8)
    preprocessing = Preprocessing(size=(32, 32))
    source = as_pictures(X)
    together = source.batch(range(7), preprocessing)
    alone = torch.cat([source.batch([i], preprocessing) for i in range(7)])
    assert torch.equal(together, alone)
    assert torch.equal(source.batch([6, 2, 2], preprocessing), together[[6, 2, 2]])


def test_grey_array_and_grey_file_agree(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    preprocessing = Preprocessing(size=(40, 40))
    expected = as_pictures([tmp_path / "a.png"]).batch([0], preprocessing)
    assert torch.equal(as_pictures(grey[None]).batch([0], preprocessing), expected)
    assert torch.equal(as_pictures(grey.reshape(1, -1)).batch([0], preprocessing), expected)


def test_long_pictures_are_cut_before_they_are_scaled():
    """One row of 200,000 pixels, scaled whole to a height of 256, would take 39 GB."""
    row = np.tile(np.arange(256, dtype=np.uint8), 782)[None, None, :200_000]
    found = array_of(as_pictures(row).batch([0], Preprocessing()))[0, 0, :, 0]
    centre = as_pictures(row[..., 99_990:100_010]).batch([0], Preprocessing())
    np.testing.assert_array_equal(found, array_of(centre)[0, 0, :, 0])


def test_large_jpegs_are_decoded_at_reduced_scale(tmp_path):
    image = smooth(900, 1200)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", quality=95)
    image.save(tmp_path / "turned.jpg", quality=95, exif=exif)
    preprocessing = Preprocessing(size=(64, 64))
    for name, full, reduced in (("a", (900, 1200), (225, 300)), ("turned", (1200, 900), (300, 225))):
        data = (tmp_path / f"{name}.jpg").read_bytes()
        held = contextlib.ExitStack()  # of a budget that is far from spent
        pixels, size = decode_module.decode_bytes(data, held, preprocessing)
        assert size == full
        assert pixels.shape[:2] == reduced
        assert decode_module.decode_bytes(data, held)[0].shape[:2] == full
        # At least twice what is needed along both axes, or in full.
        assert decode_module.decode_bytes(data, held, Preprocessing(size=(400, 400)))[0].shape[:2] == full
        held.close()
    source = as_pictures([tmp_path / "a.jpg", tmp_path / "turned.jpg"])
    fast, exact = (array_of(source.batch([0, 1], preprocessing, draft=draft)) for draft in (True, False))
    assert np.abs(fast - exact).mean() < 1
    assert np.abs(fast - exact).max() <= 8


def test_grey_and_cmyk_jpegs(tmp_path):
    for mode in ("L", "CMYK"):
        smooth(600, 800).convert(mode).save(tmp_path / f"{mode}.jpg", quality=95)
        source = as_pictures([tmp_path / f"{mode}.jpg"])
        preprocessing = Preprocessing(size=(40, 40))
        fast, exact = (array_of(source.batch([0], preprocessing, draft=draft)) for draft in (True, False))
        assert np.abs(fast - exact).mean() < 1
        expected = Image.open(tmp_path / f"{mode}.jpg").convert("RGB")
        theirs = Compose([Resize(45), CenterCrop(40)])(expected)
        assert np.abs(exact[0] - np.asarray(theirs).astype(int)).max() <= 2


def test_original_size_decides_the_geometry():
    preprocessing = Preprocessing(size=(10, 10), crop_pct=1.0)
    out = np.empty((1, 10, 10, 3), dtype=np.uint8)
    write_scaled(out, np.asarray(smooth(25, 51))[None], preprocessing, (99, 201))
    assert placement((99, 201), preprocessing) == ((10, 20), (0, 5))


@pytest.mark.parametrize(("size", "crop_mode", "warns"), [
    ((20, 200), "center", True), ((200, 20), "center", True), ((20, 70), "center", False), ((20, 200), "squash", False),
    ((20, 200), "border", False),
])  # fmt: skip
def test_long_pictures_of_which_little_is_seen_are_told(size, crop_mode, warns):
    long = np.arange(3 * size[0] * size[1], dtype=np.uint32).astype(np.uint8).reshape(1, *size, 3)
    preprocessing = Preprocessing(size=(32, 32), crop_mode=crop_mode)
    for X in (long, [Image.fromarray(long[0])]):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            as_pictures(X).batch([0], preprocessing)
        assert [w.category for w in caught] == [PictureWarning] * warns
        assert all("crop_mode" in str(w.message) for w in caught)
    with warnings.catch_warnings():  # a long picture for a network that takes long ones
        warnings.simplefilter("error")
        as_pictures(long).batch([0], Preprocessing(size=tuple(side // 4 for side in size), crop_mode=crop_mode))
