"""Prototypes that maximise what predictions tell about the queries."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import ClassVar

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from sktl._validation import MOST_STEPS
from sktl.fewshot.transductive._base import LARGEST_FACTOR, TransductiveMethod
from sktl.fewshot.transductive._span import unit
from sktl.fewshot.transductive._tasks import Tasks

STEPS = {"adm": 150, "gd": 1000}  # as in the paper


def alternating_directions(
    tasks: Tasks, *, temperature: float, support_weight: float, share_weight: float, certainty: float, n_iter: int
) -> Tensor:
    """Return the queries' log-probabilities (t, n_way, n_query) after so many rounds of TIM-ADM.

    The objective is that of `gradient`, with auxiliary assignments q of the queries beside the predictions p: q and the
    prototypes in turn take the values that are best for the other, in closed form.
    """
    span, queries, targets = tasks.span, tasks.queries, tasks.targets.clone()
    # what a row counts for: lambda / (1 + alpha) in the support set, |S| / |Q| among the queries, 0 if it is padding
    counts = targets.sum(1, keepdim=True) * (support_weight / (1 + certainty))  # (t, 1, n)
    counts[..., queries] = targets.sum((1, 2)).view(-1, 1, 1) / tasks.n_query
    weights = tasks.prototypes
    for _ in range(n_iter):
        # p_ik = softmax_k(-t |x_i - c_k|^2 / 2)
        log_p = (span.squared_distances(weights) * (-temperature / 2)).log_softmax(1)
        # q_ik ~ p_ik^(1+a) / (sum_i p_ik^(1+a))^(b/(1+b)), for the weights a of certainty and b of equal shares
        sharp = (1 + certainty) * log_p[..., queries]
        share = sharp.logsumexp(2, keepdim=True) * (share_weight / (1 + share_weight))
        targets[..., queries] = (sharp - share).softmax(1)
        # c_k = sum_i n_i (q_ik x_i + p_ik (c_k - x_i)) / sum_i n_i q_ik
        p, q = log_p.exp_() * counts, targets * counts
        total = q.sum(2, keepdim=True)
        moved = (q - p + weights * p.sum(2, keepdim=True)) / total
        weights = torch.where(total > 0, moved, weights)  # a class that nothing is assigned to stays
    return (span.squared_distances(weights)[..., queries] * (-temperature / 2)).log_softmax(1)


def class_logits(rows: Tensor, prototypes: Tensor, temperature: float, *, is_cosine: bool = False) -> Tensor:
    """Return -t |x - c|^2 / 2 of rows (t, n, d) and prototypes (t, n_way, d), less what all classes have in common.

    Of cosines, t cos(x, c), where rows are of length one.
    """
    if is_cosine:
        return temperature * (unit(prototypes) @ rows.transpose(1, 2))
    # -|x - c|^2 / 2 = x.c - |c|^2 / 2 - |x|^2 / 2
    half = prototypes.square().sum(2, keepdim=True) / 2
    return temperature * (prototypes @ rows.transpose(1, 2) - half)


def gradient(
    tasks: Tasks, prototypes: Tensor, *, temperature: float, support_weight: float, share_weight: float,
    certainty: float, is_cosine: bool = False,
) -> Tensor:  # fmt: skip
    """Return the gradient (t, n_way, d) of TIM's objective in the prototypes (t, n_way, d)."""
    rows, n_support = tasks.span.known, tasks.n_support
    log_p = class_logits(rows, prototypes, temperature, is_cosine=is_cosine).log_softmax(1)
    p, is_row = log_p.exp(), tasks.targets.sum(1, keepdim=True)
    # L = l CE(support) + b sum_k s_k log s_k - a mean_i sum_k p_ik log p_ik,  s_k = mean_i p_ik
    # dL/dz_ik = l (p_ik - y_ik) / |S| for the support set, p_ik (g_ik - sum_j p_ij g_ij) / |Q| for the queries,
    # g_ik = b log s_k - a log p_ik
    by_logit = (p - tasks.targets) * is_row * (support_weight / is_row.sum(2, keepdim=True))
    of_query = p[..., n_support:]
    log_share = log_p[..., n_support:].logsumexp(2, keepdim=True) - math.log(tasks.n_query)
    pull = share_weight * log_share - certainty * log_p[..., n_support:]
    by_logit[..., n_support:] = of_query * (pull - (of_query * pull).sum(1, keepdim=True)) / tasks.n_query
    if is_cosine:
        # z_ik = t x_i.u_k,  u = c / |c|,  dz_ik/dc_k = t (x_i - (x_i.u_k) u_k) / |c_k|
        along, directions = by_logit @ rows, unit(prototypes)
        across = along - (along * directions).sum(2, keepdim=True) * directions
        lengths = prototypes.norm(dim=2, keepdim=True)
        return temperature * across / lengths.masked_fill(lengths == 0, 1.0)  # Adam takes a zero one along the rows
    # z_ik = -t |x_i - c_k|^2 / 2,  dz_ik/dc_k = t (x_i - c_k)
    return temperature * (by_logit @ rows - by_logit.sum(2, keepdim=True) * prototypes)


def descent(
    tasks: Tasks, *, temperature: float, learning_rate: float, n_iter: int, is_cosine: bool = False, **weights: float
) -> Tensor:
    """Return the queries' log-probabilities (t, n_way, n_query) after so many steps of Adam on `gradient`."""
    rows = tasks.span.known
    prototypes = tasks.prototypes @ rows
    mean, square = torch.zeros_like(prototypes), torch.zeros_like(prototypes)
    for step in range(1, n_iter + 1):
        slope = gradient(tasks, prototypes, temperature=temperature, is_cosine=is_cosine, **weights)
        # m <- 0.9 m + 0.1 g,  v <- 0.999 v + 0.001 g^2,  c <- c - r m' / (sqrt(v') + 1e-8), m' and v' without bias
        mean.lerp_(slope, 0.1)
        square.mul_(0.999).addcmul_(slope, slope, value=0.001)
        root = square.sqrt().mul_(1 / math.sqrt(1 - 0.999**step)).add_(1e-8)
        prototypes.addcdiv_(mean, root, value=-learning_rate / (1 - 0.9**step))
    logits = class_logits(rows[:, tasks.queries], prototypes, temperature, is_cosine=is_cosine)
    return logits.log_softmax(1)


class TIM(TransductiveMethod):
    """Transductive information maximisation: predictions that are certain, varied, and right on the support set [1]_.

    Prototypes are moved until the mutual information of queries and predictions is largest: each prediction certain,
    all classes predicted equally often.

    **It assumes balanced queries**, and loses where class shares differ much. A lower `share_weight` softens that;
    without it certainty is had by predicting one class, so that ``share_weight=0`` needs ``certainty=0``, and little
    is left of the gain. `LaplacianShot` without rectification assumes nothing.

    Parameters
    ----------
    solver : {"adm", "gd"}, default="adm"
        Alternating closed forms (TIM-ADM), or gradient descent (TIM-GD), some ten times slower, slightly better in
        the paper.
    distance : {"euclidean", "cosine"}, default="euclidean"
        Whether a code belongs to a class by half its squared distance to the prototype, as in the paper, or by their
        cosine, for which prototypes may be of any length and which has no closed form: it needs ``solver="gd"``.
    temperature : float, default=15.0
        Factor of the distances, or cosines, between codes of length one.
    support_weight : float, default=0.1
        Of the support set's cross entropy.
    share_weight : float, default=1.0
        Of the entropy of the classes' shares, which is largest where they are equal.
    certainty : float, default=0.1
        Weight of the predictions' own entropy.
    n_iter : int or None, default=None
        Steps; None is the paper's 150 for "adm" and 1000 for "gd".
    learning_rate : float, default=1e-4
        Of Adam, for "gd".

    Raises
    ------
    ValueError
        If cosines are asked for with the closed forms.

    References
    ----------
    .. [1] M. Boudiaf, I. M. Ziko, J. Rony, J. Dolz, P. Piantanida and I. Ben Ayed, "Transductive information
       maximization for few-shot learning", NeurIPS, 2020.

    Examples
    --------
    >>> import torch
    >>> from sktl.fewshot.transductive import TIM
    >>> support, query = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.9, 0.8], [0.5, 1.0], [1.0, 0.6]])
    >>> TIM()(support, torch.tensor([0, 1]), query, n_way=2).argmax(1).tolist()
    [0, 1, 0]
    """

    _parameter_constraints: ClassVar[dict] = {
        "solver": [StrOptions(set(STEPS))],
        "distance": [StrOptions({"euclidean", "cosine"})],
        "temperature": [Interval(Real, 0, LARGEST_FACTOR, closed="right")],
        "support_weight": [Interval(Real, 0, LARGEST_FACTOR, closed="both")],
        "share_weight": [Interval(Real, 0, LARGEST_FACTOR, closed="both")],
        "certainty": [Interval(Real, 0, LARGEST_FACTOR, closed="both")],
        "n_iter": [Interval(Integral, 1, MOST_STEPS, closed="both"), None],
        "learning_rate": [Interval(Real, 0, 1, closed="right")],
    }

    def __init__(
        self,
        solver: str = "adm",
        *,
        distance: str = "euclidean",
        temperature: float = 15.0,
        support_weight: float = 0.1,
        share_weight: float = 1.0,
        certainty: float = 0.1,
        n_iter: int | None = None,
        learning_rate: float = 1e-4,
    ):
        self.solver = solver
        self.distance = distance
        self.temperature = temperature
        self.support_weight = support_weight
        self.share_weight = share_weight
        self.certainty = certainty
        self.n_iter = n_iter
        self.learning_rate = learning_rate

    @property
    def needs_rows(self) -> bool:
        """Whether the codes themselves are needed: Adam's steps are by coordinate."""
        return self.solver == "gd"

    def inferred(self, tasks: Tasks) -> Tensor:
        """Return the log-probabilities by the moved prototypes."""
        is_cosine = self.distance == "cosine"
        if is_cosine and self.solver == "adm":
            raise ValueError("distance='cosine' has no closed form: use solver='gd', or distance='euclidean'.")
        n_iter = STEPS[self.solver] if self.n_iter is None else self.n_iter
        n_iter = n_iter if tasks.queries_are_a_set else 0
        weights = {
            "support_weight": float(self.support_weight),
            "share_weight": float(self.share_weight),
            "certainty": float(self.certainty),
        }
        if self.solver == "adm":
            return alternating_directions(tasks, temperature=self.temperature, n_iter=n_iter, **weights)
        return descent(
            tasks, temperature=self.temperature, learning_rate=self.learning_rate, n_iter=n_iter, is_cosine=is_cosine,
            **weights,
        )  # fmt: skip
