"""Fits and predictions in several threads give what one thread gives, and leave torch's global generator alone."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

import sktl
from sktl._draws import OwnDraws
from tests.cases import CASES, LABELS, MARKED, ROWS, SHORT, STEPS, outputs

N_THREADS = 4
pytestmark = pytest.mark.filterwarnings("ignore:No row is unlabelled:UserWarning")


@pytest.mark.filterwarnings("ignore:A support set of:UserWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_threads_fit_and_predict_the_same(case):
    fitted = case.make().fit(case.X, case.y)
    expected = outputs(fitted, case.X, case.y)
    together = threading.Barrier(N_THREADS)

    def found(_):
        together.wait(30)
        of_shared = outputs(fitted, case.X, case.y)
        return of_shared, outputs(case.make().fit(case.X, case.y), case.X, case.y)

    before = torch.get_rng_state()
    with ThreadPoolExecutor(N_THREADS) as pool:
        for of_shared, of_own in pool.map(found, range(N_THREADS)):
            for values in (of_shared, of_own):
                for value, wanted in zip(values, expected, strict=True):
                    np.testing.assert_array_equal(value, wanted)
    assert torch.equal(before, torch.get_rng_state())


def with_dropout():
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.5))


GRIDS = [
    (sktl.FineTunedClassifier(**STEPS), {"learning_rate": [1e-3, 1e-2], "mixup": [0.0, 0.4]}, LABELS),
    (sktl.DomainAdaptedClassifier(with_dropout, **SHORT), {"loss": ["cdan", "mcd"], "weight_decay": [0, 0.1]}, MARKED),
    (sktl.ProtoNetClassifier(), {"distance": ["sqeuclidean", "cosine"], "normalize": [None, "l2"]}, LABELS),
]


@pytest.mark.parametrize(("estimator", "grid", "y"), GRIDS, ids=lambda value: type(value).__name__)
def test_a_grid_search_in_threads_finds_the_same(estimator, grid, y):
    def scores(n_jobs):
        search = GridSearchCV(clone(estimator), grid, cv=2, n_jobs=n_jobs)
        with joblib.parallel_backend("threading"):
            search.fit(ROWS, y)
        splits = [search.cv_results_[f"split{i}_test_score"] for i in range(2)]
        return np.concatenate([*splits, search.predict_proba(ROWS).ravel()])

    before = torch.get_rng_state()
    np.testing.assert_array_equal(scores(2), scores(1))
    assert torch.equal(before, torch.get_rng_state())


class Waits(Callback):
    """Fits in another thread, or in its own, and waits for that."""

    def __init__(self, fit, in_thread):
        self.fit = fit
        self.in_thread = in_thread
        self.found = []

    def on_epoch_end(self, net, **kwargs):
        work = lambda: self.found.append(self.fit())  # noqa: E731
        if not self.in_thread:
            work()
            return
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive(), "the two wait for each other"


@pytest.mark.parametrize("in_thread", [True, False])
def test_a_callback_may_wait_for_another_fit(in_thread):
    def fit(*callbacks):
        model = sktl.DomainAdaptedClassifier(with_dropout, max_epochs=2, random_state=0, callbacks=list(callbacks))
        return model.fit(ROWS, MARKED).predict_proba(ROWS)

    expected, before = fit(), torch.get_rng_state()
    waits = Waits(fit, in_thread)
    np.testing.assert_array_equal(fit(waits), expected)
    assert len(waits.found) == 2
    for found in waits.found:
        np.testing.assert_array_equal(found, expected)
    assert torch.equal(before, torch.get_rng_state())


class Draws(Callback):
    def __init__(self):
        self.numbers = []

    def on_epoch_begin(self, net, **kwargs):
        self.numbers += torch.rand(3).tolist()


def test_a_callback_draws_the_same_beside_other_fits():
    def numbers(_=0):
        draws = Draws()
        sktl.DomainAdaptedClassifier(with_dropout, max_epochs=3, random_state=0, callbacks=[draws]).fit(ROWS, MARKED)
        return draws.numbers

    expected, before = numbers(), torch.get_rng_state()
    assert len(set(expected)) == 9
    with ThreadPoolExecutor(N_THREADS) as pool:
        assert list(pool.map(numbers, range(N_THREADS))) == [expected] * N_THREADS
    assert torch.equal(before, torch.get_rng_state())


def test_a_copy_made_by_a_callback_is_whole():
    class Copies(Callback):
        def on_epoch_end(self, net, **kwargs):
            self.copy = copy.deepcopy(net.module_), pickle.loads(pickle.dumps(net._borrowed))

    copies = Copies()
    sktl.FineTunedClassifier(callbacks=[copies], **STEPS).fit(ROWS, LABELS)
    assert copies.copy[1] is None


def drawn():
    ones = torch.ones(30)
    return [
        *nn.Linear(3, 4).parameters(), *nn.LSTM(3, 4).parameters(), torch.rand(3), torch.randn(2, 2), torch.randperm(7),
        torch.randint(5, (4,)), torch.randint(2, 9, (4,)), torch.randn_like(ones), torch.bernoulli(ones / 2),
        nn.Dropout()(ones), nn.Dropout2d()(torch.ones(2, 8, 2, 2)), nn.RReLU()(-ones), torch.multinomial(ones, 3),
        nn.init.trunc_normal_(torch.empty(5)), nn.init.orthogonal_(torch.empty(3, 3)), torch.normal(0.0, 1.0, (3,)),
        torch.distributions.Dirichlet(torch.ones(3)).sample(), nn.functional.gumbel_softmax(ones),
    ]  # fmt: skip


def test_own_draws_are_those_of_the_seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = drawn()
    before = torch.get_rng_state()
    with OwnDraws(5):
        found = drawn()
    assert torch.equal(before, torch.get_rng_state())
    for value, wanted in zip(found, expected, strict=True):
        assert torch.equal(value, wanted)
