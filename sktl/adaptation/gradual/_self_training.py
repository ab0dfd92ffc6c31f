"""One step of self-training: pseudo-labels of the rows that are surest, learned."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from sktl._device import resolve_device
from sktl._magnitudes import check_finite
from sktl._warn_once import warn_user
from sktl.adaptation.from_fitted._start import Start, chosen, seeded, unwrapped
from sktl.adaptation.from_fitted._target_rows import RESOLVED, TargetRows, rate_groups, resolved
from sktl.training import ClassificationStep, EpochTasks, TrainingNet, history_of, processes_of

BODY_SHARE = 0.1
MOST_OF_A_CLASS = 1.5  # times its share of the rows that are left out


def confident(scores: np.ndarray, drop: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that are surest, in their order, and the class numbers of all rows.

    Certainty is ranked over all classes, but no class loses more than `MOST_OF_A_CLASS` times the share `drop` of its
    rows: by the one rank alone, classes that are less sure shrink step by step, and vanish; by a rank for each class,
    as many rows go from classes that are found with ease as from those that are mistaken for each other.

    Parameters
    ----------
    scores : array (n, n_classes), or (n,) of two classes' decision values
        Higher is more probable.
    drop : float
        Share of the rows that are left out, the least sure ones.
    """
    if scores.ndim == 1:
        predicted, certainty = (scores > 0).astype(np.intp), np.abs(scores)
    else:
        predicted, certainty = scores.argmax(axis=1), scores.max(axis=1)
    n_kept = max(1, round((1 - drop) * len(scores)))
    may_go = np.zeros(len(predicted), dtype=bool)
    for number in np.unique(predicted):
        own = np.flatnonzero(predicted == number)
        n_stay = len(own) - int(min(1.0, MOST_OF_A_CLASS * drop) * len(own))
        may_go[own[np.argsort(-certainty[own], kind="stable")][n_stay:]] = True
    return np.sort(np.lexsort((-certainty, may_go))[:n_kept]), predicted


def scores_of(estimator: Any, X: Any) -> np.ndarray:
    """Return probabilities, or decision values where there are none."""
    scores = estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else estimator.decision_function(X)
    return check_finite(scores, estimator)


@dataclass
class Labelled:
    """Rows by number, and the labels that they are learned with."""

    rows: np.ndarray
    labels: np.ndarray

    def and_also(self, more: Labelled) -> Labelled:
        """Return both."""
        if not len(self.rows) or not len(more.rows):
            return self if len(self.rows) else more
        return Labelled(np.concatenate([self.rows, more.rows]), np.concatenate([self.labels, more.labels]))

    def of_classes_not_in(self, labels: np.ndarray) -> Labelled:
        """Return the rows of other classes than those in `labels`."""
        others = ~np.isin(self.labels, labels)
        return Labelled(self.rows[others], self.labels[others])


@dataclass(frozen=True)
class SelfTraining:
    """How a classifier goes one step on.

    Attributes
    ----------
    meta : GradualAdaptedClassifier
        Its parameters are read.
    X : array-like
        All rows.
    classes : array
        All labels.
    context : CallbackContext or None
        Of the meta-estimator's fit, whose tasks the steps are.
    history : list of dict
        The epochs of all steps so far.
    resolved : dict
        What the last step went by.
    """

    meta: Any
    X: Any
    classes: np.ndarray
    context: Any = None
    history: list[dict[str, Any]] = field(default_factory=list)
    resolved: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(RESOLVED))

    def learned(self) -> dict[str, Any]:
        """Return the attributes that tell how the training went."""
        return {"history_": self.history, **self.resolved}

    def step(self, model: Any, rows: np.ndarray, last: Labelled, seed: int, name: Any) -> tuple[Any, Labelled]:
        """Return the model that has learned `rows` by its own predictions, and what it learned."""
        kept, predicted = confident(scores_of(model, chosen(self.X, rows)), float(self.meta.drop))
        now = Labelled(rows[kept], model.classes_[predicted[kept]])
        start = Start.of(model)
        if self.meta.keep == "all":
            now = last.and_also(now)
        elif start is None:  # fitted anew: a class that no row of a step is given would be forgotten
            now = now.and_also(last.of_classes_not_in(now.labels))
        if start is not None:
            return self._trained(start, now, seed, name), now
        with self._task(0):
            return self._fitted_anew(model, now, last, seed, name)

    @contextlib.contextmanager
    def _task(self, n_epochs: int) -> Iterator[EpochTasks | None]:
        """Make a step a task of the callbacks, and its epochs tasks of the step."""
        if self.context is None:
            yield None
            return
        task = self.context.subcontext(task_name="step", max_subtasks=n_epochs)
        task.call_on_fit_task_begin(estimator=self.meta)
        yield EpochTasks(self.meta, task)
        task.call_on_fit_task_end(estimator=self.meta)

    def _fitted_anew(self, model: Any, now: Labelled, last: Labelled, seed: int, name: Any) -> tuple[Any, Labelled]:
        if len(np.unique(now.labels)) == 1:
            warn_user(
                f"All rows of step {name!r} are predicted to be {now.labels.tolist()[0]!r}; the step is left out."
            )
            return model, last
        again = seeded(clone(unwrapped(model)), None if self.meta.random_state is None else seed)
        return again.fit(chosen(self.X, now.rows), now.labels), now

    def _trained(self, start: Start, now: Labelled, seed: int, name: Any) -> Any:
        meta = self.meta
        network, device = start.open(), resolve_device(start.classifier.device)
        network.module.to(device)
        processes = processes_of(start.classifier.device)
        if processes is not None:  # another machine's last digits may have chosen other rows
            now, seed = processes.agreed((now, seed))
        rows = TargetRows(start.read(chosen(self.X, now.rows)), network, device, meta.n_jobs)
        asked = meta.batch_size if meta.batch_size == "auto" else min(int(meta.batch_size), rows.n_rows)
        size = rows.batch_size(asked, type(meta).__name__)  # some rows of the step were left out
        batches = rows.batches(
            torch.from_numpy(np.searchsorted(self.classes, now.labels)), size, steps_per_epoch=meta.steps_per_epoch,
            max_epochs=int(meta.max_epochs), augment=meta.augment, seed=seed,
        )  # fmt: skip
        if processes is not None:
            processes.check_rows(size, "A batch")
        rate = meta.learning_rate
        if rate == "auto":
            rate = 0.01 if meta.optimizer == "sgd" else 1e-3
        net = TrainingNet(
            network.module, SupervisedStep(), optimizer=meta.optimizer,
            param_groups=rate_groups(network, float(rate), BODY_SHARE), weight_decay=float(meta.weight_decay),
            schedule=meta.schedule, max_epochs=int(meta.max_epochs), split=None, dtype=network.dtype, classify=True,
            device=device, random_state=seed, callbacks=list(meta.callbacks or []),
            processes=processes,
            verbose=0 if meta.verbose == 1 else int(meta.verbose),
        )  # fmt: skip
        with self._task(int(meta.max_epochs)) as progress:
            net.fit(batches, progress=progress)
        self.history.extend({"step": name, **row} for row in history_of(net))
        self.resolved.update(resolved(network, float(rate), size, batches, int(meta.max_epochs), meta.augment))
        return start.closed(network.module)


class SupervisedStep:
    """Cross entropy of the pseudo-labels."""

    def __call__(self, module: Any, batch: Any) -> Any:
        """Return the batch's loss."""
        return ClassificationStep()(module, (batch.X, batch.labels))
