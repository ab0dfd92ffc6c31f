"""Fitted reweighters as files: pickle, and skops, which needs no pickle."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.density_ratios import DENSITY_RATIOS
from sktl.reweighting import (
    BBSE,
    RLLS,
    WEIGHTERS,
    ReweightedClassifier,
    ReweightedRegressor,
    SaerensEM,
    TrAdaBoostClassifier,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3)) + np.repeat([0, 0.5], 60)[:, None]
Y = np.where(X[:, 0] + 0.3 * RNG.normal(size=120) > 0, "right", "left")
MARKED = np.where(np.arange(120) < 60, Y, "-1")
VALUES = np.where(np.arange(120) < 60, X[:, 0] ** 2, np.nan)
DOMAIN = np.repeat(["old", "new"], 60)
LEARNED = ("weights_", "density_ratio_", "class_weights_", "target_prior_", "source_weights_", "estimator_weights_")

FITTED = {
    **{
        name: lambda name=name: ReweightedClassifier(LogisticRegression(), weighter=name).fit(X, MARKED)
        for name in WEIGHTERS
    },
    **{
        f"{name}, values": lambda name=name: ReweightedRegressor(Ridge(), weighter=name).fit(X, VALUES)
        for name in DENSITY_RATIOS
    },
    **{
        repr(weighter): lambda weighter=weighter: ReweightedClassifier(
            make_pipeline(StandardScaler(), LogisticRegression()), weighter=weighter
        ).fit(X, MARKED)
        for weighter in (BBSE(soft=True), SaerensEM(calibrate=False), RLLS(gamma=0.5))
    },
    "boosted": lambda: TrAdaBoostClassifier(n_estimators=5, target_domain="new", random_state=0).fit(
        X, np.where(np.arange(120) < 80, Y, "-1"), sample_domain=DOMAIN
    ),
}


def by_pickle(model):
    return pickle.loads(pickle.dumps(model))


def by_skops(model):
    skops = pytest.importorskip("skops.io", reason="files are those of skops, an optional package")
    content = skops.dumps(model)
    unknown = skops.get_untrusted_types(data=content)
    assert all(name.startswith(("sktl.", "sklearn.")) for name in unknown)  # no function, no module of others
    return skops.loads(content, trusted=unknown)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("copied", [by_pickle, by_skops])
@pytest.mark.parametrize("fit", FITTED.values(), ids=FITTED)
def test_copies_answer_as_before(fit, copied):
    model = fit()
    found = copied(model)
    assert repr(found) == repr(model)
    assert np.array_equal(found.predict(X), model.predict(X))
    if hasattr(model, "classes_"):
        assert found.classes_.tolist() == model.classes_.tolist()
        assert np.array_equal(found.predict_proba(X), model.predict_proba(X))
    names = [name for name in LEARNED if hasattr(model, name)]
    assert names
    for name in names:
        assert np.array_equal(getattr(found, name), getattr(model, name))
