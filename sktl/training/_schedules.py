"""Learning rates over the steps of a training: pure functions that return a factor of the base rate.

Each is called as ``factor(step, n_steps)`` with step = 0, ..., n_steps - 1. ``warmup`` is a share of all steps
below 1, or a number of steps; the rate climbs linearly during it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sktl._validation import did_you_mean

Schedule = Callable[[int, int], float]


def _warm_up(step: int, n_steps: int, warmup: float) -> tuple[float | None, float]:
    """Return (the factor during warm-up or None after it, the share of the steps after warm-up that have passed)."""
    n_warm = round(warmup * n_steps) if warmup < 1 else int(warmup)
    if step < n_warm:
        return (step + 1) / (n_warm + 1), 0.0
    return None, min(1.0, (step - n_warm) / max(1, n_steps - n_warm))


def constant(step: int, n_steps: int, *, warmup: float = 0.0) -> float:
    """Return 1 after the warm-up.

    Parameters
    ----------
    step, n_steps : int
        This step, from 0, and how many there are.
    warmup : float, default=0.0
        A share of all steps below 1, or a number of steps, in which the rate climbs.

    Returns
    -------
    float
        Factor of the base rate.

    Examples
    --------
    >>> from sktl.training import constant
    >>> [constant(step, 4, warmup=1) for step in range(4)]
    [0.5, 1.0, 1.0, 1.0]
    """
    rising, _ = _warm_up(step, n_steps, warmup)
    return 1.0 if rising is None else rising


def linear(step: int, n_steps: int, *, warmup: float = 0.0, end: float = 0.0) -> float:
    """Return 1 falling to `end` along a line.

    Parameters
    ----------
    step, n_steps : int
        This step, from 0, and how many there are.
    warmup : float, default=0.0
        A share of all steps below 1, or a number of steps, in which the rate climbs.
    end : float, default=0.0
        What it falls to.

    Returns
    -------
    float
        Factor of the base rate.

    Examples
    --------
    >>> from sktl.training import linear
    >>> [linear(step, 4) for step in range(4)]
    [1.0, 0.75, 0.5, 0.25]
    """
    rising, p = _warm_up(step, n_steps, warmup)
    return 1.0 - (1.0 - end) * p if rising is None else rising


def cosine(step: int, n_steps: int, *, warmup: float = 0.0, end: float = 0.0) -> float:
    """Return 1 falling to `end` along half a cosine (Loshchilov and Hutter 2017, without restarts).

    Parameters
    ----------
    step, n_steps : int
        This step, from 0, and how many there are.
    warmup : float, default=0.0
        A share of all steps below 1, or a number of steps, in which the rate climbs.
    end : float, default=0.0
        What it falls to.

    Returns
    -------
    float
        Factor of the base rate.

    Examples
    --------
    >>> from sktl.training import cosine
    >>> [round(cosine(step, 4), 2) for step in range(4)]
    [1.0, 0.85, 0.5, 0.15]
    """
    # end + (1 - end) (1 + cos(pi p)) / 2
    rising, p = _warm_up(step, n_steps, warmup)
    return end + (1.0 - end) * (1.0 + math.cos(math.pi * p)) / 2.0 if rising is None else rising


def steps(
    step: int, n_steps: int, *, at: Sequence[float] = (0.5, 0.75), gamma: float = 0.1, warmup: float = 0.0
) -> float:
    """Return 1, multiplied by `gamma` at each of the shares (or numbers) of all steps in `at`.

    Parameters
    ----------
    step, n_steps : int
        This step, from 0, and how many there are.
    warmup : float, default=0.0
        A share of all steps below 1, or a number of steps, in which the rate climbs.
    at : sequence of float, default=(0.5, 0.75)
        Where the rate drops: shares below 1, or numbers of steps.
    gamma : float, default=0.1
        Factor of each drop.

    Returns
    -------
    float
        Factor of the base rate.

    Examples
    --------
    >>> from sktl.training import steps
    >>> [steps(step, 4, at=(0.5,)) for step in range(4)]
    [1.0, 1.0, 0.1, 0.1]
    """
    rising, _ = _warm_up(step, n_steps, warmup)
    passed = sum(step >= (round(point * n_steps) if point < 1 else point) for point in at)
    return gamma**passed if rising is None else rising


def inverse_decay(step: int, n_steps: int, *, alpha: float = 10.0, power: float = 0.75, warmup: float = 0.0) -> float:
    """Return the decay of domain-adversarial training (Ganin et al. 2016).

    Parameters
    ----------
    step, n_steps : int
        This step, from 0, and how many there are.
    warmup : float, default=0.0
        A share of all steps below 1, or a number of steps, in which the rate climbs.
    alpha, power : float, default=10.0, 0.75
        The factor is ``(1 + alpha * p) ** -power`` where the share p of the steps has passed.

    Returns
    -------
    float
        Factor of the base rate.

    Examples
    --------
    >>> from sktl.training import inverse_decay
    >>> [round(inverse_decay(step, 4), 2) for step in range(4)]
    [1.0, 0.39, 0.26, 0.2]
    """
    # (1 + alpha p)^-power
    rising, p = _warm_up(step, n_steps, warmup)
    return (1.0 + alpha * p) ** -power if rising is None else rising


def _one_cycle(step: int, n_steps: int, peak_at: float, start: float, peak: float, end: float) -> float:
    """Return `start` to `peak` to `end`, each along half a cosine; the peak lies at `peak_at` of the steps."""

    def ease(a: float, b: float, p: float) -> float:
        return b + (a - b) * (1.0 + math.cos(math.pi * p)) / 2.0

    top = max(peak_at * n_steps - 1.0, 0.0)
    if step <= top and top > 0:
        return ease(start, peak, step / top)
    return ease(peak, end, min(1.0, (step - top) / max(n_steps - 1.0 - top, 1.0)))


def one_cycle(
    step: int, n_steps: int, *, warmup: float = 0.3, start: float = 1 / 25, end: float = 1 / 250_000
) -> float:
    """Return `start` rising to 1, then falling to `end` (Smith and Topin 2018; the numbers are fastai's).

    Parameters
    ----------
    step, n_steps : int
        This step, from 0, and how many there are.
    warmup : float, default=0.0
        A share of all steps below 1, or a number of steps, in which the rate climbs.
    start, end : float, default=1/25, 1/250_000
        The factor at the first and at the last step.

    Returns
    -------
    float
        Factor of the base rate.

    Examples
    --------
    >>> from sktl.training import one_cycle
    >>> [round(one_cycle(step, 5, warmup=0.4), 2) for step in range(5)]
    [0.04, 1.0, 0.75, 0.25, 0.0]
    """
    return _one_cycle(step, n_steps, warmup, start, 1.0, end)


def one_cycle_momentum(step: int, n_steps: int, *, warmup: float = 0.3, low: float = 0.85 / 0.95) -> float:
    """Return momentum's factor in the one-cycle schedule: 1 falling to `low` where the rate peaks, and back."""
    return _one_cycle(step, n_steps, warmup, 1.0, low, 1.0)


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "one_cycle": one_cycle,
    "steps": steps,
    "dann": inverse_decay,
}


def get_schedule(schedule: str | Schedule | None) -> Schedule | None:
    """Return the schedule of that name; callables and None come back as they are.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if schedule is None or callable(schedule):
        return schedule
    if schedule not in SCHEDULES:
        raise ValueError(
            f"schedule must be one of {', '.join(map(repr, SCHEDULES))}, a callable(step, n_steps) or None; "
            f"got {schedule!r}.{did_you_mean(str(schedule), SCHEDULES)}"
        )
    return SCHEDULES[schedule]
