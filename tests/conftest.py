"""Real data for tests, where it is at hand."""

import os
import signal

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # before SciPy is imported; else array API checks are skipped
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes of tests: one thread each, their children's too
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    import threadpoolctl

    threadpoolctl.threadpool_limits(1)  # plugins of pytest have loaded NumPy and scikit-learn by now

from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    return Path(os.environ.get("SKTL_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = data_folder()
    if not folder.is_dir():
        pytest.skip(f"the real data is not at {folder}; name its folder in SKTL_DATA")
    return folder


@pytest.fixture(scope="session")
def ants_and_bees(shared_data):
    """Sixty pictures of two classes: paths and labels, shuffled."""
    folder = shared_data / "hymenoptera" / "train"
    paths = [path for label in ("ants", "bees") for path in sorted((folder / label).glob("*.jpg"))[:30]]
    labels = np.asarray([path.parent.name for path in paths])
    order = np.random.default_rng(0).permutation(len(paths))
    return [paths[i] for i in order], labels[order]


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_interrupts():
    """A process that a shell starts in the background ignores Ctrl-C, which some tests press."""
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, found)


@pytest.fixture(autouse=True)
def global_generators_stay_as_found():
    """No test may find Python's, NumPy's or torch's generators moved by the library."""
    import random

    import torch

    import sktl._callbacks  # noqa: F401 - imports rich, which draws an identifier from Python's generator

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    after = random.getstate(), np.random.get_state(), torch.get_rng_state()
    assert before[0] == after[0], "Python's global generator moved"
    assert all(np.array_equal(a, b) for a, b in zip(before[1], after[1])), "NumPy's global generator moved"
    assert torch.equal(before[2], after[2]), "torch's global generator moved"
