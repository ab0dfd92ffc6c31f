"""
============================================
Choosing a model without the target's labels
============================================

Domain adaptation has a loss, its weight and a number of epochs to choose, and no labels in the target to choose by.
Many results in papers are chosen by the target's test labels all the same. `sktl.metrics` has scorers that need none:
each is a ``scorer(estimator, X, y)`` that finds source and target by the mark in y, for ``scoring`` in a grid search
and for ``selection`` of the epoch.

Here scikit-learn's handwritten digits are the source, and other digits of theirs, turned and with uneven light, the
target. Models with several losses, weights and numbers of epochs are trained. Each panel is one scorer, each dot one
model: right is what the scorer thinks of it, up is the truth. The star is the model that the scorer picks, the line the
best of all, which only the true labels can name. A scorer need not know the accuracy; its star must be high.
"""

# %%
# The source, and the target in another light.

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib

if "--show" not in sys.argv:
    matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import rotate
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from sktl.adaptation import DomainAdaptedClassifier
from sktl.adaptation.losses import get_loss
from sktl.metrics import CheatingOracleScorer, get_domain_scorer
from sktl.model_selection import SourceTargetShuffleSplit

LOSSES = (None, "coral", "mmd", "dann", "cdan+e", "entropy", "mcc", "bnm")
FACTORS, EPOCHS = (0.3, 1.0, 5.0), (3, 8, 15)
SCORERS = {
    "labelled": "Accuracy in the source",
    "importance_weighted": "Importance-weighted accuracy",
    "deep_embedded_validation": "Deep embedded validation",
    "reverse_codes": "Reverse validation, on codes",
    "soft_neighborhood_density": "Soft neighbourhood density",
    "entropy": "Certainty (minus entropy)",
    "information_maximization": "Information maximisation",
    "source_target": "Weighted accuracy + information",
}
COLOURS = plt.get_cmap("tab10")


def two_domains(n: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows of both domains, y with -1 in the target, and the truth."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))[:n]
    X, truth = digits.images[order], digits.target[order]
    is_target = np.arange(len(X)) >= len(X) // 2
    light = np.linspace(0.4, 1.3, 8)[None, None, :] * X[is_target] + np.linspace(5, 0, 8)[:, None]
    X[is_target] = rotate(light, 20, axes=(1, 2), reshape=False, order=1, mode="nearest")
    return X.reshape(len(X), -1), np.where(is_target, -1, truth), truth


# %%
# Each training is watched by all scorers, on rows that it does not see.


class Watch:
    """Stands for a scorer of epochs: notes what every scorer says, and keeps the last epoch."""

    def __init__(self, scorers: dict, X: np.ndarray, y: np.ndarray, loss: str | None, epochs: tuple[int, ...]):
        self.scorers, self.X, self.y, self.loss, self.epochs = scorers, X, y, loss, epochs
        self.epoch, self.noted = 0, []

    def __call__(self, model: DomainAdaptedClassifier, X: np.ndarray, y: np.ndarray) -> float:
        """Return the number of the epoch: the last one is best."""
        self.epoch += 1
        if self.epoch in self.epochs:
            scores = {name: scorer(model, self.X, self.y) for name, scorer in self.scorers.items()}
            self.noted.append({"loss": self.loss, "epoch": self.epoch, **scores})
        return self.epoch


def weighted(loss: str | None, factor: float):
    if loss is None:
        return None
    made = get_loss(loss)
    return made.set_params(weight=factor * made.weight)


def watched(X: np.ndarray, y: np.ndarray, truth: np.ndarray, losses: tuple, epochs: tuple) -> list[dict]:
    """Return for each loss, weight and number of epochs what every scorer says, and the truth."""
    train, test = next(SourceTargetShuffleSplit(test_size=0.3).split(X, y))
    scorers = {name: get_domain_scorer(name) for name in SCORERS}
    scorers["truth"] = CheatingOracleScorer(truth[test])
    noted = []
    for loss in losses:
        for factor in FACTORS if loss else (1.0,):
            watch = Watch(scorers, X[test], y[test], loss, epochs)
            model = DomainAdaptedClassifier(
                loss=weighted(loss, factor), bottleneck=256, target_shares=None, max_epochs=max(epochs),
                selection=watch, random_state=0,
            )  # fmt: skip
            model.fit(X[train], y[train])
            noted += watch.noted
    return noted


# %%
# The figure.


def draw(noted: list[dict]) -> plt.Figure:
    truth = np.array([row["truth"] for row in noted])
    losses = list(dict.fromkeys(row["loss"] for row in noted))
    colours = [COLOURS(losses.index(row["loss"])) for row in noted]
    sizes = [12 + 3 * row["epoch"] for row in noted]
    figure, axes = plt.subplots(2, 4, figsize=(15, 7.6), sharey=True, layout="constrained")
    for ax, (name, title) in zip(axes.flat, SCORERS.items()):
        scores = np.array([row[name] for row in noted])
        picked = int(scores.argmax())
        ax.axhline(truth.max(), color="#999999", linewidth=1, linestyle="--", zorder=0)
        ax.scatter(scores, truth, c=colours, s=sizes, alpha=0.75, linewidth=0)
        ax.scatter(scores[picked], truth[picked], marker="*", s=330, c=[colours[picked]], edgecolor="black", zorder=3)
        ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))  # long numbers side by side
        ax.set_title(f"{title}\nits choice loses {100 * (truth.max() - truth[picked]):.1f} points", fontsize=11)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("true accuracy in the target")
    for ax in axes[-1]:
        ax.set_xlabel("score without target labels")
    handles = [
        plt.Line2D([], [], marker="o", linestyle="", color=COLOURS(i), label=loss or "source alone")
        for i, loss in enumerate(losses)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False,
                  title="loss; larger dots are later epochs")  # fmt: skip
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description="Scores without target labels against the true accuracy.")
    parser.add_argument("--output", type=Path, default=Path("choose_without_labels.png"), help="where the figure goes")
    parser.add_argument("--show", action="store_true", help="open a window too")
    parser.add_argument("--quick", action="store_true", help="fewer rows, losses and epochs")
    args = parser.parse_args()

    X, y, truth = two_domains(400 if args.quick else None)
    losses, epochs = (LOSSES[:2], (1, 2)) if args.quick else (LOSSES, EPOCHS)
    with threadpool_limits(1):  # small matrices: threads would wait for each other
        noted = watched(X, y, truth, losses, epochs)
    best = max(row["truth"] for row in noted)
    for name in SCORERS:
        chosen = max(noted, key=lambda row: row[name])
        print(f"{name:26} {chosen['truth']:.3f} of {best:.3f}: {chosen['loss']}, {chosen['epoch']} epochs")
    figure = draw(noted)
    figure.savefig(args.output, dpi=110)
    print(f"The figure is in {args.output}.")
    if args.show:
        plt.show()


if __name__ == "__main__":
    main()
