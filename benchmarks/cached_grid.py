"""A grid of 5 values and 5 folds over 1,000 pictures: what a store of codes saves, and how many pictures are computed.

Side by side: sktl with its store in memory, in a folder, and in a folder with two processes; the same pipeline without
a store; the same with scikit-learn's own ``Pipeline(memory=)``; and, as the floor, one extraction followed by the
grid over the codes. PyTorch runs the network in all of them, so that they differ in caching alone.

    python benchmarks/cached_grid.py [--quick]
"""

from __future__ import annotations

import os
import statistics
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _common import data_path, interleaved, machine, parser, print_table, ratio, write_results
from joblib.externals.loky import get_reusable_executor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sktl import CNNCodesTransformer
from sktl.backbones._engine import TorchEngine
from sktl.cache import open_cache

N_PICTURES = 1000
C_VALUES = [0.001, 0.01, 0.1, 1.0, 10.0]
COUNTER = "SKTL_BENCHMARK_COUNTER"  # names the file to which every process appends how many pictures it has computed

# name -> (aim, of what): how many times as fast as that rival sktl shall be
AIMS = {"no store": 8.0, "Pipeline(memory=)": 4.0}
FLOOR_AIM = 1.3  # at most this many times as long as one extraction and the linear fits


def count_pictures() -> None:
    """Have this process append one line a batch to the counter's file: the pictures in it, without the filling."""
    original = TorchEngine.run
    if getattr(original, "counts", False):
        return

    def run(self, batches):
        for which, codes in original(self, batches):
            with open(os.environ[COUNTER], "a") as file:
                file.write(f"{len(which)}\n")
            yield which, codes

    run.counts = True
    TorchEngine.run = run


class CountedCodes(CNNCodesTransformer):
    """The transformer, counting; in the processes of ``n_jobs=2`` too, which import sktl anew."""

    def transform(self, X):
        """Compute the codes of pictures."""
        count_pictures()
        return super().transform(X)


def grid(steps: list[tuple[str, Any]], n_jobs: int | None = None, memory: str | None = None) -> GridSearchCV:
    return GridSearchCV(Pipeline(steps, memory=memory), {"linear__C": C_VALUES}, cv=5, n_jobs=n_jobs)


def linear_steps() -> list[tuple[str, Any]]:
    return [("scale", StandardScaler()), ("linear", LogisticRegression(max_iter=200))]


def pictures(n: int) -> tuple[list[str], np.ndarray]:
    """Return JPEG files and labels: the photographs of PACS, seven classes."""
    paths = sorted(data_path("pacs/photo").glob("*/*.jpg"))
    chosen = np.random.default_rng(0).permutation(len(paths))[:n]
    return [str(paths[i]) for i in chosen], np.array([paths[i].parent.name for i in chosen])


def main() -> None:
    options = parser(__doc__, rounds=2)
    options.add_argument("--backbone", default="mobilenet_v2", help="or efficientnet_lite0 (default: %(default)s)")
    options.add_argument("--image-size", type=int, default=224, help="pixels a side (default: %(default)s)")
    options.add_argument("--slow-rounds", type=int, default=1, help="rounds of the rivals without a store of codes")
    options = options.parse_args()
    n, size = (100, 64) if options.quick else (N_PICTURES, options.image_size)
    rounds = 1 if options.quick else options.rounds
    paths, y = pictures(n)
    weights = data_path("weights/mobilenet_v2-tf-ptq.pth") if options.backbone == "mobilenet_v2" else "default"
    warnings.filterwarnings("ignore", message="lbfgs failed to converge")  # all of them fit the same models
    described = machine()

    def codes(cache: Any = None) -> CNNCodesTransformer:
        return CountedCodes(
            options.backbone,
            weights=weights,
            image_size=size,
            device="cpu",
            precision="float32",
            engine="torch",
            cache=cache,
        )

    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        counter = folder / "counter"
        os.environ[COUNTER] = str(counter)
        counts: dict[str, list[int]] = {}
        scores: dict[str, np.ndarray] = {}

        def counted(name: str, search: Callable[[], GridSearchCV]) -> Callable[[], None]:
            def run() -> None:
                counter.write_text("")
                found = search()
                counts.setdefault(name, []).append(sum(map(int, counter.read_text().split())))
                scores[name] = found.cv_results_["mean_test_score"]

            return run

        def with_codes(cache: Any, n_jobs: int | None = None, memory: str | None = None) -> GridSearchCV:
            return grid([("codes", codes(cache)), *linear_steps()], n_jobs, memory).fit(paths, y)

        def fresh_folder() -> str:
            return tempfile.mkdtemp(dir=folder)

        def in_memory() -> GridSearchCV:
            open_cache("memory").clear()
            return with_codes("memory")

        def in_two_processes() -> GridSearchCV:
            get_reusable_executor().shutdown()  # processes start anew, as they would in a script
            return with_codes(fresh_folder(), n_jobs=2)

        def floor() -> GridSearchCV:
            return grid(linear_steps()).fit(codes().fit_transform(paths), y)

        fast = {
            "one extraction + linear fits": floor,
            "sktl, cache='memory'": in_memory,
            "sktl, cache=<folder>": lambda: with_codes(fresh_folder()),
            "sktl, cache=<folder>, n_jobs=2": in_two_processes,
        }
        slow = {
            "Pipeline(memory=)": lambda: with_codes(None, memory=fresh_folder()),
            "no store": lambda: with_codes(None),
        }
        codes().fit_transform(paths[:16])  # the network is loaded and folded once, before the clock runs
        seconds = interleaved({name: counted(name, search) for name, search in fast.items()}, rounds)
        seconds |= interleaved({name: counted(name, search) for name, search in slow.items()}, options.slow_rounds)
        # Fast ones once more, so that a machine that slowed down meanwhile shows.
        again = interleaved({name: counted(name, search) for name, search in fast.items()}, 1)
        for name, values in again.items():
            seconds[name] += values
        get_reusable_executor().shutdown()

    floor_name = next(iter(fast))
    for name, found in scores.items():
        if not np.allclose(found, scores[floor_name], atol=2.5 / n):  # a picture or two on the line
            raise SystemExit(f"{name} found other scores: {found} instead of {scores[floor_name]}.")

    median = {name: statistics.median(values) for name, values in seconds.items()}
    print_table(
        ["what runs the grid", "seconds", "pictures through the network", "times the floor"],
        [
            [name, f"{median[name]:.1f}", counts[name][-1], f"{median[name] / median[floor_name]:.2f}"]
            for name in seconds
        ],
    )
    for name, each in counts.items():
        if "sktl" in name:
            exact = set(each) == {n}
            print(f"- {name}: {each[-1]:,} of {n:,} pictures computed: {'met' if exact else f'NOT met ({each})'}")
    for name in fast:
        if "sktl" not in name or "n_jobs" in name:  # the rivals run in one process
            continue
        for rival, aim in AIMS.items():
            times = median[rival] / median[name]
            print(f"- {name}: {times:.1f}x as fast as {rival} (aim {aim:g}x): {'met' if times >= aim else 'NOT met'}")
        times = median[name] / median[floor_name]
        print(f"- {name}: {times:.2f}x the floor (aim {FLOOR_AIM}x): {'met' if times <= FLOOR_AIM else 'NOT met'}")
    settings = {
        "pictures": n,
        "backbone": options.backbone,
        "image_size": size,
        "C": C_VALUES,
        "folds": 5,
        "refit": True,
        "rounds": rounds + 1,
        "slow_rounds": options.slow_rounds,
    }
    results = {
        "machine": described,
        "settings": settings,
        "seconds": {name: [round(value, 3) for value in each] for name, each in seconds.items()},
        "median_seconds": {name: round(value, 3) for name, value in median.items()},
        "pictures_computed": counts,
        "times_as_fast": {name: {r: ratio(seconds[r], seconds[name]) for r in AIMS} for name in fast if "sktl" in name},
        "mean_test_score": {name: found.round(4).tolist() for name, found in scores.items()},
    }
    write_results("cached_grid", results, options)


if __name__ == "__main__":
    main()
