"""
===========================================
Which layer of a pretrained network to take
===========================================

A network that was trained on ImageNet can describe pictures that it has never seen: its activations, the CNN codes,
replace the pixels, and an ordinary classifier learns from a handful of labels. Which layer's activations to take
depends on how much the pictures resemble ImageNet's photographs.

The default here is scikit-learn's handwritten digits, 1,797 pictures of 8 x 8 pixels: as unlike ImageNet as pictures
get. The figure shows, for 1 to 20 labelled pictures a class and always tested on all the others,

- on the left, accuracy against the depth of the layer, all layers computed in one pass: the first layers know too
  little, the last ones too much about dogs and cars, those between do best;
- in the middle, learning curves of an early, a middle and the last layer, of all stages together, and of raw pixels;
- on the right, test pictures with the predictions of the middle layer (of the last one, if it does better).

With photographs the picture turns round: accuracy climbs up to the last layers. See for yourself::

    python plot_quickstart.py --images FOLDER

where FOLDER has one sub-folder of picture files for each class.
"""

# %%
# The data: digits, or a folder of the user's own pictures.

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

if "--show" not in sys.argv:
    matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from sktl import CNNCodesTransformer, list_layers, make_codes_classifier
from sktl.datasets import load_pictures
from sktl.displays import PredictionsDisplay

SHOTS = (1, 2, 5, 10, 20)
DEPTHS = {"early layer": 0.2, "middle layer": 0.6, "last layer": 1.0}
COLOURS = {
    "early layer": "#9ecae1",
    "middle layer": "#08519c",
    "last layer": "#d95f0e",
    "all stages": "#31a354",
    "raw pixels": "#777777",
}


@dataclass
class Data:
    """What is classified: anything `CNNCodesTransformer` takes, and the same as pixels and as thumbnails."""

    title: str
    X: Any
    y: np.ndarray
    pixels: np.ndarray
    thumbnails: list
    image_size: int | None
    pooling: str


def digits() -> Data:
    """1,797 handwritten digits: rows of 64 numbers, which the transformer takes for squares of 8 x 8."""
    X, y = load_digits(return_X_y=True)
    # 64 pixels are plenty for 8 x 8 digits, and quick; photographs need the network's own size, image_size=None.
    # Where a stroke lies tells digits apart, so codes are averaged over each quarter of the picture too.
    thumbnails = list((255 - X.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8))
    return Data("handwritten digits", X, y.astype(str), X, thumbnails, image_size=64, pooling="pyramid")


def own_pictures(folder: Path, image_size: int | None) -> Data:
    """Return the picture files of a folder with one sub-folder for each class; other files are passed over."""
    if not folder.is_dir():
        sys.exit(f"--images {folder}: there is no such folder.")
    try:
        X, y = load_pictures(folder)
    except ValueError as error:
        sys.exit(f"--images {folder}: {error}")
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        sys.exit(
            f"--images {folder}: expected one sub-folder of pictures for each of at least two classes; found "
            f"{', '.join(classes)}."
        )
    if counts.min() < 2:
        sys.exit(
            f"--images {folder}: each class needs at least two pictures, one to learn from and one to test with; "
            f"only one in {', '.join(classes[counts < 2])}."
        )
    thumbnails = read_thumbnails(X)
    pixels = np.stack([np.asarray(Image.fromarray(t).resize((32, 32)), float).ravel() for t in thumbnails])
    shown = " and ".join(classes) if len(classes) == 2 else f"{len(classes)} classes"
    return Data(f"{len(X)} pictures of {shown}", X, y, pixels, thumbnails, image_size, pooling="avg")


def read_thumbnails(paths: list[Path]) -> list[np.ndarray]:
    thumbnails = []
    for path in paths:
        with Image.open(path) as image:
            thumbnails.append(np.asarray(image.convert("RGB").resize((96, 96))))
    return thumbnails


# %%
# The codes of all layers come out of one pass; a layer's own are columns of them.


def codes_by_layer(data: Data) -> dict[str, np.ndarray]:
    layers = [row.name for row in list_layers()]
    transformer = CNNCodesTransformer(layers=layers, image_size=data.image_size, pooling=data.pooling)
    codes = transformer.fit_transform(data.X)
    owner = np.array([name.rsplit("_", 2)[0] for name in transformer.get_feature_names_out()])
    return {layer: codes[:, owner == layer] for layer in layers}


def named_settings(by_layer: dict[str, np.ndarray], pixels: np.ndarray) -> dict[str, np.ndarray]:
    table = list_layers()
    at_depth = {name: min(table, key=lambda row: abs(row.depth - depth)).name for name, depth in DEPTHS.items()}
    stages = np.hstack([by_layer[row.name] for row in table if row.is_stage])
    return {name: by_layer[layer] for name, layer in at_depth.items()} | {"all stages": stages, "raw pixels": pixels}


# %%
# A few labels of each class to learn from, all other pictures to test on, several times over.


def few_of_each(y: np.ndarray, n_shots: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([n_shots, seed])
    train = np.concatenate([rng.permutation(np.flatnonzero(y == label))[:n_shots] for label in np.unique(y)])
    return train, np.setdiff1d(np.arange(len(y)), train)


def classifier():
    # The recommended pipeline without its first step, for the codes are there already. C=100 saves the time in which it
    # would be chosen for each of the figure's hundreds of fits.
    return make_codes_classifier(C=100)[1:]


def accuracy(codes: np.ndarray, y: np.ndarray, n_shots: int, n_repeats: int) -> np.ndarray:
    scores = []
    for seed in range(n_repeats):
        train, test = few_of_each(y, n_shots, seed)
        scores.append(classifier().fit(codes[train], y[train]).score(codes[test], y[test]))
    return np.array(scores)


# %%
# The figure.


def draw(data: Data, by_layer: dict[str, np.ndarray], *, n_repeats: int) -> plt.Figure:
    smallest = np.unique(data.y, return_counts=True)[1].min()
    shots = [n for n in SHOTS if n <= smallest // 2]
    settings = named_settings(by_layer, data.pixels)
    curves = {
        name: np.array([accuracy(codes, data.y, n, n_repeats) for n in shots]) for name, codes in settings.items()
    }
    shown = shots.index(5) if 5 in shots else 0  # the number of labels that the title speaks of
    means = {name: scores[shown].mean() for name, scores in curves.items()}
    best = max(("middle layer", "last layer"), key=means.get)

    fig = plt.figure(figsize=(15, 5.2), layout="constrained")
    charts, grid = fig.subfigures(1, 2, width_ratios=[2, 0.95], wspace=0.03)
    depths_ax, curves_ax = charts.subplots(1, 2, sharey=True)
    draw_depths(depths_ax, data, by_layer, shots, means["raw pixels"], shots[shown], min(n_repeats, 2))
    draw_curves(curves_ax, shots, curves)
    draw_predictions(grid, data, settings[best], shots[shown], best)
    depths_ax.set_ylim(depths_ax.get_ylim()[0] - 0.06, 1.01)  # room for the legend
    fig.suptitle(finding(data, shots[shown], means), fontsize=15, fontweight="bold")
    return fig


def finding(data: Data, n_shots: int, means: dict[str, float]) -> str:
    shown = sorted(("middle layer", "last layer", "raw pixels"), key=means.get, reverse=True)
    figures = ", ".join(f"{name} {means[name]:.0%}" for name in shown)
    return f"{data.title[0].upper()}{data.title[1:]}, {n_shots} label{'s' * (n_shots > 1)} a class: {figures}"


def draw_depths(ax, data: Data, by_layer, shots, pixels: float, n_pixels: int, n_repeats: int) -> None:
    depths = [row.depth for row in list_layers()]
    shots = [n for n in shots if n in (1, 5, 20)]
    tones = plt.get_cmap("viridis_r")(np.linspace(0.15, 0.85, len(shots)))
    for tone, n_shots in zip(tones, shots):
        means = [accuracy(codes, data.y, n_shots, n_repeats).mean() for codes in by_layer.values()]
        ax.plot(depths, means, "o-", color=tone, markersize=4, label=f"{n_shots}")
    ax.axhline(pixels, color=COLOURS["raw pixels"], linestyle="--", linewidth=1.5, label=f"{n_pixels}, raw pixels")
    ax.set(
        title="Accuracy by layer", xlabel="depth of the layer (1 is the last)", ylabel="accuracy on all other pictures"
    )
    ax.set_xlim(-0.02, 1.04)
    ax.legend(title="labels a class", ncols=len(shots) + 1, loc="lower center", fontsize=9, title_fontsize=9)
    tidy(ax)


def draw_curves(ax, shots, curves: dict[str, np.ndarray]) -> None:
    position = np.arange(len(shots))
    for name, scores in curves.items():
        style = "o--" if name == "raw pixels" else "o-"
        mean, std = scores.mean(axis=1), scores.std(axis=1)
        ax.fill_between(position, mean - std, mean + std, color=COLOURS[name], alpha=0.15, linewidth=0)
        ax.plot(position, mean, style, color=COLOURS[name], linewidth=2, markersize=5, label=name)
    ax.set_xticks(position, shots)
    ax.set_xlim(-0.3, len(shots) - 0.7)
    ax.set(title="Accuracy by number of labels", xlabel="labels a class")
    ax.legend(loc="lower right", fontsize=9)
    tidy(ax)


def tidy(ax) -> None:
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)


def draw_predictions(figure, data: Data, codes: np.ndarray, n_shots: int, name: str) -> None:
    train, test = few_of_each(data.y, n_shots, seed=0)
    model = classifier().fit(codes[train], data.y[train])
    pictures = [data.thumbnails[i] for i in test]
    labels = f"{n_shots} label{'s' * (n_shots > 1)} a class"
    figure.suptitle(f"The most wrong predictions, {labels}, {name}", fontsize=11)
    PredictionsDisplay.from_predictions(
        pictures, data.y[test], model.predict(codes[test]), y_proba=model.predict_proba(codes[test]),
        classes=model.classes_, n_pictures=12, ax=figure.subplots(),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy of CNN codes by layer and number of labels.")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="your pictures, one sub-folder for each class")
    parser.add_argument("--image-size", type=int, help="pixels a side that the network sees, for --images")
    parser.add_argument("--output", type=Path, default=Path("quickstart.png"), help="where the figure goes")
    parser.add_argument("--show", action="store_true", help="open a window too")
    parser.add_argument("--quick", action="store_true", help="one repeat, and a third of the digits")
    args = parser.parse_args()

    data = digits() if args.images is None else own_pictures(args.images, args.image_size)
    if args.quick and args.images is None:
        data.X, data.y, data.pixels, data.thumbnails = (
            part[:600] for part in (data.X, data.y, data.pixels, data.thumbnails)
        )
    by_layer = codes_by_layer(data)
    with threadpool_limits(1):  # fits this small are slower on several threads
        figure = draw(data, by_layer, n_repeats=1 if args.quick else 5)
    figure.savefig(args.output, dpi=110)
    print(f"The figure is in {args.output}.")
    if args.show:
        plt.show()


if __name__ == "__main__":
    main()
