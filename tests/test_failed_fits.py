"""A fit that raises leaves the estimator as it was: not fitted, or fitted on what it knew."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

import sktl
from sktl.features import LogisticRegressionLOO
from sktl.reweighting import ReweightedClassifier
from tests.cases import CASES, LABELS, MARKED, ROWS, Case, outputs

OWN = [
    *(case for case in CASES if not case.name.startswith("TextCodesTransformer-")),
    Case("LogisticRegressionLOO", LogisticRegressionLOO, ROWS, LABELS),
    Case("AutoTransferClassifier", lambda: sktl.AutoTransferClassifier("codes", n_candidates=2, random_state=0), ROWS,
         LABELS),
    Case("TransferAdvisor", sktl.TransferAdvisor, ROWS, LABELS),
]  # fmt: skip
IGNORING_LABELS = (sktl.CNNCodesTransformer, sktl.TextCodesTransformer)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", OWN, ids=lambda case: case.name)
def test_a_fit_that_raises_changes_nothing(case):
    model = case.make()
    assert not isinstance(model, Pipeline)
    if isinstance(model, IGNORING_LABELS):
        wrong = (case.X[:0], None)
    else:
        wrong = (case.X[:, :3], case.y[:-7])  # other columns, or pictures of another size
    as_made = dict(vars(model))
    with pytest.raises(ValueError, match=r"\w"):
        model.fit(*wrong)
    assert vars(model) == as_made
    if not isinstance(model, IGNORING_LABELS):
        with pytest.raises(NotFittedError):
            check_is_fitted(model)
    model.fit(case.X, case.y)
    known = dict(vars(model))
    with pytest.raises(ValueError, match=r"\w"):
        model.fit(*wrong)
    assert vars(model).keys() == known.keys()
    assert all(vars(model)[name] is value for name, value in known.items())
    outputs(model, case.X, case.y)  # it goes on with the columns that it knew


def test_an_interrupted_fit_changes_nothing():
    class Interrupting(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            raise KeyboardInterrupt

    model = ReweightedClassifier(Interrupting())
    with pytest.raises(KeyboardInterrupt):
        model.fit(ROWS, np.asarray(MARKED))
    with pytest.raises(NotFittedError):
        model.predict(ROWS)


def test_the_columns_of_a_failed_part_are_forgotten():
    model = sktl.ProtoNetClassifier()
    for failed in (ROWS[:, :3], ROWS[:0]):
        with pytest.raises(ValueError, match=r"\w"):
            model.partial_fit(failed, LABELS[:-7])
        assert not hasattr(model, "n_features_in_")
    model.partial_fit(ROWS, LABELS)
    with pytest.raises(ValueError, match="3 features"):
        model.partial_fit(ROWS[:, :3], LABELS)
    assert model.n_features_in_ == 5
    model.predict(ROWS)
