"""What runs on a GPU only: ``pytest -m cuda``."""

import pickle

import numpy as np
import pytest
import torch

from sktl import CNNCodesTransformer
from sktl.adaptation import DomainAdaptedClassifier
from sktl.backbones import get_engine
from sktl.finetuning import FineTunedClassifier

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, and torch finds none here"),
]


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (23, 64, 64, 3), dtype=np.uint8)


def transformer(device="cuda", **params):
    return CNNCodesTransformer(image_size=64, device=device, **{"precision": "float32", **params})


@pytest.fixture(scope="module")
def on_cpu(pictures):
    return transformer("cpu", engine="torch").transform(pictures)


def relative(found, expected):
    return np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)


@pytest.mark.parametrize("batch_size", [1, 4, 256, "auto"])
def test_codes_are_those_of_the_cpu_in_order(pictures, on_cpu, batch_size):
    assert relative(transformer(batch_size=batch_size).transform(pictures), on_cpu).max() < 1e-3


def test_batches_are_copied_from_pinned_memory_on_a_stream_of_their_own(pictures, monkeypatch):
    one = transformer(batch_size=5)
    extractor = one._extractor()
    engine = get_engine("torch", extractor.recipe, extractor.device, len(pictures))
    streams, pinned = [], []
    pin, record = torch.Tensor.pin_memory, torch.cuda.Event.record
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(len(self)) or pin(self))
    monkeypatch.setattr(
        torch.cuda.Event, "record", lambda self, *a: streams.append(torch.cuda.current_stream()) or record(self, *a)
    )
    one.transform(pictures)
    assert sum(pinned) == len(pictures)
    assert engine._copy_stream in streams


@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_lite0"])
def test_auto_precision_stays_near_float32(pictures, backbone):
    params = {"backbone": backbone, "weights": None if backbone == "resnet18" else "default"}
    exact = transformer(**params).transform(pictures)
    assert relative(transformer(precision="auto", **params).transform(pictures), exact).max() < 1e-2


def test_the_processes_own_settings_come_back(pictures):
    before = torch.backends.cudnn.allow_tf32, torch.cuda.current_device()
    transformer().transform(pictures)
    assert (torch.backends.cudnn.allow_tf32, torch.cuda.current_device()) == before


def test_a_batch_too_large_is_halved(pictures, on_cpu, monkeypatch):
    one = transformer(batch_size=16)
    extractor = one._extractor()
    engine = get_engine("torch", extractor.recipe, extractor.device, len(pictures))
    network, seen = engine._network, []

    def small_only(batch):
        seen.append(len(batch))
        if len(batch) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return network(batch)

    monkeypatch.setattr(engine, "_network", small_only)
    assert relative(one.transform(pictures), on_cpu).max() < 1e-3
    assert seen[:2] == [16, 8]
    monkeypatch.setattr(engine, "_network", lambda batch: (_ for _ in ()).throw(torch.OutOfMemoryError("none left")))
    with pytest.raises(MemoryError, match="too little memory for one picture"):
        one.transform(pictures)


@pytest.mark.parametrize(
    "model",
    [
        FineTunedClassifier("resnet18", weights=None, strategy="full", image_size=32, max_epochs=1, random_state=0),
        DomainAdaptedClassifier("resnet18", weights=None, image_size=32, max_epochs=1, random_state=0),
    ],
    ids=["fine-tuned", "adapted"],
)
def test_what_was_trained_there_predicts_alike_on_a_cpu(pictures, model):
    y = np.arange(len(pictures)) % 2
    y = np.where(np.arange(len(y)) < 16, y, -1) if isinstance(model, DomainAdaptedClassifier) else y
    model.set_params(device="cuda", precision="float32").fit(pictures, y)
    moved = pickle.loads(pickle.dumps(model)).set_params(device="cpu")
    np.testing.assert_allclose(moved.predict_proba(pictures), model.predict_proba(pictures), atol=1e-3)


def test_8_bits_are_refused(pictures):
    with pytest.raises(ValueError, match="precision='int8' is for CPUs"):
        transformer(precision="int8").fit(pictures)
