"""Where a training stands, kept in a folder after every epoch, so that a new process goes on from there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash
from filelock import FileLock, Timeout
from skorch.callbacks import Callback, EarlyStopping

from sktl._warn_once import warn_user
from sktl.exceptions import CheckpointWarning, WeightsError
from sktl.training._files import decode_tensors, encode_tensors, read_whole, write_whole
from sktl.training._state import check_training_state, load_training_state, pack, training_state, unpack

KEPT = 2  # the last one, and the one before in case that is damaged
SUFFIX, ENDED = ".safetensors", "-end-"
MOST_TOLD = 1024
_TOLD: set[Path] = set()  # folders in which others' checkpoints were spoken of
OF_TRAININGS = {"net": dict, "patience": list, "is_finished": bool, "seed": int}  # what is kept of them
PATIENCE_STATE = ("misses_", "dynamic_threshold_", "best_epoch_", "best_model_weights_")


class CheckpointFolder:
    """The checkpoints of one training, told by its key from those of others in the same folder.

    A file holds tensors and JSON, no pickle. It is written beside and then renamed, and its name ends in the digest of
    its content, so that one that is damaged or half-written is seen, and the one before it taken.

    Parameters
    ----------
    folder : path-like
        Made if need be.
    key : str
        Hexadecimal digest of the data and the parameters.

    Raises
    ------
    ValueError
        If the folder cannot be made.
    """

    def __init__(self, folder: str | os.PathLike, key: str):
        if isinstance(folder, str) and not folder.strip():
            raise ValueError(f"checkpoint_dir={folder!r} names no folder; give the path of one, or None.")
        self.folder = Path(folder).expanduser().absolute()
        self.key = key
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"checkpoint_dir={str(folder)!r} cannot be used as a folder: {error.strerror or error}."
            ) from error
        self._lock = FileLock(self.folder / f"{key}.lock", thread_local=False)
        self.is_open = False  # whether this training reads and writes here
        self._has_failed = False

    def __enter__(self) -> CheckpointFolder:
        """Take the checkpoints of this key, unless another living training holds them, and say what was found."""
        self._open()
        return self

    def __exit__(self, *error: object) -> None:
        self.is_open = False
        self._lock.release(force=True)

    def _open(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            self._warn("are in use by another training with the same data and parameters; this one keeps none")
            return
        except OSError as error:
            self._warn(f"cannot be locked ({error}); this training keeps none")
            return
        self.is_open = True
        for half_written in self.folder.glob(f".{self.key}-*"):
            half_written.unlink(missing_ok=True)
        if not self._files() and self._are_others_worth_a_word():
            self._warn("are of other data or parameters; they are left alone, and this training starts afresh")

    def _are_others_worth_a_word(self) -> bool:
        """Whether another training here was interrupted, or there are others at all, which is said once a process.

        A grid search keeps many trainings in one folder, one after the other or side by side.
        """
        found = {path.name.split("-")[0]: ENDED in path.name for path in sorted(self.folder.glob(f"*{SUFFIX}"))}
        is_news = bool(found) and self.folder not in _TOLD
        if is_news:
            if len(_TOLD) >= MOST_TOLD:
                _TOLD.clear()
            _TOLD.add(self.folder)
        return is_news or any(not has_ended and self._is_dead(key) for key, has_ended in found.items())

    def _is_dead(self, key: str) -> bool:
        """Whether nobody holds the lock of a training."""
        lock = FileLock(self.folder / f"{key}.lock", thread_local=False)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            return False
        lock.release(force=True)
        return True

    def latest(self, kinds: Mapping[str, type] | None = None) -> dict[str, Any] | None:
        """Return the state kept last, or the one before if that is damaged, or None.

        One that lacks a value by a name of `kinds`, of that type, is damaged too.
        """
        for path in reversed(self._files() if self.is_open else []):
            try:
                return _read(path, kinds or {})
            except (OSError, ValueError) as error:
                self._warn(f"include a damaged one, {path.name} ({error}); the one before it is used")
        return None

    def keep(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Write the state after an epoch; where that fails, training goes on without."""
        if not self.is_open or self._has_failed:
            return
        tensors, rest = pack(dict(state))
        content = encode_tensors(tensors, rest)
        name, end = f"{self.key}-{epoch:06d}", ENDED if state.get("is_finished") else "-"
        path = self.folder / f"{name}{end}{xxhash.xxh3_64_hexdigest(content)}{SUFFIX}"
        try:
            write_whole(path, content, label=name)
        except OSError as error:
            self._has_failed = True
            self._warn(f"can no longer be written ({error.strerror or error}); training goes on without")
            return
        self._forget_all_but(1 if state.get("is_finished") else KEPT)

    def _forget_all_but(self, n: int) -> None:
        for path in self._files()[:-n]:
            with contextlib.suppress(OSError):
                path.unlink()

    def _files(self) -> list[Path]:
        """Return the files in the order of their epochs."""
        return sorted(self.folder.glob(f"{self.key}-*{SUFFIX}"), key=lambda path: path.stem.rpartition("-")[0])

    def _warn(self, what: str) -> None:
        warn_user(f"Checkpoints in {str(self.folder)!r} {what}.", CheckpointWarning)


def _read(path: Path, kinds: Mapping[str, type]) -> dict[str, Any]:
    content = read_whole(path)
    if xxhash.xxh3_64_hexdigest(content) != path.stem.rpartition("-")[2]:
        raise ValueError("its content is not what was written")
    try:
        state = unpack(*decode_tensors(content))
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it holds something else than a state: {error}") from error
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__}, not a state")
    odd = [name for name, kind in kinds.items() if type(state.get(name)) is not kind]
    if odd or ("seed" in kinds and not 0 <= state["seed"] < 2**128):
        raise ValueError(f"it holds no sound value for {', '.join(odd) or 'seed'}")
    return state


class KeepEpochs(Callback):
    """Keeps the state of a `TrainingNet` after every epoch; comes after all other callbacks.

    skorch's `EarlyStopping` goes on as it was; what other callbacks remember is theirs to keep.

    Parameters
    ----------
    folder : CheckpointFolder
        Open.
    extra : mapping, optional
        Kept with it.
    """

    never_stops = True  # an interrupt while it writes is the user's

    def __init__(self, folder: CheckpointFolder, extra: Mapping[str, Any] | None = None):
        self.folder = folder
        self.extra = dict(extra or {})
        self._patience: list | None = None

    def restore(self, net: Any, state: Mapping[str, Any]) -> None:
        """Put the net where the state was taken.

        Raises
        ------
        WeightsError
            If the state is none of such a net.
        """
        try:
            load_training_state(net, state["net"])
            check_training_state(net, state["net"])
            if not all(set(values) == set(PATIENCE_STATE) for values in state["patience"]):
                raise ValueError("the patience of early stopping is not all there")
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise WeightsError(
                f"The checkpoint in {str(self.folder.folder)!r} does not fit this training: {error}. Remove the files "
                f"that begin with {self.folder.key}, or name another folder."
            ) from error
        self._patience = state["patience"]

    def train(
        self,
        net: Any,
        state: Mapping[str, Any] | None,
        batches: Any,
        valid_batches: Any = None,
        *,
        progress: Any = None,
    ) -> None:
        """Train a net that was not yet begun, or do what a state has left to do, and keep the end."""
        if state is None:
            net.fit(batches, valid_batches, progress=progress)
        else:
            self.restore(net, state)
            if state["is_finished"]:
                return
            net.resume(batches, valid_batches, progress=progress)
        self.finish(net)

    def finish(self, net: Any) -> None:
        """Keep the end of the training."""
        self._keep(net, is_finished=True)

    def on_train_begin(self, net, **kwargs):
        """Have early stopping remember, once it has forgotten."""
        for callback, values in zip(_early_stoppings(net), self._patience or []):
            vars(callback).update(values)

    def on_epoch_end(self, net, **kwargs):
        """Keep the state."""
        self._keep(net, is_finished=False)

    def _keep(self, net: Any, *, is_finished: bool) -> None:
        if not self.folder.is_open:
            return
        stoppings = [] if is_finished else _early_stoppings(net)
        patience = [{name: getattr(callback, name) for name in PATIENCE_STATE} for callback in stoppings]
        state = {**self.extra, "net": training_state(net), "patience": patience, "is_finished": is_finished}
        self.folder.keep(net.clock_.n_epochs, state)


def _early_stoppings(net: Any) -> list[EarlyStopping]:
    return [callback for _, callback in net.callbacks_ if isinstance(callback, EarlyStopping)]
