"""Tasks together and apart, padding, memory, tables of codes; what is gained, and what imbalance costs."""

import numpy as np
import pytest
import torch

from sktl.fewshot import EpisodeSampler
from sktl.fewshot.heads import PrototypeHead
from sktl.fewshot.transductive import BDCSPN, PTMAP, TIM, TRANSDUCTIVE, LaplacianShot, Span, _sources, _span
from sktl.model_selection import episode_scores

WAYS = 4
METHODS = [BDCSPN(), LaplacianShot(), LaplacianShot(n_neighbors=8), TIM(n_iter=20), TIM("gd", n_iter=20), PTMAP()]
METHODS += [PTMAP(balance=0.5)]
ids = pytest.mark.parametrize("method", METHODS, ids=repr)


def called(method, support, y, query):
    return method(*map(torch.as_tensor, (support, y, query)), n_way=WAYS)


def accuracy(method, task):
    found = called(method, *task[:3]).argmax(-1).numpy()
    return (found == task[3]).mean()


def prototypes(task):
    unit = [torch.nn.functional.normalize(torch.from_numpy(rows), dim=-1) for rows in (task[0], task[2])]
    return (PrototypeHead()(unit[0], torch.from_numpy(task[1]), unit[1], WAYS).argmax(-1).numpy() == task[3]).mean()


@ids
@pytest.mark.parametrize("width", [3, 24])
def test_tasks_of_a_batch_are_apart_and_padding_counts_for_nothing(method, width, make_clouds):
    support, y, query, _ = make_clouds(4, shots=(1, 2, 1, 3), width=width)
    together = called(method, support, y, query)
    assert together.exp().sum(-1).sub(1).abs().max() < 1e-9
    padded = np.concatenate([support, 5 + support[:, :2]], axis=1), np.pad(y, ((0, 0), (0, 2)), constant_values=-1)
    np.testing.assert_allclose(called(method, *padded, query).exp(), together.exp(), atol=1e-6)
    for t in range(4):
        np.testing.assert_allclose(called(method, support[t], y[t], query[t]).exp(), together[t].exp(), atol=1e-6)


@ids
def test_rows_may_come_in_any_order_and_are_left_as_they_are(method, make_clouds):
    support, y, query, _ = make_clouds(1, shots=(2, 2, 2, 2))
    given = support[0].copy(), y[0].copy(), query[0].copy()
    expected, rng = called(method, *given), np.random.default_rng(0)
    for rows, before in zip(given, (support[0], y[0], query[0])):
        np.testing.assert_array_equal(rows, before)
    of_support, of_query = rng.permutation(len(y[0])), rng.permutation(len(query[0]))
    found = called(method, support[0][of_support], y[0][of_support], query[0][of_query])
    np.testing.assert_allclose(found.exp(), expected[of_query].exp(), atol=1e-7)


@ids
@pytest.mark.parametrize("width", [3, 24])
def test_a_small_memory_changes_nothing(method, width, make_clouds, monkeypatch):
    task = make_clouds(5, width=width)[:3]
    expected = called(method, *task)
    monkeypatch.setattr(_sources, "CPU_BYTES", 1)
    monkeypatch.setattr(_sources, "CPU_PRODUCTS", 80_000)  # some tasks at once
    monkeypatch.setattr(_span, "BLOCK", 100)
    np.testing.assert_allclose(called(method, *task), expected, rtol=1e-9, atol=1e-12)


@ids
@pytest.mark.parametrize("n_tasks", [3, 60])  # fewer products by task, and by table
def test_episodes_from_a_table_are_the_tasks(method, n_tasks, make_clouds):
    y = np.repeat(np.arange(6), 30)
    X = make_clouds(1, shots=(1,) * 6, n_query=(30,) * 6, width=40)
    X = X[2][0][np.argsort(X[3][0], kind="stable")].astype(np.float32)
    episodes = EpisodeSampler(y, n_way=WAYS, n_shot=(1, 3), n_query=8).draw(n_tasks)
    uses_table = n_tasks * 44**2 >= len(X) ** 2 / 2
    table = _sources.TableRows(torch.from_numpy(X), torch.cat([episodes.support, episodes.query], dim=1))
    assert (table.products is not None) == uses_table
    found = method.episode_logits(X, episodes)
    expected = called(method, X[episodes.support], episodes.support_y, X[episodes.query])
    assert found.shape == expected.shape == (n_tasks, 32, WAYS)
    assert (found.argmax(-1) == expected.argmax(-1).numpy()).mean() > 0.99
    np.testing.assert_allclose(np.exp(found), expected.exp(), atol=0.02)  # float32
    scores = episode_scores(method, X, y, n_way=WAYS, n_shot=(1, 3), n_query=8, n_episodes=12)
    assert scores.mean > 0.5


def test_inner_products_are_those_of_the_rows():
    rows = torch.randn(2, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = torch.rand(2, 3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    move = weights[:, :1] - weights[:, 1:2]
    spans = Span(rows=rows.clone()), Span(gram=rows @ rows.transpose(1, 2))
    moved = rows.clone()
    moved[:, 2:5] += move @ rows
    moved = torch.nn.functional.normalize(moved, dim=-1)
    points = weights @ moved
    for span in spans:
        span.translate(slice(2, 5), move)
        span.normalise()
        squared = (points[:, :, None] - moved[:, None]).square().sum(-1)
        np.testing.assert_allclose(span.squared_distances(weights), squared, atol=1e-12)
        expected = torch.nn.functional.cosine_similarity(points[:, :, None], moved[:, None], dim=-1)
        np.testing.assert_allclose(span.cosines(weights), expected, atol=1e-12)
        apart = (moved[:, 1:, None] - moved[:, None, 1:]).square().sum(-1) + 9 * torch.eye(6)
        for n in (2, 5):
            found = span.nearest(1, n).sort(1).values
            np.testing.assert_array_equal(found, apart.argsort(-1)[..., :n].transpose(1, 2).sort(1).values)


@pytest.mark.parametrize("name", TRANSDUCTIVE)
def test_queries_together_gain_over_prototypes(name, make_clouds):
    task = make_clouds(60, apart=0.45)
    method = TRANSDUCTIVE[name]()
    assert accuracy(method, task) > prototypes(task) + 0.02


def test_neighbours_lead_along_the_moons(make_moons):
    task = make_moons(40)
    found = {}
    for weight in (0.0, 0.7):
        method = LaplacianShot(weight, n_neighbors=5, rectify=False)
        predicted = method(*map(torch.from_numpy, task[:3]), n_way=2).argmax(-1).numpy()
        found[weight] = (predicted == task[3]).mean()
    assert found[0.7] > found[0.0] + 0.02


def test_balance_harms_unbalanced_queries_and_can_be_left_out(make_clouds):
    options = {"apart": 0.6, "shots": (3, 3, 3, 3)}
    unbalanced = make_clouds(60, n_query=(36, 8, 2, 2), **options)
    plain = prototypes(unbalanced)
    assert accuracy(PTMAP(), unbalanced) < plain - 0.2
    assert accuracy(PTMAP(balance=0.0, center=False, sharpness=20.0), unbalanced) > plain - 0.03
    assert accuracy(LaplacianShot(rectify=False), unbalanced) > plain - 0.01
    shares = called(PTMAP(), *unbalanced[:3]).exp().sum(1)
    np.testing.assert_allclose(shares, 12, rtol=1e-4)  # as many of each class, whatever they are
    freer = called(PTMAP(balance=0.3), *unbalanced[:3]).exp().sum(1)
    assert freer[:, 0].mean() > 16
    balanced = make_clouds(60, **options)
    assert accuracy(PTMAP(), balanced) > accuracy(PTMAP(balance=0.0, center=False), balanced)


@ids
def test_fewer_queries_than_classes_are_classified_one_by_one(method, make_clouds):
    support, y, query, _ = make_clouds(30, shots=(3, 3, 3, 3))
    three = called(method, support, y, query[:, :3])
    for i in range(3):
        np.testing.assert_allclose(called(method, support, y, query[:, i : i + 1])[:, 0], three[:, i], atol=1e-9)
    truth = make_clouds(30, shots=(3, 3, 3, 3))[3][:, :3]
    assert (three.argmax(-1).numpy() == truth).mean() > 0.75
    assert called(method, support, y, query[:, :0]).shape == (30, 0, WAYS)


@ids
def test_codes_that_say_nothing_give_finite_answers(method):
    y = np.arange(WAYS)
    for support, query in ((np.zeros((4, 3)), np.zeros((9, 3))), (np.ones((4, 3)), np.ones((9, 3)))):
        found = called(method, support, y, query)
        assert found.isfinite().all()
        np.testing.assert_allclose(found.exp(), 0.25, atol=1e-6)
    same = np.repeat(np.eye(4), 5, axis=0)
    found = called(method, np.eye(4), y, same)
    np.testing.assert_array_equal(found.argmax(1), np.repeat(y, 5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"support": np.zeros((2, 4, 3))}, "support, y and query must be of shapes"),
        ({"y": np.zeros((2, 5), int)}, "support, y and query must be of shapes"),
        ({"query": np.zeros((3, 9, 2))}, "support, y and query must be of shapes"),
        ({"y": np.array([[0, 1, 2, 3], [0, 1, 1, 3]])}, "task 1 has none of class 2"),
        ({"y": np.array([[0, 1, 2, 3], [0, 1, 2, 4]])}, r"labels below n_way=4, or -1 for padding; got 4"),
    ],
)
def test_tasks_that_do_not_fit_are_told(change, message):
    task = {"support": np.ones((2, 4, 2)), "y": np.tile(np.arange(4), (2, 1)), "query": np.ones((2, 9, 2))} | change
    with pytest.raises(ValueError, match=message):
        called(BDCSPN(), task["support"], task["y"], task["query"])


@pytest.mark.parametrize(
    "method",
    [
        BDCSPN(n_confident=0),
        BDCSPN(temperature=0.0),
        LaplacianShot(n_neighbors=0),
        LaplacianShot(-1.0),
        TIM("sgd"),
        TIM(n_iter=0),
        PTMAP(1.5),
        PTMAP(step=0.0),
    ],
    ids=repr,
)
def test_parameters_out_of_range_are_told(method):
    with pytest.raises(ValueError, match=f"parameter of {type(method).__name__} must be"):
        called(method, np.eye(4), np.arange(4), np.eye(4))
    episodes = EpisodeSampler([0, 0, 1, 1], n_way=2, n_shot=1, n_query=1).draw(2)
    with pytest.raises(ValueError, match=f"parameter of {type(method).__name__} must be"):
        method.episode_logits(np.eye(4), episodes)
