"""Words, pairs of words and letters as features of few texts, alone and side by side.

Claim: a logistic regression on all three together is ahead of one on words alone, the usual baseline of scikit-learn,
on opinions and on topics, on reviews and on their titles; so the advisor and the automatic road take it where texts are
short enough for the time it takes.

Protocol: reviews of four kinds of goods. "opinions": for or against, on each kind of goods by itself. "topics": which
of the four kinds, or of books and films alone. Reviews with their titles, or titles alone. So many texts a class to
learn from, drawn anew each time, and up to 600 others to test on; all contenders see the same. Each is tf-idf and a
logistic regression with C=10. Seconds are the processor's, of fitting. The test pairs data sets, each the mean of its
sizes and draws (Wilcoxon's signed ranks, two-sided).

Results are written after each case; ``--resume`` goes on from the file and ``--minutes`` bounds the run. Run
``python benchmarks/words_and_letters.py``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import itertools
import json
import lzma
import time
from typing import Any

import numpy as np
from _common import data_path, earlier_results, machine, parser, print_table, write_results
from scipy.stats import wilcoxon
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktl.advisor._text_models import letters, pairs_of_words, words, words_and_letters

FEATURES = {"words": words, "pairs of words": pairs_of_words, "letters": letters, "all three": words_and_letters}
SIZES = (10, 50, 150, 300)
MOST_TESTED, DRAWS = 600, 3


def data_sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return texts and labels by name."""
    with lzma.open(data_path("amazon_reviews/reviews.jsonl.xz"), "rt", encoding="utf8") as lines:
        rows = [json.loads(line) for line in lines]
    goods, opinions = np.array([row["domain"] for row in rows]), np.array([row["label"] for row in rows])
    titles = np.array([row["title"] for row in rows], dtype=object)
    texts = np.array([f"{row['title']} {row['text']}" for row in rows], dtype=object)
    found = {f"opinions on {kind}": (texts[goods == kind], opinions[goods == kind]) for kind in np.unique(goods)}
    is_art = np.isin(goods, ["books", "dvd"])
    return found | {
        "topics of reviews": (texts, goods), "books or films": (texts[is_art], goods[is_art]),
        "topics of titles": (titles, goods), "opinions of titles": (titles, opinions),
    }  # fmt: skip


def one_case(X: np.ndarray, y: np.ndarray, n_each: int, draw: int) -> dict[str, dict[str, float]]:
    """Return accuracy and seconds of each kind of features."""
    order = np.random.default_rng([draw, n_each]).permutation(len(y))
    train = np.concatenate([order[y[order] == label][:n_each] for label in np.unique(y)])
    test = np.setdiff1d(order, train)
    test = np.random.default_rng(draw).permutation(test)[:MOST_TESTED]
    found = {}
    for name, features in FEATURES.items():
        start = time.process_time()
        model = make_pipeline(features(), LogisticRegression(C=10.0, max_iter=1000)).fit(X[train], y[train])
        seconds = time.process_time() - start
        accuracy = float(np.mean(model.predict(X[test]) == y[test]))
        found[name] = {"accuracy": round(accuracy, 4), "seconds": round(seconds, 3)}
    return found


def summary(cases: dict[str, dict]) -> dict[str, dict[str, float]]:
    """Return of each kind of features the mean accuracy, its gain on words, and the test over data sets."""
    found = {}
    for name in FEATURES:
        gains: dict[str, list[float]] = {}
        for label, case in cases.items():
            gains.setdefault(label.split(",")[0], []).append(case[name]["accuracy"] - case["words"]["accuracy"])
        means = 100 * np.array([np.mean(values) for values in gains.values()])
        p = float(wilcoxon(means).pvalue) if len(means) > 1 and np.any(means) else 1.0
        found[name] = {
            "accuracy": round(100 * float(np.mean([case[name]["accuracy"] for case in cases.values()])), 2),
            "gain": round(float(means.mean()), 2), "least": round(float(means.min()), 2),
            "most": round(float(means.max()), 2), "p": round(p, 4), "sets": len(means),
            "seconds": round(float(np.mean([case[name]["seconds"] for case in cases.values()])), 3),
        }  # fmt: skip
    return found


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--minutes", type=float, default=20.0, help="no case is begun later (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    start, described = time.monotonic(), machine()
    results: dict[str, Any] = {"cases": {}, **(earlier_results("words_and_letters", args) or {})}
    every = data_sets()
    if args.quick:
        every = {"opinions of titles": every["opinions of titles"]}
    for draw, n, (name, (X, y)) in itertools.product(range(1 if args.quick else DRAWS), SIZES, every.items()):
        label = f"{name}, {n} a class, draw {draw + 1}"
        if (args.quick and n > SIZES[0]) or label in results["cases"] or time.monotonic() - start > 60 * args.minutes:
            continue
        results["cases"][label] = one_case(X, y, n, draw)
        print(label, {name: one["accuracy"] for name, one in results["cases"][label].items()}, flush=True)
        write_results("words_and_letters", {"machine": described, "results": results}, args)
    results["summary"] = rows = summary(results["cases"])
    write_results("words_and_letters", {"machine": described, "results": results}, args)
    print_table(["features", *rows["words"]], [[name, *row.values()] for name, row in rows.items()])


if __name__ == "__main__":
    main()
