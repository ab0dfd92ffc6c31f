"""`partial_fit` learns the same whether or not the model went through a pickle in between."""

import copy
import io
import itertools
import pickle
import re

import joblib
import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from sktl.finetuning import FineTunedClassifier, FineTunedRegressor


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def learned(model, chunks, passing, **first):
    for i, chunk in enumerate(chunks):
        model = passing(model.partial_fit(*chunk, **({} if i else first)))
    return model


def chunks_of(X, y, *sizes):
    ends = np.cumsum((0, *sizes))
    return [(X[a:b], y[a:b]) for a, b in itertools.pairwise(ends)]


@pytest.mark.parametrize("passing", [through_pickle, copy.deepcopy, copy.copy, through_joblib])
def test_as_in_scikit_learn(passing):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), np.arange(60) % 3
    for make in (MLPClassifier, FineTunedClassifier, FineTunedRegressor):
        chunks = chunks_of(X, y, 20, 20, 5, 15)
        first = {} if make is FineTunedRegressor else {"classes": [0, 1, 2]}
        straight, passed = (learned(make(random_state=0), chunks, how, **first) for how in (lambda m: m, passing))
        assert np.array_equal(straight.predict(X), passed.predict(X)), make
        if hasattr(straight, "predict_proba"):
            assert np.array_equal(straight.predict_proba(X), passed.predict_proba(X)), make


OPTIONS = [
    {"strategy": "full", "optimizer": "sgd"},
    {"strategy": "full", "l2_sp": 0.5, "ema": 0.9},
    {"strategy": "lp-ft", "adapter": "lora"},
    {"strategy": "last", "freeze_until": "0.0", "mixup": 0.3},
    {"strategy": "head"},
    {"strategy": "scratch", "random_state": np.random.RandomState(0)},
]


@pytest.mark.parametrize("params", OPTIONS, ids=lambda given: re.sub(" at 0x[0-9A-F]+", "", str(given)))
def test_every_state_is_carried(params, small_network, striped):
    # 32 rows leave batch norm free, 3 would hold it: what the first call decided stays. Dropout draws in between.
    X, y = striped
    chunks = chunks_of(X, y, 32, 3, 5)
    options = {"image_size": 32, "batch_size": 16, "random_state": 0, "freeze_bn": False, "augment": "flip", **params}
    results = [
        learned(FineTunedClassifier(small_network, **copy.deepcopy(options)), chunks, how).predict_proba(X)
        for how in (lambda model: model, through_pickle, lambda model: through_pickle(through_pickle(model)))
    ]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_batch_norm_stays_as_the_first_call_decided(small_network, striped):
    X, names = striped
    options = {"image_size": 32, "strategy": "full", "max_steps": 400, "max_epochs": 400, "batch_size": 16}
    chunks = chunks_of(X, (names == "lying").astype(float), 32, 4, 4)
    results = [
        learned(FineTunedRegressor(small_network, random_state=0, **options), chunks, how).predict(X)
        for how in (lambda model: model, through_pickle)
    ]
    assert np.array_equal(*results)


def test_a_copy_learns_on_its_own():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)), np.arange(40) % 2
    model = FineTunedClassifier(random_state=0).partial_fit(X, y)
    before = model.predict_proba(X)
    copy.deepcopy(model).partial_fit(X, 1 - y)
    assert np.array_equal(model.predict_proba(X), before)


def test_balanced_weights_need_all_rows():
    with pytest.raises(ValueError, match="needs all rows at once"):
        FineTunedClassifier(class_weight="balanced").partial_fit(np.eye(4), [0, 1, 0, 1])
    FineTunedClassifier(class_weight={0: 1, 1: 3}).partial_fit(np.eye(4), [0, 1, 0, 1])


def test_weights_are_set_against_all_that_was_seen():
    # A chunk of one row has a weight too, and the scale of all weights means nothing.
    X, y = np.array([[0.0], [1.0]]), [0, 1]
    options = {"strategy": "full", "optimizer": "sgd", "learning_rate": 0.1, "random_state": 0, "weight_decay": 0}

    def after(heavy, scale=1.0):
        model = FineTunedClassifier(**options).partial_fit(X, y, sample_weight=[scale, scale])
        return model.partial_fit(X[:1], y[:1], sample_weight=[heavy * scale]).predict_proba(X)[0, 0]

    plain = FineTunedClassifier(**options).partial_fit(X, y).partial_fit(X[:1], y[:1]).predict_proba(X)[0, 0]
    assert after(1.0) == plain
    assert after(20.0) > plain + 0.01
    assert after(20.0, scale=10.0) == pytest.approx(after(20.0), rel=1e-6)
