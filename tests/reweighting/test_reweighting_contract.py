"""scikit-learn's own checks over the estimators that weigh rows."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktl import reweighting
from sktl.reweighting import ReweightedClassifier, ReweightedRegressor, TrAdaBoostClassifier

ESTIMATORS = [
    ReweightedClassifier(LogisticRegression()),
    ReweightedClassifier(LogisticRegression(), weighter="bbse", unlabelled=None),
    ReweightedRegressor(Ridge()),
    TrAdaBoostClassifier(n_estimators=5, random_state=0),
]

MARK = "the check takes -1 for a class; here it marks an unlabelled row (with unlabelled=None it passes)"


def expected_failures(estimator):
    """Return the checks that cannot hold by a method's nature, with the reason."""
    if isinstance(estimator, (ReweightedClassifier, TrAdaBoostClassifier)) and estimator.unlabelled is not None:
        return {"check_classifiers_classes": MARK}
    return {}


@pytest.mark.filterwarnings("ignore:There is no target row:UserWarning")
@pytest.mark.filterwarnings("ignore:No labelled row is of the target:UserWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_scikit_learn_checks(estimator, check):
    state = np.random.get_state()
    check(estimator)
    if "order_invariance" in str(check):  # it permutes rows by NumPy's global generator
        np.random.set_state(state)


def test_every_estimator_is_checked():
    public = {name for name in reweighting.__all__ if hasattr(getattr(reweighting, name), "fit")}
    assert public == {type(estimator).__name__ for estimator in ESTIMATORS}
