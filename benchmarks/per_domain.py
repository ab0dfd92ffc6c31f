"""One general classifier beside an adapted copy for each sub-domain: digits whose pictures are corrupted in many ways.

Aim: copies are better than the general classifier on average, and weigh a few per cent of it.

Protocol: a small convolutional network learns 6,000 of MNIST's training pictures. Each of ten corruptions, at two
strengths, is a sub-domain: 400 test pictures without labels adapt its copy, and 1,000 others, which nothing has seen,
are scored with the general classifier, with each method's copy, and with the copy of another sub-domain, drawn at
random (what routing by the wrong name costs). Bytes are what a pickle grows by with each copy.

Run ``python benchmarks/per_domain.py``; it takes some two minutes. `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _common import data_path, machine, parser, print_table, write_results
from scipy import ndimage
from torch import nn

from sktl.adaptation import DomainAdaptedClassifier, PerDomainClassifier, TestTimeAdaptedClassifier

Corruption = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, float]]] = {
    "noise": (lambda X, s, rng: X + rng.normal(scale=s, size=X.shape), (0.3, 0.6)),
    "dropped pixels": (lambda X, s, rng: X * (rng.random(X.shape) > s), (0.3, 0.6)),
    "blur": (lambda X, s, rng: ndimage.gaussian_filter(X, (0, s, s)), (1.0, 2.0)),
    "turned": (lambda X, s, rng: ndimage.rotate(X, s, axes=(1, 2), reshape=False, order=1), (20.0, 35.0)),
    "moved": (lambda X, s, rng: ndimage.shift(X, (0, s, s), order=1), (2.0, 4.0)),
    "contrast": (lambda X, s, rng: 0.5 + s * (X - 0.5), (0.5, 0.25)),
    "brightness": (lambda X, s, rng: X + s, (0.3, 0.6)),
    "inverted": (lambda X, s, rng: X + s * (1 - 2 * X), (0.4, 1.0)),
    "thick": (lambda X, s, rng: ndimage.grey_dilation(X, (1, int(s), int(s))), (2, 4)),
    "coarse": (lambda X, s, rng: X[:, :: int(s), :: int(s)].repeat(s, 1).repeat(s, 2)[:, :28, :28], (2, 4)),
}
METHODS = ("adabn", "tent")
N_ADAPTED, N_SCORED = 400, 1000


def network() -> nn.Module:
    """Return a small network with batch norms, of the same start each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 32, 3, stride=2), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2),
            nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip


def sub_domains(quick: bool) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return pictures to adapt to, pictures to score by, and the labels of the latter, by name."""
    found, rng = np.load(data_path("digits/mnist.npz")), np.random.default_rng(0)
    domains = {}
    for kind, (corrupt, strengths) in list(CORRUPTIONS.items())[: 2 if quick else None]:
        for strength in strengths:
            rows = rng.permutation(len(found["y_test"]))[: N_ADAPTED + N_SCORED]
            X = corrupt(found["x_test"][rows] / 255, strength, rng).clip(0, 1)
            pictures = (255 * X).round().astype(np.uint8)
            domains[f"{kind} {strength:g}"] = (
                pictures[:N_ADAPTED],
                pictures[N_ADAPTED:],
                found["y_test"][rows][N_ADAPTED:],
            )
    return domains


def main() -> None:
    options = parser(__doc__, rounds=1)
    args = options.parse_args()
    warnings.simplefilter("ignore")
    described, found, domains = machine(), np.load(data_path("digits/mnist.npz")), sub_domains(args.quick)
    rows = np.random.default_rng(1).permutation(60000)[: 500 if args.quick else 6000]
    general = DomainAdaptedClassifier(
        network(), loss=None, image_size=28, max_epochs=2 if args.quick else 6, random_state=0
    ).fit(found["x_train"][rows], found["y_train"][rows])
    clean = general.score(found["x_test"][:2000], found["y_test"][:2000])
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
