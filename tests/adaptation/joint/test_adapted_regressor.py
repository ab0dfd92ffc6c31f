"""Adaptation of regressions: it starts as ridge regression, leaves out what has no number, and aligns."""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import sktl
from sktl import DomainAdaptedRegressor
from sktl.adaptation.losses import LOSSES, DomainLoss, get_loss, inverse_gram_distances

QUICK = {"max_epochs": 2, "random_state": 0}


@pytest.fixture
def moved():
    """Rows of a source, their numbers, rows of a target elsewhere, theirs."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(240, 3))
    X = latent @ rng.normal(size=(3, 8)) + 0.3 * rng.normal(size=(240, 8))
    y = 40 + 10 * latent[:, 0]
    X[120:, :4] += 1.0
    return X[:120], y[:120], X[120:], y[120:]


def together(moved):
    X_source, y_source, X_target, _ = moved
    return np.vstack([X_source, X_target]), np.r_[y_source, np.full(len(X_target), np.nan)]


def by_hand(source, target, share):
    """The paper's two distances with NumPy's decompositions of the Gram matrices themselves."""
    grams = []
    for rows in (source, target):
        augmented = np.hstack([np.ones((len(rows), 1)), rows])
        grams.append(augmented.T @ augmented / len(rows))
    spectra = [np.sort(np.linalg.eigvalsh(gram))[::-1].clip(0) for gram in grams]
    n = max(int(np.argmax(np.cumsum(s) / s.sum() >= share)) + 1 for s in spectra)
    inverses = []
    for gram in grams:
        values, vectors = np.linalg.eigh(gram)
        first = [i for i in np.argsort(values)[::-1][:n] if values[i] > 1e-9 * values.max()]
        inverses.append((vectors[:, first] / values[first]) @ vectors[:, first].T)
    lengths = [np.linalg.norm(inverse, axis=0) for inverse in inverses]
    cosines = (inverses[0] * inverses[1]).sum(0) / (lengths[0] * lengths[1])
    return np.mean(1 - cosines), np.linalg.norm(spectra[0][:n] - spectra[1][:n]) / n


class TestInverseGramDistances:
    @pytest.mark.parametrize(("n_source", "n_target", "n_features"), [(60, 50, 5), (12, 20, 30), (40, 40, 12)])
    @pytest.mark.parametrize("share", [0.8, 0.95])
    def test_they_are_the_papers(self, n_source, n_target, n_features, share):
        rng = np.random.default_rng(n_features)
        spread = np.linspace(3, 0.3, n_features)
        source = rng.normal(size=(n_source, n_features)) * spread
        target = rng.normal(size=(n_target, n_features)) * spread[::-1] + 0.5
        found = inverse_gram_distances(torch.from_numpy(source), torch.from_numpy(target), share=share)
        np.testing.assert_allclose([float(part) for part in found], by_hand(source, target, share), rtol=1e-5)

    def test_they_are_zero_for_the_same_rows(self):
        rows = torch.randn(30, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        angle, scale = inverse_gram_distances(rows, rows.clone())
        assert float(angle) == pytest.approx(0, abs=1e-9)
        assert float(scale) == pytest.approx(0, abs=1e-6)

    def test_the_slope_is_that_of_differences(self):
        generator = torch.Generator().manual_seed(0)
        source, target = (torch.randn(25, 4, dtype=torch.float64, generator=generator) for _ in range(2))
        source.requires_grad_(True)
        assert torch.autograd.gradcheck(
            lambda rows: sum(inverse_gram_distances(rows, target, share=1.0)), (source,), atol=1e-3
        )

    @pytest.mark.parametrize("rows", [torch.zeros(8, 5), torch.ones(8, 5), torch.full((8, 5), 1e4)])
    def test_degenerate_rows_have_finite_distances_and_slopes(self, rows):
        source = rows.clone().requires_grad_(True)
        angle, scale = inverse_gram_distances(source, torch.randn(8, 5, generator=torch.Generator().manual_seed(0)))
        (angle + scale).backward()
        assert torch.isfinite(angle)
        assert torch.isfinite(scale)
        assert torch.isfinite(source.grad).all()


class TestStart:
    @pytest.mark.parametrize("loss", [None, "mmd", "dare_gram"])
    def test_it_is_ridge_regression(self, loss):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(240, 8))
        y = np.r_[X[:120, 0] + 2 * rng.normal(size=120), np.full(120, np.nan)]  # nothing bends
        still = DomainAdaptedRegressor(loss=loss, learning_rate=1e-12, **QUICK).fit(X, y)
        scaler = StandardScaler().fit(X)
        ridge = RidgeCV(np.logspace(-4, 1, 11) * 120).fit(scaler.transform(X[:120]), y[:120])
        np.testing.assert_allclose(still.predict(X), ridge.predict(scaler.transform(X)), rtol=1e-3, atol=1e-4)

    def test_a_column_that_does_not_vary_in_the_source_has_no_say(self, moved):
        X, y = together(moved)
        rng = np.random.default_rng(1)
        loud = np.c_[X, np.r_[np.zeros(120), rng.normal(scale=50, size=120)]]
        adapted = DomainAdaptedRegressor(random_state=0).fit(loud, y)
        quiet = loud.copy()
        quiet[:, -1] = 0
        np.testing.assert_allclose(adapted.predict(loud), adapted.predict(quiet), rtol=1e-6)

    def test_numbers_far_out_do_not_end_training(self):
        rng = np.random.default_rng(0)
        X = rng.standard_t(1.2, size=(400, 5))
        y = np.r_[X[:200] @ [1, 2, 0, 0, 1] + rng.standard_t(1.5, size=200), np.full(200, np.nan)]
        assert np.isfinite(DomainAdaptedRegressor(random_state=0).fit(X, y).predict(X)).all()

    def test_training_stays_near_it_where_nothing_is_to_be_gained(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(1000, 60))
        y = X[:, 0] + 2 * rng.normal(size=1000)  # linear, and mostly noise
        known = np.r_[y[:100], np.full(400, np.nan)]
        ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13) * 100)).fit(X[:100], y[:100])
        adapted = DomainAdaptedRegressor(random_state=0).fit(X[:500], known)
        assert adapted.score(X[500:], y[500:]) > ridge.score(X[500:], y[500:]) - 0.03

    def test_what_bends_is_learned(self):
        rng = np.random.default_rng(0)
        X = rng.uniform(-2, 2, (600, 4))
        y = np.abs(X[:, 0])
        adapted = DomainAdaptedRegressor(loss=None, random_state=0).fit(X[:500], y[:500])
        ridge = RidgeCV().fit(X[:500], y[:500])
        assert ridge.score(X[500:], y[500:]) < 0.1 < 0.8 < adapted.score(X[500:], y[500:])


class TestTarget:
    def test_units_do_not_matter(self, moved):
        X, y = together(moved)
        plain = DomainAdaptedRegressor(**QUICK).fit(X, y).predict(X)
        other = DomainAdaptedRegressor(**QUICK).fit(X, 1e6 * y - 5e6).predict(X)
        np.testing.assert_allclose(other, 1e6 * plain - 5e6, rtol=1e-5)

    def test_several_numbers(self, moved):
        X, y = together(moved)
        both = DomainAdaptedRegressor(**QUICK).fit(X, np.c_[y, -2 * y])
        assert both.n_outputs_ == 2
        found = both.predict(X)
        assert found.shape == (240, 2)
        assert np.corrcoef(found.T)[0, 1] < -0.99

    def test_a_column_stays_a_column(self, moved):
        X, y = together(moved)
        assert DomainAdaptedRegressor(**QUICK).fit(X, y[:, None]).predict(X).shape == (240, 1)
        assert DomainAdaptedRegressor(**QUICK).fit(X, y).predict(X).shape == (240,)

    @pytest.mark.parametrize("mark", [None, np.nan, float("nan")])
    def test_missing_marks_are_one(self, moved, mark):
        X, y = together(moved)
        listed = [value if np.isfinite(value) else mark for value in y.tolist()]
        np.testing.assert_array_equal(
            DomainAdaptedRegressor(**QUICK).fit(X, listed).predict(X),
            DomainAdaptedRegressor(**QUICK).fit(X, y).predict(X),
        )

    def test_y_is_not_written_to(self, moved):
        X, y = together(moved)
        before = y.copy()
        DomainAdaptedRegressor(**QUICK).fit(X, y)
        np.testing.assert_array_equal(y, before)

    def test_rows_of_no_weight_are_not_there(self, moved):
        X, y = together(moved)
        wrong, weight = y.copy(), np.ones(len(y))
        wrong[:20], weight[:20] = 1e6, 0
        weighted = DomainAdaptedRegressor(**QUICK).fit(X, wrong, sample_weight=weight)
        left_out = DomainAdaptedRegressor(**QUICK).fit(X[20:], y[20:])
        np.testing.assert_allclose(weighted.predict(X), left_out.predict(X), rtol=1e-5)

    def test_weights_change_the_start_as_repeats_do(self, moved):
        X, y = together(moved)
        still = {"learning_rate": 1e-12, "loss": None, "max_epochs": 1, "random_state": 0}
        weight = np.r_[np.full(60, 3.0), np.ones(180)]
        weighted = DomainAdaptedRegressor(**still).fit(X, y, sample_weight=weight).predict(X)
        plain = DomainAdaptedRegressor(**still).fit(X, y).predict(X)
        assert np.abs(weighted - plain).max() > 0.01
        heavier = DomainAdaptedRegressor(**still).fit(X, y, sample_weight=7 * weight).predict(X)
        np.testing.assert_allclose(heavier, weighted, rtol=1e-6)

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (lambda y: None, "requires y to be passed"),
            (lambda y: np.full_like(y, np.nan), "y holds no number"),
            (lambda y: y[:-1], "239"),
            (lambda y: np.where(np.arange(240) == 3, np.inf, y), "infinity"),
            (lambda y: np.c_[y, np.where(np.arange(240) == 3, np.nan, y)], "Row 3 of y has some of its 2 numbers"),
            (lambda y: np.repeat(np.datetime64("2020-01-01"), 240), "dates"),
            (lambda y: y.reshape(60, 2, 2), "dim 3"),
            (lambda y: np.array(["a"] * 240), "convert|numeric|could not|np.nan"),
        ],
        ids=["none", "no number", "one short", "infinite", "half a row", "dates", "three axes", "text"],
    )
    def test_what_is_wrong_is_said(self, moved, y, message):
        X, known = together(moved)
        with pytest.raises(ValueError, match=message):
            DomainAdaptedRegressor(**QUICK).fit(X, y(known))

    def test_without_a_target_it_says_so(self, moved):
        with pytest.warns(UserWarning, match="no target to adapt to.*NaN"):
            DomainAdaptedRegressor(**QUICK).fit(moved[0], moved[1])

    def test_several_sources_by_name(self, moved):
        X, y = together(moved)
        domains = np.r_[np.repeat(["a", "b"], 60), np.repeat("new", 120)]
        adapted = DomainAdaptedRegressor(**QUICK).fit(X, y, sample_domain=domains)
        assert adapted.domains_[adapted.is_target_domain_].tolist() == ["new"]
        unseen = DomainAdaptedRegressor(loss="group_dro", **QUICK).fit(X[:120], y[:120], sample_domain=domains[:120])
        assert "train_groupdro" in unseen.history_[0]


class TestLosses:
    @pytest.mark.parametrize(
        "name", [name for name in LOSSES if not get_loss(name).needs_classes and name != "mixstyle"]
    )
    def test_each_that_needs_no_classes_trains(self, moved, name):
        X, y = together(moved)
        domains = np.r_[np.repeat([0, 1], 60), np.repeat(2, 120)]
        adapted = DomainAdaptedRegressor(loss=name, **QUICK).fit(X, y, sample_domain=domains)
        assert np.isfinite(adapted.predict(X)).all()

    @pytest.mark.parametrize("loss", ["cdan", ["mmd", "mcc"], get_loss("jan")])
    def test_those_that_do_are_refused(self, moved, loss):
        X, y = together(moved)
        with pytest.raises(ValueError, match=r"compare classes, and a regression has none.*'mmd'"):
            DomainAdaptedRegressor(loss=loss, **QUICK).fit(X, y)

    def test_one_of_ones_own(self, moved):
        class Means(DomainLoss):
            needs_classes = False

            def __call__(self, view, state):
                return (view.source_features.mean(0) - view.target_features.mean(0)).pow(2).sum()

        X, y = together(moved)
        assert "train_means" in DomainAdaptedRegressor(loss=Means(), **QUICK).fit(X, y).history_[0]

    def test_what_is_aligned_comes_closer(self, moved):
        X, y = together(moved)
        apart = {}
        for loss in (None, "mmd"):
            features = DomainAdaptedRegressor(loss=loss, random_state=0, max_epochs=100).fit(X, y).features(X)
            apart[loss] = np.linalg.norm(features[:120].mean(0) - features[120:].mean(0)) / features.std()
        assert apart["mmd"] < 0.9 * apart[None]

    @pytest.mark.parametrize("column", [1, 0], ids=["by sex", "by age"])
    def test_adapted_is_no_worse_on_patients_of_another_kind(self, column):
        data = load_diabetes()
        is_target = data.data[:, column] > 0
        X, y = np.delete(data.data, 1, 1), np.where(is_target, np.nan, data.target)
        scores = [
            DomainAdaptedRegressor(loss=loss, random_state=0).fit(X, y).score(X[is_target], data.target[is_target])
            for loss in ("mmd", None)
        ]
        ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13) * 200)).fit(X[~is_target], y[~is_target])
        assert scores[0] > max(scores[1], ridge.score(X[is_target], data.target[is_target])) - 0.02


class TestUse:
    def test_the_score_leaves_rows_without_a_number_out(self, moved):
        X, y = together(moved)
        adapted = DomainAdaptedRegressor(**QUICK).fit(X, y)
        with pytest.warns(UserWarning, match="left out|unlabelled"):
            found = adapted.score(X, y)
        assert found == pytest.approx(adapted.score(moved[0], moved[1]))
        with pytest.raises(ValueError, match="y holds no number"):
            adapted.score(X[120:], y[120:])

    def test_a_grid_search_takes_it(self, moved):
        X, y = together(moved)
        order = np.random.default_rng(0).permutation(len(y))
        with pytest.warns(UserWarning, match="left out|unlabelled"):
            search = GridSearchCV(DomainAdaptedRegressor(**QUICK), {"loss__weight": [0.1, 1.0]}, cv=2).fit(
                X[order], y[order]
            )
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()

    def test_copies_pickles_and_files_predict_the_same(self, moved, tmp_path):
        X, y = together(moved)
        adapted = DomainAdaptedRegressor(**QUICK).fit(X, y)
        expected = adapted.predict(X)
        adapted.save(tmp_path / "model.safetensors")
        for other in (
            pickle.loads(pickle.dumps(adapted)),
            DomainAdaptedRegressor.load(tmp_path / "model.safetensors"),
            sktl.load(tmp_path / "model.safetensors"),
            clone(adapted).fit(X, y),
        ):
            np.testing.assert_array_equal(other.predict(X), expected)

    def test_training_goes_on_where_it_was_stopped(self, moved, tmp_path):
        X, y = together(moved)
        whole = DomainAdaptedRegressor(max_epochs=4, random_state=0).fit(X, y)

        class StopError(Exception):
            pass

        from skorch.callbacks import Callback

        class Stops(Callback):
            def on_epoch_end(self, net, **kwargs):
                if len(net.history) == 2:
                    raise StopError

        settings = {"max_epochs": 4, "random_state": 0, "checkpoint_dir": tmp_path}
        with pytest.raises(StopError):
            DomainAdaptedRegressor(callbacks=[Stops()], **settings).fit(X, y)
        np.testing.assert_array_equal(DomainAdaptedRegressor(**settings).fit(X, y).predict(X), whole.predict(X))

    def test_sparse_rows(self, moved):
        X, y = together(moved)
        rows = sparse.csr_array(np.where(np.abs(X) > 0.5, X, 0))
        adapted = DomainAdaptedRegressor(**QUICK).fit(rows, y)
        assert adapted.score(rows[:120], y[:120]) > 0.5

    def test_pictures_and_a_network_of_ones_own(self):
        rng = np.random.default_rng(0)
        y = rng.uniform(50, 200, 80)
        X = rng.integers(0, 20, (80, 12, 12)) + y[:, None, None].astype(int)
        X[40:, :1] = 0
        known = np.r_[y[:40], np.full(40, np.nan)]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        adapted = DomainAdaptedRegressor(network, random_state=0, max_epochs=60).fit(X.astype(np.uint8), known)
        assert adapted.predict(X[40:].astype(np.uint8)).shape == (40,)
        assert adapted.score(X[:40].astype(np.uint8), y[:40]) > 0.5

    def test_it_deploys_in_the_targets_unit(self, moved):
        X, y = together(moved)
        adapted = DomainAdaptedRegressor(**QUICK).fit(X, y)
        module = adapted.torch_module_
        with torch.no_grad():
            found = module(torch.from_numpy(X).float()).numpy()
        np.testing.assert_allclose(found, adapted.predict(X), rtol=1e-4)

    def test_a_weight_decay_of_ones_own(self, moved):
        X, y = together(moved)
        light, heavy = (
            DomainAdaptedRegressor(loss=None, weight_decay=decay, max_epochs=30, random_state=0)
            .fit(X, y)
            .predict(X)
            .std()
            for decay in (0.0, 3.0)
        )
        assert heavy < 0.7 * light
