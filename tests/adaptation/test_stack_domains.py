"""Stacking domains that are held apart."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import sparse
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split

from sktl.adaptation import DomainAdaptedClassifier, stack_domains

A, B, C = np.zeros((2, 3)), np.ones((3, 3)), np.full((1, 3), 2.0)


def test_source_and_target():
    X, y, domain = stack_domains(A, [5, 6], B)
    assert np.array_equal(X, np.vstack([A, B]))
    assert y.tolist() == [5, 6, -1, -1, -1]
    assert domain.tolist() == ["source"] * 2 + ["target"] * 3


def test_some_target_labels():
    y = stack_domains(A, np.array([5, 6]), B, np.array([6, -1, -1]))[1]
    assert y.tolist() == [5, 6, 6, -1, -1]
    y = stack_domains(A, [5, 6], B, [np.nan, 5, None])[1]
    assert y.tolist() == [5, 6, -1, 5, -1]


def test_text_labels():
    y = stack_domains(A, ["x", "y"], B)[1]
    assert y.tolist() == ["x", "y", "-1", "-1", "-1"]
    y = stack_domains(A, np.array(["x", "yes"]), B, ["x", None, "-1"])[1]
    assert y.tolist() == ["x", "yes", "x", "-1", "-1"]


def test_truth_values_and_missing_ones_of_pandas():
    assert stack_domains(A, [True, False], B)[1].tolist() == [1, 0, -1, -1, -1]
    y = stack_domains(A, np.array([True, False]), B, np.array([True, True, False]))[1]
    assert y.tolist() == [True, False, True, True, False]
    assert y.dtype == bool
    unknown = pd.Series([4, pd.NA, pd.NA], dtype="Int64")
    assert stack_domains(A, pd.Series([4, 5], dtype="Int64"), B, unknown)[1].tolist() == [4, 5, 4, -1, -1]


@pytest.mark.parametrize("labels", [[0, 1], [0.0, 1.0], [True, False], ["cat", "dog"]])
def test_its_marks_sort_and_split(labels):
    X, y, _ = stack_domains(np.zeros((12, 2)), labels * 6, np.ones((9, 2)))
    for _, test in StratifiedKFold(3).split(X, y):
        assert sorted(np.unique(y[test], return_counts=True)[1]) == [2, 2, 3]
    assert [len(part) for part in train_test_split(y, stratify=y, test_size=1 / 3, random_state=0)] == [14, 7]
    scores = cross_val_score(DomainAdaptedClassifier(max_epochs=1, random_state=0), X, y, cv=3)
    assert np.isfinite(scores).all()


def test_several_domains():
    X, y, domain = stack_domains([A, B], [[0, 1], [1, 0, 1]], C)
    assert domain.tolist() == ["source_0"] * 2 + ["source_1"] * 3 + ["target"]
    named = stack_domains({"amazon": A, "webcam": B}, {"amazon": [0, 1], "webcam": [1, 0, 1]}, {"dslr": C})
    assert named[2].tolist() == ["amazon"] * 2 + ["webcam"] * 3 + ["dslr"]
    assert np.array_equal(named[0], X)
    assert np.array_equal(named[1], y)


@pytest.mark.parametrize(
    ("make", "kind"),
    [(sparse.csr_matrix, sparse.csr_matrix), (pd.DataFrame, pd.DataFrame), (torch.from_numpy, torch.Tensor)],
)
def test_kinds_of_X(make, kind):
    X = stack_domains(make(A), [0, 1], make(B))[0]
    assert isinstance(X, kind)
    assert X.shape == (5, 3)


def test_pictures_in_lists():
    pictures = [Image.new("L", (size, size)) for size in (4, 5, 6)]
    X, y, _ = stack_domains(pictures[:2], [0, 1], pictures[2:])
    assert pictures == X
    assert len(y) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((A, [0], B), "'source' has 2 rows, but 1 labels"),
        ((A, [0, -1], B), "'source' has the label -1"),
        ((A, ["x", "-1"], B), "'source' has the label -1"),
        ((A, [0, 1], np.ones((3, 4))), r"shape \(3,\), but those of 'target' have shape \(4,\)"),
        (({"a": A}, {"a": [0, 1]}, {"a": B}), "both have 'a'"),
        (({"a": A}, [0, 1], B), "so must y"),
        (([A, B], [[0, 1]], C), "2 sources in Xs, but labels of 1"),
    ],
)
def test_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        stack_domains(*arguments)


def test_a_frame_beside_an_array():
    pd = pytest.importorskip("pandas", reason="frames are those of pandas, an optional package")
    rows = np.arange(12.0).reshape(6, 2)
    for source, target in ((pd.DataFrame(rows[:4]), rows[4:]), (rows[:4], pd.DataFrame(rows[4:]))):
        X, y, _ = stack_domains(source, [0, 1, 0, 1], target)
        assert np.array_equal(X, rows)
        assert y.tolist() == [0, 1, 0, 1, -1, -1]
