"""AdaBN's statistics against their closed form."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from sktl.adaptation import TestTimeAdaptedClassifier
from sktl.adaptation._moments import Moments, norms_of, pooled
from sktl.adaptation.joint._domain_batch_norm import estimate_statistics


def passed(moments, norm, parts):
    norm.train()
    with moments.listening([norm]), torch.no_grad():
        for part in parts:
            norm(part)


class TestMoments:
    @pytest.mark.parametrize("shape", [(50, 3), (50, 3, 4, 5)])
    def test_batches_are_pooled_as_if_they_were_one(self, shape):
        X = np.random.default_rng(0).normal(loc=5, scale=[[1], [2], [30]], size=(50, 3, 20)).astype(np.float32)
        X = X.reshape(50, 3, 4, 5) if len(shape) == 4 else X[..., 0]
        norm = nn.BatchNorm1d(3) if X.ndim == 2 else nn.BatchNorm2d(3)
        moments = Moments([norm])
        passed(moments, norm, torch.from_numpy(X).split([7, 20, 23]))
        moments.write([norm])
        axes = (0,) if X.ndim == 2 else (0, 2, 3)
        assert np.allclose(norm.running_mean, X.astype(float).mean(axes), rtol=1e-5)
        assert np.allclose(norm.running_var, X.astype(float).var(axes, ddof=1), rtol=1e-5)
        assert moments.n_rows == 50

    def test_pooling_keeps_small_variances_far_from_zero(self):
        rng = np.random.default_rng(0)
        a, b = 1e4 + rng.normal(size=40), 1e4 + 3 + rng.normal(size=9)
        n, mean, var = pooled(*((float(len(x)), torch.tensor(x.mean()), torch.tensor(x.var())) for x in (a, b)))
        both = np.r_[a, b]
        assert (n, mean.item()) == (49, pytest.approx(both.mean(), abs=1e-9))
        assert var.item() == pytest.approx(both.var(), rel=1e-9)

    def test_prior(self):
        X = torch.from_numpy(np.random.default_rng(0).normal(3, 2, size=(30, 2)).astype(np.float32))
        norm = nn.BatchNorm1d(2)
        norm.running_mean.fill_(10), norm.running_var.fill_(7)
        moments = Moments([norm])
        passed(moments, norm, [X])
        moments.write([norm], prior=90)
        assert np.allclose(norm.running_mean, 0.75 * 10 + 0.25 * X.numpy().mean(0), rtol=1e-5)
        assert np.allclose(norm.running_var, 0.75 * 7 + 0.25 * X.numpy().var(0, ddof=1), rtol=1e-5)

    def test_momentum_forgets(self):
        rng = np.random.default_rng(0)
        first, second = (torch.from_numpy(rng.normal(m, 1, size=(20, 2)).astype(np.float32)) for m in (0, 8))
        norm = nn.BatchNorm1d(2)
        moments = Moments([norm], momentum=0.25)
        passed(moments, norm, [first])
        passed(moments, norm, [second])
        moments.write([norm])
        assert np.allclose(norm.running_mean, 0.75 * first.numpy().mean(0) + 0.25 * second.numpy().mean(0), atol=1e-5)


def test_every_layer_goes_by_what_the_layer_before_gives():
    """In one batch: layer after layer in NumPy."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3), nn.BatchNorm1d(3))
        network[1].weight.data.uniform_(0.5, 2), network[1].bias.data.uniform_(-1, 1)
        X = torch.randn(40, 4)
    x = X.numpy().astype(float)
    entering = []
    for i in (0, 3):
        layer, norm = network[i], network[i + 1]
        x = x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        entering.append((x.mean(0), x.var(0, ddof=1)))
        x = (x - x.mean(0)) / np.sqrt(x.var(0) + norm.eps) * norm.weight.detach().numpy() + norm.bias.detach().numpy()
        x = np.maximum(x, 0)
    network.eval()
    estimate_statistics(network, [X])
    for norm, (mean, var) in zip((network[1], network[4]), entering):
        assert np.allclose(norm.running_mean, mean, atol=1e-5)
        assert np.allclose(norm.running_var, var, rtol=1e-4)
    assert not network[1].training


class TestAdaBN:
    def test_statistics_are_the_targets(self, source, target_rows):
        adapted = TestTimeAdaptedClassifier(source, batch_size=50).adapt(target_rows[0])
        module = source.module_
        rows = torch.from_numpy(source._scaler.transform(target_rows[0])).float()
        entering = module.bottleneck[0](module.backbone(rows)).detach().numpy().astype(float)
        norm = adapted.estimator_.module_.bottleneck[1]
        assert np.allclose(norm.running_mean, entering.mean(0), atol=1e-5)
        assert np.allclose(norm.running_var, entering.var(0, ddof=1), rtol=1e-4)

    def test_nothing_else_changes(self, source, target_rows, values_of):
        adapted = TestTimeAdaptedClassifier(source).adapt(target_rows[0])
        before, after = values_of(source), values_of(adapted.estimator_)
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        names = {name.rpartition(".")[2] for name in changed}
        assert {"running_mean", "running_var"} <= names <= {"running_mean", "running_var", "num_batches_tracked"}

    def test_helps(self, source, target_rows):
        X, truth = target_rows
        assert TestTimeAdaptedClassifier(source).adapt(X).score(X, truth) > source.score(X, truth) + 0.02

    def test_rows_add_up_over_calls(self, source, target_rows):
        X, _ = target_rows
        parts = TestTimeAdaptedClassifier(source, batch_size=40).adapt(X[:80]).adapt(X[80:])
        whole = TestTimeAdaptedClassifier(source, batch_size=40).adapt(X)
        norms = [model.estimator_.module_.bottleneck[1] for model in (parts, whole)]
        assert torch.allclose(norms[0].running_mean, norms[1].running_mean, atol=1e-5)
        assert torch.allclose(norms[0].running_var, norms[1].running_var, rtol=1e-4)

    def test_a_large_prior_is_the_source(self, source, target_rows):
        X, _ = target_rows
        model = TestTimeAdaptedClassifier(source, prior=1e9).adapt(X)
        assert np.allclose(model.predict_proba(X), source.predict_proba(X), atol=1e-5)

    def test_all_layers_of_a_picture_network(self, picture_source, pictures):
        model = TestTimeAdaptedClassifier(picture_source, batch_size=60).adapt(pictures[2])
        network = copy.deepcopy(picture_source._open().module)
        moments = Moments(norms_of(network))
        assert len(moments.source) == 3
        expected = {}

        def note(name):
            def hook(part, inputs):
                expected[name] = inputs[0].detach().numpy().astype(float)

            return hook

        for name, part in network.named_modules():
            if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
                part.train().register_forward_pre_hook(note(name))
        network(torch.from_numpy(pictures[2])[:, None])
        for name, x in expected.items():
            norm = model.estimator_.module_.get_submodule(name)
            axes = (0,) if x.ndim == 2 else (0, 2, 3)
            assert np.allclose(norm.running_mean, x.mean(axes), atol=1e-5)
            assert np.allclose(norm.running_var, x.var(axes, ddof=1), rtol=1e-4)
        assert model.score(pictures[2], pictures[3]) > picture_source.score(pictures[2], pictures[3])
