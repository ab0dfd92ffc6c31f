"""Fine-tuning is short where the head that it starts from leaves no more than noise to gain."""

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from sktl.features import LogisticRegressionLOO
from sktl.finetuning import FineTunedClassifier, FineTunedRegressor
from sktl.finetuning._budget import is_within_noise


def few(network, **options):
    return FineTunedClassifier(network, **{"image_size": 32, "random_state": 0, **options})


@pytest.fixture(scope="module")
def unclear(striped):
    """The same pictures, with labels that none of them shows."""
    return striped[0], np.random.default_rng(3).permutation(striped[1])


class TestRule:
    # a quarter of the error beside its standard error: by hand
    @pytest.mark.parametrize(
        ("n_wrong", "n", "expected"),
        [
            (4, 35, True),  # 0.125 / 4 = 0.031 < sqrt(0.125 * 0.875 / 35) = 0.056
            (14, 35, False),  # 0.403 / 4 = 0.101 > sqrt(0.403 * 0.597 / 35) = 0.083
            (18, 60, False),  # 0.303 / 4 = 0.076 > 0.059
            (4, 4, True),  # 0.9 / 4 = 0.225 < sqrt(0.5 * 0.5 / 4) = 0.25: four rows tell nothing
            (0, 600, True),
            (30, 600, False),  # 0.051 / 4 = 0.0127 > 0.0090
        ],
    )
    def test_values(self, n_wrong, n, expected):
        assert is_within_noise(n_wrong / n, n) is expected

    def test_an_unknown_error_says_nothing(self):
        assert not is_within_noise(math.nan, 10)


@pytest.fixture(scope="module")
def clear():
    """120 dark and bright pictures, among which the head makes no mistake."""
    rng, y = np.random.default_rng(1), np.arange(120) % 2
    return (rng.integers(0, 100, (120, 32, 32, 3)) + 150 * y[:, None, None, None]).astype(np.uint8), y


class TestLength:
    def test_short_where_the_head_is_nearly_right(self, clear, small_network):
        model = few(small_network).fit(*clear)
        assert model.max_epochs_ == model.n_iter_ == len(model.history_) == 3
        rates = [row["lr"] for row in model.history_]
        assert rates[-1] < 0.1 * max(rates)  # the schedule spans what is trained

    def test_long_where_it_is_often_wrong(self, unclear, small_network):
        assert few(small_network).fit(*unclear).n_iter_ == 10

    @pytest.mark.parametrize("options", [{"max_epochs": 5}, {"max_steps": 20}, {"C": 1.0}])
    def test_what_is_asked_for_is_done(self, options, clear, small_network):
        expected = {"max_epochs": 5, "max_steps": 5, "C": 10}[next(iter(options))]  # 20 updates are 5 epochs of 4
        assert few(small_network, **options).fit(*clear).n_iter_ == expected

    def test_data_to_validate_on_decide_instead(self, clear, small_network):
        X, y = clear
        model = few(small_network, early_stopping=False).fit(X[:110], y[:110], validation=(X[110:], y[110:]))
        assert model.n_iter_ == 10

    def test_no_head_no_rule(self, clear, small_network):
        assert few(small_network, strategy="full").fit(*clear).n_iter_ == 10
        numbers = clear[1].astype(float)
        model = FineTunedRegressor(small_network, image_size=32, random_state=0).fit(clear[0], numbers)
        assert model.n_iter_ == 10

    def test_a_checkpoint_knows_it(self, clear, small_network, tmp_path):
        first = few(small_network, checkpoint_dir=tmp_path).fit(*clear)
        again = few(small_network, checkpoint_dir=tmp_path).fit(*clear)
        assert first.max_epochs_ == again.max_epochs_ == 3
        assert np.array_equal(first.predict_proba(clear[0]), again.predict_proba(clear[0]))

    def test_frozen_layers_run_once(self, clear, small_network):
        assert few(small_network, freeze_until="0", augment=None).fit(*clear).n_iter_ == 3


def test_the_error_is_that_of_rows_left_out():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    X += 1.5 * np.eye(3, 4)[y]
    model = LogisticRegressionLOO().fit(X, y)
    by_folds = cross_val_predict(LogisticRegression(C=model.C_, max_iter=1000, tol=1e-8), X, y, cv=LeaveOneOut())
    assert 0.1 < np.mean(by_folds != y) < 0.6
    assert abs(model.loo_error_ - np.mean(by_folds != y)) < 1.5 / 60
    assert math.isnan(LogisticRegressionLOO(C=1.0).fit(X, y).loo_error_)
