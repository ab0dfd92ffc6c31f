"""Pictures as bytes, base64 text and open files: the same as their files, in every table."""

import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from sktl.backbones import Preprocessing
from sktl.exceptions import BadImageError
from sktl.images import as_pictures

SMALL = Preprocessing(size=(16, 16))
RNG = np.random.default_rng(0)
ARRAYS = [RNG.integers(0, 256, (20, 24, 3), dtype=np.uint8) for _ in range(3)]


def encoded(form="PNG"):
    files = [io.BytesIO() for _ in ARRAYS]
    for array, file in zip(ARRAYS, files):
        Image.fromarray(array).save(file, format=form)
    return [file.getvalue() for file in files]


def text_of(data, uri=False):
    text = base64.b64encode(data).decode()
    return f"data:image/png;base64,{text}" if uri else text


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, data in zip(paths, encoded()):
        path.write_bytes(data)
    return paths


FORMS = {
    "bytes": lambda data: data,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "base64": text_of,
    "base64 in lines": lambda data: base64.encodebytes(data).decode(),
    "base64 of addresses": lambda data: base64.urlsafe_b64encode(data).decode(),
    "base64 without its end": lambda data: text_of(data).rstrip("="),
    "base64 after a space": lambda data: f" {text_of(data)}\n",
    "base64 in bytes": lambda data: text_of(data).encode(),
    "data URI": lambda data: text_of(data, uri=True),
    "data URI in capitals": lambda data: f"DATA:IMAGE/PNG;BASE64,{text_of(data)}",
    "data URI of no type": lambda data: f"data:;base64,{text_of(data)}",
    "data URI of bytes": lambda data: f"data:application/octet-stream;base64,{text_of(data)}",
    "open file": io.BytesIO,
}
HOLDERS = {
    "list": list,
    "objects": lambda items: pd.Series(items, dtype=object).to_numpy(),
    "Series": lambda items: pd.Series(items, dtype=object),
    "frame": lambda items: pd.DataFrame({"picture": pd.Series(items, dtype=object)}),
}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_encoded_pictures_are_read_as_their_files(files, form, hold):
    expected = as_pictures(files)
    found = as_pictures(hold([form(data) for data in encoded()]))
    for _ in range(2):  # an open file is read from its start each time
        assert (found.batch([0, 1, 2], SMALL) == expected.batch([0, 1, 2], SMALL)).all()
    assert found.digests(0, 3) == expected.digests(0, 3)  # the same place in a store


@pytest.mark.parametrize("form", ["JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_base64_of_the_usual_formats_is_known(form):
    data = encoded(form)
    texts = as_pictures([text_of(part) for part in data])
    assert (texts.batch([0, 1, 2], SMALL) == as_pictures(data).batch([0, 1, 2], SMALL)).all()


@pytest.mark.parametrize(
    "hold",
    [
        lambda items: pl.Series(items),
        lambda items: pl.DataFrame({"picture": items}),
        lambda items: pa.table({"picture": items}),
        lambda items: pa.chunked_array([items]),
    ],
    ids=["polars Series", "polars frame", "arrow table", "arrow column"],
)
@pytest.mark.parametrize("form", ["bytes", "base64"])
def test_columns_of_polars_and_arrow_are_read(files, form, hold):
    found = as_pictures(hold([FORMS[form](data) for data in encoded()]))
    assert (found.batch([0, 1, 2], SMALL) == as_pictures(files).batch([0, 1, 2], SMALL)).all()


def test_forms_may_be_mixed(files):
    data = encoded()
    mixed = as_pictures([files[0], data[1], Image.open(files[2])])
    assert (mixed.batch([0, 1, 2], SMALL) == as_pictures(files).batch([0, 1, 2], SMALL)).all()


def test_an_open_file_stays_where_it_was():
    file = io.BytesIO(encoded()[0])
    file.seek(5)
    as_pictures([file]).batch([0], SMALL)
    assert file.tell() == 5


def test_names_of_files_are_no_base64(tmp_path):
    name = tmp_path / ("/".join(["Qk"] * 3) + "a" * 80)
    with pytest.raises(BadImageError, match="no such file"):
        as_pictures([str(name)]).check()


def test_what_is_no_picture_is_named_by_row():
    good = encoded()[0]
    bad = [good, b"", b"no picture", good[:40], text_of(good)[:101], "data:image/png;base64,&&&", io.BytesIO(b"GIF89a")]
    with pytest.raises(BadImageError) as caught:
        as_pictures(bad).check()
    assert {1, 2, 5} <= set(caught.value.failures)
    assert 0 not in caught.value.failures
    assert caught.value.failures[2].startswith("bytes: ")
    assert "base64" in caught.value.failures[5]


def test_closed_files_are_named_by_row(files):
    closed, for_writing = io.BytesIO(b"x"), open(files[0].with_name("new"), "wb")  # noqa: SIM115
    closed.close()
    with pytest.raises(BadImageError) as caught:
        as_pictures([files[0], closed, for_writing, files[1]]).check()
    for_writing.close()
    assert list(caught.value.failures) == [1, 2]
    assert "closed file" in caught.value.failures[1]


def test_a_frame_of_two_columns_of_pictures():
    frame = pd.DataFrame({"front": [text_of(data) for data in encoded()]})
    with pytest.raises(ValueError, match=r"column 'front' beside others of pictures, 'back': pass df\['front'\]"):
        as_pictures(frame.assign(back=frame["front"]))


def test_bytes_are_one_picture():
    with pytest.raises(TypeError, match=r"bytes, one picture.*Pass \[X\]"):
        as_pictures(encoded()[0])


def test_paths_of_a_folder_are_paths(files):
    assert as_pictures([Path(file) for file in files]).read(0) == encoded()[0]
