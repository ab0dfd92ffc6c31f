"""From pictures to a classifier in one call: the recommended pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer

from sktl.features._cnn_codes import CNNCodesTransformer
from sktl.features._logistic_regression_loo import LogisticRegressionLOO


def make_codes_classifier(
    codes: Any = None, *, C: float | str = "auto", class_weight: Mapping | str | None = None
) -> Pipeline:
    """Return the recommended classifier of few pictures: a fixed network's codes, unit length, logistic regression.

    It is a scikit-learn pipeline of three steps, "codes", "unit_length" and "classifier", so that a grid may say
    ``codes__layers`` or ``classifier__C``. Start with the defaults.

    Codes are brought to length 1: a few rows tell too little of the variance of each of 1,280 columns. `C` is chosen by
    closed-form leave-one-out log-losses, which keep probabilities honest with few rows.

    Parameters
    ----------
    codes : transformer, str, Module or callable, default=None
        What makes codes of pictures. None is ``CNNCodesTransformer()``; a backbone's name, a module or a callable that
        returns one is given to it. A transformer is taken as it is, one of texts too.
    C : float or "auto", default="auto"
        Inverse strength of the penalty, on rows of length 1. "auto" chooses it; see `LogisticRegressionLOO`.
    class_weight : dict, "balanced" or None, default=None
        As in scikit-learn.

    Returns
    -------
    Pipeline
        Not fitted yet.

    References
    ----------
    .. [1] A. S. Razavian, H. Azizpour, J. Sullivan and S. Carlsson, "CNN features off-the-shelf: an astounding
       baseline for recognition", CVPR Workshops, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl import CNNCodesTransformer, make_codes_classifier
    >>> pictures = np.random.default_rng(0).integers(0, 200, (8, 32, 32, 3), dtype=np.uint8)
    >>> pictures[::2] += 50
    >>> labels = ["light", "dark"] * 4
    >>> model = make_codes_classifier(CNNCodesTransformer(image_size=32))  # 32 for speed, here
    >>> model.fit(pictures, labels).predict_proba(pictures[:3]).shape
    (3, 2)
    """
    if codes is None:
        codes = CNNCodesTransformer()
    elif not hasattr(codes, "transform"):
        codes = CNNCodesTransformer(codes)
    classifier = LogisticRegressionLOO(C=C, class_weight=class_weight)
    return Pipeline([("codes", codes), ("unit_length", Normalizer()), ("classifier", classifier)])
