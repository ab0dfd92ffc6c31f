"""Networks of one channel are given the luminance, in every family; of others it is said what to do."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from sktl import CNNCodesTransformer, DomainAdaptedClassifier, FineTunedClassifier, ProtoNetClassifier, list_layers
from sktl.fewshot import ProtoNetLearner

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def network(n_channels):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(n_channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(6, 2),
        ).eval()  # fmt: skip


colour = np.random.default_rng(0).integers(0, 256, (24, 10, 12, 3), dtype=np.uint8)
colour[12:, :, :6] //= 4
grey = colour[..., 0]
y = np.repeat([0, 1], 12)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("pictures", [grey, colour], ids=["grey", "colour"])
def test_codes_are_those_of_the_luminance(pictures, engine):
    module = network(1)
    as_is = {"crop_pct": 1.0, "mean": (0.2, 0.3, 0.4), "std": (0.5,) * 3}
    codes = CNNCodesTransformer(module, image_size=(10, 12), preprocessing=as_is, engine=engine).fit_transform(pictures)
    values = pictures if pictures.ndim == 3 else pictures @ LUMINANCE
    with torch.no_grad():
        expected = module[:-1]((torch.from_numpy(values / 255).float()[:, None] - 0.3) / 0.5)
    np.testing.assert_allclose(codes, expected, atol=1e-5)


def test_timm_networks_of_one_channel():
    with torch.random.fork_rng(devices=[]):
        module = timm.create_model("mobilenetv3_small_050", in_chans=1).eval()
    assert list_layers(module, image_size=32)[-1].depth == 1.0
    assert CNNCodesTransformer(module, image_size=32, engine="torch").fit_transform(grey).shape == (24, 1024)


def test_networks_without_convolutions_take_what_they_take():
    with torch.random.fork_rng(devices=[]):
        module = nn.Sequential(nn.Flatten(), nn.Linear(120, 5), nn.ReLU(), nn.Linear(5, 2)).eval()
    codes = CNNCodesTransformer(module, image_size=(10, 12), preprocessing={"crop_pct": 1.0}).fit_transform(grey)
    assert codes.shape == (24, 5)


@pytest.mark.parametrize("pictures", [grey, colour], ids=["grey", "colour"])
def test_every_family_takes_a_network_of_one_channel(pictures):
    small = {"image_size": (10, 12), "random_state": 0}
    tuned = FineTunedClassifier(network(1), strategy="full", max_epochs=2, **small)
    assert tuned.fit(pictures, y).predict_proba(pictures).shape == (24, 2)
    frozen = FineTunedClassifier(network(1), strategy="head", **small)
    assert frozen.fit(pictures, y).score(pictures, y) > 0.9
    marked = np.where(np.arange(24) % 3 == 0, -1, y)
    adapted = DomainAdaptedClassifier(network(1), max_epochs=1, **small).fit(pictures, marked)
    assert adapted.predict(pictures).shape == (24,)
    assert ProtoNetClassifier(network(1), image_size=(10, 12)).fit(pictures, y).score(pictures, y) > 0.9
    learner = ProtoNetLearner(network(1)[:-1], n_way=2, n_shot=2, n_query=2, n_episodes=2, random_state=0)
    assert np.isfinite(learner.fit(pictures, np.repeat(np.arange(4), 6)).transform(pictures)).all()


def test_other_numbers_of_channels_are_said_with_the_remedy():
    for estimator in (CNNCodesTransformer(network(13), image_size=16), FineTunedClassifier(network(13), image_size=16)):
        with pytest.raises(ValueError, match=r"pictures of 13 channels.*nn.Sequential\(nn.Conv2d\(3, 13, 1\)"):
            estimator.fit(colour, y)
    with torch.random.fork_rng(devices=[]):
        widened = nn.Sequential(nn.Conv2d(3, 13, 1), network(13))
    assert CNNCodesTransformer(widened, image_size=16).fit_transform(colour).shape == (24, 6)
