"""What each fine-tuning strategy is worth, by how many pictures are labelled and how much they resemble ImageNet.

Claims: (1) the four-quadrant rule: few pictures want the head alone, and those that do not resemble ImageNet's an
earlier layer; many want all layers; pretrained values are always the better start. (2) LP-FT (Kumar et al. 2022): with
the head solved first, fine-tuning is at least as good on other domains than the one it learned from.

Protocol: nothing is chosen by test labels; every strategy has its defaults but for the picture size and the bound on
updates (`--image-size`, `--steps`), which keep the run short on a CPU. At 64 pixels accuracies are lower than at 224;
the strategies are compared with each other.

- hymenoptera: the tutorial's split, and repeated stratified cross-validation over its 397 pictures;
- PACS, each domain: 5, 20 or 80 random pictures a class for training, up to 50 others a class for testing;
- LP-FT: trained on photos, tested on art, cartoons and sketches too (the same test pictures as above).

MobileNetV2 is measured on hymenoptera and on the two extreme domains. Run ``python benchmarks/finetune_accuracy.py``;
`SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _common import data_path, earlier_results, machine, parser, print_table, write_results
from sklearn.model_selection import RepeatedStratifiedKFold

from sktl.finetuning import FineTunedClassifier

DOMAINS = ("photo", "art_painting", "cartoon", "sketch")
SHOTS = (5, 20, 80)
TESTED = 50  # pictures a class
STRATEGIES = {
    "head": {"strategy": "head"},
    "earlier head": {"strategy": "head", "layer": 0.6},
    "last": {"strategy": "last"},
    "lp-ft": {"strategy": "lp-ft"},
    "full": {"strategy": "full"},
    "scratch": {"strategy": "scratch"},
}
EXPECTED = {  # by (resembles ImageNet, many pictures)
    (True, False): ("head",),
    (False, False): ("earlier head",),
    (True, True): ("lp-ft", "full"),
    (False, True): ("lp-ft", "full"),
}


def backbones() -> dict[str, dict]:
    return {
        "efficientnet_lite0": {"backbone": "efficientnet_lite0"},
        "mobilenet_v2": {"backbone": "mobilenet_v2", "weights": data_path("weights/mobilenet_v2-tf-ptq.pth")},
    }


def of_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    paths = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return np.array(paths, dtype=object), np.array([path.parent.name for path in paths])


def few_of_each(y: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([rng.permutation(np.flatnonzero(y == name))[:n] for name in np.unique(y)])


def pacs_parts(quick: bool) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Return (training pool, its labels, test pictures, their labels) of each domain."""
    parts = {}
    for number, domain in enumerate(DOMAINS):
        paths, y = of_folder(data_path(f"pacs/{domain}"))
        rng = np.random.default_rng([7, number])
        smallest = np.unique(y, return_counts=True)[1].min()
        test = few_of_each(y, min(3 if quick else TESTED, smallest // 3), rng)
        pool = np.setdiff1d(np.arange(len(y)), test)
        parts[domain] = paths[pool], y[pool], paths[test], y[test]
    return parts


def hymenoptera_splits(rounds: int) -> Iterator[tuple[str, tuple]]:
    X, y = of_folder(data_path("hymenoptera/train"))
    X_val, y_val = of_folder(data_path("hymenoptera/val"))
    yield "hymenoptera, tutorial split", (X, y, X_val, y_val)
    X, y = np.concatenate([X, X_val]), np.concatenate([y, y_val])
    for train, test in RepeatedStratifiedKFold(n_splits=3, n_repeats=rounds, random_state=0).split(X, y):
        yield f"hymenoptera, {rounds} x 3-fold CV", (X[train], y[train], X[test], y[test])


def measure(results: dict, row: str, data: tuple, base: dict, names=STRATEGIES, *, others: dict | None = None) -> None:
    """Fit every strategy on the training part; keep accuracy and seconds, and accuracies on other test sets."""
    X, y, X_test, y_test = data
    for name in names:
        start = time.perf_counter()
        model = FineTunedClassifier(**base, **STRATEGIES[name]).fit(list(X), y)
        seconds = time.perf_counter() - start
        cell = results.setdefault(row, {}).setdefault(name, {"accuracy": [], "seconds": [], "n_iter": model.n_iter_})
        cell["accuracy"].append(round(model.score(list(X_test), y_test), 4))
        cell["seconds"].append(round(seconds, 2))
        print(f"{row}, {name}: {cell['accuracy'][-1]:.3f} in {seconds:.0f} s", flush=True)
        for other, (X_other, y_other) in (others or {}).items():
            cell.setdefault("elsewhere", {})[other] = round(model.score(list(X_other), y_other), 4)


def mean(values: list[float]) -> float:
    return float(np.mean(values))


def run(options) -> dict:
    results: dict = earlier_results("finetune_accuracy", options)
    names = [name for name in options.strategies if not options.quick or name in ("head", "lp-ft", "full")]
    for rows in results.values():
        for cells in rows.values():
            for name in names:
                cells.pop(name, None)
    shots = (5,) if options.quick else SHOTS
    domains = DOMAINS[::3] if options.quick else DOMAINS
    parts = pacs_parts(options.quick)
    for backbone, base in backbones().items():
        base = {**base, "image_size": options.image_size, "max_steps": options.steps, "random_state": 0}
        rows = results.setdefault(backbone, {})
        is_main = backbone == "efficientnet_lite0"
        if not options.quick:
            for row, data in hymenoptera_splits(options.rounds):
                if is_main or "tutorial" in row:
                    measure(rows, row, data, base, names)
        for domain in domains if is_main else ("photo", "sketch"):
            pool, y, X_test, y_test = parts[domain]
            for n in shots:
                train = few_of_each(y, n, np.random.default_rng([n, DOMAINS.index(domain)]))
                others = {d: parts[d][2:] for d in DOMAINS if d != domain} if domain == "photo" else None
                data = (pool[train], y[train], X_test, y_test)
                measure(rows, f"PACS {domain}, {n} a class", data, base, names, others=others)
    return {
        backbone: {
            row: {name: cells[name] for name in STRATEGIES if name in cells} for row, cells in rows.items()
        } for backbone, rows in results.items()
    }  # fmt: skip


def report(results: dict) -> None:
    for backbone, rows in results.items():
        columns = list(next(iter(rows.values())))
        print(f"\n{backbone}, accuracy (best in bold) and seconds of the fits:\n")
        table = []
        for row, cells in rows.items():
            best = max(mean(cell["accuracy"]) for cell in cells.values())
            texts = []
            for name in columns:
                accuracy, seconds = mean(cells[name]["accuracy"]), mean(cells[name]["seconds"])
                text = f"{accuracy:.3f}"
                texts.append(f"{f'**{text}**' if accuracy == best else text} ({seconds:.0f} s)")
            table.append([row, *texts])
        print_table(["", *columns], table)
        for row, cells in rows.items():
            if any("elsewhere" in cell for cell in cells.values()):
                others = list(next(iter(cells.values()))["elsewhere"])
                print(f"\nTrained on {row}, tested elsewhere:\n")
                print_table(
                    ["", *others, "mean"],
                    [
                        [
                            name,
                            *(f"{cell['elsewhere'][o]:.3f}" for o in others),
                            f"{mean(list(cell['elsewhere'].values())):.3f}",
                        ]
                        for name, cell in cells.items()
                    ],
                )


def quadrants(results: dict) -> list[dict]:
    """Return what the four-quadrant rule predicts for each PACS row of the embedded network, and what was best."""
    found = []
    for row, cells in results["efficientnet_lite0"].items():
        if not row.startswith("PACS"):
            continue
        domain, n = row.removeprefix("PACS ").split(", ")
        key = (domain in ("photo", "art_painting"), int(n.split()[0]) >= 80)
        best = max(cells, key=lambda name: mean(cells[name]["accuracy"]))
        found.append({"row": row, "rule": EXPECTED[key], "best": best, "agrees": best in EXPECTED[key]})
    return found


def main() -> None:
    options = parser(__doc__, rounds=2)
    options.add_argument("--image-size", type=int, default=64, help="pixels a side (default: %(default)s)")
    options.add_argument("--steps", type=int, default=100, help="updates of a fit, at most (default: %(default)s)")
    options.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=STRATEGIES)
    options.add_argument("--resume", action="store_true", help="keep the other strategies that the output file holds")
    args = options.parse_args()
    if args.quick:
        args.image_size, args.steps = 32, 3
    warnings.filterwarnings("ignore", category=FutureWarning)
    start, described = time.perf_counter(), machine()
    results = run(args)
    report(results)
    rule = quadrants(results)
    print("\nThe four-quadrant rule:\n")
    print_table(
        ["", "predicts", "best", "agrees"], [[r["row"], " or ".join(r["rule"]), r["best"], r["agrees"]] for r in rule]
    )
    seconds = round(time.perf_counter() - start, 1)
    print(f"\nall in {seconds:.0f} s")
    content = {
        "machine": described, "seconds": seconds, "image_size": args.image_size, "max_steps": args.steps,
        "strategies": STRATEGIES, "quadrants": rule, "results": results,
    }  # fmt: skip
    write_results("finetune_accuracy", content, args)


if __name__ == "__main__":
    main()
