"""Label shift on MNIST, as in BBSE's paper: other shares of the digits in the target, none of whose rows is labelled.

Protocol: the source has all digits alike, `N_ROWS` pictures; the target has as many, drawn from MNIST's test pictures
by other shares. "one digit": one drawn digit has a share of rho, the others share the rest. "Dirichlet": shares are
drawn from a Dirichlet distribution; small alphas leave few digits. The classifier is logistic regression on 50
principal components, unweighted, with weights of classes by each method, and with the true ones, which only an oracle
knows. Errors of the weights are mean squared ones over the classes, as in the paper. Means over seeds.

Run ``python benchmarks/label_shift.py --minutes 5``. `SKTL_DATA` names the folder of the data. Results are written
after each draw, and ``--resume`` goes on from there.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from _common import data_path, earlier_results, machine, parser, print_table, write_results
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from sktl.adaptation import stack_domains
from sktl.reweighting import ReweightedClassifier

N_ROWS = 4000
METHODS = ("bbse", "em", "rlls")
SHIFTS = [("one digit", 0.5), ("one digit", 0.9), ("Dirichlet", 10.0), ("Dirichlet", 1.0), ("Dirichlet", 0.1)]


def shares(kind: str, strength: float, rng: np.random.Generator) -> np.ndarray:
    if kind == "Dirichlet":
        return rng.dirichlet(np.full(10, strength))
    found = np.full(10, (1 - strength) / 9)
    found[rng.integers(10)] = strength
    return found


def learner() -> LogisticRegression:
    return LogisticRegression(C=0.1, max_iter=200)


def once(kind: str, strength: float, seed: int, n: int) -> dict[str, dict[str, float]]:
    """Return the accuracy in the target and the weights' error, by method."""
    rng = np.random.default_rng(seed)
    held = np.load(data_path("digits/mnist.npz"))
    X, y = held["x_train"].reshape(-1, 784) / 255, held["y_train"].astype(int)
    rows = rng.permutation(len(X))[:n]
    X, y = X[rows], y[rows]
    prior = shares(kind, strength, rng)
    of_test = held["y_test"].astype(int)
    drawn = rng.choice(len(of_test), n, p=prior[of_test] / np.bincount(of_test)[of_test])
    X_target, truth = held["x_test"].reshape(-1, 784)[drawn] / 255, of_test[drawn]
    reduced = PCA(50, whiten=True, random_state=0).fit(X)
    X, X_target = reduced.transform(X), reduced.transform(X_target)
    ratio = np.bincount(truth, minlength=10) / np.bincount(y, minlength=10)
    answers = {"unweighted": (learner().fit(X, y), np.ones(10))}
    answers["true weights"] = (learner().fit(X, y, sample_weight=ratio[y] / ratio[y].mean()), ratio)
    both, marked, _ = stack_domains(X, y, X_target)
    for method in METHODS:
        model = ReweightedClassifier(learner(), weighter=method).fit(both, marked)
        answers[method] = (model, model.class_weights_)
    return {
        name: {"accuracy": float(np.mean(model.predict(X_target) == truth)), "error": float(np.mean((w - ratio) ** 2))}
        for name, (model, w) in answers.items()
    }


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--minutes", type=float, default=10, help="after which no shift begins (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep what an earlier run has measured")
    args = options.parse_args()
    end, described = time.monotonic() + 60 * args.minutes, machine()
    results: dict[str, list] = earlier_results("label_shift", args)
    for seed in range(1 if args.quick else args.rounds):
        for kind, strength in SHIFTS[:1] if args.quick else SHIFTS:
            name = f"{kind}, {'rho' if kind == 'one digit' else 'alpha'} {strength:g}"
            if len(results.get(name, [])) > seed:
                continue
            if time.monotonic() > end:
                print(f"No time is left for {name}, seed {seed}.")
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = once(kind, strength, seed, 500 if args.quick else N_ROWS)
            results.setdefault(name, []).append(found)
            if args.output or not args.quick:
                write_results("label_shift", {"machine": described, "rows": N_ROWS, "results": results}, args)
    methods = ["unweighted", *METHODS, "true weights"]
    rows = [
        [name, len(runs), *(f"{100 * np.mean([run[method]['accuracy'] for run in runs]):.1f}" for method in methods),
         *(f"{np.mean([run[method]['error'] for run in runs]):.4f}" for method in METHODS)]
        for name, runs in results.items()
    ]  # fmt: skip
    print_table(["shift", "seeds", *methods, *(f"error, {method}" for method in METHODS)], rows)


if __name__ == "__main__":
    main()
