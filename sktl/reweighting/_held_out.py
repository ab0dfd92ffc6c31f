"""A classifier's answers for source rows that it has not seen, and for target rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from sktl.reweighting._label_shift import LabelShift

FOLDS = 5


def held_out_probabilities(
    estimator: Any, source: Any, y: np.ndarray, target: Any, weighter: LabelShift
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of source rows, each by a fold that has not seen it, and of target rows.

    Those of a classifier without probabilities are 1 for the predicted label.

    Raises
    ------
    TypeError
        If there are none, and the weighter needs them.
    ValueError
        If there is one class, or one of a single row.
    """
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2 or counts.min() < 2:
        raise ValueError(
            f"{type(weighter).__name__} compares predictions of held-out rows, which takes 2 classes and 2 labelled "
            f"source rows of each; got {dict(zip(classes.tolist(), counts.tolist()))}. Leave rare classes out, or "
            "weigh rows ('discriminative')."
        )
    method = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
    if method == "predict" and weighter.needs_probabilities:
        raise TypeError(
            f"{type(weighter).__name__} needs class probabilities, but {type(estimator).__name__} has no "
            "predict_proba. Wrap it in CalibratedClassifierCV, or use weighter='bbse' or 'rlls'."
        )
    folds = StratifiedKFold(int(min(FOLDS, counts.min())), shuffle=True, random_state=0)
    of_source = cross_val_predict(estimator, source, y, cv=folds, method=method)
    of_target = getattr(clone(estimator).fit(source, y), method)(target)
    if method == "predict_proba":
        return np.asarray(of_source), np.asarray(of_target)
    return tuple(np.asarray(labels)[:, None] == classes for labels in (of_source, of_target))  # type: ignore[return-value]
