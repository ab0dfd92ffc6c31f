"""How far from the oracle's choice each scorer's choice is, over a grid of methods, weights and epochs.

Aim: the default scorer's choice is within 3 points of target accuracy of the oracle's, on average.

Protocol: a fifth of the source is held out. Every point of the grid (method, weight in multiples of the loss's default)
is trained once on the rest of the source and the target's rows without labels. After some epochs every scorer is given
the held-out source rows with labels and the target's rows without, and the accuracy on the target is noted beside.
Then each scorer picks one of all methods, weights and epochs of a pair: what it loses is the target accuracy of the
grid's best, which only an oracle could name, less that of its pick. A second table takes each method for itself: its
last epoch with the default weight, the default scorer's choice of weight and epoch, and the oracle's.

"consensus" is agreement with the mean of the whole grid's predictions, which takes all its models at once.

- Digits: 4,000 pictures of each set, SHOT's LeNet. PACS: the twelve pairs, codes of the embedded EfficientNet-Lite0.
  Office-Caltech: the twelve pairs, SURF rows as GFK's authors prepare them.
- The library's default scorer is the best of this table, that is, it was chosen with the target labels of these pairs.

Results are written after each training; ``--resume`` goes on from the file. Run
``python benchmarks/unsupervised_selection.py``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import RESULTS, WITH_BOTTLENECK, data_path, earlier_results, machine, parser, print_table, write_results
from adaptation_accuracy import DOMAINS, PACS, Digits, lenet
from scipy.stats import spearmanr, zscore
from sklearn.model_selection import train_test_split

from sktl.adaptation import DomainAdaptedClassifier
from sktl.adaptation.losses import get_loss
from sktl.metrics import DOMAIN_SCORERS, MultipleScorers, consensus_scores, get_domain_scorer

DIGIT_PAIRS = ("mnist->usps", "usps->mnist")
PACS_PAIRS = tuple(f"{a}->{b}" for a, b in itertools.permutations(DOMAINS, 2))
OFFICE = ("amazon", "caltech", "dslr", "webcam")
OFFICE_PAIRS = tuple(f"{a}->{b}" for a, b in itertools.permutations(OFFICE, 2))
PAIRS = (*DIGIT_PAIRS, *PACS_PAIRS, *OFFICE_PAIRS)
METHODS = (
    "none", "dann", "cdan", "cdan+e", "mmd", "coral", "mcc", "bnm", "entropy", "pseudo_labels", "mdd", "dsan",
    "deepjdot",
)  # fmt: skip
FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
EPOCHS = (1, 2, 3, 5, 7, 10, 15, 20)
SCORERS = tuple(name for name in DOMAIN_SCORERS if name not in ("domain_default", "reverse_validation"))
COSTLY = ("reverse_validation",)  # trains again for each score
DIGIT_ROWS, QUICK_ROWS = 4000, 400


def surf(domain: str) -> tuple[np.ndarray, np.ndarray]:
    held = np.load(data_path("office_caltech10/surf_l10.npz"))
    counts = held[f"{domain}_X"].astype(np.float64)
    return np.nan_to_num(zscore(counts / counts.sum(axis=1, keepdims=True))), held[f"{domain}_y"].astype(int)


class Domains:
    """Rows and labels of each domain, and what the classifier is told of them."""

    def __init__(self, quick: bool):
        self.digits = Digits(QUICK_ROWS if quick else DIGIT_ROWS)
        self.pacs = PACS(finetune=False, n_each=20 if quick else None)

    def __call__(self, domain: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Return (X, y, parameters)."""
        if domain in OFFICE:
            return (*surf(domain), {})
        if domain in DOMAINS:
            return (*self.pacs(domain), {})
        X, y, _, _ = self.digits(domain)
        return X, y.astype(int), {"backbone": lenet(1), "preprocessing": {"mean": (0.5,) * 3, "std": (0.5,) * 3}}


class Recorder:
    """Stands for a scorer of epochs: notes every score and the target's accuracy, and keeps the last epoch."""

    def __init__(self, scorers: dict[str, Any], epochs: tuple[int, ...], held_out: tuple, target: tuple):
        self.scorers = scorers
        self.epochs = epochs
        (X, y), (self.X_target, self.y_target) = held_out, target
        self.X = np.concatenate([X, self.X_target])
        mark = -1 if y.dtype.kind in "iu" else None
        self.y = np.array([*y, *[mark] * len(self.X_target)], dtype=y.dtype if mark == -1 else object)
        self.epoch = 0
        self.noted: list[dict[str, Any]] = []
        self.probas: list[np.ndarray] = []

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        """Return the number of the epoch: the last one is best."""
        self.epoch += 1
        if self.epoch in self.epochs:
            scores = {name: round(s, 5) for name, s in MultipleScorers(self.scorers)(estimator, self.X, self.y).items()}
            proba = estimator.predict_proba(self.X_target)
            predicted = np.asarray(estimator.classes_)[proba.argmax(axis=1)]
            accuracy = round(float((predicted == self.y_target).mean()), 5)
            self.noted.append({"epoch": self.epoch, "target": accuracy, "scores": scores})
            self.probas.append(proba.astype(np.float16))
        return self.epoch


def one_training(
    domains: Any, pair: str, method: str, factor: float, seed: int, options: Any
) -> tuple[dict[str, Any], np.ndarray]:
    """Train one point of the grid; returns what was noted, and the target's probabilities, at each epoch."""
    source, target = pair.split("->")
    (Xs, ys, params), (Xt, yt, _) = domains(source), domains(target)
    X, X_held, y, y_held = train_test_split(Xs, ys, test_size=0.2, stratify=ys, random_state=seed)
    scorers = {name: get_domain_scorer(name) for name in options.scorers}
    recorder = Recorder(scorers, options.epochs, (X_held, y_held), (Xt, yt))
    mark = -1 if y.dtype.kind in "iu" else None
    model = DomainAdaptedClassifier(
        loss=weighted(method, factor),
        max_epochs=max(options.epochs),
        selection=recorder,
        random_state=seed,
        **WITH_BOTTLENECK,
        **params,
    )
    start = time.perf_counter()
    labels = np.array([*y, *[mark] * len(Xt)], dtype=y.dtype if mark == -1 else object)
    model.fit(np.concatenate([X, Xt]), labels)
    seconds = round(time.perf_counter() - start, 2)
    cell = {"method": method, "factor": factor, "epochs": recorder.noted, "seconds": seconds}
    return cell, np.stack(recorder.probas)  # (n_epochs, n_target, n_classes)


def weighted(method: str, factor: float) -> Any:
    if method == "none":
        return None
    loss = get_loss(method)
    return loss.set_params(weight=factor * loss.weight)


def points(options: Any) -> list[tuple[str, float]]:
    return [(m, f) for m in options.methods for f in (options.factors if m != "none" else (1.0,))]


def run(options: Any, results: dict[str, Any], save: Any, folder: Path) -> None:
    domains = Domains(options.quick)
    for seed, pair in itertools.product(range(options.seeds), options.pairs):
        cells = results.setdefault(pair, {}).setdefault(str(seed), {})
        names = {f"{method} x {factor:g}": (method, factor) for method, factor in points(options)}
        beside = folder / f"{pair}_{seed}.npz"  # what a pair's models predict, until the last of them is trained
        probas = dict(np.load(beside)) if beside.exists() else {}
        for name, (method, factor) in names.items():
            if name in cells and (name in probas or "consensus" in cells[name]["epochs"][0]["scores"]):
                continue
            cells[name], probas[name] = one_training(domains, pair, method, factor, seed, options)
            np.savez(beside, **probas)
            save()
        add_consensus(cells, probas)
        save()
        beside.unlink(missing_ok=True)
        best = max(e["target"] for cell in cells.values() for e in cell["epochs"])
        print(f"{pair:20} seed {seed}: {len(cells)} trainings, oracle {best:.4f}", flush=True)


def add_consensus(cells: dict[str, Any], probas: dict[str, np.ndarray]) -> None:
    """Note how far each point agrees with all points together; it takes the whole grid."""
    if set(probas) != set(cells):
        return
    scores = consensus_scores([p.astype(np.float64) for name in cells for p in probas[name]])
    noted = [epoch for cell in cells.values() for epoch in cell["epochs"]]
    for epoch, score in zip(noted, scores):
        epoch["scores"]["consensus"] = round(float(score), 5)


def grids(results: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the grid of each pair and seed, flat: (pair, [{method, factor, epoch, target, scores}, ...])."""
    return [
        (pair, [{**cell, **noted} for cell in cells.values() for noted in cell["epochs"]])
        for pair, seeds in results.items()
        for cells in seeds.values()
        if cells
    ]


def picked(grid: list[dict[str, Any]], scorer: str) -> dict[str, Any]:
    """Return the point of the grid that scores best, the first of equals."""
    return max(grid, key=lambda point: point["scores"][scorer])


def lost(grid: list[dict[str, Any]], scorer: str) -> float:
    """Return the oracle's accuracy less that of the pick, in points."""
    return 100 * (max(point["target"] for point in grid) - picked(grid, scorer)["target"])


def family(pair: str) -> str:
    return "digits" if pair in DIGIT_PAIRS else "PACS codes" if pair in PACS_PAIRS else "Office-Caltech SURF"


def scorer_table(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return for each scorer what its picks lose, all in all and by family, and its rank correlation."""
    found = grids(results)
    rows = []
    for scorer in found[0][1][0]["scores"]:
        if any(scorer not in point["scores"] for _, grid in found for point in grid):
            continue
        losses = [(family(pair), lost(grid, scorer)) for pair, grid in found]
        ranks = [spearmanr([p["scores"][scorer] for p in grid], [p["target"] for p in grid])[0] for _, grid in found]
        of = {name: float(np.mean([v for f, v in losses if f == name])) for name in dict.fromkeys(f for f, _ in losses)}
        every = [value for _, value in losses]
        rows.append({"scorer": scorer, "mean": float(np.mean(every)), "median": float(np.median(every)),
                     "worst": max(every),
                     "rank_correlation": float(np.nanmean(ranks)), **of})  # fmt: skip
    return sorted(rows, key=lambda row: row["mean"])


def method_table(results: dict[str, Any], scorer: str) -> list[dict[str, Any]]:
    """Return for each family and method the mean accuracy of last epoch, unsupervised choice and oracle's choice."""
    rows: dict[tuple, dict[str, list[float]]] = {}
    for pair, grid in grids(results):
        last = max(point["epoch"] for point in grid)
        for method in dict.fromkeys(point["method"] for point in grid):
            own = [point for point in grid if point["method"] == method]
            row = rows.setdefault((family(pair), method), {"last": [], "unsupervised": [], "oracle": []})
            row["last"] += [p["target"] for p in own if p["epoch"] == last and p["factor"] == 1.0]
            row["unsupervised"].append(picked(own, scorer)["target"])
            row["oracle"].append(max(point["target"] for point in own))
    return [
        {"data": data, "method": method, **{name: 100 * float(np.mean(values)) for name, values in row.items()}}
        for (data, method), row in rows.items()
    ]


def by_seed(results: dict[str, Any], scorer: str) -> list[str]:
    """Return the mean loss with each seed, without the first seed, and without the worst pair, whose losses follow."""
    losses = {(pair, seed): lost(grids({pair: {seed: cells}})[0][1], scorer)
              for pair, seeds in results.items() for seed, cells in seeds.items() if cells}  # fmt: skip
    seeds = sorted({seed for _, seed in losses})
    worst = max(losses, key=lambda run: losses[run])[0]
    parts = [[v for (_, s), v in losses.items() if s == seed] for seed in seeds]
    parts += [[v for (_, s), v in losses.items() if s != seeds[0]], [v for (p, _), v in losses.items() if p != worst]]
    own = ", ".join(f"{v:.1f}" for (p, _), v in losses.items() if p == worst)
    return [scorer, *(f"{np.mean(part):.2f}" if part else "" for part in parts), f"{worst}: {own}"]


def default_of(scorers: list[dict[str, Any]]) -> str:
    """Return the name of the default scorer, or of the best if it was not asked for."""
    noted = [row["scorer"] for row in scorers]
    made = DOMAIN_SCORERS["domain_default"]
    return next((name for name in noted if DOMAIN_SCORERS.get(name) is made), noted[0])


def report(results: dict[str, Any]) -> dict[str, Any]:
    """Print both tables; returns them."""
    scorers = scorer_table(results)
    families = [name for name in ("digits", "PACS codes", "Office-Caltech SURF") if name in scorers[0]]
    print("\nPoints of target accuracy lost against the oracle's choice among all methods, weights and epochs\n")
    print_table(
        ["scorer", "mean", "median", "worst", *families, "rank correlation"],
        [[r["scorer"], *(f"{r[k]:.1f}" for k in ("mean", "median", "worst", *families)), f"{r['rank_correlation']:.2f}"]
         for r in scorers],
    )  # fmt: skip
    n_seeds = len({seed for seeds in results.values() for seed in seeds})
    print("\nMean loss with each seed, and without the worst pair\n")
    print_table(
        ["scorer", *(f"seed {i}" for i in range(n_seeds)), "but the first seed", "but the worst pair", "worst pair"],
        [by_seed(results, r["scorer"]) for r in scorers],
    )
    default = default_of(scorers)
    methods = method_table(results, default)
    print(f"\nTarget accuracy: last epoch, choice by {default}, oracle's choice\n")
    print_table(
        ["data", "method", "last epoch", "unsupervised choice", "oracle"],
        [[r["data"], r["method"], *(f"{r[k]:.1f}" for k in ("last", "unsupervised", "oracle"))] for r in methods],
    )
    return {"scorers": scorers, "methods": methods, "unsupervised_choice_by": default}


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--pairs", nargs="+", default=list(PAIRS), choices=PAIRS)
    options.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    options.add_argument("--factors", nargs="+", type=float, default=list(FACTORS), help="times the default weight")
    options.add_argument("--epochs", nargs="+", type=int, default=list(EPOCHS), help="when scores are noted")
    options.add_argument("--scorers", nargs="+", default=list(SCORERS), choices=[*SCORERS, *COSTLY])
    options.add_argument("--seeds", type=int, default=3, help="runs of each point (default: %(default)s)")
    options.add_argument("--threads", type=int, default=None, help="torch's threads (default: torch's own choice)")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.quick:
        args.seeds, args.epochs, args.factors = 1, [1, 3], [1.0]
        args.pairs = [pair for pair in args.pairs if pair in ("usps->mnist", "dslr->webcam")]
        args.methods = [method for method in args.methods if method in ("none", "dann", "mcc")]
    path: Path = args.output or RESULTS / "unsupervised_selection.json"
    results = earlier_results("unsupervised_selection", args)
    described = machine()

    def save(tables: dict[str, Any] | None = None) -> None:
        if args.output or not args.quick:
            write_results("unsupervised_selection", {"machine": described, **(tables or {}), "results": results}, args)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if args.quick else path.with_suffix("")
        folder.mkdir(parents=True, exist_ok=True)
        run(args, results, save, folder)
        if not args.quick:
            folder.rmdir()
    save(report(results))


if __name__ == "__main__":
    main()
