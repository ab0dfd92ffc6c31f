"""Networks whose forward holds gradients back, converts types, or keeps attributes in slots: trained, or said."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import sktl
from sktl.fewshot import (
    CNAPsLearner,
    MAMLLearner,
    MetaLSTMLearner,
    ProtoNetLearner,
    RelationNetLearner,
    ReptileLearner,
    SNAILLearner,
)
from tests.cases import EPISODES, LABELS, PICTURES, SHORT, STEPS


@pytest.fixture(autouse=True)
def own_draws():
    """The networks of the tests draw their values."""
    with torch.random.fork_rng(devices=[]):
        yield


class Holding(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how
        self.conv, self.mid, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x):
        if self.how == "no_grad":
            with torch.no_grad():
                x = self.mid(self.conv(x).mean((2, 3)).relu()).relu()
        elif self.how == "first":
            with torch.no_grad():
                x = self.conv(x).mean((2, 3)).relu()
            x = self.mid(x).relu()
        else:
            x = self.mid(self.conv(x).mean((2, 3)).relu()).relu()
            x = x.detach() if self.how == "detach" else x
        return self.head(x)


def fine_tuned(how, strategy="full", **options):
    torch.manual_seed(0)
    net = Holding(how)
    return sktl.FineTunedClassifier(net, strategy=strategy, image_size=12, cache=None, **STEPS | options)


@pytest.mark.parametrize(
    ("how", "held", "n_trained"),
    [("no_grad", "conv.weight, conv.bias, mid.weight, mid.bias", 27),
     ("detach", "conv.weight, conv.bias, mid.weight, mid.bias", 27), ("first", "conv.weight, conv.bias", 83)],
)  # fmt: skip
@pytest.mark.parametrize("options", [{}, {"strategy": "lp-ft"}, {"optimizer": "sgd"}], ids=str)
def test_what_no_gradient_reaches_is_named(how, held, n_trained, options):
    model = fine_tuned(how, **options)
    with pytest.warns(UserWarning, match=f"did not train {held}: no gradient reached them"):
        model.fit(PICTURES, LABELS)
    assert model.n_trained_ == n_trained


def test_in_parts_too():
    model = fine_tuned("no_grad")
    with pytest.warns(UserWarning, match=r"did not train conv.weight, conv.bias, mid.weight"):
        model.partial_fit(PICTURES, LABELS)


@pytest.mark.parametrize(
    ("how", "options"),
    [("", {}), ("", {"strategy": "gradual"}), ("", {"adapter": "lora"}), ("no_grad", {"strategy": "head"}),
     ("no_grad", {"strategy": "last"}), ("first", {"freeze_until": "conv"}), ("", {"strategy": "scratch"})],
    ids=str,
)  # fmt: skip
def test_nothing_is_said_where_all_is_trained(how, options):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*did not train")
        fine_tuned(how, **options).fit(PICTURES, LABELS)


MARKED = np.where(np.arange(24) < 4, -1, LABELS)


@pytest.mark.parametrize("loss", [None, "coral"])
@pytest.mark.parametrize(
    ("how", "held"), [("no_grad", "conv.weight, conv.bias, mid.weight"), ("first", "conv.weight, conv.bias: ")]
)
def test_adaptation_names_it_too(how, held, loss):
    net = Holding(how)
    net.head = nn.Identity()
    with pytest.warns(UserWarning, match=f"DomainAdaptedClassifier did not train {held}"):
        sktl.DomainAdaptedClassifier(net, loss=loss, image_size=12, **SHORT).fit(PICTURES, MARKED)


def test_adaptation_says_nothing_where_all_is_trained():
    trained = Holding("")
    trained.head = nn.Identity()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*did not train")
        for net, size in ((trained, 12), ("resnet18", 32)):
            sktl.DomainAdaptedClassifier(net, weights=None, image_size=size, **SHORT).fit(PICTURES, MARKED)


LEARNERS = [
    ProtoNetLearner, RelationNetLearner, MAMLLearner, ReptileLearner, MetaLSTMLearner, SNAILLearner,
    partial(MAMLLearner, vectorised=True),
]  # fmt: skip


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize(
    ("how", "held", "n_held"),
    [("no_grad", "conv.weight, conv.bias, mid.weight, mid.bias: ", 224), ("first", "conv.weight, conv.bias: ", 168)],
)
def test_meta_learners_name_it_too(learner, how, held, n_held):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*did not train")
        whole = learner(Holding(""), image_size=12, **EPISODES).fit(PICTURES, LABELS)
    with pytest.warns(UserWarning, match=f"did not train {held}"):
        model = learner(Holding(how), image_size=12, **EPISODES).fit(PICTURES, LABELS)
    assert model.n_trained_ == whole.n_trained_ - n_held


def test_what_a_method_leaves_as_it_is_is_not_named():
    whole = CNAPsLearner(Holding(""), image_size=12, **EPISODES).fit(PICTURES, LABELS)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*did not train")
        model = CNAPsLearner(Holding("no_grad"), image_size=12, **EPISODES).fit(PICTURES, LABELS)
    assert model.n_trained_ == whole.n_trained_


class Keeping(Holding):
    """It keeps what it has computed, which no copy can be made of."""

    def forward(self, x):
        self.kept = super().forward(x)
        return self.kept


def test_a_network_that_keeps_what_it_computed_is_meta_trained():
    ProtoNetLearner(Keeping(""), image_size=12, **EPISODES).fit(PICTURES, LABELS)


class Converting(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 4).double()

    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)).double())


class Slotted(nn.Module):
    __slots__ = ("factor",)

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 4)
        object.__setattr__(self, "factor", 3.0)

    def forward(self, x):
        return self.head(self.factor * self.conv(x).mean((2, 3)))


@pytest.mark.parametrize(("make", "advice"), [(Converting, r"out of forward"), (Slotted, "__slots__")])
@pytest.mark.parametrize(
    "model",
    [
        lambda net: sktl.CNNCodesTransformer(net, image_size=12, engine="torch", cache=None),
        lambda net: sktl.FineTunedClassifier(net, image_size=12, **STEPS),
        lambda net: sktl.DomainAdaptedClassifier(net, image_size=12, **SHORT),
        lambda net: ProtoNetLearner(net, **EPISODES),
    ],
)
def test_advice_fits_the_error(make, advice, model):
    with pytest.raises(ValueError, match=advice):
        model(make()).fit(PICTURES, MARKED)
