"""USPS to MNIST in small: adaptation is worth many points on real pictures, within seconds."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from sktl.adaptation import DomainAdaptedClassifier, stack_domains

N = 1500


@pytest.fixture(scope="module")
def usps_to_mnist(shared_data):
    """X and y with -1 for MNIST, then MNIST pictures that training does not see, and their labels."""
    usps, mnist = np.load(shared_data / "digits/usps.npz"), np.load(shared_data / "digits/mnist.npz")
    small = torch.from_numpy(usps["x_train"][:N])[:, None].float()
    source = F.interpolate(small, size=28, mode="bilinear")[:, 0].round().byte().numpy()
    X, y, _ = stack_domains(source, usps["y_train"][:N].astype(int), mnist["x_train"][:N])
    return X, y, mnist["x_test"][:N], mnist["y_test"][:N]


def score(loss, X, y, X_test, y_test):
    def lenet():
        stages = [nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.ReLU()]
        return nn.Sequential(*stages)

    model = DomainAdaptedClassifier(lenet, loss=loss, max_epochs=6, random_state=0).fit(X, y)
    return model.score(X_test, y_test)


@pytest.fixture(scope="module")
def alone(usps_to_mnist):
    return score(None, *usps_to_mnist)


@pytest.mark.parametrize("loss", ["cdan", "mcc"])
def test_adaptation_pays(loss, alone, usps_to_mnist):
    assert alone < 0.65
    assert score(loss, *usps_to_mnist) > alone + 0.08
