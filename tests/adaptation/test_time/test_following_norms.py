"""The classifier that adapts at test time: when it changes, and when it does not."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from torch import nn

from sktl.adaptation import DomainAdaptedClassifier, TestTimeAdaptedClassifier
from sktl.finetuning import FineTunedClassifier

METHODS = ["adabn", "tent"]


def follower(estimator, **params):
    return TestTimeAdaptedClassifier(estimator, **{"random_state": 0, **params})


@pytest.mark.parametrize("method", METHODS)
class TestPurity:
    def test_prediction_changes_nothing(self, method, source, target_rows):
        X, truth = target_rows
        model = follower(source, method=method).fit(X)
        held = pickle.dumps(model)
        first = model.predict_proba(X)
        model.predict(X[:50]), model.decision_function(X), model.score(X, truth)
        assert np.array_equal(model.predict_proba(X), first)
        assert pickle.dumps(model) == held

    def test_no_row_depends_on_another(self, method, source, target_rows):
        X, _ = target_rows
        model = follower(source, method=method).fit(X)
        assert np.allclose(model.predict_proba(X[:7]), model.predict_proba(X)[:7], atol=1e-9)
        assert np.allclose(model.predict_proba(X[3:4]), model.predict_proba(X)[3:4], atol=1e-9)

    def test_threads(self, method, source, target_rows):
        X, _ = target_rows
        model = follower(source, method=method).fit(X)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: model.predict_proba(X), range(8)))
        assert all(np.array_equal(proba, found[0]) for proba in found)

    def test_the_source_is_left_alone(self, method, source, target_rows, values_of):
        before = values_of(source)
        follower(source, method=method, online=True).fit(target_rows[0]).predict(target_rows[0])
        assert all(torch.equal(value, before[name]) for name, value in values_of(source).items())


@pytest.mark.parametrize("method", METHODS)
class TestOnline:
    def test_prediction_adapts(self, method, source, target_rows):
        X, truth = target_rows
        model = follower(source, method=method, online=True, batch_size=40).reset()
        assert np.allclose(model.estimator_.predict_proba(X), source.predict_proba(X), atol=1e-6)
        assert (model.predict(X) == truth).mean() > source.score(X, truth)
        after = model.estimator_.predict_proba(X)
        assert not np.allclose(after, source.predict_proba(X), atol=0.01)
        model.predict_proba(X + 3)
        assert not np.allclose(model.estimator_.predict_proba(X), after, atol=0.01)

    def test_ends_where_adaptation_in_one_go_ends(self, method, source, target_rows):
        """AdaBN pools its rows, however they come."""
        X, _ = target_rows
        model = follower(source, method=method, online=True, batch_size=40).reset()
        for part in np.split(X, 6):
            model.predict(part)
        at_once = follower(source, method=method, batch_size=40).adapt(X)
        norms = [m.estimator_.module_.bottleneck[1] for m in (model, at_once)]
        assert torch.allclose(norms[0].running_mean, norms[1].running_mean, atol=1e-5)
        assert torch.equal(norms[0].weight, norms[1].weight) == (method == "adabn")

    def test_goes_on_after_a_pickle(self, method, source, target_rows):
        X, _ = target_rows
        model = follower(source, method=method, online=True, batch_size=40).reset()
        model.predict(X[:120])
        again = pickle.loads(pickle.dumps(model))
        found = [m.predict_proba(X[120:160]) for m in (model, again)]
        assert np.allclose(*found, atol=1e-5)
        assert np.allclose(model.estimator_.predict_proba(X), again.estimator_.predict_proba(X), atol=0.02)

    def test_reset_goes_back(self, method, source, target_rows):
        X, _ = target_rows
        model = follower(source, method=method, online=True).fit(X)
        model.predict(X + 5)
        model.reset().set_params(online=False)
        assert np.allclose(model.predict_proba(X), source.predict_proba(X), atol=1e-6)

    def test_tent_predicts_by_the_batch(self, method, source, target_rows):
        X = target_rows[0][:50]
        proba = follower(source, method=method, online=True, batch_size=50).reset().predict_proba(X)
        network = source._open().module
        for part in network.modules():
            if isinstance(part, nn.BatchNorm1d):
                part.train()
        expected = network(torch.from_numpy(source._scaler.transform(X)).float()).softmax(1).detach().numpy()
        # in the first batch, where AdaBN's statistics are this batch's too, but for n / (n - 1) in the variance
        assert np.allclose(proba, expected, atol=1e-5 if method == "tent" else 0.02)


class TestStarts:
    def test_fit_is_reset_and_adapt(self, source, target_rows):
        X, _ = target_rows
        expected = follower(source).adapt(X).predict_proba(X)
        model = follower(source).fit(X + 4).fit(X)
        assert np.array_equal(model.predict_proba(X), expected)
        assert np.array_equal(follower(source).fit(X, np.full(240, -1)).predict_proba(X), expected)
        assert np.array_equal(clone(follower(FrozenEstimator(source))).adapt(X).predict_proba(X), expected)
        assert model.n_features_in_ == follower(source).adapt(X).n_features_in_ == 6

    def test_learns_first_from_labelled_rows(self, source, source_rows, target_rows):
        X, y = np.r_[source_rows[0], target_rows[0]], np.r_[source_rows[1], np.full(240, -1)]
        model = follower(clone(source)).fit(X, y)
        expected = follower(source).adapt(target_rows[0])
        assert np.array_equal(model.predict_proba(X), expected.predict_proba(X))

    def test_fine_tuned_network(self, pictures, colour_net, values_of):
        X, y, X_target, _ = pictures
        source = FineTunedClassifier(colour_net, strategy="head", image_size=14).fit(X, y)
        model = follower(source, method="tent", batch_size=20).adapt(X_target)
        before, after = values_of(source), values_of(model.estimator_)
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed - {"network.1.num_batches_tracked"} == {
            f"network.1.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var")
        }
        again = pickle.loads(pickle.dumps(model.estimator_))
        assert np.allclose(again.predict_proba(X_target), model.predict_proba(X_target), atol=1e-6)


class TestBadInput:
    @pytest.mark.parametrize("method", METHODS)
    def test_no_batch_norm(self, method, source_rows, target_rows):
        model = FineTunedClassifier(max_steps=5).fit(*source_rows)
        with pytest.raises(ValueError, match=r"the network of this FineTunedClassifier has no batch norm.*SourceFree"):
            follower(model, method=method).fit(target_rows[0])

    def test_no_scale_for_tent(self, plain_norm_net, source_rows, target_rows):
        model = DomainAdaptedClassifier(plain_norm_net, loss=None, bottleneck=None, max_epochs=1).fit(*source_rows)
        with pytest.raises(ValueError, match="no batch norm with a scale and a shift"):
            follower(model, method="tent").adapt(target_rows[0])
        assert follower(model).adapt(target_rows[0]).predict(target_rows[0]).shape == (240,)

    def test_not_fitted(self, target_rows):
        model = follower(DomainAdaptedClassifier())
        for call in (model.reset, lambda: model.adapt(target_rows[0]), lambda: model.fit(target_rows[0])):
            with pytest.raises(NotFittedError, match="not fitted"):
                call()
        with pytest.raises(NotFittedError):
            model.predict(target_rows[0])

    @pytest.mark.parametrize("method", METHODS)
    def test_fewer_rows_than_a_batch(self, method, source, target_rows):
        X, _ = target_rows
        message = r"fewer than the 64 of a batch: TestTimeAdaptedClassifier adapts to what target rows have in common"
        model = follower(source, method=method, batch_size=64, online=True)
        with pytest.raises(ValueError, match=message):
            model.fit(X[:20])
        model.fit(X)
        held = model.estimator_.predict_proba(X)
        with pytest.raises(ValueError, match=message):
            model.predict(X[:20])
        with pytest.raises(ValueError, match=r"1 sample\(s\), fewer than the 2"):
            follower(source, method=method).fit(X[:1])
        assert np.array_equal(model.estimator_.predict_proba(X), held)

    @pytest.mark.parametrize("call", ["fit", "adapt", "predict"])
    def test_bad_rows_change_nothing(self, call, source, target_rows):
        X, _ = target_rows
        model = follower(source, method="tent", online=True).fit(X)
        held = model.estimator_.predict_proba(X)
        for bad, message in ((np.where(X[3, 2] == X, np.nan, X), "contains NaN"), (np.zeros((80, 8, 8)), "pictures")):
            with pytest.raises(ValueError, match=message):
                getattr(model, call)(bad)
        assert np.array_equal(model.estimator_.predict_proba(X), held)

    @pytest.mark.parametrize("params", [{"method": "shot"}, {"prior": -1}, {"momentum": 0}, {"learning_rate": 0}])
    def test_parameters(self, params, source, target_rows):
        for call in ("fit", "adapt"):
            with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter"):
                getattr(follower(source, **params), call)(target_rows[0])
