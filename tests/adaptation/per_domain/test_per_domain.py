"""One general classifier, and a small copy for each sub-domain."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from torch import nn

import sktl
from sktl.adaptation import (
    DomainAdaptedClassifier,
    GradualAdaptedClassifier,
    PerDomainClassifier,
    SourceFreeAdaptedClassifier,
    TestTimeAdaptedClassifier,
)
from sktl.exceptions import WeightsError

NAMES = ("dim", "bright", "far")


def domains(n=120, seed=0):
    """Rows of an office with labels, and of three sub-domains, each moved and scaled in its own way."""
    rng = np.random.default_rng(seed)
    parts, labels = [], []
    for move, scale in ((0.0, 1.0), (2.5, 1.0), (-2.5, 0.5), (1.5, 2.0)):
        y = rng.integers(0, 3, n)
        rows = rng.normal(size=(n, 6)) * 0.7
        rows[np.arange(n), y] += 3.0
        parts.append(rows * scale + move)
        labels.append(y)
    domain = np.repeat(["office", *NAMES], n)
    y = np.concatenate(labels)
    return np.concatenate(parts), np.where(domain == "office", y, -1), domain, y


def general():
    return DomainAdaptedClassifier(loss=None, max_epochs=10, random_state=0)


def made(**options):
    return PerDomainClassifier(TestTimeAdaptedClassifier(general()), **{"random_state": 0, **options})


@pytest.fixture(scope="module")
def fitted():
    X, marked, domain, _ = domains()
    return made().fit(X, marked, sample_domain=domain)


def test_copies_are_those_of_each_domain_adapted_alone(fitted):
    X, marked, domain, _ = domains()
    source = general().set_params(random_state=fitted.estimator_.random_state)
    source.fit(X[domain == "office"], marked[domain == "office"])
    np.testing.assert_allclose(fitted.predict_proba(X), source.predict_proba(X))
    for name in NAMES:
        rows = X[domain == name]
        alone = TestTimeAdaptedClassifier(fitted.estimator_, random_state=0).fit(rows)
        expected = alone.predict_proba(rows)
        np.testing.assert_allclose(fitted.predict_proba(rows, sample_domain=[name] * len(rows)), expected)
        np.testing.assert_array_equal(fitted.classifier_of(name).predict(rows), alone.predict(rows))


def test_copies_are_better_than_the_general_classifier(fitted):
    X, _, domain, y = domains()
    here = domain != "office"
    routed = fitted.score(X[here], y[here], sample_domain=domain[here])
    assert routed > fitted.score(X[here], y[here]) + 0.03
    assert routed == np.mean(fitted.predict(X[here], sample_domain=domain[here]) == y[here])


def test_rows_are_routed_in_any_order_and_unknown_ones_to_the_general_classifier(fitted):
    X, _, domain, _ = domains()
    order = np.random.default_rng(0).permutation(len(X))
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        ask = getattr(fitted, method)
        whole = ask(X, sample_domain=domain)
        np.testing.assert_allclose(ask(X[order], sample_domain=domain[order]), whole[order], atol=1e-9)
        with pytest.warns(UserWarning, match="general classifier answers for all"):
            np.testing.assert_array_equal(ask(X, sample_domain=["elsewhere"] * len(X)), ask(X))
        np.testing.assert_allclose(whole[domain == "office"], ask(X[domain == "office"]), atol=1e-9)
    with pytest.raises(ValueError, match="sample_domain must have one entry a row"):
        fitted.predict(X, sample_domain=domain[:-1])


def test_a_sub_domain_is_added_and_others_stay(fitted):
    X, _, domain, _ = domains()
    model = pickle.loads(pickle.dumps(fitted))
    before = model.predict_proba(X, sample_domain=domain)
    rng = np.random.default_rng(3)
    new = rng.normal(size=(60, 6)) * 3 + 5
    assert model.adapt(new, 7) is model
    assert model.domains_.tolist() == sorted(["7", *NAMES])
    np.testing.assert_array_equal(model.predict_proba(X, sample_domain=domain), before)
    expected = TestTimeAdaptedClassifier(model.estimator_, random_state=0).fit(new).predict_proba(new)
    np.testing.assert_allclose(model.predict_proba(new, sample_domain=[7] * 60), expected)
    assert model.copies_["7"].n_rows == 60
    model.adapt(X[domain == "dim"], "bright")  # anew, from the general classifier
    rows = X[domain == "dim"]
    np.testing.assert_allclose(
        model.predict_proba(rows, sample_domain=["bright"] * 120),
        model.predict_proba(rows, sample_domain=["dim"] * 120),
    )


def test_copies_share_what_they_do_not_change(fitted):
    module = fitted.estimator_.torch_module_
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm1d)]
    statistics = sum(m.running_mean.nbytes + m.running_var.nbytes + m.num_batches_tracked.nbytes for m in norms)
    for held in fitted.copies_.values():
        assert 0 < held.n_bytes <= statistics
        assert all("running" in name or "num_batches" in name for name in held.tensors)
    model = pickle.loads(pickle.dumps(fitted))
    size = len(pickle.dumps(model))
    assert len(pickle.dumps(fitted)) < size * 1.02  # that copies were used makes no pickle larger
    model.adapt(np.random.default_rng(0).normal(size=(50, 6)), "one more")
    added = len(pickle.dumps(model)) - size
    assert added < min(statistics + 1500, size / 4)


def test_in_memory_copies_share_tensors(fitted):
    networks = [fitted.classifier_of(name)._learned.network for name in NAMES]
    weights = [
        next(p for n, p in network.named_parameters() if n.endswith("weight")).data_ptr() for network in networks
    ]
    assert len(set(weights)) == 1


def test_a_pickle_and_a_file_predict_the_same(fitted, tmp_path):
    X, _, domain, _ = domains()
    fitted.save(tmp_path / "model")
    expected = fitted.predict_proba(X, sample_domain=domain)
    for model in (
        pickle.loads(pickle.dumps(fitted)),
        PerDomainClassifier.load(tmp_path / "model"),
        sktl.load(tmp_path / "model"),
    ):
        np.testing.assert_allclose(model.predict_proba(X, sample_domain=domain), expected, atol=1e-12)
        assert model.n_features_in_ == 6
        new = np.random.default_rng(1).normal(size=(40, 6))
        model.adapt(new, "new")
        first = model.predict_proba(new, sample_domain=["new"] * 40)
    np.testing.assert_allclose(
        pickle.loads(pickle.dumps(fitted)).adapt(new, "new").predict_proba(new, sample_domain=["new"] * 40), first,
        atol=1e-12,
    )  # fmt: skip


def test_a_damaged_file_is_refused(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    content = (tmp_path / "model").read_bytes()
    for place in (3, 200, len(content) // 2, len(content) - 5):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        (tmp_path / "model").write_bytes(damaged)
        with pytest.raises(WeightsError):
            PerDomainClassifier.load(tmp_path / "model")
    broken = pickle.loads(pickle.dumps(fitted))
    copy = broken._copies.by_domain["dim"]
    name = next(name for name in copy.tensors if name.endswith("running_var"))
    copy.tensors[name] = torch.full((3,), torch.nan)
    broken.save(tmp_path / "broken")
    with pytest.raises(WeightsError, match="running_var is"):
        PerDomainClassifier.load(tmp_path / "broken")


def test_a_fitted_general_classifier_needs_no_labels():
    X, marked, domain, _ = domains()
    source = general().fit(X[domain == "office"], marked[domain == "office"])
    others = domain != "office"
    model = PerDomainClassifier(TestTimeAdaptedClassifier(source)).fit(X[others], sample_domain=domain[others])
    assert model.estimator_ is source
    assert model.domains_.tolist() == sorted(NAMES)
    assert PerDomainClassifier(TestTimeAdaptedClassifier(source)).fit(X[others]).domains_.tolist() == ["target"]


def test_other_methods_and_classifiers(tmp_path):
    X, marked, domain, _ = domains()
    trained = SourceFreeAdaptedClassifier(general(), max_epochs=1)
    model = PerDomainClassifier(trained, random_state=0).fit(X, marked, sample_domain=domain)
    heads = [name for name in model.copies_["dim"].tensors if name.startswith("classifier")]
    assert not heads  # which SHOT leaves as it is
    model = PerDomainClassifier(GradualAdaptedClassifier(LogisticRegression(), n_steps=2)).fit(
        X, marked, sample_domain=domain
    )
    assert model.copies_["dim"].n_bytes is None
    assert model.predict(X, sample_domain=domain).shape == (len(X),)
    with pytest.raises(TypeError, match="LogisticRegression, which has no save"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_same_seed_gives_the_same_copies():
    X, marked, domain, _ = domains()
    found = [
        PerDomainClassifier(SourceFreeAdaptedClassifier(general(), max_epochs=1), random_state=3)
        .fit(X[order], marked[order], sample_domain=domain[order])
        .predict_proba(X, sample_domain=domain)
        for order in (np.arange(len(X)), np.arange(len(X)))
    ]
    np.testing.assert_array_equal(*found)


def test_small_sub_domains_are_left_to_the_general_classifier():
    X, marked, domain, _ = domains()
    keep = (domain != "far") | (np.cumsum(domain == "far") <= 5)
    with pytest.warns(UserWarning, match=r"min_rows=20 rows get no copy.*'far' \(5\)"):
        model = made().fit(X[keep], marked[keep], sample_domain=domain[keep])
    assert model.domains_.tolist() == ["bright", "dim"]
    rows = X[domain == "far"]
    np.testing.assert_array_equal(model.predict(rows, sample_domain=["far"] * len(rows)), model.predict(rows))


def test_what_is_wrong_is_said(fitted):
    X, marked, domain, _ = domains()
    with pytest.raises(TypeError, match=r"must adapt a fitted classifier.*got DomainAdaptedClassifier"):
        PerDomainClassifier(general()).fit(X, marked, sample_domain=domain)
    with pytest.raises(ValueError, match="not fitted"):
        made().fit(X, sample_domain=domain)
    with pytest.raises(ValueError, match="not fitted"):
        made().adapt(X, "dim")
    with pytest.raises(ValueError, match="target_domain 'moon' does not occur"):
        made(target_domain="moon").fit(X, marked, sample_domain=domain)
    with pytest.raises(ValueError, match="Found array with 1 sample"):
        fitted.adapt(X[:1], "single")
    assert "single" not in fitted.domains_
    with pytest.raises(ValueError, match="missing"):
        fitted.adapt(X[:50], None)
    with pytest.warns(UserWarning, match="There is no sub-domain"):
        made().fit(X[domain == "office"], marked[domain == "office"])
    assert clone(fitted).get_params()["min_rows"] == 20


def test_a_shallow_copy_is_given_sub_domains_of_its_own(fitted):
    copied = copy.copy(fitted)
    before = list(fitted.domains_)
    X = np.random.default_rng(3).normal(2, 1, (40, fitted.n_features_in_))
    copied.adapt(X, "later")
    assert list(fitted.domains_) == before
    assert list(copied.domains_) == sorted([*before, "later"])


def test_domains_that_are_written_otherwise_are_said(fitted, tmp_path):
    X = domains()[0]
    fitted.save(tmp_path / "model")
    for number, model in enumerate((fitted, sktl.load(tmp_path / "model"), pickle.loads(pickle.dumps(fitted)))):
        with pytest.warns(UserWarning, match="No row is of a domain that fit or adapt has seen.*'bright', 'dim'"):
            model.predict(X[:5], sample_domain=[f"Dim {number}"] * 5)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.predict(X[:5], sample_domain=["office"] * 5)  # seen, and rightly without a copy
            model.predict(X[:5], sample_domain=["dim", *["new"] * 4])
            model.predict(X[:5])
