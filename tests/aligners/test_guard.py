"""A step that would learn the mark of unlabelled rows as a class is refused, and no other."""

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.feature_selection import SelectFromModel, SelectKBest, VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from sktl.adaptation import DomainAdaptedClassifier
from sktl.aligners import CORALAligner, DomainStandardizer, LabelledOnly

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
TRUTH = (X[:, 0] > 0).astype(int)
Y = np.where(np.arange(60) < 30, TRUTH, -1)
X[30:] += 2
NO_LABELS = LogisticRegression().fit(X[:30], Y[:30])


def refused(*steps, y=Y, match="LabelledOnly"):
    with pytest.raises(ValueError, match=match):
        make_pipeline(*steps).fit(X, y)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(), RidgeClassifier(), CalibratedClassifierCV(LabelledOnly(LogisticRegression())),
        VotingClassifier([("a", LabelledOnly(LogisticRegression()))]),
        GridSearchCV(RidgeClassifier(), {"alpha": [1.0, 2.0]}),
        make_pipeline(StandardScaler(), RidgeClassifier()), LabelledOnly(RidgeClassifier(), unlabelled=None),
        LabelledOnly(RidgeClassifier(), unlabelled=0),
    ],
    ids=lambda model: type(model).__name__,
)  # fmt: skip
def test_a_classifier_that_would_learn_the_mark_is_refused(model):
    refused(CORALAligner(), model, match="LabelledOnly|Set the same unlabelled")


def test_wherever_the_aligner_stands():
    refused(
        StandardScaler(),
        DomainStandardizer(),
        CORALAligner(),
        RidgeClassifier(),
        match="'ridgeclassifier', RidgeClassifier, would learn -1",
    )
    refused(make_pipeline(CORALAligner()), RidgeClassifier())
    refused(make_union(CORALAligner(), StandardScaler()), RidgeClassifier())
    refused(SelectKBest(k=2), CORALAligner(), LabelledOnly(RidgeClassifier()), match="'selectkbest'")
    refused(CORALAligner(), SelectKBest(k=2), LabelledOnly(RidgeClassifier()), match="LabelledOnly\\(SelectKBest")
    with pytest.raises(ValueError, match="LabelledOnly"):
        cross_val_score(make_pipeline(CORALAligner(), RidgeClassifier()), X, Y, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="LabelledOnly"):
        GridSearchCV(make_pipeline(CORALAligner(), RidgeClassifier()), {"ridgeclassifier__alpha": [1.0]}, cv=2).fit(
            X, Y
        )


def test_whatever_the_mark(tmp_path):
    words = np.array(["no", "yes", "-1"])[Y]
    refused(CORALAligner(), RidgeClassifier(), y=words, match="'-1' as a class")
    refused(CORALAligner(), RidgeClassifier(), y=np.where(Y == -1, np.nan, Y))
    refused(CORALAligner(), RidgeClassifier(), y=np.where(Y == -1, None, Y))
    refused(
        CORALAligner(unlabelled=7),
        LabelledOnly(RidgeClassifier()),
        y=np.where(Y == -1, 7, Y),
        match="Set the same unlabelled",
    )
    with pytest.raises(ValueError, match="LabelledOnly"):
        make_pipeline(CORALAligner(), RidgeClassifier(), memory=str(tmp_path)).fit(X, Y)
    fitted = make_pipeline(CORALAligner(), LabelledOnly(RidgeClassifier()), memory=str(tmp_path)).fit(X, Y)
    assert fitted.classes_.tolist() == [0, 1]
    with pytest.raises(ValueError, match="would learn -1 as a class"):  # the aligner comes from the memory
        make_pipeline(CORALAligner(), RidgeClassifier(), memory=str(tmp_path)).fit(X, Y)
    union = make_union(CORALAligner(), StandardScaler())
    make_pipeline(union, LabelledOnly(RidgeClassifier()), memory=str(tmp_path)).fit(X, Y)
    with pytest.raises(ValueError, match="would learn -1 as a class"):
        make_pipeline(union, RidgeClassifier(), memory=str(tmp_path)).fit(X, Y)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_in_a_union_with_several_workers(backend):
    parts = ColumnTransformer([("first", CORALAligner(), [0, 1]), ("rest", StandardScaler(), [2])], n_jobs=2)
    with parallel_config(backend):
        for union in (make_union(CORALAligner(), StandardScaler(), n_jobs=2), parts):
            refused(union, RidgeClassifier(), match="'ridgeclassifier', RidgeClassifier, would learn -1")
            refused(StandardScaler(), make_pipeline(union), RidgeClassifier())
        if backend == "threading":
            fitted = make_pipeline(parts, LabelledOnly(RidgeClassifier())).fit(X, Y)
            assert fitted.classes_.tolist() == [0, 1]


@pytest.mark.parametrize(
    "model",
    [
        LabelledOnly(LogisticRegression()),
        GridSearchCV(LabelledOnly(RidgeClassifier()), {"estimator__alpha": [1.0]}, cv=2),
        LabelSpreading(), SelfTrainingClassifier(LogisticRegression()), FrozenEstimator(NO_LABELS),
        make_pipeline(StandardScaler(), LabelledOnly(SelectKBest(k=2)), LabelledOnly(RidgeClassifier())), "passthrough",
        make_pipeline(SelectFromModel(LabelledOnly(RidgeClassifier())), LabelledOnly(RidgeClassifier())),
        VarianceThreshold(),
        DomainAdaptedClassifier(max_epochs=1, steps_per_epoch=1, random_state=0), StandardScaler(),
    ],
    ids=lambda model: type(model).__name__,
)  # fmt: skip
def test_models_that_know_the_mark_pass(model):
    fitted = make_pipeline(CORALAligner(), model).fit(X, Y)
    assert -1 not in getattr(fitted, "classes_", [0, 1])


def test_regressors():
    values = np.where(np.arange(60) < 30, X[:, 0], np.nan)
    refused(CORALAligner(), Ridge(), y=values)
    make_pipeline(CORALAligner(), LabelledOnly(Ridge())).fit(X, values)
    refused(CORALAligner(), LabelledOnly(Ridge()), y=np.where(np.isnan(values), -1, values), match="with NaN")


class InUsersCode(LogisticRegression):
    """A classifier that aligns rows itself, and keeps the mark to itself."""

    def fit(self, X, y):
        marked = np.arange(len(y)) % 2 == 0
        return super().fit(CORALAligner().fit_transform(X, np.where(marked, -1, y)), y)


def test_rows_that_the_user_marks_inside_a_step_are_his_own_matter():
    pipeline = make_pipeline(StandardScaler(), InUsersCode()).fit(X, TRUTH)
    assert pipeline.classes_.tolist() == [0, 1]


def test_without_marks_or_pipelines_nothing_is_refused():
    domain = np.repeat(["old", "new"], 30)
    pipeline = make_pipeline(
        CORALAligner(unlabelled=None, target_domain="new"), FunctionTransformer(), RidgeClassifier()
    )
    aligned = pipeline.fit(X, np.where(TRUTH, 1, -1), coralaligner__sample_domain=domain)
    assert aligned.classes_.tolist() == [-1, 1]
    assert CORALAligner().fit_transform(X, Y).shape == X.shape
