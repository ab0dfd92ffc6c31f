"""Two domains of rows, and of small pictures, that differ by a shift; classifiers that have learned a source."""

import numpy as np
import pytest
import torch
from torch import nn

from sktl.adaptation import DomainAdaptedClassifier


@pytest.fixture(scope="session")
def moved():
    """Source and target rows of three classes; the target is turned and moved. X, y with -1, the target's truth."""
    rng = np.random.default_rng(0)
    y = np.tile([0, 1, 2], 100)
    centres = np.array([[3.0, 0.0], [-1.5, 2.6], [-1.5, -2.6]])
    X = np.hstack([centres[y] + rng.normal(scale=0.8, size=(300, 2)), rng.normal(size=(300, 4))])
    turn = 0.75
    X[150:, :2] = X[150:, :2] @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) + [0.8, 0.8]
    marked = y.copy()
    marked[150:] = -1
    return X, marked, y[150:]


@pytest.fixture(scope="session")
def small_extractor():
    """A convolutional extractor of features for grey pictures."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU()
        )


@pytest.fixture(scope="session")
def striped():
    """Grey pictures of 14 x 14 pixels with stripes that lie or stand; the target's are dark on light."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 60, (120, 14, 14), dtype=np.uint8)
    y = np.arange(120) % 2
    for picture, lies in zip(pictures, y):
        if lies:
            picture[rng.integers(0, 3) :: 4] += 150
        else:
            picture[:, rng.integers(0, 3) :: 4] += 150
    pictures[60:] = 255 - pictures[60:]
    marked = y.copy()
    marked[60:] = -1
    return pictures, marked, y[60:]


def turned_rows(n, angle, seed, offset=(0.0, 0.0)):
    """Three classes around the origin, turned by an angle and moved; four more features of noise."""
    rng = np.random.default_rng(seed)
    y = np.tile([0, 1, 2], -(-n // 3))[:n]
    centres = np.array([[3.0, 0.0], [-1.5, 2.6], [-1.5, -2.6]])
    X = np.hstack([centres[y] + rng.normal(scale=0.7, size=(n, 2)), rng.normal(size=(n, 4))])
    X[:, :2] = X[:, :2] @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) + offset
    return X, y


@pytest.fixture(scope="session")
def source_rows():
    return turned_rows(240, 0.0, 0)


@pytest.fixture(scope="session")
def target_rows():
    return turned_rows(240, 0.8, 1, (1.0, 0.6))


@pytest.fixture(scope="session")
def source(source_rows):
    """SHOT's source: smoothed labels, a bottleneck with batch norm, a classifier with normed weights."""
    model = DomainAdaptedClassifier(
        loss=None, label_smoothing=0.1, head="weight_norm", bottleneck=16, max_epochs=20, random_state=0
    )
    return model.fit(*source_rows)


@pytest.fixture(scope="session")
def small_net():
    """Features of grey pictures, with batch norm and dropout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout2d(0.2), nn.Conv2d(6, 8, 3, stride=2),
            nn.BatchNorm2d(8), nn.ReLU(),
        )  # fmt: skip


@pytest.fixture(scope="session")
def pictures():
    """Grey pictures of 14 x 14 pixels with stripes that lie or stand, and darker ones with little contrast."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 60, (120, 14, 14), dtype=np.uint8)
    y = np.arange(120) % 2
    for picture, lies in zip(X, y):
        if lies:
            picture[rng.integers(0, 3) :: 4] += 150
        else:
            picture[:, rng.integers(0, 3) :: 4] += 150
    return X[:60], y[:60], (X[60:] * 0.3 + 150).astype(np.uint8), y[60:]


@pytest.fixture(scope="session")
def picture_source(small_net, pictures):
    return DomainAdaptedClassifier(small_net, loss=None, bottleneck=8, max_epochs=5, random_state=0).fit(*pictures[:2])


@pytest.fixture(scope="session")
def colour_net():
    """A whole classifier of colour pictures, with batch norm."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
            nn.Linear(16, 2),
        )  # fmt: skip


@pytest.fixture(scope="session")
def plain_norm_net():
    """Features of rows, with batch norm that has no scale and no shift."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5, affine=False))


def state_of(estimator):
    """Copies of all values of a fitted estimator's network, by name."""
    return {name: value.clone() for name, value in estimator._open().module.state_dict().items()}


@pytest.fixture(scope="session")
def values_of():
    return state_of
