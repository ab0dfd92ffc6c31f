"""Omniglot, 5 and 20 ways, 1 and 5 shots: accuracy on new characters with 95% confidence intervals, beside the papers'.

Protocol: the split of Vinyals et al. as prototypical networks use it (1,028 + 172 characters to train on, 423 to test
on), each character turned by 0, 90, 180 and 270 degrees counting as four classes; 1,000 test episodes with 15 queries a
class (5 for 20 ways); the last state of training is tested, nothing is chosen by test classes. Also Lake's 20 official
one-shot runs within alphabets. One training serves all columns: one shot (MAML: one to five), ways as in `LEARNERS`;
methods with a head of a fixed size are tested on as many ways as they were trained for. BatchNorm is inductive unless
the name says transductive (queries normalised together), as most published figures of MAML are. MAML and Reptile take
four strided convolutions, without pooling, as in their papers. "Zero head" is the same from a head of
zeros (MAML then with one shot and 20 ways), and one training serves all columns.

Run ``python benchmarks/omniglot.py --methods protonet maml --minutes 10`` (ten minutes of training each), or leave out
`--minutes` for the full number of episodes, which wants a GPU. `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import torch
from _common import data_path, earlier_results, machine, parser, print_table, write_results
from sklearn.base import clone
from torch import nn

from sktl.fewshot import (
    FewShotClassifier,
    MAMLLearner,
    MatchingNetLearner,
    ProtoNetLearner,
    RelationNetLearner,
    ReptileLearner,
)
from sktl.model_selection import EpisodeScores, episode_scores

COLUMNS = ((5, 1), (5, 5), (20, 1), (20, 5))
PUBLISHED = {
    "protonet": (98.8, 99.7, 96.0, 98.9),
    "matching": (98.1, 98.9, 93.8, 98.5),
    "relation": (99.6, 99.8, 97.6, 99.1),
    "maml": (98.7, 99.9, 95.8, 98.9),
    "maml transductive": (98.7, 99.9, 95.8, 98.9),
    "maml zero head transductive": (98.7, 99.9, 95.8, 98.9),
    "reptile": (95.39, 98.90, 88.14, 96.65),
    "reptile zero head": (95.39, 98.90, 88.14, 96.65),
}


def strided_conv4() -> nn.Sequential:
    """Return the network that MAML's authors use on Omniglot: strides of two instead of pooling."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        stages = [
            (nn.Conv2d(n_in, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64), nn.ReLU()) for n_in in (1, 64, 64, 64)
        ]
        return nn.Sequential(*itertools.chain(*stages), nn.Flatten())


MAML: dict[str, Any] = {
    "backbone": strided_conv4(), "n_way": 5, "n_shot": (1, 5), "n_query": 5, "meta_batch_size": 4,
    "n_episodes": 160_000, "adapt_steps": 3,
}  # fmt: skip
LEARNERS: dict[str, Any] = {
    "protonet": ProtoNetLearner(n_way=30, n_query=5, n_episodes=10_000),
    "matching": MatchingNetLearner(n_way=20, n_query=5, n_episodes=20_000),
    "relation": RelationNetLearner(n_way=10, n_query=3, n_episodes=80_000),
    "maml": MAMLLearner(**MAML),
    "maml transductive": MAMLLearner(**MAML, batch_norm="transductive"),
    "maml zero head transductive": MAMLLearner(
        strided_conv4(),
        n_way=20,
        n_query=2,
        n_episodes=160_000,
        zero_head=True,
        learning_rate=2e-3,
        batch_norm="transductive",
    ),
    "reptile": ReptileLearner(strided_conv4(), n_episodes=300_000, n_query=1, meta_batch_size=5),
    "reptile zero head": ReptileLearner(
        strided_conv4(), n_episodes=300_000, n_query=1, meta_batch_size=5, zero_head=True, inner_learning_rate=3e-3
    ),
}


def characters(*splits: str, rotated: bool = False) -> tuple[np.ndarray, np.ndarray]:
    with np.load(data_path("omniglot/omniglot_28.npz")) as file:
        images = file["images"][np.isin(file["vinyals_split"], splits)]
    if rotated:
        images = np.concatenate([np.rot90(images, turns, (2, 3)) for turns in range(4)])
    return images.reshape(-1, 28, 28), np.repeat(np.arange(len(images)), 20)


def within(learner: Any, data: tuple, minutes: float) -> int:
    """Return how many episodes go into that time, by a try."""
    n_tried = 20 * learner.meta_batch_size
    began = time.perf_counter()
    clone(learner).set_params(n_episodes=n_tried).fit(*data)
    return max(n_tried, int(60 * minutes / (time.perf_counter() - began) * n_tried))


def lake_runs(learner: Any) -> EpisodeScores | None:
    """Return the accuracies of the 20 official runs: 20 ways, one shot, one alphabet a run."""
    if learner.has_fixed_outputs and learner.n_outputs_ < 20:
        return None
    with np.load(data_path("omniglot/omniglot_oneshot_runs.npz")) as runs:
        support, query, truth = runs["support"], runs["query"], runs["query_label"]
    scores = []
    for S, Q, labels in zip(support, query, truth):
        state = learner.adapt_to(S, np.arange(len(S)))
        scores.append((learner.logits(state, Q).argmax(1) == labels).mean())
    return EpisodeScores(np.array(scores))


def measured(model: Any, X: np.ndarray, y: np.ndarray, n_episodes: int, columns: Any = COLUMNS) -> dict[str, Any]:
    found = {}
    for ways, shots in columns:
        options = {"n_way": ways, "n_shot": shots, "n_query": 15 if ways == 5 else 5, "n_episodes": n_episodes}
        scores = episode_scores(model, X, y, **options)
        found[f"{ways}w{shots}s"] = {"mean": round(100 * scores.mean, 2), "ci95": round(100 * scores.ci95, 2)}
    return found


def trained(learner: Any, train: tuple, args: Any) -> dict[str, Any]:
    """Meta-train a learner, for as long as the options say; returns how long that was."""
    learner.set_params(rotations=True, device=args.device, precision=args.precision, random_state=0)
    if args.quick:
        learner.set_params(n_episodes=2 * learner.meta_batch_size, meta_batch_size=min(learner.meta_batch_size, 4))
    elif args.minutes:
        learner.set_params(n_episodes=within(learner, train, args.minutes))
    began = time.perf_counter()
    learner.fit(*train)
    seconds = round(time.perf_counter() - began, 1)
    return {"n_episodes": learner.n_episodes, "seconds": seconds, "precision": args.precision}


def data(args: Any) -> tuple[tuple, tuple]:
    """Return the characters to train on, and those to test on, of which a quick run takes some."""
    if args.threads:
        torch.set_num_threads(args.threads)
    train, (X, y) = characters("train", "val"), characters("test", rotated=True)
    return train, (X[y < 60], y[y < 60]) if args.quick else (X, y)


def with_options(description: str, methods: list[str], default: list[str]) -> Any:
    options = parser(description, rounds=1)
    options.add_argument("--methods", nargs="+", choices=methods, default=default)
    options.add_argument("--minutes", type=float, help="of each training, instead of its number of episodes")
    options.add_argument("--device", default="auto")
    options.add_argument("--precision", default="auto", help="of training and testing (default: %(default)s)")
    options.add_argument("--threads", type=int, help="torch's threads (default: torch's own choice)")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds of other methods")
    return options


def main() -> None:
    args = with_options(__doc__, list(LEARNERS), ["protonet"]).parse_args()
    n_test = 50 if args.quick else 1000
    train, (X, y) = data(args)
    start, described, results = time.perf_counter(), machine(), earlier_results("omniglot", args)
    if (reference := "nearest neighbour of pixels") not in results:
        pixels = FewShotClassifier("nearest")
        results[reference] = {"test": measured(pixels, X.reshape(len(X), -1), y, min(n_test, 200))}
    for name in args.methods:
        learner = clone(LEARNERS[name])
        if name == "protonet":
            untrained = clone(learner).set_params(n_episodes=1, learning_rate=1e-9, random_state=0).fit(*train)
            results["untrained encoder"] = {"test": measured(untrained, X, y, min(n_test, 200))}
        row: dict[str, Any] = {"published": PUBLISHED[name], "n_way": learner.n_way, **trained(learner, train, args)}
        columns = [column for column in COLUMNS if column[0] == learner.n_way or not learner.has_fixed_outputs]
        row["test"] = measured(learner, X, y, n_test, columns)
        lake = lake_runs(learner)
        if lake is not None:
            row["lake_runs"] = {"mean": round(100 * lake.mean, 2), "ci95": round(100 * lake.ci95, 2)}
        results[name] = row
        print(name, row, flush=True)
    print()
    cells = [f"{ways}w{shots}s" for ways, shots in COLUMNS]
    rows = []
    for name, row in results.items():
        found = [f"{t['mean']:.2f} +- {t['ci95']:.2f}" if (t := row["test"].get(cell)) else None for cell in cells]
        lake_text = f"{row['lake_runs']['mean']:.1f}" if "lake_runs" in row else None
        papers = " / ".join(map(str, row["published"])) if "published" in row else None
        rows.append([name, *found, lake_text, papers, row.get("n_episodes"), row.get("seconds")])
    print_table(["", *cells, "Lake's runs", "papers", "episodes", "training, s"], rows)
    seconds = round(time.perf_counter() - start, 1)
    write_results("omniglot", {"machine": described, "seconds": seconds, "results": results}, args)


if __name__ == "__main__":
    main()
