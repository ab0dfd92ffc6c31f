"""
=========================================
How much of a pretrained network to train
=========================================

A pretrained network can be left as it is, with a new linear head on top, or trained further: its last layers, all of
them, all of them after the head was solved first (LP-FT), or all of them from random values. `FineTunedClassifier`
makes that a parameter, so that a grid search can choose it.

The data are scikit-learn's handwritten digits, which look nothing like the photographs that the network was trained
on. The figure shows

- on the left, accuracy on held-out digits against the number of labelled ones, one curve a strategy;
- in the middle, the accuracy on a held-out part after each epoch: LP-FT starts from a solved head, a new head on top of
  a network that trains at once has to find its way first, and random values need far longer;
- on the right, what `GridSearchCV` finds in cross-validation, and its choice.
"""

# %%
# The data, and one classifier for all strategies: pictures at 32 pixels a side keep it quick, and
# are enough for digits of 8 x 8. Leave `image_size` out on photographs: a small size costs much accuracy there.

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import matplotlib

if "--show" not in sys.argv:
    matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split

from sktl.displays import LeaderboardDisplay
from sktl.finetuning import FineTunedClassifier

COLOURS = {
    "head": "#777777",
    "last": "#9ecae1",
    "full": "#d95f0e",
    "lp-ft": "#08519c",
    "scratch": "#31a354",
}


def digits(n_test: int):
    """Return pictures of 8 x 8 pixels, white on black, and their names: a pool to learn from, and a test set."""
    data = load_digits()
    pictures, names = (data.images * 255 / 16).astype(np.uint8), data.target.astype(str)
    return train_test_split(pictures, names, test_size=n_test, stratify=names, random_state=0)


def classifier(strategy: str, n_epochs: int, **params) -> FineTunedClassifier:
    return FineTunedClassifier(
        strategy=strategy, image_size=32, max_epochs=n_epochs, cache="memory", random_state=0, **params
    )


def few_of_each(y: np.ndarray, n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    return np.concatenate([rng.permutation(np.flatnonzero(y == name))[:n] for name in np.unique(y)])


# %%
# Accuracy by the number of labels.


def draw_labels(ax, X, y, X_test, y_test, shots, n_epochs: int) -> None:
    for strategy, colour in COLOURS.items():
        scores = []
        for n in shots:
            rows = few_of_each(y, n)
            scores.append(classifier(strategy, n_epochs).fit(X[rows], y[rows]).score(X_test, y_test))
        ax.plot(range(len(shots)), scores, "o-", color=colour, label=strategy)
    ax.set_xticks(range(len(shots)), shots)
    ax.set(title="Accuracy by number of labels", xlabel="labels a class", ylabel="accuracy on other digits")
    ax.legend(fontsize=9)
    tidy(ax)


# %%
# Accuracy by epoch: a part that is held out is scored after each one and stands in `history_`.


def draw_epochs(ax, X, y, n_labels: int, n_epochs: int) -> None:
    rows = few_of_each(y, n_labels)
    held_out = {"early_stopping": True, "validation_fraction": 0.4, "n_iter_no_change": 1000}
    for strategy, colour in COLOURS.items():
        if strategy == "head":
            fitting, checking, y_fitting, y_checking = train_test_split(
                X[rows], y[rows], test_size=0.4, stratify=y[rows], random_state=0
            )
            score = classifier("head", n_epochs).fit(fitting, y_fitting).score(checking, y_checking)
            ax.axhline(score, color=colour, linestyle=":", label="head, solved")
            continue
        history = classifier(strategy, n_epochs, **held_out).fit(X[rows], y[rows]).history_
        ax.plot([row["epoch"] for row in history], [row["valid_accuracy"] for row in history], color=colour)
    ax.set(title=f"Accuracy by epoch, {n_labels} labels a class", xlabel="epoch")
    tidy(ax)


# %%
# The grid's choice.


def draw_search(ax, X, y, n_labels: int, n_epochs: int) -> str:
    rows = few_of_each(y, n_labels)
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(classifier("head", n_epochs), {"strategy": list(COLOURS)}, cv=folds, error_score="raise")
    search.fit(X[rows], y[rows])
    chosen = search.best_params_["strategy"]
    LeaderboardDisplay.from_frame(
        search.cv_results_, name="param_strategy", score="mean_test_score", spread="std_test_score", ax=ax
    )
    ax.set(title=f"Cross-validation chooses {chosen!r}", xlabel=f"accuracy, {n_labels} labels a class")
    ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    ax.spines[["top", "right"]].set_visible(False)
    return chosen


def tidy(ax) -> None:
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy of fine-tuning by strategy.")
    parser.add_argument("--output", type=Path, default=Path("finetune_strategies.png"), help="where the figure goes")
    parser.add_argument("--show", action="store_true", help="open a window too")
    parser.add_argument("--quick", action="store_true", help="fewer digits and epochs")
    args = parser.parse_args()

    start = time.perf_counter()
    X, X_test, y, y_test = digits(100 if args.quick else 300)
    shots, n_labels, n_epochs = ((2, 4), 4, 2) if args.quick else ((2, 5, 10), 10, 6)
    figure, (labels_ax, epochs_ax, search_ax) = plt.subplots(1, 3, figsize=(15, 4.8), layout="constrained")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=FutureWarning)
        draw_labels(labels_ax, X, y, X_test, y_test, shots, n_epochs)
        draw_epochs(epochs_ax, X, y, n_labels, n_epochs)
        chosen = draw_search(search_ax, X, y, n_labels, n_epochs)
    figure.suptitle("Handwritten digits: how much of an ImageNet network to train", fontsize=15, fontweight="bold")
    figure.savefig(args.output, dpi=110)
    print(f"Cross-validation chooses {chosen!r}; {time.perf_counter() - start:.0f} s. The figure is in {args.output}.")
    if args.show:
        plt.show()


if __name__ == "__main__":
    main()
