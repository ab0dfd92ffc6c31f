"""scikit-learn's own checks over the meta-learners and the estimators of one task."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktl.fewshot import (
    FewShotClassifier,
    FewShotRegressor,
    MAMLLearner,
    MatchingNetLearner,
    ProtoNetClassifier,
    ProtoNetLearner,
    RelationNetLearner,
    ReptileLearner,
)

# Lighter settings of the same kind as the defaults: the checks' data have two or three classes of a few rows.
LIGHT = {"n_way": 2, "n_shot": 1, "n_query": 1, "n_episodes": 8, "meta_batch_size": 4}
ESTIMATORS = [
    ProtoNetClassifier(),
    ProtoNetClassifier(distance="cosine", normalize="center-l2"),
    FewShotClassifier(),
    FewShotClassifier("logistic"),
    FewShotClassifier(MatchingNetLearner(**LIGHT, random_state=0)),
    FewShotRegressor(),
    ProtoNetLearner(**LIGHT),
    MatchingNetLearner(**LIGHT),
    RelationNetLearner(**LIGHT),
    MAMLLearner(**LIGHT),
    ReptileLearner(**LIGHT),
]
EXPECTED_FAILURES: dict[str, dict[str, str]] = {}


def expected_failures(estimator):
    return EXPECTED_FAILURES.get(type(estimator).__name__, {})


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_scikit_learn_checks(estimator, check):
    drawn_by_the_check = "order_invariance" in str(check)  # it permutes rows by NumPy's global generator
    state = np.random.get_state()
    check(estimator)
    if drawn_by_the_check:
        np.random.set_state(state)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_no_check_is_skipped_in_silence(estimator):
    assert estimator.__sklearn_tags__().input_tags.two_d_array
