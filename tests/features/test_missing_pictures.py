"""Rows without a picture, and paths below a folder."""

import base64
import io
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError

from sktl import CNNCodesTransformer

RNG = np.random.default_rng(0)
PICTURES = [Image.fromarray(RNG.integers(0, 256, (20, 24, 3), dtype=np.uint8)) for _ in range(4)]
SMALL = {"image_size": 32, "engine": "torch"}


def png(picture):
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()


def with_gaps(nothing=None):
    return [PICTURES[0], nothing, *PICTURES[1:], nothing]


@pytest.fixture(scope="module")
def whole():
    return CNNCodesTransformer(**SMALL).fit_transform(PICTURES)


@pytest.mark.parametrize("nothing", [None, float("nan"), "", "  ", b"", pd.NA, pd.NaT])
def test_missing_pictures_are_refused_by_row(nothing):
    with pytest.raises(ValueError, match=r"2 of 6 pictures are missing.* in rows 1, 5\..*missing='mean'"):
        CNNCodesTransformer(**SMALL).fit(with_gaps(nothing))


def test_fit_needs_a_picture():
    with pytest.raises(ValueError, match="All 2 pictures are missing"):
        CNNCodesTransformer(**SMALL, missing="zero").fit([None, ""])


def test_bytes_of_a_database(whole):
    found = CNNCodesTransformer(**SMALL).fit_transform([memoryview(png(picture)) for picture in PICTURES])
    np.testing.assert_allclose(found, whole, atol=1e-5)


@pytest.mark.parametrize("hold", [list, lambda items: pd.DataFrame({"p": pd.Series(items, dtype=object)})])
@pytest.mark.parametrize("missing", ["mean", "zero"])
def test_a_code_stands_in_their_place_and_a_column_says_so(whole, missing, hold):
    model = CNNCodesTransformer(**SMALL, missing=missing)
    found = model.fit_transform(hold(with_gaps()))
    fill = whole.mean(axis=0) if missing == "mean" else np.zeros(whole.shape[1])
    np.testing.assert_allclose(found[[1, 5], :-1], [fill, fill], atol=1e-5)
    np.testing.assert_allclose(found[[0, 2, 3, 4], :-1], whole, atol=1e-5)
    assert found[:, -1].tolist() == [0, 1, 0, 0, 0, 1]
    names = model.get_feature_names_out()
    assert (len(names), names[-1]) == (found.shape[1], "missing")
    again = pickle.loads(pickle.dumps(model))
    for rows in (with_gaps(), PICTURES, [None, None], [PICTURES[0]]):
        np.testing.assert_allclose(again.transform(hold(rows)), model.transform(hold(rows)), atol=1e-6)
    assert model.transform(hold([None, None])).shape == (2, whole.shape[1] + 1)
    blocks = np.concatenate(list(model.iter_transform(hold(with_gaps()), block_size=4)))
    np.testing.assert_allclose(blocks, found, atol=1e-5)


def test_fit_needs_to_have_been(whole):
    with pytest.raises(NotFittedError, match="missing='mean'"):
        CNNCodesTransformer(**SMALL, missing="mean").transform(PICTURES)
    assert clone(CNNCodesTransformer(missing="zero")).missing == "zero"


def test_arrays_have_no_gaps(whole):
    arrays = np.stack([np.asarray(picture) for picture in PICTURES])
    model = CNNCodesTransformer(**SMALL, missing="zero").fit(arrays)
    np.testing.assert_allclose(model.transform(arrays), whole, atol=1e-5)
    assert len(model.get_feature_names_out()) == whole.shape[1]


def test_paths_lie_in_root_and_encoded_pictures_do_not(tmp_path, whole):
    for i, picture in enumerate(PICTURES[:2]):
        picture.save(tmp_path / f"{i}.png")
    items = ["0.png", "1.png", base64.b64encode(png(PICTURES[2])).decode(), png(PICTURES[3])]
    found = CNNCodesTransformer(**SMALL, root=tmp_path).fit_transform(items)
    np.testing.assert_allclose(found, whole, atol=1e-5)
    with_gap = CNNCodesTransformer(**SMALL, root=str(tmp_path), missing="zero").fit_transform([*items, None])
    np.testing.assert_allclose(with_gap[:4, :-1], whole, atol=1e-5)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("column", ["picture", ["picture"]])
def test_a_column_of_a_table_is_named(whole, library, column):
    data = {"picture": [png(picture) for picture in PICTURES] + [None], "price": [1.0, 2, 3, 4, 5]}
    frame = pd.DataFrame(data) if library == "pandas" else pl.DataFrame(data)
    model = make_column_transformer((CNNCodesTransformer(**SMALL, missing="zero"), column), ("passthrough", ["price"]))
    found = model.fit_transform(frame)
    np.testing.assert_allclose(found[:4, :-2], whole, atol=1e-5)
    assert found[:, -1].tolist() == data["price"]
    assert found[:, -2].tolist() == [0, 0, 0, 0, 1]
    assert model.get_feature_names_out()[-1] == "passthrough__price"
