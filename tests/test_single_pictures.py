"""One picture at a time: it goes through the network alone, and its answer is the one that it has in company."""

import numpy as np
import pytest
import torch
from torch import nn

from sktl import (
    CNNCodesTransformer,
    DomainAdaptedClassifier,
    FineTunedClassifier,
    FineTunedRegressor,
    ProtoNetClassifier,
)
from sktl.backbones import SmallBatches
from sktl.cache import open_cache
from sktl.fewshot import ProtoNetLearner

PICTURES = np.random.default_rng(0).integers(0, 256, (21, 16, 16, 3), dtype=np.uint8)
LABELS = np.arange(21) % 2


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3)
        )


COMMON = {"image_size": 16, "device": "cpu"}
TRAINING = {**COMMON, "max_epochs": 1, "random_state": 0}
MAKERS = {
    "codes": lambda: CNNCodesTransformer(network(), engine="torch", **COMMON).fit(PICTURES).transform,
    "head": lambda: FineTunedClassifier(network(), strategy="head", **TRAINING).fit(PICTURES, LABELS).predict_proba,
    "full": lambda: FineTunedClassifier(network(), strategy="full", **TRAINING).fit(PICTURES, LABELS).predict_proba,
    "regressor": lambda: FineTunedRegressor(network(), strategy="full", **TRAINING).fit(PICTURES, LABELS).predict,
    "adapted": lambda: (
        DomainAdaptedClassifier(backbone=network(), **TRAINING)
        .fit(PICTURES, np.where(np.arange(21) < 12, LABELS, -1))
        .predict_proba
    ),
    "prototypes": lambda: ProtoNetClassifier(encoder=network(), **COMMON).fit(PICTURES, LABELS).predict_proba,
    "learner": lambda: (
        ProtoNetLearner(n_way=2, n_shot=1, n_query=1, n_episodes=1, random_state=0, device="cpu")
        .fit(PICTURES, LABELS)
        .transform
    ),
}


@pytest.fixture
def numbers(monkeypatch):
    """How many pictures each pass of a convolution was given."""
    seen = []
    original = nn.Conv2d._conv_forward

    def recorded(self, batch, *args):
        seen.append(len(batch))
        return original(self, batch, *args)

    monkeypatch.setattr(nn.Conv2d, "_conv_forward", recorded)
    return seen


@pytest.mark.parametrize("maker", MAKERS)
def test_one_picture_goes_through_the_network_alone(maker, numbers):
    answer = MAKERS[maker]()
    together = answer(PICTURES)
    first = answer(PICTURES[:1])
    numbers.clear()
    alone = [answer(PICTURES[i : i + 1]) for i in range(len(PICTURES))]
    assert set(numbers) == {1}
    np.testing.assert_array_equal(first, alone[0])
    np.testing.assert_allclose(np.concatenate(alone), together, rtol=0, atol=1e-5 * np.abs(together).max())


def test_what_a_store_keeps_is_the_same_to_the_bit_in_any_company():
    def codes(pictures):
        return CNNCodesTransformer("mobilenet_v3_small", weights=None, image_size=32, engine="torch", cache="memory",
                                   device="cpu").transform(pictures)  # fmt: skip

    alone = np.concatenate([codes(PICTURES[i : i + 1]) for i in range(3)])
    codes(PICTURES[:0:-1])
    open_cache("memory").clear()
    np.testing.assert_array_equal(codes(PICTURES)[:3], alone)


class Company(nn.Module):
    """Rows look at one another."""

    def forward(self, x):
        return x.float().flatten(1) - x.float().flatten(1).mean(0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_batches_are_filled_up_where_the_number_of_rows_matters(dtype):
    shape = (3, 3, 8, 8) if dtype == torch.uint8 else (3, 5)
    batch = torch.ones(shape, dtype=dtype)
    fed = SmallBatches().fed(batch, 8, Company())
    assert fed.shape == (8, *shape[1:])
    assert torch.equal(fed[:3], batch)
    assert not fed[3:].any()
    assert SmallBatches().fed(batch, 8, lambda x: (x.float().flatten(1),)) is batch
    assert SmallBatches().fed(batch, 3, Company()) is batch


def test_low_precision_is_filled_up_only_where_it_differs():
    def rounded(batch):  # another kernel for other numbers of rows
        return batch * (1 + 1e-3 * (len(batch) < 4))

    small = SmallBatches()
    batch = torch.ones(2, 5)
    assert len(small.fed(batch, 8, rounded)) == 8
    assert len(small.fed(batch.repeat(2, 1), 8, rounded)) == 4
