"""
=====================================================
Labels from fonts, predictions for handwritten digits
=====================================================

Digits printed in the fonts that matplotlib knows cost nothing and come with their labels. Handwritten digits look
different, and a network that has learned from fonts alone reads them badly. Here the network is also shown
scikit-learn's handwritten digits, 1,797 pictures of 8 x 8 pixels, without a single one of their labels:
`DomainAdaptedClassifier` takes rows labelled -1 for the target, and draws the two domains together by three losses that
add up.

The figure shows what enters the classifier, in two dimensions, before and after: every font digit is a triangle, every
handwritten one a dot, coloured by what it is. Before, the handwritten digits lie between the fonts' clusters, some
far from their own; after, nearly all lie beside it. Training sees no label of the handwritten digits; they colour the
figure and count the errors, and served to settle on the fonts, distortions and losses of this example.
"""

# %%
# The source: digits in every font, a little turned, moved and stretched, in the same 8 x 8 pixels.

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib

if "--show" not in sys.argv:
    matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import nn

from sktl.adaptation import DomainAdaptedClassifier, stack_domains
from sktl.displays import EmbeddingDisplay

SIDE, CANVAS = 8, 64
SYMBOLS = ("STIX", "cmsy", "cmex", "cmmi", "Display", "LastResort")  # fonts of signs
# Tell the domains apart and fool it; do not mix classes up; agree with the mean of past selves on changed pictures.
ADAPTING = ["cdan+e", "mcc", "mean_teacher"]


def fonts() -> list[str]:
    """Return the files of the text fonts that come with matplotlib, so that the example is the same everywhere."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = font_manager.findSystemFonts([str(folder)], fontext="ttf")
    return sorted(file for file in files if not any(name in Path(file).name for name in SYMBOLS))


def printed_digits(n_each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return `n_each` pictures of each digit in each font, white on black, and their labels."""
    rng = np.random.default_rng(seed)
    pictures, labels = [], []
    for file in fonts():
        font = ImageFont.truetype(file, 48)
        for digit in range(10):
            for _ in range(n_each):
                pictures.append(printed(str(digit), font, rng))
                labels.append(digit)
    return np.stack(pictures), np.array(labels)


def printed(text: str, font: ImageFont.FreeTypeFont, rng: np.random.Generator) -> np.ndarray:
    """Return one digit that fills the picture as the handwritten ones do, slightly turned and slanted."""
    image = Image.new("L", (CANVAS, CANVAS))
    ImageDraw.Draw(image).text((CANVAS // 2, CANVAS // 2), text, fill=255, font=font, anchor="mm")
    slant, stretch = rng.normal(scale=0.25), rng.uniform(0.8, 1.25)
    middle = CANVAS / 2
    image = image.transform(
        image.size, Image.Transform.AFFINE, (stretch, slant, middle * (1 - stretch - slant), 0, 1, 0),
        resample=Image.Resampling.BILINEAR,
    ).rotate(rng.normal(scale=8), Image.Resampling.BILINEAR)  # fmt: skip
    left, top, right, bottom = image.getbbox()
    width = max(right - left, int(0.6 * (bottom - top)))
    centre = (left + right) // 2
    cut = image.crop((centre - width // 2, top, centre + width - width // 2, bottom))
    return np.asarray(cut.resize((SIDE, SIDE), Image.Resampling.BOX))


# %%
# The target, and a small network for pictures of 8 x 8 pixels.


def handwritten_digits() -> tuple[np.ndarray, np.ndarray]:
    digits = load_digits()
    return np.minimum(digits.images * 16, 255).astype(np.uint8), digits.target


def extractor() -> nn.Module:
    def stage(n_in: int, n_out: int) -> list[nn.Module]:
        return [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]

    torch.manual_seed(0)
    return nn.Sequential(*stage(1, 32), nn.MaxPool2d(2), *stage(32, 64), nn.Flatten())


# %%
# Two fits that differ in one word.


def fitted(loss: list[str] | None, X: np.ndarray, y: np.ndarray, n_epochs: int) -> DomainAdaptedClassifier:
    model = DomainAdaptedClassifier(extractor(), loss=loss, max_epochs=n_epochs, augment=moved, random_state=0)
    return model.fit(X, y)


def moved(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return all pictures of a batch moved by up to one pixel."""
    rows, columns = torch.randint(-1, 2, (2,), generator=generator).tolist()
    return torch.roll(pictures, (rows, columns), (2, 3))


# %%
# The figure.


def draw(models: dict[str, DomainAdaptedClassifier], source: tuple, target: tuple, n_points: int) -> plt.Figure:
    """Return the figure, with so many points of each domain."""
    (Xs, ys), (Xt, yt) = source, target
    figure = plt.figure(figsize=(15, 6.2), layout="constrained")
    pictures, *panels = figure.subfigures(1, 3, width_ratios=[0.5, 1, 1.3])
    draw_pictures(pictures, source, target)
    rng = np.random.default_rng(0)
    some_s, some_t = (rng.permutation(len(y))[:n_points] for y in (ys, yt))
    digits = np.concatenate([ys[some_s], yt[some_t]])
    domains = np.repeat(["printed, with labels", "handwritten, no labels"], [len(some_s), len(some_t)])
    for panel, (name, model) in zip(panels, models.items()):
        features = StandardScaler().fit_transform(model.features(np.concatenate([Xs[some_s], Xt[some_t]])))
        ax = panel.subplots()
        display = EmbeddingDisplay.from_codes(features, digits, sample_domain=domains, method="tsne", ax=ax)
        (places,) = display.points.values()
        for digit in range(10):
            x, y = np.median(places[(digits == digit) & (domains == domains[0])], axis=0)
            box = {"boxstyle": "circle,pad=0.15", "fc": "white", "ec": "#555555", "alpha": 0.85}
            ax.text(x, y, str(digit), fontsize=15, weight="bold", ha="center", va="center", bbox=box)
        ax.set_title(f"{name}\n{model.score(Xt, yt):.1%} of the handwritten digits read rightly", fontsize=13)
        if panel is not panels[-1]:
            ax.get_legend().remove()
    return figure


def draw_pictures(figure: plt.Figure, source: tuple, target: tuple) -> None:
    axes = figure.subplots(10, 6, gridspec_kw={"wspace": 0.05, "hspace": 0.05})
    rng = np.random.default_rng(1)
    for first, (X, y) in zip((0, 3), (source, target)):
        for digit in range(10):
            for ax, i in zip(axes[digit, first : first + 3], rng.permutation(np.flatnonzero(y == digit))):
                ax.imshow(X[i], cmap="gray_r" if first == 0 else "Blues", vmin=0, vmax=255)
                ax.set_axis_off()
    figure.suptitle("printed          handwritten", fontsize=11)


def main() -> None:
    parser = argparse.ArgumentParser(description="Digits learned from fonts, adapted to handwriting.")
    parser.add_argument("--output", type=Path, default=Path("fonts_to_handwriting.png"), help="where the figure goes")
    parser.add_argument("--show", action="store_true", help="open a window too")
    parser.add_argument("--quick", action="store_true", help="fewer pictures and epochs")
    args = parser.parse_args()

    (Xs, ys), (Xt, yt) = source, target = printed_digits(4 if args.quick else 14), handwritten_digits()
    X, y, _ = stack_domains(Xs, ys, Xt)  # y holds -1 for the handwritten digits
    n_epochs = 2 if args.quick else 30
    with threadpool_limits(1):  # small matrices: threads would wait for each other
        models = {
            "Learned from fonts alone": fitted(None, X, y, n_epochs),
            "Adapted to handwriting, without its labels": fitted(ADAPTING, X, y, n_epochs),
        }
        figure = draw(models, source, target, 100 if args.quick else 600)
    for name, model in models.items():
        print(f"{name}: {model.score(Xt, yt):.3f}")
    figure.savefig(args.output, dpi=110)
    print(f"The figure is in {args.output}.")
    if args.show:
        plt.show()


if __name__ == "__main__":
    main()
