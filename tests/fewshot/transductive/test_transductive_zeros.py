"""What codes of length zero, equal rows and no sharpness come to."""

import numpy as np
import pytest
import torch

from sktl.fewshot.heads import MatchingHead, PrototypeHead, SimpleShotHead
from sktl.fewshot.transductive import BDCSPN, PTMAP, TIM, LaplacianShot


def first(parts):
    support, y, query, truth = (torch.from_numpy(part[0]) for part in parts)
    return support, y, query, truth


def test_no_sharpness_is_the_limit(make_clouds):
    support, y, query, _ = first(make_clouds(1, seed=3))
    none, tiny = (BDCSPN(s)(support, y, query, n_way=4) for s in (0.0, 1e-7))
    assert torch.allclose(none, tiny, atol=1e-4)


def test_surest_queries_go_by_cosines_alone(make_clouds):
    support, y, query, _ = first(make_clouds(1, seed=3))
    support = torch.nn.functional.normalize(support, dim=1).numpy()
    moved = torch.nn.functional.normalize(query, dim=1).numpy()
    moved = moved + support.mean(0) - moved.mean(0)
    cosines = moved @ support.T / np.linalg.norm(moved, axis=1, keepdims=True)
    centres, p = support[np.argsort(y.numpy())], np.exp(cosines[:, np.argsort(y.numpy())])
    cosines, p = cosines[:, np.argsort(y.numpy())], p / p.sum(1, keepdims=True)
    for sharpness in (0.0, 25.0):
        means = []
        for k in range(4):
            of_class = np.flatnonzero(cosines.argmax(1) == k)
            rows = of_class[np.argsort(-p[of_class, k])[:3]]
            weights = np.exp(sharpness * np.r_[1.0, cosines[rows, k]])
            means.append(weights @ np.vstack([centres[k], moved[rows]]) / weights.sum())
        means = np.array(means)
        expected = 10 * moved @ means.T / np.linalg.norm(moved, axis=1)[:, None] / np.linalg.norm(means, axis=1)
        found = BDCSPN(sharpness, n_confident=3)(*map(torch.as_tensor, (support, y, query)), n_way=4)
        assert torch.allclose(found.log_softmax(1), torch.from_numpy(expected).log_softmax(1), atol=1e-5)


METHODS = [BDCSPN(), BDCSPN(0.0), LaplacianShot(), LaplacianShot(rectify=False), PTMAP(), TIM(),
           TIM("gd", n_iter=30), TIM("gd", distance="cosine", n_iter=30),
           TIM("gd", temperature=1e4, n_iter=5)]  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("what", ["opposite", "zero", "equal"])
def test_rows_without_direction_give_numbers(method, what):
    rng = np.random.default_rng(0)
    support = torch.from_numpy(rng.normal(size=(4, 5)))
    support[1] = -support[0]  # their mean is zero
    query = torch.from_numpy(rng.normal(size=(9, 5)))
    if what == "zero":
        support[:2], query[:3] = 0, 0
    elif what == "equal":
        support[:], query[:] = 1, 1
    found = method(support, torch.tensor([0, 0, 1, 1]), query, n_way=2)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("head", [PrototypeHead("cosine"), PrototypeHead(), MatchingHead(), SimpleShotHead()], ids=str)
def test_heads_give_numbers_and_gradients_at_zero(head):
    support, query = torch.zeros(4, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    logits = head(support, torch.tensor([0, 0, 1, 1]), query, 2)
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    assert torch.isfinite(support.grad).all()
    assert torch.isfinite(query.grad).all()
