"""The source-free classifier: what it learns, what it leaves alone, where it can start."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktl.adaptation import DomainAdaptedClassifier, SourceFreeAdaptedClassifier
from sktl.adaptation.from_fitted._start import network_start
from sktl.adaptation.from_fitted._target_rows import TargetRows
from sktl.adaptation.source_free._shot import pseudo_labels
from sktl.finetuning import FineTunedClassifier, FineTunedRegressor


def shot(estimator, **params):
    return SourceFreeAdaptedClassifier(estimator, **{"max_epochs": 4, "random_state": 0, **params})


@pytest.fixture(scope="module")
def adapted(source, target_rows):
    return shot(source).fit(target_rows[0])


class TestAdaptation:
    def test_beats_the_source(self, adapted, source, target_rows):
        X, truth = target_rows
        assert adapted.score(X, truth) > source.score(X, truth) + 0.05
        assert adapted.score(X, truth) > 0.9

    def test_the_classifier_stays_and_the_features_move(self, adapted, source, values_of):
        before, after = values_of(source), values_of(adapted.estimator_)
        for name in before:
            assert torch.equal(before[name], after[name]) == name.startswith("classifier."), name

    def test_the_source_is_left_alone(self, source_rows, target_rows, values_of):
        model = DomainAdaptedClassifier(loss=None, max_epochs=3, random_state=0).fit(*source_rows)
        before, proba = values_of(model), model.predict_proba(target_rows[0])
        shot(model).fit(target_rows[0])
        assert all(torch.equal(value, before[name]) for name, value in values_of(model).items())
        assert np.array_equal(model.predict_proba(target_rows[0]), proba)

    def test_history(self, adapted):
        assert adapted.n_iter_ == len(adapted.history_) == 4
        row = adapted.history_[-1]
        expected = row["train_entropy"] - row["train_diversity"] + 0.3 * row["train_pseudo_labels"]
        assert row["train_loss"] == pytest.approx(expected, rel=1e-4)
        assert adapted.history_[0]["pseudo_labels_changed"] == 1
        assert 0 <= row["pseudo_labels_changed"] < 0.5

    def test_seed_decides(self, adapted, source, target_rows):
        X, _ = target_rows
        assert np.array_equal(shot(source).fit(X).predict_proba(X), adapted.predict_proba(X))
        assert not np.array_equal(shot(source, random_state=1).fit(X).predict_proba(X), adapted.predict_proba(X))

    def test_pictures(self, picture_source, pictures):
        X, truth = pictures[2:]
        model = shot(picture_source, augment="shift").fit(X)
        assert model.score(X, truth) > picture_source.score(X, truth)

    def test_separate_norms(self, source_rows, target_rows):
        """A network adapted with statistics a domain goes on with the target's."""
        X, y = np.r_[source_rows[0], target_rows[0]], np.r_[source_rows[1], np.full(240, -1)]
        model = DomainAdaptedClassifier(loss="coral", max_epochs=5, random_state=0).fit(X, y)
        assert shot(model).fit(target_rows[0]).score(*target_rows) > 0.7


class TestModes:
    """Batch norm in the wrong mode is what ruins SHOT."""

    def _opened(self, estimator, X):
        start = network_start(estimator, "test")
        network = start.open()
        return network, TargetRows(start.read(X), network, torch.device("cpu"))

    def test_labels_are_those_of_evaluation(self, source, target_rows):
        X, _ = target_rows
        network, target = self._opened(source, X)
        network.module.train()
        features, proba = source.features(X), source.predict_proba(X)
        rows = np.hstack([features, np.ones((240, 1))])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        shares = proba
        for _ in range(2):
            centroids = shares.T @ rows / shares.sum(0)[:, None]
            labels = (rows @ (centroids / np.linalg.norm(centroids, axis=1, keepdims=True)).T).argmax(1)
            shares = np.eye(3)[labels]
        assert np.array_equal(pseudo_labels(target).numpy(), labels)

    def test_labelling_moves_no_statistics(self, picture_source, pictures):
        network, target = self._opened(picture_source, pictures[2])
        before = {name: value.clone() for name, value in network.module.state_dict().items()}
        pseudo_labels(target)
        assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())

    def test_training_trains_all_but_the_classifier(self, target_rows, source_rows):
        seen = []

        class Noted(nn.Linear):
            def forward(self, X):
                seen.append(self.training)
                return super().forward(X)

        model = DomainAdaptedClassifier(lambda: Noted(6, 8), loss=None, max_epochs=2, random_state=0).fit(*source_rows)
        seen.clear()
        adapted = shot(model, max_epochs=2, steps_per_epoch=3).fit(target_rows[0])
        # each epoch: all 240 rows in one pass of evaluation, then three steps of training
        assert seen == ([False] + [True] * 3) * 2
        assert not adapted.estimator_.module_.training


class TestStarts:
    def test_labels_are_ignored_by_a_fitted_estimator(self, adapted, source, target_rows):
        X, truth = target_rows
        expected = adapted.predict_proba(X)
        for y in (np.full(240, -1), truth, np.roll(truth, 7), [None] * 240):
            assert np.array_equal(shot(source).fit(X, y).predict_proba(X), expected)

    def test_marked_rows_alone_are_adapted_to(self, adapted, source, source_rows, target_rows):
        X, y = np.r_[source_rows[0], target_rows[0]], np.r_[source_rows[1], np.full(240, -1)]
        assert np.array_equal(shot(source).fit(X, y).predict_proba(X[240:]), adapted.predict_proba(X[240:]))

    def test_an_estimator_that_is_not_fitted_learns_from_the_labelled_rows(
        self, adapted, source, source_rows, target_rows
    ):
        X, y = np.r_[source_rows[0], target_rows[0]], np.r_[source_rows[1], np.full(240, -1)]
        model = shot(clone(source)).fit(X, y)
        assert np.array_equal(model.predict_proba(X[240:]), adapted.predict_proba(X[240:]))
        assert not hasattr(model.estimator, "n_iter_")

    def test_frozen_survives_clone(self, adapted, source, target_rows):
        model = clone(shot(FrozenEstimator(source))).fit(target_rows[0])
        assert np.array_equal(model.predict_proba(target_rows[0]), adapted.predict_proba(target_rows[0]))

    def test_grid_search(self, source, target_rows):
        X, truth = target_rows
        search = GridSearchCV(shot(FrozenEstimator(source), max_epochs=1), {"weight": [0.0, 0.3]}, cv=2)
        assert search.fit(X, truth).best_score_ > 0.7

    def test_pipelines(self, source_rows, target_rows):
        X, y = np.r_[source_rows[0], target_rows[0]], np.r_[source_rows[1], np.full(240, -1)]
        inside = make_pipeline(StandardScaler(), DomainAdaptedClassifier(loss=None, max_epochs=10, random_state=0))
        model = shot(inside.fit(*source_rows)).fit(target_rows[0])
        assert model.score(*target_rows) > inside.score(*target_rows)
        around = make_pipeline(StandardScaler(), shot(clone(inside[-1]))).fit(X, y)
        assert around.score(*target_rows) > 0.8

    def test_fine_tuned_rows(self, source_rows, target_rows):
        model = FineTunedClassifier(max_epochs=5, random_state=0).fit(*source_rows)
        assert shot(model).fit(target_rows[0]).score(*target_rows) > model.score(*target_rows)

    def test_fine_tuned_pictures(self, pictures, colour_net):
        X, y, X_target, _ = pictures
        model = FineTunedClassifier(colour_net, strategy="head", image_size=14, random_state=0).fit(X, y)
        before = model.predict_proba(X_target)
        adapted = shot(model, learning_rate=0.05).fit(X_target)
        assert np.array_equal(model.predict_proba(X_target), before)
        assert not np.allclose(adapted.predict_proba(X_target), before, atol=0.01)
        assert adapted.estimator_.module_.head.weight.equal(model.module_.head.weight)
        again = pickle.loads(pickle.dumps(adapted))
        assert np.allclose(again.predict_proba(X_target), adapted.predict_proba(X_target), atol=1e-6)

    def test_text_labels_and_pickle(self, source_rows, target_rows):
        names = np.array(["a", "b", "c"])
        model = DomainAdaptedClassifier(loss=None, max_epochs=10, random_state=0).fit(
            source_rows[0], names[source_rows[1]]
        )
        adapted = shot(model).fit(target_rows[0])
        assert adapted.classes_.tolist() == ["a", "b", "c"]
        again = pickle.loads(pickle.dumps(adapted))
        assert np.array_equal(again.predict(target_rows[0]), adapted.predict(target_rows[0]))
        assert adapted.decision_function(target_rows[0]).shape == (240, 3)


class TestBadInput:
    def test_not_fitted_and_no_labels(self, target_rows):
        model = shot(DomainAdaptedClassifier(loss=None))
        with pytest.raises(NotFittedError, match=r"DomainAdaptedClassifier is not fitted. Fit it, wrap it in"):
            model.fit(target_rows[0])
        with pytest.raises(NotFittedError, match="y holds no label to fit it by: all 240 rows are -1"):
            model.fit(target_rows[0], np.full(240, -1))
        with pytest.raises(NotFittedError, match="in the FrozenEstimator of this SourceFreeAdaptedClassifier is not"):
            shot(FrozenEstimator(model.estimator)).fit(*target_rows)
        with pytest.raises(NotFittedError):
            model.predict(target_rows[0])

    @pytest.mark.parametrize("other", [LogisticRegression(), FineTunedRegressor(max_steps=1)])
    def test_an_estimator_without_a_network(self, other, source_rows, target_rows):
        with pytest.raises(TypeError, match=rf"got {type(other).__name__}. GradualAdaptedClassifier takes any"):
            shot(other.fit(*source_rows)).fit(target_rows[0])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda X: X[:10], r"10 sample\(s\), fewer than the 64 of a batch: SourceFreeAdaptedClassifier adapts"),
            (lambda X: np.where(X[3, 2] == X, np.nan, X), "contains NaN"),
            (lambda X: X[:, :5], "X has 5 features, but DomainAdaptedClassifier is expecting 6"),
            (lambda X: np.zeros((80, 8, 8)), "fitted on feature rows, but X holds pictures"),
        ],
        ids=["few", "NaN", "columns", "pictures"],
    )
    def test_rows(self, change, message, source, target_rows):
        model = shot(source, batch_size=64)
        with pytest.raises(ValueError, match=message):
            model.fit(change(target_rows[0]))
        assert not hasattr(model, "estimator_")

    def test_one_row(self, source, target_rows):
        with pytest.raises(ValueError, match=r"1 sample\(s\), fewer than the 2 of a batch"):
            shot(source).fit(target_rows[0][:1])

    def test_rows_for_a_network_of_pictures(self, picture_source):
        with pytest.raises(ValueError, match="one picture without its batch axis"):
            shot(picture_source).fit(np.zeros((64, 196)))

    def test_lengths(self, source, target_rows):
        with pytest.raises(ValueError, match="must have one entry a row"):
            shot(source).fit(target_rows[0], [-1] * 3)

    @pytest.mark.parametrize("params", [{"weight": -1}, {"max_epochs": 0}, {"batch_size": 1}, {"augment": "none"}])
    def test_parameters(self, params, source, target_rows):
        with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter"):
            shot(source, **params).fit(target_rows[0])

    def test_pictures_are_changed_not_rows(self, source, target_rows):
        with pytest.raises(ValueError, match="changes pictures, but X holds feature rows"):
            shot(source, augment="shift").fit(target_rows[0])
