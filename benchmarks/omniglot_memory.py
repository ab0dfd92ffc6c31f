"""Omniglot by model-based learners: accuracy on new characters with 95% confidence intervals, beside the papers'.

Protocol, data and test episodes are those of ``benchmarks/omniglot.py``. As in their papers, networks with an output
for each class are trained for each column by itself (`--columns`), with its ways and shots; the in-context learner is
trained once, on 20 ways and one shot, for all columns. Milliseconds are the median time to learn one new task of a
column and name its queries, through `FewShotClassifier`. MANN's paper had no convolutions: its published figures are
for the second and the fifth time that a class is shown, over flattened pixels; here it reads the codes of the same four
convolutions as the others.

Run ``python benchmarks/omniglot_memory.py --methods snail --columns 5w1s --minutes 10`` (ten minutes of training each),
or leave out `--minutes` for the full number of episodes, which wants a GPU.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from _common import earlier_results, machine, print_table, write_results
from omniglot import COLUMNS, data, measured, trained, with_options
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sktl.fewshot import FewShotClassifier, InContextLearner, MANNLearner, SNAILLearner
from sktl.model_selection import EpisodeSplit

NAMES = {f"{ways}w{shots}s": (ways, shots) for ways, shots in COLUMNS}
PUBLISHED = {
    "snail": dict(zip(NAMES, (99.07, 99.78, 97.64, 99.36))),
    "mann": {"5w1s": 82.8, "5w5s": 94.9},
}
LEARNERS: dict[str, Any] = {
    "snail": SNAILLearner(n_query=3, meta_batch_size=16, n_episodes=240_000, learning_rate=1e-3),
    "mann": MANNLearner(n_query=3, meta_batch_size=16, n_episodes=240_000, learning_rate=1e-3),
    "in context": InContextLearner(n_way=20, n_query=3, meta_batch_size=4, n_episodes=40_000),
}
SLOTS = 512  # of MANN's memory with 20 ways: more than a support set's rows times heads


def milliseconds(learner: Any, X: np.ndarray, y: np.ndarray, ways: int, shots: int) -> float:
    """Return the median time to learn a task and name 15 queries a class, or 5 for 20 ways."""
    seconds = []
    for support, query in EpisodeSplit(ways, shots, 15 if ways == 5 else 5, 12).split(X, y):
        began = time.perf_counter()
        FewShotClassifier(FrozenEstimator(learner)).fit(X[support], y[support]).predict(X[query])
        seconds.append(time.perf_counter() - began)
    return round(1000 * float(np.median(seconds[2:])), 1)


def trainings(name: str, columns: list[str]) -> dict[str, tuple[Any, list[str]]]:
    """Return the learners to train, each with the columns that it serves."""
    learner = LEARNERS[name]
    if not learner.has_fixed_outputs:
        return {name: (clone(learner), columns)}
    found = {}
    for column in columns:
        ways, shots = NAMES[column]
        found[f"{name}, {column}"] = (clone(learner).set_params(n_way=ways, n_shot=shots), [column])
        if name == "mann" and ways * shots * learner.n_heads > learner.n_slots:
            found[f"{name}, {column}"][0].set_params(n_slots=SLOTS)
    return found


def main() -> None:
    options = with_options(__doc__, list(LEARNERS), list(LEARNERS))
    options.add_argument("--columns", nargs="+", choices=list(NAMES), default=list(NAMES)[:2])
    args = options.parse_args()
    n_test = 50 if args.quick else 1000
    train, (X, y) = data(args)
    start, described, results = time.perf_counter(), machine(), earlier_results("omniglot_memory", args)
    for name in args.methods:
        for title, (learner, columns) in trainings(name, args.columns).items():
            row = trained(learner, train, args)
            for column in columns:
                ways, shots = NAMES[column]
                found = measured(learner, X, y, n_test, [NAMES[column]])[column]
                found |= {"published": PUBLISHED.get(name, {}).get(column)}
                found |= {"ms_per_task": milliseconds(learner, X, y, ways, shots), "method": name, **row}
                results[f"{name}, {column}"] = found
                print(title, column, found, flush=True)
    print()
    print_table(
        ["", "accuracy", "paper", "a new task, ms", "episodes", "training, s"],
        [
            [name, f"{r['mean']:.2f} +- {r['ci95']:.2f}", r["published"], r["ms_per_task"], r["n_episodes"],
             r["seconds"]]
            for name, r in results.items()
        ],
    )  # fmt: skip
    seconds = round(time.perf_counter() - start, 1)
    write_results("omniglot_memory", {"machine": described, "seconds": seconds, "results": results}, args)


if __name__ == "__main__":
    main()
