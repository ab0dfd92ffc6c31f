"""Choosing among many past tasks: embeddings of tasks, and a start that is conditioned on them."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.fewshot import (
    CNAPsLearner,
    ConditionalNeuralProcessLearner,
    FewShotClassifier,
    FewShotRegressor,
    MAMLLearner,
)
from sktl.model_selection import episode_scores

MAML = {
    "n_shot": 10, "n_query": 10, "n_episodes": 8000, "meta_batch_size": 20, "inner_learning_rate": 0.02,
    "learning_rate": 5e-3, "random_state": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def conditioned(mixture):
    x, y, task = mixture[0]
    return MAMLLearner(**MAML, embedding_size=32).fit(x, y, groups=task)


def test_a_start_that_suits_the_task_beats_one_for_all(conditioned, mixture):
    (x, y, task), (x_new, y_new, task_new) = mixture
    plain = MAMLLearner(**MAML).fit(x, y, groups=task)
    one, other = (
        episode_scores(learner, x_new, y_new, groups=task_new, n_shot=10, n_query=20, n_episodes=150).mean
        for learner in (conditioned, plain)
    )
    assert one < 0.8 * other, f"conditioned {one:.3f}, one start {other:.3f}"


def test_kinds_of_tasks_are_told_apart_by_their_embeddings(conditioned, mixture):
    x, y, task = mixture[1]
    is_line = np.array([is_a_line(x[task == i], y[task == i]) for i in range(200)])
    assert 60 < is_line.sum() < 140
    embeddings = np.stack([conditioned.task_embedding(x[task == i][:10], y[task == i][:10]) for i in range(200)])
    assert embeddings.shape == (200, 32)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    assert cross_val_score(model, embeddings, is_line, cv=5).mean() > 0.7


def is_a_line(x, y):
    return np.abs(np.polyval(np.polyfit(x[:, 0], y, 1), x[:, 0]) - y).max() < 1e-6


def test_an_embedding_does_not_go_by_the_order_of_rows(conditioned, mixture):
    x, y, _ = mixture[1]
    np.testing.assert_allclose(
        conditioned.task_embedding(x[:10], y[:10]), conditioned.task_embedding(x[9::-1], y[9::-1]), atol=1e-10
    )


def test_before_training_the_conditioned_start_is_the_plain_one(mixture):
    (x, y, task), _ = mixture
    barely = {**MAML, "n_episodes": 1, "learning_rate": 1e-12}
    predictions = [
        FewShotRegressor(FrozenEstimator(MAMLLearner(**barely, embedding_size=size).fit(x, y, groups=task)))
        .fit(x[:10], y[:10])
        .predict(x[:20])
        for size in (None, 4)
    ]
    np.testing.assert_allclose(*predictions, atol=1e-6)


@pytest.mark.parametrize("vectorised", [True, False])
def test_a_conditioned_start_for_classes_of_pictures(vectorised, few_base_pictures, few_new_pictures, tmp_path):
    learner = MAMLLearner(
        n_way=3, n_query=2, n_episodes=8, embedding_size=4, vectorised=vectorised, random_state=0
    ).fit(*few_base_pictures)
    X, y = few_new_pictures
    model = FewShotClassifier(FrozenEstimator(learner)).fit(X[::6], y[::6])
    learner.save(tmp_path / "conditioned.safetensors")
    loaded = FewShotClassifier(tmp_path / "conditioned.safetensors").fit(X[::6], y[::6])
    np.testing.assert_allclose(loaded.predict_proba(X), model.predict_proba(X), atol=1e-5)
    assert learner.task_embedding(X[::6], y[::6]).shape == (4,)


def test_learners_that_embed_tasks(base_rows, new_rows):
    X, y = new_rows
    few = {"n_way": 3, "n_query": 2, "n_episodes": 4, "random_state": 0}
    for learner in (ConditionalNeuralProcessLearner(**few, hidden=16), CNAPsLearner(**few, hidden=16)):
        learner.fit(*base_rows)
        embedding = learner.task_embedding(X[::10], y[::10])
        assert embedding.shape == (16,)
        np.testing.assert_allclose(learner.task_embedding(X[::-10], y[::-10]).shape, (16,))
        assert not np.allclose(embedding, learner.task_embedding(X[::7], y[::7]))
    plain = MAMLLearner(**few).fit(*base_rows)
    assert not hasattr(plain, "task_embedding")
    with pytest.raises(AttributeError, match="task_embedding"):
        plain.task_embedding(X[::10], y[::10])
