"""What layers gain elsewhere, as a prior to what leave-one-out measures here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sktl.advisor._codes import ALL, PENULTIMATE
from sktl.advisor._scoring import GOOD_ENOUGH, ScoredLayer

BOUND = 0.02  # of an accuracy from 0 and from 1, so that few rows that are all right are not taken for certain
NEARLY = 0.03  # accuracy; 0.05 is 0.1 points better at 96 pixels, and no better at full size
FAR = 3.0  # standard deviations of a trait beyond which nothing is extrapolated


@dataclass(frozen=True)
class LayerPrior:
    """What a logistic regression on a layer gains on that on the last one, in accuracy, over data sets.

    Attributes
    ----------
    centre, width : (float, float)
        Mean and standard deviation of two traits: the similarity to the source, and log10 of the rows a class.
    all_layers : (float, float, float, float, float)
        Of all layers side by side: the gain at the mean of both traits, its slope for each of them in standard
        deviations and for their product, and the standard deviation of what these leave. Few rows that are like the
        source lose much by other layers, many lose little.
    depths : tuple of float
        Of the inner layers that were measured.
    inner : tuple of (float, float, float, float, float)
        The same five of each of them.
    inflation : float
        What the standard error of a difference that leave-one-out measures is multiplied by. It counts for less than
        its rows: it is of a ridge classifier, and has entered the similarity already. Regret on other families of
        data sets is about the same from 1 to 4.
    """

    centre: tuple[float, float]
    width: tuple[float, float]
    all_layers: tuple[float, float, float, float, float]
    depths: tuple[float, ...]
    inner: tuple[tuple[float, float, float, float, float], ...]
    inflation: float = 2.0

    def gain(self, one: ScoredLayer, similarity: float, rows_a_class: float) -> tuple[float, float]:
        """Return mean and standard deviation of a layer's gain, inner layers by their depth."""
        known: tuple[float, ...] = self.all_layers
        if one.part.layer != ALL:
            known = tuple(float(np.interp(one.part.depth, self.depths, values)) for values in zip(*self.inner))
        mean, *slopes, spread = known
        traits = (similarity, math.log10(rows_a_class))
        apart = [(value - centre) / width for value, centre, width in zip(traits, self.centre, self.width)]
        near = [min(max(z, -FAR), FAR) for z in apart]
        return mean + sum(slope * z for slope, z in zip(slopes, (*near, near[0] * near[1]))), spread


# Of the embedded network, by benchmarks/advisor.py over all its cases of pictures, at 96 pixels and at full size.
SHIPPED = LayerPrior(
    centre=(0.41, 1.09),
    width=(0.14, 0.5),
    all_layers=(0.021, -0.046, -0.003, 0.019, 0.031),
    depths=(0.06, 0.18, 0.31, 0.67, 1.0),
    inner=(
        (-0.384, -0.023, 0.068, -0.008, 0.129), (-0.245, -0.048, 0.057, -0.002, 0.108),
        (-0.187, -0.057, 0.046, 0.0, 0.095), (-0.005, -0.076, -0.008, 0.021, 0.047), (0.0, 0.0, 0.0, 0.0, 0.03),
    ),
)  # fmt: skip


def expected_accuracies(
    layers: Sequence[ScoredLayer], score: str, similarities: Mapping[str, float], rows_a_class: float,
    prior: LayerPrior = SHIPPED,
) -> list[float] | None:  # fmt: skip
    """Return what prior and leave-one-out together expect of each layer; None without a last layer to compare.

    The posterior mean of two normal distributions, of the gain on the last layer of the same network: the prior's
    N(m, s^2), and the measured difference d with the variance e^2 = k^2 p (1 - p) / n of a share p of n rows, k its
    inflation.

    Parameters
    ----------
    layers : sequence of ScoredLayer
        Of one or more networks.
    score : str
        The accuracy that decides.
    similarities : mapping of str to float
        Of each network's source to the rows; one that has none is undecided, 0.5.
    rows_a_class : float
        Labelled rows, the median of the classes.
    prior : LayerPrior
        What layers gain elsewhere.
    """
    last = {one.part.backbone: one for one in layers if one.part.layer == PENULTIMATE}
    if not last or any(score not in one.right for one in layers):
        return None
    expected = []
    for one in layers:
        usual = last.get(one.part.backbone)
        if usual is None:  # of a transformer, whose codes are one layer
            expected.append(one.scores[score])
            continue
        gain, difference = 0.0, one.scores[score] - usual.scores[score]
        if one is not usual:
            mean, spread = prior.gain(one, similarities.get(one.part.backbone, 0.5), rows_a_class)
            share = min(max(one.scores[score], BOUND), 1 - BOUND)
            error = prior.inflation * math.sqrt(share * (1 - share) / len(one.right[score]))
            # (m / s^2 + d / e^2) / (1 / s^2 + 1 / e^2)
            gain = (mean / spread**2 + difference / error**2) / (1 / spread**2 + 1 / error**2)
        expected.append(min(1.0, usual.scores[score] + gain))
    return expected


def most_promising(
    layers: Sequence[ScoredLayer], score: str, similarities: Mapping[str, float], rows_a_class: float,
    prior: LayerPrior = SHIPPED,
) -> tuple[ScoredLayer | None, ScoredLayer | None]:  # fmt: skip
    """Return the layer of which most is expected, and one whose classifier is asked beside it, or None.

    Of layers level with the best, as where all are right, it is the simplest. Both are None without a last layer to
    compare. The arguments are those of `expected_accuracies`.

    Two layers of one network that are about as good are wrong about other rows. The mean of both classifiers'
    probabilities is as good as the better of the two, which nobody knows, and mostly better. There is no second layer
    where the next best is more than three points behind, or of another network, or next to nothing is left to gain.
    """
    expected = expected_accuracies(layers, score, similarities, rows_a_class, prior)
    if expected is None:
        return None, None
    best = max(expected)
    level = [one for one, value in zip(layers, expected) if value >= best - 1e-12]
    chosen = next((one for one in level if one.part.layer == PENULTIMATE), level[0])
    others = [(value, one) for value, one in zip(expected, layers) if one is not chosen]
    if not others or best >= GOOD_ENOUGH:
        return chosen, None
    value, beside = max(others, key=lambda pair: pair[0])
    is_of_same = beside.part.backbone == chosen.part.backbone
    return chosen, beside if is_of_same and value > best - NEARLY else None
