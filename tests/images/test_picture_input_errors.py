"""What is no picture is refused before any work, with what came and what to do."""

from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from PIL import Image

from sktl.images import as_pictures, infer_image_shape, row_value_range

ONE = Image.new("RGB", (4, 4))


def with_value(value, dtype=np.float64):
    X = np.zeros((3, 4, 5), dtype=dtype)
    X[1, 2, 3] = value
    return X


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros(4), r"Expected 2D array, got 1D array(.|\n)*Reshape your data"),
        ([1.0, 2.0], r"Expected 2D array, got 1D array(.|\n)*Reshape your data"),
        (pd.Series([1.0, 2.0]), r"Expected 2D array, got 1D array(.|\n)*Reshape your data"),
        (np.array([1.0, 2.0], dtype=object), r"Expected 2D array(.|\n)*Reshape your data"),
        (3.0, "Expected 2D array, got scalar array"),
        ([], r"Found array with 0 sample\(s\) \(shape=\(0,\)\) while a minimum of 1 is required\."),
        (np.zeros((0, 8)), r"0 sample\(s\) \(shape=\(0, 8\)\) while a minimum of 1 is required\."),
        (np.zeros((3, 0)), r"0 feature\(s\) \(shape=\(3, 0\)\) while a minimum of 1 is required\."),
        (np.zeros((3, 0, 4)), r"0 feature\(s\) \(shape=\(3, 0, 4\)\)"),
        (np.zeros((2, 8, 8, 2)), r"\(2, 8, 8, 2\).*1 \(grey\), 3 \(RGB\) or 4 \(RGBA\)"),
        (np.zeros((2, 5, 8, 8)), r"\(2, 5, 8, 8\)"),
        (np.zeros((2, 2, 2, 2, 2)), r"\(2, 2, 2, 2, 2\)"),
        (np.zeros((2, 4, 4), dtype=complex), "Complex data not supported"),
        (np.zeros((2, 4), dtype="datetime64[s]"), r"dtype datetime64\[s\]"),
        (with_value(np.nan), r"NaN or infinity: the first is NaN at index \(1, 2, 3\)"),
        (with_value(-np.inf), r"the first is infinity at index \(1, 2, 3\)"),
        (torch.from_numpy(with_value(np.nan)), r"NaN at index \(1, 2, 3\)"),
        (pd.DataFrame({column: pd.array([1, None], dtype="Int64") for column in range(16)}), r"NaN at index \(1, 0\)"),
        (with_value(1.5), r"looks like floats on the scale 0\.\.255.*divide by 255.*uint8.*value_range=\(0, 255\)"),
        (torch.from_numpy(with_value(200.0)), r"looks like floats on the scale 0\.\.255"),
        (with_value(-2.0), r"from -2 to 0; floats must lie within \[0, 1\].*standardised"),
        (with_value(300.0), r"from 0 to 300.*value_range=\(0, 300\)"),
        (with_value(256, np.int32), r"int32 values from 0 to 256; integers must lie within 0\.\.255"),
        (with_value(-1, np.int8), r"int8 values from -1 to 0"),
        ([np.zeros((4, 4)), np.zeros((4, 5))], r"ragged.*\(4, 4\).*X\[1\].*\(4, 5\).*Resize.*PIL images"),
        ([[1.0, 2.0], [1.0]], "ragged list"),
        ([["a.png", "b.png"], ["c.png", "d.png"]], r"text in shape \(2, 2\)"),
        (da.from_array(np.arange(4.0))[da.from_array(np.arange(4.0)) > 1], "compute_chunk_sizes"),
    ],
)
def test_value_errors(X, message):
    with pytest.raises(ValueError, match=message):
        as_pictures(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("a.png", r"one path, 'a\.png'.*Pass \[X\]"),
        (Path("a.png"), r"Pass \[X\]"),
        (ONE, r"one PIL image.*Pass \[X\]"),
        (b"abc", "bytes"),
        (["a.png", None], r"X\[1\] is None of type NoneType"),
        ([ONE, float("nan")], r"X\[1\] is nan of type float"),
        (pd.Series(["a.png", None, "b.png"]), r"X\[1\] is nan of type float"),
        (np.array(["a.png", 7], dtype=object), r"X\[1\] is 7 of type int"),
        ([ONE, np.zeros((4, 4))], r"X\[1\].*of type ndarray"),
        ([1.0, None], r"X\[1\] is None"),
        ([{"a": 1}], r"X\[0\] is \{'a': 1\} of type dict"),
        ({"a": 1}, "file paths, PIL images or encoded pictures .*; got dict"),
        (None, "got NoneType"),
        ((i for i in range(3)), "got generator"),
        (scipy.sparse.csr_array(np.eye(3)), "sparse"),
        (torch.eye(3).to_sparse(), "sparse"),
        (np.array([[{"foo": "bar"}, 1.0]], dtype=object), r"argument must be .* string.* number"),
    ],
)
def test_type_errors(X, message):
    with pytest.raises(TypeError, match=message):
        as_pictures(X)


def test_name_is_used():
    with pytest.raises(TypeError, match=r"^X_target is one path.*Pass \[X_target\]"):
        as_pictures("a.png", name="X_target")


@pytest.mark.parametrize("image_shape", [(3, 3), (2, 5, 1)])
def test_image_shape_must_fit_the_width(image_shape):
    with pytest.raises(ValueError, match=r"8 features, but image_shape=.* = (9|10) values"):
        as_pictures(np.zeros((2, 8)), image_shape=image_shape)


@pytest.mark.parametrize("image_shape", [(8,), (2, 2, 2), (0, 8), "ab", 8])
def test_image_shape_must_be_one(image_shape):
    with pytest.raises(ValueError, match="image_shape must be"):
        as_pictures(np.zeros((2, 8)), image_shape=image_shape)


@pytest.mark.parametrize("value_range", [(1, 1), (2, 1), (0, np.inf), (0,), 5, (-1e308, 1e308)])
def test_value_range_must_be_one(value_range):
    with pytest.raises(ValueError, match="value_range must be two finite numbers"):
        as_pictures(np.zeros((2, 8)), value_range=value_range)


def test_not_finite_is_refused_with_a_value_range_too():
    with pytest.raises(ValueError, match=r"NaN at index \(1, 2, 3\)"):
        as_pictures(with_value(np.nan), value_range=(0, 1))
    with pytest.raises(ValueError, match=r"infinity at index \(0, 1\)"):
        row_value_range([[0.0, np.inf]])


def test_rounding_noise_at_the_ends_is_no_error():
    assert len(as_pictures(with_value(1.000001))) == 3


def test_width_of_nothing():
    with pytest.raises(ValueError, match="width 0"):
        infer_image_shape(0)
