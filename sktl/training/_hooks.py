"""Which skorch callbacks listen to single batches, and telling them; the others cost nothing a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from skorch.callbacks import Callback, LRScheduler
from skorch.callbacks.scoring import ScoringBase
from torch import Tensor

from sktl.training._structure import Batch, features_and_target, n_rows


def overrides(callback: Any, *names: str) -> bool:
    """Whether the callback does something of its own in one of these hooks."""
    return any(getattr(type(callback), name, None) is not getattr(Callback, name) for name in names)


def listens_to_batches(callback: Any, *, is_training: bool) -> bool:
    """Whether the callback has use for the batches of training, or of validation."""
    if not overrides(callback, "on_batch_begin", "on_batch_end"):
        return False
    if isinstance(callback, LRScheduler):
        return is_training and callback.step_every == "batch"
    if isinstance(callback, ScoringBase):
        return callback.on_train == is_training
    return True


def checked_callbacks(callbacks: Any) -> Any:
    """Return skorch's callbacks as they are.

    Raises
    ------
    TypeError
        If one is none.
    """
    for place, given in enumerate(callbacks or ()):
        callback = given[1] if isinstance(given, tuple) and len(given) == 2 else given
        if hasattr(callback, "initialize") and hasattr(callback, "on_epoch_end"):
            continue
        is_sklearns = hasattr(callback, "on_fit_task_end")
        hint = " scikit-learn's own callbacks come by set_callbacks(...)." if is_sklearns else ""
        raise TypeError(
            f"callbacks[{place}] must be a skorch callback, such as skorch.callbacks.EarlyStopping(), or a pair of a "
            f"name and one; got {given!r} of type {type(given).__name__}.{hint}"
        )
    return callbacks


class BatchHooks:
    """Notifies the callbacks of each batch of one epoch, with what skorch would pass them.

    Parameters
    ----------
    net : NeuralNet
        Whose callbacks and history.
    is_training : bool
        Whether the batches are trained on, or validated.
    """

    def __init__(self, net: Any, *, is_training: bool):
        self.net = net
        self.is_training = is_training
        self.prefix = "train" if is_training else "valid"
        self._output: Any = None
        self._hook = net.module_.register_forward_hook(self._remember)

    def begin(self, batch: Batch) -> None:
        """Call ``on_batch_begin``."""
        self.net.notify("on_batch_begin", batch=_pair(batch), training=self.is_training)

    def end(self, batch: Batch, loss: Tensor) -> None:
        """Record the batch in the history and call ``on_batch_end``; y_pred is what the module returned last."""
        self.net.history.record_batch(f"{self.prefix}_loss", loss.item())
        self.net.history.record_batch(f"{self.prefix}_batch_size", n_rows(batch))
        self.net.notify(
            "on_batch_end", batch=_pair(batch), training=self.is_training, loss=loss.detach(), y_pred=self._output
        )
        self._output = None

    def close(self) -> None:
        """Stop listening to the module."""
        self._hook.remove()

    def _remember(self, module: Any, inputs: Any, output: Any) -> None:
        self._output = output.detach() if isinstance(output, Tensor) else output


def batch_hooks(net: Any, callbacks: Iterable[Any], *, is_training: bool) -> BatchHooks | None:
    """Return the hooks, or None where no callback listens."""
    listens = any(listens_to_batches(callback, is_training=is_training) for callback in callbacks)
    return BatchHooks(net, is_training=is_training) if listens else None


def gradient_hook(net: Any, callbacks: Iterable[Any]) -> Callable[[Batch], None] | None:
    """Return what calls ``on_grad_computed``, or None where no callback listens."""
    if not any(overrides(callback, "on_grad_computed") for callback in callbacks):
        return None

    def notify(batch: Batch) -> None:
        parameters = list(net.module_.named_parameters())
        net.notify("on_grad_computed", named_parameters=parameters, batch=_pair(batch), training=True)

    return notify


def _pair(batch: Batch) -> Any:
    """Return (X, y), which skorch's callbacks unpack; batches of another make stay as they are."""
    try:
        return features_and_target(batch)[:2]
    except (KeyError, TypeError, IndexError):
        return batch
