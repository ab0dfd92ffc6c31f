"""Episodes hold what they say, are drawn evenly, and are refused where they cannot be."""

import numpy as np
import pytest
import torch

import sktl.fewshot.meta_training._episodes as episodes_module
from sktl.fewshot import EpisodeSampler
from sktl.fewshot.meta_training._episodes import EpisodeBatches
from sktl.fewshot.meta_training._targets import Targets, held_out, with_rotations

Y = np.repeat(np.arange(6), [5, 6, 7, 8, 9, 10])


def test_support_and_query_are_disjoint_rows_of_the_named_classes():
    sampler = EpisodeSampler(Y, n_way=3, n_shot=2, n_query=3)
    drawn = sampler.draw(200)
    assert drawn.support.shape == (200, 6)
    assert drawn.query.shape == (200, 9)
    for support, support_y, query, query_y in zip(*drawn[:4]):
        assert not set(support.tolist()) & set(query.tolist())
        assert len(set(support.tolist())) == 6
        for label in range(3):
            rows = torch.cat([support[support_y == label], query[query_y == label]])
            assert len(rows) == 5
            assert len(set(Y[rows.numpy()])) == 1
        assert len(set(Y[support.numpy()])) == 3


def test_classes_and_rows_are_drawn_evenly():
    drawn = EpisodeSampler(Y, n_way=2, n_shot=1, n_query=1).draw(6000)
    by_class = np.bincount(Y[drawn.support.numpy().ravel()])
    np.testing.assert_allclose(by_class / by_class.sum(), 1 / 6, atol=0.01)
    by_row = np.bincount(drawn.support.numpy().ravel(), minlength=len(Y))
    for label in range(6):
        share = by_row[label == Y]
        np.testing.assert_allclose(share / share.sum(), 1 / len(share), atol=0.03)


def test_which_class_is_called_0_is_random():
    drawn = EpisodeSampler(Y, n_way=6, n_shot=1, n_query=1).draw(3000)
    first = np.bincount(Y[drawn.support[:, 0].numpy()])
    np.testing.assert_allclose(first / 3000, 1 / 6, atol=0.03)


def test_ways_and_shots_of_a_range():
    sampler = EpisodeSampler(Y, n_way=(2, 4), n_shot=(1, 3), n_query=1)
    drawn = [sampler.draw(50) for _ in range(40)]
    assert {batch.n_way for batch in drawn} == {2, 3, 4}
    shots = torch.cat([torch.stack([(b.support_y == k).sum(1) for k in range(b.n_way)]).flatten() for b in drawn])
    assert set(shots.tolist()) == {1, 2, 3}
    np.testing.assert_allclose(torch.bincount(shots)[1:] / len(shots), 1 / 3, atol=0.03)


def test_groups_keep_an_episode_within_a_task():
    groups = np.array(["a", "b"])[Y % 2]
    drawn = EpisodeSampler(Y, groups, n_way=2, n_shot=1, n_query=2).draw(100)
    for rows in torch.cat([drawn.support, drawn.query], 1).numpy():
        assert len(set(groups[rows])) == 1
        assert len(set(Y[rows])) == 2
    assert set(groups[drawn.support[:, 0].numpy()]) == {"a", "b"}


def test_the_same_label_in_two_groups_is_two_classes():
    labels, groups = np.tile(np.repeat([0, 1], 4), 2), np.repeat([0, 1], 8)
    drawn = EpisodeSampler(labels, groups, n_way=2, n_shot=1, n_query=3).draw(100)
    for rows in torch.cat([drawn.support, drawn.query], 1).numpy():
        assert len(set(groups[rows])) == 1


def test_the_seed_decides_and_its_state_goes_on():
    batches = [EpisodeBatches(torch.arange(len(Y)), EpisodeSampler(Y, n_way=2, n_shot=1, n_query=1, seed=s), 4, 3)
               for s in (0, 0, 1)]  # fmt: skip
    first, same, other = ([batch.support for batch in b] for b in batches)
    assert all(torch.equal(a, b) for a, b in zip(first, same))
    assert not all(torch.equal(a, b) for a, b in zip(first, other))
    batches[2].load_state_dict(batches[0].state_dict())
    assert torch.equal(next(iter(batches[0])).query, next(iter(batches[2])).query)


def test_validation_sees_the_same_episodes_each_epoch():
    sampler = EpisodeSampler(Y, n_way=2, n_shot=1, n_query=1)
    batches = EpisodeBatches(torch.arange(len(Y)), sampler, 4, 3, is_fixed=True)
    assert all(torch.equal(a.query, b.query) for a, b in zip(list(batches), list(batches)))


def test_large_classes_are_drawn_from_in_parts(monkeypatch):
    monkeypatch.setattr(episodes_module, "LARGEST_CLASS", 10)
    sampler = EpisodeSampler(np.repeat([0, 1], 200), n_way=2, n_shot=1, n_query=1)
    batches = EpisodeBatches(torch.arange(400), sampler, 100, 1)
    seen = [set(next(iter(batches)).support.flatten().tolist()) for _ in range(20)]
    assert all(len(rows) <= 20 for rows in seen)
    assert len(set.union(*seen)) > 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_way": 7}, "n_way=7 classes are drawn for an episode, but there are only 6"),
        ({"n_way": (2, 7)}, "n_way=7 classes"),
        (
            {"n_shot": 5},
            r"n_shot \+ n_query = 5 \+ 2 = 7 rows, but 2 of the 6 classes have fewer.*: 0 \(5\), 1 \(6\)",
        ),
        ({"n_shot": (1, 5)}, r"0 \(5\), 1 \(6\)"),
        ({"n_shot": 0}, "n_shot must be at least 1"),
        ({"n_way": (3, 2)}, r"n_way must be at least 1, or a range \(lowest, highest\)"),
        ({"groups": Y, "n_way": 2}, "but a group has only 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EpisodeSampler(Y, **{"n_way": 2, "n_shot": 1, "n_query": 2, **options})


def test_rotations_are_classes():
    pictures = torch.arange(2 * 9).reshape(2, 1, 3, 3)
    turned, targets = with_rotations(pictures, Targets(np.array([0, 1]), None))
    assert targets.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    np.testing.assert_array_equal(turned[5, 0], np.rot90(pictures[1, 0].numpy(), 2))
    with pytest.raises(ValueError, match="rotations=True needs square pictures"):
        with_rotations(torch.zeros(2, 1, 3, 4), targets)


def test_held_out_classes_are_held_out_whole():
    train, valid = held_out(Targets(Y, None), 0.4, 2, 0)
    assert not set(Y[train]) & set(Y[valid])
    assert len(set(Y[valid])) == 3
    groups = np.repeat(np.arange(9), 5)
    train, valid = held_out(Targets(Y, groups), 0.2, 1, 0)
    assert not set(groups[train]) & set(groups[valid])
    with pytest.raises(ValueError, match=r"holds out 3 and leaves 3 to train on; at least 2 and 4 are needed"):
        held_out(Targets(Y, None), 0.5, 4, 0)
