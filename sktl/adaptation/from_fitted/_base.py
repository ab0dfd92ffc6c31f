"""What the estimators share that adapt a fitted classifier without its source rows."""

from __future__ import annotations

import copy
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.base import MetaEstimatorMixin
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, _raise_for_params, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from sktl._array_api import rows_on_host, validate_data
from sktl._delegation import PredictsByEstimator, has
from sktl._documented import Documented
from sktl._inputs import is_2d
from sktl._labelled_score import LabelledScoreMixin
from sktl._magnitudes import check_finite
from sktl._modes import InPlainModes
from sktl.adaptation.from_fitted._start import Given, is_fitted
from sktl.displays import ShowsWhatWasLearned


class FromFittedClassifier(
    InPlainModes, MetaEstimatorMixin, LabelledScoreMixin, ShowsWhatWasLearned, Documented, PredictsByEstimator
):
    """Abstract: wraps a classifier; what predicts after `fit` is ``estimator_``."""

    estimator: Any
    unlabelled: Any
    estimator_: Any
    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "unlabelled": "no_validation",
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def _begin(self, X: Any, y: Any) -> Given:
        """Check what was given; nothing is learned yet."""
        X = rows_on_host(X)
        if is_2d(X):
            finite = True if not get_tags(self.estimator).input_tags.allow_nan else "allow-nan"
            validate_data(self, X, accept_sparse=True, dtype=None, ensure_all_finite=finite)
        else:
            _check_feature_names(self, X, reset=True)
        return Given.checked(self._source(), X, y, self.unlabelled, type(self).__name__)

    def _source(self) -> Any:
        """Return the classifier that is adapted, as it was given."""
        return self.estimator

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted: those of the fitted estimator."""
        check_is_fitted(self)
        return self.estimator_.classes_

    def _asked(self, X: Any) -> Any:
        return rows_on_host(X)

    def _scores(self, scores: np.ndarray) -> np.ndarray:
        return check_finite(scores, self)

    @available_if(has("predict_proba"))
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of `predict_proba`, which a subclass may answer otherwise than ``estimator_``."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def get_metadata_routing(self) -> MetadataRouter:
        """Return what `fit` takes itself, and what it hands on to the fit of an estimator that is not fitted."""
        mapping = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=self.estimator, method_mapping=mapping)

    def _routed(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return further arguments of the estimator's fit.

        Raises
        ------
        ValueError
            Without metadata routing, or if the estimator is fitted, and so has no use for them.
        """
        _raise_for_params(params, self, "fit")
        if params and is_fitted(self.estimator):
            raise ValueError(
                f"{', '.join(params)} would go to the fit of the {type(self.estimator).__name__}, but it is fitted "
                "already. Leave them out, or give one that is not fitted."
            )
        return process_routing(self, "fit", **params)["estimator"]["fit"] if params else {}

    @property
    def torch_module_(self) -> Any:
        """A copy of the adapted classifier's network, as its own `torch_module_`."""
        check_is_fitted(self)
        return self.estimator_.torch_module_

    def to_onnx(self, path: Any, *, preprocess: bool = False) -> None:
        """Write the adapted classifier's network as an ONNX file, as its own `to_onnx` does.

        Parameters
        ----------
        path : path-like
            The file.
        preprocess : bool, default=False
            Whether pictures are scaled and cropped in the graph too.

        Raises
        ------
        TypeError
            If the classifier is no network of the library's, or stands behind other steps.
        """
        check_is_fitted(self)
        if not hasattr(self.estimator_, "to_onnx"):
            raise TypeError(
                f"A {type(self.estimator_).__name__} cannot be written as one network: to_onnx is there for a "
                "FineTunedClassifier or a DomainAdaptedClassifier, without steps before it."
            )
        self.estimator_.to_onnx(path, preprocess=preprocess)

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.input_tags = copy.deepcopy(inner.input_tags)
        tags.target_tags.required = not is_fitted(self._source())
        tags.non_deterministic = inner.non_deterministic
        return tags
