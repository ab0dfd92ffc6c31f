"""The ridge regression that few codes choose: leaving one out against fits without each row, and what is taken."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.fewshot import FewShotClassifier
from sktl.fewshot._calibrated_ridge import calibrated_ridge, leave_one_out_outputs


@pytest.mark.parametrize("d", [5, 40])
def test_leaving_one_out_is_what_fits_without_each_row_give(d):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, d)) + 3, np.arange(20) % 3
    length = np.square(X - X.mean(0)).sum(1).mean()
    found = leave_one_out_outputs(X, y, np.array([0.1, 2.0]))
    for values, penalty in zip(found, (0.1, 2.0)):
        for i in range(20):
            others = Ridge(alpha=penalty * length).fit(np.delete(X, i, 0), np.eye(3)[np.delete(y, i)])
            np.testing.assert_allclose(values[i], others.predict(X[[i]])[0], atol=1e-9)


@pytest.mark.parametrize("noise", [0.5, 3.0])
def test_what_is_chosen_is_best_on_rows_left_out(noise):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), 10)
    X = rng.normal(size=(6, 100))[y] + noise * rng.normal(size=(60, 100))
    length = np.square(X - X.mean(0)).sum(1).mean()
    labels, target = np.eye(6)[y], (1 - 1 / 62) * np.eye(6)[y] + 1 / 62 / 6

    def loss(penalty, scale):
        others = [np.delete(np.arange(60), i) for i in range(60)]
        ridges = [Ridge(alpha=penalty * length).fit(X[some], labels[some]) for some in others]
        outputs = scale * np.concatenate([ridge.predict(X[[i]]) for i, ridge in enumerate(ridges)])
        return -(target * log_softmax(outputs, axis=1)).sum(1).mean()

    found = calibrated_ridge(X, y)
    penalty, scale = found.log_alpha.exp().item(), found.scale.item()
    assert penalty > (0.5 if noise == 3 else 0.05)
    for other in (penalty, 0.8 * scale), (penalty, 1.25 * scale), (0.1, scale), (0.1, 10.0):
        assert loss(penalty, scale) < loss(*other) + 0.02


def test_few_rows_that_are_all_right_do_not_make_any_scale_right():
    rng = np.random.default_rng(0)
    y = np.arange(6) % 2
    found = calibrated_ridge(rng.normal(size=(6, 80)) + 3 * y[:, None], y)
    assert found.scale <= 10


def test_copies_of_rows_do_not_give_each_other_away():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), 5)
    X = rng.normal(size=(6, 100))[y] + 5 * rng.normal(size=(30, 100))
    once, twice = calibrated_ridge(X, y), calibrated_ridge(np.vstack([X, X]), np.r_[y, y])
    assert once.scale < 3  # little can be told
    assert (once.log_alpha.item(), once.scale.item()) == (twice.log_alpha.item(), twice.scale.item())


@pytest.mark.parametrize("kind", ["lone rows", "many rows"])
def test_where_nothing_is_chosen(kind):
    y = np.arange(8) if kind == "lone rows" else np.arange(2001) % 2
    found = calibrated_ridge(np.random.default_rng(0).normal(size=(len(y), 70)), y)
    assert np.isclose(found.log_alpha.exp().item(), 0.1)
    assert found.scale == (7 if kind == "lone rows" else 10)


def test_wide_rows_are_no_worse_off_than_with_logistic_regression():
    rng = np.random.default_rng(6)
    shares = rng.beta(0.3, 0.3, (12, 120)) * 0.5 + 0.25
    y = np.repeat(np.arange(12), 30)
    X = (rng.random((360, 120)) < shares[y]).astype(float)
    digits, kind = load_digits(return_X_y=True)
    for rows, labels in ((X, y), (digits[:600], kind[:600])):
        scores = []
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(len(labels))
            some = np.concatenate([order[labels[order] == k][:10] for k in np.unique(labels)])
            tested = np.setdiff1d(order, some)
            base = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(rows[some], labels[some])
            ours = FewShotClassifier().fit(rows[some], labels[some])
            scores.append(
                [(m.score(rows[tested], labels[tested]), log_loss(labels[tested], m.predict_proba(rows[tested])))
                 for m in (ours, base)]
            )  # fmt: skip
        (accuracy, loss), (of_base, loss_of_base) = np.mean(scores, axis=0)
        assert accuracy > of_base - 0.03
        assert loss < loss_of_base + 0.1
