"""Power transform, and class means by optimal transport."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

from sklearn.utils._param_validation import Interval
from torch import Tensor

from sktl._given_tensors import widened
from sktl._validation import MOST_STEPS
from sktl.fewshot.transductive._base import LARGEST_FACTOR, TransductiveMethod
from sktl.fewshot.transductive._span import of_size_one, unit
from sktl.fewshot.transductive._tasks import Tasks
from sktl.fewshot.transductive._transport import transport


def power_transformed(rows: Tensor, power: float) -> Tensor:
    """Return the rows' values to a power, signs kept, at length one: skewed codes come closer to a Gaussian."""
    # f(x) = x^b / |x^b|, the same of any multiple of x
    wide = of_size_one(widened(rows))
    found = unit(wide.sign() * wide.abs().pow(power)) if power != 1 else unit(wide)
    return found.to(rows.dtype)


def centre(tasks: Tasks) -> None:
    """Take the support set's and the queries' mean away, each from its rows, and bring them to length one again."""
    if tasks.queries_are_a_set:
        tasks.span.translate(tasks.queries, -tasks.query_mean)
        tasks.span.translate(slice(0, tasks.n_support), -tasks.support_mean)
    else:
        tasks.span.translate(slice(None), -tasks.support_mean)
    tasks.span.normalise()


def map_assignments(tasks: Tasks, *, sharpness: float, balance: float, step: float, n_iter: int) -> Tensor:
    """Return the log-probabilities (t, n_way, n_query) after so many steps towards the means of the assigned rows."""
    span, queries, assigned = tasks.span, tasks.queries, tasks.targets.clone()
    weights, potentials = tasks.prototypes, None
    for k in range(n_iter + 1):
        costs = span.squared_distances(weights)[..., queries]
        log_plan, potentials = transport(costs, sharpness=sharpness, balance=balance, start=potentials)
        if k < n_iter:
            # m_k = (sum_s y_sk x_s + sum_q M_qk x_q) / (sum_s y_sk + sum_q M_qk),  c_k <- c_k + a (m_k - c_k)
            assigned[..., queries] = log_plan.exp()
            weights = weights.lerp(assigned / assigned.sum(2, keepdim=True), step)
    return log_plan


class PTMAP(TransductiveMethod):
    """Power transform and maximum a posteriori: optimal transport assigns queries to classes, whose means follow [1]_.

    **It assumes balanced queries**: with ``balance=1``, the paper's method, each class gets exactly its n-th part of
    the queries, whether or not that is so; where class shares differ much, this is worse than plain prototypes. Lower
    `balance` where they may; with ``balance=0, center=False`` nothing is assumed, and what is left is a soft k-means
    from the prototypes, which suffers little from unequal shares if `sharpness` is raised to 20 or more.

    Departs from the paper in that negative codes keep their sign under the power. Centring is the authors' code's.

    Parameters
    ----------
    balance : float in [0, 1], default=1.0
        How strictly classes are made equally large: 1 exactly, 0 not at all.
    power : float, default=0.5
        Exponent of the codes' values; 1 leaves them.
    center : bool, default=True
        Whether support set and queries are each centred; the latter takes the queries' mean for that of all classes.
    sharpness : float, default=10.0
        Of the assignments: factor of squared distances between codes of length one.
    step : float in (0, 1], default=0.2
        How far prototypes go towards the new means at a time.
    n_iter : int, default=20
        Steps.

    References
    ----------
    .. [1] Y. Hu, V. Gripon and S. Pateux, "Leveraging the feature distribution in transfer-based few-shot learning",
       ICANN, 2021.

    Examples
    --------
    >>> import torch
    >>> from sktl.fewshot.transductive import PTMAP
    >>> support = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> query = torch.tensor([[0.9, 0.8], [0.5, 1.0], [1.0, 0.1], [1.0, 0.2]])
    >>> PTMAP()(support, torch.tensor([0, 1]), query, n_way=2).argmax(1).tolist()
    [1, 1, 0, 0]
    """

    _parameter_constraints: ClassVar[dict] = {
        "balance": [Interval(Real, 0, 1, closed="both")],
        "power": [Interval(Real, 0, LARGEST_FACTOR, closed="right")],
        "center": ["boolean"],
        "sharpness": [Interval(Real, 0, LARGEST_FACTOR, closed="right")],
        "step": [Interval(Real, 0, 1, closed="right")],
        "n_iter": [Interval(Integral, 1, MOST_STEPS, closed="both")],
    }

    def __init__(
        self,
        balance: float = 1.0,
        *,
        power: float = 0.5,
        center: bool = True,
        sharpness: float = 10.0,
        step: float = 0.2,
        n_iter: int = 20,
    ):
        self.balance = balance
        self.power = power
        self.center = center
        self.sharpness = sharpness
        self.step = step
        self.n_iter = n_iter

    def prepared(self, rows: Tensor) -> Tensor:
        """Return the power-transformed codes."""
        return power_transformed(rows, self.power)

    def inferred(self, tasks: Tasks) -> Tensor:
        """Return the log-probabilities of the last plan."""
        if self.center:
            centre(tasks)
        if not tasks.queries_are_a_set:
            return map_assignments(tasks, sharpness=self.sharpness, balance=0.0, step=self.step, n_iter=0)
        return map_assignments(
            tasks, sharpness=self.sharpness, balance=self.balance, step=self.step, n_iter=self.n_iter
        )
