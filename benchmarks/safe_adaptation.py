"""How well a classifier's accuracy without labels is told, over many shifts of scikit-learn's digits.

Aim: a mean error of at most three points over at least 60 shifts, and lower bounds that hold in at least nine of ten.

Protocol: 900 digits train each classifier, 450 are held out with labels, and 447 others, shifted, are the target. The
figures are of the estimate's distance to the accuracy there, whose labels nothing else sees. Run
``python benchmarks/safe_adaptation.py``; it takes some two minutes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from _common import machine, parser, print_table, write_results
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from sktl.safety import estimate_accuracy

Shift = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
SHIFTS: dict[str, tuple[Shift, list[float]]] = {
    "noise": (lambda X, s, rng: X + rng.normal(scale=s, size=X.shape), [0.1, 0.3, 0.5, 0.8]),
    "rotation": (
        lambda X, s, rng: ndimage.rotate(X, s, axes=(1, 2), reshape=False, order=1),
        [10.0, 20.0, 35.0, 60.0],
    ),
    "blur": (lambda X, s, rng: ndimage.gaussian_filter(X, (0, s, s)), [0.4, 0.7, 1.0, 1.5]),
    "contrast": (lambda X, s, rng: 0.5 + s * (X - 0.5), [0.8, 0.6, 0.4, 0.2]),
    "brightness": (lambda X, s, rng: X + s, [0.1, 0.2, 0.4, 0.6]),
    "dropped pixels": (lambda X, s, rng: X * (rng.random(X.shape) > s), [0.1, 0.2, 0.35, 0.5]),
    "moved": (lambda X, s, rng: ndimage.shift(X, (0, 0, s), order=1), [0.25, 0.5, 1.0, 1.5]),
}
MODELS = {
    "logistic": LogisticRegression(max_iter=2000),
    "forest": RandomForestClassifier(200, random_state=0),
    "mlp": MLPClassifier((64,), max_iter=500, random_state=0),
}
METHODS = ("discrepancy", "atc", "difference", "average")


def digits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures of 8 x 8 with values in [0, 1], and labels, in an order of one's own."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    return (X[order] / 16).reshape(-1, 8, 8), y[order]


def main() -> None:
    options = parser(__doc__, rounds=1)
    args = options.parse_args()
    described, cases = machine(), []
    X, y = digits(0)
    models = {"logistic": MODELS["logistic"]} if args.quick else MODELS
    for name, model in models.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X[:900].reshape(900, -1), y[:900])
        for kind, (shift, strengths) in SHIFTS.items():
            for strength in strengths[:1] if args.quick else strengths:
                moved = shift(X[1350:], strength, np.random.default_rng(1)).reshape(-1, 64)
                case: dict[str, Any] = {"model": name, "shift": kind, "strength": strength}
                case["accuracy"] = round(float(model.score(moved, y[1350:])), 4)
                for method in METHODS:
                    found = estimate_accuracy(model, X[900:1350].reshape(450, -1), y[900:1350], moved, method=method)
                    case[method] = round(found.accuracy, 4)
                    case["lower_bound"], case["source"] = round(found.lower_bound, 4), round(found.source_accuracy, 4)
                cases.append(case)
    true = np.array([case["accuracy"] for case in cases])
    errors = {name: 100 * np.abs(np.array([case[name] for case in cases]) - true) for name in (*METHODS, "source")}
    bounds = np.array([case["lower_bound"] for case in cases])
    summary = {
        "shifts": len(cases),
        "mean_error": {name: round(float(found.mean()), 2) for name, found in errors.items()},
        "largest_error": {name: round(float(found.max()), 2) for name, found in errors.items()},
        "lower_bound_holds": round(float((bounds <= true).mean()), 3),
        "lower_bound_says_something": round(float((bounds > 0).mean()), 3),
        "accuracy_above_lower_bound": round(float(100 * (true - bounds).mean()), 2),
    }
    write_results("safe_adaptation", {"machine": described, "results": {"summary": summary, "cases": cases}}, args)
    print_table(
        ["estimate", "mean error", "largest error"],
        [[name, summary["mean_error"][name], summary["largest_error"][name]] for name in errors],
    )
    print({key: value for key, value in summary.items() if not isinstance(value, dict)})


if __name__ == "__main__":
    main()
