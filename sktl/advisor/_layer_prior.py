"""What layers, and two together, gain elsewhere: a prior to what leave-one-out measures here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sktl.advisor._codes import ALL, PENULTIMATE
from sktl.advisor._scoring import GOOD_ENOUGH, ScoredLayer

BOUND = 0.02  # of an accuracy from 0 and from 1, so that few rows that are all right are not taken for certain
FAR = (3.0, 3.0, 1.0)  # standard deviations of a trait beyond which nothing is extrapolated; sizes were only two
NEAR = 0.2  # of depths: an inner layer farther from the one that was measured is in no pair
UNDECIDED = 0.5  # similarity
LEVEL = 1e-12  # accuracy
Gain = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class LayerPrior:
    """What a logistic regression on a layer, or a mean of two, gains on that on the last layer, over data sets.

    Each gain, in accuracy, is six numbers: at the mean of all traits; its slope for each of the three traits in
    standard deviations, and for the product of the first two; and the standard deviation of what these leave. Few rows
    that are like the source lose much by other layers, many lose little.

    Attributes
    ----------
    centre, width : (float, float, float)
        Mean and standard deviation of three traits: the similarity to the source, log10 of the rows a class, and log10
        of the side at which pictures are seen, in pixels.
    all_layers : Gain
        Of all layers side by side.
    depths : tuple of float
        Of the inner layers that were measured.
    inner : tuple of Gain
        Of each of them.
    middle : float
        Depth of the inner layer of the pairs.
    last_and_all, all_and_middle, last_and_middle : Gain
        Of the mean of a classifier on each of two layers.
    inflation : float
        What the standard error of a difference that leave-one-out measures is multiplied by. It counts for less than
        its rows: it is of a ridge classifier, and has entered the similarity already. Regret on other families of
        data sets is about the same from 3 to 6.
    """

    centre: tuple[float, float, float]
    width: tuple[float, float, float]
    all_layers: Gain
    depths: tuple[float, ...]
    inner: tuple[Gain, ...]
    middle: float
    last_and_all: Gain
    all_and_middle: Gain
    last_and_middle: Gain
    inflation: float = 4.0

    def gain(self, candidate: Sequence[ScoredLayer], similarity: float, rows_a_class: float) -> tuple[float, float]:
        """Return mean and standard deviation of the gain of a layer, by its depth, or of two."""
        mean, *slopes, spread = self._known(candidate)
        side = candidate[0].part.side
        traits = (similarity, math.log10(rows_a_class), self.centre[2] if side is None else math.log10(side))
        apart = [(value - centre) / width for value, centre, width in zip(traits, self.centre, self.width)]
        near = [min(max(z, -far), far) for z, far in zip(apart, FAR)]
        return mean + sum(slope * z for slope, z in zip(slopes, (*near, near[0] * near[1]))), spread

    def _known(self, candidate: Sequence[ScoredLayer]) -> tuple[float, ...]:
        names = {one.part.layer for one in candidate}
        if len(candidate) == 2:
            if ALL not in names:
                return self.last_and_middle
            return self.last_and_all if PENULTIMATE in names else self.all_and_middle
        if ALL in names:
            return self.all_layers
        return tuple(float(np.interp(candidate[0].part.depth, self.depths, values)) for values in zip(*self.inner))

    def pairs(self, layers: Sequence[ScoredLayer]) -> list[tuple[ScoredLayer, ScoredLayer]]:
        """Return the pairs of layers of one network that the prior knows."""
        found = []
        for backbone in dict.fromkeys(one.part.backbone for one in layers):
            own = {one.part.layer: one for one in layers if one.part.backbone == backbone}
            last, every = own.pop(PENULTIMATE, None), own.pop(ALL, None)
            middle = min(own.values(), key=lambda one: abs(one.part.depth - self.middle), default=None)
            if middle is not None and abs(middle.part.depth - self.middle) > NEAR:
                middle = None
            for one, other in ((last, every), (every, middle), (last, middle)):
                if one is not None and other is not None:
                    found.append((one, other))
        return found


# Of the embedded network, by benchmarks/advisor.py over all its cases of pictures, at 96 pixels and at full size.
SHIPPED = LayerPrior(
    centre=(0.41, 1.09, 2.11),
    width=(0.14, 0.5, 0.18),
    all_layers=(0.018, -0.043, -0.005, -0.02, 0.02, 0.03),
    depths=(0.06, 0.18, 0.31, 0.67, 1.0),
    inner=(
        (-0.388, -0.019, 0.066, -0.025, -0.006, 0.127), (-0.249, -0.043, 0.054, -0.031, 0.001, 0.105),
        (-0.193, -0.051, 0.042, -0.037, 0.003, 0.089), (-0.009, -0.073, -0.01, -0.025, 0.023, 0.043),
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.03),
    ),
    middle=0.67,
    last_and_all=(0.023, -0.02, -0.005, -0.005, 0.009, 0.03),
    all_and_middle=(0.02, -0.057, -0.01, -0.025, 0.026, 0.031),
    last_and_middle=(0.035, -0.035, -0.013, -0.01, 0.015, 0.03),
)  # fmt: skip


def expected_accuracies(
    candidates: Sequence[Sequence[ScoredLayer]], score: str, similarities: Mapping[str, float], rows_a_class: float,
    prior: LayerPrior = SHIPPED,
) -> list[float] | None:  # fmt: skip
    """Return what prior and leave-one-out together expect of each candidate; None without a last layer to compare.

    The posterior mean of two normal distributions, of the gain on the last layer of the same network: the prior's
    N(m, s^2), and the measured difference d with the variance e^2 = k^2 p (1 - p) / n of a share p of n rows, k its
    inflation. Of two layers p and d are the means of both.

    Parameters
    ----------
    candidates : sequence of tuples of one ScoredLayer, or of two of the same network
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
    alone = [one for candidate in candidates for one in candidate]
    last = {one.part.backbone: one for one in alone if one.part.layer == PENULTIMATE}
    if not last or any(score not in one.right for one in alone):
        return None
    expected = []
    for candidate in candidates:
        measured = sum(one.scores[score] for one in candidate) / len(candidate)
        usual = last.get(candidate[0].part.backbone)
        if usual is None:  # of a transformer, whose codes are one layer
            expected.append(measured)
            continue
        gain, difference = 0.0, measured - usual.scores[score]
        if len(candidate) > 1 or candidate[0] is not usual:
            similarity = similarities.get(usual.part.backbone, UNDECIDED)
            mean, spread = prior.gain(candidate, similarity, rows_a_class)
            share = min(max(measured, BOUND), 1 - BOUND)
            error = prior.inflation * math.sqrt(share * (1 - share) / len(usual.right[score]))
            # (m / s^2 + d / e^2) / (1 / s^2 + 1 / e^2)
            gain = (mean / spread**2 + difference / error**2) / (1 / spread**2 + 1 / error**2)
        expected.append(min(1.0, usual.scores[score] + gain))
    return expected


def most_promising(
    layers: Sequence[ScoredLayer], score: str, similarities: Mapping[str, float], rows_a_class: float,
    prior: LayerPrior = SHIPPED, *, has_pairs: bool = True,
) -> tuple[ScoredLayer | None, ScoredLayer | None]:  # fmt: skip
    """Return the layer of which most is expected, and one whose classifier is asked beside it, or None.

    Of what is level with the best, as where all are right, it is the simplest. Both are None without a last layer to
    compare. The arguments are those of `expected_accuracies`; without `has_pairs` layers are asked alone.

    Two layers of one network are wrong about other rows, so that the mean of both classifiers' probabilities is mostly
    better than either. Of the two the better one comes first. Where next to nothing is left to gain, one layer does.
    """
    pairs = prior.pairs(layers) if has_pairs else []
    expected = expected_accuracies([*((one,) for one in layers), *pairs], score, similarities, rows_a_class, prior)
    if expected is None:
        return None, None
    of_pairs = expected[len(layers) :]
    of_one = dict(zip(map(id, layers), expected))
    best = max(of_one.values())
    level = [one for one in layers if of_one[id(one)] >= best - LEVEL]
    chosen = next((one for one in level if one.part.layer == PENULTIMATE), level[0])
    if best >= GOOD_ENOUGH or max(of_pairs, default=0.0) <= best + LEVEL:
        return chosen, None
    one, other = sorted(pairs[int(np.argmax(of_pairs))], key=lambda layer: -of_one[id(layer)])
    return one, other
