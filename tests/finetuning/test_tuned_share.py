"""How far from the solved head to the fine-tuned network the weights lie that are kept."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import log_loss

from sktl.exceptions import WeightsError
from sktl.finetuning import FineTunedClassifier, FineTunedRegressor
from sktl.finetuning._averaging import SHARES, head_and_share, put_between, values_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)  # which no line tells
X_OWN = RNG.normal(size=(60, 5))
Y_OWN = (X_OWN[:, 0] * X_OWN[:, 1] > 0).astype(int)


def weights(model):
    return {name: value.clone() for name, value in model.module_.state_dict().items()}


class TestPictures:
    @pytest.mark.parametrize("freeze_until", [None, "0"])  # with it, the frozen layers run once and the rest trains
    def test_weights_lie_between_the_solved_head_and_the_tuned_network(self, small_network, striped, freeze_until):
        pictures, y = striped
        model = FineTunedClassifier(
            small_network, image_size=32, max_epochs=3, freeze_until=freeze_until, random_state=0, tuned_share=1.0
        )
        head = clone(model).set_params(strategy="head", freeze_until=None).fit(pictures, y)
        first, last = clone(model).set_params(tuned_share=0.0).fit(pictures, y), clone(model).fit(pictures, y)
        np.testing.assert_allclose(first.predict_proba(pictures), head.predict_proba(pictures), atol=1e-5)
        assert np.abs(last.predict_proba(pictures) - head.predict_proba(pictures)).max() > 0.01
        between = clone(model).set_params(tuned_share=0.25).fit(pictures, y)
        starts, ends = weights(first), weights(last)
        for name, value in weights(between).items():
            if value.is_floating_point():
                expected = 0.75 * starts[name] + 0.25 * ends[name]
                assert torch.allclose(value, expected, atol=1e-6), name
        assert (first.tuned_share_, between.tuned_share_, head.tuned_share_) == (0.0, 0.25, None)

    def test_a_checkpoint_tells_what_was_taken(self, small_network, striped, tmp_path):
        pictures, y = striped
        model = FineTunedClassifier(small_network, image_size=32, max_epochs=2, checkpoint_dir=tmp_path, random_state=0)
        first, again = clone(model).fit(pictures, y), clone(model).fit(pictures, y)
        assert (again.tuned_share_, again.C_) == (first.tuned_share_, first.C_)
        np.testing.assert_array_equal(again.predict_proba(pictures), first.predict_proba(pictures))
        first.save(tmp_path / "model")
        loaded = FineTunedClassifier.load(tmp_path / "model", backbone=small_network)
        assert loaded.tuned_share_ == first.tuned_share_ == 40 / 90


class TestRows:
    def test_the_fewer_examples_the_nearer_to_the_head(self):
        model = FineTunedClassifier(max_epochs=2, random_state=0)
        assert model.fit(X, Y).tuned_share_ == 60 / 460
        assert model.fit(X, Y, np.arange(60) % 3).tuned_share_ == 40 / 440  # a row of weight 0 is none,
        assert model.fit(np.tile(X, (2, 1)), np.tile(Y, 2)).tuned_share_ == 60 / 460  # and two that are alike are one
        assert FineTunedRegressor(max_epochs=2, random_state=0).fit(X, X[:, 0]).tuned_share_ == 60 / 460
        model = FineTunedClassifier(strategy="full", max_epochs=2, warm_start=True, random_state=0).fit(X, Y)
        assert model.tuned_share_ is None
        assert model.set_params(strategy="lp-ft").fit(X, Y).tuned_share_ is None  # it goes on, and solves nothing
        assert FineTunedClassifier(max_epochs=2, random_state=0).partial_fit(X, Y).tuned_share_ is None

    @pytest.mark.parametrize("is_upside_down", [False, True])
    def test_held_out_rows_choose(self, is_upside_down):
        labels = 1 - Y_OWN if is_upside_down else Y_OWN
        model = FineTunedClassifier(max_epochs=30, learning_rate=0.01, random_state=0)
        auto = clone(model).fit(X, Y, validation=(X_OWN, labels))
        losses = []
        for share in SHARES:
            fixed = clone(model).set_params(tuned_share=share).fit(X, Y, validation=(X_OWN, labels))
            assert fixed.tuned_share_ == share
            losses.append(log_loss(labels, fixed.predict_proba(X_OWN)))
        assert auto.tuned_share_ == SHARES[int(np.argmin(losses))]
        assert log_loss(labels, auto.predict_proba(X_OWN)) == pytest.approx(min(losses), rel=1e-5)
        assert (auto.tuned_share_ > 0) == (not is_upside_down)

    @pytest.mark.parametrize("share", [-0.1, 1.1, "half", None])
    def test_a_share_that_is_none(self, share):
        with pytest.raises(ValueError, match="tuned_share"):
            FineTunedClassifier(tuned_share=share).fit(X, Y)


def test_either_end_is_met_to_the_bit():
    module, rng = torch.nn.utils.skip_init(torch.nn.Linear, 50, 3), np.random.default_rng(0)
    shapes = {name: value.shape for name, value in values_of(module).items()}
    start, end = (
        {name: torch.from_numpy(scale * rng.random(shape, dtype=np.float32)) for name, shape in shapes.items()}
        for scale in (1, 1000)
    )
    for share, expected in ((0.0, start), (1.0, end)):
        put_between(module, start, end, share)
        assert all(torch.equal(value, expected[name]) for name, value in module.state_dict().items())


def test_a_checkpoints_head_that_is_none():
    of = torch.nn.utils.skip_init(torch.nn.Linear, 3, 2)
    sound = {"weight": torch.ones(2, 3), "bias": torch.zeros(2), "n_iter": 1, "penalty": 1.0, "n_distinct": 9}
    head, share = head_and_share({"head": sound, "share": 0.5}, of)
    assert head.n_distinct == 9
    assert share == 0.5
    assert head_and_share({"head": None, "share": None}, of) == (None, None)
    wrong = [{**sound, "weight": torch.full(shape, value)} for shape, value in (((2, 4), 1.0), ((2, 3), torch.nan))]
    wrong += [{**sound, "weight": torch.ones(5, 3), "bias": torch.zeros(5)}, {**sound, "penalty": "1"}]
    wrong += [{**sound, "n_distinct": -1}, {"bias": 1}, "head", 0, {}]
    for saved in [*({"head": each, "share": None} for each in wrong), {"head": None, "share": 2.0}]:
        with pytest.raises(WeightsError, match="none of this training"):
            head_and_share(saved, of)
