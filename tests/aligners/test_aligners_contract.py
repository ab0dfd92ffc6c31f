"""scikit-learn's own checks over every aligner."""

import inspect

import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktl import aligners

ESTIMATORS = [
    aligners.CORALAligner(),
    aligners.DomainStandardizer(),
    aligners.GeodesicFlowKernel(),
    aligners.JointDistributionAligner(),
    aligners.MarginalizedDenoiser(),
    aligners.OptimalTransportAligner(),  # one domain alone: POT is not needed
    aligners.StructuralCorrespondence(),
    aligners.SubspaceAligner(),
    aligners.TransferComponentAnalysis(),
    aligners.TransferKernelLearning(),
    aligners.LabelledOnly(LogisticRegression()),
    aligners.LabelledOnly(LogisticRegression(), unlabelled=None),
    aligners.LabelledOnly(Ridge()),
]

MARK = "the check takes -1 for a class; here it marks an unlabelled row (with unlabelled=None it passes)"


def expected_failures(estimator):
    """Return the checks that cannot hold by a method's nature, with the reason."""
    if isinstance(estimator, aligners.LabelledOnly) and estimator.unlabelled is not None:
        return {"check_classifiers_classes": MARK} if is_classifier(estimator) else {}
    return {}


@pytest.mark.filterwarnings("ignore:No row is unlabelled:UserWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_scikit_learn_checks(estimator, check):
    state = np.random.get_state()
    check(estimator)
    if "order_invariance" in str(check):  # it permutes rows by NumPy's global generator
        np.random.set_state(state)


def test_every_aligner_is_checked():
    public = {name for name in aligners.__all__ if not inspect.isabstract(getattr(aligners, name))}
    assert {type(estimator).__name__ for estimator in ESTIMATORS} == public
