"""Codes on a cluster of processes: speed, memory and cost as pictures grow, and what kills leave behind.

Five parts, each kept as it is done, so that a run that was stopped goes on with ``--resume``:

- speed: the embedded network at 224 pixels on pictures that each process makes itself; the plain road in this process
  against one worker and two, of one thread each, interleaved. On a machine that others use too, seconds of processor
  time tell the engine's overhead better than seconds on the wall, so both are written.
- arenas: the same on workers as Dask starts them and on workers whose C library is told to use one arena.
- growth: pictures of 32 pixels, made by the workers, through a small network into a Zarr array: seconds, and the
  largest memory of the client (with Dask's scheduler) and of the workers, for 10,000 pictures and ten and a hundred
  times as many; what a tenth of the pictures lets expect.
- storage: what a linear classifier is right on from codes in float16, fewer dimensions, and product quantisation.
- kills: a worker, and the whole run, are ended by ``kill -9`` at random moments; finished blocks must stay as they are,
  and the codes must be right.

    python benchmarks/scale.py [--quick] [--minutes 10] [--resume] [--parts ...]
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import psutil
import torch
from _common import RESULTS, data_path, machine, parser, print_table, write_results
from distributed import Client, LocalCluster
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from torch import nn

from sktl import CNNCodesTransformer
from sktl.features import codes_to_zarr

BLOCK = 512
KILLS = 20
PARTS = ("speed", "arenas", "growth", "storage", "kills")


class SmallNetwork(nn.Module):
    """Three convolutions: so cheap that what the engine costs shows."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(64, 10)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.head(self.body(batch))


def small_transformer() -> CNNCodesTransformer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = SmallNetwork()
    return CNNCodesTransformer(network, image_size=32, engine="torch", device="cpu", batch_size=128, n_jobs=1)


def made_pictures(block_info: Any = None) -> np.ndarray:
    """Return the pictures of a block, the same each time."""
    (start, stop), *rest = block_info[None]["array-location"]
    size = rest[0][1]
    return np.random.default_rng(start).integers(0, 256, (stop - start, size, size, 3), dtype=np.uint8)


def many(n: int, size: int = 32, block: int = BLOCK) -> da.Array:
    rows = tuple(min(block, n - start) for start in range(0, n, block))
    meta = np.empty((0, 0, 0, 0), np.uint8)
    return da.map_blocks(made_pictures, chunks=(rows, (size,), (size,), (3,)), dtype=np.uint8, meta=meta)


ONE_ARENA = {"distributed.nanny.pre-spawn-environ.MALLOC_ARENA_MAX": "1"}


def cluster_of(n_workers: int, settings: dict[str, str] = ONE_ARENA) -> LocalCluster:
    """Start workers; by default their threads keep freed memory for the next layer, as the page on clusters advises."""
    with dask.config.set(settings):
        return LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0", memory_limit="4GiB")


def worker_pids(client: Client) -> list[int]:
    return list(client.run(os.getpid).values())


def processor_seconds(pids: list[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(each.user + each.system for each in times)


def speed(client: Client, quick: bool, rounds: int) -> dict[str, Any]:
    n, size = (128, 48) if quick else (1024, 224)
    pictures = many(n, size, block=32)
    transformer = CNNCodesTransformer(image_size=size, engine="torch", device="cpu", n_jobs=1)
    lazy = transformer.transform(pictures)
    workers = {"1 worker": list(client.scheduler_info()["workers"])[:1], "2 workers": None}
    found: dict[str, dict[str, list[float]]] = {}

    def timed(name: str) -> np.ndarray:
        pids = [os.getpid(), *worker_pids(client)]
        before, start = processor_seconds(pids), time.perf_counter()
        codes = (
            client.compute(lazy, workers=workers[name]).result()
            if name in workers
            else transformer.transform(pictures.compute(scheduler="synchronous"))
        )
        seconds = found.setdefault(name, {"seconds": [], "processor_seconds": []})
        seconds["seconds"].append(round(time.perf_counter() - start, 3))
        seconds["processor_seconds"].append(round(processor_seconds(pids) - before, 3))
        return codes

    names = ["plain", *workers]
    agreement = float(np.abs(timed("2 workers") - timed("plain")).max())
    found.clear()  # the first ones have loaded the network
    for number in range(rounds):
        for name in names[number % 3 :] + names[: number % 3]:
            timed(name)
    median = {name: statistics.median(each["seconds"]) for name, each in found.items()}
    work = {name: statistics.median(each["processor_seconds"]) for name, each in found.items()}
    return {
        "pictures": n,
        "image_size": size,
        "rounds": rounds,
        "load": round(os.getloadavg()[0], 2),
        "largest_difference": agreement,
        "found": found,
        "pictures_a_second": {name: round(n / seconds, 1) for name, seconds in median.items()},
        "pictures_a_processor_second": {name: round(n / seconds, 1) for name, seconds in work.items()},
        "overhead": {name: round(work[name] / work["plain"] - 1, 4) for name in workers},
        "two_against_one": round(median["1 worker"] / median["2 workers"], 3),
    }


def arenas(quick: bool) -> dict[str, Any]:
    """Compare workers as Dask starts them with workers whose C library has one arena: processor time, fresh pages."""
    n, size = (128, 48) if quick else (512, 224)
    transformer = CNNCodesTransformer(image_size=size, engine="torch", device="cpu", n_jobs=1)
    lazy = transformer.transform(many(n, size, block=64))
    found: dict[str, dict[str, list[float]]] = {}
    with cluster_of(2, {}) as default, cluster_of(2) as kept, Client(default) as first, Client(kept) as second:
        clients = {"as Dask starts them": first, "MALLOC_ARENA_MAX=1": second}
        for number in range(2 if quick else 4):
            for name, client in clients.items():
                pids = worker_pids(client)
                work, faults = processor_seconds(pids), sum(client.run(page_faults).values())
                client.compute(lazy).result()
                if number:  # the first ones load the network
                    cell = found.setdefault(name, {"processor_seconds": [], "fresh_pages": []})
                    cell["processor_seconds"].append(round(processor_seconds(pids) - work, 3))
                    cell["fresh_pages"].append(sum(client.run(page_faults).values()) - faults)
    rates = {name: round(n / statistics.median(cell["processor_seconds"]), 1) for name, cell in found.items()}
    return {"pictures": n, "image_size": size, "found": found, "pictures_a_processor_second": rates}


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def growth(client: Client, n: int) -> dict[str, Any]:
    """Write the codes of n pictures, and watch what memory the processes have."""
    workers = worker_pids(client)
    largest = {"client and scheduler": 0, "worker": 0}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            ours = psutil.Process().memory_info().rss
            theirs = max(psutil.Process(pid).memory_info().rss for pid in workers)
            largest["client and scheduler"] = max(largest["client and scheduler"], ours)
            largest["worker"] = max(largest["worker"], theirs)

    with tempfile.TemporaryDirectory() as folder:
        transformer = small_transformer()
        codes_to_zarr(transformer, many(20 * BLOCK), f"{folder}/first", block_size=BLOCK)  # all workers have begun
        watcher = threading.Thread(target=watch)
        watcher.start()
        before, start = processor_seconds([os.getpid(), *workers]), time.perf_counter()
        codes = codes_to_zarr(transformer, many(n), f"{folder}/codes", block_size=BLOCK)
        seconds = time.perf_counter() - start
        work = processor_seconds([os.getpid(), *workers]) - before
        ended.set()
        watcher.join()
        size = sum(path.stat().st_size for path in Path(folder, "codes").rglob("*") if path.is_file())
        assert np.isfinite(codes[-1:].compute()).all()
    return {
        "pictures": n,
        "seconds": round(seconds, 2),
        "processor_seconds": round(work, 2),
        "memory_mib": {name: round(value / 2**20) for name, value in largest.items()},
        "bytes_a_picture": round(size / n, 1),
        "load": round(os.getloadavg()[0], 2),
    }


def killed_run(folder: Path, n: int) -> None:
    """Write the codes of n pictures in a cluster; called in a process that is to be killed."""
    with cluster_of(2) as cluster, Client(cluster) as client:
        (folder / "workers.json").write_text(json.dumps(worker_pids(client)))
        codes_to_zarr(small_transformer(), many(n), folder / "codes", block_size=BLOCK)


def marks(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "codes" / "blocks").glob("*.done")}


def kills(quick: bool, until: float, earlier: dict[str, Any] | None) -> dict[str, Any]:
    """Kill until there were ten of each, with those of an earlier run; what they have left is looked at in the end."""
    n, most = (20 * BLOCK, 1) if quick else (200 * BLOCK, 10)
    before = earlier or {"kills": {"worker": 0, "run": 0}, "finished_blocks_lost": 0, "wrong_blocks": 0, "runs": 0}
    done, lost, rng = dict(before["kills"]), before["finished_blocks_lost"], random.Random(before["runs"])
    compared = before.get("blocks_compared", 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        while True:
            (folder / "workers.json").unlink(missing_ok=True)
            process = subprocess.Popen(
                [sys.executable, __file__, "--child", str(n), str(folder)], start_new_session=True,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            while not (folder / "workers.json").exists() and process.poll() is None:
                time.sleep(0.05)
            workers = json.loads((folder / "workers.json").read_text())
            time.sleep(rng.uniform(0.1, 2.0))
            finished = marks(folder)
            if done["worker"] < most and process.poll() is None:
                os.kill(rng.choice(workers), signal.SIGKILL)
                done["worker"] += 1
                time.sleep(rng.uniform(0.1, 2.0))
                lost += sum(marks(folder).get(mark) != when for mark, when in finished.items())
                finished = marks(folder)
            is_last = done["run"] >= most or time.monotonic() > until
            if not is_last and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                done["run"] += 1
            process.wait()
            lost += sum(marks(folder).get(mark) != when for mark, when in finished.items())
            if process.returncode == 0:
                break
        codes = da.from_zarr(str(folder / "codes" / "codes"))
        wrong, transformer, X = before["wrong_blocks"], small_transformer(), many(n)
        for number in sorted(rng.sample(range(n // BLOCK), min(40, n // BLOCK))):
            rows = slice(number * BLOCK, (number + 1) * BLOCK)
            expected = transformer.transform(X[rows].compute(scheduler="sync"))
            wrong += int(np.abs(codes[rows].compute(scheduler="sync") - expected).max() > 1e-4)
    return {
        "pictures": n,
        "blocks": n // BLOCK,
        "kills": done,
        "finished_blocks_lost": lost,
        "runs": before["runs"] + 1,
        "blocks_compared": compared + min(40, n // BLOCK),
        "wrong_blocks": wrong,
    }


def storage(quick: bool) -> dict[str, Any]:
    """Return what a linear classifier is right on from codes kept in several forms, and bytes a code."""
    paths = sorted(data_path("pacs").glob("*/*/*.jpg"))
    n, size = (200, 64) if quick else (1500, 112)
    chosen = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))[:n]]
    y = np.array([path.parent.name for path in chosen])
    codes = CNNCodesTransformer(image_size=size, device="cpu").transform([str(path) for path in chosen])
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    train, test = np.arange(n) < n * 3 // 5, np.arange(n) >= n * 3 // 5
    width = codes.shape[1]
    forms = {"float32": (codes, 4 * width), "float16": (codes.astype(np.float16), 2 * width)}
    for k in (32,) if quick else (64, 256):
        reduced = PCA(k, random_state=0).fit(codes[train]).transform(codes)
        forms[f"PCA to {k}, float16"] = reduced.astype(np.float16), 2 * k
    for parts in (16,) if quick else (64, 16):
        forms[f"product quantisation, {parts} parts of 256 centres"] = quantised(codes, train, parts), parts
    cells = {}
    for name, (kept, n_bytes) in forms.items():
        rows = kept.astype(np.float32)
        model = LogisticRegression(C=100, max_iter=500).fit(rows[train], y[train])
        cells[name] = {"accuracy": round(float(model.score(rows[test], y[test])), 4), "bytes": n_bytes}
    return {"pictures": n, "image_size": size, "classes": len(set(y)), "tested": int(test.sum()), "forms": cells}


def quantised(codes: np.ndarray, train: np.ndarray, parts: int) -> np.ndarray:
    """Return codes as product quantisation gives them back: each part of the columns its nearest centre of k-means."""
    out = np.empty_like(codes)
    for columns in np.array_split(np.arange(codes.shape[1]), parts):
        part = np.ascontiguousarray(codes[:, columns])
        means = MiniBatchKMeans(min(256, train.sum()), n_init=1, random_state=0).fit(part[train])
        out[:, columns] = means.cluster_centers_[means.predict(part)]
    return out


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        killed_run(Path(sys.argv[3]), int(sys.argv[2]))
        return
    options = parser(__doc__, rounds=3)
    options.add_argument("--minutes", type=float, default=10, help="no part begins later (default: %(default)s)")
    options.add_argument("--sizes", type=int, default=3, help="how many of 1e4, 1e5 and 1e6 (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep the parts that an earlier run has written")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="which of them (default: all)")
    options = options.parse_args()
    until = time.monotonic() + 60 * options.minutes
    torch.set_num_threads(1)
    path = options.output or RESULTS / "scale.json"
    results = json.loads(path.read_text()) if options.resume and path.exists() else {"machine": machine()}
    sizes = [2000, 4000] if options.quick else [10_000, 100_000, 1_000_000][: options.sizes]

    def part(name: str, work: Any) -> None:
        if name.split("_")[0] in options.parts and name not in results and time.monotonic() < until:
            results[name] = work()
            results["machine"] = machine()
            write_results("scale", results, options)

    names = ["speed", *(f"growth_{n}" for n in sizes)]
    if any(name not in results and name.split("_")[0] in options.parts for name in names):
        with cluster_of(2) as cluster, Client(cluster) as client:
            part("speed", lambda: speed(client, options.quick, 1 if options.quick else options.rounds))
            for n in sizes:
                part(f"growth_{n}", lambda n=n: growth(client, n))
    part("arenas", lambda: arenas(options.quick))
    part("storage", lambda: storage(options.quick))
    earlier = results.get("kills")
    if earlier is not None and not options.quick and sum(earlier["kills"].values()) < KILLS:
        del results["kills"]
    part("kills", lambda: kills(options.quick, until, earlier))
    report(results, sizes)


def report(results: dict[str, Any], sizes: list[int]) -> None:
    if "speed" in results:
        found = results["speed"]
        print_table(
            ["road", "pictures a second", "a second of processor"],
            [
                [name, found["pictures_a_second"][name], found["pictures_a_processor_second"][name]]
                for name in found["pictures_a_second"]
            ],
        )
        print(f"overhead in processor time {found['overhead']}, two workers {found['two_against_one']}x one")
    if "arenas" in results:
        print(f"a second of processor: {results['arenas']['pictures_a_processor_second']}")
    cells = [results[f"growth_{n}"] for n in sizes if f"growth_{n}" in results]
    first = cells[0] if cells else None
    print_table(
        ["pictures", "seconds", "processor", "of what 1st lets expect", "client MiB", "worker MiB"],
        [
            [cell["pictures"], cell["seconds"], cell["processor_seconds"],
             f"{cell['processor_seconds'] / first['processor_seconds'] * first['pictures'] / cell['pictures']:.2f}",
             cell["memory_mib"]["client and scheduler"], cell["memory_mib"]["worker"]]
            for cell in cells
        ],
    )  # fmt: skip
    for name, cell in results.get("storage", {}).get("forms", {}).items():
        print(f"- {name}: {cell['bytes']} bytes, accuracy {cell['accuracy']}")
    if "kills" in results:
        print(results["kills"])


if __name__ == "__main__":
    main()
