"""What all estimators share; nothing algorithmic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, _clone_parametrized
from torch import Tensor, nn

from sktl._array_api import check_no_tuples, n_rows, on_host
from sktl._columns import accuracy, class_labels, row_weights, target_values
from sktl._documented import Documented
from sktl._modes import InPlainModes
from sktl._preprocessing import Preprocessing
from sktl._whole_fits import WholeFits
from sktl.displays import ShowsWhatWasLearned


def sharing_attributes(estimator: Any) -> Any:
    """Return a new object of the estimator's type with its attributes, whatever its own `__copy__` does."""
    copied = object.__new__(type(estimator))
    copied.__dict__.update(vars(estimator))
    return copied


class ModuleSharingMixin(WholeFits, InPlainModes, ShowsWhatWasLearned, Documented, BaseEstimator):
    """An estimator whose clones share the networks given to its constructor, instead of copying them.

    Networks given as parameters are only looked at, so that a grid search over a hundred clones needs one.
    """

    def __sklearn_clone__(self) -> Any:
        """Clone all parameters but modules, which the clone refers to."""
        modules = {name: v for name, v in self.get_params(deep=False).items() if isinstance(v, nn.Module)}
        without = sharing_attributes(self)
        for name in modules:
            setattr(without, name, None)
        cloned = _clone_parametrized(without, safe=False)
        for name, module in modules.items():
            setattr(cloned, name, module)
        return cloned


class ClassifierScoreMixin(ClassifierMixin):
    """A classifier whose `score` reads labels and weights as `fit` does."""

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of `predict` for X and the true labels y, each row of its weight."""
        y = on_host(y, "y")
        check_no_tuples(y)
        if _is_table(y):
            return super().score(X, y, _weights(sample_weight, X))
        labels = class_labels(y, n_rows(X), self)
        return accuracy(labels, np.asarray(self.predict(X)), _weights(sample_weight, X))  # type: ignore[attr-defined]


class RegressorScoreMixin(RegressorMixin):
    """A regressor whose `score` reads values and weights as `fit` does."""

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination of `predict` for X and the true values y, each row of its weight."""
        return super().score(X, target_values(y, n_rows(X), self), _weights(sample_weight, X))


def _is_table(y: Any) -> bool:
    """Whether y has several columns: an indicator of several labels a row."""
    if isinstance(y, (list, tuple)):
        return len(y) > 0 and isinstance(y[0], (list, tuple, np.ndarray)) and np.size(y[0]) > 1
    shape: tuple[int, ...] = getattr(y, "shape", ())
    return len(shape) == 2 and shape[1] > 1


def _weights(sample_weight: Any, X: Any) -> np.ndarray | None:
    return None if sample_weight is None else row_weights(sample_weight, n_rows(X))


class NamedPartsMixin(BaseEstimator):
    """An estimator with parameters that are objects, for which a name is short, or a list of these.

    Nested parameters reach into all of them: ``loss__weight`` into ``loss="cdan"``, which becomes the object, and
    ``loss__cdan__weight``, or ``loss__0__weight``, into ``loss=["cdan", "mcc"]``.
    """

    def _parts_by_name(self) -> dict[str, Callable[[str], Any]]:
        """Return, for each such parameter, what makes an object of a name."""
        return {}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; those of objects in a list too, if `deep`."""
        params = super().get_params(deep=deep)
        for name in self._parts_by_name() if deep else ():
            held = params.get(name)
            for label, part in _labelled(held).items() if isinstance(held, (list, tuple)) else ():
                if hasattr(part, "get_params"):
                    params |= {f"{name}__{label}__{key}": value for key, value in part.get_params().items()}
        return params

    def set_params(self, **params: Any) -> Any:
        """Set parameters, those of objects that are given by name or stand in a list too.

        Returns
        -------
        self
        """
        for name, make in self._parts_by_name().items():
            nested = {key.partition("__")[2]: key for key in params if key.startswith(f"{name}__")}
            if not nested:
                continue
            held = params.get(name, getattr(self, name))
            if isinstance(held, str):
                params[name] = make(held)
            elif isinstance(held, (list, tuple)):
                values = {rest: params.pop(key) for rest, key in nested.items()}
                params[name] = _with_params(name, held, make, values)
            elif not hasattr(held, "set_params"):
                raise ValueError(
                    f"Invalid parameter {next(iter(nested.values()))!r}: {name}={held!r} has no parameters of its own."
                )
        return super().set_params(**params)


def _labelled(parts: Any) -> dict[str, Any]:
    """Return the parts of a list by name: what the user wrote, or the class; with a number where one comes twice."""
    names = [part if isinstance(part, str) else type(part).__name__.lower() for part in parts]
    labels = [f"{name}-{names[: i + 1].count(name)}" if names.count(name) > 1 else name for i, name in enumerate(names)]
    return dict(zip(labels, parts))


def _with_params(name: str, held: Any, make: Callable[[str], Any], values: Mapping[str, Any]) -> Any:
    """Return a copy of a list in which the parts that `values` speak of are objects with these parameters."""
    parts, labels = list(held), list(_labelled(held))
    for key, value in values.items():
        label, _, rest = key.partition("__")
        place = labels.index(label) if label in labels else int(label) if label.isdecimal() else len(parts)
        if place >= len(parts) or not rest:
            raise ValueError(
                f"Invalid parameter {f'{name}__{key}'!r}: after {name}__ comes one of "
                f"{', '.join(map(repr, labels))}, or its place in the list, and then its parameter."
            )
        if isinstance(parts[place], str):
            parts[place] = make(parts[place])
        parts[place].set_params(**{rest: value})
    return type(held)(parts)


SURE = 36.0  # logit of the last float64 probability that is below 1


class LogitClassifierMixin(ClassifierScoreMixin, InPlainModes):
    """A classifier whose ``_outputs(X)`` are logits: (n, n_classes), or with several labels a row (n, n_labels)."""

    classes_: np.ndarray
    _outputs: Callable[[Any], np.ndarray]
    _is_multilabel: bool = False

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits, (n, n_classes); for two classes the second one's less the first one's, (n,).

        With several labels a row they are (n, n_labels), positive where a label is predicted.
        """
        logits = self._outputs(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 and not self._is_multilabel else logits

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities, float64 of shape (n, n_classes) in the order of `classes_`.

        With several labels a row they are (n, n_labels), each that of a label by itself, as `MLPClassifier` of
        scikit-learn gives them.
        """
        logits = self._outputs(X)
        return expit(np.minimum(logits, SURE)) if self._is_multilabel else softmax(logits, axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of `predict_proba`, finite where probabilities are too small for a number."""
        logits = self._outputs(X)
        return log_expit(logits) if self._is_multilabel else log_softmax(logits, axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable labels, (n,); with several labels a row zeros and ones, (n, n_labels)."""
        logits = self._outputs(X)
        return (logits > 0).astype(np.int64) if self._is_multilabel else self.classes_[logits.argmax(axis=1)]


@dataclass(frozen=True)
class OpenNetwork:
    """A copy of a fitted classifier's network that may be trained further.

    Classifiers that offer it have three methods: ``_open()`` returns this record, ``_read(X)`` brings rows to what the
    network takes (a table of numbers, or a source of pictures), and ``_closed(module)`` returns a fitted classifier
    that predicts by the changed module, which it takes over.

    Attributes
    ----------
    module : Module
        Batches to logits, in evaluation mode, on the CPU; all parameters require gradients.
    features : callable(batch) -> Tensor (n, n_features)
        What the head is given.
    head : Module
        Features to logits; a part of `module`.
    body : tuple of Parameter
        What learns at a smaller rate if it is pretrained.
    is_pretrained : bool
        Whether the body came with published weights.
    preprocessing : Preprocessing or None
        Of pictures; None for feature rows.
    n_channels : int
        Of pictures as the network is given them.
    dtype : torch.dtype
        Precision of the layers' arithmetic.
    """

    module: nn.Module
    features: Callable[[Tensor], Tensor]
    head: nn.Module
    body: tuple[nn.Parameter, ...]
    is_pretrained: bool
    preprocessing: Preprocessing | None
    n_channels: int
    dtype: torch.dtype
