"""Which callbacks can change what is learned: all but those that are seen to leave the net alone."""

from __future__ import annotations

import dis
import types
from typing import Any

from skorch import callbacks as skorch_callbacks
from skorch.callbacks import Callback

from sktl._identity._known import is_known_class
from sktl._identity._reads import PADDING

ONLY_WATCH = (
    skorch_callbacks.PrintLog, skorch_callbacks.ProgressBar, skorch_callbacks.EpochTimer, skorch_callbacks.Checkpoint,
    skorch_callbacks.TrainEndCheckpoint,
)  # fmt: skip
SPECIAL = ("initialize", "__getattribute__", "__getattr__")


def matters(callback: Any) -> bool:
    """Whether a skorch callback may change what is learned.

    One that is told of a training and does no more than look at ``net.history`` does not: it may print, count, or stop
    everything by an error. Whatever is not seen to be so, matters.
    """
    callback = callback[1] if isinstance(callback, tuple) and len(callback) == 2 else callback
    cls = type(callback)
    if cls in ONLY_WATCH:
        return False
    if not isinstance(callback, Callback) or any(
        is_known_class(base) and base not in (Callback, object) for base in cls.__mro__
    ):
        return True
    state = getattr(callback, "__dict__", {})
    if any(name.startswith("on_") or name == "initialize" for name in state):
        return True
    bases = [base for base in reversed(cls.__mro__[:-1]) if base is not Callback]
    own = {name: member for base in bases for name, member in vars(base).items()}
    told = [member for name, member in own.items() if name.startswith("on_") or name in SPECIAL]
    return not all(isinstance(member, types.FunctionType) and _leaves_alone(member.__code__) for member in told)


def _leaves_alone(code: types.CodeType) -> bool:
    """Whether a method does nothing with its arguments beyond reading ``net.history``."""
    n = code.co_argcount + code.co_kwonlyargcount
    n += bool(code.co_flags & 4) + bool(code.co_flags & 8)  # *args, **kwargs
    given = set(code.co_varnames[1:n])
    if given & set(code.co_cellvars) or any(op.opname == "IMPORT_NAME" for op in dis.get_instructions(code)):
        return False
    steps = [step for step in dis.get_instructions(code) if step.opname not in PADDING]
    for i, step in enumerate(steps):
        named = set(step.argval) if isinstance(step.argval, tuple) else {step.argval} if step.argval else set()
        if step.opname.startswith(("STORE_", "DELETE_")) and not given & named:
            continue
        if "FAST" not in step.opname or not given & named:
            continue
        is_history = len(steps) > i + 2 and steps[i + 1].opname == "LOAD_ATTR" and steps[i + 1].argval == "history"
        if not is_history or steps[i + 2].opname.startswith(("LOAD_ATTR", "LOAD_METHOD", "STORE_", "DELETE_", "COPY")):
            return False
    return True
