"""What training raises when the numbers run away."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


class NonFiniteLossError(ArithmeticError):
    """A batch's loss is NaN or infinite; the loop turns it into a `DivergenceError` that says where."""


class DivergenceError(ArithmeticError):
    """Training left the range of finite numbers.

    Attributes
    ----------
    epoch, step : int or None
        Where, both counted from 1; `step` counts the updates since training began.
    learning_rate : float or None
        The first parameter group's rate at that step.
    last_good_state : dict of str to Tensor, or None
        The network's state at the end of the last epoch that was finite, where it was asked to be kept.
    """

    def __init__(
        self,
        message: str,
        *,
        epoch: int | None = None,
        step: int | None = None,
        learning_rate: float | None = None,
        last_good_state: Mapping[str, Tensor] | None = None,
    ):
        super().__init__(message)
        self.epoch = epoch
        self.step = step
        self.learning_rate = learning_rate
        self.last_good_state = last_good_state

    def __reduce__(self):
        return type(self), self.args, self.__dict__  # notes included


def diverged(
    what: str,
    *,
    epoch: int,
    step: int,
    learning_rate: float,
    is_clipped: bool,
    last_good_state: Mapping[str, Tensor] | None,
    last_good_epoch: int,
) -> DivergenceError:
    """Return the error that says where training diverged and what to try."""
    advice = ["a smaller learning rate (a tenth, say)", "a warm-up"]
    if not is_clipped:
        advice.append("clipping of gradients")
    error = DivergenceError(
        f"{what} at epoch {epoch}, step {step}, with learning rate {learning_rate:.3g}. "
        f"Try {', '.join(advice)}, float32 precision, and look for extreme or missing values in the input.",
        epoch=epoch,
        step=step,
        learning_rate=learning_rate,
        last_good_state=last_good_state,
    )
    if last_good_state is not None:
        error.add_note(f"The weights as of the end of epoch {last_good_epoch} are kept in `last_good_state`.")
    return error
