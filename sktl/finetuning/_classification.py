"""What fine-tuning learns in a classification: one label a row, or several."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktl._columns import class_labels
from sktl._label_matrix import is_label_matrix
from sktl._row_scalers import chosen_scaler
from sktl.finetuning._heads import LinearHead, solve_classifier
from sktl.finetuning._losses import ValidationStep
from sktl.finetuning._multilabel import LabelStep, LabelValidationStep, checked_matrix, solve_labels
from sktl.finetuning._targets import as_class_numbers, stratified_parts
from sktl.finetuning._training import Task
from sktl.training import ClassificationStep


def checked_classes(estimator: Any, y: Any, *, goes_on: bool, classes: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
    """Return class numbers (n,), or a float32 matrix (n, n_labels), and the attributes that are learned of y.

    Raises
    ------
    ValueError
        If y has another form than in the first call, other labels, or one class only.
    """
    known, is_matrix = estimator.classes_ if goes_on else None, is_label_matrix(y)
    if goes_on and is_matrix != estimator._is_multilabel:
        raise ValueError(f"y has {'several labels' if is_matrix else 'one label'} a row, unlike the first call's.")
    if is_matrix:
        target, known = checked_matrix(y, known, classes)
    else:
        target, known = as_class_numbers(class_labels(y, None, estimator), known, classes, type(estimator).__name__)
    return target, {"classes_": known, "_is_multilabel": is_matrix}


def classification_task(estimator: Any, n_classes: int, *, is_multilabel: bool) -> Task:
    """Return what training does: a softmax over the classes, or a sigmoid for each label."""

    def solve(codes: Any, target: Any, weight: Any) -> LinearHead:
        if is_multilabel:
            return solve_labels(codes, target, weight, estimator.C)
        return solve_classifier(codes, target, weight, estimator.C, n_classes)

    if is_multilabel:
        return Task(
            n_classes, solve, LabelStep(estimator.label_smoothing), LabelValidationStep(), None, unit_length=True,
            penalty="C_",
        )  # fmt: skip
    step = ClassificationStep(estimator.label_smoothing)
    return Task(
        n_classes, solve, step, ValidationStep(), n_classes, chosen_scaler, unit_length=True, penalty="C_",
        held_out=stratified_parts,
    )  # fmt: skip
