"""Small tasks in which something can be learned across tasks."""

import numpy as np
import pytest


def rows(n_classes, n_rows, seed):
    """Return rows of classes that differ in 3 of 12 features; the others are loud noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(scale=4.0, size=(n_classes * n_rows, 12))
    X[:, :3] = np.repeat(rng.normal(scale=1.5, size=(n_classes, 3)), n_rows, axis=0) + rng.normal(
        scale=0.3, size=(len(X), 3)
    )
    return X, np.repeat(np.arange(n_classes), n_rows)


def pictures(n_classes, n_rows, seed):
    """Return noisy copies of a pattern for each class, uint8 (n, 10, 10), and labels "c0", "c1", ..."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 2, (n_classes, 5, 5)) * 160
    clean = np.repeat(coarse.repeat(2, 1).repeat(2, 2), n_rows, axis=0)
    noisy = np.clip(clean + rng.normal(40, 60, clean.shape), 0, 255).astype(np.uint8)
    return noisy, np.repeat([f"c{i}" for i in range(n_classes)], n_rows)


def families(n_tasks, n_points, seed, kinds=("sine", "line")):
    """Return x, y and task of regressions, each of one of two kinds."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, (n_tasks, 1)) if len(kinds) == 2 else np.full((n_tasks, 1), kinds[0] == "line")
    x = rng.uniform(-5, 5, (n_tasks, n_points))
    amplitude, phase = rng.uniform(0.5, 3, (n_tasks, 1)), rng.uniform(0, np.pi, (n_tasks, 1))
    slope, offset = rng.uniform(-2, 2, (n_tasks, 1)), rng.uniform(-2, 2, (n_tasks, 1))
    y = np.where(kind == 1, slope * x + offset, amplitude * np.sin(x - phase))
    return x.reshape(-1, 1), y.ravel(), np.repeat(np.arange(n_tasks), n_points)


@pytest.fixture(scope="session")
def base_rows():
    return rows(12, 20, seed=0)


@pytest.fixture(scope="session")
def new_rows():
    return rows(6, 20, seed=1)


@pytest.fixture(scope="session")
def base_pictures():
    return pictures(8, 8, seed=0)


@pytest.fixture(scope="session")
def new_pictures():
    return pictures(3, 12, seed=1)


@pytest.fixture(scope="session")
def sines():
    return families(60, 20, 0, kinds=("sine",))


@pytest.fixture(scope="session")
def mixture():
    """Sines and lines to train on, and others."""
    return families(600, 30, 0), families(200, 40, 1)
