"""
===================================
Looking at what a model has learned
===================================

Numbers say how good a model is; these pictures say why, and what to try next. Each is one call of a display:

- which layer of a network knows most about the pictures (`LayerAccuracyDisplay`),
- what of a picture speaks for its class (`SaliencyDisplay`),
- which learning rate training bears (`LearningRateDisplay`),
- how training went, loss by loss (`TrainingCurveDisplay`),
- how far two domains lie apart, and in which features (`DomainShiftDisplay`),
- whether a model knows in the other domain how often it is wrong (`ConfidenceShiftDisplay`).

The pictures are shapes that are drawn here. The two domains are scikit-learn's handwritten digits, and others of them
moved by a pixel and faded, of which no label is shown.
"""

# %%
# Two data sets: shapes in colour, and digits in two domains.

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import matplotlib

if "--show" not in sys.argv:
    matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sktl import CNNCodesTransformer, DomainAdaptedClassifier, FineTunedClassifier
from sktl.datasets import make_drawn_shapes
from sktl.displays import (
    ConfidenceShiftDisplay,
    DomainShiftDisplay,
    LayerAccuracyDisplay,
    SaliencyDisplay,
    TrainingCurveDisplay,
)

TITLES = [
    "Which layer knows most", "What speaks for the class", "Which learning rate training bears",
    "How training went", "How far domains lie apart", "How sure, and how often right",
]  # fmt: skip


def two_domains(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows of 64 pixels, digits, and the domain of each row."""
    digits, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    source, target = np.array_split(rng.permutation(len(y))[: 2 * n], 2)
    pictures = digits.reshape(-1, 8, 8) / 16
    faded = 0.7 * np.roll(pictures[target], 1, axis=2)
    X = np.concatenate([pictures[source], faded]).reshape(-1, 64)
    return X, np.concatenate([y[source], y[target]]), np.repeat(["scanned", "faded"], [len(source), len(target)])


# %%
# Pictures: what each layer knows, and where the network looks.


def look_at_pictures(layer_ax: plt.Axes, saliency_ax: plt.Axes, n: int, size: int) -> None:
    pictures, shapes = make_drawn_shapes(n, size=size, random_state=0)
    codes = CNNCodesTransformer(image_size=size, cache="memory")
    LayerAccuracyDisplay.from_estimator(codes, pictures, shapes, cv=3, ax=layer_ax)
    if importlib.util.find_spec("captum") is None:
        saliency_ax.text(0.5, 0.5, "pip install sktl[explain]", ha="center", va="center")
        saliency_ax.set_axis_off()
        return
    model = FineTunedClassifier(strategy="head", layer=0.7, image_size=size).fit(pictures, shapes)
    SaliencyDisplay.from_estimator(model, pictures[:6], ax=saliency_ax)


# %%
# Rows: the learning rate, the training, the domains and the confidence in each of them.


def look_at_rows(axes: list[plt.Axes], n: int, n_epochs: int) -> None:
    X, y, domain = two_domains(n)
    is_source = domain == "scanned"
    rates, curve, shift, confidence = axes
    FineTunedClassifier(strategy="full", random_state=0).find_learning_rate(X[is_source], y[is_source]).plot(ax=rates)
    model = DomainAdaptedClassifier(loss="cdan+e", max_epochs=n_epochs, random_state=0)
    model.fit(X, np.where(is_source, y, -1))
    TrainingCurveDisplay.from_estimator(model, ax=curve)
    names = [f"pixel {i // 8},{i % 8}" for i in range(64)]
    DomainShiftDisplay.from_codes(X, domain, feature_names=names).plot(ax=shift, n_features=6)
    ConfidenceShiftDisplay.from_estimator(model, X, y, sample_domain=domain, ax=confidence)
    print(f"Digits read in the faded pictures: {model.score(X[~is_source], y[~is_source]):.3f}")


# %%
# All of them in one figure.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("displays.png"), help="where the figure goes")
    parser.add_argument("--quick", action="store_true", help="less data, to see that it runs")
    parser.add_argument("--show", action="store_true", help="show the figure in a window")
    args = parser.parse_args(sys.argv[1:] if Path(sys.argv[0]).name == "plot_displays.py" else [])
    figure = plt.figure(figsize=(16, 16), layout="constrained")
    axes = []
    for place, title in zip(figure.subfigures(3, 2, wspace=0.04, hspace=0.04).flat, TITLES):
        place.suptitle(title, weight="bold")
        axes.append(place.subplots())
    look_at_pictures(*axes[:2], *((30, 32) if args.quick else (150, 128)))
    look_at_rows(axes[2:], *((60, 3) if args.quick else (800, 30)))
    figure.savefig(args.output, dpi=90)
    print(f"The figure is in {args.output}.")
    if args.show:
        plt.show()


if __name__ == "__main__":
    main()
