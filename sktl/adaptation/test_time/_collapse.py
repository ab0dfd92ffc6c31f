"""What notices that norms, or their parameters, were led astray by the rows that came."""

from __future__ import annotations

import math

import torch
from torch import Tensor

REMEMBERED = 0.9  # share of the mean prediction that a batch leaves as it was
LEFT = 0.5  # share of the classes predicted before, beyond the first, below which predictions have collapsed
MORE_CLASSES = 2.0  # times those before, beyond the first, from which rows are of fewer classes than it seems
MORE_ENTROPY = 0.15  # of the largest there can be
ELSEWHERE = 2.0  # times the source's mean square, or a part of it, from which inputs are no part of the source


def n_classes_of(mean_proba: Tensor) -> float:
    """Return how many classes a mean prediction amounts to: 1 for a single one, all where they are alike."""
    # exp(H(q))
    return float(torch.special.entr(mean_proba.double()).sum().exp())


class Predictions:
    """The mean prediction and the mean entropy of some rows."""

    def __init__(self, *logits: Tensor):
        self._proba: Tensor | None = None
        self._entropy = 0.0
        self._n_rows = 0
        for part in logits:
            self.add(part)

    def add(self, logits: Tensor) -> None:
        """Take in a batch, (n, n_classes)."""
        proba = logits.float().softmax(1)
        self._proba = proba.sum(0) if self._proba is None else self._proba + proba.sum(0)
        self._entropy += float(torch.special.entr(proba).sum())
        self._n_rows += len(proba)

    @property
    def n_classes(self) -> float:
        """How many classes they amount to."""
        assert self._proba is not None
        return n_classes_of(self._proba / self._n_rows)

    @property
    def entropy(self) -> float:
        """Mean over the rows, in nats."""
        return self._entropy / self._n_rows

    @property
    def largest_entropy(self) -> float:
        """That of a row of which nothing is known."""
        assert self._proba is not None
        return math.log(len(self._proba))


def are_spread_thin(before: Predictions, now: Predictions) -> bool:
    """Whether rows of few classes were spread over many, as norms do that take their statistics for those of all.

    A change of domain that statistics make good leaves predictions surer, or hardly less sure, than they were. Rows of
    few classes, which the network told well, become many classes of which none is sure.
    """
    has_more_classes = now.n_classes - 1 > MORE_CLASSES * (before.n_classes - 1)
    return has_more_classes and now.entropy - before.entropy > MORE_ENTROPY * now.largest_entropy


def could_be_of_the_source(mean: Tensor, var: Tensor, source_mean: Tensor, source_var: Tensor) -> bool:
    """Whether the values a norm was given could be those of some of the source's classes.

    The source's variance is the mean over its classes of each one's mean square about the source's mean. Inputs whose
    mean square is far from it have changed, whatever their classes.
    """
    # E_channel[(v + (m - m_s)^2) / v_s]
    square = (var + (mean - source_mean) ** 2) / source_var.clamp_min(1e-12)
    return bool(1 / ELSEWHERE < square.mean() < ELSEWHERE)


class Collapse:
    """Compares the mean prediction with the one that the parameters made before, on the same rows.

    Entropy is least where all rows are given one class. That the classes predicted grow fewer than they were, by the
    same statistics, is the training's doing, and not the stream's.
    """

    def __init__(self) -> None:
        self.before: Tensor | None = None
        self.now: Tensor | None = None

    def add(self, before: Tensor, now: Tensor) -> None:
        """Take in the logits of a batch, (n, n_classes), by the parameters before and now."""
        means = before.softmax(1).mean(0), now.softmax(1).mean(0)
        if self.before is None or self.now is None:
            self.before, self.now = means
        else:
            self.before, self.now = (
                held.lerp(mean, 1 - REMEMBERED) for held, mean in zip((self.before, self.now), means)
            )

    @property
    def n_classes(self) -> tuple[float, float]:
        """Classes that the predictions amount to, before and now."""
        assert self.before is not None
        assert self.now is not None
        return n_classes_of(self.before), n_classes_of(self.now)

    @property
    def is_there(self) -> bool:
        """Whether most of the classes are gone."""
        if self.before is None:
            return False
        before, now = self.n_classes
        # exp(H_now) - 1 < r (exp(H_before) - 1)
        return now - 1 < LEFT * (before - 1)
