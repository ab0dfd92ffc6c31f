"""Nested parameters reach into objects that are given by name, or stand in a list."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sktl.adaptation import DomainAdaptedClassifier
from sktl.adaptation.losses import CDAN, MCC
from sktl.fewshot import ProtoNetClassifier
from sktl.fewshot.transductive import TIM
from sktl.finetuning import FineTunedClassifier, FineTunedRegressor, LoRA


def test_names():
    assert DomainAdaptedClassifier(loss="cdan").set_params(loss__weight=0.5).loss.weight == 0.5
    for cls in (FineTunedClassifier, FineTunedRegressor):
        model = cls(adapter="lora").set_params(adapter__rank=8)
        assert isinstance(model.adapter, LoRA)
        assert model.get_params()["adapter__rank"] == 8
    model = ProtoNetClassifier(transductive="tim").set_params(transductive__n_iter=3)
    assert isinstance(model.transductive, TIM)
    assert model.transductive.n_iter == 3


@pytest.mark.parametrize("place", ["mcc", "1"])
def test_lists(place):
    given = ["cdan", "mcc"]
    model = DomainAdaptedClassifier(loss=given).set_params(**{f"loss__{place}__weight": 0.25})
    assert given == ["cdan", "mcc"]
    assert model.loss[0] == "cdan"
    assert isinstance(model.loss[1], MCC)
    assert model.get_params()["loss__mcc__weight"] == 0.25
    assert clone(model).set_params(loss__mcc__weight=2.0).loss[1].weight == 2.0
    assert model.loss[1].weight == 0.25  # a clone has objects of its own


def test_a_list_and_its_parts_at_once():
    model = DomainAdaptedClassifier().set_params(loss=[CDAN(), "mcc", MCC()], loss__cdan__entropy=True)
    model.set_params(**{"loss__mcc-2__weight": 0.5, "loss__1__weight": 0.75})
    assert [getattr(loss, "weight", None) for loss in model.loss] == [CDAN().weight, 0.75, 0.5]
    assert model.loss[0].entropy is True


def test_grids_reach_in():
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = np.where(np.arange(60) % 2, (X[:, 0] > 0).astype(int), -1)
    model = DomainAdaptedClassifier(loss=["coral", "mcc"], max_epochs=1, random_state=0)
    search = GridSearchCV(
        model, {"loss__mcc__weight": [0.1, 1.0]}, cv=2, error_score="raise", scoring=lambda e, X, y: 0
    )
    assert search.fit(X, y).best_estimator_.loss[1].weight == 0.1
    assert model.loss == ["coral", "mcc"]


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        (
            DomainAdaptedClassifier(loss=["cdan", "mcc"]),
            {"loss__dann__weight": 1},
            "one of 'cdan', 'mcc', or its place",
        ),
        (DomainAdaptedClassifier(loss=["cdan", "mcc"]), {"loss__weight": 1}, "one of 'cdan', 'mcc', or its place"),
        (DomainAdaptedClassifier(loss=["cdan"]), {"loss__cdan__wight": 1}, "Invalid parameter 'wight'"),
        (DomainAdaptedClassifier(loss=None), {"loss__weight": 1}, "loss=None has no parameters of its own"),
        (ProtoNetClassifier(), {"transductive__n_iter": 1}, "transductive=False has no parameters"),
        (FineTunedClassifier(), {"adapter__rank": 1}, "adapter=None has no parameters"),
    ],
)
def test_what_is_not_there_is_named(model, params, message):
    with pytest.raises(ValueError, match=message):
        model.set_params(**params)
