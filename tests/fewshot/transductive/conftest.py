"""Tasks whose queries lie in two long bands, or in clouds: what they look like together tells more than one example."""

import numpy as np
import pytest


def clouds(n_tasks, shots=(1, 1, 1, 1), n_query=(12, 12, 12, 12), width=16, spread=1.0, apart=0.75, seed=0):
    """Return support (t, n_s, d), y (t, n_s), query (t, n_q, d) and its labels: Gaussian classes, shuffled rows."""
    rng = np.random.default_rng(seed)
    parts = [[], [], [], []]
    for _ in range(n_tasks):
        centres = apart * rng.normal(size=(len(shots), width))
        for place, counts in ((0, shots), (2, n_query)):
            y = rng.permutation(np.repeat(np.arange(len(shots)), counts))
            parts[place].append(centres[y] + spread * rng.normal(size=(len(y), width)) / 2 + 0.5)
            parts[place + 1].append(y)
    return tuple(np.stack(part) for part in parts)


def moons(n_tasks, n_query=60, seed=0):
    """Return the same for two half circles on the unit sphere's cap, one example of each."""
    rng = np.random.default_rng(seed)
    parts = [[], [], [], []]
    for _ in range(n_tasks):
        for place, n in ((0, 2), (2, n_query)):
            y = np.arange(n) % 2
            angle = np.pi * (rng.uniform(0.3, 0.7, n) if n == 2 else rng.uniform(0, 1, n))
            x = np.where(y == 0, np.cos(angle), 1 - np.cos(angle))
            height = np.where(y == 0, np.sin(angle), 0.5 - np.sin(angle))
            parts[place].append(np.stack([x, height, np.full(n, 3.0)], axis=1) + 0.03 * rng.normal(size=(n, 3)))
            parts[place + 1].append(y)
    return tuple(np.stack(part) for part in parts)


@pytest.fixture
def make_clouds():
    return clouds


@pytest.fixture
def make_moons():
    return moons
