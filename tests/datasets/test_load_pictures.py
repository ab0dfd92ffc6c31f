"""A folder of pictures, one sub-folder a class, as X and y."""

import os
import warnings

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktl import CNNCodesTransformer, FineTunedClassifier
from sktl.datasets import load_pictures
from sktl.exceptions import BadImageError, PictureWarning

NAMES = ["b/2.png", "b/1.JPG", "a/deep/er/0.webp", "a/x.tif", "10/z.bmp"]


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(str(path.name)))
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        write(tmp_path / name)
    for hidden in (".hidden/1.png", "a/.cache/2.png", "a/.3.png", "beside.png"):
        write(tmp_path / hidden)
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    (tmp_path / "nothing").mkdir()
    return tmp_path


@pytest.mark.parametrize("given", [str, lambda path: path])
def test_paths_and_labels_in_order(folder, given):
    paths, labels = load_pictures(given(folder))
    assert [path.relative_to(folder).as_posix() for path in paths] == sorted(NAMES)
    assert isinstance(labels, np.ndarray)
    assert labels.tolist() == ["10", "a", "a", "b", "b"]
    model = make_pipeline(CNNCodesTransformer(image_size=32), LogisticRegression()).fit(paths, labels)
    assert model.classes_.tolist() == ["10", "a", "b"]


def test_links_to_folders_are_followed_once(folder):
    os.symlink(folder / "a", folder / "a" / "deep" / "again")
    assert len(load_pictures(folder)[0]) == len(NAMES)


def test_bad_files(folder):
    cut = folder / "b" / "2.png"
    cut.write_bytes(cut.read_bytes()[:2000])  # its header is whole
    (folder / "a" / "y.jpeg").write_bytes(b"no picture")
    (folder / "a" / "z.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    bad = [str(folder / "a" / "y.jpeg"), str(folder / "a" / "z.heic"), str(cut)]
    named = r"3 of 7.*y\.jpeg: not an image.*pillow-heif.*2\.png.*on_bad='skip'"
    with pytest.raises(BadImageError, match=named) as error:
        load_pictures(folder)
    assert list(error.value.failures) == bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths, labels = load_pictures(folder, on_bad="skip")
    assert len(paths) == 4
    assert labels.tolist() == ["10", "a", "a", "b"]
    with pytest.warns(PictureWarning, match="3 of 7") as record:
        assert load_pictures(folder, on_bad="report")[0] == paths
    assert record[0].message.failures == error.value.failures
    assert record[0].filename == __file__
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(BadImageError, match="None is left"):
        load_pictures(folder, on_bad="skip")


def test_a_folder_with_nothing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        load_pictures(tmp_path / "absent")
    mine = tmp_path / "mine"
    mine.mkdir()
    with pytest.raises(ValueError, match=r"mine' has no pictures.*it is empty"):
        load_pictures(mine)
    (mine / "b.csv").write_text("1")
    with pytest.raises(ValueError, match=r"mine' has no pictures.*\.csv"):
        load_pictures(mine)
    (mine / "b.txt").write_text("1")
    with pytest.raises(NotADirectoryError, match=r"or a table \(\.csv.*b\.txt"):
        load_pictures(mine / "b.txt")
    (mine / "b.txt").unlink()
    write(mine / "a.png")
    with pytest.raises(ValueError, match="1 pictures lie beside each other"):
        load_pictures(mine)
    with pytest.raises(ValueError, match="on_bad"):
        load_pictures(mine, on_bad="ignore")


@pytest.mark.parametrize("given", [str, lambda path: path])
@pytest.mark.parametrize("estimator", [CNNCodesTransformer(), FineTunedClassifier()])
def test_the_error_for_a_folder_as_x_names_it(estimator, given, folder):
    with pytest.raises(TypeError, match="load_pictures"):
        estimator.fit(given(folder), [0, 1])
