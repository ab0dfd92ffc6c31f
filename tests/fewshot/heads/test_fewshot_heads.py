"""Heads against NumPy and scikit-learn."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier

from sktl.fewshot.heads import (
    HEADS,
    LogisticHead,
    MatchingHead,
    NearestNeighbourHead,
    PrototypeHead,
    RelationHead,
    RidgeHead,
    SimpleShotHead,
    make_head,
)

WAYS, WIDTH = 4, 6
ALL = [*HEADS, "matching", "full context", "relation"]


@pytest.fixture
def task():
    """Support codes with 1 to 4 rows a class, labels, queries."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(WAYS), [1, 2, 3, 4])
    centres = 2 * rng.normal(size=(WAYS, WIDTH))
    return centres[y] + rng.normal(size=(len(y), WIDTH)), y, rng.normal(size=(9, WIDTH))


def head_of(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        special = {"matching": MatchingHead, "full context": lambda: MatchingHead(True), "relation": RelationHead}
        head = special[name]() if name in special else make_head(name)
        head.build((WIDTH,))
    return head.double().eval()


def logits(head, support, y, query, n_way=WAYS):
    with torch.no_grad():
        out = head.double()(torch.as_tensor(support), torch.as_tensor(y), torch.as_tensor(query), n_way)
    return out.numpy()


def means(support, y):
    return np.stack([support[y == k].mean(0) for k in range(WAYS)])


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_prototypes_are_class_means_at_squared_distances(task):
    support, y, query = task
    expected = -np.square(query[:, None] - means(support, y)).sum(-1)
    np.testing.assert_allclose(logits(PrototypeHead(), *task), expected, atol=1e-12)


def test_cosine_prototypes_are_scaled(task):
    support, y, query = task
    expected = 7 * unit(query) @ unit(means(support, y)).T
    np.testing.assert_allclose(logits(PrototypeHead("cosine", scale=7), *task), expected, atol=1e-6)


def test_the_scale_of_cosines_is_learned_and_that_of_distances_is_not():
    assert PrototypeHead("cosine").scale.requires_grad
    assert not PrototypeHead().scale.requires_grad


@pytest.mark.parametrize("centre", [None, np.arange(6.0)])
def test_simpleshot_centres_and_normalises(task, centre):
    support, y, query = task
    given = None if centre is None else torch.as_tensor(centre)
    at = support.sum(0) / (len(support) + len(np.unique(y))) if centre is None else centre
    expected = -10 * np.square(unit(query - at)[:, None] - means(unit(support - at), y)).sum(-1)
    np.testing.assert_allclose(logits(SimpleShotHead(given), *task), expected, atol=1e-12)


@pytest.mark.parametrize("width", [3, 6, 40])  # fewer and more codes than rows
def test_ridge_is_scikit_learns(width):
    rng = np.random.default_rng(1)
    support, y, query = rng.normal(size=(10, width)), np.arange(10) % WAYS, rng.normal(size=(5, width))
    penalty = 0.3 * np.square(support - support.mean(0)).sum() / len(support)
    model = Ridge(alpha=penalty).fit(support, np.eye(WAYS)[y])
    np.testing.assert_allclose(
        logits(RidgeHead(alpha=0.3, scale=2.0), support, y, query), 2 * model.predict(query), atol=1e-6
    )


@pytest.mark.parametrize(("C", "width"), [(0.1, 6), (1.0, 6), (1.0, 30), (30.0, 3)])
def test_logistic_regression_is_scikit_learns(C, width):
    rng = np.random.default_rng(2)
    support, y = rng.normal(size=(16, width)), np.arange(16) % WAYS
    query = rng.normal(size=(5, width))
    model = LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(support, y)
    found = log_softmax(logits(LogisticHead(C, n_iter=500), support, y, query), axis=1)
    np.testing.assert_allclose(found, model.predict_log_proba(query), atol=1e-4)


def test_nearest_neighbour_is_scikit_learns(task):
    support, y, query = task
    expected = KNeighborsClassifier(1).fit(support, y).predict(query)
    np.testing.assert_array_equal(logits(NearestNeighbourHead(), *task).argmax(1), expected)


def test_matching_averages_labels_by_attention(task):
    support, y, query = task
    attention = softmax(10 * unit(query) @ unit(support).T, axis=1)
    np.testing.assert_allclose(np.exp(logits(MatchingHead(), *task)), attention @ np.eye(WAYS)[y], atol=1e-6)


def test_full_context_embeds_each_support_row_among_the_others(task):
    support, y, query = task
    head = head_of("full context")
    before = logits(head, support, y, query)
    moved = support.copy()
    moved[0] += 1
    with torch.no_grad():
        states = [head.adapt(torch.as_tensor(rows), torch.as_tensor(y), WAYS)["support"] for rows in (support, moved)]
    assert not torch.allclose(states[0][-1], states[1][-1])  # the last row's code hears of the first one
    np.testing.assert_allclose(np.exp(before).sum(1), 1, atol=1e-6)


def test_relation_compares_means_and_regresses_scores(task):
    support, y, query = task
    head = head_of("relation")
    pairs = np.concatenate([np.tile(means(support, y), (9, 1)), np.repeat(query, WAYS, axis=0)], axis=1)
    with torch.no_grad():
        expected = head.compare(torch.as_tensor(pairs)).numpy().reshape(9, WAYS)
    found = logits(head, *task)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    labels = np.arange(9) % WAYS
    loss = np.square(1 / (1 + np.exp(-found)) - np.eye(WAYS)[labels]).mean()
    assert head.loss(torch.as_tensor(found), torch.as_tensor(labels)).item() == pytest.approx(loss)


@pytest.mark.parametrize("name", [name for name in ALL if name != "full context"])  # which sees the padded rows
def test_padding_counts_for_nothing(name, task):
    support, y, query = task
    padded = np.concatenate([support, 100 + support[:3]])
    found = logits(head_of(name), padded, np.append(y, [-1, -1, -1]), query)
    np.testing.assert_allclose(found, logits(head_of(name), support, y, query), atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_tasks_of_a_batch_are_apart(name):
    rng = np.random.default_rng(3)
    support, query = rng.normal(size=(5, 8, WIDTH)), rng.normal(size=(5, 3, WIDTH))
    y = np.stack([rng.permutation(np.arange(8) % WAYS) for _ in range(5)])
    head = head_of(name)
    together = logits(head, support, y, query)
    for task in range(5):
        np.testing.assert_allclose(together[task], logits(head, support[task], y[task], query[task]), atol=1e-6)


def test_relation_compares_some_pairs_at_a_time(monkeypatch):
    head = RelationHead()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head.build((3, 4, 4))
        support, query = torch.rand(2, 6, 3, 4, 4), torch.rand(2, 7, 3, 4, 4)
    head.eval()
    y = torch.tensor([[0, 1, 2, 0, 1, 2]] * 2)
    expected = head(support, y, query, n_way=3)
    sizes = []
    head.compare.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    monkeypatch.setattr("sktl.fewshot.heads._relation.PAIRS_AT_ONCE", 12)  # two queries of two tasks, three ways
    torch.testing.assert_close(head(support, y, query, n_way=3), expected)
    assert sizes == [12, 12, 12, 6]


@pytest.mark.parametrize("name", ["ridge", "logistic", "cosine", "matching", "relation"])
def test_gradients_reach_the_codes_and_what_the_head_learns(name, task):
    support, y, query = task
    head = head_of(name)
    codes = torch.tensor(support, requires_grad=True)
    head.loss(head(codes, torch.as_tensor(y), torch.as_tensor(query), WAYS), torch.arange(9) % WAYS).backward()
    assert codes.grad.abs().max() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters() if p.requires_grad)


def test_unknown_names_are_told_apart():
    with pytest.raises(ValueError, match=r"head must be one of .*Did you mean 'ridge'"):
        make_head("rigde")
    with pytest.raises(ValueError, match="distance must be one of 'sqeuclidean', 'cosine'"):
        PrototypeHead("euclid")
    with pytest.raises(ValueError, match="alpha must be above 0"):
        RidgeHead(alpha=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", HEADS)
def test_rows_without_any_difference(name, dtype):
    """All heads are finite on rows that are all alike; what tells nothing apart answers by the classes' shares."""
    y = torch.tensor([0, 0, 1])
    for value in (0.0, 3.0):
        support = torch.full((3, 5), value, dtype=dtype)
        logits = HEADS[name]().to(dtype)(support, y, support[:2], n_way=2)
        assert logits.isfinite().all()
        assert (logits[0] == logits[1]).all()
    if name == "ridge":  # values of the regression are the shares: 2/3 and 1/3, times the scale
        torch.testing.assert_close(logits[0], 10 * torch.tensor([2 / 3, 1 / 3], dtype=dtype))
    if name == "logistic":
        torch.testing.assert_close(logits.softmax(-1)[0], torch.tensor([2 / 3, 1 / 3], dtype=dtype), rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", HEADS)
def test_no_queries_and_no_support(name):
    head, support = HEADS[name](), torch.eye(4)
    assert head(support, torch.tensor([0, 0, 1, 1]), support[:0], n_way=2).shape == (0, 2)
    if name == "nearest":
        with pytest.raises(ValueError, match="there are none"):
            head(support[:0], torch.tensor([], dtype=torch.int64), support, n_way=2)
    else:
        assert head(support[:0], torch.tensor([], dtype=torch.int64), support, n_way=2).isfinite().all()


def test_relation_head_on_rows_of_zeros():
    for shape in ((5,), (4, 3, 3)):
        head = RelationHead()
        with torch.random.fork_rng(devices=[]):
            head.build(shape)
        support = torch.zeros(3, *shape)
        for training in (True, False):
            logits = head.train(training)(support, torch.tensor([0, 0, 1]), support[:2], n_way=2)
            assert logits.isfinite().all()
            torch.testing.assert_close(logits[0], logits[1])
        assert head(support, torch.tensor([0, 0, 1]), support[:0], n_way=2).shape == (0, 2)


def test_logistic_head_on_rows_of_any_size():
    """Gram matrices of large rows lose their smallest eigenvalues to rounding; the answer is the one of small rows."""
    rng = np.random.default_rng(0)
    y = torch.tensor([0, 1] * 10)
    support = torch.from_numpy(rng.normal(size=(20, 2)) + 6 * y.numpy()[:, None])
    for factor in (1.0, 1e4, 1e9, 1e60):
        logits = LogisticHead()(support * factor, y, support * factor, n_way=2)
        assert logits.isfinite().all()
        assert (logits.argmax(-1) == y).all()
