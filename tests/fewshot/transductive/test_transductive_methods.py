"""Each method against its paper's equations, written as loops over rows and classes of one task."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from sktl.fewshot.transductive import (
    BDCSPN,
    PTMAP,
    TIM,
    LaplacianShot,
    Span,
    Tasks,
    gradient,
    transport,
)

WAYS = 4
TASK = {"shots": (1, 2, 3, 2), "n_query": (7, 9, 5, 8)}


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def cosine(a, b):
    return a @ b / np.sqrt(a @ a * (b @ b))


def means(support, y):
    return np.stack([support[y == k].mean(0) for k in range(WAYS)])


def rectified(support, y, query, sharpness, n_confident):
    """Return the rectified prototypes and the shifted queries."""
    query = query + support.mean(0) - query.mean(0)
    centres, surest = means(support, y), [[] for _ in range(WAYS)]
    for x in query:
        logits = np.array([cosine(x, c) for c in centres])
        surest[logits.argmax()].append((softmax(logits).max(), x))
    found = []
    for k in range(WAYS):
        chosen = [x for _, x in sorted(surest[k], key=lambda pair: -pair[0])[:n_confident]]
        rows = np.array([*support[y == k], *chosen])
        weights = np.array([np.exp(sharpness * cosine(x, centres[k])) for x in rows])
        found.append((weights / weights.sum()) @ rows)
    return np.array(found), query


def bd_cspn(support, y, query, sharpness=1.0, n_confident=8, temperature=10.0):
    centres, moved = rectified(unit(support), y, unit(query), sharpness, n_confident)
    return log_softmax([[temperature * cosine(x, c) for c in centres] for x in moved], axis=1)


def laplacian_shot(support, y, query, weight=0.7, n_neighbors=2, rectify=True, n_iter=20):
    support, query = unit(support), unit(query)
    centres = means(support, y)
    if rectify:
        centres, query = rectified(support, y, query, 1.0, 8)
    costs = np.array([[np.square(x - c).sum() for c in centres] for x in query])
    distances = np.square(query[:, None] - query).sum(-1) + np.diag(np.full(len(query), np.inf))
    affinity = np.zeros_like(distances)
    for q, row in enumerate(distances):
        affinity[q, np.argsort(row)[:n_neighbors]] = 1
    assigned = softmax(-costs, axis=1)
    for _ in range(n_iter):
        logits = np.array([-costs[q] + weight * sum(affinity[q, p] * assigned[p] for p in range(len(query)))
                           for q in range(len(query))])  # fmt: skip
        assigned = softmax(logits, axis=1)
    return np.log(assigned)


def tim_probabilities(rows, centres, temperature):
    return softmax([[-temperature / 2 * np.square(x - c).sum() for c in centres] for x in rows], axis=1)


def tim_adm(support, y, query, temperature=15.0, support_weight=0.1, share_weight=1.0, certainty=0.1, n_iter=10):
    support, query = unit(support), unit(query)
    centres, one_hot = means(support, y), np.eye(WAYS)[y]
    for _ in range(n_iter):
        in_support = tim_probabilities(support, centres, temperature)
        in_query = tim_probabilities(query, centres, temperature)
        q = in_query ** (1 + certainty)
        q = q / q.sum(0) ** (share_weight / (1 + share_weight))
        q = q / q.sum(1, keepdims=True)
        new, a, b = [], support_weight / (1 + certainty), len(support) / len(query)
        for k, centre in enumerate(centres):
            top = sum(a * (t[k] * x + p[k] * (centre - x)) for x, t, p in zip(support, one_hot, in_support))
            top = top + sum(b * (t[k] * x + p[k] * (centre - x)) for x, t, p in zip(query, q, in_query))
            new.append(top / (a * one_hot[:, k].sum() + b * q[:, k].sum()))
        centres = np.array(new)
    return np.log(tim_probabilities(query, centres, temperature))


def tim_log_proba(rows, centres, temperature, distance):
    """Return what TIM predicts for torch tensors."""
    if distance == "cosine":
        closeness = torch.cosine_similarity(rows[:, None], centres, dim=-1)
    else:
        closeness = -(rows[:, None] - centres).square().sum(-1) / 2
    return torch.log_softmax(temperature * closeness, dim=1)


def tim_loss(support, y, query, centres, temperature, support_weight, share_weight, certainty, distance="euclidean"):
    """Return TIM's objective for torch tensors."""
    in_support, in_query = (tim_log_proba(rows, centres, temperature, distance) for rows in (support, query))
    share, p = in_query.exp().mean(0), in_query.exp()
    cross_entropy = -in_support[torch.arange(len(y)), y].mean()
    return (
        support_weight * cross_entropy
        + share_weight * (share * share.log()).sum()
        - certainty * (p * in_query).sum(1).mean()
    )


def sinkhorn(costs, sharpness, balance=1.0, rounds=20_000):
    kernel = np.exp(-sharpness * (costs - costs.min(1, keepdims=True)))  # (n, k)
    share, of_class = len(costs) / costs.shape[1], np.ones(costs.shape[1])
    for _ in range(rounds):
        of_query = 1 / (kernel @ of_class)
        of_class = (share / (kernel.T @ of_query)) ** balance
    plan = of_query[:, None] * kernel * of_class
    return plan / plan.sum(1, keepdims=True)


def pt_map(support, y, query, balance=1.0, power=0.5, center=True, sharpness=10.0, step=0.2, n_iter=20):
    support, query = (unit(np.sign(rows) * np.abs(rows) ** power) for rows in (support, query))
    if center:
        support, query = unit(support - support.mean(0)), unit(query - query.mean(0))
    centres, one_hot = means(support, y), np.eye(WAYS)[y]
    for k in range(n_iter + 1):
        costs = np.array([[np.square(x - c).sum() for c in centres] for x in query])
        plan = sinkhorn(costs, sharpness, balance, rounds=1500)
        if k < n_iter:
            for j in range(WAYS):
                weights = np.concatenate([one_hot[:, j], plan[:, j]])
                mean = weights @ np.concatenate([support, query]) / weights.sum()
                centres[j] = centres[j] + step * (mean - centres[j])
    return np.log(plan)


CASES = [
    (BDCSPN, bd_cspn, {}),
    (BDCSPN, bd_cspn, {"sharpness": 10.0, "n_confident": 3, "temperature": 4.0}),
    (BDCSPN, bd_cspn, {"n_confident": None}),
    (LaplacianShot, laplacian_shot, {}),
    (LaplacianShot, laplacian_shot, {"weight": 2.0, "n_neighbors": 9, "rectify": False, "n_iter": 3}),
    (TIM, tim_adm, {"n_iter": 10}),
    (TIM, tim_adm, {"n_iter": 5, "temperature": 6.0, "support_weight": 1.0, "share_weight": 0.4, "certainty": 0.7}),
    (PTMAP, pt_map, {}),
    (PTMAP, pt_map, {"balance": 0.6, "power": 0.7, "sharpness": 20.0, "step": 0.4, "n_iter": 4}),
    (PTMAP, pt_map, {"balance": 0.0, "center": False, "n_iter": 5}),
]


@pytest.mark.parametrize("width", [6, 64])  # more rows than twice the width, and fewer
@pytest.mark.parametrize(("Method", "reference", "options"), CASES)
def test_it_is_the_papers(Method, reference, options, width, make_clouds):
    support, y, query, _ = make_clouds(3, **TASK, width=width)
    found = Method(**options)(*map(torch.from_numpy, (support, y, query)), n_way=WAYS)
    assert found.shape == (3, 29, WAYS)
    expected = np.stack([reference(support[t], y[t], query[t], **options) for t in range(3)])
    np.testing.assert_allclose(found.exp().numpy(), np.exp(expected), atol=2e-5)
    start = Method(**options)(*map(torch.from_numpy, (support, y, query[:, :3])), n_way=WAYS)
    assert (start[:, :3] - found[:, :3]).abs().max() > 1e-3  # the other queries matter


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_the_gradient_is_that_of_the_objective(distance, make_clouds):
    support, y, query, _ = make_clouds(1, **TASK, width=5)
    support, query = torch.from_numpy(unit(support)), torch.from_numpy(unit(query))
    weights = {"temperature": 7.0, "support_weight": 0.3, "share_weight": 0.8, "certainty": 0.4}
    centres = torch.randn(WAYS, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    tim_loss(support[0], torch.from_numpy(y[0]), query[0], centres, **weights, distance=distance).backward()
    # two rows of padding, which count for nothing
    padded = torch.cat([support, torch.full((1, 2, 5), 9.0, dtype=torch.float64)], dim=1)
    labels = torch.cat([torch.from_numpy(y), torch.full((1, 2), -1)], dim=1)
    tasks = Tasks.of(Span(rows=torch.cat([padded, query], dim=1)), labels, WAYS)
    found = gradient(tasks, centres.detach()[None], **weights, is_cosine=distance == "cosine")[0]
    np.testing.assert_allclose(found, centres.grad, atol=1e-12)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_descent_is_adam_on_the_objective(distance, make_clouds):
    support, y, query, _ = make_clouds(2, **TASK, width=8)
    weights = {"temperature": 10.0, "support_weight": 1.0, "share_weight": 1.0, "certainty": 0.1}
    method = TIM("gd", **weights, distance=distance, n_iter=30, learning_rate=3e-3)
    found = method(*map(torch.from_numpy, (support, y, query)), n_way=WAYS)
    for t in range(2):
        s, q = torch.from_numpy(unit(support[t])), torch.from_numpy(unit(query[t]))
        centres = torch.from_numpy(means(s.numpy(), y[t])).requires_grad_()
        adam = torch.optim.Adam([centres], lr=3e-3)
        for _ in range(30):
            adam.zero_grad()
            tim_loss(s, torch.from_numpy(y[t]), q, centres, **weights, distance=distance).backward()
            adam.step()
        expected = tim_log_proba(q, centres.detach(), 10.0, distance)
        np.testing.assert_allclose(found[t], expected, atol=1e-8)


def test_cosines_have_no_closed_form(make_clouds):
    support, y, query, _ = make_clouds(1, **TASK, width=8)
    with pytest.raises(ValueError, match="no closed form: use solver='gd'"):
        TIM(distance="cosine")(*map(torch.from_numpy, (support, y, query)), n_way=WAYS)


def test_both_solvers_lower_the_same_objective(make_clouds):
    support, y, query, _ = make_clouds(1, **TASK, width=8)
    s, q, labels = torch.from_numpy(unit(support[0])), torch.from_numpy(unit(query[0])), torch.from_numpy(y[0])
    weights = {"temperature": 15.0, "support_weight": 0.1, "share_weight": 1.0, "certainty": 0.1}
    found = {}
    for method in (TIM(n_iter=1), TIM(), TIM("gd", learning_rate=1e-3)):
        log_p = method(s, labels, q, n_way=WAYS)
        share = log_p.exp().mean(0)
        found[method] = ((share * share.log()).sum() - 0.1 * (log_p.exp() * log_p).sum(1).mean()).item()
    first, adm, descent = found.values()
    assert adm < first
    assert descent < first
    assert weights["share_weight"] == TIM().share_weight


@pytest.mark.parametrize("balance", [1.0, 0.9, 0.3])
@pytest.mark.parametrize("sharpness", [1.0, 10.0])
def test_transport_is_where_sinkhorn_ends(balance, sharpness):
    costs = np.random.default_rng(0).uniform(0, 1, size=(5, 30, WAYS))
    found, _ = transport(torch.from_numpy(costs).transpose(1, 2), sharpness=sharpness, balance=balance, tol=1e-12)
    for t in range(5):
        expected = sinkhorn(costs[t], sharpness, balance, rounds=3000)
        np.testing.assert_allclose(found[t].exp().T, expected, atol=1e-9)
        if balance == 1:
            np.testing.assert_allclose(expected.sum(0), 7.5, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_transport_ends_where_classes_are_far_apart(dtype):
    # Twenty rows of one class, four of another: six must change, over a gap that Sinkhorn's rounds hardly cross.
    near = torch.tensor([0.0, 3.0, 3.2], dtype=dtype)
    costs = torch.cat([near.repeat(20, 1), near.flip(0).repeat(4, 1)]).T[None] + torch.linspace(0, 0.5, 24, dtype=dtype)
    found, _ = transport(costs, sharpness=20.0)
    assert found.isfinite().all()
    np.testing.assert_allclose(found.exp().sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(found.exp().sum(2), 8, rtol=1e-3)


def test_transport_of_a_task_does_not_depend_on_its_batch():
    costs = torch.rand(6, WAYS, 20, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 7).view(-1, 1, 1)
    together, potentials = transport(costs, sharpness=5.0)
    for t in range(6):
        alone, _ = transport(costs[t : t + 1], sharpness=5.0)
        np.testing.assert_allclose(together[t], alone[0], atol=1e-5)
    again, _ = transport(costs, sharpness=5.0, start=potentials)
    np.testing.assert_array_equal(again, together)
    free, _ = transport(costs, sharpness=5.0, balance=0.0)
    np.testing.assert_allclose(free, (-5 * costs).log_softmax(1))
