"""ProtoNetClassifier(transductive=...): labels, growing support sets, purity, misuse."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, cross_val_score

from sktl.fewshot import ProtoNetClassifier
from sktl.fewshot.transductive import BDCSPN, PTMAP, TIM, TRANSDUCTIVE, get_transductive
from sktl.model_selection import EpisodeSplit

NAMES = list(TRANSDUCTIVE)


@pytest.fixture
def task(make_clouds):
    support, y, query, truth = (part[0] for part in make_clouds(1, shots=(1, 2, 4, 3), width=6, apart=1.3))
    return support, np.array(list("dbca"))[y], query, np.array(list("dbca"))[truth]


@pytest.mark.parametrize("normalize", [None, "center-l2"])
@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_method_on_the_codes(name, normalize, task):
    X, y, query, truth = task
    model = ProtoNetClassifier(transductive=name, normalize=normalize).fit(X, y)
    codes = [part if normalize is None else part - X.sum(0) / (len(X) + 4) for part in (X, query)]
    labels = np.searchsorted(list("abcd"), y)
    expected = TRANSDUCTIVE[name]()(*map(torch.from_numpy, (codes[0], labels, codes[1])), n_way=4)
    np.testing.assert_allclose(model.decision_function(query), expected, atol=1e-9)
    np.testing.assert_allclose(model.predict_proba(query), expected.exp(), atol=1e-9)
    np.testing.assert_array_equal(model.predict(query), np.array(list("abcd"))[expected.argmax(1)])
    assert model.score(query, truth) > 0.7


@pytest.mark.parametrize("name", NAMES)
def test_partial_fit_is_fit_on_all_of_it(name, task):
    X, y, query, _ = task
    whole = ProtoNetClassifier(transductive=name).fit(X, y)
    parts = ProtoNetClassifier(transductive=name)
    for part in np.array_split(np.argsort(y)[::-1], 5):
        parts.partial_fit(X[part], y[part])
    np.testing.assert_allclose(parts.predict_proba(query), whole.predict_proba(query), atol=1e-8)
    before = parts.predict_proba(query)
    with pytest.raises(TypeError, match="labels of another type"):
        parts.partial_fit(X[:1], [1])
    np.testing.assert_array_equal(parts.predict_proba(query), before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("labels", [[3, 7], ["yes", "no"], [True, False], [-1, 10**12]])
def test_labels_of_any_type_and_one_query(name, labels):
    X = np.array([[1.0, 0.1], [0.9, 0.0], [0.1, 1.0], [0.0, 0.8]])
    model = ProtoNetClassifier(transductive=name).fit(X, np.array(labels).repeat(2))
    assert model.predict([[1.0, 0.2], [0.2, 1.0], [0.9, 0.3], [0.1, 0.9]]).tolist() == [*labels, *labels]
    for row, label in (([1.0, 0.2], labels[0]), ([0.2, 1.0], labels[1])):
        assert model.predict([row]).tolist() == [label]
        probabilities = model.predict_proba([row])
        assert probabilities.max() > 0.5
        np.testing.assert_allclose(probabilities.sum(1), 1)
    assert model.decision_function([[1.0, 0.2]]).shape == (1,)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_pure_and_survive_pickling(name, task):
    X, y, query, _ = task
    model = ProtoNetClassifier(transductive=name).fit(X, y)
    expected = model.predict_proba(query)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(model.predict_proba, [query] * 8):
            np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(query), expected)
    np.testing.assert_array_equal(clone(model).fit(X, y).predict_proba(query), expected)


def test_company_matters(task):
    X, y, query, _ = task
    model = ProtoNetClassifier(transductive="pt_map").fit(X, y)
    assert np.abs(model.predict_proba(query)[:20] - model.predict_proba(query[:20])).max() > 0.01


def test_grids_reach_into_the_method_and_encoders_go_with_it(make_clouds):
    X, y = (part[0] for part in make_clouds(1, n_query=(20,) * 4, width=12, apart=0.4)[2:])
    model = ProtoNetClassifier(PCA(5), transductive=PTMAP())
    cv = EpisodeSplit(n_way=4, n_shot=2, n_query=8, n_episodes=6)
    search = GridSearchCV(model, {"transductive__balance": [0.0, 1.0]}, cv=cv, n_jobs=2).fit(X, y)
    assert len(set(search.cv_results_["mean_test_score"])) == 2
    assert cross_val_score(model, X, y, cv=cv).mean() > 0.6


def test_misuse_is_told(task):
    X, y, query, _ = task
    for wrong in (True, "timm", TIM):
        with pytest.raises(ValueError, match=r"transductive.* must be"):
            ProtoNetClassifier(transductive=wrong).fit(X, y)
    for options in ({"scale": 2.0}, {"distance": "cosine"}):
        with pytest.raises(ValueError, match="distance and scale go with transductive=False: TIM has its own"):
            ProtoNetClassifier(transductive="tim", **options).fit(X, y)
    with pytest.raises(ValueError, match="'balance' parameter of PTMAP"):
        ProtoNetClassifier(transductive=PTMAP(balance=2.0)).fit(X, y)
    with pytest.raises(ValueError, match="at least 2 classes in the support set"):
        ProtoNetClassifier(transductive="tim").fit(X, ["a"] * len(X))
    plain = ProtoNetClassifier().fit(X, y)
    expected = plain.predict(query)
    plain.set_params(transductive="tim")
    for late in (lambda: plain.predict(query), lambda: plain.partial_fit(X, y)):
        with pytest.raises(ValueError, match="transductive was set after fit, which kept no support set"):
            late()
    np.testing.assert_array_equal(plain.set_params(transductive=False).predict(query), expected)
    model = ProtoNetClassifier(transductive="tim").fit(X, y)
    with pytest.raises(ValueError, match="X has 2 features"):
        model.predict(query[:, :2])


def test_methods_by_name():
    assert isinstance(get_transductive("bd_cspn"), BDCSPN)
    method = TIM("gd")
    assert get_transductive(method) is method
    with pytest.raises(ValueError, match=r"one of 'bd_cspn'.*Did you mean 'pt_map'"):
        get_transductive("ptmap")
    with pytest.raises(TypeError, match=r"the class TIM; pass an object of it, TIM\(\)"):
        get_transductive(TIM)
    with pytest.raises(TypeError, match="must be False, one of 'bd_cspn'"):
        get_transductive(3)
