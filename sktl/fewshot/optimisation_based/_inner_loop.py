"""Learning one task from a given start: the inner loop, as pure functions of parameters and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad

Parameters = dict[str, Tensor]
Loss = Callable[[Parameters, Tensor, Tensor], Tensor]  # (parameters, x, y) -> mean loss
Gradient = Callable[[Parameters, Tensor, Tensor], Parameters]  # (parameters, x, y) -> its gradient

ADAM_BETA, ADAM_EPS = 0.999, 1e-8


@dataclass(frozen=True)
class InnerLoop:
    """How a task is learned.

    Attributes
    ----------
    n_steps : int
        Gradient steps.
    uses_adam : bool
        Adam without momentum instead of plain gradients, as in Reptile.
    batch_size : int or None
        Support rows a step, taken in turn; None takes all.
    proximal : float
        Strength of the pull ``proximal / 2 * |w - start|^2``.
    """

    n_steps: int
    uses_adam: bool = False
    batch_size: int | None = None
    proximal: float = 0.0


def learn_task(
    gradient: Gradient,
    start: Parameters,
    rates: Sequence[Mapping[str, Tensor | float]],
    x: Tensor,
    y: Tensor,
    loop: InnerLoop,
    *,
    rows_axis: int = 0,
) -> list[Parameters]:
    """Return the parameters after each step, the start first: of one task, or of several along a leading axis.

    Parameters
    ----------
    gradient : callable(parameters, x, y) -> dict of str to Tensor
        Of the mean loss of support rows; it decides whether one can differentiate through it.
    start : dict of str to Tensor
        The parameters that are adapted.
    rates : sequence of mappings
        Rate of each parameter at each step; later steps keep the last ones.
    x, y : Tensor
        The support set.
    loop : InnerLoop
        How.
    rows_axis : int, default=0
        Of x and y: 1 where tasks come first.
    """
    path, now = [start], start
    squares = {name: torch.zeros_like(value) for name, value in start.items()} if loop.uses_adam else {}
    n_rows = x.shape[rows_axis]
    order = None if loop.batch_size is None or loop.batch_size >= n_rows else _turns(n_rows, loop.batch_size)
    for step in range(loop.n_steps):
        rows = (x, y) if order is None else _taken(x, y, order, step, loop.batch_size, rows_axis)
        slope = gradient(now, *rows)
        if loop.proximal:
            slope = {name: slope[name] + loop.proximal * (now[name] - start[name]) for name in now}
        if loop.uses_adam:
            slope, squares = _adam(slope, squares, step)
        rate = rates[min(step, len(rates) - 1)]
        # w <- w - rate * grad loss(w)
        now = {name: value - rate[name] * slope[name] for name, value in now.items()}
        path.append(now)
    return path


def _adam(slope: Parameters, squares: Parameters, step: int) -> tuple[Parameters, Parameters]:
    # v <- b v + (1 - b) g^2,   g / (sqrt(v / (1 - b^t)) + eps)
    squares = {name: ADAM_BETA * squares[name] + (1 - ADAM_BETA) * slope[name].square() for name in slope}
    correction = 1 - ADAM_BETA ** (step + 1)
    return {name: slope[name] / ((squares[name] / correction).sqrt() + ADAM_EPS) for name in slope}, squares


def _turns(n_rows: int, batch_size: int) -> Tensor:
    """Return an order of the rows in which several batches in turn see them evenly; always the same."""
    generator = torch.Generator().manual_seed(0)
    n_rounds = batch_size  # after which the batches' starts repeat
    return torch.cat([torch.randperm(n_rows, generator=generator) for _ in range(n_rounds)])


def _taken(x: Tensor, y: Tensor, order: Tensor, step: int, batch_size: int | None, axis: int) -> tuple[Tensor, Tensor]:
    assert batch_size is not None
    n_batches = len(order) // batch_size
    start = (step % n_batches) * batch_size
    which = order[start : start + batch_size].to(x.device)
    return x.index_select(axis, which), y.index_select(axis, which)


def conjugate_gradient(product: Callable[[Parameters], Parameters], target: Parameters, n_steps: int) -> Parameters:
    """Return x with ``product(x) = target``, for a symmetric positive definite product, after so many steps.

    Where the product turns out not to be positive definite, x stays as it was before that direction (Steihaug's rule).
    """
    x = {name: torch.zeros_like(value) for name, value in target.items()}
    residual, direction = target, target
    square = _dot(residual, residual)
    is_convex = square >= 0
    for _ in range(n_steps):
        image = product(direction)
        curvature = _dot(direction, image)
        is_convex = is_convex & (curvature > 0)
        length = torch.where(is_convex, square / curvature.clamp_min(torch.finfo(square.dtype).tiny), 0.0)
        x = {name: x[name] + length * direction[name] for name in x}
        residual = {name: residual[name] - length * image[name] for name in x}
        square, before = _dot(residual, residual), square
        share = square / before.clamp_min(torch.finfo(square.dtype).tiny)
        direction = {name: residual[name] + share * direction[name] for name in x}
    return x


def implicit_gradient(
    support_loss: Loss,
    query_gradient: Parameters,
    learned: Parameters,
    x: Tensor,
    y: Tensor,
    *,
    proximal: float,
    n_steps: int,
) -> Parameters:
    """Return the gradient of a query loss with respect to the start, at the optimum of the pulled inner loss.

    With w(t) = argmin_w L(w) + proximal / 2 * |w - t|^2, the chain rule and the implicit function theorem give
    dL_q/dt = (I + H / proximal)^-1 dL_q/dw, H the Hessian of L at w: solved by conjugate gradients on products.
    """
    inner = grad(support_loss)

    def product(vector: Parameters) -> Parameters:
        # H v = d/dw (grad L(w) . v)
        def along(parameters: Parameters) -> Tensor:
            return _dot(inner(parameters, x, y), vector)

        curved = grad(along)(learned)
        return {name: vector[name] + curved[name] / proximal for name in vector}

    return conjugate_gradient(product, query_gradient, n_steps)


def _dot(a: Parameters, b: Parameters) -> Tensor:
    return torch.stack([(a[name] * b[name]).sum() for name in a]).sum()
