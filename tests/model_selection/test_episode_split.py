"""Episodes as splits, and scores over them."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import check_cv, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from sktl.fewshot import (
    FewShotClassifier,
    FewShotRegressor,
    MAMLLearner,
    MatchingNetLearner,
    ProtoNetClassifier,
    ProtoNetLearner,
)
from sktl.model_selection import EpisodeScores, EpisodeSplit, episode_scores, episodic_scorer

Y = np.repeat(list("abcdefg"), 12)
X = np.random.default_rng(0).normal(size=(7, 4))[np.repeat(np.arange(7), 12)] + np.random.default_rng(1).normal(
    scale=0.4, size=(84, 4)
)


def test_every_split_is_an_episode():
    split = EpisodeSplit(n_way=3, n_shot=2, n_query=4, n_episodes=25)
    parts = list(split.split(X, Y))
    assert len(parts) == split.get_n_splits() == 25
    for support, query in parts:
        names, shots = np.unique(Y[support], return_counts=True)
        assert len(names) == 3
        assert set(shots) == {2}
        assert np.array_equal(np.unique(Y[query]), names)
        assert np.unique(Y[query], return_counts=True)[1].tolist() == [4, 4, 4]
        assert not set(support) & set(query)


def test_the_same_splits_each_time_and_others_for_another_seed():
    def first(seed):
        return next(EpisodeSplit(3, 1, 2, 5, seed).split(X, Y))[0].tolist()

    assert first(0) == first(0)
    assert first(0) != first(1)


def test_shots_of_a_range_leave_no_padding():
    split = EpisodeSplit(n_way=(2, 4), n_shot=(1, 3), n_query=2, n_episodes=40)
    sizes = []
    for support, query in split.split(X, Y):
        names, shots = np.unique(Y[support], return_counts=True)
        assert np.array_equal(np.unique(Y[query]), names)
        sizes.append((len(names), *shots))
    assert {size[0] for size in sizes} == {2, 3, 4}
    assert {shot for size in sizes for shot in size[1:]} == {1, 2, 3}


def test_groups_bound_the_classes():
    groups = np.where(Y < "e", "first", "second")
    for support, query in EpisodeSplit(3, 1, 2, 20).split(X, Y, groups):
        assert len(set(groups[np.concatenate([support, query])])) == 1


def test_it_is_a_cross_validator_of_scikit_learn():
    split = EpisodeSplit(3, 1, 2, 6)
    assert check_cv(split) is split
    assert cross_val_score(KNeighborsClassifier(1), X, Y, cv=split).shape == (6,)
    assert repr(split) == "EpisodeSplit(n_episodes=6, n_query=2, n_shot=1, n_way=3, random_state=0)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_way": 8}, "n_way=8 classes are drawn"),
        ({"n_shot": 10}, r"n_shot \+ n_query = 10 \+ 15"),
        ({"n_episodes": 0}, "n_episodes must be an integer, at least 1"),
        ({"n_query": 0}, "n_query must be an integer, at least 1"),
        ({"random_state": "x"}, "random_state must be an integer"),
    ],
)
def test_what_cannot_be_split_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        next(EpisodeSplit(**options).split(X, Y))
    with pytest.raises(ValueError, match="EpisodeSplit needs y"):
        next(EpisodeSplit().split(X))


@pytest.mark.parametrize("Learner", [ProtoNetLearner, MatchingNetLearner])
def test_many_episodes_at_once_score_as_each_by_itself(Learner):
    learner = Learner(n_way=4, n_query=4, n_episodes=20, random_state=0).fit(X, Y)
    options = {"n_way": 4, "n_shot": 2, "n_query": 5, "n_episodes": 30, "random_state": 3}
    together = episode_scores(learner, X, Y, **options)
    apart = episode_scores(FewShotClassifier(FrozenEstimator(learner)), X, Y, **options)
    np.testing.assert_allclose(together.scores, apart.scores)


def test_gradient_steps_on_many_episodes_at_once_are_those_on_each():
    learner = MAMLLearner(n_way=4, n_query=4, n_episodes=20, random_state=0).fit(X, Y)
    episodes = EpisodeSplit(4, 2, 5).sampler(Y).draw(6)
    for support, y, query, logits in zip(*episodes[:3], learner.episode_logits(X, episodes)):
        state = learner.adapt_to(X[support], y.numpy())  # numbered as in the episode: outputs are not exchangeable
        np.testing.assert_allclose(learner.logits(state, X[query]), logits)


def test_varied_episodes_are_scored_in_their_order():
    learner = ProtoNetLearner(n_way=4, n_query=4, n_episodes=5, random_state=0).fit(X, Y)
    options = {"n_way": (2, 5), "n_shot": (1, 4), "n_query": 3, "n_episodes": 30}
    together = episode_scores(learner, X, Y, **options)
    apart = episode_scores(ProtoNetClassifier(FrozenEstimator(learner)), X, Y, **options)
    np.testing.assert_allclose(together.scores, apart.scores)


def test_regressions_are_scored_by_their_errors():
    rng = np.random.default_rng(0)
    task = np.repeat(np.arange(12), 15)
    x = rng.normal(size=(180, 1))
    y = rng.normal(size=12)[task] * x[:, 0]
    learner = MAMLLearner(n_shot=5, n_query=5, n_episodes=20, inner_learning_rate=0.05, random_state=0)
    learner.fit(x, y, groups=task)
    options = {"groups": task, "n_shot": 5, "n_query": 8, "n_episodes": 20}
    together = episode_scores(learner, x, y, **options)
    apart = episode_scores(FewShotRegressor(FrozenEstimator(learner)), x, y, **options)
    np.testing.assert_allclose(together.scores, apart.scores)
    assert episode_scores(FewShotRegressor(), x, y, **options).mean < 0.1 * np.var(y)
    scorer = episodic_scorer(n_shot=5, n_query=8, n_episodes=20)
    assert scorer(learner, x, y, groups=task) == pytest.approx(-together.mean)
    with pytest.raises(ValueError, match="The tasks of a regression are given as groups"):
        scorer(learner, x, y)


def test_the_interval_is_that_of_a_mean():
    scores = np.random.default_rng(0).normal(0.9, 0.1, 400)
    result = EpisodeScores(scores)
    assert result.mean == pytest.approx(scores.mean())
    assert result.ci95 == pytest.approx(1.96 * scores.std(ddof=1) / 20)
    assert np.isnan(EpisodeScores(scores[:1]).ci95)


def test_the_interval_covers_the_mean_of_more_episodes():
    options = {"n_way": 3, "n_query": 5}
    many = episode_scores(ProtoNetClassifier(), X, Y, **options, n_episodes=1000, random_state=99).mean
    covered = [
        abs(result.mean - many) < result.ci95
        for result in (
            episode_scores(ProtoNetClassifier(), X, Y, **options, n_episodes=40, random_state=s) for s in range(20)
        )
    ]
    assert sum(covered) >= 16


def test_estimators_are_cloned_and_left_alone():
    model = ProtoNetClassifier()
    before = clone(model).get_params()
    episode_scores(model, X, Y, n_query=3, n_episodes=3)
    assert not hasattr(model, "classes_")
    assert model.get_params() == before


@pytest.mark.parametrize("n", [20, 100])
def test_y_of_another_length_is_refused(n):
    y = np.resize(Y, n)
    with pytest.raises(ValueError, match="must have one entry a row"):
        episode_scores(ProtoNetClassifier(), X, y, n_query=3, n_way=2, n_episodes=3)
    with pytest.raises(ValueError, match="must have one entry a row"):
        next(EpisodeSplit(n_query=3, n_way=2).split(X, y))
    with pytest.raises(ValueError, match="must have one entry a row"):
        next(EpisodeSplit(n_query=3, n_way=2).split(X, Y, y))


@pytest.mark.parametrize("missing", [np.nan, None, np.datetime64("NaT")])
def test_missing_labels_are_no_class(missing):
    y = np.repeat(np.arange(7), 12).astype(object)
    y[5:9] = missing
    for labels in (y, y.astype(float)) if missing is np.nan else (y,):
        with pytest.raises(ValueError, match=r"y is missing \(NaN or None\) in 4 rows"):
            next(EpisodeSplit(n_query=3).split(X, labels))
    days = np.repeat(np.arange("2020-01-01", "2020-01-08", dtype="datetime64[D]"), 12)
    days[0] = "NaT"
    with pytest.raises(ValueError, match="y is missing"):
        next(EpisodeSplit(n_query=3).split(X, days))
