"""How often `domain_shift_test` finds a shift of each kind, and how often one that is not there.

Aim: at most 5 % where nothing has changed, at a level of 0.05, and a shift of means, scales or covariances found nearly
always.

Protocol: normal rows of two domains, as many of each; the target's are changed as the kind says. Beside the test stands
`mmd` with its permutation test, which sees all kinds, and a logistic regression of the columns alone in place of
the test's classifier. The share of p-values below 0.05, over draws. Kinds of change:

- mean: one column by 0.6 deviations; mean of all: all columns, by 1.2 together.
- scale: all columns by 1.3; scale of one: by 1.8.
- covariance of two: two columns come to correlate by 0.8; common factor: all do, by 0.3.
- tails: Student's t with three degrees of freedom, of the same variance.
- two clusters: one column's values lie in two places, its mean and variance as before.

Run ``python benchmarks/domain_shift.py``, some minutes; ``--resume`` goes on from the file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from _common import earlier_results, machine, parser, print_table, write_results
from scipy.stats import mannwhitneyu
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.metrics.distances import domain_shift_test, mmd

SIZES = ((200, 5), (200, 30))
KINDS = ("none", "mean", "mean of all", "scale", "scale of one", "covariance of two", "common factor", "tails",
         "two clusters")  # fmt: skip
LEVEL = 0.05


def changed(kind: str, n: int, d: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of both domains."""
    source, target = rng.normal(size=(n, d)), rng.normal(size=(n, d))
    if kind == "mean":
        target[:, 0] += 0.6
    elif kind == "mean of all":
        target += 1.2 / np.sqrt(d)
    elif kind == "scale":
        target *= 1.3
    elif kind == "scale of one":
        target[:, 0] *= 1.8
    elif kind == "covariance of two":
        target[:, 1] = 0.8 * target[:, 0] + 0.6 * target[:, 1]
    elif kind == "common factor":
        target = np.sqrt(0.7) * target + np.sqrt(0.3) * rng.normal(size=(n, 1))
    elif kind == "tails":
        target = rng.standard_t(3, size=(n, d)) / np.sqrt(3)
    elif kind == "two clusters":
        target[:, 0] = 0.9 * rng.choice([-1, 1], n) + np.sqrt(0.19) * target[:, 0]
    return source, target


def columns_alone(source: np.ndarray, target: np.ndarray, random_state: int) -> float:
    """Return the p-value of a classifier two-sample test whose classifier is linear."""
    rows, is_target = np.concatenate([source, target]), np.repeat([False, True], [len(source), len(target)])
    learned, tested, y, truth = train_test_split(
        rows, is_target, test_size=0.5, stratify=is_target, random_state=random_state
    )
    judge = LogisticRegressionCV(
        Cs=[1e-4, 1e-2, 1.0], cv=3, scoring="neg_log_loss", l1_ratios=(0.0,), use_legacy_attributes=False
    )
    scores = make_pipeline(StandardScaler(), judge).fit(learned, y).decision_function(tested)
    return float(mannwhitneyu(scores[truth], scores[~truth], alternative="greater").pvalue)


def pvalues(kind: str, n: int, d: int, draw: int) -> dict[str, float]:
    """Return each test's p-value in one draw."""
    source, target = changed(kind, n, d, np.random.default_rng([draw, n, d]))
    scale = StandardScaler().fit(np.concatenate([source, target]))
    return {
        "domain_shift_test": domain_shift_test(source, target, random_state=draw).pvalue,
        "columns alone": columns_alone(source, target, random_state=draw),
        "mmd": mmd(scale.transform(source), scale.transform(target), n_permutations=100, random_state=draw).pvalue,
    }


def main() -> None:
    options = parser(__doc__, rounds=30)
    options.add_argument("--resume", action="store_true", help="keep what an earlier run has measured")
    args = options.parse_args()
    described, results = machine(), earlier_results("domain_shift", args)
    for n, d in SIZES[:1] if args.quick else SIZES:
        for kind in KINDS[:2] if args.quick else KINDS:
            case = f"{kind}, {n:,} x {d}"
            if case in results:
                continue
            draws = 3 if args.quick else args.rounds * (12 if kind == "none" else 1)
            found = [pvalues(kind, n, d, draw) for draw in range(draws)]
            cells: dict[str, Any] = {name: round(float(np.mean([one[name] < LEVEL for one in found])), 3)
                                     for name in found[0]}  # fmt: skip
            results[case] = {"draws": draws, **cells}
            print(case, results[case], flush=True)
            write_results("domain_shift", {"machine": described, "level": LEVEL, "results": results}, args)
    names = [name for name in next(iter(results.values())) if name != "draws"]
    print_table(["case", *names], [[case, *(cell[name] for name in names)] for case, cell in results.items()])


if __name__ == "__main__":
    main()
