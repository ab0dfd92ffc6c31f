"""What all aligners share: which rows are source and which target, and how each is mapped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from sktl._array_api import validate_data
from sktl._columns import check_length, domain_column
from sktl._documented import Documented
from sktl._domain_names import domain_names
from sktl._domains import SOURCE, TARGET, Domains, found_domains
from sktl._magnitudes import LARGEST_FLOAT32, LARGEST_FLOAT64, check_magnitude
from sktl._unlabelled import as_labels, is_labelled
from sktl._validation import shorten
from sktl._warn_once import warn_user
from sktl._whole_fits import WholeFits, whole
from sktl.aligners._guard import check_steps_leave_out, marks_among, watched
from sktl.displays import ShowsWhatWasLearned


class Aligner(WholeFits, TransformerMixin, ShowsWhatWasLearned, Documented, BaseEstimator, ABC):
    """A transformer that makes rows of a source and of a target alike; a subclass says how.

    In a pipeline, a step that would take the mark of unlabelled rows for a class is an error: a classifier behind an
    aligner is written ``LabelledOnly(classifier)``.

    A subclass has the parameters `unlabelled` and `target_domain`, learns in `_learn`, and maps rows in `_map`.
    """

    __metadata_request__fit: ClassVar[dict] = {"sample_domain": True}
    __metadata_request__transform: ClassVar[dict] = {"sample_domain": True}
    _parameter_constraints: ClassVar[dict] = {"unlabelled": "no_validation", "target_domain": "no_validation"}
    _takes_sparse: ClassVar[bool] = False
    _writes: ClassVar[bool] = True  # whether `_map` writes to the rows that it is given
    _largest_float64: ClassVar[float] = LARGEST_FLOAT64

    unlabelled: Any
    target_domain: Any

    @abstractmethod
    def _learn(self, X: Any, domains: Domains, y: np.ndarray) -> int | None:
        """Learn from rows of both domains; return the width of the output where it is not that of X."""

    @abstractmethod
    def _map(self, X: Any, domains: Domains) -> Any:
        """Return rows, each mapped as its domain asks; X may be written to unless it is sparse."""

    @watched
    @whole
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, *, sample_domain: Any = None) -> Aligner:
        """Learn how the domains differ.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Rows of the source and of the target.
        y : array-like of shape (n,)
            Labels; `unlabelled`, NaN or None in target rows.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain. By default labelled rows are the source and unlabelled rows the target.

        Returns
        -------
        Aligner
            Itself.

        Raises
        ------
        ValueError
            If the rows cannot be read; or in a pipeline with a step that would learn the mark of unlabelled rows as a
            class, such as a classifier that is not inside `LabelledOnly`.
        """
        self._fit(X, y, sample_domain)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None, *, sample_domain: Any = None) -> Any:
        """Learn how the domains differ, and map each row by its own domain.

        Parameters
        ----------
        X, y, sample_domain
            As in `fit`.

        Returns
        -------
        ndarray of shape (n, n_features_out)
            The rows, alike in both domains.
        """
        X, domains = self._fit(X, y, sample_domain)
        return self._mapped(X, domains)

    def transform(self, X: Any, *, sample_domain: Any = None) -> Any:
        """Map rows of the target, or of the domains that are named.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Rows.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain: a name that `fit` was given, or "source" and "target". By default all are target rows.

        Returns
        -------
        ndarray of shape (n, n_features_out)
            The mapped rows.
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)
        return self._mapped(X, self._named(sample_domain, X.shape[0]))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of X.

        Returns
        -------
        ndarray of str
            The columns' own names where these stay, else the name of the class with a number.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        if self._n_features_out == self.n_features_in_ and not self._has_new_columns:
            return names
        return np.array([f"{type(self).__name__.lower()}{i}" for i in range(self._n_features_out)], dtype=object)

    def _fit(self, X: Any, y: Any, sample_domain: Any) -> tuple[Any, Domains]:
        name = type(self).__name__
        if y is None:
            raise ValueError(
                f"This {name} requires y to be passed, but the target y is None. Mark target rows with "
                f"{self.unlabelled!r}; without any label, pass np.zeros(len(X)) and each row's domain in sample_domain."
            )
        X = self._read(X, reset=True)
        labels = as_labels(y)
        check_length(labels, X.shape[0], "y")
        marked = ~is_labelled(labels, self.unlabelled)
        check_steps_leave_out(marked, labels, name)
        self._marks = marks_among(marked, labels)
        domains = found_domains(labels, sample_domain, self.unlabelled, self.target_domain)
        self.domains_ = domains.names
        self.is_target_domain_ = domains.targets
        self.is_aligned_ = bool(domains.is_target.any() and not domains.is_target.all())
        self._has_new_columns, self._n_features_out = False, self.n_features_in_
        if self.is_aligned_:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
                width = self._learn(X, domains, labels)
            if width is not None:
                self._has_new_columns, self._n_features_out = True, width
        else:
            _warn_of_one_domain(name, has_target=bool(domains.is_target.any()))
        return X, domains

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what was learned; a pipeline with a memory finds aligners fitted before, in other pipelines."""
        super().__setstate__(state)
        marks = state.get("_marks", np.zeros(0))
        check_steps_leave_out(np.ones(len(marks), dtype=bool), marks, type(self).__name__)

    def _read(self, X: Any, *, reset: bool) -> Any:
        formats = ("csr", "csc") if self._takes_sparse else False
        X = validate_data(self, X, accept_sparse=formats, dtype=[np.float64, np.float32], reset=reset)
        check_magnitude(X, self._largest_float64 if X.dtype == np.float64 else LARGEST_FLOAT32)
        return X.tocsr() if sparse.issparse(X) else X

    def _named(self, sample_domain: Any, n: int) -> Domains:
        """Return the domains of rows that `fit` has not seen."""
        names = np.array([SOURCE, TARGET])
        targets = np.array([False, True])
        if sample_domain is None:
            return Domains(names, np.ones(n, dtype=np.intp), targets, is_pooled=True)
        given = domain_names(domain_column(sample_domain, n))
        known = list(self.domains_) + [name for name in names if name not in self.domains_]
        is_target = np.concatenate([self.is_target_domain_, [name == TARGET for name in known[len(self.domains_) :]]])
        number = {str(name): i for i, name in enumerate(known)}
        absent = sorted(set(given.tolist()) - set(number))
        if absent:
            raise ValueError(
                f"sample_domain holds {shorten(map(repr, absent))}, which fit has not seen; it knows the domains "
                f"{shorten(repr(str(name)) for name in known)}. Fit again with rows of it, or call it 'target'."
            )
        of_row = np.array([number[name] for name in given.tolist()], dtype=np.intp)
        return Domains(np.array(known), of_row, is_target.astype(bool))

    def _mapped(self, X: Any, domains: Domains) -> Any:
        if not self.is_aligned_:
            return X.copy()
        dtype = X.dtype
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            rows = X.astype(np.float64, copy=self._writes)  # sums of squares of float32 lose too many digits
            out = self._map(rows, domains).astype(dtype, copy=False)
        values = out.data if sparse.issparse(out) else out
        if not np.isfinite(values).all():
            raise ValueError(
                f"{type(self).__name__} has no finite answer for some rows: their numbers are far from those in fit, "
                "or too large to be computed with. Scale the rows as in fit, or leave these out."
            )
        return out

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = self._takes_sparse
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def warn_of_few(name: str, n_source: int, n_target: int, least: int, instead: str) -> bool:
    """Warn where a domain has too few rows, and say what is done instead; return whether it has."""
    if min(n_source, n_target) >= least:
        return False
    role, n = (SOURCE, n_source) if n_source < least else (TARGET, n_target)
    warn_user(f"The {role} has {n} row(s), and {name} needs at least {least} of each domain; {instead}.")
    return True


def _warn_of_one_domain(name: str, *, has_target: bool) -> None:
    if has_target:
        text = (
            f"No row is a source row, so {name} leaves all rows as they are. Give the labels of the source rows, or "
            "name the target in target_domain."
        )
    else:
        text = (
            f"No row is unlabelled, so there is no target and {name} leaves all rows as they are. Mark target rows in "
            "y as unlabelled (-1, or '-1' among labels of text)."
        )
    warn_user(text)
