"""Two layers of one network, each with a classifier of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktl.advisor._codes import LayerCodes, in_one_pass
from sktl.advisor._material import Material


def advised_layers(material: Material) -> tuple[LayerCodes | None, LayerCodes | None]:
    """Return the layer that the advisor expects most of, and the one whose classifier is asked beside it, if any."""
    decision, found = material.decision, []
    for one in (None, None) if decision is None else (decision.chosen, decision.beside):
        same = (
            part
            for part in material.layers
            if one is not None and (part.backbone, part.layer) == (one.part.backbone, one.part.layer)
        )
        found.append(next(same, None))
    return found[0], found[1]


def side_by_side(one: LayerCodes, other: LayerCodes) -> LayerCodes:
    """Return the codes of both as those of one layer."""
    codes = np.hstack([part.codes for part in in_one_pass((one, other)).values()])
    return LayerCodes(one.backbone, one.item, f"{one.layer} and {other.layer}", one.depth, codes, parts=(one, other))


def mean_of_two(head: Any, both: LayerCodes) -> Any:
    """Return the mean of a classifier on each of two layers that stand side by side in the rows."""
    models, start = [], 0
    for name, part in in_one_pass(both.parts).items():
        own = FunctionTransformer(_columns, kw_args={"start": start, "stop": start + part.codes.shape[1]})
        models.append((name, make_pipeline(own, clone(head))))
        start += part.codes.shape[1]
    return VotingClassifier(models, voting="soft")


def _columns(rows: np.ndarray, start: int, stop: int) -> np.ndarray:
    return rows[:, start:stop]
