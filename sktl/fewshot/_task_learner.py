"""What the estimators of one task share: a meta-learner, or a head on codes, adapted to a support set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_is_fitted

from sktl._array_api import rows_on_host
from sktl._callbacks import CallbackSupportMixin, with_callbacks
from sktl._estimator import ModuleSharingMixin
from sktl._inputs import InputKind
from sktl._magnitudes import check_finite
from sktl._named import named_options
from sktl._validation import did_you_mean
from sktl._warn_once import warn_user
from sktl.fewshot._calibrated_ridge import calibrated_ridge
from sktl.fewshot._encoding import (
    ENCODER_CONSTRAINTS,
    check_frozen,
    codes_of,
    fitted_encoder,
    refuse_fitted,
    see_columns,
)
from sktl.fewshot._row_metric import RowMetric, units_differ
from sktl.fewshot._table_ridge import AveragedRidge, RowsInRange
from sktl.fewshot.heads import HEADS, Head, make_head
from sktl.fewshot.meta_training._files import load_learner
from sktl.fewshot.meta_training._fitted_method import TaskState
from sktl.fewshot.meta_training._learner import MetaLearner
from sktl.fewshot.meta_training._residual_rows import WIDE

# Of codes; and of rows with few columns, where a regression of zeros and ones may mask the class in the middle.
AUTO, AUTO_OF_TABLES = "ridge", "logistic"


class TaskLearner(CallbackSupportMixin, ModuleSharingMixin):
    """Abstract: adapts a learner to one support set; its state is all that is learned."""

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and form are scikit-learn's
        **ENCODER_CONSTRAINTS,
        "learner": [str, Path, Head, HasMethods(["fit"])],
    }

    heads: tuple[str, ...] = tuple(HEADS)
    is_classifier = True

    _kind: InputKind | None
    _metric: RowMetric | RowsInRange | None

    def __init__(
        self, learner: Any, *, backbone: Any, encoder: Any, image_shape: Any, value_range: Any, image_size: Any,
        cache: Any, device: Any,
    ):  # fmt: skip
        self.learner = learner
        self.backbone = backbone
        self.encoder = encoder
        self.image_shape = image_shape
        self.value_range = value_range
        self.image_size = image_size
        self.cache = cache
        self.device = device

    def _fit(self, X: Any, y: Any, target: torch.Tensor, classes: np.ndarray | None) -> Any:
        n_outputs = target.shape[1] if classes is None else len(classes)
        context = self._init_callback_context(max_subtasks=1).call_on_fit_task_begin(estimator=self, X=X, y=y)
        if self._is_head:
            head = self._head()
            encoder, kind = fitted_encoder(self, X, y)
            codes = codes_of(self, encoder, kind, X, reset=True, context=context)
            metric: RowMetric | RowsInRange | None = None
            n_codes = codes.shape[1]
            is_table = encoder is None and n_codes < WIDE
            if self._is_auto and (is_table or not self.is_classifier):
                head, metric = self._of_few(codes, target.numpy())
                codes = metric(codes)
            elif self._is_auto:
                head = calibrated_ridge(codes, target.numpy()).double()
            elif is_table:
                self._warn_of_units(codes)
            state = self._solved(head, torch.from_numpy(codes), target, n_outputs)
            fitted: dict[str, Any] = {"encoder_": encoder, "_kind": kind, "n_codes_": n_codes, "learner_": head}
            fitted["_metric"] = metric
        else:
            learner = self._fitted_learner(X, y, context)
            if learner.is_regression_ == self.is_classifier:
                trained, other = ("regressions", "Regressor") if self.is_classifier else ("classes", "Classifier")
                raise ValueError(f"learner was meta-trained on {trained}: use FewShot{other}.")
            state = learner.adapt_to(X, y)
            see_columns(self, X, reset=True)
            fitted = {"encoder_": None, "_kind": None, "learner_": learner}
        self.__dict__.update(fitted)
        self.state_ = state
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _of_few(self, rows: np.ndarray, target: np.ndarray) -> tuple[Any, RowMetric | RowsInRange]:
        """Return the head of rows with few columns, or of a regression, and how it sees the rows."""
        if self.is_classifier:
            return make_head(AUTO_OF_TABLES).double(), RowMetric.of(rows, target)
        return AveragedRidge().double(), RowsInRange.of(rows)

    def _warn_of_units(self, rows: np.ndarray) -> None:
        if units_differ(rows):
            least, most = (f"{extreme:.3g}" for extreme in (np.min(rows.std(0)), np.max(rows.std(0))))
            warn_user(
                f"The columns of X have units of their own, with standard deviations from {least} to {most}: "
                f"learner={self.learner!r} takes them as they are, and the largest columns decide. Put StandardScaler "
                "before it, or use learner='auto'."
            )

    @torch.no_grad()
    def _solved(self, head: Any, codes: torch.Tensor, target: torch.Tensor, n_outputs: int) -> TaskState:
        adapt = (
            head.adapt_targets(codes, target) if target.is_floating_point() else head.adapt(codes, target, n_outputs)
        )
        return TaskState(adapt, n_outputs)

    def _outputs(self, X: Any) -> np.ndarray:
        """Return logits, or a regression's values, float64 (n, n_outputs)."""
        check_is_fitted(self, "state_")
        X = rows_on_host(X)
        if not self._is_head:
            see_columns(self, X, reset=False)
            return self.learner_.logits(self.state_, X)
        found = codes_of(self, self.encoder_, self._kind, X, reset=False)
        codes = torch.from_numpy(found if self._metric is None else self._metric(found))
        head = self.learner_
        with torch.no_grad():
            outputs = head.logits if self.is_classifier else head.outputs
            return check_finite(outputs(self.state_.tensors, codes).numpy(), self)

    @property
    def _is_head(self) -> bool:
        return isinstance(self.learner, (str, Head)) and not (
            isinstance(self.learner, str) and Path(self.learner).suffix == ".safetensors"
        )

    @property
    def _is_auto(self) -> bool:
        return isinstance(self.learner, str) and self.learner == "auto"

    def _head(self) -> Any:
        if self._is_auto:
            return make_head(AUTO).double()
        heads = named_options(Head, {}) if self.is_classifier else {}
        if isinstance(self.learner, str) and self.learner not in (*self.heads, *heads):
            raise ValueError(
                f"learner must be one of {', '.join(map(repr, self.heads))}, a meta-learner, or the path of a saved "
                f"one (.safetensors); got {self.learner!r}.{did_you_mean(self.learner, self.heads)}"
            )
        return make_head(self.learner).double()

    def _fitted_learner(self, X: Any, y: Any, context: Any) -> Any:
        learner = self.learner
        if self.encoder is not None or not (isinstance(self.backbone, str) and self.backbone == "auto"):
            which, default = ("encoder", "None") if self.encoder is not None else ("backbone", "'auto'")
            raise ValueError(
                f"{which} goes with a head only: a meta-learner brings its own network. Leave {which}={default}."
            )
        if isinstance(learner, (str, Path)):
            return load_learner(learner)
        inner = getattr(learner, "estimator", learner)
        if not isinstance(inner, MetaLearner):
            raise TypeError(
                f"learner must be a meta-learner, such as MAMLLearner, or a head's name; got {type(inner).__name__}."
            )
        if isinstance(learner, FrozenEstimator):
            check_frozen(learner, "learner")
            return learner
        refuse_fitted(learner, "learner")
        if self.is_classifier:
            return self._meta_trained(clone(learner), X, y, context, lambda new: new.fit(X, y))
        if not learner.takes_values:
            raise TypeError(
                f"{type(learner).__name__} learns classes only; give MAMLLearner or ReptileLearner, or a learner that "
                "reads values too, such as ConditionalNeuralProcessLearner."
            )
        zeros = np.zeros(len(y))
        return self._meta_trained(
            clone(learner), X, y, context, with_callbacks(lambda new: new._fit(X, y, zeros, is_regression=True))
        )

    def _meta_trained(self, learner: Any, X: Any, y: Any, context: Any, train: Callable[[Any], Any]) -> Any:
        task = context.subcontext(task_name="meta-training")
        with task.propagate_callback_context(learner):
            task.call_on_fit_task_begin(estimator=self, X=X, y=y)
            train(learner)
            task.call_on_fit_task_end(estimator=self, X=X, y=y)
        return learner

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags
