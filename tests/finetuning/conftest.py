"""A small network with batch norm, and pictures of two kinds."""

import numpy as np
import pytest
import torch
from torch import nn


@pytest.fixture(scope="session")
def small_network():
    """Three stages with batch norm, dropout and a classifier; 2,000 weights."""

    def stage(n_in, n_out):
        return nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), nn.BatchNorm2d(n_out), nn.ReLU())

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = [stage(3, 8), stage(8, 12), stage(12, 16)]
        return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 10))


@pytest.fixture(scope="session")
def striped():
    """Forty pictures of 32 x 32 pixels with stripes that lie or stand, and their names."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 120, (40, 32, 32, 3), dtype=np.uint8)
    labels = np.array(["lying", "standing"])[np.arange(40) % 2]
    for picture, label in zip(pictures, labels):
        if label == "lying":
            picture[rng.integers(0, 3) :: 4] += 100
        else:
            picture[:, rng.integers(0, 3) :: 4] += 100
    return pictures, labels
