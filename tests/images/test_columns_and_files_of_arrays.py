"""Pictures in one column of a table, and in arrays that lie on a disk."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.compose import ColumnTransformer
from torch import nn

from sktl import CNNCodesTransformer, FineTunedClassifier, ProtoNetClassifier

PICTURES = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
LISTS = PICTURES.tolist()
SERIES = pd.Series(list(PICTURES), name="p")
with torch.random.fork_rng():
    torch.manual_seed(0)
    NETWORK = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
CODES = CNNCodesTransformer(NETWORK, engine="torch", batch_size=4, image_size=16)

COLUMNS = {
    "frame of arrays": SERIES.to_frame(),
    "frame of lists": pd.DataFrame({"p": LISTS}),
    "frame of tensors": pd.DataFrame({"p": [torch.from_numpy(picture) for picture in PICTURES]}),
    "nested lists": LISTS,
    "column of objects": SERIES.to_numpy()[:, None],
    "frame of polars": pl.DataFrame({"p": pl.Series("p", PICTURES)}),
    "column of arrow": pa.chunked_array([pa.array(LISTS)]),
    "table of arrow": pa.table({"p": LISTS}),
}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("name", COLUMNS)
def test_one_column_of_arrays(name):
    X, y = COLUMNS[name], np.arange(12) % 2
    np.testing.assert_array_equal(CODES.fit_transform(X), CODES.fit_transform(PICTURES))
    for model in (ProtoNetClassifier(backbone=NETWORK, image_size=16), FineTunedClassifier(NETWORK, max_epochs=1)):
        model = model.set_params(image_size=16).fit(X, y)
        np.testing.assert_array_equal(model.predict(X), model.predict(PICTURES))


def test_beside_other_columns():
    frame = pd.DataFrame({"p": SERIES, "age": np.arange(12.0)})
    codes = ColumnTransformer([("p", CODES, ["p"]), ("age", "passthrough", ["age"])]).fit_transform(frame)
    np.testing.assert_array_equal(codes[:, :-1], CODES.fit_transform(PICTURES))
    with pytest.raises(ValueError, match=r"pictures in column 'p' beside age.*ColumnTransformer"):
        CODES.fit(frame)


def test_columns_of_numbers_stay_rows():
    rows = np.random.default_rng(0).normal(size=(12, 1))
    expected = ProtoNetClassifier().fit(rows, [0, 1] * 6).predict(rows)
    frame = pd.DataFrame(rows, columns=["a"])
    np.testing.assert_array_equal(ProtoNetClassifier().fit(frame, [0, 1] * 6).predict(frame), expected)


@pytest.mark.parametrize("package", ["h5py", "zarr"])
@pytest.mark.parametrize("flat", [False, True])
def test_arrays_on_a_disk_are_read_in_parts(package, flat, tmp_path, monkeypatch):
    module = pytest.importorskip(package, reason=f"arrays of {package}, an optional package, are read")
    held = PICTURES.reshape(12, -1) if flat else PICTURES
    if package == "h5py":
        file = module.File(tmp_path / "a.h5", "w")
        X, kind = file.create_dataset("x", data=held), module.Dataset
    else:
        X = module.create_array(store=str(tmp_path / "a.zarr"), data=held)
        kind = type(X)
    taken, getitem = [], kind.__getitem__

    def counted(self, key):
        found = getitem(self, key)
        taken.append(len(found))
        return found

    def whole(self, *args, **kwargs):
        raise AssertionError("the whole array was read")

    monkeypatch.setattr(kind, "__getitem__", counted)
    monkeypatch.setattr(kind, "__array__", whole)
    codes = CODES.fit_transform(X)
    assert max(taken) <= 4 if not flat else taken  # the range of flattened pictures is read in blocks of bounded size
    monkeypatch.undo()
    np.testing.assert_array_equal(codes, CODES.fit_transform(held))
