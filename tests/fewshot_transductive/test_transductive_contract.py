"""scikit-learn's own checks over prototypes with transductive inference."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktl.fewshot import ProtoNetClassifier
from sktl.fewshot.transductive import TRANSDUCTIVE

ESTIMATORS = [ProtoNetClassifier(transductive=name) for name in TRANSDUCTIVE]
TOGETHER = "classifies the rows of a call together, by design: a part of them is another query set, with other answers"


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda _: {"check_methods_subset_invariance": TOGETHER})
def test_scikit_learn_checks(estimator, check):
    drawn_by_the_check = "order_invariance" in str(check)  # it permutes rows by NumPy's global generator
    state = np.random.get_state()
    check(estimator)
    if drawn_by_the_check:
        np.random.set_state(state)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_no_check_is_skipped_in_silence(estimator):
    assert estimator.__sklearn_tags__().input_tags.two_d_array
