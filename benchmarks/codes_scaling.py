"""How codes are to be scaled before logistic regression, on pictures unlike ImageNet.

Protocol: codes of the embedded EfficientNet-Lite0 at 64 pixels; scikit-learn's digits, USPS and 30 of Omniglot's test
characters, 700 or 600 pictures each; so many labels a class, all other pictures for testing, mean of three draws.
"unit length" is `Normalizer` and ``C=100``, "unit variance" `StandardScaler` and ``C=1``, "as they are" ``C=1``.
`codes_accuracy.py` does the same for hymenoptera and PACS.

Run ``python benchmarks/codes_scaling.py``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from _common import data_path, machine, parser, print_table, write_results
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sktl import CNNCodesTransformer

LAYERS = {
    "penultimate": {},
    "all, mean": {"layers": "all"},
    "all, generalised mean": {"layers": "all", "pooling": "gem"},
}
SCALINGS: dict[str, list[Any]] = {
    "unit length": [Normalizer(), LogisticRegression(C=100, max_iter=1000)],
    "unit variance": [StandardScaler(), LogisticRegression(max_iter=1000)],
    "as they are": [LogisticRegression(max_iter=1000)],
}


def sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return pictures and labels by name."""
    X, y = load_digits(return_X_y=True)
    usps = np.load(data_path("digits/usps.npz"))
    held = np.load(data_path("omniglot/omniglot_28.npz"))
    glyphs = 255 - held["images"][held["vinyals_split"] == "test"][:30].reshape(-1, 28, 28)
    return {
        "digits": (X[:700], y[:700]),
        "USPS": (usps["x_train"][:700], usps["y_train"][:700]),
        "Omniglot": (glyphs, np.repeat(np.arange(30), 20)),
    }


def accuracy(codes: np.ndarray, y: np.ndarray, n_each: int, steps: list[Any]) -> float:
    """Return the mean accuracy of three draws of `n_each` rows a class."""
    found = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        train = np.concatenate([rng.choice(np.flatnonzero(y == c), n_each, replace=False) for c in np.unique(y)])
        test = np.setdiff1d(np.arange(len(y)), train)
        found.append(make_pipeline(*steps).fit(codes[train], y[train]).score(codes[test], y[test]))
    return round(float(np.mean(found)), 4)


def main() -> None:
    args = parser(__doc__, rounds=1).parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    results: dict[str, Any] = {}
    for name, (X, y) in sets().items():
        for layers, params in LAYERS.items():
            codes = CNNCodesTransformer(image_size=64, **params).fit_transform(X)
            for n_each in (5,) if args.quick else (5, 10):
                cell = {scaling: accuracy(codes, y, n_each, steps) for scaling, steps in SCALINGS.items()}
                results[f"{name}, {layers}, {n_each} a class"] = cell
                print(name, layers, n_each, cell, flush=True)
    print_table(["", *SCALINGS], [[name, *cell.values()] for name, cell in results.items()])
    write_results("codes_scaling", {"machine": machine(), "results": results}, args)


if __name__ == "__main__":
    main()
