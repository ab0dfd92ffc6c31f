"""scikit-learn's own checks over the model-based learners."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktl.fewshot import (
    CNAPsLearner,
    ConditionalNeuralProcessLearner,
    FewShotClassifier,
    InContextLearner,
    MAMLLearner,
    MANNLearner,
    MetaLSTMLearner,
    SNAILLearner,
)

# Lighter settings of the same kind as the defaults: the checks' data have two or three classes of a few rows.
LIGHT = {"n_way": 2, "n_shot": 1, "n_query": 1, "n_episodes": 8, "meta_batch_size": 4}
ESTIMATORS = [
    MANNLearner(**LIGHT, hidden=8, n_slots=8, slot_size=4, n_heads=1),
    SNAILLearner(**LIGHT, filters=4),
    ConditionalNeuralProcessLearner(**LIGHT, hidden=8),
    InContextLearner(**LIGHT, width=8, n_heads=2),
    CNAPsLearner(**LIGHT, hidden=8),
    MAMLLearner(**LIGHT, embedding_size=4),
    MetaLSTMLearner(**LIGHT, inner_steps=2, hidden=4),
    FewShotClassifier(InContextLearner(**LIGHT, width=8, n_heads=2, normalise=False, random_state=0)),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    drawn_by_the_check = "order_invariance" in str(check)  # it permutes rows by NumPy's global generator
    state = np.random.get_state()
    check(estimator)
    if drawn_by_the_check:
        np.random.set_state(state)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_no_check_is_skipped_in_silence(estimator):
    assert estimator.__sklearn_tags__().input_tags.two_d_array
