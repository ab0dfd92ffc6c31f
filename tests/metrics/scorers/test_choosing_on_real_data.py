"""Loss and weight chosen without target labels, on real data: rows, pictures behind codes, and text."""

import json
import lzma

import numpy as np
import pytest
from scipy.stats import zscore
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sktl.adaptation import DomainAdaptedClassifier, stack_domains
from sktl.adaptation.losses import CORAL, DANN, MCC
from sktl.features import CNNCodesTransformer
from sktl.metrics import get_domain_scorer
from sktl.model_selection import StratifiedDomainKFold

pytestmark = pytest.mark.filterwarnings("ignore:Class .* has . rows:UserWarning")


@pytest.fixture(scope="module")
def surf(shared_data):
    """SURF rows of Office-Caltech, webcam to DSLR: X, y with -1, the target's truth."""
    held = np.load(shared_data / "office_caltech10" / "surf_l10.npz")
    webcam, dslr = (zscore(held[f"{d}_X"] / held[f"{d}_X"].sum(1, keepdims=True)) for d in ("webcam", "dslr"))
    X, y, _ = stack_domains(np.nan_to_num(webcam), held["webcam_y"].astype(int), np.nan_to_num(dslr))
    return X, y, held["dslr_y"].astype(int)


@pytest.fixture(scope="module")
def pictures(shared_data):
    """Photographs with labels and paintings without: paths, y with None, the paintings' truth."""
    rows = {}
    for domain in ("photo", "art_painting"):
        paths = [
            path
            for label in ("dog", "guitar", "house")
            for path in sorted((shared_data / "pacs" / domain / label).iterdir())[:12]
        ]
        rows[domain] = [str(path) for path in paths], np.array([path.parent.name for path in paths], dtype=object)
    X, y, _ = stack_domains(*rows["photo"], rows["art_painting"][0])
    return X, y, rows["art_painting"][1]


@pytest.fixture(scope="module")
def reviews(shared_data):
    """Reviews of books with labels and of kitchen ware without: texts, y with -1, the truth."""
    with lzma.open(shared_data / "amazon_reviews" / "reviews.jsonl.xz", "rt", encoding="utf8") as file:
        rows = [json.loads(line) for line in file]
    parts = {}
    for domain in ("books", "kitchen"):
        own = [row for row in rows if row["domain"] == domain]
        own = [row for label in (0, 1) for row in [r for r in own if r["label"] == label][:120]]
        parts[domain] = [row["title"] + " " + row["text"] for row in own], np.array([row["label"] for row in own])
    y = np.concatenate([parts["books"][1], np.full(240, -1)])
    return parts["books"][0] + parts["kitchen"][0], y, parts["kitchen"][1]


def searched(model, grid, X, y):
    """Return a search by the default scorer, fitted."""
    return GridSearchCV(model, grid, scoring=get_domain_scorer(), cv=StratifiedDomainKFold(3)).fit(X, y)


def test_loss_and_weight_on_rows(surf):
    X, y, truth = surf
    model = DomainAdaptedClassifier(max_epochs=5, random_state=0)
    search = searched(model, {"loss": ["dann", "mcc"], "loss__weight": [0.1, 1.0]}, X, y)
    means = search.cv_results_["mean_test_score"]
    assert np.isfinite(means).all()
    assert len(set(means)) == 4  # every weight of every loss is another model
    chosen = search.best_estimator_.loss
    assert isinstance(chosen, (DANN, MCC))
    assert chosen.weight == search.best_params_["loss__weight"]
    target = X[y == -1]
    accuracies = [
        clone(model).set_params(**params).fit(X, y).score(target, truth) for params in search.cv_results_["params"]
    ]
    assert search.score(X, y) == get_domain_scorer()(search.best_estimator_, X, y)
    assert (search.predict(target) == truth).mean() > max(accuracies) - 0.06
    assert min(accuracies) < max(accuracies)


def test_losses_that_are_objects(surf):
    X, y, _ = surf
    model = DomainAdaptedClassifier(max_epochs=2, random_state=0)
    grid = {"loss": [CORAL(), MCC()], "loss__weight": [0.5]}
    search = searched(model, grid, X, y)
    assert search.best_estimator_.loss.weight == 0.5
    assert [loss.weight for loss in grid["loss"]] == [100.0, 1.0]  # the user's own are left alone


def test_in_a_pipeline_behind_codes_of_pictures(pictures):
    X, y, truth = pictures
    model = make_pipeline(
        CNNCodesTransformer(image_size=64, engine="torch", cache="memory"),
        DomainAdaptedClassifier(max_epochs=15, random_state=0),
    )
    grid = {
        "domainadaptedclassifier__loss": ["coral", "mcc"],
        "domainadaptedclassifier__loss__weight": [0.1, 1.0],
    }
    search = searched(model, grid, X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    paintings = [path for path, label in zip(X, y) if label == "-1"]
    assert (search.predict(paintings) == truth).mean() > 0.6


def test_in_a_pipeline_behind_tfidf(reviews):
    X, y, truth = reviews
    model = make_pipeline(
        TfidfVectorizer(max_features=500, sublinear_tf=True), DomainAdaptedClassifier(max_epochs=5, random_state=0)
    )
    grid = {"domainadaptedclassifier__loss": ["dann"], "domainadaptedclassifier__loss__weight": [0.1, 1.0]}
    scoring = {name: get_domain_scorer(name) for name in ("domain_default", "importance_weighted")}
    folds = StratifiedDomainKFold(3)
    search = GridSearchCV(model, grid, scoring=scoring, refit="importance_weighted", cv=folds).fit(X, y)
    for name in scoring:
        assert np.isfinite(search.cv_results_[f"mean_test_{name}"]).all()
    assert (search.predict(X[240:]) == truth).mean() > 0.55


def test_a_plain_number_of_folds_serves_too(surf):
    X, y, _ = surf
    model = DomainAdaptedClassifier(max_epochs=2, random_state=0)
    search = GridSearchCV(model, {"loss": ["mcc"]}, scoring=get_domain_scorer(), cv=3).fit(X, y)
    assert np.isfinite(search.best_score_)
