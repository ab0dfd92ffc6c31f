"""A forked child waits for nothing that only threads of its parent could give."""

import copy
import os
import pickle
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from sktl._forking import ForkSafeLock
from sktl.backbones import _engines, load_backbone
from sktl.exceptions import EngineWarning
from sktl.features import CNNCodesTransformer
from tests.children import ENDED, outcome_in_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
PICTURES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)


def network(seed=0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
        )


def holds_in_child(check) -> bool:
    """Return whether `check` returns True in a forked child, within a time limit."""
    return outcome_in_child(check) == ENDED


@pytest.fixture
def held():
    """Hold a lock in another thread."""
    done, threads = threading.Event(), []

    def hold(lock):
        taken = threading.Event()

        def run():
            with lock:
                taken.set()
                done.wait(30)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        assert taken.wait(10)

    yield hold
    done.set()
    for thread in threads:
        thread.join()


@pytest.fixture(params=[1, 2])
def n_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_codes_are_computed_in_a_child_as_in_its_parent(n_threads, monkeypatch):
    monkeypatch.setattr(_engines, "_built", type(_engines._built)())
    transformer = CNNCodesTransformer(network(), engine="torch").fit(PICTURES)
    expected = transformer.transform(PICTURES)
    assert [key[0] for key in _engines.built_engines()] == ["torch"]
    assert holds_in_child(lambda: np.allclose(transformer.transform(PICTURES), expected, atol=1e-5))
    np.testing.assert_array_equal(transformer.transform(PICTURES), expected)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("seed", [0, 1])  # the network of the parent's engine, another one
@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_a_child_of_a_process_that_has_run_openvino_computes_by_torch(engine, seed, n_threads, monkeypatch):
    pytest.importorskip("openvino", reason="the engine is an optional package, openvino")
    monkeypatch.setattr(_engines, "_built", type(_engines._built)())
    before = CNNCodesTransformer(network(), engine="openvino").fit(PICTURES)
    codes = before.transform(PICTURES)
    transformer = CNNCodesTransformer(network(seed), engine=engine).fit(PICTURES)
    expected = CNNCodesTransformer(network(seed), engine="torch").fit_transform(PICTURES)

    def check() -> bool:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = transformer.transform(PICTURES)
        told = [str(w.message) for w in caught if issubclass(w.category, EngineWarning)]
        told_of_forks = len(told) == 1 and "does not outlive a fork" in told[0]
        engines = {key[0] for key in _engines.built_engines()}
        return np.allclose(found, expected, atol=1e-5) and engines == {"torch"} and told_of_forks == (engine != "auto")

    assert holds_in_child(check)
    np.testing.assert_array_equal(before.transform(PICTURES), codes)
    assert "openvino" in {key[0] for key in _engines.built_engines()}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_does_not_wait_for_locks_that_threads_of_its_parent_hold(held):
    transformer = CNNCodesTransformer(network(), engine="torch").fit(PICTURES)
    expected = transformer.transform(PICTURES)
    backbone = load_backbone(network())
    held(backbone.lock)
    held(_engines._lock)
    copies = backbone._prepared.values()  # one an engine
    hooks = [each.register_forward_pre_hook(lambda *_: 1 / 0) for each in copies]  # as a pass under way has them
    assert holds_in_child(lambda: np.allclose(transformer.transform(PICTURES), expected, atol=1e-5))
    for hook in hooks:
        hook.remove()
    assert not backbone.lock.acquire(blocking=False)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_thread_that_forks_keeps_its_locks_in_the_child(held):
    own, others, free = ForkSafeLock(), ForkSafeLock(), ForkSafeLock()
    held(others)

    def check() -> bool:
        own.release()  # an error, were it not held
        flags = [own.was_abandoned, others.was_abandoned, free.was_abandoned]
        return flags == [False, True, False] and others.acquire(blocking=False) and free.acquire(blocking=False)

    with own:
        assert holds_in_child(check)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda lock: pickle.loads(pickle.dumps(lock))])
def test_copies_are_fresh_locks(duplicate, held):
    lock = ForkSafeLock()
    held(lock)
    assert duplicate(lock).acquire(blocking=False)
    assert not lock.acquire(blocking=False)
