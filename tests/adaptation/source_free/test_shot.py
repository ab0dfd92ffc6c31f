"""Losses and pseudo-labels of SHOT against NumPy."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy
from torch import nn

from sktl.adaptation._batches import DomainBatch
from sktl.adaptation.joint._network import NormedLinear
from sktl.adaptation.losses._centroids import centroid_labels
from sktl.adaptation.losses._information import information_loss, marginal_entropy
from sktl.adaptation.source_free._shot import InformationStep


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def drawn(n=12, k=4, seed=0):
    return np.random.default_rng(seed).normal(scale=2, size=(n, k))


def labels_by_hand(features, proba, n_rounds):
    """Spherical k-means of rows with a 1 appended, from the predicted probabilities; one loop a step."""
    rows = [np.append(f, 1.0) / np.linalg.norm(np.append(f, 1.0)) for f in features]
    allowed = sorted(set(proba.argmax(axis=1).tolist()))
    shares = proba
    for _ in range(n_rounds):
        labels = []
        centroids = {k: sum(s * f for s, f in zip(shares[:, k], rows)) / (shares[:, k].sum() + 1e-8) for k in allowed}
        for f in rows:
            cosines = {k: f @ c / max(np.linalg.norm(c), 1e-12) for k, c in centroids.items()}
            labels.append(max(allowed, key=cosines.get))
        shares = np.eye(proba.shape[1])[labels]
    return np.array(labels)


class TestLosses:
    def test_marginal_entropy(self):
        z = drawn()
        assert marginal_entropy(torch.from_numpy(z)).item() == pytest.approx(scipy_entropy(softmax(z).mean(0)))
        assert marginal_entropy(torch.zeros(3, 5)).item() == pytest.approx(np.log(5))

    @pytest.mark.parametrize("diversity", [1.0, 0.3])
    def test_information(self, diversity):
        z = drawn()
        p = softmax(z)
        expected = scipy_entropy(p, axis=1).mean() - diversity * scipy_entropy(p.mean(0))
        assert information_loss(torch.from_numpy(z), diversity).item() == pytest.approx(expected)

    def test_gradient_is_finite_where_a_class_is_never_predicted(self):
        z = torch.tensor([[200.0, 0.0], [200.0, 0.0]], requires_grad=True)
        information_loss(z).backward()
        assert z.grad.isfinite().all()

    def test_step_adds_up(self):
        z, labels = drawn(), np.arange(12) % 4
        batch = DomainBatch(torch.from_numpy(z), torch.from_numpy(labels), None, 0.0)
        result = InformationStep(0.3, 0.5)(nn.Identity(), batch)
        p = softmax(z)
        agreeing = -np.log(p[np.arange(12), labels]).mean()
        expected = scipy_entropy(p, axis=1).mean() - 0.5 * scipy_entropy(p.mean(0)) + 0.3 * agreeing
        assert result.loss.item() == pytest.approx(expected, rel=1e-5)
        assert result.parts["pseudo_labels"].item() == pytest.approx(agreeing, rel=1e-5)


class TestCentroidLabels:
    @pytest.mark.parametrize("n_rounds", [1, 2, 3])
    @pytest.mark.parametrize("seed", range(5))
    def test_as_by_hand(self, n_rounds, seed):
        features, proba = drawn(60, 7, seed), softmax(drawn(60, 5, seed + 10))
        found = centroid_labels(torch.from_numpy(features), torch.from_numpy(proba), n_rounds=n_rounds)
        assert np.array_equal(found.numpy(), labels_by_hand(features, proba, n_rounds))

    def test_rounds_matter(self):
        features, proba = drawn(60, 7), softmax(drawn(60, 5, 10))
        one, two = (centroid_labels(torch.from_numpy(features), torch.from_numpy(proba), n_rounds=n) for n in (1, 2))
        assert not torch.equal(one, two)

    def test_a_class_that_nothing_is_predicted_to_be_gets_no_row(self):
        features, proba = drawn(60, 7), softmax(drawn(60, 5, 10))
        proba[:, 2] = 0.0
        found = centroid_labels(torch.from_numpy(features), torch.from_numpy(proba))
        assert 2 not in found
        assert np.array_equal(found.numpy(), labels_by_hand(features, proba, 2))

    def test_corrects_predictions(self):
        """Clusters decide, where a shifted classifier splits one of them."""
        rng = np.random.default_rng(0)
        truth = np.repeat([0, 1], 50)
        features = np.where(truth[:, None] == 0, [4.0, 0.0], [0.0, 4.0]) + rng.normal(scale=0.5, size=(100, 2))
        score = features[:, 0] - features[:, 1] - 3.5  # the boundary cuts class 0
        proba = softmax(np.c_[score, np.zeros(100)])
        assert (proba.argmax(1) == truth).mean() <= 0.9
        assert (centroid_labels(torch.from_numpy(features), torch.from_numpy(proba)).numpy() == truth).mean() > 0.98


def test_normed_linear_is_torchs_weight_norm():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        own = NormedLinear(5, 3)
        theirs = nn.utils.parametrizations.weight_norm(nn.Linear(5, 3))
        X = torch.randn(4, 5)
        own.length.data *= torch.rand(3, 1)
    theirs.parametrizations.weight.original0.data.copy_(own.length)
    theirs.parametrizations.weight.original1.data.copy_(own.direction)
    theirs.bias.data.copy_(own.bias)
    assert torch.allclose(own(X), theirs(X), atol=1e-6)
    own(X).pow(2).sum().backward()
    theirs(X).pow(2).sum().backward()
    assert torch.allclose(own.direction.grad, theirs.parametrizations.weight.original1.grad, atol=1e-5)
