"""
====================================================
Three roads to learning a new task from few examples
====================================================

Meta-learners differ in what they hand over to a new task.

- **A space** in which the nearest class mean is right: a prototypical network. Learning a task is taking means.
- **A reader**: SNAIL reads the examples as a sequence and answers from its activations. Learning is reading.
- **A start**: MAML hands over weights from which a few gradient steps suffice. Learning is training, briefly.

All three are meta-trained on characters that come from matplotlib's own fonts, and then learn five characters that none
of them has seen. The figure shows the accuracy by the number of examples, and what one new task costs.

Meta-training is cut short here, to some half a minute each, so that the example runs in two minutes: on two cores the
roads differ in how far they get in that time as much as in how far they lead. Readers need the most of it.
"""

# %%
# The characters are those of ``plot_few_shot_glyphs.py``: a class for each, a row for each style.

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib

if "--show" not in sys.argv:
    matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.frozen import FrozenEstimator

from sktl.datasets import GLYPHS, make_glyphs
from sktl.fewshot import FewShotClassifier, MAMLLearner, ProtoNetLearner, SNAILLearner
from sktl.model_selection import EpisodeSplit, episode_scores

SHOTS = (1, 2, 3, 5)
ROADS = {
    "ProtoNet: a space": "#08519c",
    "SNAIL: a reader": "#d94801",
    "MAML: a start": "#238b45",
}

# %%
# The learners. SNAIL and MAML have an output for each of five classes; SNAIL sees episodes of one to five examples a
# class, so that it can read any number of them.


def learners(share: float) -> dict[str, Any]:
    """Return the three learners, with a share of their full episodes."""
    common: dict[str, Any] = {"backbone": "conv4", "image_size": 14, "n_query": 3, "random_state": 0}
    snail: dict[str, Any] = {"n_way": 5, "n_shot": (1, 5), "filters": 64, "meta_batch_size": 8}
    maml: dict[str, Any] = {"n_way": 5, "n_shot": 2, "order": 1, "meta_batch_size": 4, "adapt_steps": 3}
    made = (
        ProtoNetLearner(**common, n_way=20, n_shot=1, n_episodes=max(1, int(300 * share)), learning_rate=2e-3),
        SNAILLearner(**common, **snail, n_episodes=max(1, int(2400 * share))),
        MAMLLearner(**common, **maml, n_episodes=max(1, int(1200 * share)), learning_rate=2e-3),
    )
    return dict(zip(ROADS, made))


# %%
# What a new task costs: to learn it from its examples, and to name its queries.


def milliseconds(learner: Any, X: np.ndarray, y: np.ndarray, shots: int) -> tuple[float, float]:
    """Return the median times to learn a task of five characters, and to name 25 queries."""
    found = []
    for support, query in EpisodeSplit(n_way=5, n_shot=shots, n_query=5, n_episodes=9).split(X, y):
        start = time.perf_counter()
        model = FewShotClassifier(learner=FrozenEstimator(learner)).fit(X[support], y[support])
        learned = time.perf_counter()
        model.predict(X[query])
        found.append((learned - start, time.perf_counter() - learned))
    learn, answer = 1000 * np.median(found[1:], axis=0)
    return float(learn), float(answer)


def draw(accuracies: dict[str, list], costs: dict[str, tuple[float, float]], seconds: dict[str, float]) -> Any:
    fig, (chart, bars) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained", width_ratios=[1.4, 1])
    for name, colour in ROADS.items():
        mean, ci95 = np.array(accuracies[name]).T
        label = f"{name}, {seconds[name]:.0f} s of meta-training"
        chart.errorbar(SHOTS, mean, ci95, marker="o", color=colour, label=label, capsize=3, linewidth=2)
    chart.axhline(0.2, color="#aaaaaa", linestyle=":", label="chance")
    chart.set(xlabel="examples of each character", ylim=(0.15, 1.02), xticks=SHOTS)
    chart.set_title("Accuracy on tasks of five unseen characters (95% intervals)", fontsize=12)
    chart.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    chart.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
    learn, answer = np.array([costs[name] for name in ROADS]).T
    places = np.arange(len(ROADS))[::-1]
    bars.barh(places, learn, color=list(ROADS.values()), label="to learn it")
    bars.barh(places, answer, left=learn, color=list(ROADS.values()), alpha=0.4, label="to name 25 queries")
    for place, one, other in zip(places, learn, answer):
        bars.text(one + other, place, f"  {one:.0f} + {other:.0f} ms", va="center", fontsize=11)
    bars.set_yticks(places, [name.replace(": ", ":\n") for name in ROADS])
    bars.set(xlabel="milliseconds", xlim=(0, 1.35 * (learn + answer).max()))
    bars.set_title("One new task of five examples a class:\nlearning it (full) and answering (light)", fontsize=12)
    for ax in (chart, bars):
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    fig.suptitle("Three roads to a new task, with meta-training cut short", fontsize=15, fontweight="bold")
    return fig


def main() -> None:
    parser = argparse.ArgumentParser(description="Three families of meta-learners side by side.")
    parser.add_argument("--output", type=Path, default=Path("three_roads.png"), help="where the figure goes")
    parser.add_argument("--show", action="store_true", help="open a window too")
    parser.add_argument("--quick", action="store_true", help="little training, few tasks")
    args = parser.parse_args()

    characters = np.random.default_rng(0).permutation(list(GLYPHS))
    base, new = "".join(characters[:100]), "".join(characters[100:])
    X_base, y_base = make_glyphs(base, random_state=1)
    X_new, y_new = make_glyphs(new, random_state=2)
    accuracies: dict[str, list] = {}
    costs: dict[str, tuple[float, float]] = {}
    seconds: dict[str, float] = {}
    for name, learner in learners(0.02 if args.quick else 1.0).items():
        start = time.perf_counter()
        learner.fit(X_base, y_base)
        seconds[name] = time.perf_counter() - start
        n_episodes = 10 if args.quick else 200
        scores = [
            episode_scores(learner, X_new, y_new, n_way=5, n_shot=shots, n_query=5, n_episodes=n_episodes)
            for shots in SHOTS
        ]
        accuracies[name] = [(score.mean, score.ci95) for score in scores]
        costs[name] = milliseconds(learner, X_new, y_new, shots=5)
        print(f"{name}: {', '.join(f'{score.mean:.2f}' for score in scores)}", flush=True)
    figure = draw(accuracies, costs, seconds)
    figure.savefig(args.output, dpi=110)
    print(f"The figure is in {args.output}; meta-training was cut short.")
    if args.show:
        plt.show()


if __name__ == "__main__":
    main()
