"""Classes that the source does not know: which target rows seem to be of none of its classes.

Two steps, as in S. Bucci, M. R. Loghmani and T. Tommasi, "On the effectiveness of image rotation for open set domain
adaptation", ECCV, 2020: a closed-set model tells which target rows are surely unknown, and these become the rows of
one more class, so that all that follows is an ordinary adaptation. Here a row is judged by the entropy of its
prediction, averaged over the rows nearest to it, instead of by a task of rotation; and a mixture of two normal
distributions, instead of the mean, says which entropies are high.

There are high entropies where nothing is unknown, too: of rows, `_open_signs` says whether anything is.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from sktl._unlabelled import is_labelled, is_missing_label
from sktl._warn_once import warn_user
from sktl.adaptation.joint._labels import UNLABELLED
from sktl.adaptation.joint._open_signs import entropies, seems_open, smoothed
from sktl.adaptation.joint._roles import Roles
from sktl.adaptation.joint._row_start import Part, linear_model
from sktl.adaptation.joint._target import Target
from sktl.adaptation.losses import Entropy

LEAST = 20  # target rows below which no mixture is fitted
SURE = 0.9  # probability of the upper part of the mixture from which a row is surely unknown
MOST = 0.25  # share of the target's rows that are, at most, where it is not told


def with_unknown(classes: np.ndarray, label: Any, unlabelled: Any, name: str) -> tuple[np.ndarray, int]:
    """Return the sorted classes with the label of unknown rows among them, and its place.

    Raises
    ------
    ValueError
        If the label is a class already, means unlabelled, or is of another kind than the classes.
    """
    if is_missing_label(label):
        raise ValueError(f"unknown_label of {name} cannot be a missing value, {label!r}: these mark unlabelled rows.")
    kind = type(classes.tolist()[0])
    found = _of_kind(classes, label)
    if found is None:
        raise ValueError(
            f"unknown_label must be a label such as those in y, a {kind.__name__} like {classes.tolist()[0]!r}; got "
            f"{label!r}, a {type(label).__name__}."
        )
    if not is_labelled(found, unlabelled).all():
        raise ValueError(
            f"unknown_label={label!r} is also the mark of unlabelled rows, unlabelled={unlabelled!r}. Choose a label "
            "that y does not hold."
        )
    if label in classes.tolist():
        raise ValueError(
            f"unknown_label={label!r} is a class of the labelled rows. Choose a label that y does not hold, or leave "
            "unknown_label=None: rows of that class are then learned as those of any other."
        )
    every = np.sort(np.concatenate([classes, found]))
    return every, every.tolist().index(found.tolist()[0])


def _of_kind(classes: np.ndarray, label: Any) -> np.ndarray | None:
    """Return the label as an array that joins the classes, or None if it is of another kind."""
    kind = classes.dtype.kind
    if kind == "O":
        found = np.empty(1, dtype=object)
        found[0] = label
        return found if isinstance(label, str) == isinstance(classes.tolist()[0], str) else None
    given = np.asarray(label)
    numbers = "iuf"
    if given.ndim or not (given.dtype.kind == kind or (given.dtype.kind in numbers and kind in numbers)):
        return None
    if kind in numbers:
        same = given.astype(classes.dtype)
        given = same if same.item() == given.item() else given  # else the classes' type gives way
    return given.reshape(1)


def opened(
    estimator: Any, target: Target, roles: Roles, data: Any, weights: np.ndarray | None, given: tuple, is_own: bool,
    seed: int,
) -> tuple[Target, Roles]:  # fmt: skip
    """Return what is learned, and the rows' roles, where surely unknown target rows make up one more class.

    Parameters
    ----------
    estimator : DomainAdaptedClassifier
        Its parameters are read.
    target, roles, weights
        As the labels of the source alone say.
    data : array, CSR matrix or PictureSource
        All rows.
    given : tuple
        X, y, sample_domain and sample_weight as the user gave them.
    is_own : bool
        Whether the library chooses the network for rows.
    seed : int
        Of a network that learns the source alone.
    """
    name = type(estimator).__name__
    classes, place = with_unknown(target.learned["classes_"], estimator.unknown_label, estimator.unlabelled, name)
    if not (estimator.target_shares is None or isinstance(estimator.target_shares, str)):
        raise ValueError(
            "target_shares are those of the source's classes, and unknown_label adds one whose share nobody knows: "
            "give one of both, and leave target_shares='auto' beside unknown_label."
        )
    is_unknown = np.zeros(len(roles.target), dtype=bool)
    if len(roles.target) >= LEAST and len(roles.sources):
        if is_own:
            seen, logits = closed_rows(data, target, weights, roles, estimator.batch_norm)
        else:
            seen, logits = closed_network(estimator, given, roles.target, seed)
        source, there = np.concatenate(roles.sources), seen[roles.target]
        is_told, share = estimator.unknown_share != "auto", estimator.unknown_share
        is_tested = is_own and not is_told and not sparse.issparse(seen)
        if not is_tested or seems_open(seen[source], target.values[source], there):
            is_unknown = surely_unknown(there, logits, share if is_told else MOST)
            is_unknown &= ~target.is_labelled[roles.target]
        else:
            warn_user(
                f"No target row seems to be of a class that the source lacks: {name} learns no rows of unknown_label="
                f"{estimator.unknown_label!r}. Pass unknown_share, their share at most, if you know that there are."
            )
    surely = roles.target[is_unknown]
    values = target.values + (target.values >= place)
    values[surely] = place
    learned = target.learned | {
        "classes_": classes,
        "unknown_share_": float(is_unknown.sum() / max(len(is_unknown), 1)),
    }
    return (
        Target(values, values != UNLABELLED, len(classes), learned),
        dataclasses.replace(roles, target_labelled=np.union1d(roles.target_labelled, surely), unknown=surely),
    )


def surely_unknown(rows: Any, logits: np.ndarray, most: float = MOST) -> np.ndarray:
    """Return which target rows are surely of no class of the source, a mask.

    Parameters
    ----------
    rows : array or CSR matrix of shape (n, n_columns)
        Target rows, or their features, by which neighbours are found.
    logits : array of shape (n, n_classes)
        Of a model of the source's classes.
    most : float
        Share of the rows that are, at most: those with the highest entropies.
    """
    scores = smoothed(rows, entropies(logits))[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # all rows alike
        mixture = GaussianMixture(2, n_init=3, random_state=0).fit(scores)
        upper = mixture.means_[:, 0].argmax()
        # beyond the upper mean a wide lower part may win again: there a row is no less unknown
        is_sure = mixture.predict_proba(np.minimum(scores, mixture.means_[upper]))[:, upper] > SURE
    return is_sure & (scores[:, 0] > np.quantile(scores, 1 - most))


def closed_rows(data: Any, target: Target, weights: np.ndarray | None, roles: Roles, batch_norm: str) -> tuple:
    """Return all rows at their scale and the target's logits, by logistic regression solved on the source's rows."""
    source = np.concatenate(roles.sources)
    part = Part(target.values, target.n_outputs, weights, source, roles.target, roles.labelled, False, shares=None)
    batch_norm = part.batch_norm_for(data) if batch_norm == "auto" else batch_norm
    part = dataclasses.replace(part, is_separate=batch_norm == "separate")
    model = linear_model(data, part)
    return model.data, np.asarray(model.data[roles.target] @ model.weight.T) + model.bias


def closed_network(estimator: Any, given: tuple, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features of all rows and logits of target rows, by the network that learns the labelled rows alone.

    Its batch norm has the target's statistics where the estimator's has, for target rows take part, with no loss.
    """
    X, y, sample_domain, sample_weight = given
    settings: dict[str, Any] = {
        "unknown_label": None, "loss": Entropy(0.0), "target_shares": None, "selection": "last", "checkpoint_dir": None,
        "callbacks": None, "verbose": 0, "random_state": seed,
    }  # fmt: skip
    model = clone(estimator).set_params(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # training itself says them
        model.fit(X, y, sample_domain=sample_domain, sample_weight=sample_weight)
    features, logits = model._of_one_pass(X, "features", "logits")
    return features, logits[rows]
