"""What a loss is worth does not go by the size of the batch; transport is that of POT."""

from math import log

import numpy as np
import pytest
import torch

import sktl.adaptation.losses as L  # noqa: N812

RNG = np.random.default_rng(1)
SOURCE, TARGET = RNG.normal(size=(6, 5)), RNG.normal(size=(6, 5)) + 0.5
LOGITS, OTHER = RNG.normal(size=(6, 4)) * 2, RNG.normal(size=(6, 4)) * 2
LABELS = np.array([0, 1, 2, 1, 3, 0])


def t(values):
    return torch.from_numpy(np.ascontiguousarray(values))


TERMS = {  # of (source features, target features, logits, other logits, labels), all of as many rows
    "nuclear_norm": lambda s, f, z, q, y: L.nuclear_norm(z),
    "spectral_penalty": lambda s, f, z, q, y: L.spectral_penalty(s, f, n_largest=2),
    "central_moments": lambda s, f, z, q, y: L.central_moments(s, f),
    "norm_growth": lambda s, f, z, q, y: L.norm_growth(s, step=0.5),
    "invariance_penalty": lambda s, f, z, q, y: L.invariance_penalty(z, y),
    "entropy": lambda s, f, z, q, y: L.entropy(z),
    "class_confusion": lambda s, f, z, q, y: L.class_confusion(z),
    "classifier_discrepancy": lambda s, f, z, q, y: L.classifier_discrepancy(z, q),
    "margin_disparity": lambda s, f, z, q, y: L.margin_disparity(z, q, y, y, margin=2.0),
    "confident_cross_entropy": lambda s, f, z, q, y: L.confident_cross_entropy(z, q, threshold=0.6),
    "confident_consistency": lambda s, f, z, q, y: L.confident_consistency(z, q, threshold=0.6),
    "domain_loss": lambda s, f, z, q, y: L.domain_loss(torch.cat([z[:, 0], q[:, 0]]), len(z)),
    "domain_loss, weighted": lambda s, f, z, q, y: L.domain_loss(
        torch.cat([z[:, 0], q[:, 0]]), len(z), L.entropy_weights(torch.cat([z, q]).softmax(1))
    ),
}


@pytest.mark.parametrize("name", TERMS)
def test_the_same_rows_again_change_nothing(name):
    parts = SOURCE, TARGET, LOGITS, OTHER, LABELS
    once = TERMS[name](*map(t, parts))
    again = TERMS[name](*(t(np.tile(part, (4, 1) if part.ndim == 2 else 4)) for part in parts))
    assert float(once) != 0
    assert float(again) == pytest.approx(float(once), rel=1e-9)


def test_classes_that_a_batch_lacks_do_not_thin_out_the_mean():
    proba = torch.full((6, 40), 1 / 40, dtype=torch.float64)
    few = L.local_mmd(t(SOURCE), t(TARGET), t(LABELS), proba[:, :4] * 10)
    many = L.local_mmd(t(SOURCE), t(TARGET), t(LABELS), proba)  # 36 further classes that no source row has
    assert float(many) == pytest.approx(float(few), rel=1e-9)


def test_nuclear_norm_of_certain_predictions():
    # n one-hot rows spread over 4 classes: 4 singular values of sqrt(n / 4)
    for n in (4, 40):
        logits = 100 * torch.eye(4, dtype=torch.float64).repeat(n // 4, 1)
        assert float(L.nuclear_norm(logits)) == pytest.approx(2.0)


COST = np.array([[0.2, 0.9, 0.5, 0.7], [0.8, 0.1, 0.6, 0.4], [1.5, 1.1, 0.3, 0.9]])
# POT 0.9.7, uniform masses: sinkhorn_unbalanced(a, b, COST, 0.3 mean, 0.5 mean, reg_type="kl"), sinkhorn(.., 0.3 mean)
UNBALANCED = [
    [0.15044036, 0.00407626, 0.02840362, 0.02247726],
    [0.00538714, 0.16007256, 0.01239092, 0.07245400],
    [0.00038636, 0.00256156, 0.13188816, 0.01412494],
]
BALANCED = [
    [0.24382840, 0.01066916, 0.01994649, 0.05888929],
    [0.00464753, 0.22301269, 0.00463170, 0.10104141],
    [0.00152407, 0.01631815, 0.22542181, 0.09006931],
]


def test_plans_are_those_of_pot():
    unbalanced = L.sinkhorn_plan(t(COST), regularisation=0.3, reach=0.5, n_iter=200)
    assert np.allclose(unbalanced, UNBALANCED, atol=2e-8)
    assert np.allclose(L.sinkhorn_plan(t(COST), regularisation=0.3, n_iter=200), BALANCED, atol=2e-8)


def test_exact_transport_is_that_of_pot():
    source = np.array([[0.0, 0, 1], [1, 2, 0], [3, 1, 1], [0, 1, 0]])
    target = np.array([[1.0, 0, 1], [2, 2, 1], [0, 1, 1], [3, 0, 0]])
    log_proba = t(np.array([[2.0, 0.5, -1], [0.3, 1, 0], [-1, 0, 2], [1, 1, 0.5]])).log_softmax(1)
    labels = t(np.array([0, 1, 2, 0]))
    cost = L.joint_cost(t(source), t(target), labels, log_proba, alpha=0.7, beta=1.3)
    assert float((L.exact_plan(cost) * cost).sum()) == pytest.approx(1.930782543547617)  # POT's emd2


def test_default_plan_has_converged():
    cost = t(RNG.random((64, 64)))
    some, more = (L.sinkhorn_plan(cost, reach=L.DeepJDOT().reach, n_iter=n) for n in (L.DeepJDOT().n_iter, 3000))
    assert torch.allclose(some, more, atol=1e-3 * float(more.max()))


def test_teacher_term_by_hand():
    # a student of (3/4, 1/4) and a teacher of (1, 0): ((1/4)^2 + (1/4)^2) / 2
    student, teacher = torch.tensor([[log(3), 0.0]]), torch.tensor([[1e3, 0.0]])
    assert float(L.confident_consistency(student, teacher, threshold=0.9)) == pytest.approx(1 / 16)
