"""Sinusoid regression: the error of a new sine after 0, 1, 5 and 10 gradient steps, by meta-learner.

Claim: MAML, first-order MAML, Meta-SGD and Reptile learn to learn sines from 5 or 10 points; MAML with 10 points comes
to an error of at most 0.45 after one step and of 0.13 after ten.

Protocol (Finn et al. 2017): amplitudes from 0.1 to 5, phases from 0 to pi, x from -5 to 5, two hidden layers of 40
units, inner rate 0.01, 25 tasks an update. Tested on 600 new sines, 100 other points of each. All learners take
`--updates` updates; MAML is trained with one inner step, and rates learned for that one step (Meta-SGD) need not
bear several. The LSTM meta-learner is trained with ten steps, at a rate of its own; an update of it takes some thirty
times as long as one of MAML, and it takes a thirtieth of the updates. A conditional neural process takes no steps:
it is trained on the same number of tasks, and read off once. Beside the errors stands the time to learn one new sine
and answer 100 points (10 steps for the learners that take steps), and, with `--mixture`, the errors on sines and lines
mixed, of MAML with one start for all and with a start conditioned on the task. Run
``python benchmarks/sinusoid.py``.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from _common import earlier_results, machine, parser, print_table, write_results
from sklearn.frozen import FrozenEstimator
from torch import nn

from sktl.exceptions import DivergenceError
from sktl.fewshot import (
    ConditionalNeuralProcessLearner,
    FewShotRegressor,
    MAMLLearner,
    MetaLSTMLearner,
    ReptileLearner,
)
from sktl.model_selection import episode_scores

STEPS = (0, 1, 5, 10)
PUBLISHED = {("MAML", 5): 1.13, ("MAML", 10): 0.77, ("Meta-SGD", 5): 0.90, ("Meta-SGD", 10): 0.53}  # after one step
DIVERGED = 100.0  # an error beyond this is reported as none
POINTS = 40  # of a sine that is trained on


def sines(n: int, n_points: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    amplitude, phase = rng.uniform(0.1, 5, (n, 1)), rng.uniform(0, np.pi, (n, 1))
    x = rng.uniform(-5, 5, (n, n_points))
    return x.reshape(-1, 1), (amplitude * np.sin(x - phase)).ravel(), np.repeat(np.arange(n), n_points)


def sines_and_lines(n: int, n_points: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y, task = sines(n, n_points, seed)
    slope, offset = rng.uniform(-3, 3, (n, 1)), rng.uniform(-3, 3, (n, 1))
    is_line = np.repeat(rng.random(n) < 0.5, n_points)
    return x, np.where(is_line, (slope * x.reshape(n, -1) + offset).ravel(), y), task


def body() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU())


def learners(k: int, updates: int) -> dict[str, Any]:
    common: dict[str, Any] = {
        "backbone": body(), "n_shot": k, "n_query": 20, "inner_learning_rate": 0.01, "meta_batch_size": 25,
        "n_episodes": 25 * updates, "learning_rate": 5e-3, "random_state": 0,
    }  # fmt: skip
    reptile = {
        **common, "n_shot": 2 * k, "n_query": 5, "inner_learning_rate": 0.01, "inner_optimizer": "sgd",
        "inner_batch_size": k, "inner_steps": 10, "learning_rate": 0.5,
    }  # fmt: skip
    slower = {"learning_rate": 1e-2, "n_episodes": 25 * max(1, updates // 30)}
    return {
        "MAML": MAMLLearner(**common),
        "FOMAML": MAMLLearner(**common, order=1),
        "Meta-SGD": MAMLLearner(**common, learned_rates="parameter"),
        "Reptile": ReptileLearner(**reptile),
        "Meta-LSTM": MetaLSTMLearner(**(common | slower), inner_steps=10, hidden=10),
        "CNP": ConditionalNeuralProcessLearner(
            n_shot=k, n_query=20, meta_batch_size=25, n_episodes=25 * updates, random_state=0
        ),
    }


def mixture_learners(k: int, updates: int) -> dict[str, Any]:
    every = learners(k, updates)
    maml = every["MAML"]
    return {
        "MAML": maml,
        "MAML, conditioned": MAMLLearner(**{**maml.get_params(), "embedding_size": 64}),
        "CNP": every["CNP"],
    }


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--updates", type=int, default=12_000, help="of each learner (default: %(default)s)")
    options.add_argument("--minutes", type=float, help="for each learner, instead of a number of updates")
    options.add_argument("--mixture", action="store_true", help="sines and lines instead of sines")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    updates = 60 if args.quick else args.updates
    made = sines_and_lines if args.mixture else sines
    train, test = made(500 if args.quick else 50_000, POINTS, 0), made(50 if args.quick else 600, 110, 1)
    name_of_file = "sinusoid_mixture" if args.mixture else "sinusoid"
    start, described = time.perf_counter(), machine()
    results: list[dict[str, Any]] = list(earlier_results(name_of_file, args))
    for k in (5, 10):
        for name, learner in (mixture_learners if args.mixture else learners)(k, updates).items():
            if any((r["method"], r["shots"]) == (name, k) for r in results):
                continue
            if args.minutes and not args.quick:
                learner.set_params(n_episodes=25 * within(learner, train, args.minutes))
            began = time.perf_counter()
            learner.fit(train[0], train[1], groups=train[2])
            row = {
                "method": name,
                "shots": k,
                "updates": learner.n_iter_,
                "seconds": round(time.perf_counter() - began, 1),
            }
            takes_steps = "adapt_steps" in learner.get_params()
            for steps in STEPS if takes_steps else (None,):
                if takes_steps:
                    learner.set_params(adapt_steps=steps)
                scores = episode_scores(
                    learner, test[0], test[1], groups=test[2], n_shot=k, n_query=100,
                    n_episodes=50 if args.quick else 600,
                )  # fmt: skip
                is_finite = bool(np.isfinite(scores.scores).all()) and scores.mean < DIVERGED
                after = "" if steps is None else f"_{steps}"
                row[f"mse{after}"] = round(scores.mean, 4) if is_finite else None
                row[f"ci95{after}"] = round(scores.ci95, 4) if is_finite else None
            row["ms_per_task"] = milliseconds_per_task(learner, test, k)
            results.append({**row, "published_1_step": None if args.mixture else PUBLISHED.get((name, k))})
            print(results[-1], flush=True)
    results.sort(key=lambda row: row["shots"])
    print()
    header = ["points", "method", *(f"{steps} steps" for steps in STEPS), "no steps", "published, 1 step",
              "a new task, ms", "training, s"]  # fmt: skip
    print_table(
        header,
        [
            [r["shots"], r["method"], *(shown(r, f"_{steps}") for steps in STEPS), shown(r, ""),
             r["published_1_step"], r["ms_per_task"], r["seconds"]]
            for r in results
        ],
    )  # fmt: skip
    seconds = round(time.perf_counter() - start, 1)
    write_results(name_of_file, {"machine": described, "seconds": seconds, "results": results}, args)


def milliseconds_per_task(learner: Any, test: tuple, k: int) -> float | None:
    """Return the median time to learn one task from k points and answer 100 others; None where learning diverges."""
    x, y, task = test
    seconds = []
    for number in range(22):
        rows = np.flatnonzero(task == number)
        began = time.perf_counter()
        model = FewShotRegressor(FrozenEstimator(learner))
        try:
            model.fit(x[rows[:k]], y[rows[:k]]).predict(x[rows[k : k + 100]])
        except DivergenceError:
            return None
        seconds.append(time.perf_counter() - began)
    return round(1000 * float(np.median(seconds[2:])), 2)


def shown(row: dict[str, Any], after: str) -> str | None:
    if f"mse{after}" not in row:
        return None
    mean, width = row[f"mse{after}"], row[f"ci95{after}"]
    return "diverges" if mean is None else f"{mean:.3f} +- {width:.3f}"


def within(learner: Any, train: tuple, minutes: float) -> int:
    """Return how many updates go into that time, by a try."""
    n_tried = 200
    tried = learner.set_params(n_episodes=25 * n_tried)
    began = time.perf_counter()
    tried.fit(train[0], train[1], groups=train[2])
    return max(n_tried, int(60 * minutes / (time.perf_counter() - began) * n_tried))


if __name__ == "__main__":
    main()
