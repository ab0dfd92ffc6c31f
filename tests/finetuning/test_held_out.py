"""What is validated on: groups that stay together, and data of the user's own."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss

from sktl.finetuning import FineTunedClassifier, FineTunedRegressor
from sktl.finetuning._held_out import HeldOut

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 5))
Y = np.array(["no", "yes"])[(X[:, 0] + 0.5 * RNG.normal(size=120) > 0).astype(int)]
X_OWN = RNG.normal(size=(60, 5))
Y_OWN = np.array(["no", "yes"])[(X_OWN[:, 0] > 0).astype(int)]


def test_groups_are_held_out_whole():
    groups = np.repeat(np.arange(12), 10)
    model = FineTunedClassifier(max_epochs=3, early_stopping=True, random_state=0)
    job, _ = model._training_of(X, Y, None, goes_on=False, given=HeldOut(groups))
    train, valid = groups[job.train.indices], groups[job.valid.indices]
    assert len(np.unique(valid)) == 2  # a tenth of twelve, rounded up
    assert not set(train) & set(valid)
    assert len(train) + len(valid) == 120
    assert set(job.train.target) == set(job.valid.target) == {0, 1}
    weight = np.where(groups == 3, 0, 1)
    job, _ = model._training_of(X, Y, weight, goes_on=False, given=HeldOut(groups))
    assert 3 not in groups[np.concatenate([job.train.indices, job.valid.indices])]
    fitted = clone(model).fit(X, Y, groups=groups)
    assert "valid_loss" in fitted.history_[0]
    named = clone(model).fit(X, Y, groups=np.array(list("abcdefghijkl"))[groups])
    np.testing.assert_array_equal(named.predict_proba(X), fitted.predict_proba(X))
    assert "valid_loss" not in clone(model).set_params(early_stopping=False).fit(X, Y, groups=groups).history_[0]
    regressor = FineTunedRegressor(max_epochs=2, early_stopping=True, random_state=0).fit(X, X[:, 0], groups=groups)
    assert "valid_loss" in regressor.history_[0]


def test_groups_that_cannot_be_held_out():
    by_class = Y == "yes"
    model = FineTunedClassifier(early_stopping=True, random_state=0)
    with pytest.raises(ValueError, match="of 2 groups is 1, and no draw"):
        model.fit(X, Y, groups=by_class)
    with pytest.raises(ValueError, match="one group a row: expected 120, got 119"):
        model.fit(X, Y, groups=np.arange(119))


def test_validation_is_on_the_data_given():
    model = FineTunedClassifier(max_epochs=4, early_stopping=False, tuned_share=1.0, random_state=0)
    own = clone(model).fit(X, Y, validation=(X_OWN, Y_OWN))
    alone = clone(model).fit(X, Y)
    np.testing.assert_array_equal(own.predict_proba(X), alone.predict_proba(X))  # all of X is learned from
    last = own.history_[-1]
    assert last["valid_loss"] == pytest.approx(log_loss(Y_OWN, own.predict_proba(X_OWN)), rel=1e-4)
    assert last["valid_accuracy"] == pytest.approx(own.score(X_OWN, Y_OWN))
    assert "valid_loss" not in alone.history_[-1]
    weight = RNG.random(60)
    weighted = clone(model).fit(X, Y, validation=(X_OWN, Y_OWN, weight))
    expected = log_loss(Y_OWN, own.predict_proba(X_OWN), sample_weight=weight)
    assert weighted.history_[-1]["valid_loss"] == pytest.approx(expected, rel=1e-4)


def test_it_stops_early_by_default():
    upside_down = np.where(Y_OWN == "no", "yes", "no")  # the more is learned, the worse
    model = FineTunedClassifier(max_epochs=40, n_iter_no_change=2, random_state=0)
    assert model.fit(X, Y, validation=(X_OWN, upside_down)).n_iter_ < 40
    assert model.early_stopping_ is True
    regressor = FineTunedRegressor(max_epochs=40, n_iter_no_change=2, random_state=0)
    assert regressor.fit(X, X[:, 0], validation=(X_OWN, -X_OWN[:, 0])).n_iter_ < 40
    assert len(FineTunedClassifier(max_epochs=3).fit(X, Y).history_) == 3


def test_pictures_validate_too():
    pictures = RNG.integers(0, 255, (24, 32, 32, 3), dtype=np.uint8)
    y = np.arange(24) % 2
    for strategy in ("last", "full"):
        model = FineTunedClassifier(strategy=strategy, image_size=32, max_epochs=1, random_state=0)
        model.fit(pictures[:16], y[:16], validation=(pictures[16:], y[16:]))
        expected = log_loss(y[16:], model.predict_proba(pictures[16:]))
        assert model.history_[-1]["valid_loss"] == pytest.approx(expected, rel=0.02)


def test_another_validation_is_another_training(tmp_path):
    model = FineTunedClassifier(max_epochs=2, early_stopping=False, checkpoint_dir=tmp_path, random_state=0)
    first = clone(model).fit(X, Y, validation=(X_OWN, Y_OWN))
    second = clone(model).fit(X, Y, validation=(X_OWN[:30], Y_OWN[:30]))
    assert first.history_[-1]["valid_loss"] != second.history_[-1]["valid_loss"]
    again = clone(model).fit(X, Y, validation=(X_OWN, Y_OWN))
    assert again.history_[-1]["valid_loss"] == first.history_[-1]["valid_loss"]


@pytest.mark.parametrize(
    ("validation", "error", "message"),
    [
        (X_OWN, TypeError, r"validation must be \(X, y\) or \(X, y, sample_weight\)"),
        ((X_OWN,), TypeError, "got tuple of length 1"),
        ((X_OWN[:, :3], Y_OWN), ValueError, "validation: X has 3 features, but"),
        ((X_OWN, Y_OWN[:5]), ValueError, "validation: Found input variables with inconsistent numbers"),
        ((X_OWN, np.full(60, "other")), ValueError, "validation: y has labels that were not there before: 'other'"),
        ((X_OWN, Y_OWN, np.zeros(60)), ValueError, "at least one non-zero"),
    ],
)
def test_validation_that_does_not_fit(validation, error, message):
    model = FineTunedClassifier(max_epochs=1)
    with pytest.raises(error, match=message):
        model.fit(X, Y, validation=validation)
    assert not hasattr(model, "classes_")
    with pytest.raises(ValueError, match="give one of them"):
        model.fit(X, Y, groups=np.arange(120), validation=(X_OWN, Y_OWN))
