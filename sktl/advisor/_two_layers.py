"""Two layers of one network, each with a classifier of its own, from one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import Pipeline, make_pipeline

from sktl.advisor._codes import ALL, LayerCodes


def side_by_side(one: LayerCodes, other: LayerCodes) -> LayerCodes:
    """Return the codes of both as those of one layer."""
    codes = np.hstack([one.codes, other.codes])
    return LayerCodes(one.backbone, one.item, f"{one.layer} and {other.layer}", one.depth, codes, parts=(one, other))


def mean_of_two(head: Any, both: LayerCodes) -> VotingClassifier:
    """Return the mean of a classifier on each of two layers that stand side by side in the rows."""
    columns = slices([part.codes.shape[1] for part in both.parts])
    each = {part.layer: make_pipeline(picked(own), clone(head)) for part, own in zip(both.parts, columns)}
    return vote(each)


def in_one_pass(parts: Sequence[LayerCodes]) -> tuple[Any, list[slice]]:
    """Return the layers to ask a network for, and which columns of what it gives are those of each part."""
    every = next((part for part in parts if part.layer == ALL), None)
    stages = {} if every is None else every.stages
    new = [part for part in parts if part is not every and (part.alias or part.layer) not in stages]
    asked = ([] if every is None else [every]) + new
    columns = dict(zip((part.layer for part in asked), slices([part.codes.shape[1] for part in asked])))
    each = [columns[part.layer] if part.layer in columns else stages[part.alias or part.layer] for part in parts]
    layers = [part.layer for part in asked]
    return ALL if layers == [ALL] else layers, each


def slices(widths: Sequence[int]) -> list[slice]:
    """Return the columns of tables of these widths that stand side by side."""
    return [slice(end - width, end) for width, end in zip(widths, accumulate(widths))]


def picked(columns: slice) -> ColumnTransformer:
    """Return a transformer that keeps some columns."""
    return ColumnTransformer([("codes", "passthrough", columns)])


def vote(members: Mapping[str, Pipeline]) -> VotingClassifier:
    """Return the mean of classifiers' probabilities, each by the name of its layer."""
    return VotingClassifier([(layer.replace("__", "_"), model) for layer, model in members.items()], voting="soft")
