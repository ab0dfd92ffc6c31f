"""What every head is: a learner small enough to be fitted within a forward pass."""

from __future__ import annotations

import copyreg
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sktl._given_tensors import check_size, logits_given_back, task_of, widened, without_autocast
from sktl.training import as_tensors, to_arrays

State = dict[str, Tensor]


class Head(nn.Module, ABC):
    """Abstract: turns the codes of a support set into a state, and a state and query codes into logits.

    All tensors may have leading axes of tasks, the same for support and query. Labels are 0, ..., n_way - 1; a
    support row labelled -1 is padding and counts for nothing. What a head learns across tasks are its parameters.

    Attributes
    ----------
    takes_maps : bool
        Whether codes are feature maps (channels, height, width) rather than vectors.
    """

    takes_maps = False

    def __reduce_ex__(self, protocol: Any) -> Any:  # pickles and copies hold the tensors themselves
        return copyreg.__newobj__, (type(self),), dict(vars(self))  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with arrays for tensors, for what writes no tensors, such as skops."""
        held = dict(vars(self))
        return held | {name: to_arrays(dict(held[name])) for name in ("_parameters", "_buffers")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        held = {name: as_tensors(dict(state[name])) for name in ("_parameters", "_buffers")}
        for name, value in held["_parameters"].items():
            if value is not None and not isinstance(value, nn.Parameter):
                held["_parameters"][name] = nn.Parameter(value)
        super().__setstate__({**state, **held})

    def build(self, code_shape: tuple[int, ...]) -> None:
        """Make the parameters that depend on the shape of a code; called once, before anything else."""
        del code_shape

    @abstractmethod
    def adapt(self, support: Tensor, y: Tensor, n_way: int) -> State:
        """Return what is to be known of a task: support codes ``(..., n_support, *code_shape)``, labels.

        The parts of a state have the leading axes of the tasks.
        """

    @abstractmethod
    def logits(self, state: State, query: Tensor) -> Tensor:
        """Return ``(..., n_query, n_way)`` for query codes ``(..., n_query, *code_shape)``."""

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss that meta-training lowers: by default the cross entropy; labels -1 count for nothing."""
        return F.cross_entropy(logits.flatten(0, -2), y.flatten(), ignore_index=-1)

    def forward(self, support: Any, y: Any, query: Any, n_way: int) -> Tensor:
        """Return the logits of the queries of tasks.

        They are of the codes' type; codes of half precision, and whole numbers, are computed with in float32, also
        under autocast. Logits that half precision cannot hold are given less the row's largest.

        Parameters
        ----------
        support : Tensor or ndarray of shape (..., n_support, ...)
            Codes, each of the shape that the head takes.
        query : Tensor or ndarray of shape (..., n_query, ...)
            Codes of the same shape.
        y : Tensor or ndarray of shape (..., n_support)
            Labels 0, ..., n_way - 1, or -1 for padding.
        n_way : int
            Number of classes.

        Returns
        -------
        Tensor of shape (..., n_query, n_way)

        Raises
        ------
        ValueError
            If codes hold NaN, infinity or numbers too large to be squared, or labels are out of range.
        TypeError
            If codes hold no real numbers, or labels are not whole ones.
        """
        support, y, query = task_of(support, y, query)
        check_size(support, "support")
        check_size(query, "query")
        if y.numel() and int(y.max()) >= n_way:
            raise ValueError(f"y must hold labels below n_way={n_way}, or -1 for padding; got {int(y.max())}.")
        return logits_given_back(self.exact_logits(self.exact_state(support, y, n_way), query), support.dtype)

    def exact_state(self, support: Tensor, y: Tensor, n_way: int) -> State:
        """Return `adapt` of codes of any floating type, in the head's own: float32 where that is half precision."""
        with without_autocast(support.device):
            return self.adapt(self._own(support), y, n_way)

    def exact_logits(self, state: State, query: Tensor) -> Tensor:
        """Return `logits` of codes of any floating type, in the head's own."""
        with without_autocast(query.device):
            return self.logits(state, self._own(query))

    def _own(self, codes: Tensor) -> Tensor:
        """Return the codes in the type of the head's layers, or in their own if it has none, half precision widened."""
        dtypes = [parameter.dtype for parameter in self.parameters() if parameter.ndim]
        return codes.to(dtypes[0]) if dtypes else widened(codes)


def check_codes(support: Tensor, y: Tensor) -> None:
    """Raise ValueError where codes are maps, for a head that takes vectors."""
    if support.ndim != y.ndim + 1:
        raise ValueError(
            f"support must be codes (..., n_support, d) with labels (..., n_support); got {tuple(support.shape)} and "
            f"{tuple(y.shape)}. Average or flatten maps first, as support.mean((-2, -1)) or support.flatten(-3) do, or "
            "take RelationHead."
        )


def one_hot(y: Tensor, n_way: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return (..., n, n_way); rows labelled -1 are all zero."""
    return (y.unsqueeze(-1) == torch.arange(n_way, device=y.device)).to(dtype)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared Euclidean distances (..., n, m) of rows (..., n, d) and (..., m, d)."""
    # |a - b|^2 = |a|^2 - 2 a.b + |b|^2
    products = a @ b.transpose(-1, -2)
    squared = a.square().sum(-1).unsqueeze(-1) - 2 * products + b.square().sum(-1).unsqueeze(-2)
    return squared.clamp_min(0)


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosines (..., n, m) of the angles between rows (..., n, d) and (..., m, d)."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).transpose(-1, -2)


def class_means(support: Tensor, y: Tensor, n_way: int) -> Tensor:
    """Return the mean code of each class, (..., n_way, d); zero for a class without rows."""
    # c_k = sum_i [y_i = k] x_i / sum_i [y_i = k]
    belongs = one_hot(y, n_way, support.dtype).transpose(-1, -2)  # (..., n_way, n_support)
    return belongs @ support / belongs.sum(-1, keepdim=True).clamp_min(1)
