"""torchvision's Inception networks train with auxiliary classifiers, and return a tuple then: ours train without."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

import sktl
from sktl.backbones import own_copy
from sktl.fewshot import ProtoNetLearner
from tests.cases import EPISODES, LABELS, SHORT, STEPS

PICTURES = np.random.default_rng(0).integers(0, 256, (24, 80, 80, 3), dtype=np.uint8)
NETWORKS = ["googlenet", "inception_v3"]
MODELS = {
    "fine-tuned": lambda net, **o: sktl.FineTunedClassifier(
        net, strategy="full", cache=None, image_size=80, **o | STEPS
    ),
    "adapted": lambda net, **o: sktl.DomainAdaptedClassifier(net, image_size=80, **o | SHORT),
    "meta-learner": lambda net, **o: ProtoNetLearner(net, **o | EPISODES),
}


def network(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = torchvision.models.get_model(name, weights=None, init_weights=False, aux_logits=True)
        net.fc = nn.Linear(net.fc.in_features, 8)
    return net


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", MODELS)
def test_they_are_trained(kind, name):
    given = network(name)
    names = list(given.state_dict())
    y = np.where(np.arange(24) < 8, -1, LABELS) if kind == "adapted" else LABELS
    model = MODELS[kind](given).fit(PICTURES, y)
    if kind != "meta-learner":
        assert np.isfinite(model.predict_proba(PICTURES[:4])).all()
    assert list(given.state_dict()) == names  # the user's network is as it was


@pytest.mark.parametrize("kind", ["fine-tuned", "adapted"])
def test_by_name_too(kind):
    y = np.where(np.arange(24) < 8, -1, LABELS) if kind == "adapted" else LABELS
    MODELS[kind]("googlenet", weights=None).fit(PICTURES, y)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_copy_gives_in_training_what_the_network_gives_in_evaluation(name):
    given = network(name).eval()
    copied = own_copy(given)
    x = torch.rand(2, 3, 80, 80, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.testing.assert_close(copied(x), given(x))
        assert isinstance(copied.train()(x), torch.Tensor)
