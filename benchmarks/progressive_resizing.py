"""What small pictures first cost and save in fine-tuning: accuracy, and seconds of the processor.

Fine-tuning on whole pictures throughout, beside `progressive_resizing` from half the side: the same
network (EfficientNet-Lite0), pictures, epochs and seeds. Seconds on the wall beside fastai are in finetune_speed.py
("sktl progressive"). Test labels choose nothing.

Sets: hymenoptera's published split with half of its training part, and the four domains of PACS with 20 pictures a
class to train on and 30 others to test on.

    python benchmarks/progressive_resizing.py [--quick] [--minutes 20] [--resume]
"""

from __future__ import annotations

import statistics
import time
import warnings
from pathlib import Path

import numpy as np
from _common import data_path, earlier_results, machine, parser, print_table, write_results

from sktl.finetuning import FineTunedClassifier

DOMAINS = ("photo", "art_painting", "cartoon", "sketch")
STARTS = {"whole": None, "from a half": 0.5}
STRATEGIES = ("full", "lp-ft")
TRAINED, TESTED = 20, 30  # pictures a class of PACS


def of_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    paths = sorted(folder.glob("*/*.jpg"))
    return np.array([str(path) for path in paths], dtype=object), np.array([path.parent.name for path in paths])


def data(name: str, seed: int) -> tuple[list[str], np.ndarray, list[str], np.ndarray]:
    """Return training and test pictures with their labels."""
    if name == "hymenoptera":
        X, y = of_folder(data_path("hymenoptera/train"))
        X_test, y_test = of_folder(data_path("hymenoptera/val"))
        half = np.random.default_rng(seed).permutation(len(X))[: len(X) // 2]
        return list(X[half]), y[half], list(X_test), y_test
    X, y = of_folder(data_path(f"pacs/{name}"))
    rng = np.random.default_rng([seed, DOMAINS.index(name)])
    drawn = [rng.permutation(np.flatnonzero(y == label))[: TRAINED + TESTED] for label in np.unique(y)]
    train, test = (np.concatenate(part) for part in zip(*((d[:TRAINED], d[TRAINED:]) for d in drawn)))
    return list(X[train]), y[train], list(X[test]), y[test]


def main() -> None:
    warnings.filterwarnings("ignore")
    options = parser(__doc__, rounds=2)
    options.add_argument("--image-size", type=int, default=128, help="pixels a side (default: %(default)s)")
    options.add_argument("--strategies", nargs="+", default=STRATEGIES, choices=STRATEGIES)
    options.add_argument("--minutes", type=float, default=20, help="no fit begins later (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep the fits that the output file holds")
    args = options.parse_args()
    sets = ("hymenoptera", *DOMAINS)[: 1 if args.quick else None]
    described, results = machine(), earlier_results("progressive_resizing", args) if args.resume else {}
    size = f"{64 if args.quick else args.image_size} pixels"
    base = {"image_size": 64 if args.quick else args.image_size, "device": "cpu"}
    base |= {"max_steps": 4} if args.quick else {}
    end = time.monotonic() + 60 * args.minutes
    for seed in range(1 if args.quick else args.rounds):
        for name in sets:
            X, y, X_test, y_test = data(name, seed)
            for strategy in args.strategies:
                cells = results.setdefault(size, {}).setdefault(name, {}).setdefault(strategy, {})
                for label, start in STARTS.items():
                    cell = cells.setdefault(label, {"accuracy": [], "processor_seconds": []})
                    if len(cell["accuracy"]) > seed or time.monotonic() > end:
                        continue
                    model = FineTunedClassifier(
                        strategy=strategy, progressive_resizing=start, random_state=seed, **base
                    )
                    before = time.process_time()
                    model.fit(X, y)
                    cell["processor_seconds"].append(round(time.process_time() - before, 1))
                    cell["accuracy"].append(round(100 * model.score(X_test, y_test), 2))
                    print(name, strategy, label, cell["accuracy"][-1], cell["processor_seconds"][-1], flush=True)
                summaries = {each: summary(cells) for each, cells in results.items()}
                content = {"machine": described, "results": results, "summary": summaries}
                write_results("progressive_resizing", content, args)
    print_table(
        ["size", "strategy", "pictures", "fits", "accuracy", "against whole ones", "of their seconds"],
        [[each, *key.split(", "), *cell.values()] for each, found in summaries.items() for key, cell in found.items()],
    )


def summary(results: dict) -> dict[str, dict[str, float]]:
    """Return means over sets and seeds that have all: accuracy, difference to whole pictures, share of the seconds."""
    found = {}
    for strategy in STRATEGIES:
        rows: dict[str, list[tuple[float, float, float]]] = {label: [] for label in STARTS}
        for cells in results.values():
            held = cells.get(strategy, {})
            n = min((len(held.get(label, {}).get("accuracy", ())) for label in STARTS), default=0)
            for i in range(n):
                whole = held["whole"]
                for label in STARTS:
                    of = held[label]
                    rows[label].append((
                        of["accuracy"][i], of["accuracy"][i] - whole["accuracy"][i],
                        of["processor_seconds"][i] / whole["processor_seconds"][i],
                    ))  # fmt: skip
        for label, values in rows.items():
            if values:
                accuracy, above, share = zip(*values)
                found[f"{strategy}, {label}"] = {
                    "fits": len(values),
                    "accuracy": round(statistics.mean(accuracy), 2),
                    "points_above_whole": round(statistics.mean(above), 2),
                    "of_the_seconds": round(statistics.median(share), 2),
                }  # fmt: skip
    return found


if __name__ == "__main__":
    main()
