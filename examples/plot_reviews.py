"""
===========================================
From reviews of other goods to book reviews
===========================================

Reviews of films, of electronics or of kitchen goods have labels, reviews of books have none. Words of praise are partly
the same, partly not: a blender is sturdy, a novel is moving. All steps stand in a plain `Pipeline` of scikit-learn:
tf-idf, an aligner of `sktl.aligners`, and a classifier inside `LabelledOnly`, which keeps the unlabelled rows from it.
Unlabelled rows have -1 for a label, so that a grid search over aligners needs no routing; it chooses by a score that
needs no labels of books.

Left: accuracy on books by what stands before the classifier, and what the grid has chosen. It need not be the best one.
Right: words that occur in book reviews alone. A classifier of film reviews has never seen them. Behind
`StructuralCorrespondence` they count, for they come with words that tell praise from blame in both.

The data are Blitzer's Amazon reviews where the variable ``SKTL_DATA`` names a folder that has them, and reviews written
by a small grammar otherwise.
"""

# %%
# Reviews of four kinds of goods.

from __future__ import annotations

import argparse
import json
import lzma
import os
import sys
from pathlib import Path

import matplotlib

if "--show" not in sys.argv:
    matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits

from sktl.aligners import CORALAligner, DomainStandardizer, LabelledOnly, StructuralCorrespondence
from sktl.metrics import get_domain_scorer

REVIEWS = Path(os.environ.get("SKTL_DATA", "nowhere")) / "amazon_reviews" / "reviews.jsonl.xz"
SOURCES = {"dvd": "films", "electronics": "electronics", "kitchen": "kitchen goods"}
COLOURS = {
    "tf-idf alone": "#9e9e9e",
    "standardised by domain": "#9ecae1",
    "CORAL": "#4292c6",
    "structural correspondence": "#08519c",
}

COMMON = ("great excellent love perfect wonderful best", "bad poor terrible awful disappointing worst")
OWN = {
    "books": ("insightful readable moving thoughtful engaging", "tedious shallow rambling misleading unreadable"),
    "dvd": ("gripping funny moving stunning engaging", "tedious wooden predictable shallow unwatchable"),
    "electronics": ("fast reliable crisp durable clear", "broken noisy slow defective misleading"),
    "kitchen": ("sturdy handy sharp durable easy", "flimsy leaking rusty broken defective"),
}
THINGS = {
    "books": "chapter author story reader pages novel history writing",
    "dvd": "scene actor story viewer film director picture plot",
    "electronics": "battery screen cable sound device manual signal button",
    "kitchen": "pan blade handle lid oven mixer knife bowl",
}


def amazon() -> dict[str, tuple[list[str], np.ndarray]]:
    """Return half of the texts and labels of each kind of goods."""
    with lzma.open(REVIEWS, "rt", encoding="utf8") as lines:
        reviews = [json.loads(line) for line in lines]
    return {
        name: (
            [f"{one['title']} {one['text']}" for one in reviews if one["domain"] == name][::2],
            np.array([one["label"] for one in reviews if one["domain"] == name])[::2],
        )
        for name in ("books", *SOURCES)
    }


def written(n: int) -> dict[str, tuple[list[str], np.ndarray]]:
    """Return reviews by a small grammar: words for things, of praise and of complaint, some of them out of place."""
    rng = np.random.default_rng(0)
    found = {}
    for name in ("books", *SOURCES):
        y = rng.integers(2, size=n)
        texts = []
        for label in y:
            words = list(rng.choice(THINGS[name].split(), 6))
            for own in (False, False, True, True, True):
                sign = label if rng.random() < 0.72 else 1 - label
                words.append(rng.choice((OWN[name] if own else COMMON)[1 - sign].split()))
            texts.append(" ".join(rng.permutation(words)))
        found[name] = texts, y
    return found


# %%
# The pipeline, and what may stand in its middle. CORAL needs fewer columns than rows, so that tf-idf is brought to some
# directions first; structural correspondence works on words.


def aligners(n_directions: int) -> dict[str, object]:
    def directions() -> TruncatedSVD:
        return TruncatedSVD(n_directions, random_state=0)

    return {
        "tf-idf alone": "passthrough",
        "standardised by domain": make_pipeline(directions(), DomainStandardizer()),
        "CORAL": make_pipeline(directions(), CORALAligner()),
        "structural correspondence": StructuralCorrespondence(n_components=20 if n_directions < 50 else 50),
    }


def pipeline() -> Pipeline:
    steps = [
        ("words", TfidfVectorizer(min_df=2, max_features=5000, sublinear_tf=True)),
        ("aligner", "passthrough"),
        ("model", LabelledOnly(LogisticRegression(max_iter=500))),
    ]
    return Pipeline(steps)


# %%
# The grid: aligners, each with its own strength of the classifier, for rows are longer behind some than behind others.


def grid(choices: dict[str, object]) -> list[dict]:
    strengths = {"standardised by domain": 0.01, "CORAL": 10.0}
    return [
        {"aligner": [aligner], "model__estimator__C": [strengths.get(name, 1.0)]} for name, aligner in choices.items()
    ]


def compared(goods: dict, source: str, n_directions: int) -> tuple[dict[str, float], str]:
    """Return the accuracy on books with each aligner, and what the grid has chosen."""
    texts, truth = goods["books"]
    X = goods[source][0] + texts
    y = np.concatenate([goods[source][1], np.full(len(texts), -1)])
    choices = aligners(n_directions)
    search = GridSearchCV(pipeline(), grid(choices), scoring=get_domain_scorer(), cv=3).fit(X, y)
    names = list(choices)
    accuracies = {
        name: float(np.mean(pipeline().set_params(**params).fit(X, y).predict(texts) == truth))
        for name, params in zip(names, search.cv_results_["params"])
    }
    return accuracies, names[search.best_index_]


def words_of_books(goods: dict, source: str, n_directions: int, most: int = 8) -> dict[str, float]:
    """Return words that occur in book reviews alone, with what each adds to a review's score: the largest ones."""
    texts = goods["books"][0]
    y = np.concatenate([goods[source][1], np.full(len(texts), -1)])
    model = pipeline().set_params(aligner=aligners(n_directions)["structural correspondence"])
    model.fit(goods[source][0] + texts, y)
    held = model["words"].transform(goods[source][0]), model["words"].transform(texts)
    here, there = (np.asarray((rows > 0).sum(axis=0)).ravel() for rows in held)
    alone = sparse.eye(len(here), format="csr")
    nothing = model[1:].decision_function(sparse.csr_matrix((1, len(here))))
    added = model[1:].decision_function(alone) - nothing
    only = np.flatnonzero((here == 0) & (there >= 8))
    order = only[np.argsort(added[only])]
    kept = np.concatenate([order[:most], order[-most:]]) if len(order) > 2 * most else order
    return dict(zip(model["words"].get_feature_names_out()[kept], added[kept]))


# %%
# The figure.


def draw(
    found: dict[str, dict[str, float]], chosen: dict[str, str], words: dict[str, float], source: str
) -> plt.Figure:
    figure, (bars, counts) = plt.subplots(1, 2, figsize=(13, 5.6), width_ratios=(3, 2), layout="constrained")
    at = np.arange(len(found))
    for i, (name, colour) in enumerate(COLOURS.items()):
        heights = [row[name] for row in found.values()]
        bars.bar(at + 0.2 * (i - 1.5), heights, 0.18, color=colour, label=name)
        for x, height, pick in zip(at + 0.2 * (i - 1.5), heights, chosen.values()):
            bars.text(x, height + 0.004, f"{100 * height:.0f}", ha="center", fontsize=9)
            if pick == name:
                bars.text(x, height + 0.022, "chosen", ha="center", fontsize=9, fontweight="bold", color="#d95f02")
    values = [value for row in found.values() for value in row.values()]
    bars.set_ylim(max(0, min(values) - 0.1), min(1.05, max(values) + 0.06))
    bars.set_xticks(at, list(found))
    bars.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    bars.set_title("Accuracy on books, of which none is labelled", fontsize=12)
    bars.legend(loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=2, frameon=False)
    counts.barh(list(words), list(words.values()), color=["#08519c" if v > 0 else "#d95f02" for v in words.values()])
    counts.axvline(0, color="#777777", linewidth=0.8)
    counts.set_xlabel("blame  <      what the word adds to the score      >  praise")
    counts.set_title(f"Words of book reviews alone, learned from {source}", fontsize=12)
    for ax in (bars, counts):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description="Opinions on books, learned from reviews of other goods.")
    parser.add_argument("--output", type=Path, default=Path("reviews.png"), help="where the figure goes")
    parser.add_argument("--show", action="store_true", help="open a window too")
    parser.add_argument("--quick", action="store_true", help="fewer reviews, from films alone")
    args = parser.parse_args()

    is_real = REVIEWS.exists()
    goods = amazon() if is_real else written(300 if args.quick else 1000)
    n_directions = 100 if is_real else 20  # the grammar has few words
    found, chosen = {}, {}
    with threadpool_limits(1):
        for source in ["dvd"] if args.quick else list(SOURCES):
            title = f"from {SOURCES[source]}"
            found[title], chosen[title] = compared(goods, source, n_directions)
            print(title, {name: round(value, 3) for name, value in found[title].items()}, "chosen:", chosen[title])
        words = words_of_books(goods, "dvd", n_directions)
    figure = draw(found, chosen, words, SOURCES["dvd"])
    figure.savefig(args.output, dpi=110)
    print(f"The figure is in {args.output}.")
    if args.show:
        plt.show()


if __name__ == "__main__":
    main()
