"""Two domains of feature rows, and of small pictures, that differ by a shift."""

import numpy as np
import pytest
import torch
from torch import nn


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
