"""An adapted classifier where adaptation is credibly better than none, and one that has not adapted where it is not."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import sklearn
from sklearn.base import MetaEstimatorMixin, _fit_context, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from sktl._array_api import n_rows, rows_on_host, take_rows
from sktl._callbacks import CallbackSupportMixin
from sktl._columns import check_classes, domain_column, marked_labels
from sktl._delegation import PredictsByEstimator, refuse_regressor
from sktl._documented import Documented
from sktl._domains import found_domains
from sktl._draws import seed_of
from sktl._labelled_score import LabelledScoreMixin
from sktl._modes import InPlainModes
from sktl._progress import fitted_in_task
from sktl._unlabelled import known_labels
from sktl._warn_once import warn_user
from sktl.safety._accuracy import AccuracyEstimate, estimate_of_outputs
from sktl.safety._agreement import agreements
from sktl.safety._errors import widened
from sktl.safety._evidence import MOST_ROWS, gathered, rows_of
from sktl.safety._harm import expected_gain, harm_risk
from sktl.safety._source_only import fitted_without_target, outputs

ADAPTED, BASELINE = "adapted", "baseline"
CONFIDENCE = 0.9  # of the interval of the accuracy


class SafelyAdaptedClassifier(
    InPlainModes, CallbackSupportMixin, LabelledScoreMixin, MetaEstimatorMixin, Documented, PredictsByEstimator
):
    """A classifier that adapts to a target without labels, unless that is likely to do harm there.

    Adaptation can lower the accuracy, and without labels nobody sees it. Here a baseline learns the labelled rows
    alone, beside the adapted classifier. Both are judged without labels of the target, and the adapted one predicts
    only where the risk of harm is small. A classifier's own confidence is no evidence, for an adaptation is as sure of
    exchanged classes as of found ones. The risk rests on what does not ask for confidence: how many target rows the
    two label differently; with whom of them others agree, which have learned the source in other ways [1]_: a forest,
    and the nearest rows between aligned domains; and whose labels neighbours in the target share.

    Start with the defaults. Lower `max_risk` where harm is dear, raise it where adaptation is known to be needed.

    Parameters
    ----------
    estimator : classifier
        One that adapts: `DomainAdaptedClassifier`, `ReweightedClassifier`, a pipeline of an aligner and
        ``LabelledOnly(classifier)``, or any other whose `fit` knows the mark of unlabelled rows.
    baseline : "source" or classifier, default="source"
        What it is compared with and falls back on; it is given the labelled rows alone. "source" is the estimator
        itself, which has nothing to adapt to then.
    margin : float, default=0.01
        Harm is an accuracy that is lower than the baseline's by more than this.
    max_risk : float, default=0.1
        The largest `harm_risk_` with which the adapted classifier predicts. 1 always adapts.
    held_out : float, default=0.2
        Share of each source class that the baseline does not learn while its accuracy is estimated.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, as in `estimator`; missing values mark them too.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the target; by default those without any label.
    random_state : int, RandomState or None, default=None
        Of the rows that are held out. It does not reach into `estimator`.

    Attributes
    ----------
    estimator_ : classifier
        What predicts: `adapted_` or `baseline_`.
    decision_ : {"adapted", "baseline"}
        Which of them.
    harm_risk_ : float
        Probability that the adapted classifier's accuracy in the target is more than `margin` below the baseline's;
        NaN where there is no target.
    estimated_gain_ : float
        By how much its accuracy is expected to differ from the baseline's.
    estimated_accuracy_ : AccuracyEstimate or None
        Of what predicts, in the target, with an interval of nine in ten; None without target rows, or where no source
        row could be held out.
    evidence_ : Evidence or None
        What the risk rests on; None without target rows.
    adapted_, baseline_ : classifier
        Both, fitted to all rows that they learn from; `adapted_` is None without target rows.
    classes_ : ndarray
        Sorted labels.

    See Also
    --------
    estimate_accuracy : The accuracy of one classifier in a target without labels.

    Notes
    -----
    A fit costs one of the adapted classifier, two of the baseline (with all labelled rows, and without those that are
    held out) and two of a forest. The rule that turns the evidence into a risk has four weights, chosen on domains of
    the kinds in ``benchmarks/safe_adaptation.py``; unlike kinds of shift may be judged less well. It is careful: where
    the domains differ so much that no referee is right in the target, it falls back, and some gain is lost.

    References
    ----------
    .. [1] O. Madani, D. M. Pennock and G. W. Flake, "Co-validation: using model disagreement on unlabeled data to
       validate classification algorithms", NeurIPS, 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktl.aligners import CORALAligner, LabelledOnly
    >>> from sktl.safety import SafelyAdaptedClassifier
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(2, size=400)
    >>> X = rng.normal(size=(400, 3)) + 2 * truth[:, None]
    >>> X[200:] += 3  # the target is elsewhere
    >>> y = np.where(np.arange(400) < 200, truth, -1)
    >>> aligned = make_pipeline(CORALAligner(), LabelledOnly(LogisticRegression()))
    >>> model = SafelyAdaptedClassifier(aligned, random_state=0).fit(X, y)
    >>> model.decision_
    'adapted'
    >>> bool(np.mean(model.predict(X[200:]) == truth[200:]) > 0.9)
    True
    """

    __metadata_request__fit: ClassVar[dict] = {"sample_domain": True}
    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "baseline": [StrOptions({"source"}), HasMethods(["fit", "predict"])],
        "margin": [Interval(Real, 0, 1, closed="both")],
        "max_risk": [Interval(Real, 0, 1, closed="both")],
        "held_out": [Interval(Real, 0, 1, closed="neither")],
        "unlabelled": "no_validation",
        "target_domain": "no_validation",
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        baseline: Any = "source",
        margin: float = 0.01,
        max_risk: float = 0.1,
        held_out: float = 0.2,
        unlabelled: Any = -1,
        target_domain: Any = None,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.baseline = baseline
        self.margin = margin
        self.max_risk = max_risk
        self.held_out = held_out
        self.unlabelled = unlabelled
        self.target_domain = target_domain
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, *, sample_domain: Any = None) -> SafelyAdaptedClassifier:
        """Fit the adapted classifier and the baseline, and decide between them.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures or texts
            Rows of the source and of the target, of the kind that the estimator takes.
        y : array-like of shape (n,)
            Labels; `unlabelled`, NaN or None in target rows.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain, which is handed on to the estimator. By default labelled rows are the source and
            unlabelled rows the target.

        Returns
        -------
        SafelyAdaptedClassifier
            Itself.

        Raises
        ------
        TypeError
            If the estimator is a regressor, or domains are given and it takes none.
        ValueError
            If no row has a label.
        """
        name = type(self).__name__
        refuse_regressor(self.estimator, name)
        X = rows_on_host(X)
        labels, labelled = marked_labels(y, n_rows(X), self.unlabelled, name)
        known = known_labels(labels, labelled)
        check_classes(known)
        routed = {} if sample_domain is None else self._routed(domain_column(sample_domain, len(labels)))
        domains = found_domains(labels, sample_domain, self.unlabelled, self.target_domain)
        source, target = np.flatnonzero(labelled), np.flatnonzero(domains.is_target & ~labelled)

        context = self._init_callback_context(max_subtasks=1).call_on_fit_task_begin(estimator=self, X=X, y=y)
        plain = self.estimator if isinstance(self.baseline, str) else self.baseline
        baseline = fitted_without_target(plain, X, labels, source)
        learned: dict[str, Any] = {"baseline_": baseline, "estimator_": baseline, "decision_": BASELINE}
        learned |= dict.fromkeys(("adapted_", "evidence_", "estimated_accuracy_"))
        learned |= {"harm_risk_": np.nan, "estimated_gain_": 0.0}
        if len(target):
            adapted = fitted_in_task(
                clone(self.estimator), X, labels, meta=self, context=context, name="adapted", **routed
            )
            seed = seed_of(self.random_state)
            learned |= self._judged(baseline, adapted, X, known, source, target, seed)
            shared = learned["evidence_"].overlap
            held = self._estimated(plain, X, labels, source, target, shared, seed)
            learned["estimated_accuracy_"] = held and self._of_decision(held, learned)
        else:
            warn_user(f"No row is unlabelled, so there is no target: {name} keeps its baseline.")
        for attribute in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(attribute, None)
            if hasattr(baseline, attribute):
                learned[attribute] = getattr(baseline, attribute)
        self.__dict__.update(learned)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _judged(
        self, baseline: Any, adapted: Any, X: Any, known: np.ndarray, source: np.ndarray, target: np.ndarray, seed: int
    ) -> dict[str, Any]:
        self._warn_of_new_classes(np.asarray(getattr(adapted, "classes_", [])).tolist(), set(known.tolist()))
        evidence = gathered(baseline, adapted, take_rows(X, source), known, take_rows(X, target), seed)
        risk = harm_risk(evidence, float(self.margin))
        adapts = risk <= self.max_risk
        return {
            "adapted_": adapted,
            "evidence_": evidence,
            "harm_risk_": risk,
            "estimated_gain_": expected_gain(evidence),
            "decision_": ADAPTED if adapts else BASELINE,
            "estimator_": adapted if adapts else baseline,
        }

    def _warn_of_new_classes(self, answers: list[Any], learned: set[Any]) -> None:
        new = [label for label in answers if label not in learned]
        if new:
            warn_user(
                f"The adapted classifier may answer {new[0]!r}, a class that no source row has. What judges it in "
                f"{type(self).__name__} has learned the source's classes alone, so such answers count against it. Fit "
                "the estimator by itself where unknown classes are looked for."
            )

    def _estimated(
        self, plain: Any, X: Any, labels: np.ndarray, source: np.ndarray, target: np.ndarray, shared: float, seed: int
    ) -> AccuracyEstimate | None:
        """Return the baseline's accuracy in the target, by one that has not learned some of the source's rows."""
        held = _held_out(known_labels(labels, source), float(self.held_out), seed)
        if not held.any():
            return None
        model = fitted_without_target(plain, X, labels, source[~held])
        classes = np.asarray(model.classes_)
        X_held, X_target = take_rows(X, source[held]), take_rows(X, target)
        truth = known_labels(labels, source[held])
        said, said_there = (np.asarray(model.predict(rows)) for rows in (X_held, X_target))
        proba = [outputs(model, rows, classes) for rows in (X_held, X_target)]
        learned = source[~held][np.random.default_rng(seed).permutation(np.sum(~held))[:MOST_ROWS]]
        others = rows_of(model, take_rows(X, learned)), known_labels(labels, learned)
        agreed = agreements(
            rows_of(model, X_held), truth, said, rows_of(model, X_target), said_there, seed, shared, others
        )
        return estimate_of_outputs(
            said == truth, proba[0], proba[1], agreed=agreed, errors="safe", confidence=CONFIDENCE, random_state=seed
        )

    def _of_decision(self, found: AccuracyEstimate, learned: dict[str, Any]) -> AccuracyEstimate:
        """Return the estimate of what predicts: the baseline's, moved by the gain that is expected."""
        if learned["decision_"] == BASELINE:
            return found
        accuracy = float(np.clip(found.accuracy + learned["estimated_gain_"], 0, 1))
        return replace(
            found,
            accuracy=accuracy,
            interval=widened("safe", accuracy, accuracy, accuracy, CONFIDENCE),
            lower_bound=max(0.0, found.lower_bound - learned["evidence_"].disagreement),
        )

    def _routed(self, domains: np.ndarray) -> dict[str, Any]:
        """Return the domains under the names by which the estimator's fit takes them."""
        if not isinstance(self.estimator, Pipeline) or sklearn.get_config()["enable_metadata_routing"]:
            takes = isinstance(self.estimator, Pipeline) or has_fit_parameter(self.estimator, "sample_domain")
            steps = ["sample_domain"] if takes else []
        else:
            steps = [
                f"{name}__sample_domain"
                for name, step in self.estimator.steps
                if hasattr(step, "fit") and has_fit_parameter(step, "sample_domain")
            ]
        if not steps:
            raise TypeError(
                f"{type(self.estimator).__name__} takes no sample_domain in fit. Leave it out: unlabelled rows are the "
                "target."
            )
        return dict.fromkeys(steps, domains)

    @property
    def classes_(self) -> np.ndarray:
        """Sorted labels."""
        check_is_fitted(self)
        return self.estimator_.classes_

    def _asked(self, X: Any) -> Any:
        return rows_on_host(X)

    def __sklearn_tags__(self):
        tags = deepcopy(get_tags(self.estimator))
        tags.target_tags.required = True
        tags.target_tags.multi_output = False
        tags.array_api_support = False
        return tags


def _held_out(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return which rows are held out: of each class its share, and never its last row."""
    held = np.zeros(len(labels), dtype=bool)
    rng = np.random.default_rng(seed)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held[rows[: min(round(share * len(rows)), len(rows) - 1)]] = True
    return held
