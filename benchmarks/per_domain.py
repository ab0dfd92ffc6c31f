"""One general classifier beside an adapted copy for each sub-domain: scikit-learn's digits, corrupted in many ways.

Aim: copies are better than the general classifier on average, and weigh a few per cent of it.

Protocol: the library's own network for rows, whose bottleneck has batch norm, learns 900 digits. Each of nine
corruptions, at two strengths, is a sub-domain: 400 other digits without labels adapt its copy, and 497 more, which
nothing has seen, are scored with the general classifier, with each method's copy, and with the copy of another
sub-domain, drawn at random (what routing by the wrong name costs). Bytes are what a pickle grows by with each copy.

Run ``python benchmarks/per_domain.py``; it takes less than a minute.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from _common import WITH_BOTTLENECK, machine, parser, print_table, write_results
from scipy import ndimage
from sklearn.datasets import load_digits

from sktl.adaptation import DomainAdaptedClassifier, PerDomainClassifier, TestTimeAdaptedClassifier

Corruption = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, float]]] = {
    "noise": (lambda X, s, rng: X + rng.normal(scale=s, size=X.shape), (0.3, 0.5)),
    "dropped pixels": (lambda X, s, rng: X * (rng.random(X.shape) > s), (0.2, 0.4)),
    "blur": (lambda X, s, rng: ndimage.gaussian_filter(X, (0, s, s)), (0.7, 1.0)),
    "turned": (lambda X, s, rng: ndimage.rotate(X, s, axes=(1, 2), reshape=False, order=1), (20.0, 35.0)),
    "moved": (lambda X, s, rng: ndimage.shift(X, (0, 0, s), order=1), (0.5, 1.0)),
    "contrast": (lambda X, s, rng: 0.5 + s * (X - 0.5), (0.4, 0.2)),
    "brightness": (lambda X, s, rng: X + s, (0.3, 0.6)),
    "inverted": (lambda X, s, rng: X + s * (1 - 2 * X), (0.4, 1.0)),
    "sensor": (lambda X, s, rng: X * np.exp(rng.normal(scale=s, size=X.shape[1:])), (0.5, 1.0)),
}
METHODS = ("adabn", "tent")
N_LEARNED, N_ADAPTED = 900, 400


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return pictures of 8 x 8 with values in [0, 1], and labels, in an order of one's own."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return (X[order] / 16).reshape(-1, 8, 8), y[order]


def main() -> None:
    options = parser(__doc__, rounds=1)
    args = options.parse_args()
    warnings.simplefilter("ignore")
    described, (pictures, labels) = machine(), digits()
    rows = pictures.reshape(len(pictures), -1)
    general = DomainAdaptedClassifier(loss=None, max_epochs=3 if args.quick else 40, random_state=0, **WITH_BOTTLENECK)
    general.fit(rows[:N_LEARNED], labels[:N_LEARNED])
    clean = general.score(rows[N_LEARNED:], labels[N_LEARNED:])
    scored_rows = slice(N_LEARNED + N_ADAPTED, None)
    domains, rng = {}, np.random.default_rng(1)
    for kind, (corrupt, strengths) in CORRUPTIONS.items():
        for strength in strengths:
            moved = corrupt(pictures, strength, rng).reshape(len(pictures), -1)
            adapted = moved[N_LEARNED : N_LEARNED + N_ADAPTED]
            domains[f"{kind} {strength:g}"] = adapted, moved[scored_rows], labels[scored_rows]
    names = [*domains]
    X = np.concatenate([domains[name][0] for name in names])
    of_row = np.repeat(names, N_ADAPTED)
    cases: dict[str, dict[str, float]] = {name: {} for name in names}
    sizes = {}
    for method in METHODS:
        model = PerDomainClassifier(TestTimeAdaptedClassifier(general, method=method), random_state=0)
        model.fit(X, sample_domain=of_row)
        whole = len(pickle.dumps(model))
        alone = PerDomainClassifier(TestTimeAdaptedClassifier(general, method=method), random_state=0)
        alone.fit(X[of_row == names[0]], sample_domain=of_row[of_row == names[0]])
        sizes[method] = {
            "general": len(pickle.dumps(general)),
            "added_by_a_copy": round((whole - len(pickle.dumps(alone))) / (len(names) - 1)),
        }
        others = np.random.default_rng(2).permutation(len(names))
        for place, name in enumerate(names):
            _, scored, y = domains[name]
            other = names[others[place]] if names[others[place]] != name else names[others[place] - 1]
            cases[name]["general"] = round(float(model.score(scored, y)), 4)
            cases[name][method] = round(float(model.score(scored, y, sample_domain=[name] * len(y))), 4)
            wrong = model.score(scored, y, sample_domain=[other] * len(y))
            cases[name][f"{method}, another's copy"] = round(float(wrong), 4)
    columns = [*cases[names[0]]]
    means = {column: round(float(np.mean([case[column] for case in cases.values()])), 4) for column in columns}
    worst = {
        method: round(min(case[method] - case["general"] for case in cases.values()), 4) for method in METHODS
    }  # fmt: skip
    summary: dict[str, Any] = {"clean": round(float(clean), 4), "mean": means, "worst_change": worst, "bytes": sizes}
    write_results("per_domain", {"machine": described, "results": {"summary": summary, "cases": cases}}, args)
    print_table(["sub-domain", *columns], [[name, *case.values()] for name, case in cases.items()])
    print(summary)


if __name__ == "__main__":
    main()
