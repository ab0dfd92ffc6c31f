"""Classifiers around another estimator say so where it predicts values."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sktl.adaptation import GradualAdaptedClassifier, RollingAdaptedClassifier
from sktl.reweighting import ReweightedClassifier, TrAdaBoostClassifier
from sktl.safety import SafelyAdaptedClassifier

X = np.random.default_rng(0).normal(size=(60, 3))
Y = np.where(np.arange(60) < 40, X[:, 0] > 0, -1)


@pytest.mark.parametrize(
    "kind",
    [GradualAdaptedClassifier, RollingAdaptedClassifier, ReweightedClassifier, SafelyAdaptedClassifier,
     TrAdaBoostClassifier],
)  # fmt: skip
def test_it_is_said(kind):
    with pytest.raises(TypeError, match="Ridge is a regressor. Pass a classifier".replace(".", r"\.")):
        kind(Ridge()).fit(X, Y, sample_domain=np.repeat([0, 1, 2], 20))
