"""Real digits in small: what adaptation without source rows is worth, within seconds."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from sktl.adaptation import DomainAdaptedClassifier, SourceFreeAdaptedClassifier, TestTimeAdaptedClassifier

N = 1000


@pytest.fixture(scope="module")
def mnist(shared_data):
    held = np.load(shared_data / "digits/mnist.npz")
    return held["x_train"][:N], held["x_test"][:N], held["y_test"][:N].astype(int)


@pytest.fixture(scope="module")
def usps_source(shared_data):
    """A small network that has learned USPS, moved about."""
    held = np.load(shared_data / "digits/usps.npz")
    small = torch.from_numpy(held["x_train"][:N])[:, None].float()
    X = F.interpolate(small, size=28, mode="bilinear")[:, 0].round().byte().numpy()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        stages = [
            nn.Conv2d(1, 8, 5, stride=2), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 24, 5), nn.BatchNorm2d(24), nn.MaxPool2d(2), nn.ReLU(),
        ]  # fmt: skip
    model = DomainAdaptedClassifier(
        nn.Sequential(*stages), loss=None, label_smoothing=0.1, head="weight_norm", bottleneck=64, augment="shift",
        max_epochs=10, random_state=0,
    )  # fmt: skip
    return model.fit(X, held["y_train"][:N].astype(int))


def test_shot_is_worth_many_points(usps_source, mnist):
    X, X_test, y_test = mnist
    adapted = SourceFreeAdaptedClassifier(usps_source, weight=0.1, max_epochs=5, random_state=0).fit(X)
    assert adapted.score(X_test, y_test) > usps_source.score(X_test, y_test) + 0.08


@pytest.mark.parametrize(("method", "online"), [("adabn", False), ("tent", True)])
def test_norms_make_good_lost_contrast(method, online, usps_source, mnist):
    _, X, y = mnist
    pale = (0.3 * X + 90).astype(np.uint8)
    model = TestTimeAdaptedClassifier(usps_source, method=method, online=online, random_state=0).reset()
    found = model.score(pale, y) if online else model.adapt(pale).score(pale, y)
    assert 1 - found < (1 - usps_source.score(pale, y)) * 2 / 3
