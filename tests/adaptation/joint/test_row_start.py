"""Feature rows start as a linear model, each domain at its own centre; classes are weighed by estimated shares."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sktl._draws import OwnDraws
from sktl.adaptation import DomainAdaptedClassifier
from sktl.adaptation.joint._network import HEADS, set_head
from sktl.adaptation.joint._row_body import RowBody
from sktl.adaptation.joint._row_start import Part, linear_model, principal, row_start
from sktl.adaptation.joint._shares import drawn_by, estimated_shares, shares_in_place

RNG = np.random.default_rng(0)


def classes_of(n_classes, n_each, n_columns=40, spread=1.0, moved=0.0, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(5).normal(size=(n_classes, n_columns))
    y = np.repeat(np.arange(n_classes), n_each)
    return centres[y] + spread * rng.normal(size=(len(y), n_columns)) + moved, y


def stacked(source, target):
    return np.vstack([source[0], target[0]]), np.r_[source[1], np.full(len(target[1]), -1)]


@pytest.fixture(scope="module")
def few_of_many():
    """Six rows of each of 40 classes; the target is moved."""
    source = classes_of(40, 6, 100, spread=2.5)
    return source, classes_of(40, 5, 100, spread=2.5, moved=np.random.default_rng(3).normal(size=100), seed=1)


@pytest.fixture(scope="module")
def three_of_nine():
    """A source of nine classes, and a target that has three of them and is moved."""
    X, y = classes_of(9, 60, spread=2.0, moved=0.8 * np.random.default_rng(3).normal(size=40), seed=2)
    return classes_of(9, 30, spread=2.0), (X[y < 3], y[y < 3])


def part(y, n_source, n_classes, **more):
    rows = np.arange(len(y))
    about = {"weights": None, "is_separate": True, "shares": None} | more
    return Part(y, n_classes, about["weights"], rows[:n_source], rows[n_source:], rows[:n_source],
                about["is_separate"], about["shares"])  # fmt: skip


class TestStart:
    @pytest.mark.parametrize("n_columns", [40, 600], ids=["few columns", "many columns"])
    @pytest.mark.parametrize("head", list(HEADS))
    def test_is_the_solved_head_on_centred_rows(self, n_columns, head):
        X, y = stacked(classes_of(5, 20, n_columns), classes_of(5, 30, n_columns, moved=2.0, seed=1))
        start = row_start(X, part(y, 100, 5))
        n_features = start.directions.shape[0]
        network = torch.nn.Module()
        with OwnDraws(0):
            network.backbone = RowBody(n_columns, n_features)
            network.classifier = HEADS[head](n_features, 5)
        start.write(network)
        with torch.no_grad():
            features = network.backbone.eval()(torch.from_numpy(start.data).float())
            logits = network.classifier(features).numpy()
        model = linear_model(X, part(y, 100, 5))
        np.testing.assert_allclose(logits, model.data @ model.weight.T + model.bias, atol=2e-3)
        np.testing.assert_allclose(model.data[:100].mean(0), 0, atol=1e-9)
        shift = X[:100].mean(0) - X[100:].mean(0)  # of 150 rows and 5 of the source's, the mean is that of the 155
        np.testing.assert_allclose(model.data[100:].mean(0) * model.scaler.scale_, -shift * 5 / 155, atol=1e-9)
        assert np.square(features.numpy()).sum(1).mean() == pytest.approx(256, rel=0.02)

    def test_head_is_that_of_logistic_regression(self):
        X, y = classes_of(4, 50)
        model = linear_model(X, part(y, len(y), 4))
        C = 1e3
        near = LogisticRegression(C=C, max_iter=2000).fit(model.data, y)
        agreeing = (model.data @ model.weight.T + model.bias).argmax(1) == near.predict(model.data)
        assert agreeing.mean() > 0.97

    def test_principal_directions(self):
        rows = RNG.normal(size=(50, 30)) * np.linspace(1, 10, 30)
        found = principal(rows, 5)
        exact = np.linalg.svd(rows)[2][:5]
        np.testing.assert_allclose(np.abs(np.sum(found * exact, axis=1)), 1, atol=0.05)
        beyond = principal(rows[:3], 8)  # more than there are
        np.testing.assert_allclose(beyond @ beyond.T, np.eye(8), atol=1e-9)

    def test_a_head_is_written_into_each_kind(self):
        weight, bias, rows = (torch.from_numpy(RNG.normal(size=shape)).float() for shape in ((3, 7), 3, (5, 7)))
        for kind in HEADS.values():
            with OwnDraws(0):
                classifier = kind(7, 3)
            set_head(classifier, weight, bias)
            torch.testing.assert_close(classifier(rows), rows @ weight.T + bias)

    def test_a_class_without_rows_is_below_all_others(self):
        X, y = classes_of(3, 20)
        rows = np.flatnonzero(y != 1)
        model = linear_model(X, Part(y, 3, None, rows, rows[:0], rows, True, None))
        assert ((model.data @ model.weight.T + model.bias).argmax(1) != 1).all()

    def test_what_is_resolved(self, moved):
        X, y, _ = moved
        fitted = DomainAdaptedClassifier(max_epochs=1, random_state=0).fit(X, y)
        assert (fitted.loss_, fitted.bottleneck_, fitted.optimizer_) == ("mcc", None, "adam")
        fitted = DomainAdaptedClassifier(loss="dann", max_epochs=1, random_state=0).fit(X, y)
        assert (fitted.loss_, fitted.bottleneck_, fitted.optimizer_) == ("dann", 256, "sgd")
        fitted = DomainAdaptedClassifier(loss="mcc", bottleneck=8, max_epochs=1, random_state=0).fit(X, y)
        assert (fitted.bottleneck_, fitted.learning_rate_) == (8, 0.03)


class TestNoLossToTheSimpleModel:
    def test_many_classes_of_few_rows(self, few_of_many):
        (Xs, ys), (Xt, yt) = few_of_many
        simple = LogisticRegression(max_iter=500).fit(StandardScaler().fit_transform(Xs), ys)
        base = simple.score(StandardScaler().fit(Xs).transform(Xt), yt)
        X, y = stacked((Xs, ys), (Xt, yt))
        alone = DomainAdaptedClassifier(loss=None, random_state=0).fit(X, y).score(Xt, yt)
        adapted = DomainAdaptedClassifier(random_state=0).fit(X, y).score(Xt, yt)
        random_start = DomainAdaptedClassifier(bottleneck=256, random_state=0).fit(X, y).score(Xt, yt)
        assert alone > base - 0.03
        assert adapted > base + 0.05
        assert adapted > random_start

    def test_sparse_rows(self):
        rng = np.random.default_rng(0)
        y = np.arange(400) % 2
        X = rng.random((400, 500)) * (rng.random((400, 500)) < 0.02)
        X[:, :20] += (rng.random((400, 20)) < 0.25) * (y[:, None] == np.arange(20) % 2) * 0.5
        rows, marked = sparse.csr_matrix(X), np.where(np.arange(400) < 200, y, -1)
        base = LogisticRegression().fit(X[:200], y[:200]).score(X[200:], y[200:])
        for loss in (None, "auto"):
            model = DomainAdaptedClassifier(loss=loss, random_state=0).fit(rows, marked)
            assert model.score(rows[200:], y[200:]) > base - 0.03
            np.testing.assert_allclose(model.predict_proba(rows[200:]), model.predict_proba(X[200:]), atol=1e-5)

    def test_goes_through_pickle_and_file(self, moved, tmp_path):
        X, y, _ = moved
        model = DomainAdaptedClassifier(max_epochs=2, random_state=0).fit(X, y)
        model.save(tmp_path / "m.safetensors")
        for again in (pickle.loads(pickle.dumps(model)), DomainAdaptedClassifier.load(tmp_path / "m.safetensors")):
            np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), atol=1e-12)


class TestShares:
    def test_are_estimated(self, three_of_nine):
        source, target = three_of_nine
        X, y = stacked(source, target)
        with pytest.warns(UserWarning, match="other shares in the target .* more of [012], [012], [012], less of"):
            model = DomainAdaptedClassifier(random_state=0).fit(X, y)
        assert model.target_shares_[:3].sum() > 0.5
        assert model.target_shares_.sum() == pytest.approx(1)
        plain = DomainAdaptedClassifier(target_shares=None, random_state=0).fit(X, y)
        assert plain.target_shares_ is None
        known = DomainAdaptedClassifier(target_shares={0: 1, 1: 1, 2: 1}, random_state=0).fit(X, y)
        np.testing.assert_allclose(known.target_shares_, np.r_[np.full(3, 1 / 3), np.zeros(6)])
        scores = [each.score(*target) for each in (known, model, plain)]
        assert scores[0] > scores[2] + 0.05
        assert scores[1] > scores[2] + 0.05

    def test_of_equal_classes_nothing_is_said(self, moved):
        X, y, _ = moved
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = DomainAdaptedClassifier(batch_norm="separate", max_epochs=1, random_state=0).fit(X, y)
        np.testing.assert_allclose(model.target_shares_, 1 / 3)

    def test_losses_that_align_draw_by_them(self, three_of_nine):
        source, target = three_of_nine
        X, y = stacked(source, target)
        options = {"loss": "mmd", "batch_norm": "separate", "random_state": 0}
        plain = DomainAdaptedClassifier(**options, target_shares=None).fit(X, y).score(*target)
        known = DomainAdaptedClassifier(**options, target_shares=[1, 1, 1, *[0.05] * 6]).fit(X, y).score(*target)
        assert known > plain + 0.05

    def test_estimate_by_hand(self):
        # Four classes in one column.
        means, prior = np.array([[-3.0], [-1.0], [1.0], [3.0]]), np.full(4, 0.25)
        weight = 20 * means
        bias = -10 * np.square(means[:, 0])
        rows = np.tile([[-1.0], [1.0]], (50, 1))  # the two classes in the middle, and the centre stays
        found = estimated_shares(rows, weight, bias, means, prior)
        assert found.differ
        np.testing.assert_allclose(found.shares, [1 / 8, 3 / 8, 3 / 8, 1 / 8], atol=1e-3)  # (1/2 + 1/4) / 2
        even = np.tile(means, (30, 1))
        same = estimated_shares(even, weight, bias, means, prior)
        assert not same.differ
        np.testing.assert_array_equal(same.shares, prior)

    def test_shares_in_place_are_those_of_the_em_corrector(self):
        rng = np.random.default_rng(0)
        X, y = classes_of(3, 100, 4, spread=1.5)
        model = LogisticRegression(max_iter=1000).fit(X, y)
        some, labels = classes_of(3, 300, 4, spread=1.5, seed=1)
        target = some[(labels == 0) | ((labels == 1) & (rng.random(len(labels)) < 0.3))]
        found = shares_in_place(model.decision_function(target), np.full(3, 1 / 3))
        proba = model.predict_proba(target)
        g = np.full(3, 1 / 3)
        for _ in range(100):  # Saerens et al.'s steps, and one row more of the source's shares
            posterior = proba * 3 * g
            posterior /= posterior.sum(1, keepdims=True)
            g = (posterior.sum(0) + 1 / 3) / (len(target) + 1)
        np.testing.assert_allclose(found.shares, g, atol=1e-4)
        assert found.differ
        assert found.shares[0] == pytest.approx(300 / len(target), abs=0.05)
        assert not shares_in_place(model.decision_function(some), np.full(3, 1 / 3)).differ

    def test_an_estimate_that_collapses_is_not_believed(self):
        means, prior = np.array([[-3.0, 0], [0.0, 3], [3.0, 0], [0, -3]]), np.full(4, 0.25)
        rows = np.tile([[-40.0, 0.0]], (50, 1))  # nothing but the first class, wherever the centre is
        found = estimated_shares(rows, means, np.zeros(4), means, prior)
        assert found.differ
        np.testing.assert_array_equal(found.shares, prior)

    def test_rows_are_drawn_by_shares(self):
        class_numbers = np.r_[np.zeros(10), np.ones(30)].astype(int)
        drawn = class_numbers[drawn_by(np.arange(40), class_numbers, np.array([0.5, 0.5]))]
        assert np.bincount(drawn)[0] / len(drawn) == pytest.approx(0.5, abs=0.02)

    @pytest.mark.parametrize(
        ("shares", "message"),
        [
            ([0.5, 0.5], "share of 0 or more for each of the 3 classes"),
            ([0.5, 0.6, -0.1], "share of 0 or more"),
            ({7: 1.0}, r"target_shares names \[7\]"),
            ("all", "'target_shares' parameter"),
        ],
        ids=str,
    )
    def test_bad_shares_are_named(self, shares, message, moved):
        with pytest.raises(ValueError, match=message):
            DomainAdaptedClassifier(target_shares=shares).fit(*moved[:2])


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_a_start_that_is_cut_short_is_no_reason_to_warn(monkeypatch):
    """Training goes on from it, and no parameter of the estimator is the number of its steps."""
    monkeypatch.setattr("sktl.adaptation.joint._row_start.MAX_ITER", 1)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5))
    y = np.where(np.arange(60) < 40, np.arange(60) % 3, -1)
    model = DomainAdaptedClassifier(max_epochs=1, random_state=0).fit(X, y)
    assert model.predict_proba(X[:2]).shape == (2, 3)
