"""Tables with a column of paths."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sktl.datasets import load_pictures
from sktl.exceptions import BadImageError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inner").mkdir()
    for i in range(3):
        Image.new("RGB", (40, 40), (80 * i, 0, 0)).save(tmp_path / "inner" / f"{i}.png")
    return tmp_path


def frame_of(folder):
    paths = ["inner/2.png", str(folder / "inner" / "0.png"), "inner/1.png"]
    return pd.DataFrame({"file": paths, "kind": ["b", "a", "b"], "price": [1.5, 2.5, 3.5]})


WRITERS = {
    "t.csv": lambda frame, path: frame.to_csv(path, index=False),
    "t.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "t.parquet": lambda frame, path: frame.to_parquet(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_paths_are_relative_to_the_table(folder, name, monkeypatch):
    monkeypatch.chdir("/")
    WRITERS[name](frame_of(folder), folder / name)
    paths, labels = load_pictures(folder / name, path_column="file", label_column="kind")
    assert [path.name for path in paths] == ["2.png", "0.png", "1.png"]
    assert all(path.is_file() for path in paths)
    assert labels.tolist() == ["b", "a", "b"]
    assert labels.dtype.kind == "U"
    found = load_pictures(str(folder / name), path_column="file", label_column="price", return_X_y=False)
    assert found.data == paths
    np.testing.assert_array_equal(found.target, [1.5, 2.5, 3.5])
    assert found.target_names == [1.5, 2.5, 3.5]
    assert list(found.frame.columns) == ["file", "kind", "price"]
    without = load_pictures(folder / name, path_column="file", label_column=None, return_X_y=False)
    assert (len(without.target), without.target_names) == (0, [])


def test_a_folder_as_a_bunch(folder):
    found = load_pictures(folder, return_X_y=False)
    paths, labels = load_pictures(folder)
    assert found.data == paths
    assert found.target.tolist() == labels.tolist() == ["inner"] * 3
    assert found.target_names == ["inner"]
    assert found.frame is None


def test_columns_and_rows_that_are_missing_are_named(folder):
    frame = frame_of(folder)
    frame.to_csv(folder / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"no column 'path', which path_column names.*Its columns are file"):
        load_pictures(folder / "t.csv")
    with pytest.raises(ValueError, match=r"no column 'kimd', which label_column names.*Did you mean 'kind'"):
        load_pictures(folder / "t.csv", path_column="file", label_column="kimd")
    frame.loc[[0, 2], "file"] = [None, " "]
    frame.to_csv(folder / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"2 of 3 rows .* no path in the column 'file': rows 0, 2.*missing='mean'"):
        load_pictures(folder / "t.csv", path_column="file", label_column="kind")
    frame = frame_of(folder)
    frame.loc[1, "kind"] = None
    frame.to_csv(folder / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"1 of 3 rows .* no label in the column 'kind': rows 1"):
        load_pictures(folder / "t.csv", path_column="file", label_column="kind")
    frame.iloc[:0].to_csv(folder / "t.csv", index=False)
    with pytest.raises(ValueError, match="has no rows"):
        load_pictures(folder / "t.csv", path_column="file")


def test_files_that_cannot_be_read(folder):
    frame = frame_of(folder)
    frame.loc[0, "file"] = "inner/absent.png"
    frame.to_csv(folder / "t.csv", index=False)
    named = {"path_column": "file", "label_column": "kind"}
    with pytest.raises(BadImageError, match=r"1 of 3.*absent\.png"):
        load_pictures(folder / "t.csv", **named)
    found = load_pictures(folder / "t.csv", on_bad="skip", return_X_y=False, **named)
    assert [path.name for path in found.data] == ["0.png", "1.png"]
    assert found.target.tolist() == ["a", "b"]
    assert found.frame["price"].tolist() == [2.5, 3.5]


@pytest.mark.parametrize(
    ("name", "content"), [("t.csv", b""), ("t.parquet", b"no parquet"), ("t.csv", b"\xff\xfe\x00x")]
)
def test_damaged_tables(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read as a table"):
        load_pictures(tmp_path / name)


def test_no_table_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"or a table \(\.csv.*absent\.csv"):
        load_pictures(tmp_path / "absent.csv")
