"""Public sets, fetched from files of the same layout that this machine serves to itself."""

import dataclasses
import hashlib
import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from sktl.datasets import _fetch_pictures, fetch_hymenoptera, fetch_office31, fetch_omniglot
from sktl.datasets._fetch_pictures import HYMENOPTERA, OFFICE31, OMNIGLOT
from tests.browser import served

HYMENOPTERA_FILES = [
    "hymenoptera_data/train/ants/2.jpg", "hymenoptera_data/train/ants/imageNotFound.gif",
    "hymenoptera_data/train/bees/1.jpg", "hymenoptera_data/val/ants/3.jpg", "hymenoptera_data/val/bees/4.jpg",
    "hymenoptera_data/val/bees/5.jpg", "../outside.jpg",
]  # fmt: skip
OMNIGLOT_FILES = {
    "background": [f"images_background/Greek/character0{c}/070{c}_{d:02}.png" for c in (1, 2) for d in (1, 20)],
    "evaluation": ["images_evaluation/Angelic/character01/0965_03.png"],
}


def packed(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for i, name in enumerate(names):
            with archive.open(name, "w") as file:
                Image.new("L", (8, 8), i).save(file, "GIF" if name.endswith("gif") else "PNG")
    return hashlib.sha256(path.read_bytes()).hexdigest()


OFFICE31_FILES = [
    "amazon/images/desk_lamp/frame_0001.jpg", "amazon/images/mug/frame_0001.jpg", "dslr/images/mug/frame_0001.jpg",
    "webcam/images/mug/frame_0001.jpg", "webcam/images/mug/frame_0002.jpg",
]  # fmt: skip


def tarred(path, names):
    with tarfile.open(path, "w:gz") as archive:
        for i, name in enumerate(names):
            content = io.BytesIO()
            Image.new("L", (8, 8), i).save(content, "JPEG")
            entry = tarfile.TarInfo(name)
            entry.size = content.tell()
            content.seek(0)
            archive.addfile(entry, content)
    return {kind: hashlib.new(kind, path.read_bytes()).hexdigest() for kind in ("md5", "sha1")}


def moved(archive, folder, names, address):
    """Return the same archive at a source on this machine."""
    digest = packed(folder / archive.filename, names)
    return dataclasses.replace(archive, url=f"{address}/{archive.filename}", sha256=digest)


@pytest.fixture
def sources(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    with served(source) as address:
        insects = moved(HYMENOPTERA, source, HYMENOPTERA_FILES, address)
        characters = {part: moved(OMNIGLOT[part], source, OMNIGLOT_FILES[part], address) for part in OMNIGLOT}
        monkeypatch.setattr(_fetch_pictures, "HYMENOPTERA", insects)
        monkeypatch.setattr(_fetch_pictures, "OMNIGLOT", characters)
        older = tarred(source / OFFICE31.filename, OFFICE31_FILES)
        office = dataclasses.replace(OFFICE31, url=f"{address}/{OFFICE31.filename}", older=older)
        monkeypatch.setattr(_fetch_pictures, "OFFICE31", office)
        yield source


def test_hymenoptera(sources, tmp_path):
    home = tmp_path / "home"
    train = fetch_hymenoptera(data_home=home)
    assert [path.name for path in train.data] == ["2.jpg", "1.jpg"]
    assert train.target.tolist() == ["ants", "bees"]
    assert train.target_names == ["ants", "bees"]
    both = fetch_hymenoptera(subset="all", data_home=str(home), download_if_missing=False)
    assert both.subset.tolist() == ["train"] * 2 + ["val"] * 3
    assert all(path.is_file() for path in both.data)
    assert len(fetch_hymenoptera(subset="val", data_home=home).data) == 3
    assert not list(tmp_path.glob("outside.jpg")) + list(home.glob("outside.jpg"))
    assert {path.name for path in (home / "hymenoptera").iterdir()} == {"hymenoptera_data", "hymenoptera_data.zip"}


def test_omniglot(sources, tmp_path):
    background = fetch_omniglot(data_home=tmp_path / "home")
    assert background.target.tolist() == [f"Greek/character0{c}" for c in (1, 1, 2, 2)]
    assert background.drawer.tolist() == [1, 20, 1, 20]
    assert np.unique(background.alphabet).tolist() == ["Greek"]
    everything = fetch_omniglot(subset="all", data_home=tmp_path / "home")
    assert everything.target_names == ["Angelic/character01", "Greek/character01", "Greek/character02"]


def test_office31(sources, tmp_path):
    home = tmp_path / "home"
    office = fetch_office31(data_home=home)
    assert office.domain.tolist() == ["amazon", "amazon", "dslr", "webcam", "webcam"]
    assert office.target.tolist() == ["desk_lamp", "mug", "mug", "mug", "mug"]
    assert office.target_names == ["desk_lamp", "mug"]
    poor = fetch_office31(subset="webcam", data_home=home, download_if_missing=False)
    assert [path.name for path in poor.data] == ["frame_0001.jpg", "frame_0002.jpg"]
    assert all(path.is_file() for path in office.data)


def test_older_digests_must_all_agree(sources, tmp_path, monkeypatch):
    for kind in ("md5", "sha1"):
        office = _fetch_pictures.OFFICE31
        wrong = dataclasses.replace(office, older=office.older | {kind: "0" * len(office.older[kind])})
        monkeypatch.setattr(_fetch_pictures, "OFFICE31", wrong)
        with pytest.raises(OSError, match=rf"another file.*its {kind} is 0000"):
            fetch_office31(data_home=tmp_path / kind)
        assert not any((tmp_path / kind / "office31").iterdir())
        monkeypatch.setattr(_fetch_pictures, "OFFICE31", office)


def test_a_tar_file_leads_nowhere_else(sources, tmp_path, monkeypatch):
    older = tarred(sources / OFFICE31.filename, ["../../outside.jpg"])
    monkeypatch.setattr(_fetch_pictures, "OFFICE31", dataclasses.replace(_fetch_pictures.OFFICE31, older=older))
    with pytest.raises((OSError, tarfile.TarError)):
        fetch_office31(data_home=tmp_path / "home")
    assert not list(tmp_path.rglob("outside.jpg"))


def test_nothing_is_fetched_that_must_not_be(sources, tmp_path):
    home = tmp_path / "home"
    with pytest.raises(OSError, match=r"hymenoptera_data' is not there. Put the file from .*download_if_missing=True"):
        fetch_hymenoptera(data_home=home, download_if_missing=False)
    (home / "hymenoptera").mkdir(exist_ok=True, parents=True)
    by_hand = home / "hymenoptera" / "hymenoptera_data.zip"
    by_hand.write_bytes((sources / "hymenoptera_data.zip").read_bytes())
    assert len(fetch_hymenoptera(data_home=home, download_if_missing=False).data) == 2


@pytest.mark.filterwarnings("ignore:.*SHA256:UserWarning", "ignore:Retry:UserWarning")
def test_another_file_is_refused(sources, tmp_path, monkeypatch):
    (sources / "hymenoptera_data.zip").write_bytes(b"another")
    with pytest.raises(OSError, match=r"could not be fetched.*its sha256 is [0-9a-f]{64}"):
        fetch_hymenoptera(data_home=tmp_path / "home")
    assert not (tmp_path / "home" / "hymenoptera" / "hymenoptera_data").exists()


def test_a_source_that_is_away(sources, tmp_path):
    (sources / "images_background.zip").unlink()
    with pytest.raises(OSError, match=r"omniglot could not be fetched.*Put the file from"):
        fetch_omniglot(data_home=tmp_path / "home")


def test_sources_are_the_public_ones():
    for archive in (HYMENOPTERA, *OMNIGLOT.values()):
        assert archive.url.startswith("https://")
        assert len(archive.sha256) == 64
        assert archive.filename.startswith(archive.folder)
    assert {kind: len(digest) for kind, digest in OFFICE31.older.items()} == {"md5": 32, "sha1": 40}


@pytest.mark.parametrize("fetch", [fetch_hymenoptera, fetch_office31, fetch_omniglot])
def test_a_subset_that_there_is_not(fetch):
    with pytest.raises(ValueError, match="subset"):
        fetch(subset="test")
