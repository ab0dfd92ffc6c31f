"""What is predicted, classes or values: out-of-fold outputs, their scores, and what of a difference is noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut, StratifiedGroupKFold, StratifiedKFold

from sktl._warn_once import warn_user
from sktl.advisor._problem import stratified

DRAWS = 100  # of the bootstrap, for scores that are no mean over rows
MOST_OUTPUTS = 2e7  # numbers, beyond which classes are kept instead of probabilities
LEAST_PROBABILITY = 1e-4
LEAVE_ONE_OUT = 60  # rows up to which each can be left out by itself


class _Predicted(BaseEstimator):
    """Stands for a fitted model where a scorer asks for one; X are row numbers."""

    def __init__(self, outputs: Any = None, classes_: Any = None):
        self.outputs = outputs
        self.classes_ = classes_

    def fit(self, X: Any, y: Any) -> _Predicted:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True


class _PredictedClasses(ClassifierMixin, _Predicted):
    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.outputs[X[:, 0]].argmax(1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        proba = self.outputs[X[:, 0]].astype(np.float64)
        return proba / np.maximum(proba.sum(1, keepdims=True), 1e-300)


class _PredictedValues(RegressorMixin, _Predicted):
    def predict(self, X: Any) -> np.ndarray:
        return self.outputs[X[:, 0]]


class Task:
    """Abstract: true targets and how predictions of them are scored.

    Parameters
    ----------
    target : ndarray of shape (n,)
        Labels or values of the labelled rows.
    scoring : str, callable or None
        As in scikit-learn; None is accuracy, or R2.
    seed : int
        Of folds and draws.
    """

    default: str
    averages = True  # whether outputs of several models have a mean
    labels: np.ndarray | None = None

    def __init__(self, target: np.ndarray, scoring: Any, seed: int):
        self.target = target
        self.is_default = scoring is None or scoring == self.default
        self.scorer = get_scorer(self.default if scoring is None else scoring) if not callable(scoring) else scoring
        self.seed = seed

    def model(self, outputs: np.ndarray) -> Any:
        """Return what predicts these outputs."""
        raise NotImplementedError

    def outputs(self, model: Any, X: Any, *, is_given: bool = False) -> np.ndarray:
        """Return a fitted model's outputs, (n, n_outputs); of a user's own model more is checked.

        Raises
        ------
        ValueError
            If they are no labels of y, not one a row, or not finite.
        """
        raise NotImplementedError

    def row_gains(self, outputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return each row's part in the default score, up to a constant."""
        raise NotImplementedError

    def sample(self, n_rows: int) -> np.ndarray:
        """Return the numbers of so many rows."""
        raise NotImplementedError

    def folds(self, cv: int, groups: np.ndarray, rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return folds of these rows; empty where they are too few."""
        raise NotImplementedError

    def warn_of_few(self, cv: int, groups: np.ndarray) -> None:
        """Say it where rows are too few for the folds asked for."""
        raise NotImplementedError

    def worth(self, outputs: np.ndarray, rows: np.ndarray) -> float:
        """Return what an ensemble is chosen by."""
        return self.score(outputs, rows)

    def gained(self, outputs: np.ndarray, others: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
        """Return by how much outputs are worth more than others, and the standard error of that."""
        return self.lead(outputs, others, rows)

    def score(self, outputs: np.ndarray, rows: np.ndarray) -> float:
        """Return the score of the outputs of some rows."""
        return float(self.scorer(self.model(outputs), rows[:, None], self.target[rows]))

    def lead(self, outputs: np.ndarray, others: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
        """Return by how much outputs score higher than others on the same rows, and the standard error of that."""
        if self.is_default:
            gains = self.row_gains(outputs, rows) - self.row_gains(others, rows)
            error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.inf
            return float(gains.mean()), float(error)
        difference = self.score(outputs, rows) - self.score(others, rows)
        rng, found = np.random.default_rng(self.seed), []
        for _ in range(DRAWS):
            drawn = rng.choice(rows, len(rows))
            try:
                found.append(self.score(outputs, drawn) - self.score(others, drawn))
            except ValueError:  # a draw without one of the classes
                continue
        return difference, float(np.nanstd(found)) if len(found) > 1 else np.inf

    def keeps_log_loss(self, outputs: np.ndarray, others: np.ndarray, rows: np.ndarray) -> bool:
        """Return whether the probabilities are as good as the others', but for noise; values have none."""
        return True

    def error_of(self, outputs: np.ndarray, rows: np.ndarray) -> float:
        """Return the standard error of the default score; NaN for others."""
        if not self.is_default or len(rows) < 2:
            return float("nan")
        gains = self.row_gains(outputs, rows)
        return float(gains.std(ddof=1) / np.sqrt(len(gains)))


class ClassTask(Task):
    """Labels of classes."""

    default = "accuracy"

    def __init__(self, target: np.ndarray, scoring: Any, seed: int, classes: np.ndarray):
        super().__init__(target, scoring, seed)
        self.classes = classes
        self.number = np.searchsorted(classes, target)
        self.sizes = np.bincount(self.number, minlength=len(classes))
        self.labels = classes
        self.averages = self.keeps_proba = len(target) * len(classes) <= MOST_OUTPUTS
        self.reads_labels = self.is_default or getattr(self.scorer, "_response_method", None) == "predict"

    def model(self, outputs: np.ndarray) -> Any:
        """Return a classifier that predicts these outputs."""
        return _PredictedClasses(outputs, self.classes) if self.keeps_proba else _OfNumbers(outputs, self.classes)

    def outputs(self, model: Any, X: Any, *, is_given: bool = False) -> np.ndarray:
        """Return probabilities in the order of the classes; ones and zeros where the model has none.

        So too where labels are what is scored, and a user's model predicts others than those of the highest
        probability: it has a threshold of its own, say.
        """
        proba = None
        if self.keeps_proba and hasattr(model, "predict_proba"):
            proba = np.zeros((_n(X), len(self.classes)), dtype=np.float32)
            proba[:, self._numbers(model.classes_, None)] = checked(model.predict_proba(X), "probabilities")
            if not (is_given and self.reads_labels):
                return proba
        number = self._numbers(model.predict(X), _n(X))
        if proba is not None and (proba.argmax(1) == number).all():
            return proba
        if not self.keeps_proba:
            return number[:, None].astype(np.float32)
        return np.eye(len(self.classes), dtype=np.float32)[number]

    def _numbers(self, labels: Any, n: int | None) -> np.ndarray:
        """Return the numbers of labels, of which there have to be `n`."""
        labels = np.asarray(labels)
        if labels.shape != (len(labels) if n is None else n,):
            raise ValueError(f"it predicts an array of shape {labels.shape} for {n} rows")
        number = np.minimum(np.searchsorted(self.classes, labels), len(self.classes) - 1)
        odd = np.flatnonzero(self.classes[number] != labels)
        if len(odd):
            raise ValueError(f"it predicts {labels[odd[0]].item()!r}, which is no label of y")
        return number

    def score(self, outputs: np.ndarray, rows: np.ndarray) -> float:
        """Return the score of the outputs of some rows; accuracies are of labels of any type, dates with a zone too."""
        return float(self.row_gains(outputs, rows).mean()) if self.is_default else super().score(outputs, rows)

    def row_gains(self, outputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return 1 for each row that is right."""
        found = outputs[rows].argmax(1) if self.keeps_proba else outputs[rows, 0]
        return (found == self.number[rows]).astype(float)

    def worth(self, outputs: np.ndarray, rows: np.ndarray) -> float:
        """Return the mean log-probability of the true class: finer than an accuracy."""
        return float(self._log_probability(outputs, rows).mean()) if self.is_default else self.score(outputs, rows)

    def keeps_log_loss(self, outputs: np.ndarray, others: np.ndarray, rows: np.ndarray) -> bool:
        """Return whether the log-loss is at most a standard error above the others'.

        Few rows make a nearest neighbour look right by luck; its ones and zeros show when it is wrong.
        """
        if not (self.is_default and self.keeps_proba and len(rows) > 1):
            return True
        gain, error = self.gained(outputs, others, rows)
        return gain >= -error

    def gained(self, outputs: np.ndarray, others: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
        """Return by how much the mean log-probability of the true class is higher; for another score, its lead."""
        if not (self.is_default and self.keeps_proba):
            return super().gained(outputs, others, rows)
        gains = self._log_probability(outputs, rows) - self._log_probability(others, rows)
        return float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else np.inf

    def _log_probability(self, outputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the log-probability of each row's true class."""
        return np.log(np.maximum(outputs[rows, self.number[rows]].astype(np.float64), LEAST_PROBABILITY))

    def sample(self, n_rows: int) -> np.ndarray:
        """Return row numbers, each class by its share."""
        return stratified(self.number, self.sizes, n_rows, np.random.default_rng(self.seed))

    def folds(self, cv: int, groups: np.ndarray, rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return folds of these rows, those of a group side by side; classes of one group stay in training.

        Empty where no class has rows of two groups.
        """
        number, groups = self.number[rows], groups[rows]
        sizes = self._groups_of_classes(number, groups)
        split = np.flatnonzero(sizes[number] > 1)
        alone = np.flatnonzero(sizes[number] <= 1)
        if len(split) < 2:
            return []
        smallest = int(sizes[sizes > 1].min())
        if smallest < cv and len(rows) <= LEAVE_ONE_OUT:
            found = list(LeaveOneGroupOut().split(split, groups=groups[split]))
        elif len(np.unique(groups)) < len(rows):
            folds = StratifiedGroupKFold(max(2, min(cv, smallest)), shuffle=True, random_state=self.seed)
            found = list(folds.split(split, number[split], groups[split]))
        else:
            folds = StratifiedKFold(max(2, min(cv, smallest)), shuffle=True, random_state=self.seed)
            found = list(folds.split(split, number[split]))
        found = [(np.r_[split[train], alone], split[test]) for train, test in found]
        return [
            (rows[np.sort(train)], rows[test])
            for train, test in found
            if len(np.unique(number[train])) > 1 and len(test)
        ]  # fmt: skip

    def _groups_of_classes(self, number: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Return in how many groups each class has rows."""
        pairs = np.unique(np.column_stack([number, groups]), axis=0)
        return np.bincount(pairs[:, 0], minlength=len(self.classes))

    def warn_of_few(self, cv: int, groups: np.ndarray) -> None:
        """Say it where the smallest class is too small for the folds asked for."""
        is_own = len(np.unique(groups)) == len(groups)
        smallest = int(self._groups_of_classes(self.number, groups).min())
        if smallest < cv:
            what = "row" if is_own else "group"
            several = f"{smallest} {what}{'s' * (smallest > 1)}"
            said = several if is_own else f"rows of {several}, rows that are the same being one,"
            one_by_one = len(self.target) <= LEAVE_ONE_OUT
            warn_user(
                f"The smallest class has {said}{',' * is_own} too few for cv={cv}: "
                + (f"candidates are compared by leaving out one {what} at a time." if one_by_one
                   else f"candidates are compared in fewer folds, and classes of one {what} are not scored.")
            )  # fmt: skip


class _OfNumbers(_PredictedClasses):
    """The same, of the classes' numbers alone."""

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.outputs[X[:, 0], 0].astype(int)]


class ValueTask(Task):
    """Values."""

    default = "r2"

    def model(self, outputs: np.ndarray) -> Any:
        """Return a regressor that predicts these outputs."""
        return _PredictedValues(outputs if self.target.ndim == 2 else outputs[:, 0])

    def outputs(self, model: Any, X: Any, *, is_given: bool = False) -> np.ndarray:
        """Return values, (n, n_outputs)."""
        return checked(np.asarray(model.predict(X), dtype=np.float64).reshape(_n(X), -1), "values")

    def row_gains(self, outputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return each row's squared error, negative, in the variance of the values."""
        target = self.target.reshape(len(self.target), -1)
        spread = np.maximum(target[rows].var(axis=0), 1e-300)
        return -(np.square(outputs[rows] - target[rows]) / spread).mean(axis=1)

    def sample(self, n_rows: int) -> np.ndarray:
        """Return row numbers."""
        return np.sort(np.random.default_rng(self.seed).permutation(len(self.target))[:n_rows])

    def folds(self, cv: int, groups: np.ndarray, rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return folds of these rows, repeated rows side by side."""
        n_groups = len(np.unique(groups[rows]))
        if n_groups < 2:
            return []
        if n_groups == len(rows):
            folds = KFold(min(cv, len(rows)), shuffle=True, random_state=self.seed).split(rows)
        else:
            folds = GroupKFold(min(cv, n_groups), shuffle=True, random_state=self.seed).split(rows, groups=groups[rows])
        return [(rows[train], rows[test]) for train, test in folds]

    def warn_of_few(self, cv: int, groups: np.ndarray) -> None:
        """Say it where there are fewer rows than folds asked for."""
        if len(self.target) < cv:
            warn_user(
                f"{len(self.target)} rows are too few for cv={cv}: candidates are compared by leaving out one row at a "
                "time."
            )


def checked(outputs: Any, name: str) -> np.ndarray:
    """Return outputs that are finite numbers."""
    outputs = np.asarray(outputs)
    if not np.isfinite(outputs).all():
        raise ValueError(f"its {name} are NaN or infinite in places")
    return outputs


def _n(X: Any) -> int:
    return X.shape[0] if hasattr(X, "shape") else len(X)
