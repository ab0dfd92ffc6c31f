"""Target rows of classes that the source does not know are answered with `unknown_label`."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from skorch.callbacks import Callback
from torch import nn

from sktl import DomainAdaptedClassifier
from sktl.adaptation._batches import Layout
from sktl.adaptation.joint._open_set import surely_unknown, with_unknown
from sktl.adaptation.joint._open_signs import entropies, open_signs, seems_open, smoothed
from sktl.adaptation.joint._step import _without
from sktl.adaptation.losses import DomainLoss, View

RNG = np.random.default_rng(0)
N_SOURCE, N_TARGET, UNKNOWN = 150, 250, 9
CENTRES = 1.2 * RNG.normal(size=(5, 20))
Y_SOURCE, Y_TARGET = RNG.integers(0, 3, N_SOURCE), RNG.integers(0, 5, N_TARGET)
X_TARGET = CENTRES[Y_TARGET] + RNG.normal(size=(N_TARGET, 20)) + 0.5
X = np.concatenate([CENTRES[Y_SOURCE] + RNG.normal(size=(N_SOURCE, 20)), X_TARGET])
Y = np.concatenate([Y_SOURCE, np.full(N_TARGET, -1)])
TRUTH = np.where(Y_TARGET < 3, Y_TARGET, UNKNOWN)
SHORT = {"max_epochs": 5, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    return DomainAdaptedClassifier(unknown_label=UNKNOWN, **SHORT).fit(X, Y)


def h_score(model):
    answers = model.predict(X_TARGET)
    known = np.mean([np.mean(answers[c == TRUTH] == c) for c in range(3)])
    unknown = np.mean(answers[TRUTH == UNKNOWN] == UNKNOWN)
    return 2 * known * unknown / (known + unknown)


class TestMaths:
    def test_entropy(self):
        logits = RNG.normal(size=(6, 4))
        proba = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        expected = [-sum(p * np.log(p) for p in row) / np.log(4) for row in proba]
        np.testing.assert_allclose(entropies(logits), expected)
        assert entropies(np.zeros((1, 7)))[0] == pytest.approx(1)

    def test_mean_of_the_nearest_rows(self):
        rows, scores = RNG.normal(size=(30, 5)), RNG.random(30)
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        nearest = np.argsort(-(unit @ unit.T), axis=1)[:, :10]  # itself among them
        once = np.array([(scores[i] + sum(scores[j] for j in nearest[i])) / 11 for i in range(30)])
        twice = np.array([(once[i] + sum(once[j] for j in nearest[i])) / 11 for i in range(30)])
        np.testing.assert_allclose(smoothed(rows, scores), twice)

    def test_rows_of_high_entropy_that_lie_together(self):
        rows = np.repeat(np.eye(3), [60, 60, 20], axis=0) + 0.1 * RNG.normal(size=(140, 3))
        logits = np.repeat([[5.0, 0.0], [0.0, 5.0], [0.1, 0.0]], [60, 60, 20], axis=0) + 0.1 * RNG.normal(size=(140, 2))
        assert np.array_equal(surely_unknown(rows, logits), np.arange(140) >= 120)

    def test_a_quarter_at_most(self):
        rows = np.repeat(np.eye(2), [40, 60], axis=0) + 0.1 * RNG.normal(size=(100, 2))
        logits = np.repeat([[5.0, 0.0], [0.1, 0.0]], [40, 60], axis=0) + 0.1 * RNG.normal(size=(100, 2))
        found = surely_unknown(rows, logits)
        assert found.sum() == 25
        assert not found[:40].any()

    def test_rows_all_alike(self):
        assert not surely_unknown(np.ones((30, 2)), np.zeros((30, 2))).any()


def clusters(seed, n_unknown):
    """Return source rows and labels of four classes, and target rows, moved, of these and of unknown ones."""
    rng = np.random.default_rng(seed)
    centres = 1.2 * rng.normal(size=(4 + n_unknown, 20))
    y, y_target = rng.integers(0, 4, 160), rng.integers(0, 4 + n_unknown, 240)
    rows = centres[y] + rng.normal(size=(160, 20)), centres[y_target] + rng.normal(size=(240, 20))
    return rows[0] - rows[0].mean(0), y, rows[1] - rows[1].mean(0), y_target


class TestWhetherAnythingIsUnknown:
    def test_signs(self):
        source, y, target, _ = clusters(0, 2)
        signs = open_signs(source, y, target)
        scale = np.concatenate([source, target]).std(0)
        source, target = source / scale, target / scale
        learner = LogisticRegression(C=10 / np.square(target).sum(1).mean(), max_iter=300, tol=1e-3)

        def unsure(*known):
            rows = np.isin(y, known)
            p = learner.fit(source[rows], y[rows]).predict_proba(target)
            return smoothed(target, -(p * np.log(p)).sum(1) / np.log(len(known))), p.argmax(1)

        of_all, answers = unsure(0, 1, 2, 3)
        left_out = [unsure(*{0, 1, 2, 3} - {c})[0][answers == c].mean() for c in range(4)]
        most = np.argsort(-of_all)[:60]
        assert signs.unsure == pytest.approx(of_all[most].mean() / np.mean(left_out), rel=1e-6)
        answers[most] = 9
        claims = learner.fit(target, answers).predict(source) == 9
        assert signs.claimed == max(claims[y == c].mean() for c in range(4))

    @pytest.mark.parametrize("n_unknown", [0, 3])
    def test_answer(self, n_unknown):
        assert [seems_open(*clusters(seed, n_unknown)[:3]) for seed in range(3)] == [n_unknown > 0] * 3

    def test_two_classes_cannot_tell(self):
        source, y, target, _ = clusters(0, 0)
        assert open_signs(source[y < 2], y[y < 2], target) is None
        assert seems_open(source[y < 2], y[y < 2], target)

    @pytest.mark.parametrize("rows", [np.zeros((30, 3)), np.ones((5, 3)), 1e150 * np.eye(30)], ids=["0", "few", "far"])
    def test_odd_rows(self, rows):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert seems_open(rows, np.arange(len(rows)) % 3, rows) in (True, False)

    def test_nothing_is_answered_so_where_nothing_is_unknown(self):
        source, y, target, y_target = clusters(1, 0)
        both, marked = np.concatenate([source, target + 0.5]), np.concatenate([y, np.full(240, -1)])
        with pytest.warns(UserWarning, match="No target row seems to be of a class that the source lacks"):
            model = DomainAdaptedClassifier(unknown_label=UNKNOWN, **SHORT).fit(both, marked)
        assert model.unknown_share_ == 0
        assert model.classes_.tolist() == [0, 1, 2, 3, UNKNOWN]
        plain = DomainAdaptedClassifier(**SHORT).fit(both, marked)
        accuracies = [one.score(target + 0.5, y_target) for one in (model, plain)]
        assert accuracies[0] > accuracies[1] - 0.02

    def test_a_share_that_is_told(self):
        source, y, target, _ = clusters(1, 0)
        both, marked = np.concatenate([source, target + 0.5]), np.concatenate([y, np.full(240, -1)])
        model = DomainAdaptedClassifier(unknown_label=UNKNOWN, unknown_share=0.1, **SHORT).fit(both, marked)
        assert 0 < model.unknown_share_ <= 0.1
        with pytest.raises(ValueError, match="unknown_share"):
            model.set_params(unknown_share=1.5).fit(both, marked)


class TestLabels:
    @pytest.mark.parametrize(
        ("classes", "label", "expected", "place"),
        [
            (np.array([3, 7], np.uint8), 5, np.array([3, 5, 7], np.uint8), 1),
            (np.array([3, 7], np.uint8), -9, np.array([-9, 3, 7]), 0),
            (np.array([0.5, 1.5]), 2, np.array([0.5, 1.5, 2.0]), 2),
            (np.array(["a", "c"]), "between", np.array(["a", "between", "c"]), 1),
            (np.array(["a", "c"], object), "b", np.array(["a", "b", "c"], object), 1),
            (np.array(["2020-01-01", "2021-01-01"], "M8[D]"), np.datetime64("2020-06-01"), None, 1),
        ],
    )
    def test_stand_in_their_order(self, classes, label, expected, place):
        found, where = with_unknown(classes, label, -1, "Model")
        assert where == place
        assert found[place] == label
        if expected is not None:
            assert found.dtype.kind == expected.dtype.kind
            assert found.tolist() == expected.tolist()
        if expected is not None and expected.dtype == classes.dtype:
            assert found.dtype == classes.dtype

    @pytest.mark.parametrize(
        ("classes", "label", "message"),
        [
            (np.array([0, 1]), 1, "is a class of the labelled rows"),
            (np.array([0, 1]), -1, "also the mark of unlabelled rows"),
            (np.array(["a", "b"]), "-1", "also the mark of unlabelled rows"),
            (np.array([0, 1]), np.nan, "cannot be a missing value"),
            (np.array([0, 1]), "other", "must be a label such as those in y, a int like 0"),
            (np.array(["a", "b"]), 5, "must be a label such as those in y, a str like 'a'"),
            (np.array(["a", "b"], object), 5, "must be a label such as those in y"),
            (np.array([False, True]), 2, "must be a label such as those in y"),
            (np.array([0, 1]), [2, 3], "must be a label such as those in y"),
        ],
    )
    def test_that_cannot_be(self, classes, label, message):
        with pytest.raises(ValueError, match=message):
            with_unknown(classes, label, -1, "Model")

    def test_errors_reach_the_user(self):
        with pytest.raises(ValueError, match="unknown_label=2 is a class"):
            DomainAdaptedClassifier(unknown_label=2).fit(X, Y)
        with pytest.raises(ValueError, match="give one of both"):
            DomainAdaptedClassifier(unknown_label=UNKNOWN, target_shares=[1, 1, 1]).fit(X, Y)


class TestBehaviour:
    def test_unknown_rows_are_found(self, fitted):
        assert h_score(fitted) > 0.9
        assert 0.1 < fitted.unknown_share_ < 0.26

    def test_one_class_more(self, fitted):
        assert fitted.classes_.tolist() == [0, 1, 2, UNKNOWN]
        assert fitted.classes_.dtype == Y.dtype
        proba = fitted.predict_proba(X_TARGET)
        assert proba.shape == (N_TARGET, 4)
        np.testing.assert_allclose(proba.sum(1), 1)
        assert np.array_equal(fitted.classes_[proba.argmax(1)], fitted.predict(X_TARGET))

    def test_score_counts_unknown_rows(self, fitted):
        assert fitted.score(X_TARGET, TRUTH) == np.mean(fitted.predict(X_TARGET) == TRUTH)
        unknown = TRUTH == UNKNOWN
        assert fitted.score(X_TARGET[unknown], TRUTH[unknown]) > 0.9

    def test_without_it_they_are_taken_for_known(self):
        plain = DomainAdaptedClassifier(**SHORT).fit(X, Y)
        assert not hasattr(plain, "unknown_share_")
        assert set(plain.predict(X_TARGET)) <= {0, 1, 2}

    @pytest.mark.parametrize("loss", ["cdan+e", None, ["mcc", "mmd"]], ids=str)
    def test_with_other_losses(self, loss):
        model = DomainAdaptedClassifier(loss=loss, unknown_label=UNKNOWN, **SHORT).fit(X, Y)
        assert model.predict_proba(X_TARGET).shape == (N_TARGET, 4)
        assert np.mean(model.predict(X_TARGET)[TRUTH == UNKNOWN] == UNKNOWN) > 0.5

    def test_of_networks(self):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = nn.Sequential(nn.Linear(20, 32), nn.ReLU())
        model = DomainAdaptedClassifier(network, unknown_label=UNKNOWN, max_epochs=20, random_state=0).fit(X, Y)
        again = clone(model).fit(X, Y)
        assert h_score(model) > 0.8
        assert np.array_equal(model.predict_proba(X), again.predict_proba(X))

    def test_text_labels_and_domains(self):
        y = np.array(["ant", "bee", "cow", "-1"])[Y]
        domain = np.where(Y == -1, "new", "old")
        model = DomainAdaptedClassifier(unknown_label="beyond", **SHORT).fit(X, y, sample_domain=domain)
        assert model.classes_.tolist() == ["ant", "bee", "beyond", "cow"]
        answers = model.predict(X_TARGET)
        assert np.mean(answers[TRUTH == UNKNOWN] == "beyond") > 0.9
        assert np.mean(answers[TRUTH == 0] == "ant") > 0.9
        assert y.dtype.itemsize == 12  # nothing was written to

    def test_labelled_target_rows_stay_what_they_are(self):
        y, domain = Y.copy(), (Y == -1).astype(int)
        rows = N_SOURCE + np.flatnonzero(TRUTH == 1)[:10]
        y[rows] = 1
        model = DomainAdaptedClassifier(unknown_label=UNKNOWN, target_domain=1, **SHORT).fit(X, y, sample_domain=domain)
        assert model.classes_.tolist() == [0, 1, 2, UNKNOWN]
        assert np.mean(model.predict(X[rows]) == 1) > 0.9

    def test_few_target_rows(self):
        rows = np.arange(N_SOURCE + 5)
        model = DomainAdaptedClassifier(unknown_label=UNKNOWN, **SHORT).fit(X[rows], Y[rows])
        assert model.unknown_share_ == 0
        assert model.predict_proba(X_TARGET).shape == (N_TARGET, 4)

    def test_no_target_rows(self):
        with pytest.warns(UserWarning, match="No row is unlabelled"):
            model = DomainAdaptedClassifier(unknown_label=UNKNOWN, **SHORT).fit(X[:N_SOURCE], Y_SOURCE)
        assert model.unknown_share_ == 0
        assert np.mean(model.predict(X[:N_SOURCE]) == Y_SOURCE) > 0.9

    def test_weights(self):
        weight = np.where(Y == -1, 1.0, RNG.uniform(0.5, 2, len(Y)))
        model = DomainAdaptedClassifier(unknown_label=UNKNOWN, **SHORT).fit(X, Y, sample_weight=weight)
        assert h_score(model) > 0.9


class TestCopies:
    def test_clone_pickle_and_file(self, fitted, tmp_path):
        fresh = clone(fitted)
        assert fresh.unknown_label == UNKNOWN
        assert not hasattr(fresh, "classes_")
        fitted.save(tmp_path / "model")
        for copy in (pickle.loads(pickle.dumps(fitted)), DomainAdaptedClassifier.load(tmp_path / "model")):
            assert copy.unknown_label == UNKNOWN
            assert (copy.unknown_share_, copy.batch_norm_) == (fitted.unknown_share_, fitted.batch_norm_)
            assert np.array_equal(copy.predict_proba(X_TARGET), fitted.predict_proba(X_TARGET))

    def test_training_goes_on_where_it_was_stopped(self, fitted, tmp_path):
        class StopAtThird(Callback):
            def on_epoch_begin(self, net, **kwargs):
                if len(net.history) == 3:
                    raise RuntimeError("stopped")

        model = DomainAdaptedClassifier(unknown_label=UNKNOWN, checkpoint_dir=tmp_path, **SHORT)
        with pytest.raises(RuntimeError, match="stopped"):
            model.set_params(callbacks=[StopAtThird()]).fit(X, Y)
        model.set_params(callbacks=None).fit(X, Y)
        assert np.array_equal(model.predict_proba(X_TARGET), fitted.predict_proba(X_TARGET))


class Seen(DomainLoss):
    """Keeps what it was shown."""

    shown: list = []  # noqa: RUF012

    def __call__(self, view, state):
        type(self).shown.append(view)
        return view.logits.sum() * 0


def test_losses_are_not_shown_unknown_rows():
    Seen.shown.clear()
    DomainAdaptedClassifier(loss=Seen(), unknown_label=UNKNOWN, max_epochs=1, random_state=0).fit(X, Y)
    for view in Seen.shown:
        assert len(view.features) == len(view.logits) == len(view.X) == view.n_source + view.n_target
        assert len(view.labels) == view.n_source
        assert view.labels.max() < 3
        assert view.n_target < 64


def test_a_view_without_some_rows():
    layout = Layout((3, 2), 2, 5, has_second_view=True, n_apart=2)
    n = layout.n_source + 2 * layout.n_target
    rows = torch.arange(n, dtype=torch.float32)[:, None]
    view = View(rows, rows + 100, torch.arange(7), torch.arange(7.0), layout.sizes, 5, 0.5, None, rows + 200)
    found = _without(view, layout.n_apart)
    assert found.source_features[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert found.target_features[:, 0].tolist() == [7, 8, 9]
    assert found.second_logits[:, 0].tolist() == [112, 113, 114]
    assert found.target_inputs[:, 0].tolist() == [207, 208, 209]
    assert found.labels.tolist() == found.weights.tolist() == [0, 1, 2, 3, 4]
