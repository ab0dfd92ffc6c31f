"""What training raises when the numbers run away."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from sktl.exceptions import DivergenceError


class NonFiniteLossError(ArithmeticError):
    """A batch's loss is NaN or infinite; the loop turns it into a `DivergenceError` that says where."""


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
