"""TENT: what it changes, by how much, and that its collapse is undone."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from sktl.adaptation import TestTimeAdaptedClassifier
from sktl.adaptation.test_time._collapse import (
    Collapse,
    Predictions,
    are_spread_thin,
    could_be_of_the_source,
    n_classes_of,
)


def tent(estimator, **params):
    return TestTimeAdaptedClassifier(estimator, **{"method": "tent", "random_state": 0, **params})


def norms_in(module):
    return [part for part in module.modules() if isinstance(part, _BatchNorm)]


class TestWhatChanges:
    @pytest.mark.parametrize("data", ["rows", "pictures"])
    def test_scales_and_shifts_alone(self, data, source, target_rows, picture_source, pictures, values_of):
        estimator, X = (source, target_rows[0]) if data == "rows" else (picture_source, pictures[2])
        adapted = tent(estimator, max_epochs=2).adapt(X).estimator_
        before, after = values_of(estimator), values_of(adapted)
        own = {
            f"{name}.{leaf}"
            for name, part in estimator._open().module.named_modules()
            if isinstance(part, _BatchNorm)
            for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        }
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed <= own
        assert {name for name in own if name.endswith((".weight", ".bias"))} <= changed

    def test_one_step_is_the_papers(self, source, target_rows):
        """A plain step of gradient descent on the entropy, norms by the batch."""
        X = target_rows[0][:60]
        adapted = tent(source, batch_size=60, optimizer=torch.optim.SGD, learning_rate=0.1).adapt(X)
        network = source._open().module
        norm = norms_in(network)[0]
        norm.train()
        log_p = network(torch.from_numpy(source._scaler.transform(X)).float()).log_softmax(1)
        (-(log_p.exp() * log_p).sum(1).mean()).backward()
        found = norms_in(adapted.estimator_.module_)[0]
        assert torch.allclose(found.weight, norm.weight - 0.1 * norm.weight.grad, atol=1e-5)
        assert torch.allclose(found.bias, norm.bias - 0.1 * norm.bias.grad, atol=1e-5)
        assert norm.weight.grad.abs().max() > 1e-3

    def test_entropy_falls(self, source, target_rows):
        X, truth = target_rows
        plain = TestTimeAdaptedClassifier(source).adapt(X)
        trained = tent(source, learning_rate=0.01, max_epochs=3).adapt(X)
        of = [scipy_entropy(model.predict_proba(X), axis=1).mean() for model in (plain, trained)]
        assert of[1] < of[0] - 0.02
        assert trained.score(X, truth) >= plain.score(X, truth) - 0.02

    def test_dropout_does_not_draw(self, picture_source, pictures):
        seeds = [
            tent(picture_source, random_state=seed, batch_size=60).adapt(pictures[2]).predict_proba(pictures[2])
            for seed in (0, 1)
        ]
        assert np.allclose(*seeds, atol=1e-5)  # one batch: its order is all that the seed decides


class TestCollapse:
    def test_classes_that_a_mean_prediction_amounts_to(self):
        assert n_classes_of(torch.full((5,), 0.2)) == pytest.approx(5)
        assert n_classes_of(torch.tensor([0.0, 1.0, 0.0])) == pytest.approx(1)
        q = np.array([0.7, 0.2, 0.1])
        assert n_classes_of(torch.from_numpy(q)) == pytest.approx(np.exp(scipy_entropy(q)))

    @pytest.mark.parametrize(("sharpness", "collapses"), [(0.0, False), (2.0, False), (6.0, True)])
    def test_is_told_from_a_change(self, sharpness, collapses):
        watch = Collapse()
        assert not watch.is_there
        logits = torch.from_numpy(np.random.default_rng(0).normal(scale=3, size=(200, 5)))
        drawn_to_one = logits + sharpness * torch.tensor([1.0, 0, 0, 0, 0])
        for _ in range(5):
            watch.add(logits, drawn_to_one)
        assert watch.is_there == collapses

    def test_a_stream_of_one_class_from_the_start_is_no_collapse(self):
        watch = Collapse()
        logits = torch.tensor([[8.0, 0.0, 0.0]]).repeat(20, 1)
        watch.add(logits, logits)
        assert not watch.is_there

    def test_of_the_parameters_is_undone_with_a_warning(self, source, target_rows):
        X, truth = target_rows
        model = tent(source, learning_rate=1.0, max_epochs=5, batch_size=30)
        with pytest.warns(UserWarning, match=r"TENT has collapsed: .* amounted to 3\.0 classes now amount"):
            model.adapt(X)
        expected = TestTimeAdaptedClassifier(source, batch_size=30).adapt(X)  # statistics stay the target's
        assert np.allclose(model.predict_proba(X), expected.predict_proba(X), atol=1e-6)
        left = tent(source, learning_rate=1.0, max_epochs=5, batch_size=30, undo_collapse=False).adapt(X)
        assert left.score(X, truth) < model.score(X, truth) - 0.1

    def test_in_a_stream_the_batch_is_predicted_as_before(self, source, target_rows):
        X, _ = target_rows
        model = tent(source, learning_rate=1.0, batch_size=30, online=True).reset()
        session = model._session
        for batch in np.split(X, 4):
            model.predict(batch)
        affine = {name: value.clone() for name, value in session._state()[1].items()}
        assert any(not torch.equal(affine[name], session.start[name]) for name in affine)
        for _ in range(60):  # towards one class
            session.step.collapse.add(torch.eye(3).repeat(10, 1) * 9, torch.tensor([[9.0, 0, 0]]).repeat(30, 1))
        with pytest.warns(UserWarning, match="TENT has collapsed"):
            model.predict(X[:30])
        assert all(torch.equal(value, session.start[name]) for name, value in session._state()[1].items())
        assert not session.step.collapse.is_there


class TestFewClasses:
    """Norms spread rows of one class over all."""

    def test_measures(self):
        logits = torch.from_numpy(np.random.default_rng(0).normal(scale=2, size=(50, 4)))
        seen = Predictions(logits[:20], logits[20:])
        p = torch.softmax(logits, 1).numpy()
        assert seen.entropy == pytest.approx(scipy_entropy(p, axis=1).mean(), rel=1e-5)
        assert seen.n_classes == pytest.approx(np.exp(scipy_entropy(p.mean(0))), rel=1e-5)
        assert seen.largest_entropy == pytest.approx(np.log(4))

    def test_spread(self):
        one, unsure = Predictions(torch.tensor([[5.0, 0, 0]]).repeat(9, 1)), Predictions(torch.eye(3).repeat(3, 1))
        sure = Predictions(9 * torch.eye(3).repeat(3, 1))
        assert are_spread_thin(one, unsure)
        assert not are_spread_thin(one, sure)  # what a network that was led astray becomes
        assert not are_spread_thin(unsure, sure)
        assert not are_spread_thin(sure, unsure)

    def test_inputs_elsewhere_are_another_domain(self):
        mean, var = torch.zeros(3), torch.ones(3)
        assert could_be_of_the_source(torch.tensor([0.9, -0.5, 0.1]), 0.4 * var, mean, var)
        assert not could_be_of_the_source(torch.tensor([3.0, -2.0, 0.1]), 0.4 * var, mean, var)
        assert not could_be_of_the_source(mean, 9 * var, mean, var)
        assert not could_be_of_the_source(mean, 0.1 * var, mean, var)

    @pytest.mark.parametrize("method", ["tent", "adabn"])
    @pytest.mark.parametrize("online", [False, True])
    def test_a_single_class_is_noticed_and_left_out(self, method, online, source, source_rows, values_of):
        X, truth = source_rows
        single = X[truth == 1]
        model = tent(source, method=method, online=online, batch_size=40).reset()
        with pytest.warns(UserWarning, match="seem to be of a single class, or a few, and predictions collapse"):
            predicted = model.predict(single) if online else model.adapt(single).predict(single)
        assert np.array_equal(predicted, source.predict(single))
        before, after = values_of(source), values_of(model.estimator_)
        assert all(torch.equal(before[name], after[name]) for name in before if not name.endswith("tracked"))
        harmed = tent(source, method=method, undo_collapse=False).adapt(single)
        assert (harmed.predict(single) == 1).mean() < (predicted == 1).mean() - 0.3

    def test_a_stream_goes_on_afterwards(self, source, source_rows, target_rows):
        X, truth = target_rows
        single = source_rows[0][source_rows[1] == 1][:40]
        model = tent(source, online=True, batch_size=40).reset()
        model.predict(X[:120])
        held = model.estimator_.predict_proba(X)
        with pytest.warns(UserWarning, match="seem to be of a single class"):
            model.predict(single)
        assert np.allclose(model.estimator_.predict_proba(X), held, atol=1e-6)
        assert (model.predict(X[120:]) == truth[120:]).mean() > source.score(X[120:], truth[120:])

    def test_a_domain_far_away_is_adapted_to(self, source, source_rows):
        X, truth = source_rows
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = tent(source, method="adabn").adapt(X + 4)
        assert source.score(X + 4, truth) < 0.5
        assert model.score(X + 4, truth) > 0.9


class TestStreams:
    def test_good_streams_raise_no_alarm(self, source, target_rows):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tent(source, learning_rate=0.01, max_epochs=3).adapt(target_rows[0])
            online = tent(source, online=True, batch_size=30).reset()
            online.predict(target_rows[0])


@pytest.mark.parametrize("passing", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("online", [False, True])
def test_a_copy_goes_on_as_the_model_itself(source, target_rows, passing, online):
    """The optimizer's momenta and the watch for collapse come along."""
    X = target_rows[0]
    straight, passed = (tent(source, online=online, learning_rate=0.01, batch_size=20) for _ in range(2))
    straight.adapt(X[:40])
    passed = passing(passing(passed.adapt(X[:40])))
    for rows in (X[40:80], X[80:120]):
        if online:
            assert np.array_equal(straight.predict_proba(rows), passed.predict_proba(rows))
        else:
            assert np.array_equal(straight.adapt(rows).predict_proba(X), passed.adapt(rows).predict_proba(X))
        passed = passing(passed)
