"""What a loss is shown of a batch, and what it can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F  # noqa: N812
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, Real
from torch import Tensor, nn

from sktl._documented import Documented


@dataclass
class View:
    """One batch after its one pass through the network; every part of it is a slice.

    Rows lie in this order: the source domains one after another, labelled target rows if there are any, the other
    target rows, and a second, strongly changed view of all target rows where a loss asks for one.

    Attributes
    ----------
    features : Tensor (n, n_features)
        What enters the classifier.
    logits : Tensor (n, n_classes)
        What leaves it; (n, n_outputs) estimates in a regression.
    labels : Tensor (n_labelled,), int64
        Class numbers of the first rows; (n_labelled, n_outputs) standardised values in a regression.
    weights : Tensor (n_labelled,) or None
        Sample weights of the same rows.
    sizes : tuple of int
        Rows of each source domain.
    n_target : int
        Target rows, labelled ones included.
    progress : float
        Share of the training that has passed.
    network : Module
        With ``features(X)`` and ``classify(features)``.
    X : Tensor
        The rows as the network was given them.
    mean_weights : tuple of float or None
        Mean weight of all rows of each source domain.
    class_shares : Tensor (n_classes,) or None
        Shares of the classes in the target, where something is known of them.
    """

    features: Tensor
    logits: Tensor
    labels: Tensor
    weights: Tensor | None
    sizes: tuple[int, ...]
    n_target: int
    progress: float
    network: Any
    X: Tensor
    mean_weights: tuple[float, ...] | None = None
    class_shares: Tensor | None = None

    @property
    def n_source(self) -> int:
        """Number of source rows."""
        return sum(self.sizes)

    @property
    def n_rows(self) -> int:
        """Number of source and target rows, second views apart."""
        return self.n_source + self.n_target

    @property
    def source_features(self) -> Tensor:
        """Features of the source rows."""
        return self.features[: self.n_source]

    @property
    def target_features(self) -> Tensor:
        """Features of the target rows."""
        return self.features[self.n_source : self.n_rows]

    @property
    def source_logits(self) -> Tensor:
        """Logits of the source rows."""
        return self.logits[: self.n_source]

    @property
    def target_logits(self) -> Tensor:
        """Logits of the target rows."""
        return self.logits[self.n_source : self.n_rows]

    @property
    def second_logits(self) -> Tensor:
        """Logits of the target rows' second views."""
        return self.logits[self.n_rows :]

    @property
    def target_inputs(self) -> Tensor:
        """The target rows as the network was given them."""
        return self.X[self.n_source : self.n_rows]

    @property
    def source_labels(self) -> Tensor:
        """Class numbers of the source rows."""
        return self.labels[: self.n_source]

    def source_risks(self) -> list[Tensor]:
        """Return the weighted mean loss of each source domain; weights are set against their domain's mean.

        The loss is the cross entropy, or the squared error in a regression.
        """
        if self.source_labels.is_floating_point():
            losses = (self.source_logits - self.source_labels).pow(2).mean(1)
        else:
            losses = F.cross_entropy(self.source_logits, self.source_labels, reduction="none")
        if self.weights is None:
            return [part.mean() for part in losses.split(self.sizes)]
        weighted = losses * self.weights[: self.n_source]
        means = (1.0,) * len(self.sizes) if self.mean_weights is None else self.mean_weights
        return [part.mean() / mean for part, mean in zip(weighted.split(self.sizes), means)]


class DomainLoss(Documented, BaseEstimator):
    """Abstract: a term that training adds to the cross entropy of the labelled rows.

    A loss is a parameter object: `set_params` and grids reach into it, and what it learns (a discriminator, say) is a
    module that `build` returns anew for every fit.
    """

    needs_target: ClassVar[bool] = True
    n_sources: ClassVar[int] = 1  # source domains that it needs at least
    needs_second_view: ClassVar[bool] = False
    aligns_features: ClassVar[bool] = True  # False where predictions alone are looked at
    needs_classes: ClassVar[bool] = True  # False: `DomainAdaptedRegressor` takes it too
    _parameter_constraints: ClassVar[dict] = {"weight": [Interval(Real, 0, None, closed="left")]}

    def build(self, n_features: int, n_classes: int, network: nn.Module) -> nn.Module | None:
        """Return what is trained, or kept, beside the network; it is given back to `__call__`.

        Its `state_dict` holds all that it keeps, so that a training goes on where it was stopped: numbers that are no
        tensors by `get_extra_state` and `set_extra_state` of torch.
        """
        return None

    def __call__(self, view: View, state: Any) -> Tensor:
        """Return the term, a 0-d tensor, its weight included."""
        raise NotImplementedError

    def supervised_share(self, progress: float) -> float:
        """Return what the cross entropy of the labelled rows counts for beside this loss."""
        return 1.0


def at_least(low: float) -> list:
    """Return the constraint of a real parameter."""
    return [Interval(Real, low, None, closed="left")]
