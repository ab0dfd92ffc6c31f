"""scikit-learn's own checks over the classifier that falls back."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktl import safety
from sktl.reweighting import ReweightedClassifier
from sktl.safety import SafelyAdaptedClassifier

ESTIMATORS = [
    SafelyAdaptedClassifier(ReweightedClassifier(LogisticRegression()), random_state=0),
    SafelyAdaptedClassifier(ReweightedClassifier(LogisticRegression(), unlabelled=None), unlabelled=None),
]

MARK = "the check takes -1 for a class; here it marks an unlabelled row (with unlabelled=None it passes)"


def expected_failures(estimator):
    """Return the checks that cannot hold by a method's nature, with the reason."""
    return {} if estimator.unlabelled is None else {"check_classifiers_classes": MARK}


@pytest.mark.filterwarnings("ignore:No row is unlabelled:UserWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_scikit_learn_checks(estimator, check):
    state = np.random.get_state()
    check(estimator)
    if "order_invariance" in str(check):  # it permutes rows by NumPy's global generator
        np.random.set_state(state)


def test_every_estimator_is_checked():
    public = {name for name in safety.__all__ if hasattr(getattr(safety, name), "fit")}
    assert public == {type(estimator).__name__ for estimator in ESTIMATORS}
