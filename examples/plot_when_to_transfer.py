"""
=========================
When to transfer, and how
=========================

The rule of the textbooks has four quadrants: new data may be few or many, and like or unlike what a network was trained
on. In each quadrant another way of using the network is best. `TransferAdvisor` measures where a data set stands, and
says what to do there.

Four data sets are placed here, for a network that was trained on the photographs of ImageNet:

- views of three photographs (a temple, a flower, a portrait), grey, turned, blurred and noisy: 90 of them, and 3,000;
- pictures of sound, as frequency over time: rising, falling and steady tones, 90 of them;
- handwritten digits, 1,797 of 8 x 8 pixels.

The figure shows where they stand, and beside it what the advisor goes by above all: how well the layers
of the network tell the classes apart. Where pictures are like those of the source, accuracy climbs up to the last
layer, which has words for whole objects; where they are not, an earlier layer is as good or better.
"""

# %%
# The data. None of it has to be fetched.

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.cbook

if "--show" not in sys.argv:
    matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageFilter, ImageOps
from sklearn.datasets import load_digits, load_sample_images

from sktl import TransferAdvisor
from sktl.displays import TransferMapDisplay

SIDE = 128  # pixels of a view of a photograph


@dataclass
class DataSet:
    """Pictures and labels, and the place of its curve in the figure."""

    name: str
    X: np.ndarray
    y: np.ndarray
    image_size: int
    colour: str
    marker: str


def photographs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n views of three photographs: a temple, a flower, a portrait; grey, and each with its own flaws."""
    rng = np.random.default_rng(seed)
    temple, flower = (Image.fromarray(photo) for photo in load_sample_images().images)
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        portrait = Image.open(file).convert("RGB")
    photos = {"temple": temple, "flower": flower, "portrait": portrait}
    names, X = np.array(list(photos))[np.arange(n) % 3], []
    for name in names:
        photo = photos[name]
        width, height = photo.size
        side = int(rng.uniform(0.55, 0.95) * min(width, height))
        left, top = rng.integers(0, width - side + 1), rng.integers(0, height - side + 1)
        view = photo.crop((left, top, left + side, top + side)).rotate(rng.uniform(-20, 20), fillcolor=(128,) * 3)
        view = ImageOps.mirror(view) if rng.random() < 0.5 else view
        view = view.convert("L").filter(ImageFilter.GaussianBlur(rng.uniform(0, side / 80))).resize((SIDE, SIDE))
        values = np.asarray(view, dtype=float)
        values = 128 + rng.uniform(0.3, 1.0) * (values - values.mean()) + rng.uniform(-60, 60)
        X.append(np.clip(values + rng.normal(0, rng.uniform(0, 25), values.shape), 0, 255).astype(np.uint8))
    return np.stack(X), names


def sounds(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n pictures of sound, 48 x 48: a rising, a falling or a steady tone in noise."""
    rng = np.random.default_rng(seed)
    names = np.array(["rising", "falling", "steady"])[np.arange(n) % 3]
    times, X = np.arange(48), []
    for name in names:
        slope = {"rising": 1, "falling": -1, "steady": 0}[name] * rng.uniform(0.15, 0.6)
        line = rng.uniform(14, 34) + slope * (times - 24)
        power = rng.exponential(0.6, (48, 48)) + 1.5 * np.exp(-((np.arange(48)[:, None] - line) ** 2) / 2)
        X.append(np.clip(90 * power, 0, 255).astype(np.uint8)[::-1])
    return np.stack(X), names


def data_sets(quick: bool) -> list[DataSet]:
    digits = load_digits()
    pictures = (digits.images * 255 / 16).astype(np.uint8)
    many = 1500 if quick else 3000
    return [
        DataSet("90 views of photographs", *photographs(90, seed=0), SIDE, "#0072b2", "o"),
        DataSet(f"{many:,} views of photographs", *photographs(many, seed=1), SIDE, "#d55e00", "^"),
        DataSet("90 pictures of sound", *sounds(90, seed=0), 64, "#009e73", "s"),
        DataSet("1,797 handwritten digits", pictures, digits.target.astype(str), 64, "#cc79a7", "D"),
    ]


# %%
# The figure: a map of the quadrants, and accuracy by depth.


def draw_depth(ax: Any, found: list[tuple[DataSet, TransferAdvisor]]) -> None:
    for data, advisor in found:
        layers = [one for one in advisor.report_.layers if one.part.layer != "all"]
        layers.sort(key=lambda one: one.part.depth)
        depth, accuracy = zip(*((one.part.depth, one.scores["linear"]) for one in layers))
        ax.plot(depth, accuracy, marker=data.marker, color=data.colour, label=data.name, linewidth=2)
        best = int(np.argmax(accuracy))
        ax.plot(depth[best], accuracy[best], "o", markersize=16, markerfacecolor="none", color=data.colour)
    ax.set(xlabel="depth of the layer: 0 is pixels, 1 the last", ylabel="accuracy of a linear probe, leave-one-out")
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    ax.set_title("What each layer knows (the best one is ringed)", fontsize=13)
    ax.grid(alpha=0.3)
    ax.legend(loc="lower right")


def draw(found: list[tuple[DataSet, TransferAdvisor]]) -> Any:
    fig, (left, right) = plt.subplots(1, 2, figsize=(14, 6.5), layout="constrained", width_ratios=[1.35, 1])
    TransferMapDisplay.from_estimators({data.name: advisor for data, advisor in found}, ax=left)
    left.set_title("Where four data sets stand", fontsize=13)
    draw_depth(right, found)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    fig.suptitle("When to transfer, and how", fontsize=16, fontweight="bold")
    return fig


def main() -> None:
    parser = argparse.ArgumentParser(description="Four data sets in the four quadrants of transfer learning.")
    parser.add_argument("--output", type=Path, default=Path("when_to_transfer.png"), help="where the figure goes")
    parser.add_argument("--show", action="store_true", help="open a window too")
    parser.add_argument("--quick", action="store_true", help="look at fewer pictures")
    args = parser.parse_args()

    found = []
    for data in data_sets(args.quick):
        start = time.perf_counter()
        advisor = TransferAdvisor(image_size=data.image_size, max_samples=90 if args.quick else 300)
        found.append((data, advisor.fit(data.X, data.y)))
        seconds = time.perf_counter() - start
        print(f"{data.name}: {advisor.quadrant_}; {advisor.strategy_} ({seconds:.0f} s)", flush=True)
    draw(found).savefig(args.output, dpi=110)
    print(f"The figure is in {args.output}. advisor.report_ says why, and save('report.html') shows it.")
    if args.show:
        plt.show()


if __name__ == "__main__":
    main()
