"""Codes in 8 bits beside those in float32: pictures a second, and what a linear classifier makes of them.

Speed: pictures of hymenoptera in memory at 224 px, EfficientNet-Lite0, one engine after another in every round, beside
the plain loop of PyTorch; quantising and compiling are apart, in "seconds to prepare". The time of the processor is
noted too: it hangs less on what else runs.

Accuracy: logistic regression on rows of unit length, trained on 5, 20 or 80 pictures a class and tested on the rest,
over hymenoptera and the four styles of PACS, five seeded splits, the same for all roads. "As shipped" is the default
calibration; "own" is one by 65 pictures, 13 of each set.

Aims: at least 2.2 times as fast as OpenVINO in float32, and within 0.5 points of its accuracy on average.

    python benchmarks/int8_codes.py [--quick]
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import data_path, earlier_results, interleaved, machine, parser, print_table, ratio, write_results
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sktl import CNNCodesTransformer
from sktl.backbones import load_backbone
from sktl.images import as_pictures, iter_batches

SHOTS = (5, 20, 80)
PACS_EACH = 100  # pictures a class
STYLES = ("art_painting", "cartoon", "photo", "sketch")
BATCH = 32  # of the plain loop


def sets(n_each: int | None) -> dict[str, tuple[list[str], np.ndarray]]:
    """Return paths and labels of each set, at most `n_each` pictures a class."""
    folders = {"hymenoptera": data_path("hymenoptera"), **{style: data_path(f"pacs/{style}") for style in STYLES}}
    found = {}
    for name, folder in folders.items():
        by_class: dict[str, list[Path]] = {}
        for path in sorted(folder.rglob("*.jpg")):
            by_class.setdefault(path.parent.name, []).append(path)
        rng = np.random.default_rng(0)
        for label, paths in by_class.items():
            at_most = None if name == "hymenoptera" and n_each == PACS_EACH else n_each
            by_class[label] = [paths[i] for i in np.sort(rng.permutation(len(paths))[:at_most])]
        labels = [label for label, paths in by_class.items() for _ in paths]
        found[name] = ([str(path) for paths in by_class.values() for path in paths], np.array(labels))
    return found


def accuracy(codes: np.ndarray, y: np.ndarray, n: int, n_splits: int) -> list[float]:
    """Return the accuracy on the rest of each split."""
    found = []
    for seed in range(n_splits):
        rng = np.random.default_rng(seed)
        train = np.concatenate([rng.permutation(np.flatnonzero(y == label))[:n] for label in np.unique(y)])
        test = np.setdiff1d(np.arange(len(y)), train)
        model = make_pipeline(Normalizer(), LogisticRegression(C=100.0, max_iter=500))
        found.append(round(100 * model.fit(codes[train], y[train]).score(codes[test], y[test]), 3))
    return found


def accuracies(held: dict[str, Any], shots: tuple[int, ...], n_splits: int, results: dict[str, Any], save: Any) -> None:
    """Fill in the sets that `results` has not."""
    rng = np.random.default_rng(1)
    own = [paths[i] for paths, _ in held.values() for i in rng.permutation(len(paths))[:13]]
    roads = {
        "float32": CNNCodesTransformer(engine="openvino"),
        "int8, as shipped": CNNCodesTransformer(precision="int8"),
        "int8, own": CNNCodesTransformer(precision="int8", calibration=own),
    }
    for name, (paths, y) in held.items():
        if name in results:
            continue
        codes = {road: transformer.transform(paths) for road, transformer in roads.items()}
        exact = codes["float32"]
        results[name] = {
            road: {
                "distance": round(
                    float(np.median(np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1))), 4
                ),
                "accuracy": {str(n): accuracy(found, y, n, n_splits) for n in shots},
            }
            for road, found in codes.items()
        }
        print(name, {road: cell["distance"] for road, cell in results[name].items()}, flush=True)
        save()


def plain_loop() -> Callable[[np.ndarray], np.ndarray]:
    backbone = load_backbone("efficientnet_lite0")
    module = backbone.fresh_module().eval()
    module.classifier = torch.nn.Identity()
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) for values in (backbone.preprocessing.mean, backbone.preprocessing.std)
    )

    def run(pictures: np.ndarray) -> np.ndarray:
        codes = []
        with torch.no_grad():
            for start in range(0, len(pictures), BATCH):
                batch = torch.from_numpy(pictures[start : start + BATCH]).permute(0, 3, 1, 2).float().div(255)
                codes.append(module(((batch - mean) / std).contiguous()))
        return torch.cat(codes).numpy()

    return run


def speed(paths: list[str], n: int, rounds: int) -> dict[str, Any]:
    expected = load_backbone("efficientnet_lite0").preprocessing
    batches = iter_batches(as_pictures(paths[:n]), expected, batch_size=16)
    pictures = torch.cat([batch for _, batch in batches]).permute(0, 2, 3, 1).contiguous().numpy()
    common: dict[str, Any] = {"preprocessing": {"crop_pct": 1.0}}
    roads = {
        "plain loop": plain_loop(),
        "torch": CNNCodesTransformer(engine="torch", **common).transform,
        "openvino": CNNCodesTransformer(engine="openvino", **common).transform,
        "int8": CNNCodesTransformer(precision="int8", **common).transform,
    }
    prepared = {}
    for name, run in roads.items():
        start = time.perf_counter()
        run(pictures[:2])
        prepared[name] = round(time.perf_counter() - start, 1)
    processor: dict[str, list[float]] = {name: [] for name in roads}

    def timed(name: str) -> None:
        start = time.process_time()
        roads[name](pictures)
        processor[name].append(time.process_time() - start)

    seconds = interleaved({name: (lambda name=name: timed(name)) for name in roads}, rounds)
    return {
        "pictures": len(pictures),
        "images_per_second": {
            name: round(len(pictures) / statistics.median(each), 1) for name, each in seconds.items()
        },
        "int8_is_faster": {name: ratio(each, seconds["int8"]) for name, each in seconds.items() if name != "int8"},
        "int8_takes_less_of_the_processor": {
            name: ratio(each, processor["int8"]) for name, each in processor.items() if name != "int8"
        },
        "seconds_to_prepare": prepared,
        "seconds": {name: [round(value, 4) for value in each] for name, each in seconds.items()},
    }


def report(results: dict[str, Any]) -> dict[str, Any]:
    """Print the tables; returns the mean differences from float32, in points."""
    found = results["speed"]
    times = found["int8_is_faster"]
    rows = []
    for name, rate in found["images_per_second"].items():
        faster = times.get(name)
        span = faster and f"{faster['smallest_of_a_round']:.2f} to {faster['largest_of_a_round']:.2f}"
        rows.append([name, rate, faster and f"{faster['of_medians']:.2f}x", span])
    print_table(["road", "images/s", "int8 is faster by", "smallest and largest of a round"], rows)
    print()
    rows, differences = [], {}
    for road in ("float32", "int8, as shipped", "int8, own"):
        for name, cells in results["accuracy"].items():
            means = {n: float(np.mean(values)) for n, values in cells[road]["accuracy"].items()}
            rows.append([road, name, *(f"{mean:.1f}" for mean in means.values()), cells[road]["distance"]])
        if road != "float32":
            each = [
                float(np.mean(cells[road]["accuracy"][n]) - np.mean(cells["float32"]["accuracy"][n]))
                for cells in results["accuracy"].values()
                for n in cells[road]["accuracy"]
            ]
            differences[road] = {"mean": round(float(np.mean(each)), 3), "worst": round(min(each), 3)}
    shots = list(next(iter(results["accuracy"].values()))["float32"]["accuracy"])
    print_table(["road", "set", *(f"{n} a class" for n in shots), "distance of codes"], rows)
    print(f"\nPoints above float32, on average over sets and numbers of pictures: {differences}")
    return differences


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--pictures", type=int, default=64, help="of a round (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    described, results = machine(), earlier_results("int8_codes", args)
    held = sets(12 if args.quick else PACS_EACH)
    shots, n_splits = ((5,), 2) if args.quick else (SHOTS, 5)

    def save(**found: Any) -> None:
        write_results("int8_codes", {"machine": described, **found, "results": results}, args)

    if "speed" not in results:
        results["speed"] = speed(held["hymenoptera"][0], 8 if args.quick else args.pictures, args.rounds)
    accuracies(held, shots, n_splits, results.setdefault("accuracy", {}), save)
    save(points_above_float32=report(results))


if __name__ == "__main__":
    main()
