"""Small pictures of two classes, and a small network."""

import numpy as np
import pytest
import torch
from torch import nn


@pytest.fixture(scope="session")
def network():
    """A network with what the advisor reads: layers, a batch norm's statistics, and a classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2),
            nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 7),
        )  # fmt: skip
        module.train()
        for _ in range(5):
            module((torch.rand(32, 3, 24, 24) * 0.5 - 0.45) / 0.225)  # pictures of noise, as they come in
        return module.eval()


def squares(n=40, seed=0):
    """Noise, with a bright square in every other picture."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 120, (n, 24, 24, 3), dtype=np.uint8)
    y = np.arange(n) % 2
    for i in np.flatnonzero(y):
        top, left = rng.integers(2, 10, 2)
        pictures[i, top : top + 12, left : left + 12] += 100
    return pictures, np.array(["noise", "square"])[y]


@pytest.fixture(scope="session")
def pictures():
    return squares()
