"""Small pictures of many classes: each class is a pattern, its rows are noisy copies."""

import numpy as np
import pytest


def patterns(n_classes, n_rows, seed=0, size=10, noise=60):
    """Return uint8 pictures (n, size, size) and labels "c0", "c1", ..."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 2, (n_classes, size // 2, size // 2)) * 160
    pictures = np.repeat(coarse.repeat(2, 1).repeat(2, 2), n_rows, axis=0)
    pictures = np.clip(pictures + rng.normal(40, noise, pictures.shape), 0, 255).astype(np.uint8)
    return pictures, np.repeat([f"c{i}" for i in range(n_classes)], n_rows)


@pytest.fixture(scope="session")
def base_pictures():
    """Twelve classes to meta-train on."""
    return patterns(12, 8)


@pytest.fixture(scope="session")
def new_pictures():
    """Five other classes."""
    return patterns(5, 12, seed=1)


@pytest.fixture(scope="session")
def few_base_pictures():
    """Eight classes, for learners that are slow."""
    return patterns(8, 8)


@pytest.fixture(scope="session")
def few_new_pictures():
    """Three other classes."""
    return patterns(3, 12, seed=1)


@pytest.fixture(scope="session")
def base_rows():
    """Rows of 12 classes that differ in 3 of 12 features; the others are loud noise."""
    return rows(12, 20, seed=0)


@pytest.fixture(scope="session")
def new_rows():
    return rows(6, 20, seed=1)


def rows(n_classes, n_rows, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(scale=4.0, size=(n_classes * n_rows, 12))
    X[:, :3] = np.repeat(rng.normal(scale=1.5, size=(n_classes, 3)), n_rows, axis=0) + rng.normal(
        scale=0.3, size=(len(X), 3)
    )
    return X, np.repeat(np.arange(n_classes), n_rows)


@pytest.fixture(scope="session")
def lines():
    """Sixty regressions, y = a x + b, of 20 points."""
    rng = np.random.default_rng(0)
    task = np.repeat(np.arange(60), 20)
    x = rng.uniform(-1, 1, (len(task), 1))
    return x, rng.normal(size=60)[task] * x[:, 0] + rng.normal(size=60)[task], task


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
def sines():
    return families(60, 20, 0, kinds=("sine",))


@pytest.fixture(scope="session")
def mixture():
    """Sines and lines to train on, and others."""
    return families(600, 30, 0), families(200, 40, 1)
