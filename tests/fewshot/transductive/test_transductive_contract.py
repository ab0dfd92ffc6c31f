"""scikit-learn's own checks over prototypes with transductive inference."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktl.fewshot import ProtoNetClassifier
from sktl.fewshot.transductive import TRANSDUCTIVE

ESTIMATORS = [ProtoNetClassifier(transductive=name) for name in TRANSDUCTIVE]
TOGETHER = "classifies the rows of a call together, by design: a part of them is another query set, with other answers"

UNWEIGHTED = "no transductive method knows weights, so that they are refused with advice"
WEIGHT_CHECKS = (
    "check_sample_weights_pandas_series", "check_sample_weights_not_an_array", "check_sample_weights_list",
    "check_all_zero_sample_weights_error", "check_sample_weights_shape", "check_sample_weights_not_overwritten",
    "check_sample_weight_equivalence_on_dense_data", "check_classifiers_one_label_sample_weights",
)  # fmt: skip
EXPECTED = {"check_methods_subset_invariance": TOGETHER} | dict.fromkeys(WEIGHT_CHECKS, UNWEIGHTED)


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda _: EXPECTED)
def test_scikit_learn_checks(estimator, check):
    drawn_by_the_check = "order_invariance" in str(check)  # it permutes rows by NumPy's global generator
    state = np.random.get_state()
    check(estimator)
    if drawn_by_the_check:
        np.random.set_state(state)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_no_check_is_skipped_in_silence(estimator):
    assert estimator.__sklearn_tags__().input_tags.two_d_array
