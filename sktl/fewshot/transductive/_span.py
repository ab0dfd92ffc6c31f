"""The codes of many tasks, known by their inner products."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from sktl._given_tensors import widened

TINY = 1e-24  # squared lengths below it count as zero
FEW = 6  # nearest others up to which so many passes for the smallest beat torch's selection
BLOCK = 2**24  # distances at once where they are made from the codes


class Span:
    """Rows of tasks, and the points that are combinations of them: what can be known from inner products alone.

    Every step of a method then costs by the number of rows, not by the width of the codes. Where rows are far more
    numerous than the codes are wide, products go through the codes instead. A span belongs to whoever works on it:
    `translate` and `normalise` change it.

    Parameters
    ----------
    rows : Tensor of shape (t, n, d), optional
        Codes.
    gram : Tensor of shape (t, n, n), optional
        Their inner products; one of the two is enough. Half precision is widened to float32.
    """

    def __init__(self, rows: Tensor | None = None, gram: Tensor | None = None):
        self.rows = None if rows is None else widened(rows)
        self.gram = None if gram is None else widened(gram)

    @property
    def known(self) -> Tensor:
        """The products, or else the codes."""
        known = self.rows if self.gram is None else self.gram
        assert known is not None
        return known

    @property
    def squares(self) -> Tensor:
        """Squared lengths of the rows, (t, 1, n)."""
        own = self.known.square().sum(2) if self.gram is None else self.gram.diagonal(dim1=1, dim2=2)
        return own.unsqueeze(1)

    def products(self, weights: Tensor) -> Tensor:
        """Return the inner products (t, k, n) of all rows and the points of weights (t, k, n)."""
        if self.gram is not None:
            return weights @ self.gram
        return (weights @ self.known) @ self.known.transpose(1, 2)

    def squared_distances(self, weights: Tensor) -> Tensor:
        """Return the squared distances (t, k, n) of all rows to the points of weights (t, k, n)."""
        # c_k = sum_i a_ki x_i,  |x_j - c_k|^2 = |x_j|^2 - 2 x_j.c_k + sum_i a_ki x_i.c_k
        products = self.products(weights)
        own = (weights * products).sum(2, keepdim=True)
        return (self.squares + own).add_(products, alpha=-2).clamp_min_(0)

    def cosines(self, weights: Tensor) -> Tensor:
        """Return the cosines (t, k, n) of all rows and the points of weights (t, k, n)."""
        products = self.products(weights)
        own = (weights * products).sum(2, keepdim=True)
        return products * (self.squares * own).clamp_min(TINY).rsqrt()

    def translate(self, which: slice, weights: Tensor) -> None:
        """Move some rows by a combination of all, of weights (t, 1, n)."""
        if self.gram is None:
            self.known[:, which] += weights @ self.known
            return
        # x_i' = x_i + m_i v,  x_i'.x_j' = x_i.x_j + m_i h_j + m_j h_i,  h_i = x_i.v + m_i |v|^2 / 2
        half = weights @ self.gram
        half[..., which] += (half * weights).sum(2, keepdim=True) / 2
        self.gram[:, which] += half
        self.gram[..., which] += half.transpose(1, 2)
        self.rows = None

    def normalise(self) -> None:
        """Bring all rows to length one; rows of length zero stay."""
        if self.gram is None:
            self.rows = unit(self.known)
            return
        scale = self.squares.clamp_min(TINY).rsqrt()  # (t, 1, n)
        self.gram *= scale * scale.transpose(1, 2)
        self.rows = None

    def nearest(self, start: int, n_neighbors: int) -> Tensor:
        """Return, for the rows from `start` on, which of these are the nearest others, (t, n_neighbors, n - start)."""
        squares = self.squares[..., start:]
        t, n = squares.shape[0], squares.shape[2]
        found = []
        for first in range(0, n, step := max(1, BLOCK // (t * n))):
            some = slice(start + first, min(start + first + step, start + n))
            if self.gram is not None:
                products = self.gram[:, some, start:]
            else:
                products = self.known[:, some] @ self.known[:, start:].transpose(1, 2)
            # |x_i - x_j|^2 - |x_i|^2 = |x_j|^2 - 2 x_i.x_j
            distances = torch.add(squares, products, alpha=-2)
            distances.diagonal(first, 1, 2).fill_(torch.inf)
            found.append(_smallest(distances, n_neighbors))
        return torch.cat(found, dim=1).transpose(1, 2)


def unit(rows: Tensor) -> Tensor:
    """Return the rows at length one; rows of length zero stay."""
    return F.normalize(rows, dim=-1)


def of_size_one(rows: Tensor) -> Tensor:
    """Return the rows with 1 as the largest of their absolute values, whose squares are finite; rows of zeros stay."""
    if not rows.shape[-1]:
        return rows
    largest = rows.abs().amax(-1, keepdim=True)
    return rows / torch.where(largest > 0, largest, 1.0)


def _smallest(values: Tensor, n: int) -> Tensor:
    """Return the places of the n smallest values along the last axis; `values` is used up."""
    if n > FEW:
        return values.topk(n, dim=-1, largest=False).indices
    places = []
    for _ in range(n):
        places.append(values.min(-1, keepdim=True).indices)
        values.scatter_(-1, places[-1], torch.inf)
    return torch.cat(places, dim=-1)
