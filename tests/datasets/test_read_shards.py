"""Forms in which large sets are kept: tar shards, Parquet with bytes, Zarr and HDF5, URLs."""

import functools
import http.server
import io
import tarfile
import threading

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sktl import CNNCodesTransformer
from sktl.datasets import read_shards
from sktl.exceptions import BadImageError, PictureWarning

fsspec = pytest.importorskip("fsspec", reason="URLs are read by fsspec, an optional package (sktl[cluster])")
da = pytest.importorskip("dask.array", reason="shards are Dask's bags, an optional package (sktl[cluster])")
dd = pytest.importorskip("dask.dataframe", reason="data frames of Dask are optional (sktl[cluster])")

PICTURES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)


def png(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def shard(path, start, stop, mode="w"):
    with tarfile.open(path, mode) as tar:
        for i in range(start, stop):
            for suffix, data in (("png", png(PICTURES[i])), ("cls", str(i % 3).encode()), ("seg.json", b"{}")):
                entry = tarfile.TarInfo(f"train/{i:03}.{suffix}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return path


@pytest.fixture
def shards(tmp_path):
    return [shard(tmp_path / f"set-{k:03}.tar", 4 * k, 4 * k + 4) for k in range(3)]


@pytest.fixture(scope="module")
def transformer():
    return CNNCodesTransformer(image_size=32, engine="torch", n_jobs=1)


@pytest.fixture(scope="module")
def expected(transformer):
    return transformer.transform(PICTURES)


@pytest.fixture
def server(tmp_path):
    """Return the address of a server of the folder, on this machine alone."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_address[1]}"
    served.shutdown()
    served.server_close()
    thread.join()


class TestShards:
    def test_samples(self, shards, transformer, expected):
        bag = read_shards([str(shards[0]), shards[1], str(shards[2])])
        assert bag.npartitions == 3
        samples = bag.compute(scheduler="sync")
        assert [sample["key"] for sample in samples] == [f"train/{i:03}" for i in range(12)]
        assert [int(sample["cls"]) for sample in samples] == [i % 3 for i in range(12)]
        assert set(samples[0]) == {"key", "shard", "picture", "cls", "seg.json"}
        codes = transformer.transform(bag.pluck("picture"))
        assert np.allclose(codes.compute(scheduler="sync"), expected, atol=1e-5)

    def test_names_of_many(self, shards, tmp_path):
        for urls in (f"{tmp_path}/set-{{000..002}}.tar", f"{tmp_path}/set-*.tar", f"file://{tmp_path}/set-*.tar"):
            assert len(read_shards(urls).compute(scheduler="sync")) == 12
        with pytest.raises(FileNotFoundError, match="no such shard"):
            read_shards(f"{tmp_path}/other-*.tar")
        with pytest.raises(FileNotFoundError):
            read_shards(f"{tmp_path}/other.tar").compute(scheduler="sync")

    @pytest.mark.parametrize("parts", [2, 3, 50])
    def test_parts_of_a_shard(self, parts, shards):
        bag = read_shards(str(shards[1]), parts=parts)
        assert bag.npartitions == parts
        assert [sample["key"] for sample in bag.compute(scheduler="sync")] == [f"train/{i:03}" for i in range(4, 8)]

    def test_compressed(self, tmp_path):
        path = shard(tmp_path / "set.tar.gz", 0, 4, "w:gz")
        assert len(read_shards(str(path)).compute(scheduler="sync")) == 4
        with pytest.raises(ValueError, match="compressed"):
            read_shards(str(path), parts=2)

    @pytest.mark.parametrize("parts", [1, 2])
    def test_cut_off_within_a_file(self, parts, shards):
        data = shards[0].read_bytes()
        with tarfile.open(shards[0]) as tar:
            place = tar.getmember("train/002.png").offset_data
        shards[0].write_bytes(data[: place + 700])
        with pytest.raises(BadImageError, match=r"set-000\.tar.* at 'train/002\.png'.*Fetch it again") as error:
            read_shards(str(shards[0]), parts=parts).compute(scheduler="sync")
        assert list(error.value.failures) == [f"{shards[0]}::train/002.png"]
        with pytest.warns(PictureWarning, match=r"002\.png"):
            found = read_shards(str(shards[0]), parts=parts, on_bad="report").compute(scheduler="sync")
        assert [sample["key"] for sample in found] == ["train/000", "train/001"]

    def test_cut_off_between_files(self, shards):
        with tarfile.open(shards[0]) as tar:
            place = tar.getmember("train/002.png").offset
        shards[0].write_bytes(shards[0].read_bytes()[:place])
        with pytest.raises(BadImageError, match="end of the archive is missing"):
            read_shards(str(shards[0])).compute(scheduler="sync")

    def test_cut_off_when_compressed(self, tmp_path):
        path = shard(tmp_path / "set.tar.gz", 0, 4, "w:gz")
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(BadImageError, match="cut off or damaged"):
            read_shards(str(path)).compute(scheduler="sync")


class TestURLs:
    def test_memory(self, transformer, expected, shards):
        files = fsspec.filesystem("memory")
        for i, picture in enumerate(PICTURES):
            files.pipe(f"/pictures/{i}.png", png(picture))
        urls = [f"memory://pictures/{i}.png" for i in range(12)]
        assert np.allclose(transformer.transform(urls), expected, atol=1e-5)
        rooted = CNNCodesTransformer(image_size=32, engine="torch", root="memory://pictures")
        assert np.allclose(rooted.transform([f"{i}.png" for i in range(12)]), expected, atol=1e-5)
        with pytest.raises(BadImageError, match=r"memory://pictures/99\.png: no such file") as error:
            transformer.transform([urls[0], "memory://pictures/99.png", "memory://pictures/98.png"])
        assert list(error.value.failures) == [1, 2]
        files.pipe("/set.tar", shards[2].read_bytes())
        assert len(read_shards("memory://set.tar").compute(scheduler="sync")) == 4
        files.rm("/pictures", recursive=True)
        files.rm("/set.tar")

    def test_files_and_a_server(self, transformer, expected, shards, tmp_path, server):
        pytest.importorskip("aiohttp", reason="fsspec reads http by aiohttp")
        for i in range(3):
            (tmp_path / f"{i}.png").write_bytes(png(PICTURES[i]))
        urls = [f"file://{tmp_path}/0.png", f"{server}/1.png", str(tmp_path / "2.png")]
        assert np.allclose(transformer.transform(urls), expected[:3], atol=1e-5)
        with pytest.raises(BadImageError, match=r"9\.png: no such file"):
            transformer.transform([f"{server}/9.png"])
        with pytest.raises(BadImageError, match=r"0\.png: "):
            transformer.transform(["nothing-of-this-name://0.png"])
        assert len(read_shards(f"{server}/set-{{000..001}}.tar").compute(scheduler="sync")) == 8


class TestTables:
    def test_parquet(self, transformer, expected, tmp_path):
        pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")
        encoded = [png(picture) for picture in PICTURES]
        table = pd.DataFrame({"image": encoded, "pair": [{"bytes": data, "path": "a.png"} for data in encoded]})
        for part in range(3):
            table[4 * part : 4 * part + 4].to_parquet(tmp_path / f"part-{part}.parquet")
        frame = dd.read_parquet(f"{tmp_path}/*.parquet")
        for column in ("image", "pair"):
            lazy = transformer.transform(frame[column])
            assert len(lazy.chunks[0]) == 3
            assert np.allclose(lazy.compute(scheduler="sync"), expected, atol=1e-5)
            assert np.allclose(transformer.transform(table[column]), expected, atol=1e-5)

    def test_zarr_and_hdf5(self, transformer, expected, tmp_path):
        zarr = pytest.importorskip("zarr", reason="zarr is an optional package")
        h5py = pytest.importorskip("h5py", reason="h5py is an optional package")
        zarr.save_array(str(tmp_path / "pictures.zarr"), PICTURES)
        arrays = [da.from_zarr(str(tmp_path / "pictures.zarr"))]
        with h5py.File(tmp_path / "pictures.h5", "w") as file:
            data = file.create_dataset("pictures", data=PICTURES, chunks=(4, 32, 32, 3))
            arrays.append(da.from_array(data, chunks=(6, -1, -1, -1)))
            for array in arrays:
                assert np.allclose(transformer.transform(array).compute(scheduler="sync"), expected, atol=1e-5)
