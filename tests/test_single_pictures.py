"""One picture at a time: it goes through the network alone, and its answer is the one that it has in company."""

import copy

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
from sktl.backbones import SmallBatches, _openvino, load_backbone
from sktl.backbones._packing import PackedConv2d, pack_weights
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
    for owner, name in ((nn.Conv2d, "_conv_forward"), (PackedConv2d, "forward")):
        original = getattr(owner, name)

        def recorded(self, batch, *args, original=original):
            seen.append(len(batch))
            return original(self, batch, *args)

        monkeypatch.setattr(owner, name, recorded)
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


@pytest.mark.parametrize("size", [32, 64])
def test_a_small_picture_of_a_large_network_needs_no_company(size, numbers):
    pictures = np.random.default_rng(0).integers(0, 256, (14, size, size, 3), dtype=np.uint8)
    codes = CNNCodesTransformer("resnet18", weights=None, image_size=size, engine="torch", device="cpu").transform
    together = codes(pictures)
    numbers.clear()
    alone = np.concatenate([codes(pictures[i : i + 1]) for i in range(3)])
    assert numbers.count(1) >= 60  # of 20 convolutions; once, a full batch is compared
    numbers.clear()
    codes(pictures[3:4])
    assert set(numbers) == {1}
    np.testing.assert_allclose(alone, together[:3], rtol=1e-5, atol=1e-7)


def test_packed_convolutions_compute_the_same():
    backbone = load_backbone("resnet18", None)
    cpu, x = torch.device("cpu"), torch.randn(3, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    plain, packed = backbone.prepared(cpu, (64, 64)), backbone.prepared(cpu, (64, 64), packed=True)
    convolutions = [part for part in packed.modules() if isinstance(part, nn.Conv2d)]
    assert len(convolutions) == 20
    assert sum(isinstance(part, PackedConv2d) for part in convolutions) == 19  # the smallest is not worth it
    torch.testing.assert_close(convolutions[3].weight, plain.get_submodule("layer1.1.conv1").weight, rtol=0, atol=0)
    with torch.inference_mode():
        expected = plain(x)
        for network in (packed, copy.deepcopy(packed)):
            torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    assert convolutions[0](x.requires_grad_()).requires_grad  # by the usual kernel


class Tied(nn.Module):
    """Asks a layer for its weights, and calls one more than once, with other shapes."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.again = nn.Conv2d(4, 4, 3, padding="same", bias=False)
        self.third = nn.Conv2d(4, 4, 2, stride=2, dilation=1, groups=2)
        self.alias = self.third

    def forward(self, x):
        x = self.again(self.first(x))
        x = self.alias(self.third(x)) * self.third.weight.sum()
        return {"out": x, "more": [self.third(x[0])]}  # one without a batch axis


def test_networks_of_any_kind_are_packed_as_far_as_they_go():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, x = Tied().eval().requires_grad_(False), torch.randn(2, 3, 16, 16)
    expected = network(x)
    found = pack_weights(network, x)(x)
    assert type(network.first) is PackedConv2d
    torch.testing.assert_close(found, expected)


def test_a_network_that_packing_does_not_suit_stays_as_it_is(monkeypatch):
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)).eval().requires_grad_(False)
    layers = list(network)
    monkeypatch.setattr(PackedConv2d, "forward", lambda self, x: nn.Conv2d.forward(self, x) + 1)
    assert list(pack_weights(network, torch.zeros(1, 3, 8, 8))) == layers
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_convolution_weight", None)
    assert list(pack_weights(network, torch.zeros(1, 3, 8, 8))) == layers


def test_openvino_gives_lone_batches_all_cores(monkeypatch):
    pytest.importorskip("openvino", reason="OpenVINO is an optional engine (sktl[openvino])")
    compiled = []
    original = _openvino._compiled
    monkeypatch.setattr(_openvino, "_compiled", lambda *args, **how: compiled.append(how) or original(*args, **how))
    codes = CNNCodesTransformer(network(), engine="openvino", **COMMON).fit(PICTURES).transform
    together = codes(PICTURES)
    alone = [codes(PICTURES[i : i + 1]) for i in range(5)]
    np.testing.assert_array_equal(np.concatenate(alone), together[:5])
    np.testing.assert_array_equal(codes(PICTURES), together)
    assert compiled in ([{}, {"many_at_once": False}], [{}])  # where there is one core, it has all of them anyway


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
