"""Labels, values, weights and domains: one entry a row, read by one set of rules."""

import functools
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from sktl import DomainAdaptedClassifier, FineTunedClassifier, FineTunedRegressor, ProtoNetClassifier
from sktl._columns import class_labels, domain_column, row_weights
from sktl.fewshot import EpisodeSampler, FewShotClassifier, FewShotRegressor, MAMLLearner, ProtoNetLearner
from sktl.fewshot.transductive import TIM
from sktl.metrics import (
    consensus_scores,
    deep_embedded_risk,
    density_ratio,
    get_domain_scorer,
    mutual_information,
    nuclear_norm_share,
    soft_neighborhood_density,
)
from sktl.model_selection import EpisodeSplit, StratifiedDomainKFold
from tests.stress import _odd, inputs

ROWS, LABELS, VALUES = inputs.ROWS, inputs.LABELS, inputs.VALUES
CLASSIFIERS = [
    FineTunedClassifier(max_steps=1, random_state=0),
    ProtoNetClassifier(),
    FewShotClassifier(),
    ProtoNetLearner(n_way=3, n_query=2, n_episodes=1),
    DomainAdaptedClassifier(max_epochs=1, unlabelled=None),
]


@functools.cache
def roles():
    return inputs.roles()


@pytest.mark.parametrize("more", [-1, 1, 24])
def test_lengths_that_differ_are_both_named(more):
    wrong = []
    for name, role in roles().items():
        for argument, values in role.given.items():
            if values.ndim == 2 or (name == "CNNCodes" and argument == "y"):
                continue
            odd = np.resize(values, len(values) + more)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    role.call(**role.given | {argument: odd})
                    wrong.append(f"{name}, {argument}: no error")
                except ValueError as error:
                    numbers = set(re.findall(r"\d+", str(error)))
                    if not {str(len(values)), str(len(odd))} <= numbers:
                        wrong.append(f"{name}, {argument}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([], "expected 24, got 0|must have one entry a row|holds no label|minimum of 1"),
        (np.where(LABELS == 0, np.nan, LABELS), "NaN"),
        ([None, *LABELS[1:].tolist()], "NaN or None|missing values"),
        (["a", *LABELS[1:].tolist()], "cannot be sorted"),
        (np.array([{}, *LABELS[1:].tolist()], dtype=object), "Unknown label type"),
        (LABELS * 1j, "Complex data not supported"),
        (LABELS + 0.5 * np.arange(24), "Unknown label type: continuous"),
    ],
    ids=["empty", "NaN", "None", "mixed", "dict inside", "complex", "continuous"],
)
def test_one_set_of_rules_for_labels(estimator, y, message):
    with pytest.raises(ValueError, match=message):
        clone(estimator).fit(ROWS, y)


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda e: type(e).__name__)
def test_what_is_no_column_is_named(estimator):
    for y in ({"a": LABELS}, set(LABELS.tolist()), (label for label in LABELS), "abc"):
        with pytest.raises(TypeError, match="y must be an array or a list with one entry a row"):
            clone(estimator).fit(ROWS, y)


def test_labels_in_objects_are_what_they_hold():
    for y in (LABELS.astype(object), LABELS.tolist(), pd.Series(LABELS, dtype="Int64"), pd.Categorical(LABELS)):
        found = class_labels(y, 24, "a test")
        assert found.dtype.kind in "if"
        assert found.tolist() == LABELS.tolist()
    dates = [pd.Timestamp(2000 + label, 1, 1) for label in LABELS]
    assert FewShotClassifier().fit(ROWS, dates).classes_.tolist() == sorted(set(dates))


def test_domains():
    assert domain_column([3, 10, 9], 3).tolist() == [3, 10, 9]
    assert domain_column(["b", "a"], 2).tolist() == ["b", "a"]
    with pytest.raises(ValueError, match=r"groups is missing \(NaN or None\) in 1 rows: 1"):
        domain_column([pd.Timestamp(2000, 1, 1), pd.NaT], 2, "groups")
    with pytest.raises(ValueError, match="The values in groups cannot be sorted"):
        list(StratifiedDomainKFold(2).split(ROWS, LABELS, [0, "a"] * 12))
    with pytest.raises(ValueError, match="The labels in y cannot be sorted"):
        list(EpisodeSplit(2, 1, 1).split(ROWS, [0, "a"] * 12))


def test_weights():
    np.testing.assert_array_equal(row_weights(2, 3), [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(row_weights(np.array([1, 0, 3]), 3), [1.0, 0.0, 3.0])
    for weight, message in (
        ([1.0, 2.0], "expected 3, got 2"),
        ([-1.0, 2.0, 1.0], "Negative values"),
        ([np.nan, 1.0, 1.0], "NaN"),
        (np.inf, "finite"),
        ([1e308] * 3, "Divide all weights by"),
    ):
        with pytest.raises(ValueError, match=message):
            row_weights(weight, 3)


@pytest.mark.parametrize("estimator", [FineTunedClassifier, FineTunedRegressor])
def test_weights_beyond_float32_keep_their_ratios(estimator):
    y, weight = VALUES if estimator is FineTunedRegressor else LABELS, inputs.WEIGHTS
    model = estimator(strategy="scratch", max_steps=2, random_state=0)
    expected = model.fit(ROWS, y, weight)._outputs(ROWS)
    np.testing.assert_allclose(model.fit(ROWS, y, weight * 1e39)._outputs(ROWS), expected, rtol=1e-4, atol=1e-6)
    plain = model.fit(ROWS, y)._outputs(ROWS)
    np.testing.assert_allclose(model.fit(ROWS, y, 1e39)._outputs(ROWS), plain, rtol=1e-4, atol=1e-6)


def test_scorers_read_y_as_estimators_do():
    model = ProtoNetClassifier().fit(ROWS, LABELS)
    marked = inputs.MARKED
    scorer = get_domain_scorer("information_maximization")
    for y in (marked.astype(object), pd.Series(marked), [None if label < 0 else int(label) for label in marked]):
        assert scorer(model, ROWS, y) == pytest.approx(scorer(model, ROWS, marked))


@pytest.mark.parametrize(
    ("estimator", "y"),
    [
        *((estimator, LABELS) for estimator in CLASSIFIERS if hasattr(estimator, "score")),
        (FineTunedRegressor(max_steps=1, random_state=0), VALUES),
        (FewShotRegressor(), VALUES),
    ],
)
def test_score_reads_as_fit_does(estimator, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = clone(estimator).fit(ROWS, y)
    weight = inputs.WEIGHTS
    expected = model.score(ROWS, y, weight)
    for form in ("tensor with gradients", "bfloat16", "objects", "nested list", "reversed view"):
        given = [_odd.SAME[form](values) for values in (ROWS, y, weight)]
        assert model.score(*given) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="expected 24, got 23"):
        model.score(ROWS, y[1:])
    with pytest.raises(ValueError, match="expected 24, got 23"):
        model.score(ROWS, y, weight[1:])


def test_functions_of_metrics_take_any_container():
    proba = np.array([[0.75, 0.25], [0.5, 0.5], [0.125, 0.875]])
    losses, weights = np.array([0.25, 0.5, 1.0]), np.array([0.5, 1.0, 1.5])
    for form in ("tensor with gradients", "bfloat16", "nested list", "reversed view"):
        of = _odd.SAME[form]
        for function in (mutual_information, nuclear_norm_share, soft_neighborhood_density):
            assert function(of(proba)) == pytest.approx(function(proba))
        np.testing.assert_array_equal(consensus_scores([of(proba), of(proba)]), consensus_scores([proba, proba]))
        assert deep_embedded_risk(of(losses), of(weights)) == pytest.approx(deep_embedded_risk(losses, weights))
        ratio = density_ratio(of(ROWS[:12]), of(ROWS[12:]))
        np.testing.assert_allclose(ratio, density_ratio(ROWS[:12], ROWS[12:]), rtol=1e-3)
    with pytest.raises(ValueError, match="weights must have one entry a row: expected 3, got 1"):
        deep_embedded_risk(losses, weights[:1])
    with pytest.raises(ValueError, match="source has 4 columns and target 3"):
        density_ratio(ROWS, ROWS[:, :3])


def test_values_of_episodes_are_as_many_as_rows():
    learner = MAMLLearner(n_shot=2, n_query=2, n_episodes=1, random_state=0).fit(ROWS, VALUES, inputs.DOMAINS)
    episodes = EpisodeSampler(inputs.DOMAINS, n_way=1, n_shot=2, n_query=2).draw(1)
    assert np.isfinite(learner.episode_logits(ROWS, episodes, VALUES)).all()
    for odd in (VALUES[:-1], np.append(VALUES, 0.0)):
        with pytest.raises(ValueError, match=f"expected 24, got {len(odd)}"):
            learner.episode_logits(ROWS, episodes, odd)
    with pytest.raises(ValueError, match="but X has 2 rows"):
        learner.episode_logits(ROWS[:2], episodes, VALUES[:2])
    with pytest.raises(ValueError, match="but X has 2 rows"):
        TIM().episode_logits(ROWS[:2], episodes)


def test_classes_of_partial_fit_in_a_tensor():
    model = FineTunedClassifier(random_state=0).partial_fit(
        ROWS, LABELS, classes=torch.tensor([0.0, 1.0, 2.0, 3.0], requires_grad=True)
    )
    assert model.classes_.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("form", [list, lambda values: np.array(values, dtype=object)], ids=["list", "objects"])
def test_none_among_values_is_missing(form):
    values = form([0.5, None, *range(22)])
    with pytest.raises(ValueError, match="y contains NaN"):
        FineTunedRegressor(max_epochs=1).fit(ROWS, values)


class TestMasked:
    """What a masked array hides is missing: NumPy would take what lies under the mask."""

    hidden = np.arange(24) == 3

    @pytest.mark.parametrize("estimator", CLASSIFIERS[:4], ids=lambda e: type(e).__name__)
    def test_a_hidden_label_or_value_is_refused(self, estimator):
        with pytest.raises(ValueError, match="NaN"):
            clone(estimator).fit(ROWS, np.ma.array(LABELS, mask=self.hidden))
        with pytest.raises(ValueError, match="NaN"):
            clone(estimator).fit(np.ma.array(ROWS, mask=np.tile(self.hidden[:, None], ROWS.shape[1])), LABELS)
        shown = clone(estimator).fit(np.ma.array(ROWS), np.ma.array(LABELS, mask=False))
        expected = clone(estimator).fit(ROWS, LABELS)
        if hasattr(shown, "predict"):
            assert np.array_equal(shown.predict(ROWS), expected.predict(ROWS))

    @pytest.mark.parametrize("names", [np.arange(3), np.array(["a", "b", "c"]), np.array([0.0, 1.0, 2.0])])
    def test_a_hidden_label_marks_a_row(self, names):
        labels = names[np.arange(24) % 3]
        mask = np.arange(24) % 2 == 1
        marked = labels.astype(object)
        marked[mask] = None
        found, expected = (
            DomainAdaptedClassifier(loss=None, max_epochs=1, random_state=0).fit(ROWS, y).predict_proba(ROWS)
            for y in (np.ma.array(labels, mask=mask), marked)
        )
        assert np.array_equal(found, expected)

    def test_weights_values_and_domains(self):
        column = np.ma.array(np.arange(24.0), mask=self.hidden)
        with pytest.raises(ValueError, match="NaN"):
            row_weights(column, 24)
        with pytest.raises(ValueError, match="NaN"):
            FineTunedRegressor(max_steps=1).fit(ROWS, column)
        with pytest.raises(ValueError, match="missing"):
            domain_column(column.astype(int), 24)


def test_dates_are_no_weights():
    for dates in (np.full(24, "2020-01-01", dtype="M8[D]"), np.ones(24, dtype="m8[s]")):
        with pytest.raises(TypeError, match="sample_weight holds dates"):
            row_weights(dates, 24)
