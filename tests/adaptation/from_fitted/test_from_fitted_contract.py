"""scikit-learn's own checks over the classifiers that adapt a fitted one."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktl.adaptation import (
    DomainAdaptedClassifier,
    GradualAdaptedClassifier,
    PerDomainClassifier,
    RollingAdaptedClassifier,
    SourceFreeAdaptedClassifier,
    TestTimeAdaptedClassifier,
)
from sktl.aligners import LabelledOnly
from sktl.finetuning import FineTunedClassifier

# Lighter settings of the same kind as the defaults: the checks fit each estimator hundreds of times.
SOLVED = FineTunedClassifier(strategy="head", random_state=0)
TRAINED = DomainAdaptedClassifier(loss=None, bottleneck=32, max_epochs=5, random_state=0)
ALL_LABELLED = clone(TRAINED).set_params(unlabelled=None)
QUICK = {"max_epochs": 1, "steps_per_epoch": 5, "random_state": 0}
ESTIMATORS = [
    SourceFreeAdaptedClassifier(SOLVED, **QUICK),
    TestTimeAdaptedClassifier(TRAINED, random_state=0),
    TestTimeAdaptedClassifier(ALL_LABELLED, method="tent", unlabelled=None, random_state=0),
    GradualAdaptedClassifier(LogisticRegression(), n_steps=2),
    GradualAdaptedClassifier(SOLVED, n_steps=2, **QUICK),
    PerDomainClassifier(TestTimeAdaptedClassifier(TRAINED), min_rows=2, random_state=0),
    RollingAdaptedClassifier(LabelledOnly(LogisticRegression())),
    RollingAdaptedClassifier(LabelledOnly(LogisticRegression(), unlabelled=None), unlabelled=None),
]
MARK = (
    "the check takes -1 for a class; here it marks an unlabelled row, as in sklearn.semi_supervised, whose classifiers "
    "the check excepts by name (with unlabelled=None it passes)"
)


def expected_failures(estimator):
    return {} if estimator.unlabelled is None else {"check_classifiers_classes": MARK}


@pytest.mark.filterwarnings("ignore:There is no sub-domain:UserWarning")
@pytest.mark.filterwarnings("ignore:TENT has collapsed:UserWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_scikit_learn_checks(estimator, check):
    drawn_by_the_check = "order_invariance" in str(check)  # it permutes rows by NumPy's global generator
    state = np.random.get_state()
    check(estimator)
    if drawn_by_the_check:
        np.random.set_state(state)


def test_no_check_is_skipped_in_silence():
    for estimator in ESTIMATORS:
        assert estimator.__sklearn_tags__().input_tags.two_d_array
