"""Accuracy of adapted classifiers where some rows have no label."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score

from sktl.adaptation import (
    DomainAdaptedClassifier,
    GradualAdaptedClassifier,
    SourceFreeAdaptedClassifier,
    TestTimeAdaptedClassifier,
)
from sktl.metrics import LabelledScorer

N = 80
X = np.random.default_rng(0).normal(size=(N, 3))
TRUTH = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]
Y = np.where(np.arange(N) < N // 2, TRUTH, "-1")
SOURCE = DomainAdaptedClassifier(loss=None, max_epochs=8, random_state=0)
MODELS = [
    DomainAdaptedClassifier(max_epochs=8, random_state=0),
    SourceFreeAdaptedClassifier(SOURCE, max_epochs=1, random_state=0),
    TestTimeAdaptedClassifier(SOURCE, random_state=0),
    TestTimeAdaptedClassifier(SOURCE, online=True, batch_size=20, random_state=0),
    GradualAdaptedClassifier(SOURCE, random_state=0),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_marked_rows_are_no_errors_and_one_warning_names_the_remedy(model):
    model.fit(X, Y)
    known = Y != "-1"
    if getattr(model, "online", False):
        model.reset()
    predicted = model.predict(X)
    if getattr(model, "online", False):  # the same stream again
        model.reset()
    with pytest.warns(UserWarning, match=r"get_domain_scorer\(\) with cv=.*StratifiedDomainKFold\(\)"):
        score = model.score(X, Y)
    assert score == accuracy_score(Y[known], predicted[known])
    assert score > 0.8
    if getattr(model, "online", False):
        return
    assert score == LabelledScorer()(model, X, Y)
    missing = np.where(known, Y, None)
    weight = np.arange(1.0, N + 1)
    with pytest.warns(UserWarning, match="leaves out rows"):
        weighted = model.score(X, missing, sample_weight=weight)
    assert weighted == accuracy_score(Y[known], predicted[known], sample_weight=weight[known])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.score(X, TRUTH) == accuracy_score(TRUTH, predicted)
    with pytest.raises(ValueError, match="all 40 rows are -1 or missing"):
        model.score(X[~known], Y[~known])
    with pytest.raises(ValueError, match="one entry a row: expected 80, got 79"):
        model.score(X, TRUTH[1:])


def test_cross_validation_gives_the_labelled_rows_accuracy_and_says_so_once_a_call():
    model = MODELS[0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        scores = cross_val_score(model, X, Y, cv=3)
        search = GridSearchCV(model, {"loss": ["coral", "mcc"]}, cv=3).fit(X, Y)
    assert scores.min() > 0.7  # about half of it, were marked rows errors
    assert search.best_score_ > 0.7
    said = [one for one in caught if "leaves out rows" in str(one.message)]
    assert len(said) == len({one.lineno for one in said}) == 2  # a line of this file, nine folds
    assert {one.filename for one in said} == {__file__}
