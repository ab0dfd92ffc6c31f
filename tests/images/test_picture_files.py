"""Files that are no plain pictures: for other programs, for plugins, sparse ones and bombs."""

import os
import subprocess

import pytest
from PIL import EpsImagePlugin, Image

from sktl.backbones import Preprocessing
from sktl.exceptions import BadImageError
from sktl.images import as_pictures
from sktl.images._formats import FORMATS, LARGEST_FILE

SMALL = Preprocessing(size=(32, 32), crop_pct=1.0)


def reason(item):
    """Return what is said of one item, by `check`, by decoding and by its digest where that fails too."""
    found = []
    for read in (lambda s: s.check(), lambda s: s.batch([0], SMALL)):
        with pytest.raises(BadImageError) as caught:
            read(as_pictures([item]))
        found.append(caught.value.failures[0])
    assert found[0] == found[1]
    return found[0]


@pytest.fixture
def no_programs(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a program was run")

    for name in ("call", "check_call", "check_output", "run", "Popen"):
        monkeypatch.setattr(subprocess, name, refuse)
    monkeypatch.setattr(os, "system", refuse)
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", refuse)


def eps(path):
    Image.new("RGB", (20, 20), "red").save(path, "EPS")
    return path


def test_postscript_runs_no_program(tmp_path, no_programs):
    path = eps(tmp_path / "a.eps")
    hidden = tmp_path / "hidden.jpg"
    hidden.write_bytes(path.read_bytes())
    for item in (str(path), str(hidden), Image.open(path)):
        assert "PostScript (EPS)" in reason(item)
    with pytest.raises(BadImageError, match="PostScript"):
        as_pictures([Image.open(path)]).digests(0, 1)


def test_formats_are_a_list_without_programs():
    assert not {"EPS", "WMF"} & set(FORMATS)
    Image.init()
    left_out = set(Image.OPEN) - set(FORMATS)
    # Beside those two, only what Pillow itself cannot turn into pixels.
    assert left_out <= {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "IPTC"}


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "pip install pillow-heif"),
        (b"\0" * 128 + b"DICM\2\0", "pip install pydicom"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "pip install pillow-jxl-plugin"),
        (b"\xd7\xcd\xc6\x9a\0\0", "Windows metafile"),
    ],
)
def test_plugins_are_named(start, told, tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(start + b"\0" * 200)
    assert told in reason(str(path))


def test_sparse_files_are_named_and_not_read(tmp_path):
    path = tmp_path / "sparse.png"
    Image.new("L", (8, 8)).save(path)
    os.truncate(path, 60 * 2**30)
    assert f"61440 MiB long; files of at most {LARGEST_FILE // 2**20} MiB" in reason(str(path))


@pytest.mark.parametrize("fmt", ["PNG", "WEBP", "TIFF"])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pictures_beyond_the_limit_that_pillow_warns_of_are_refused(fmt, tmp_path, monkeypatch):
    path = tmp_path / "large"
    Image.new("RGB", (400, 300)).save(path, fmt)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    for item in (str(path), Image.open(path)):
        assert "decompression bomb: 400 x 300 pixels; raise PIL.Image.MAX_IMAGE_PIXELS" in reason(item)
    whole = Image.open(path)
    whole.load()
    assert as_pictures([whole]).batch([0], SMALL).shape == (1, 3, 32, 32)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert as_pictures([str(path)]).batch([0], SMALL).shape == (1, 3, 32, 32)


def test_decoded_pil_images_are_read_whatever_they_came_from():
    image = Image.new("RGB", (20, 20), "red")
    image.format = "EPS"
    assert as_pictures([image]).batch([0], SMALL)[0, :, 0, 0].tolist() == [255, 0, 0]
