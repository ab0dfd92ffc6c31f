"""AutoTransferClassifier with five minutes on pictures that its rules were not chosen by, beside two fixed strategies.

Protocol: which sizes of pictures, epochs and means AutoTransferClassifier tries was chosen with draws of sketches,
paintings, photographs, cartoons, hymenoptera, USPS, MNIST and letters of Greek, Hebrew and Korean in sight. Here are
"new" sets, which no such rule has seen, and a "new draw" of some that it has. Each has a training set of 8 to 60 rows
a class and a test of up to 200 other rows. All get the same seconds, one after the other, with default settings, one
seed: AutoTransferClassifier; `make_codes_classifier()`, which needs a few of them, and finds the codes of the first;
and fine-tuning of all layers, always, which ends with its ten epochs or with the epoch in which the time is over.

Results are written after each set; ``--resume`` goes on from the file and ``--minutes`` bounds the run. Run
``python benchmarks/auto_transfer_held_out.py``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from _advisor_cases import alphabet, digits, eight_by_eight, glyphs, hymenoptera, paths_of
from _common import data_path, earlier_results, machine, parser, print_table, write_results
from adaptation_accuracy import mnist_m
from auto_transfer import ours, split, strategies

from sktl import AutoTransferClassifier
from sktl.datasets import make_glyphs

NEW, NEW_DRAW = "new", "new draw"
N_STYLES = 12
KINDS = {
    "digits over photographs": NEW, "Angelic letters": NEW, "cartoons": NEW_DRAW, "styles of fonts": NEW,
    "which alphabet": NEW, "hymenoptera": NEW_DRAW, "letters in fonts": NEW, "Futurama letters": NEW,
    "photographs": NEW_DRAW, "digits of 8 pixels": NEW, "Malayalam letters": NEW, "MNIST": NEW_DRAW,
}  # fmt: skip
BUDGET = 300.0
SEED = 1
SEED_OF_PHOTOGRAPHS = 2  # whose first was seen
NAMES = ("automatic", "codes", "always trained")


def load(case: str) -> tuple[Any, np.ndarray, Any, np.ndarray]:
    """Return training rows and labels, and those of the test."""
    if case.endswith(" letters"):
        return split(*alphabet(case.removesuffix(" letters")), 8, SEED)
    if case == "letters in fonts":
        return split(*glyphs(), 8, SEED)
    if case == "styles of fonts":
        X = 255 - make_glyphs(random_state=SEED)[0]
        return split(X, np.arange(len(X)) % N_STYLES, 20, SEED)
    if case == "which alphabet":
        return split(*one_of_each_character(), 20, SEED)
    if case == "hymenoptera":
        return split(*hymenoptera(), 60, SEED)
    if case == "digits over photographs":
        return split(*mnist_m()[:2], 20, SEED)
    if case == "digits of 8 pixels":
        return split(*eight_by_eight(), 20, SEED)
    if case == "MNIST":
        return split(*digits("mnist"), 20, SEED)
    if case == "photographs":
        return split(*paths_of("pacs/photo"), 20, SEED_OF_PHOTOGRAPHS)
    return split(*paths_of("pacs/cartoon"), 20, SEED)


def one_of_each_character() -> tuple[np.ndarray, np.ndarray]:
    """Return pictures of ten alphabets, of each character two of its twenty drawings; the labels are the alphabets."""
    found = np.load(data_path("omniglot/omniglot_28.npz"))
    names = np.unique(found["alphabet"])[2::5]
    rows = np.flatnonzero(np.isin(found["alphabet"], names))
    drawers = np.random.default_rng(SEED).permuted(np.tile(np.arange(20), (len(rows), 1)), axis=1)[:, :2]
    X = 255 - found["images"][rows[:, None], drawers].reshape(-1, 28, 28)
    return X, np.repeat(found["alphabet"][rows], 2)


def one_case(case: str, budget: float) -> dict[str, Any]:
    """Return accuracies and seconds of all on one set."""
    X, y, others, z = load(case)
    single = strategies(X, budget)
    search = AutoTransferClassifier(time_budget=budget)
    models = {"automatic": search, "codes": single["simple"], "always trained": single["always trained"]}
    found = {"kind": KINDS[case], "classes": len(np.unique(y)), **ours(models, X, y, others, z)}
    return found | {"taken": search.best_candidate_, "expected": round(search.best_score_, 4)}


def report(results: dict[str, Any]) -> None:
    """Print the accuracies, and the mean leads with their standard errors over sets."""
    rows = [
        [case, cell["kind"], cell["rows"], *(f"{100 * cell['accuracy'][name]:.1f}" for name in NAMES), cell["taken"]]
        for case, cell in results.items()
    ]
    print_table(["set", "kind", "rows", *NAMES, "taken"], rows)
    for other in NAMES[1:]:
        leads = [100 * (cell["accuracy"]["automatic"] - cell["accuracy"][other]) for cell in results.values()]
        error = np.std(leads, ddof=1) / np.sqrt(len(leads)) if len(leads) > 1 else np.nan
        ahead = sum(lead >= 0 for lead in leads)
        print(f"at or above {other}: {ahead} of {len(leads)}; {np.mean(leads):+.1f} +- {error:.1f} points")


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--cases", nargs="*", default=list(KINDS), choices=KINDS)
    options.add_argument("--budget", type=float, default=BUDGET, help="seconds (default: %(default)s)")
    options.add_argument("--minutes", type=float, default=150.0, help="no set is begun later (default: %(default)s)")
    options.add_argument("--threads", type=int, default=1, help="torch's threads (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    torch.set_num_threads(args.threads)
    if args.quick:
        args.cases, args.budget = ["letters in fonts"], 10.0
    start, results = time.monotonic(), earlier_results("auto_transfer_held_out", args)
    described = machine() | {"budget": args.budget}
    for case in args.cases:
        if case not in results and time.monotonic() - start < 60 * args.minutes:
            results[case] = one_case(case, args.budget)
            print(case, results[case], flush=True)
            write_results("auto_transfer_held_out", {"machine": described, "results": results}, args)
    report(results)


if __name__ == "__main__":
    main()
