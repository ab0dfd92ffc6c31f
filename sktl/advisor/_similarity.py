"""How much the rows are like those that a network was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import entr

from sktl.advisor._codes import ALL, PENULTIMATE, PIXELS, Extraction
from sktl.advisor._scoring import ScoredLayer
from sktl.metrics.transferability import leep

# exp(-2.5 d) is 0.5 at d = 0.28, which lies between the cartoons (0.19) and the sketches (0.36) of PACS
STEEPNESS = 2.5
LEAST_ERRORS = 1.0  # counted on each side, so that no layer is infinitely better than another


@dataclass(frozen=True)
class Similarity:
    """Evidence that rows resemble the source's, each part from 0 (unlike) to 1 (alike), 0.5 undecided.

    Attributes
    ----------
    value : float
        The mean of the parts that could be measured.
    depth : float
        The errors of the best earlier layer, as a share of its errors and those of the last layer. Late layers are
        made for the source's classes: where they are best, the rows are like the source's.
    statistics : float or None
        exp(-2.5 d), with d the mean squared distance of the last convolution's means from those that the network's
        batch norm has kept from its source, in variances. None without batch norm.
    labels : float or None
        What the network's own predictions say of the labels: 1 + LEEP / log(n_classes), at least 0. None without a
        classifier.
    certainty : float or None
        1 - entropy / log(n_source_classes) of these predictions, on average. Not part of `value`: networks are certain
        of digits, too.
    spread : float or None
        Entropy of their mean, less the mean entropy, by the logarithm of the number of rows or source classes, if
        fewer. Not part of `value`: it depends on the number of classes.
    """

    value: float
    depth: float
    statistics: float | None = None
    labels: float | None = None
    certainty: float | None = None
    spread: float | None = None


def similarity(
    layers: Sequence[ScoredLayer], score: str, number: np.ndarray, found: Extraction, backbone: str
) -> Similarity | None:
    """Return the evidence that one backbone gives; None where it has one layer only."""
    own = [one for one in layers if one.part.backbone == backbone and one.part.layer not in (ALL, PIXELS)]
    if len(own) < 2:
        return None
    last = next((one for one in own if one.part.layer == PENULTIMATE), max(own, key=lambda one: one.part.depth))
    earlier = max((one for one in own if one is not last), key=lambda one: one.scores[score])
    parts = {"depth": _depth(last, earlier, score, len(number))}
    if backbone in found.moved:
        parts["statistics"] = math.exp(-STEEPNESS * found.moved[backbone])
    extra: dict[str, float] = {}
    proba = found.source_proba.get(backbone)
    if proba is not None:
        parts["labels"] = max(0.0, 1 + leep(proba, number) / math.log(len(np.unique(number))))
        entropy = float(entr(proba).sum(axis=1).mean())
        extra["certainty"] = 1 - entropy / math.log(proba.shape[1])
        spread = float(entr(proba.mean(axis=0)).sum()) - entropy
        extra["spread"] = spread / math.log(max(2, min(proba.shape)))
    return Similarity(float(np.mean(list(parts.values()))), **parts, **extra)


def _depth(last: ScoredLayer, earlier: ScoredLayer, score: str, n: int) -> float:
    """Return e_earlier / (e_earlier + e_last), with e the errors of an accuracy."""
    if score not in last.right:
        return 0.5 + 0.5 * float(np.sign(last.scores[score] - earlier.scores[score]))
    errors = [n * (1 - one.scores[score]) + LEAST_ERRORS for one in (earlier, last)]
    return errors[0] / sum(errors)


def in_words(found: Similarity) -> list[str]:
    """Return a sentence for each part that could be measured."""
    errors = f"{_times(found.depth)}as many errors as the best earlier layer"
    said = [f"The last layer makes {errors} (evidence {found.depth:.2f})."]
    if found.statistics is not None:
        distance = -math.log(max(found.statistics, 1e-300)) / STEEPNESS
        said.append(
            f"Activations lie {distance:.2f} variances from where the network's training pictures lay "
            f"(evidence {found.statistics:.2f})."
        )
    if found.labels is not None:
        said.append(
            f"The network's own {'' if found.certainty is None else 'predictions, '}"
            f"{_certain(found.certainty)}, tell {100 * found.labels:.0f} % of what the labels say "
            f"(evidence {found.labels:.2f})."
        )
    return said


def as_mapping(found: Similarity) -> Mapping[str, float]:
    """Return the parts that could be measured, by name."""
    return {name: value for name, value in vars(found).items() if value is not None and name != "value"}


def _times(depth: float) -> str:
    ratio = f"{(1 - depth) / max(depth, 1e-9):.2g}"
    return "" if ratio == "1" else f"{ratio} times "


def _certain(certainty: float | None) -> str:
    if certainty is None:
        return "which there are"
    return "certain of most rows" if certainty > 0.6 else "unsure of many rows" if certainty > 0.35 else "vague"
