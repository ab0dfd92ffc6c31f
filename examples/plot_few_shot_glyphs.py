"""
================================================
Unseen characters, learned from one example each
================================================

A network that has learned to compare characters can tell new ones apart from a single example. Here everything comes
from matplotlib's own fonts: Latin letters, digits, Greek, Cyrillic and mathematical signs in a dozen styles, each
shifted, turned and slanted at random.

- Meta-training: a prototypical network sees small tasks, "here is one example of each of 20 characters, name these
  others", drawn from most of the characters.
- Then come characters that it has never seen. Five of them, one example each, are its support set: learning is taking
  the mean of their codes, with no further training.

The figure shows one such task, support and queries with the predictions, and, over many tasks, accuracy by the number
of examples: of the network, of the same network before meta-training, and of the nearest neighbour in pixels.
"""

# %%
# The characters: a class for each, a row for each style.

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import matplotlib

if "--show" not in sys.argv:
    matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.frozen import FrozenEstimator

from sktl.datasets import GLYPHS, make_glyphs
from sktl.displays import PredictionsDisplay
from sktl.fewshot import FewShotClassifier, ProtoNetClassifier, ProtoNetLearner
from sktl.model_selection import episode_scores

COLOURS = {"meta-trained": "#08519c", "the same, untrained": "#9ecae1", "pixels, nearest neighbour": "#777777"}
SHOTS = (1, 2, 3, 5)


# %%
# Meta-training on most of the characters; the others are kept for later, no one of them seen before.


def split(seed: int) -> tuple[str, str]:
    order = np.random.default_rng(seed).permutation(list(GLYPHS))
    return "".join(order[:100]), "".join(order[100:])


def learner(n_episodes: int) -> ProtoNetLearner:
    return ProtoNetLearner(
        "conv4", n_way=20, n_shot=1, n_query=4, n_episodes=n_episodes, image_size=20, learning_rate=2e-3, random_state=0
    )


# %%
# Accuracy on tasks of five new characters, by the number of examples.


def curves(models: dict, X: np.ndarray, y: np.ndarray, n_episodes: int) -> dict[str, list]:
    found: dict[str, list] = {name: [] for name in models}
    for name, model in models.items():
        rows = X.reshape(len(X), -1) if name.startswith("pixels") else X
        for shots in SHOTS:
            scores = episode_scores(model, rows, y, n_way=5, n_shot=shots, n_query=5, n_episodes=n_episodes)
            found[name].append((scores.mean, scores.ci95))
    return found


def one_task(X: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows for support and queries: five characters, one example each, and three others of each."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(np.unique(y))[:5]
    rows = np.array([rng.permutation(np.flatnonzero(y == character))[:7] for character in chosen])
    return rows[:, 0], rows[:, 1:]


def draw(network: ProtoNetLearner, scores: dict, X: np.ndarray, y: np.ndarray, n_base: int, seconds: float):
    fig = plt.figure(figsize=(13, 6.4), layout="constrained")
    task, chart = fig.subfigures(1, 2, width_ratios=[1.35, 1])
    support, queries = one_task(X, y, seed=0)
    model = ProtoNetClassifier(encoder=FrozenEstimator(network)).fit(X[support], y[support])
    above, below = task.subfigures(2, 1, height_ratios=[1, 3.4])
    above.suptitle("One example of each of five characters that it has never seen,", fontsize=12)
    examples = above.subplots()
    examples.imshow(np.concatenate(list(255 - X[support]), axis=1), cmap="gray")
    examples.set_axis_off()
    below.suptitle("and what others are taken for: the most wrong ones first", fontsize=12)
    rows = queries.ravel()
    PredictionsDisplay.from_predictions(
        255 - X[rows], y[rows], model.predict(X[rows]), y_proba=model.predict_proba(X[rows]), classes=model.classes_,
        n_pictures=12, ax=below.subplots(),
    )  # fmt: skip
    ax = chart.subplots()
    for name, values in scores.items():
        mean, ci95 = np.array(values).T
        ax.errorbar(SHOTS, mean, ci95, marker="o", color=COLOURS[name], label=name, capsize=3, linewidth=2)
    ax.axhline(0.2, color="#aaaaaa", linestyle=":", label="chance")
    ax.set(xlabel="examples of each character", ylim=(0.15, 1.02), xticks=SHOTS)
    ax.set_title("Accuracy on tasks of five unseen characters (95% intervals)", fontsize=12)
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="lower right")
    best = scores["meta-trained"][0][0]
    fig.suptitle(
        f"Meta-trained on {n_base} characters for {seconds:.0f} s, unseen ones from one example: {best:.0%}",
        fontsize=15, fontweight="bold",
    )  # fmt: skip
    return fig


def main() -> None:
    parser = argparse.ArgumentParser(description="Learns unseen characters from one example each.")
    parser.add_argument("--output", type=Path, default=Path("few_shot_glyphs.png"), help="where the figure goes")
    parser.add_argument("--show", action="store_true", help="open a window too")
    parser.add_argument("--quick", action="store_true", help="little training, few tasks")
    args = parser.parse_args()

    base, new = split(seed=0)
    X_base, y_base = make_glyphs(base, random_state=1)
    X_new, y_new = make_glyphs(new, random_state=2)
    start = time.perf_counter()
    network = learner(20 if args.quick else 400).fit(X_base, y_base)
    seconds = time.perf_counter() - start
    untrained = learner(1).set_params(learning_rate=1e-9).fit(X_base, y_base)
    models = dict(zip(COLOURS, (network, untrained, FewShotClassifier("nearest"))))
    scores = curves(models, X_new, y_new, n_episodes=20 if args.quick else 300)
    figure = draw(network, scores, X_new, y_new, len(base), seconds)
    figure.savefig(args.output, dpi=110)
    print(f"The figure is in {args.output}.")
    if args.show:
        plt.show()


if __name__ == "__main__":
    main()
