"""A loss, head, transductive method, learner, source of networks, scorer and aligner of one's own: one class each."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import nn

import sktl
from sktl.adaptation.losses import DomainLoss
from sktl.aligners import Aligner, LabelledOnly
from sktl.backbones import Provider
from sktl.density_ratios import DensityRatio, get_density_ratio
from sktl.exceptions import WeightsError
from sktl.fewshot import FewShotClassifier, ProtoNetClassifier, ProtoNetLearner
from sktl.fewshot.heads import Head
from sktl.fewshot.transductive import TransductiveMethod
from sktl.metrics import DomainScorer, get_domain_scorer
from sktl.reweighting import ReweightedClassifier

RNG = np.random.default_rng(0)
LABELS = np.arange(40) % 2
ROWS = RNG.normal(size=(40, 4)) + 3 * LABELS[:, None]
MARKED = np.where(np.arange(40) < 20, LABELS, -1)
PICTURES = RNG.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)


class ToyMeanDistance(DomainLoss):
    name = "toy_means"

    def __init__(self, weight=1.0):
        self.weight = weight

    def __call__(self, view, state):
        gap = view.source_features.mean(dim=0) - view.target_features.mean(dim=0)
        return self.weight * gap.square().sum()


class ToyHead(Head):
    name = "toy_head"

    def adapt(self, support, y, n_way):
        return {"prototypes": torch.stack([support[y == i].mean(dim=0) for i in range(n_way)])}

    def logits(self, state, query):
        return -torch.cdist(query, state["prototypes"], p=float("inf"))


class ToyCosines(TransductiveMethod):
    name = "toy_cosines"

    def inferred(self, tasks):
        return tasks.span.cosines(tasks.prototypes)[..., tasks.queries].log_softmax(dim=1)


class ToyLearner(ProtoNetLearner):
    pass


class ToyProvider(Provider):
    value = 0.01

    def names(self):
        return ["toy_network"]

    def architecture(self, name):
        layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(6, 2))

    def load_published(self, name, module, weights):
        for value in module.parameters():
            nn.init.constant_(value, self.value)

    def preprocessing(self, name, weights):
        return sktl.Preprocessing(size=(16, 16))


class ToySureness(DomainScorer):
    name = "toy_sureness"

    def __init__(self, *, unlabelled=-1):
        self.unlabelled = unlabelled

    def _score(self, estimator, rows):
        return estimator.predict_proba(rows.X_target).max(axis=1).mean()


class ToyShift(Aligner):
    def __init__(self, *, unlabelled=-1, target_domain=None):
        self.unlabelled = unlabelled
        self.target_domain = target_domain

    def _learn(self, X, domains, y):
        self.shift_ = X[~domains.is_target].mean(axis=0) - X[domains.is_target].mean(axis=0)

    def _map(self, X, domains):
        X[domains.is_target] += self.shift_
        return X


def test_a_loss_is_found_by_its_name():
    given = {"max_epochs": 2, "random_state": 0}
    by_name = sktl.DomainAdaptedClassifier(loss="toy_means", **given).fit(ROWS, MARKED)
    by_object = sktl.DomainAdaptedClassifier(loss=ToyMeanDistance(), **given).fit(ROWS, MARKED)
    without = sktl.DomainAdaptedClassifier(loss=None, **given).fit(ROWS, MARKED)
    np.testing.assert_array_equal(by_name.predict_proba(ROWS), by_object.predict_proba(ROWS))
    assert not np.array_equal(by_name.predict_proba(ROWS), without.predict_proba(ROWS))
    assert "train_toymeandistance" in by_name.history_[0]
    by_name.set_params(loss__weight=0.5)
    assert by_name.loss.weight == 0.5


def test_a_head_is_found_by_its_name():
    classifier = FewShotClassifier("toy_head").fit(ROWS, LABELS)
    means = np.stack([ROWS[i == LABELS].mean(axis=0) for i in range(2)])
    expected = np.abs(ROWS[:, None] - means).max(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(classifier.predict(ROWS), expected)
    learner = ProtoNetLearner(head="toy_head", n_way=2, n_query=1, n_episodes=2, random_state=0)
    with pytest.raises(ValueError, match=r"head must be one of .*'toy_head'.*Did you mean 'toy_head'"):
        learner.set_params(head="toy_hed").fit(ROWS, np.arange(40) // 10)


def test_a_transductive_method_is_found_by_its_name():
    given = {"transductive": "toy_cosines", "normalize": None}
    classifier = ProtoNetClassifier(**given).fit(ROWS[:20], LABELS[:20])
    by_object = ProtoNetClassifier(**{**given, "transductive": ToyCosines()}).fit(ROWS[:20], LABELS[:20])
    np.testing.assert_array_equal(classifier.predict_proba(ROWS[20:]), by_object.predict_proba(ROWS[20:]))
    with pytest.raises(ValueError, match=r"transductive must be .*'toy_cosines'.*got 'toy_cosine'"):
        classifier.set_params(transductive="toy_cosine").fit(ROWS, LABELS).predict(ROWS)


def test_a_learner_is_saved_and_loaded(tmp_path):
    learner = ToyLearner(n_way=2, n_query=1, n_episodes=2, random_state=0).fit(ROWS, np.arange(40) // 10)
    learner.save(tmp_path / "toy.safetensors")
    loaded = sktl.load(tmp_path / "toy.safetensors")
    assert type(loaded) is ToyLearner
    np.testing.assert_allclose(loaded.transform(ROWS), learner.transform(ROWS), atol=1e-6)


def test_a_source_of_networks_is_found(monkeypatch):
    assert "toy_network" in sktl.list_backbones("toy*")
    transformer = sktl.CNNCodesTransformer("toy_network", engine="torch")
    first = transformer.fit_transform(PICTURES)
    assert first.shape == (6, 6)
    again = sktl.CNNCodesTransformer("toy_network", engine="torch").fit_transform(PICTURES)
    np.testing.assert_array_equal(again, first)
    monkeypatch.setattr(ToyProvider, "value", 0.02)  # the source has other weights by that name now
    sktl.clear_memory()
    other = sktl.CNNCodesTransformer("toy_network", engine="torch").fit_transform(PICTURES)
    assert not np.allclose(other, first)


def test_a_scorer_is_found_by_its_name():
    model = LogisticRegression().fit(ROWS[:20], LABELS[:20])
    scorer = get_domain_scorer("toy_sureness")
    assert scorer(model, ROWS, MARKED) == model.predict_proba(ROWS[20:]).max(axis=1).mean()


class ToyRatio(DensityRatio):
    name = "toy_ratio"

    def _estimate(self, source, target):
        return 1.0 + (source[:, 0] > 1)


def test_a_density_ratio_is_found_by_its_name():
    assert type(get_density_ratio("toy_ratio")) is ToyRatio
    found = ReweightedClassifier(LogisticRegression(), weighter="toy_ratio").fit(ROWS, MARKED)
    np.testing.assert_array_equal(found.density_ratio_, 1.0 + (ROWS[:20, 0] > 1))
    with pytest.raises(ValueError, match=r"The weighter must be one of .*got 'toy_rato'. Did you mean 'toy_ratio'"):
        ReweightedClassifier(LogisticRegression(), weighter="toy_rato").fit(ROWS, MARKED)


def test_an_aligner_goes_into_a_pipeline():
    shifted = ROWS + np.where(MARKED == -1, 50.0, 0.0)[:, None]
    pipeline = make_pipeline(ToyShift(), LabelledOnly(LogisticRegression())).fit(shifted, MARKED)
    assert pipeline.score(shifted[20:], LABELS[20:]) == 1


def test_a_class_that_is_defined_again_counts():
    def defined(value):
        class Again(DomainScorer):
            name = "toy_again"

            def __init__(self, *, unlabelled=-1):
                self.unlabelled = unlabelled

            def _score(self, estimator, rows):
                return value

        return Again

    kept = defined(1.0), defined(2.0)
    model = LogisticRegression().fit(ROWS[:20], LABELS[:20])
    assert get_domain_scorer("toy_again")(model, ROWS, MARKED) == 2
    del kept


def test_words_of_the_library_are_not_taken():
    class Taken(DomainScorer):
        name = "entropy"

    with pytest.raises(ValueError, match=r"'entropy' is a word of the library, and the name of your class .*Taken too"):
        get_domain_scorer("entropy")
    assert get_domain_scorer("labelled") is not None
    Taken.name = "toy_taken"
    assert type(get_domain_scorer("entropy")).__name__ == "EntropyScorer"


def test_networks_of_the_library_are_not_taken(monkeypatch):
    monkeypatch.setattr(ToyProvider, "names", lambda self: ["resnet18"])
    with pytest.raises(ValueError, match="'resnet18' is a network of the library, and one of your ToyProvider too"):
        sktl.list_layers("resnet18")
    monkeypatch.undo()
    assert len(sktl.list_layers("resnet18")) > 5


def test_a_learner_of_a_name_of_the_library_is_loaded_by_its_class(tmp_path):
    own = type("MAMLLearner", (ProtoNetLearner,), {"__module__": __name__})
    learner = own(n_way=2, n_query=1, n_episodes=2, random_state=0).fit(ROWS, np.arange(40) // 10)
    learner.save(tmp_path / "own.safetensors")
    with pytest.raises(WeightsError, match=r"holds a MAMLLearner.*Use MAMLLearner.load"):
        sktl.load(tmp_path / "own.safetensors")
    assert type(own.load(tmp_path / "own.safetensors")) is own
    own.__name__ = "ToyMAMLLearner"  # other tests know one class of the name
