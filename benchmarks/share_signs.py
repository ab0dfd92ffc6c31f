"""What tells, without target labels, that a target has other shares of the classes than the source has.

Adaptation of rows gives a target that has moved a centre of its own, which misleads where the target holds a few of the
source's classes only. Signs of that, on 26 pairs of domains (codes of PACS' domains and of digits, SURF), with equal
shares, 3 of the classes, and shares that fall by 0.7 from class to class:

- "in place" and "own centre": how far the shares that logistic regression predicts lie from the source's, target rows
  scaled as the source is, or by themselves;
- "in place, EM" and "own centre, EM": the same of shares by expectation and maximisation (Saerens et al. 2002);
- "agreement": how often predictions in place and at the own centre differ.

A sign's AUROC is over pairs and draws: 1 where each target with other shares shows more of it than any with equal
ones. Beside it, accuracy in place and at the own centre: what a choice by the sign would decide between. Run
``python benchmarks/share_signs.py``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import itertools
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _common import machine, parser, print_table, write_results
from defaults import DOMAINS, SHARES, TARGET_ROWS, Rows, _kept, few, sets, surf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from sktl.adaptation.joint._shares import distance, shares_in_place

SURF = ("amazon", "caltech", "dslr", "webcam")
GROUPS = {
    "PACS": [(f"pacs_{a}", f"pacs_{b}") for a, b in itertools.permutations(DOMAINS, 2)],
    "digits": [("mnist", "usps"), ("usps", "mnist")],
    "SURF": [(f"surf_{a}", f"surf_{b}") for a, b in itertools.permutations(SURF, 2)],
}
SIGNS = ("in place", "own centre", "in place, EM", "own centre, EM", "agreement")
FROM_SOURCE, N_DRAWS = 20, 2


def signs(source: Rows, target: Rows, shares: str, draw: int) -> dict[str, float]:
    """Return the signs, and the accuracy in place and at the target's own centre."""
    (X, y), _ = few(source, FROM_SOURCE, draw)
    rng = np.random.default_rng(draw)
    seen = rng.permutation(len(target[1]))
    seen = seen[_kept(target[1][seen], shares, rng)][:TARGET_ROWS]
    rows, truth = target[0][seen], target[1][seen]
    scaler = StandardScaler().fit(X)
    model = LogisticRegression(C=0.1, max_iter=300).fit(scaler.transform(X), y)
    prior = np.bincount(y) / len(y)
    found, answers = {}, []
    for name, scaled in (("in place", scaler.transform(rows)), ("own centre", StandardScaler().fit_transform(rows))):
        answers.append(model.predict(scaled))
        found[name] = distance(np.bincount(answers[-1], minlength=len(prior)) / len(rows), prior)
        found[f"{name}, EM"] = distance(shares_in_place(model.decision_function(scaled), prior).shares, prior)
        found[f"accuracy, {name}"] = 100 * float(np.mean(answers[-1] == truth))
    return found | {"agreement": float(np.mean(answers[0] != answers[1]))}


def main() -> None:
    args = parser(__doc__, rounds=1).parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    about, start = machine(), time.perf_counter()
    every = sets(Path(tempfile.gettempdir()) / "sktl_defaults_codes.npz") | surf()
    table: list[list[Any]] = []
    for group, pairs in GROUPS.items():
        cases = list(itertools.product(pairs[:2] if args.quick else pairs, range(N_DRAWS)))
        found = {
            shares: [signs(every[a], every[b], shares, draw) for (a, b), draw in cases] for shares in ("equal", *SHARES)
        }
        for shares in SHARES:
            truth = [0] * len(cases) + [1] * len(cases)
            both = found["equal"] + found[shares]
            told = [round(float(roc_auc_score(truth, [each[sign] for each in both])), 2) for sign in SIGNS]
            means = [
                round(float(np.mean([each[f"accuracy, {where}"] for each in found[kind]])), 1)
                for kind in ("equal", shares) for where in ("in place", "own centre")
            ]  # fmt: skip
            table.append([group, len(pairs), shares, *told, *means])
    print_table(["group", "pairs", "shares", *SIGNS, "equal, in place", "equal, own", "in place", "own"], table)
    seconds = round(time.perf_counter() - start)
    write_results("share_signs", {"machine": about, "seconds": seconds, "results": table}, args)


if __name__ == "__main__":
    main()
