"""Whether a target has moved: what `domain_move` says, and which centre of its rows is right.

For each pair of domains, logistic regression on the source's rows is asked about the target's: with one centre and
scale for both domains, and with each domain at its own. Labels of the target say afterwards which was right.
Rows of a data set are either drawn at random and changed ("moved", "scaled", "turned"), or picked otherwise and left as
they are (low and high along a direction, fewer classes, other shares). Thresholds are those of the library; beside them
stand thresholds chosen on all other data sets.

Run ``python benchmarks/domain_move.py``; it takes half a minute. `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from _common import data_path, machine, parser, print_table, write_results
from _safe_pairs import SHIFTS
from _safe_pairs import rows as rows_of
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sktl.metrics.distances import DomainMove, domain_move
from sktl.metrics.distances._domain_move import APART, EXPLAINED, MOSTLY, WHOLLY

SMALL = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer, "digits": load_digits}
KINDS = {
    "as it was": 0, "moved": 1.0, "moved by half": 0.5, "moved by a fifth": 0.2, "scaled": 0.7, "turned": 0.15,
    "low and high": 0.5, "lower and higher": 1.5, "half of the classes": 0, "other shares": 0,
}  # fmt: skip
PICKED = ("as it was", "low and high", "lower and higher", "half of the classes", "other shares")
MOST = 600  # rows of a domain
PERIODS = (0, 12000, 24000, 36000)


def made(X: np.ndarray, y: np.ndarray, kind: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return a source and a target made of one data set."""
    rng, d = np.random.default_rng(seed), X.shape[1]
    order, strength = rng.permutation(len(y)), KINDS[kind]
    if kind in ("low and high", "lower and higher"):
        along = X @ rng.normal(size=d)
        order = np.argsort(along + strength * along.std() * rng.normal(size=len(along)))
    source, target = order[: len(y) // 2], order[len(y) // 2 :]
    classes = rng.permutation(np.unique(y))
    if kind == "half of the classes":
        target = target[np.isin(y[target], classes[: max(1, len(classes) // 2)])]
    if kind == "other shares":
        share = dict(zip(classes.tolist(), 0.35 ** np.arange(len(classes))))
        target = target[rng.random(len(target)) < [share[label] for label in y[target].tolist()]]
    T = X[target]
    if kind.startswith("moved"):
        T = T + strength * rng.normal(size=d)
    if kind == "scaled":
        T = T * np.exp(strength * rng.normal(size=d))
    if kind == "turned":
        turn = np.linalg.qr(np.eye(d) + strength * rng.normal(size=(d, d)))[0]
        T = T @ (turn * np.sign(np.diag(turn)))
    return X[source], y[source], T, y[target]


def pairs(quick: bool, rounds: int) -> Iterator[tuple[str, str, Any]]:
    """Yield the data set, the kind of shift, and both domains' rows and labels."""
    for (name, load), kind, seed in itertools.product(SMALL.items(), KINDS, range(rounds)):
        X, y = load(return_X_y=True)
        yield name, kind, made(StandardScaler().fit_transform(X), y, kind, seed)
    if quick:
        return
    for shift in SHIFTS:
        yield "digits", "changed pictures", rows_of("digits", "plain", shift, "all")
    for a, b in itertools.permutations(("mnist", "usps")):
        yield "MNIST and USPS", "other digits", rows_of("MNIST and USPS", a, b, "all")
    with np.load(data_path("electricity/electricity.npz"), allow_pickle=True) as held:
        X, y = held["X"][:, 1:].astype(float), held["y"].astype(int)
    for a, b in itertools.permutations(PERIODS, 2):
        yield "electricity", "another period", (X[a : a + 1500], y[a : a + 1500], X[b : b + 1500], y[b : b + 1500])


def accuracies(X: np.ndarray, y: np.ndarray, T: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the accuracy with one centre for both domains, and with each at its own."""
    of_source, of_both = StandardScaler().fit(X), StandardScaler().fit(np.vstack([X, T]))
    one = LogisticRegression(max_iter=500).fit(of_both.transform(X), y).score(of_both.transform(T), truth)
    own = LogisticRegression(max_iter=500).fit(of_source.transform(X), y)
    return 100 * one, 100 * own.score(StandardScaler().fit_transform(T), truth)


def decided(found: DomainMove, apart: float, explained: float) -> bool:
    """Return the answer with other thresholds."""
    if found.own_neighbours > WHOLLY:
        return True
    if found.own_neighbours > apart:
        return min(found.explained) <= MOSTLY
    return max(found.explained) <= explained


def left_out(cases: list[dict[str, Any]]) -> None:
    """Add to each case what thresholds chosen on the other data sets would have taken."""
    grid = list(itertools.product((0.75, 0.8, 0.85, 0.9), (0.06, 0.12, 0.18, 0.24)))
    for name in {case["data"] for case in cases}:
        others = [case for case in cases if case["data"] != name]

        def worth(pair: tuple[float, float], among: list[dict[str, Any]] = others) -> float:
            return float(np.mean([c["own centre"] if decided(c["found"], *pair) else c["one centre"] for c in among]))

        best = max(grid, key=worth)
        for case in cases:
            if case["data"] == name:
                case["left out"] = case["own centre"] if decided(case["found"], *best) else case["one centre"]


def main() -> None:
    args = parser(__doc__, rounds=3).parse_args()
    warnings.filterwarnings("ignore")
    about, cases = machine(), []
    for name, kind, (X, y, T, truth) in pairs(args.quick, 1 if args.quick else args.rounds):
        rng = np.random.default_rng(0)
        some, seen = rng.permutation(len(y))[:MOST], rng.permutation(len(truth))[:MOST]
        X, y, T, truth = X[some], y[some], T[seen], truth[seen]
        if len(truth) < 10:
            continue
        one, own = accuracies(X, y, T, truth)
        found = domain_move(X, y, T)
        cases.append({
            "data": name, "kind": kind, "one centre": one, "own centre": own, "found": found,
            "domain_move": own if found.has_moved else one,
        })  # fmt: skip
    left_out(cases)
    columns = ("one centre", "own centre", "domain_move", "left out")
    table = []
    for kind in dict.fromkeys(case["kind"] for case in cases):
        of_kind = [case for case in cases if case["kind"] == kind]
        means = [round(float(np.mean([case[name] for case in of_kind])), 1) for name in columns]
        worst = round(min(case["domain_move"] - case["one centre"] for case in of_kind), 1)
        table.append([kind, len(of_kind), sum(case["found"].has_moved for case in of_kind), *means, worst])
    print_table(["kind", "pairs", "said to have moved", *columns, "worst against one centre"], table)
    results = {
        "thresholds": {"apart": APART, "wholly": WHOLLY, "explained": EXPLAINED, "mostly": MOSTLY},
        "n_cases": len(cases),
        "table": table,
        "cases": [{**case, "found": case["found"]._asdict()} for case in cases],
    }
    write_results("domain_move", {"machine": about, "results": results}, args)


if __name__ == "__main__":
    main()
