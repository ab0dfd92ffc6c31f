"""Tensors and arrays of other libraries give what NumPy arrays give, wherever rows, labels and the like are read."""

import functools
import warnings

import numpy as np
import pytest
import sklearn
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl import DomainAdaptedClassifier
from sktl._array_api import on_host, rows_on_host
from sktl.adaptation import GradualAdaptedClassifier, stack_domains
from sktl.fewshot import FewShotRegressor
from tests.stress import _odd, inputs

FORMS = {
    **{name: _odd.SAME[name] for name in (
        "reversed view", "tensor", "bfloat16 with gradients", "list of tensors with gradients",
        "nested list", "objects", "read-only", "big-endian", "array API strict",
    )},
}  # fmt: skip


@functools.cache
def roles():
    return inputs.roles()


@pytest.mark.parametrize(
    ("form", "dispatch"),
    [
        *((form, False) for form in FORMS),
        ("tensor", True),
        ("bfloat16 with gradients", True),
        ("array API strict", True),
    ],
)
def test_every_argument_of_everything(form, dispatch):
    if form == "array API strict":
        pytest.importorskip("array_api_strict", reason="the form is that of an optional package")
    tolerance = 1e-3 if "bfloat16" in form else 1e-6  # scikit-learn's solvers on float32
    wrong = []
    for name, role in roles().items():
        given = {key: FORMS[form](value) for key, value in role.given.items()}
        with warnings.catch_warnings(), sklearn.config_context(array_api_dispatch=dispatch):
            warnings.simplefilter("ignore")
            expected = role.expected()
            try:
                answer = role.call(**given)
            except Exception as error:
                wrong.append(f"{name}: {type(error).__name__}: {error}")
                continue
        if not isinstance(answer, (np.ndarray, float)) or not np.allclose(
            answer, expected, rtol=tolerance, atol=tolerance
        ):
            wrong.append(f"{name}: another answer")
    assert not wrong, "\n".join(wrong)


def test_tensors_that_numpy_does_not_hold():
    values = [[1.0, -2.0], [0.5, 4.0]]
    for tensor in (
        torch.tensor(values, requires_grad=True),
        torch.tensor(values, dtype=torch.bfloat16, requires_grad=True) * 1,
        torch.nn.Parameter(torch.tensor(values)),
        [torch.tensor(row, requires_grad=True) for row in values],
    ):
        np.testing.assert_array_equal(np.asarray(on_host(tensor)), values)
    for tensor, message in (
        (torch.empty(2, 2, device="meta"), "holds no values"),
        (torch.eye(2).to_sparse(), "dense one is needed"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            rows_on_host(tensor)


def test_pictures_stay_tensors():  # their channels stand elsewhere than in arrays
    pictures = torch.zeros(2, 3, 8, 3)
    assert rows_on_host(pictures) is pictures


def test_steps_before_a_classifier_are_given_arrays():
    rows, labels = torch.tensor(inputs.ROWS, requires_grad=True), inputs.LABELS
    source = make_pipeline(StandardScaler(), DomainAdaptedClassifier(loss=None, max_epochs=1, random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source.fit(inputs.ROWS, labels)
        adapted = GradualAdaptedClassifier(source, n_steps=1, random_state=0)
        expected = adapted.fit(inputs.ROWS).predict_proba(inputs.ROWS)
        np.testing.assert_allclose(adapted.fit(rows).predict_proba(rows), expected, atol=1e-6)


def test_domains_of_different_kinds_are_stacked():
    X, y, _ = stack_domains(torch.ones(2, 3, requires_grad=True), torch.tensor([0.0, 1.0]), np.zeros((1, 3)))
    np.testing.assert_array_equal(X, [[1, 1, 1], [1, 1, 1], [0, 0, 0]])
    assert y.tolist() == [0, 1, -1]


def test_values_of_several_outputs():
    y = np.stack([inputs.VALUES, -inputs.VALUES], axis=1)
    expected = FewShotRegressor().fit(inputs.ROWS, y).predict(inputs.ROWS)
    found = FewShotRegressor().fit(inputs.ROWS, torch.tensor(y, requires_grad=True)).predict(inputs.ROWS)
    np.testing.assert_array_equal(found, expected)
