"""Torch's modes of the caller change no result, and are as they were afterwards."""

import contextlib
import importlib
import threading

import numpy as np
import pytest
import torch

import sktl
from sktl._modes import InPlainModes, evaluating, plain_modes
from sktl.adaptation import TestTimeAdaptedClassifier
from sktl.fewshot import MAMLLearner, ProtoNetLearner
from tests.cases import CASES, EPISODES, LABELS, MARKED, NETWORK, PICTURES, ROWS, SHORT, STEPS, network, outputs

pytestmark = pytest.mark.filterwarnings("ignore:No row is unlabelled:UserWarning")
FOLDERS = ("sktl", "sktl.adaptation", "sktl.features", "sktl.fewshot", "sktl.finetuning", "sktl.safety")


@contextlib.contextmanager
def double_by_default():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        assert torch.get_default_dtype() == torch.float64
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        assert torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(False)


MODES = {
    "no_grad": torch.no_grad,
    "set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "double": double_by_default,
    "device": lambda: torch.device("meta"),
    "deterministic": deterministic,
}
TOGETHER = [("no_grad", "autocast", "double", "device"), ("inference_mode", "deterministic")]


def seen():
    return (
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"),
        torch.get_default_dtype(), torch.get_default_device(), torch.are_deterministic_algorithms_enabled(),
    )  # fmt: skip


@contextlib.contextmanager
def in_modes(names):
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(MODES[name]())
        before = seen()
        yield
        assert seen() == before


def assert_same(found, expected):
    assert len(found) == len(expected)
    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(values, wanted)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_results_are_those_of_a_plain_call(case):
    expected = outputs(case.make().fit(case.X, case.y), case.X, case.y)
    for names in TOGETHER:
        with in_modes(names):
            found = outputs(case.make().fit(case.X, case.y), case.X, case.y)
        assert_same(found, expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["FineTunedClassifier-lora", "DomainAdaptedClassifier-mean_teacher", "MAMLLearner"])
def test_each_mode(name, mode):
    (case,) = (case for case in CASES if case.name == name)
    expected = outputs(case.make().fit(case.X, case.y), case.X, case.y)
    with in_modes([mode]):
        fitted = case.make().fit(case.X, case.y)
    assert_same(outputs(fitted, case.X, case.y), expected)
    with in_modes([mode]):
        assert_same(outputs(fitted, case.X, case.y), expected)


@pytest.mark.parametrize("names", TOGETHER, ids="-".join)
def test_learning_in_parts(names):
    def learned():
        tuned = sktl.FineTunedClassifier(NETWORK, strategy="full", image_size=12, cache=None, **STEPS)
        for part in (slice(12), slice(12, 24)):
            tuned.partial_fit(PICTURES[part], LABELS[part])
        prototypes = sktl.ProtoNetClassifier().fit(ROWS[:12], LABELS[:12]).partial_fit(ROWS[12:], LABELS[12:])
        adapted = TestTimeAdaptedClassifier(
            sktl.DomainAdaptedClassifier(**SHORT).fit(ROWS, MARKED), method="tent", batch_size=6, random_state=0
        ).adapt(ROWS[:12])
        online = adapted.adapt(ROWS[12:]).set_params(online=True).predict_proba(ROWS)
        return [tuned.predict_proba(PICTURES), prototypes.predict_proba(ROWS), online]

    expected = learned()
    with in_modes(names):
        found = learned()
    assert_same(found, expected)


def test_learning_in_parts_by_a_network_that_was_frozen_and_put_into_training():
    def learned(change):
        tuned = sktl.FineTunedClassifier(NETWORK, strategy="full", image_size=12, cache=None, **STEPS)
        change(tuned.partial_fit(PICTURES, LABELS).module_)
        return tuned.partial_fit(PICTURES, LABELS).predict_proba(PICTURES)

    expected = learned(lambda module: None)
    assert_same([learned(lambda module: module.requires_grad_(False).train())], [expected])


@pytest.mark.parametrize("names", TOGETHER, ids="-".join)
def test_files(names, tmp_path):
    tuned = sktl.FineTunedClassifier(**STEPS).fit(ROWS, LABELS)
    learner = ProtoNetLearner(**EPISODES).fit(ROWS, LABELS)
    with in_modes(names):
        tuned.save(tmp_path / "tuned.safetensors")
        learner.save(tmp_path / "learner.safetensors")
        read = sktl.FineTunedClassifier.load(tmp_path / "tuned.safetensors")
        read_learner = sktl.load(tmp_path / "learner.safetensors")
        module = tuned.torch_module_
    assert_same([read.predict_proba(ROWS)], [tuned.predict_proba(ROWS)])
    assert_same([read_learner.transform(ROWS)], [learner.transform(ROWS)])
    assert {value.dtype for value in module.parameters()} == {torch.float32}
    module.requires_grad_(True)(torch.tensor(ROWS, dtype=torch.float32)).sum().backward()  # not of inference mode


@pytest.mark.parametrize("names", TOGETHER, ids="-".join)
def test_codes_block_by_block(names):
    codes = sktl.CNNCodesTransformer(NETWORK, image_size=12, engine="torch", cache=None).fit(PICTURES)
    expected = codes.transform(PICTURES)
    with in_modes(names):
        blocks = []
        for block in codes.iter_transform(PICTURES, 7):
            assert torch.is_grad_enabled() == ("no_grad" not in names and "inference_mode" not in names)
            blocks.append(block)
    assert_same([np.concatenate(blocks)], [expected])


@pytest.mark.parametrize("case", [c for c in CASES if "Adapted" in c.name or "Tuned" in c.name], ids=lambda c: c.name)
def test_a_fitted_network_in_training_mode(case):
    fitted = case.make().fit(case.X, case.y)
    module = getattr(fitted, "estimator_", fitted).module_
    expected = outputs(fitted, case.X, case.y)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.train()
    list(module.modules())[-1].eval()  # not all of it
    modes = [part.training for part in module.modules()]
    assert_same(outputs(fitted, case.X, case.y), expected)
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    if hasattr(fitted, "_open"):
        assert not any(part.training for part in fitted._open().module.modules())
    if hasattr(fitted, "torch_module_"):
        assert not any(part.training for part in fitted.torch_module_.network.modules())


@pytest.mark.parametrize("case", [c for c in CASES if c.X is PICTURES], ids=lambda case: case.name)
def test_a_given_network_in_training_mode(case):
    def found():
        return outputs(case.make().fit(case.X, case.y), case.X, case.y)

    try:
        NETWORK.eval()
        expected = found()
        assert not NETWORK.training
        NETWORK.train()
        assert_same(found(), expected)
        assert all(part.training for part in NETWORK.modules())
    finally:
        NETWORK.train()


def test_a_shared_network_in_training_mode():
    backbone = sktl.backbones.load_backbone(network())
    backbone.module[1].train()
    assert not any(part.training for part in backbone.module.modules())


def test_a_network_in_double_precision():
    double = network().double()
    X = PICTURES.astype(np.float64) / 255
    tuned = sktl.FineTunedClassifier(double, strategy="full", image_size=12, cache=None, **STEPS).fit(X, LABELS)
    adapted = sktl.DomainAdaptedClassifier(double, image_size=12, **SHORT).fit(X, MARKED)
    assert np.isfinite(tuned.predict_proba(X)).all()
    assert np.isfinite(adapted.predict_proba(X)).all()
    for kind in (ProtoNetLearner, MAMLLearner):
        of_single = kind(network(), **EPISODES).fit(X, LABELS)
        of_double = kind(double, **EPISODES).fit(X, LABELS)
        assert_same(outputs(of_double, X, LABELS), outputs(of_single, X, LABELS))


def test_the_default_dtype_comes_back_when_the_last_thread_is_done():
    inside, go_on = threading.Event(), threading.Event()

    def other():
        with plain_modes():
            inside.set()
            go_on.wait(10)
            assert torch.get_default_dtype() == torch.float32

    with double_by_default():
        thread = threading.Thread(target=other)
        thread.start()
        inside.wait(10)
        with plain_modes():
            assert torch.get_default_dtype() == torch.float32
        assert torch.get_default_dtype() == torch.float32  # the other one needs it
        go_on.set()
        thread.join()


def test_evaluation_puts_back_each_part():
    module = network()
    module[5].eval()
    modes = [part.training for part in module.modules()]
    with evaluating(module):
        assert not any(part.training for part in module.modules())
    assert [part.training for part in module.modules()] == modes


def test_every_estimator_sets_its_modes():
    for folder in FOLDERS:
        module = importlib.import_module(folder)
        for kind in (getattr(module, name) for name in module.__all__):
            if isinstance(kind, type) and hasattr(kind, "fit"):
                assert issubclass(kind, InPlainModes), kind
