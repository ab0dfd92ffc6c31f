"""What the automatic estimators share: fit as an outline, and answers of the winner."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import Interval
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktl._array_api import n_rows, rows_on_host
from sktl._callbacks import CallbackSupportMixin
from sktl._columns import domain_column, sorted_names
from sktl._estimator import ModuleSharingMixin
from sktl._inputs import ROWS, read
from sktl._progress import duration
from sktl.advisor._candidates import Candidate
from sktl.advisor._clock import TimeBudget
from sktl.advisor._entry import Entry
from sktl.advisor._experience import by_experience, note_experience, read_experience, traits_of
from sktl.advisor._listed import check_listed, listed, wants_codes
from sktl.advisor._material import Material, material
from sktl.advisor._problem import TEXT, Problem, read_rows
from sktl.advisor._repeats import connected, repeated_codes, repeats
from sktl.advisor._search import Search
from sktl.advisor._tasks import Task
from sktl.cache import CodeCache
from sktl.features import CNNCodesTransformer, pipeline_to_onnx
from sktl.texts import as_texts
from sktl.training import refuse_processes

AS_GIVEN = "rows as they come"
SMALLEST = np.log(np.finfo(np.float64).tiny)


def _winner_has(method: str) -> Any:
    def check(self: Any) -> bool:
        if "best_estimator_" in self.__dict__:
            getattr(self.best_estimator_, method)  # its own AttributeError says why not
        return True

    return check


class AutoTransfer(CallbackSupportMixin, ModuleSharingMixin):
    """Abstract: tries what is plausible, and becomes the best of it."""

    best_estimator_: Any

    layers = "all"  # what the networks are asked for, and by what rules they are judged: as `TransferAdvisor` does
    max_samples = 10**9
    few_below, large_from, similar_from = 3, 1000, 0.5

    _parameter_constraints: ClassVar[dict] = {
        "candidates": "no_validation",
        "backbones": "no_validation",
        "time_budget": [Interval(Real, 0, None, closed="neither"), None],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
        "scoring": [str, callable, None],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "cache": [str, Path, CodeCache, None],
        "refit": ["boolean"],
        "ensemble": ["boolean"],
        "experience": [str, Path, None],
        "image_shape": [tuple, list, None],
        "value_range": [tuple, list, None],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "n_jobs": [Integral, None],
        "device": "no_validation",
        "random_state": [Interval(Integral, 0, None, closed="left")],
        "verbose": ["verbose"],
    }

    def _problem(self, X: Any, kind: str, y: Any, sample_domain: Any) -> tuple[Problem, np.ndarray]:
        """Return the rows, checked, and the targets of those that have one."""
        raise NotImplementedError

    def _task(self, problem: Problem, target: np.ndarray) -> Task:
        raise NotImplementedError

    def _searched(
        self, given: Material, candidates: list[Candidate], y: Any, groups: np.ndarray | None, budget: TimeBudget,
        watch: Any,
    ) -> tuple[Entry, list[Entry]]:  # fmt: skip
        task = self._task(given.problem, given.target)
        same = repeated_codes(given.layers[0].codes) if given.layers else repeats(given.X)
        if groups is not None:
            same = connected(same, groups[given.problem.labelled])
        search = Search(self, given, task, candidates, same, budget, watch)
        return search.run(), search.entries

    def _fit(self, X: Any, y: Any, sample_domain: Any, groups: Any) -> Any:
        budget = TimeBudget(self.time_budget)
        refuse_processes(
            self.device, "A search, which time ends differently in each,",
            "Search in one process with device='auto', and train what it found, best_estimator_, with 'accelerate'.",
        )  # fmt: skip
        check_listed(self)
        if y is None:
            raise ValueError(f"This {type(self).__name__} requires y to be passed, but the target y is None.")
        context = self._init_callback_context(max_subtasks=None)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        is_own = wants_codes(self)
        rows, kind = read_rows(self, X, self._first_network()) if is_own else (rows_on_host(X), AS_GIVEN)
        problem, target = self._problem(rows, kind, y, sample_domain)
        group = None if groups is None else sorted_names(domain_column(groups, n_rows(rows), "groups"), "groups")[1]
        given = material(self, problem, target, budget, wants_codes=is_own)
        candidates = listed(self, given)
        traits = None if self.experience is None or not is_own else traits_of(given)
        near: list = []
        if traits is not None and self.experience is not None:
            candidates, near = by_experience(candidates, traits, read_experience(self.experience))
        candidates = candidates[: int(self.n_candidates)]
        best, entries = self._searched(given, candidates, y, group, budget, self._watch(context, budget))
        self._learn(given, best, entries, near, kind)
        if traits is not None and self.experience is not None:
            scores = {e.candidate.name: e.score for e in entries if e.n_rows >= given.n}
            note_experience(self.experience, traits, scores, best.candidate.name)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _watch(self, context: Any, budget: TimeBudget) -> Any:
        @contextlib.contextmanager
        def watch(name: str) -> Iterator[None]:
            task = context.subcontext(task_name=name)
            task.call_on_fit_task_begin(estimator=self)
            if self.verbose:
                left = f", {duration(max(0.0, budget.left))} left" if budget.is_bounded else ""
                print(f"{type(self).__name__}: {name}{left}", flush=True)
            yield
            task.call_on_fit_task_end(estimator=self)

        return watch

    def _learn(self, given: Material, best: Entry, entries: list[Entry], near: list, kind: str) -> None:
        self._row_kind = kind
        self.leaderboard_ = leaderboard(best, entries)
        self.best_strategy_, self.best_candidate_ = best.candidate.strategy, best.candidate.name
        self.best_score_ = float(best.score)
        self.advice_ = None if given.decision is None else given.decision.strategy
        self.failed_backbones_ = dict(given.failed)
        self.n_near_ = len(near)
        self.__dict__.pop("best_estimator_", None)
        if self.refit:
            self.best_estimator_ = best.fitted

    def _first_network(self) -> Any:
        items = list(self.backbones) if isinstance(self.backbones, (list, tuple)) else [self.backbones]
        if not items:
            raise ValueError("backbones is an empty list; name at least one, or use 'auto'.")
        first = items[0]
        if hasattr(first, "fit_transform"):
            return None if isinstance(first, CNNCodesTransformer) else "auto"
        return first if isinstance(first, (str, nn.Module)) else None

    def _winner(self) -> Any:
        if "best_estimator_" not in self.__dict__:
            raise NotFittedError(
                f"This {type(self).__name__} was fitted with refit=False and predicts nothing; set refit=True."
            )
        return self.best_estimator_

    def _asked(self, X: Any) -> Any:
        check_is_fitted(self)
        self._winner()
        if self._row_kind == ROWS:
            return read(self, X, self._kind, reset=False)
        return as_texts(X) if self._row_kind == TEXT else X

    def predict(self, X: Any) -> np.ndarray:
        """Predict by the best candidate.

        Parameters
        ----------
        X : array-like or sequence
            Rows of the kind that `fit` was given.

        Returns
        -------
        ndarray of shape (n,)
            Labels, or values.
        """
        rows = self._asked(X)
        return self.best_estimator_.predict(rows)

    def to_onnx(self, path: str | os.PathLike, *, preprocess: bool = False) -> None:
        """Write the best candidate as one ONNX file, which needs no sktl to run.

        Parameters
        ----------
        path : path-like
            The file.
        preprocess : bool, default=False
            Whether pictures are scaled and cropped in the graph too: they go in as they were decoded, uint8 of shape
            (n, 3, H, W). Start with True for pictures.

        Raises
        ------
        FileNotFoundError, IsADirectoryError
            If the file cannot be there, before any work is done.
        ImportError
            If onnx or onnxscript is not installed.
        NotFittedError
            If nothing was fitted.
        TypeError, ValueError
            If the best candidate cannot be one network, such as boosted trees or tf-idf; what cannot is named.

        See Also
        --------
        sktl.features.pipeline_to_onnx : What it does with codes and a classifier.
        sktl.FineTunedClassifier.to_onnx : What it does with a network that was trained.
        """
        check_is_fitted(self)
        best = self._winner()
        if hasattr(best, "to_onnx"):
            best.to_onnx(path, preprocess=preprocess)
        else:
            pipeline_to_onnx(best, path, preprocess=preprocess)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "leaderboard_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags


class AnswersOfClassifier(AutoTransfer):
    """Abstract: probabilities and decision values of the winner."""

    classes_: np.ndarray

    @available_if(_winner_has("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities by the best candidate.

        Parameters
        ----------
        X : array-like or sequence
            Rows of the kind that `fit` was given.

        Returns
        -------
        ndarray of shape (n, n_classes)
            In the order of `classes_`.
        """
        rows = self._asked(X)
        return self.best_estimator_.predict_proba(rows)

    @available_if(_winner_has("predict_proba"))
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict logarithms of probabilities by the best candidate.

        Parameters
        ----------
        X : array-like or sequence
            Rows of the kind that `fit` was given.

        Returns
        -------
        ndarray of shape (n, n_classes)
            In the order of `classes_`.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the best candidate's decision values; where it has none, logarithms of its probabilities.

        Parameters
        ----------
        X : array-like or sequence
            Rows of the kind that `fit` was given.

        Returns
        -------
        ndarray of shape (n,) or (n, n_classes)
            For two classes above 0 where the second is predicted.
        """
        rows = self._asked(X)
        if hasattr(self.best_estimator_, "decision_function"):
            return self.best_estimator_.decision_function(rows)
        with np.errstate(divide="ignore"):
            logits = np.maximum(np.log(self.best_estimator_.predict_proba(rows)), SMALLEST)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits


def taken(best: Entry) -> str:
    """Return what became of the best: why it could not be scored, if nothing could."""
    return f"taken; {best.status}" if best.has_failed else "taken"


def leaderboard(best: Entry, entries: list[Entry]) -> Any:
    """Return a row a candidate, the taken one marked; a pandas DataFrame if pandas is there, else a list of dicts."""
    ranked = sorted(entries, key=lambda e: (-e.n_scored, -e.score if e.score == e.score else np.inf))
    rows = [
        {
            "candidate": e.candidate.name,
            "strategy": e.candidate.strategy,
            "score": e.score,
            "std_error": e.error,
            "n_rows": e.n_scored,
            "fit_seconds": e.costs.last if e.costs.last is not None else np.nan,
            "status": taken(e) if e is best else e.status,
        }
        for e in ranked
    ]
    try:
        import pandas as pd
    except ImportError:
        return rows
    return pd.DataFrame(rows)
