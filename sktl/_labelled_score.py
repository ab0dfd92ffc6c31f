"""Accuracy where some rows have no label."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin

from sktl._array_api import n_rows
from sktl._columns import accuracy, check_length, row_weights
from sktl._unlabelled import as_labels, is_labelled, known_labels
from sktl._warn_once import warn_of_marked_rows


class LabelledScoreMixin(ClassifierMixin):
    """A classifier with the parameter `unlabelled`, whose `score` leaves marked rows out."""

    unlabelled: Any

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on the labelled rows.

        Rows that are marked as unlabelled are left out, with a warning: where they are the target, the accuracy is that
        of the source. `sktl.metrics.get_domain_scorer` looks at both, and `sktl.metrics.LabelledScorer` takes any other
        metric of the labelled rows. Metrics of scikit-learn given by name (``scoring="accuracy"``) do not know marks,
        and count marked rows as errors.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures
            As in `predict`.
        y : array-like of shape (n,)
            True labels; `unlabelled`, NaN or None where there is none.
        sample_weight : array-like of shape (n,), default=None
            Of the rows.

        Returns
        -------
        float
            Between 0 and 1.

        Raises
        ------
        ValueError
            If no row has a label.
        """
        name = type(self).__name__
        if y is None:
            raise ValueError(f"{name}.score needs y, the true labels; got y=None.")
        labels = as_labels(y)
        check_length(labels, n_rows(X), "y")
        known = is_labelled(labels, self.unlabelled)
        if not known.any():
            raise ValueError(
                f"{name}.score needs labels, but all {len(labels)} rows are {self.unlabelled!r} or missing, which "
                "means unlabelled. Without labels, score by sktl.metrics.get_domain_scorer('information_maximization')."
            )
        if not known.all():
            warn_of_marked_rows(name, "accuracy")
        predicted = np.asarray(self.predict(X))  # type: ignore[attr-defined]
        weight = None if sample_weight is None else row_weights(sample_weight, len(labels))[known]
        return accuracy(known_labels(labels, known), predicted[known], weight)
