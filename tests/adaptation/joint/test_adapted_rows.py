"""The domain-adapted classifier on feature rows: adaptation, labels, domains, scikit-learn's manners."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktl.adaptation import LOSSES, DomainAdaptedClassifier
from sktl.adaptation.joint._training import DomainTraining
from sktl.adaptation.losses import CDAN, DANN, MCC, MMD
from sktl.adaptation.losses._base import View

BETWEEN_SOURCES = ("irm", "group_dro", "mixstyle", "coral_sources")
ADAPTING = [name for name in LOSSES if name not in BETWEEN_SOURCES]


def quick(**params):
    return DomainAdaptedClassifier(**{"max_epochs": 6, "random_state": 0, **params})


@pytest.fixture(scope="module")
def alone(moved):
    """What the source teaches without adaptation."""
    return quick(loss=None, bottleneck=256, max_epochs=50).fit(*moved[:2])


@pytest.fixture(scope="module")
def three_domains(moved):
    X, y, truth = moved
    domain = np.repeat(["a", "b", "t"], [75, 75, 150])
    return X, y, truth, domain


class TestAdaptation:
    @pytest.mark.parametrize("loss", ["dann", "cdan", "cdan+e", "mmd", "jan", "coral", "dsan", "deepjdot", "mcc"])
    def test_beats_the_source_alone(self, loss, moved, alone):
        X, y, truth = moved
        adapted = quick(loss=loss, max_epochs=50).fit(X, y).score(X[150:], truth)
        assert adapted > alone.score(X[150:], truth) + 0.03

    @pytest.mark.parametrize("loss", ["dann", "cdan", "mmd", "coral"])
    def test_domains_come_closer(self, loss, moved, alone):
        X, y, _ = moved
        domain = np.repeat([0, 1], 150)

        def told_apart(model):
            judge = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
            return (cross_val_predict(judge, model.features(X), domain, cv=3) == domain).mean()

        adapted = quick(loss=loss, batch_norm="shared", max_epochs=50).fit(X, y)
        assert abs(told_apart(adapted) - 0.5) < abs(told_apart(alone) - 0.5) - 0.03

    @pytest.mark.parametrize("loss", ADAPTING)
    def test_every_loss_trains(self, loss, moved):
        X, y, truth = moved
        model = quick(loss=loss).fit(X, y)
        assert model.score(X[:150], y[:150]) > 0.9
        assert model.score(X[150:], truth) > 0.7
        assert all(np.isfinite(row["train_loss"]) for row in model.history_)

    def test_losses_add_up(self, moved):
        X, y, _ = moved
        row = quick(loss=[DANN(), MCC(weight=0.5), MCC()]).fit(X, y).history_[-1]
        parts = [row[f"train_{name}"] for name in ("supervised", "dann", "mcc_0", "mcc_1")]
        assert row["train_loss"] == pytest.approx(sum(parts))

    @pytest.mark.parametrize("loss", ["irm", "group_dro", "coral_sources", ["irm", "coral_sources"]])
    def test_between_sources(self, loss, three_domains):
        X, y, _, domain = three_domains
        labelled = y >= 0
        model = quick(loss=loss, max_epochs=20).fit(X[labelled], y[labelled], sample_domain=domain[labelled])
        assert model.score(X[labelled], y[labelled]) > 0.8

    def test_statistics_of_the_target_predict(self, moved):
        X, y, _ = moved
        models = {name: quick(loss="coral", batch_norm=name, max_epochs=20).fit(X, y) for name in
                  ("shared", "separate", "target")}  # fmt: skip
        mean = {name: model.module_.bottleneck[1] for name, model in models.items()}
        mean["separate"] = mean["separate"].norm
        rows = torch.from_numpy(models["target"]._scaler.transform(X[150:])).float()
        entering = models["target"].module_.bottleneck[0](models["target"].module_.backbone(rows))
        assert torch.allclose(mean["target"].running_mean, entering.mean(0), atol=1e-4)
        assert not torch.allclose(mean["shared"].running_mean, mean["separate"].running_mean, atol=0.05)

    def test_labelled_target_rows_help(self, moved):
        X, y, truth = moved
        some = y.copy()
        some[150:180] = truth[:30]
        domain = np.repeat(["s", "t"], 150)
        alone = quick(loss=None, max_epochs=20).fit(X, y).score(X[180:], truth[30:])
        model = quick(loss=None, max_epochs=20, target_domain="t").fit(X, some, sample_domain=domain)
        assert model.score(X[180:], truth[30:]) > alone + 0.05
        assert quick(loss="cdan", max_epochs=20).fit(X, some, sample_domain=domain).score(X[180:], truth[30:]) > alone

    def test_several_targets(self, moved):
        X, y, _ = moved
        domain = np.repeat([10, 20, 30], [150, 75, 75])
        explicit = quick(target_domain=[20, 30]).fit(X, y, sample_domain=domain)
        assert np.array_equal(explicit.predict_proba(X), quick().fit(X, y, sample_domain=domain).predict_proba(X))

    def test_small_domains_are_drawn_repeatedly(self, moved):
        X, y, truth = moved
        few = np.r_[:150, 150:155]
        model = quick(batch_size=64).fit(X[few], y[few])
        batches = DomainTraining.of(model, X[few], y[few], None, None)[0].batches()
        assert all(len(batch.X) == 128 for batch in batches)
        assert model.score(X[150:], truth) > 0.7


class TestLabels:
    @pytest.mark.parametrize(
        "mark",
        [
            lambda y: y,
            lambda y: np.where(y < 0, np.nan, y),
            lambda y: np.where(y < 0, None, np.array(["a", "b", "c"], dtype=object)[y]),
            lambda y: [-1 if code < 0 else "abc"[code] for code in y],
            lambda y: np.where(y < 0, "-1", np.array(["a", "b", "c"])[y]),
            lambda y: pd.Series(["a", "b", "c", pd.NA]).iloc[y],
            lambda y: pd.Series(["a", "b", "c", pd.NA], dtype="category").iloc[y],
        ],
        ids=["-1", "NaN", "None", "list", "text", "pandas", "category"],
    )
    def test_marks(self, mark, moved):
        X, y, _ = moved
        marked = mark(y)
        model = quick().fit(X, marked)
        assert len(model.classes_) == 3
        expected = quick().fit(X, y)
        assert np.array_equal(model.predict_proba(X), expected.predict_proba(X))

    def test_any_mark(self, moved):
        X, y, _ = moved
        model = quick(unlabelled="?").fit(X, np.where(y < 0, "?", np.array(["a", "b", "c"])[y]))
        assert model.classes_.tolist() == ["a", "b", "c"]
        model = quick(unlabelled=np.nan).fit(X, np.where(y < 0, np.nan, y - 1.0))
        assert model.classes_.tolist() == [-1, 0, 1]

    def test_minus_one_as_a_class(self, moved):
        X, y, _ = moved
        y = np.where(y == 0, -1, 1)
        with pytest.raises(ValueError, match=r"only one class: 1\. .* set unlabelled=None"):
            quick().fit(X, y)
        with pytest.warns(UserWarning, match="plain supervised training"):
            assert quick(unlabelled=None).fit(X, y).classes_.tolist() == [-1, 1]

    def test_what_is_given_stays_as_it_is(self, moved):
        X, y = moved[0].copy(), moved[1].copy()
        X.setflags(write=False), y.setflags(write=False)
        kept = X.copy(), y.copy()
        quick().fit(X, y).predict(X)
        assert np.array_equal(X, kept[0])
        assert np.array_equal(y, kept[1])

    def test_weights(self, moved):
        X, y, _ = moved
        weight = np.ones(300)
        weight[y == 2] = 0
        proba = quick(max_epochs=20).fit(X, y, sample_weight=weight).predict_proba(X[:150])
        assert proba[:, 2].max() < 0.5
        weight[y == 2] = 50
        heavy, plain = (quick(loss=None).fit(X, y, sample_weight=w).predict_proba(X) for w in (weight, None))
        assert heavy[:, 2].mean() > plain[:, 2].mean() + 0.02


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"y": np.full(300, -1)}, "y holds no label: all 300 rows are -1"),
            ({"y": None}, "requires y to be passed"),
            ({"y": np.r_[np.zeros(150), np.full(150, -1)]}, "only one class: 0"),
            ({"sample_domain": np.zeros(10)}, "sample_domain must have one entry a row: expected 300, got 10"),
            ({"sample_domain": np.r_[np.nan, np.zeros(299)]}, r"sample_domain is missing .* in 1 rows: 0\."),
            ({"sample_domain": ["s"] * 299 + [None]}, r"sample_domain is missing .* in 1 rows: 299"),
            ({"sample_domain": ["s"] * 300}, "holds a single domain, 's'"),
            ({"target_domain": "t"}, "fit was given no sample_domain"),
            ({"target_domain": "x", "sample_domain": ["s"] * 150 + ["t"] * 150}, "'x' does not occur in sample_domain"),
            ({"target_domain": "s", "sample_domain": ["s"] * 150 + ["t"] * 150}, "no source to adapt from"),
            ({"loss": "irm"}, "IRM compares source domains and needs at least 2; got 1"),
            ({"loss": "nothing"}, "loss must be one of 'mmd'"),
            ({"loss": DANN(weight=-1)}, "'weight' parameter of DANN must be"),
            ({"augment": "shift"}, "changes pictures, but X holds feature rows"),
            ({"loss": "mixstyle"}, "no convolution"),
            ({"batch_norm": "none"}, "'batch_norm' parameter"),
            ({"sample_weight": np.zeros(300)}, "weight of zero|non-zero|at least one"),
        ],
        ids=str,
    )
    def test_is_named(self, change, message, moved):
        X, y, _ = moved
        arguments = {"y": y, "sample_domain": None, "sample_weight": None, **change}
        given = {name: arguments.pop(name) for name in ("y", "sample_domain", "sample_weight")}
        model = quick(**arguments)
        with pytest.raises((ValueError, TypeError), match=message):
            model.fit(X, given["y"], sample_domain=given["sample_domain"], sample_weight=given["sample_weight"])
        assert not hasattr(model, "classes_")

    def test_labelled_domains_without_a_target(self, three_domains):
        X, y, truth, domain = three_domains
        full = np.r_[y[:150], truth]
        with pytest.raises(ValueError, match="MCC need target rows, but every row is labelled"):
            quick().fit(X, full, sample_domain=domain)
        quick(target_domain="t").fit(X, full, sample_domain=domain)

    def test_no_unlabelled_row_is_supervised_training(self, moved):
        X, y, _ = moved
        with pytest.warns(UserWarning, match="No row is unlabelled"):
            model = quick(max_epochs=20).fit(X[:150], y[:150])
        assert model.score(X[:150], y[:150]) > 0.9

    def test_classes_of_the_target_only(self, moved):
        X, y, truth = moved
        some = np.where(y == 2, 0, y)
        some[150:170] = truth[:20]
        with pytest.warns(UserWarning, match="1 classes have labels in the target only"):
            model = quick().fit(X, some, sample_domain=np.repeat([0, 1], 150))
        assert model.classes_.tolist() == [0, 1, 2]

    def test_unlabelled_source_rows(self, three_domains):
        X, y, _, domain = three_domains
        y = y.copy()
        y[:10] = -1
        with pytest.warns(UserWarning, match="10 unlabelled rows of source domains take no part"):
            quick().fit(X, y, sample_domain=domain)

    def test_missing_features(self, moved):
        X, y = moved[0].copy(), moved[1]
        X[3, 1] = np.nan
        with pytest.raises(ValueError, match="contains NaN"):
            quick().fit(X, y)

    def test_divergence_says_where(self, moved):
        from sktl.exceptions import DivergenceError

        model = quick(learning_rate=1e25, schedule=None)
        with pytest.raises(DivergenceError, match=r"epoch \d+, step \d+, with learning rate"):
            model.fit(*moved[:2])
        assert not hasattr(model, "classes_")

    def test_a_module_that_takes_no_rows(self, moved):
        with pytest.raises(ValueError, match=r"backbone Linear fails on rows of shape \(2, 6\)"):
            quick(backbone=lambda: nn.Linear(7, 3)).fit(*moved[:2])


class TestManners:
    def test_random_state_fixes_everything(self, moved):
        X, y, _ = moved
        results = [quick(loss=["cdan", "mean_teacher"], random_state=s).fit(X, y).predict_proba(X) for s in (0, 0, 1)]
        assert np.array_equal(results[0], results[1])
        assert not np.array_equal(results[0], results[2])

    def test_pickle_clone_and_threads(self, moved):
        X, y, _ = moved
        model = quick().fit(X, y)
        expected = model.predict_proba(X)
        assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), expected)
        assert not hasattr(clone(model), "classes_")
        with ThreadPoolExecutor(4) as pool:
            assert all(np.array_equal(found, expected) for found in pool.map(model.predict_proba, [X] * 8))

    def test_grid_reaches_into_the_loss(self, moved):
        X, y, _ = moved

        def labelled_accuracy(estimator, X, y):
            return estimator.score(X[y >= 0], y[y >= 0])

        pipeline = make_pipeline(StandardScaler(), quick())
        grid = {
            "domainadaptedclassifier__loss": ["dann", MMD()],
            "domainadaptedclassifier__loss__weight": [0.1, 1.0],
        }
        search = GridSearchCV(pipeline, grid, scoring=labelled_accuracy, cv=StratifiedKFold(2), n_jobs=2)
        search.fit(X, y)
        assert search.best_score_ > 0.8
        assert quick(loss=CDAN()).set_params(loss__entropy=True).loss.entropy

    def test_selection_keeps_the_best_epoch(self, moved):
        X, y, _ = moved
        seen = []

        def third(estimator, X_seen, y_seen):
            assert np.array_equal(y_seen, y)
            seen.append(estimator.predict_proba(X))
            return len(seen) == 3

        model = quick(selection=third).fit(X, y)
        assert model.best_epoch_ == 3
        assert len(seen) == model.n_iter_ == 6
        assert np.allclose(model.predict_proba(X), seen[2])
        assert [row["selection_score"] for row in model.history_] == [0, 0, 1, 0, 0, 0]

    def test_sparse_and_tensor_rows(self, moved):
        X, y, _ = moved
        X = np.where(np.abs(X) > 0.5, X, 0)
        dense = quick().fit(X, y)
        model = quick().fit(sparse.csr_matrix(X), y)
        assert np.allclose(model.predict_proba(sparse.csr_matrix(X)), model.predict_proba(X))
        assert np.array_equal(quick().fit(torch.from_numpy(X), y).predict_proba(X), dense.predict_proba(X))

    @pytest.mark.parametrize("loss", [None, "cdan+e"])
    def test_sparse_rows_are_learned_without_batch_norm(self, loss, tmp_path):
        rng = np.random.default_rng(0)
        X = sparse.random(240, 400, density=0.02, random_state=rng, format="csr")  # small values, as tf-idf has
        X = sparse.csr_matrix(X.multiply(1 / np.sqrt(X.multiply(X).sum(axis=1))))
        y = (X[:, :200].sum(axis=1) > X[:, 200:].sum(axis=1)).A1.astype(int)
        model = DomainAdaptedClassifier(bottleneck=None, loss=loss, random_state=0).fit(
            X, np.where(rng.random(240) < 0.7, y, -1)
        )
        assert model.score(X, y) > 0.85
        assert np.allclose(model.predict_proba(X[:9]), model.predict_proba(X[:9].toarray()))
        model.save(tmp_path / "model")
        assert np.array_equal(
            DomainAdaptedClassifier.load(tmp_path / "model").predict_proba(X[:9]), model.predict_proba(X[:9])
        )

    def test_large_sparse_rows_are_made_dense_by_the_batch(self, moved, monkeypatch):
        X, y, _ = moved
        expected = quick().fit(sparse.csr_matrix(X), y).predict_proba(X)
        monkeypatch.setattr("sktl.adaptation._batches.RESIDENT_BYTES", 1)
        assert np.array_equal(quick().fit(sparse.csr_matrix(X), y).predict_proba(X), expected)

    def test_a_module_of_the_user_s(self, moved):
        X, y, truth = moved
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = nn.Sequential(nn.Linear(6, 12), nn.Tanh())
        before = [p.detach().clone() for p in module.parameters()]
        model = quick(backbone=module, max_epochs=20, bottleneck=None).fit(X, y)
        assert all(torch.equal(a, b) for a, b in zip(before, module.parameters()))
        assert model.features(X).shape == (300, 12)
        assert model.score(X[:150], y[:150]) > 0.95
        assert model.score(X[150:], truth) > 0.6
        anew = quick(backbone=module, weights=None, max_epochs=1, learning_rate=1e-12, bottleneck=None).fit(X, y)
        assert not torch.allclose(anew.module_.backbone[0].weight, module[0].weight, atol=1e-3)
        kept = quick(backbone=module, max_epochs=1, learning_rate=1e-12, bottleneck=None).fit(X, y)
        assert torch.allclose(kept.module_.backbone[0].weight, module[0].weight, atol=1e-6)

    def test_another_kind_of_X(self, moved):
        model = quick().fit(*moved[:2])
        with pytest.raises(ValueError, match="fitted on feature rows, but X holds pictures"):
            model.predict(np.zeros((3, 8, 8), dtype=np.uint8))


@pytest.fixture(scope="module")
def noisy():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2))
    y = (X[:, 0] + 2 * rng.normal(size=80) > 0).astype(int)
    return X, np.r_[y[:60], np.full(20, -1)], np.r_[np.where(y[:60] == 1, 20.0, 1.0), np.ones(20)]


class TestWeightsOverTheTraining:
    """Weights count over the whole training, not within a batch."""

    def test_small_batches_agree_with_large_ones(self, noisy):
        X, y, weight = noisy
        means = [
            quick(loss=None, bottleneck=None, batch_size=size, max_epochs=30, learning_rate=0.003, schedule=None)
            .fit(X, y, sample_weight=weight).predict_proba(X)[:, 1].mean()
            for size in (2, 60)
        ]  # fmt: skip
        plain = quick(loss=None, batch_size=2, max_epochs=5).fit(X, y).predict_proba(X)[:, 1].mean()
        assert means[0] > 0.8
        assert means[1] > plain + 0.1

    @pytest.mark.parametrize("loss", ["cdan", "group_dro"])
    def test_their_scale_means_nothing(self, noisy, loss):
        X, y, weight = noisy
        domain = np.repeat(["a", "b", "t"], [20, 40, 20])
        model = quick(loss=loss, batch_size=8, max_epochs=2)
        expected = model.fit(X, y, sample_domain=domain, sample_weight=weight).predict_proba(X)
        for scale in (1e-30, 10.0, 1e39):
            proba = model.fit(X, y, sample_domain=domain, sample_weight=weight * scale).predict_proba(X)
            assert np.allclose(proba, expected, rtol=1e-4, atol=1e-6)

    def test_a_mean_over_the_training_set_divides(self):
        # Batches of two rows of each of two domains; as they are drawn, the mean weight is that of the domains' means.
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(30, 3)), np.r_[np.arange(24) % 2, np.full(6, -1)]
        domain, weight = np.repeat(["a", "b", "t"], [8, 16, 6]), np.repeat([1.0, 4.0, 1.0], [8, 16, 6])
        estimator = quick(loss="group_dro", batch_size=4)
        job, _ = DomainTraining.of(estimator, X, y, domain, weight)
        assert np.allclose(np.unique(job.weights[:24]), [1 / 2.5, 4 / 2.5])
        layout, _ = job.layout()
        assert np.allclose(layout.mean_weights, [1 / 2.5, 4 / 2.5])
        logits = torch.from_numpy(rng.normal(size=(4, 2)))
        weights = torch.tensor([0.4, 0.4, 1.6, 1.6], dtype=torch.float64)
        view = View(
            logits, logits, torch.tensor([0, 1, 0, 1]), weights, (2, 2), 0, 0.0, None, None,
            layout.mean_weights,
        )  # fmt: skip
        losses = torch.nn.functional.cross_entropy(logits, view.labels, reduction="none")
        assert torch.allclose(torch.stack(view.source_risks()), losses.reshape(2, 2).mean(1))

    def test_a_domain_of_weight_zero_is_not_there(self, noisy):
        X, y, _ = noisy
        # Its only labels have no weight: with them left out, "t" is a target without labels.
        domain = np.repeat(["s", "t"], [40, 40])
        weight = np.ones(80)
        weight[40:60] = 0
        kept = weight > 0
        model = quick(max_epochs=2)
        expected = model.fit(X[kept], y[kept], sample_domain=domain[kept]).predict_proba(X)
        assert np.allclose(model.fit(X, y, sample_domain=domain, sample_weight=weight).predict_proba(X), expected)
