"""Lists of files and PIL images: forms, faults and digests."""

import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image

from sktl._preprocessing import Preprocessing
from sktl.exceptions import BadImageError
from sktl.images import ItemSource, as_pictures

SMALL = Preprocessing(size=(16, 16))
rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)


@pytest.fixture
def paths(tmp_path):
    found = []
    for i in range(4):
        Image.fromarray(np.roll(PIXELS, i, axis=0)).resize((24 + i, 20)).save(tmp_path / f"{i}.png")
        found.append(str(tmp_path / f"{i}.png"))
    return found


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        lambda paths: [Path(path) for path in paths],
        np.array,
        lambda paths: np.array(paths, dtype=object),
        lambda paths: np.array(paths, dtype=object)[:, None],
        lambda paths: np.array(paths)[:, None],
        lambda paths: [[path] for path in paths],
        pd.Series,
        lambda paths: pd.Series(paths, dtype=object, index=[9, 9, 1, 0]),
        lambda paths: pd.DataFrame({"path": paths}),
        lambda paths: pd.Series([Image.open(path) for path in paths]),
        pl.Series,
        lambda paths: pl.DataFrame({"path": paths}),
        lambda paths: [Image.open(path) for path in paths],
        lambda paths: [paths[0], Image.open(paths[1]), Path(paths[2]), paths[3]],
    ],
)
def test_every_form_of_the_same_files(form, paths):
    expected = as_pictures(paths).batch(range(4), SMALL)
    source = as_pictures(form(paths))
    assert isinstance(source, ItemSource)
    assert (source.kind, source.shape, len(source)) == ("items", None, 4)
    source.check()
    assert torch.equal(source.batch(range(4), SMALL), expected)


def object_array(items):
    X = np.empty(len(items), dtype=object)
    X[:] = items
    return X


def test_object_arrays_of_pil_images_and_of_arrays():
    X = object_array([Image.fromarray(PIXELS), Image.fromarray(PIXELS[:10])])
    assert as_pictures(X).batch([0, 1], SMALL).shape == (2, 3, 16, 16)
    assert as_pictures(X[:, None]).kind == "items"
    assert as_pictures(object_array([PIXELS, PIXELS])).shape == (2, 20, 24, 3)


@pytest.fixture
def bad(tmp_path, paths, monkeypatch):
    """Return a list with a fault of every kind, and what is said of each."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).resize((200, 150)).save(buffer, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[:-2000])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("these are not pixels")
    (tmp_path / "folder.png").mkdir()
    Image.new("L", (500, 700)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    names = ("cut.jpg", "empty.png", "text.jpg", "folder.png", "bomb.png", "gone.png")
    X = [paths[0], *(str(tmp_path / name) for name in names), paths[1], Image.new("RGB", (0, 4))]
    reasons = {
        1: "truncated",
        2: "empty file",
        3: "not an image",
        4: "is a directory",
        5: "decompression bomb: 500 x 700 pixels; raise PIL.Image.MAX_IMAGE_PIXELS if you trust it",
        6: "no such file",
        8: "no pixels: its size is 0 x 4",
    }
    return X, reasons


def test_check_names_every_bad_file_at_once(bad):
    X, reasons = bad
    with pytest.raises(BadImageError) as caught:
        as_pictures(X).check()
    del reasons[1]  # A header says nothing of what follows it.
    named = {i: f"{X[i] if isinstance(X[i], str) else 'PIL image'}: {reason}" for i, reason in reasons.items()}
    assert caught.value.failures == named
    assert "6 of 9 pictures cannot be read" in str(caught.value)
    for i, text in named.items():
        assert f"[{i}] {text}" in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).failures == named


def test_decoding_names_the_bad_file(bad):
    X, reasons = bad
    for i, reason in reasons.items():
        with pytest.raises(BadImageError, match=rf"1 of 9 .*\[{i}\] .*: {reason}") as caught:
            as_pictures(X).batch([0, i], SMALL)
        assert list(caught.value.failures) == [i]


def test_digests_name_every_file_that_cannot_be_read(bad):
    X, _ = bad
    with pytest.raises(BadImageError, match="3 of 9") as caught:
        as_pictures(X).digests(0, 9)
    assert list(caught.value.failures) == [4, 6, 8]
    for i in (4, 6, 8):
        with pytest.raises(BadImageError, match=rf"\[{i}\]"):
            as_pictures(X).digest(i)


def test_long_lists_of_faults_are_shortened(tmp_path):
    with pytest.raises(BadImageError, match=r"\[9\] .*, and 30 more\. Repair") as caught:
        as_pictures([str(tmp_path / f"{i}.png") for i in range(40)]).check(n_jobs=2)
    assert len(caught.value.failures) == 40
    assert "[10]" not in str(caught.value)


def test_corrupt_png_and_closed_image(tmp_path, paths):
    data = bytearray(Path(paths[0]).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "corrupt.png").write_bytes(data)
    with pytest.raises(BadImageError, match=r"\[0\] .*corrupt\.png: corrupt"):
        as_pictures([tmp_path / "corrupt.png"]).batch([0], SMALL)
    image = Image.open(paths[0])
    image.close()
    with pytest.raises(BadImageError, match=r"\[0\] PIL image: corrupt"):
        as_pictures([image]).batch([0], SMALL)
    with pytest.raises(BadImageError, match="null"):
        as_pictures(["a\0b.png"]).check()


def test_read_gives_what_is_held(paths):
    image = Image.fromarray(PIXELS)
    source = as_pictures([paths[0], image])
    assert source.read(0) == Path(paths[0]).read_bytes()
    assert source.read(1) is image


def test_digests_name_content_whatever_its_place(paths, tmp_path):
    (tmp_path / "copy.png").write_bytes(Path(paths[2]).read_bytes())
    image = Image.open(paths[0])
    source = as_pictures([*paths, tmp_path / "copy.png", image, Image.open(paths[0])])
    digests = source.digests(0, 7)
    assert all(len(digest) == 16 for digest in digests)
    assert digests[2] == digests[4]
    assert digests[5] == digests[6]
    assert len(set(digests)) == 5
    assert digests == [source.digest(i) for i in range(7)]
    assert digests == [source.digest(i, source.read(i)) for i in range(7)]
    assert source.digests(1, 3) == digests[1:3]
    assert as_pictures(paths[::-1]).digests(0, 4) == digests[3::-1]


def test_digest_of_a_pil_image_covers_all_that_shows():
    base = Image.fromarray(PIXELS[..., 0])
    recoloured = base.convert("P")
    recoloured.putpalette(bytes(range(255, -1, -1)) * 3)
    transparent = base.convert("P")
    transparent.info["transparency"] = 3
    turned = base.copy()
    turned.getexif()[0x0112] = 6
    reshaped = Image.fromarray(PIXELS[..., 0].reshape(24, 20))
    images = [base, base.convert("RGB"), base.convert("P"), recoloured, transparent, turned, reshaped]
    source = as_pictures(images)
    before = source.digests(0, len(images))
    assert len(set(before)) == len(images)
    source.batch(range(len(images)), SMALL)
    assert source.digests(0, len(images)) == before


def test_digests_of_arrays_agree_across_forms():
    X = np.stack([PIXELS, PIXELS[::-1], PIXELS])
    source = as_pictures(X)
    digests = source.digests(0, 3)
    assert digests[0] == digests[2] != digests[1]
    assert digests == [source.digest(i) for i in range(3)] == [source.digest(i, source.read(i)) for i in range(3)]
    for form in (X / 255, X.astype(np.int32), torch.from_numpy(X).permute(0, 3, 1, 2), X.transpose(0, 3, 1, 2)):
        assert as_pictures(form).digests(0, 3) == digests
    rows = as_pictures(X.reshape(3, -1), image_shape=(20, 24, 3))
    assert rows.digests(1, 3) == digests[1:]
    assert as_pictures(X.reshape(3, -1), image_shape=(24, 20, 3)).digests(0, 1) != digests[:1]
    assert as_pictures([Image.fromarray(PIXELS)]).digest(0) != digests[0]


def test_several_threads_may_share_one_image(paths):
    image = Image.open(paths[0])
    expected = as_pictures([paths[0]]).batch([0], SMALL)
    source = as_pictures([image] * 40)
    with ThreadPoolExecutor(8) as executor:
        for batch in executor.map(lambda i: source.batch([i], SMALL), range(40)):
            assert torch.equal(batch, expected)
