import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="displays draw by matplotlib, an optional package").use("Agg")

import matplotlib.pyplot as plt  # noqa: E402 - once it is known to be there


@pytest.fixture(autouse=True)
def one_figure_a_call():
    """Figures are closed; tests count them by `plt.get_fignums`."""
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def two_domains():
    """Rows of two classes in two domains that differ in the first feature: X, y, what is known of y, domain."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    y = np.where(X[:, 1] > 0, "up", "down")
    domain = np.repeat(["day", "night"], 60)
    X[60:, 0] += 6
    known = y.astype(object)
    known[60:] = None
    return X, y, known, domain
