"""What is told apart, and what is found again: networks that look alike, in memory, on disk, after changes."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import network_pairs
import numpy as np
import pytest
import timm
import torch
import torchvision
from network_pairs import PAIRS, Called, Hidden, Network, same
from torch import nn

from sktl._identity import identify
from sktl.adaptation import DomainAdaptedClassifier
from sktl.backbones import load_backbone
from sktl.features import CNNCodesTransformer
from sktl.fewshot import ProtoNetClassifier
from sktl.finetuning import FineTunedClassifier

X = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
Y = np.array(["a", "b"] * 3)
HERE = Path(__file__).resolve().parent


def in_new_process(code, *args):
    """Return what a new process prints that reads its code from standard input."""
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-", *args], input=code, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def by_hand(network):
    """Return the last layer's outputs, without the library's preprocessing."""
    with torch.no_grad():
        return network.eval()(torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16))


def transformer(network, cache=None):
    return CNNCodesTransformer(network, layers="head", image_size=16, engine="torch", device="cpu", cache=cache)


@pytest.mark.parametrize("what", PAIRS)
@pytest.mark.filterwarnings("ignore::sktl.exceptions.CacheWarning")
def test_networks_that_differ_in_one_hidden_thing_share_nothing(what, tmp_path):
    one, two = PAIRS[what](tmp_path)
    assert not torch.allclose(by_hand(one), by_hand(two))  # the pair is no idle one
    assert load_backbone(one).fingerprint != load_backbone(two).fingerprint
    assert (identify(one).digest == identify(two).digest) is (what == "name read by name")
    for cache in (None, tmp_path / "codes"):
        first, second = (transformer(network, cache).fit_transform(X) for network in (one, two))
        assert not np.allclose(first, second)
        assert np.array_equal(transformer(one, cache).fit_transform(X), first)


def scaled_by(where):
    """Return a network that multiplies by a number of its code's, and what sets that: each call makes both anew."""
    held = {"factor": 1.0}

    class Scaled(nn.Module):
        factor = 1.0
        table = {"factor": 1.0}  # noqa: RUF012

        @property
        def seen(self):
            return held["factor"]

        def forward(self, x, default=[1.0]):  # noqa: B006
            found = {
                "property over a closure": self.seen,
                "attribute of the class": self.factor,
                "dict of the class": self.table["factor"],
                "list as a default": default[0],
                "attribute of a method": Scaled.forward.factor,
                "function kept": self.kept(),
            }
            return self.head(x.mean((2, 3)) * found[where])

    Scaled.forward.factor = 1.0
    network = Scaled()
    network.head, network.kept = nn.Linear(3, 2), lambda: held["factor"]
    nn.init.ones_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    setters = {
        "property over a closure": lambda value: held.update(factor=value),
        "attribute of the class": lambda value: setattr(Scaled, "factor", value),
        "dict of the class": lambda value: Scaled.table.update(factor=value),
        "list as a default": lambda value: Scaled.forward.__defaults__[0].__setitem__(0, value),
        "attribute of a method": lambda value: setattr(Scaled.forward, "factor", value),
        "function kept": lambda value: held.update(factor=value),
    }
    return network.eval(), setters[where]


@pytest.mark.filterwarnings("ignore::sktl.exceptions.CacheWarning")
@pytest.mark.parametrize("cache", [None, "memory"])
@pytest.mark.parametrize(
    "where",
    ["property over a closure", "attribute of the class", "dict of the class", "list as a default",
     "attribute of a method", "function kept"],
)  # fmt: skip
def test_code_that_changes_after_a_fit_does_not_speak_for_its_like(where, cache):
    with torch.random.fork_rng(devices=[]):
        first, set_factor = scaled_by(where)
        fitted = transformer(first, cache).fit(X)  # it keeps the network
        as_it_was = fitted.transform(X)
        set_factor(2.0)
        changed = transformer(first, cache).fit_transform(X)
        second, _ = scaled_by(where)  # as the first one was
        codes = transformer(second, cache).fit_transform(X)
    np.testing.assert_allclose(changed, 2 * as_it_was, rtol=1e-6)
    np.testing.assert_allclose(codes, as_it_was, rtol=1e-6)
    set_factor(1.0)
    np.testing.assert_allclose(fitted.transform(X), as_it_was, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::sktl.exceptions.CacheWarning")
@pytest.mark.parametrize("what", ["closure", "module in a list", "forward hook", "helper function"])
def test_classifiers_that_share_a_store_answer_as_those_that_do_not(what, tmp_path):
    networks = PAIRS[what](tmp_path)

    def answers(network, cache):
        tuned = FineTunedClassifier(network, strategy="head", image_size=16, random_state=0, cache=cache, layer="body")
        adapted = DomainAdaptedClassifier(network, loss="coral", max_epochs=1, image_size=16, random_state=0)
        prototypes = ProtoNetClassifier(network, image_size=16, cache=cache)
        labels = np.where(np.arange(6) < 4, Y, "-1")
        return [
            tuned.fit(X, Y).decision_function(X), prototypes.fit(X, Y).decision_function(X),
            adapted.fit(X, labels, sample_domain=np.arange(6) // 4).predict_proba(X),
        ]  # fmt: skip

    shared = [answers(network, tmp_path / "shared") for network in networks]
    for i, network in enumerate(networks):
        for found, alone in zip(shared[i], answers(network, tmp_path / f"alone {i}")):
            assert np.array_equal(found, alone)
    assert not np.array_equal(shared[0][1], shared[1][1])


def test_hooks_of_all_modules_are_told_apart():
    network = Network()
    plain = transformer(network).fit_transform(X)
    named = load_backbone("squeezenet1_1", None).fingerprint
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, inputs, output: output * 2 if isinstance(module, nn.Linear) else None
    )
    try:
        assert np.allclose(transformer(network).fit_transform(X), 2 * plain, atol=1e-6)
        assert load_backbone("squeezenet1_1", None).fingerprint != named
    finally:
        handle.remove()
    assert np.array_equal(transformer(network).fit_transform(X), plain)
    assert load_backbone("squeezenet1_1", None).fingerprint == named


def test_a_method_put_into_a_known_class_is_seen(monkeypatch):
    network = Network()
    before = load_backbone(network).fingerprint
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: torch.sigmoid(x))
    assert load_backbone(network).fingerprint != before


def known_networks():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {
            "torchvision": torchvision.models.squeezenet1_1(), "timm": timm.create_model("test_vit"),
            "timm convolutions": timm.create_model("test_efficientnet"),
            "own": load_backbone("squeezenet1_1", None).fresh_module(),
        }  # fmt: skip


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")
class TestWhatCannotBeMadeOut:
    """Scripted modules stand for all that a walk cannot follow."""

    def test_the_object_is_the_key(self):
        one, two = Called([torch.jit.script(nn.ReLU())]), Called([torch.jit.script(nn.ReLU())])
        first, second = load_backbone(one), load_backbone(two)
        assert first.fingerprint != second.fingerprint
        assert load_backbone(one) is first
        assert not first.is_stable
        assert "RecursiveScriptModule" in str(first.identity.unknown)

    def test_keys_do_not_come_back_with_an_address(self):
        found = set()
        for _ in range(20):
            network = Called(None)
            network.function = [torch.jit.script(nn.Identity())]
            found.add(load_backbone(network).fingerprint)
            del network
        assert len(found) == 20

    @pytest.mark.parametrize("given", ["module", "callable", "random values"])
    def test_estimators_live(self, given, tmp_path):
        scripted = Called([torch.jit.script(nn.ReLU())])
        backbone = (lambda: Called([torch.jit.script(nn.ReLU())])) if given == "callable" else scripted
        weights = None if given == "random values" else "default"
        codes = CNNCodesTransformer(backbone, weights=weights, layers="head", image_size=16, engine="torch").fit(X)
        assert np.array_equal(codes.transform(X), codes.transform(X))
        model = FineTunedClassifier(backbone, weights=weights, strategy="head", image_size=16, random_state=0).fit(X, Y)
        expected = model.predict_proba(X)
        assert np.array_equal(copy.deepcopy(model).predict_proba(X), expected)
        if given != "callable":
            assert np.array_equal(copy.deepcopy(codes).transform(X), codes.transform(X))


SCRIPT = """
import functools
from sklearn.base import clone
from test_network_identity import *

class Mine(Network):
    def __init__(self):
        super().__init__()
        self.activation = functools.partial(torch.clamp, min=0.1)

    def scaled(self, x):
        return self.activation(x) * 2

folder = Path(sys.argv[2])
if sys.argv[1] == "fit":
    for name, backbone in {"module": Mine(), "callable": Mine}.items():
        model, codes = clone(tuned(backbone)).fit(X, Y), transformer(backbone).fit(X)
        for estimator, use in ((model, "predict_proba"), (codes, "transform")):
            copied = pickle.loads(pickle.dumps(estimator))
            assert np.array_equal(getattr(copied, use)(X), getattr(estimator, use)(X))
        (folder / name).write_bytes(pickle.dumps((model, codes, model.predict_proba(X), codes.transform(X))))
else:
    for path in folder.iterdir():
        model, codes, probabilities, expected = pickle.loads(path.read_bytes())
        assert np.allclose(model.predict_proba(X), probabilities, atol=1e-6), path
        assert np.allclose(codes.transform(X), expected, atol=1e-6), path
    for name, network in {**same(), **known_networks()}.items():
        print(name, load_backbone(network).fingerprint, sep="=")
"""


def tuned(network):
    return FineTunedClassifier(network, strategy="full", max_epochs=1, image_size=16, random_state=0)


def test_other_processes(tmp_path):
    """Equal networks are found again; pickles live, also of classes that stand nowhere, and of what is unknown."""
    network = Called(network_pairs.Callable(2.0))
    network.function.odd = UnknownPart()
    assert not load_backbone(network).is_stable
    model, codes = tuned(network).fit(X, Y), transformer(network).fit(X)
    assert in_new_process(SCRIPT, "fit", str(tmp_path)) == ""
    (tmp_path / "unknown").write_bytes(pickle.dumps((model, codes, model.predict_proba(X), codes.transform(X))))
    found = dict(line.split("=") for line in in_new_process(SCRIPT, "predict", str(tmp_path)).splitlines())
    for name, network in {**same(), **known_networks()}.items():
        backbone = load_backbone(network)
        assert backbone.identity.unknown == (), name
        assert backbone.is_stable
        assert backbone.fingerprint == found[name], name
        assert load_backbone(copy.deepcopy(network)).fingerprint == found[name], name


class UnknownPart:
    """Runs code that no walk can follow."""

    def __call__(self):
        return eval("1")


CHANGES = {
    "weights": lambda network: network.head.weight.data.add_(1.0),
    "attribute": lambda network: setattr(network, "_factor", 5.0),
    "buffer": lambda network: network.late.add_(1.0),
}


class TestChangedInPlaceAfterFit:
    @staticmethod
    def network():
        network = Hidden(2.0)
        network.register_buffer("late", torch.tensor(1.0), persistent=False)
        return network

    @pytest.mark.parametrize("what", CHANGES)
    def test_codes_and_prototypes_notice(self, what):
        network = self.network()
        codes = transformer(network).fit(X)
        prototypes = ProtoNetClassifier(network, image_size=16).fit(X, Y)
        for use in (codes.transform, prototypes.predict):
            use(X)
        CHANGES[what](network)
        for use in (codes.transform, prototypes.predict):
            with pytest.raises(ValueError, match=r"fingerprint.*fit again"):
                use(X)

    @pytest.mark.parametrize("what", CHANGES)
    def test_fine_tuned_networks_are_their_own(self, what):
        network = self.network()
        models = [
            FineTunedClassifier(network, strategy=strategy, max_epochs=1, image_size=16, random_state=0).fit(X, Y)
            for strategy in ("head", "full")
        ]
        before = [model.predict_proba(X) for model in map(copy.deepcopy, models)]
        CHANGES[what](network)
        for model, expected in zip(models, before):
            assert np.array_equal(model.predict_proba(X), expected)


class TestCodeThatOnlyWrites:
    def test_counting_calls_changes_no_network(self):
        seen = []
        network = Network()
        network.body.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
        codes = transformer(network).fit(X)
        assert np.array_equal(codes.transform(X), codes.transform(X))
        assert seen

    def test_a_count_that_is_read_is_no_setting_and_no_proof(self):
        seen = []

        def count(x):
            seen.append(1)
            return x * len(seen)

        before = identify(count)
        seen.append(1)
        assert identify(count) == before
        assert before.unknown == ("a list that the code itself changes",)

    @pytest.mark.parametrize("reads", [True, False])
    def test_a_number_that_is_counted_up(self, reads):
        n = 0

        def up():
            nonlocal n
            n += 1
            return n

        def only_up():
            nonlocal n
            n += 1

        count = up if reads else only_up
        before = identify(count)
        count()
        assert identify(count) == before
        assert bool(before.unknown) is reads

    @pytest.mark.parametrize("as_callable", [True, False])
    def test_networks_with_a_memory_of_their_own_live(self, as_callable):
        network = Called(remembers)
        codes = transformer((lambda: Called(remembers)) if as_callable else network).fit(X)
        assert np.array_equal(codes.transform(X), codes.transform(X))
        assert MEMORY
        MEMORY.clear()
        assert load_backbone(network).fingerprint != load_backbone(Called(remembers)).fingerprint

    def test_what_the_code_only_reads_is_a_setting(self, monkeypatch):
        before = identify(reads_settings)
        assert not before.unknown
        monkeypatch.setitem(SETTINGS, "scale", 3.0)
        assert identify(reads_settings) != before


MEMORY: dict = {}
SETTINGS = {"scale": 1.0}


def remembers(x):
    if x.shape[1] not in MEMORY:
        MEMORY[x.shape[1]] = len(looked_up())
    return x * (MEMORY[x.shape[1]] + 1)


def looked_up():
    return dict(MEMORY)


def reads_settings(x):
    made = {}
    made["x"] = x * SETTINGS["scale"]
    return made
