"""One way to load whatever an estimator's `save` wrote."""

from __future__ import annotations

import os
from typing import Any

from sktl._saving import Codec, read_model
from sktl.adaptation import DomainAdaptedClassifier, DomainAdaptedRegressor, PerDomainClassifier
from sktl.fewshot import ProtoNetClassifier
from sktl.fewshot.meta_training import learner_classes
from sktl.finetuning import FineTunedClassifier, FineTunedRegressor

CLASSIFIERS = (
    FineTunedClassifier,
    FineTunedRegressor,
    DomainAdaptedClassifier,
    DomainAdaptedRegressor,
    PerDomainClassifier,
    ProtoNetClassifier,
)


def load(path: str | os.PathLike, **networks: Any) -> Any:
    """Return the fitted estimator that a file holds, of whichever class wrote it.

    The file is one that `save` of an estimator wrote: tensors and JSON, no pickle. Nothing in it is run, and all that
    is read is checked. An estimator of a class of your own is found by its name once the class is defined.

    Parameters
    ----------
    path : path-like
        The file.
    **networks : Module or callable
        The networks that were given to the constructor as objects, by parameter (``backbone=...``, ``module=...``):
        files hold no code. Names need not be given.

    Returns
    -------
    estimator
        Fitted.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, of no estimator that can be loaded, or needs a network that is not given.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import sktl
    >>> X, y = np.random.default_rng(0).normal(size=(20, 3)), np.repeat([0, 1], 10)
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> sktl.FineTunedClassifier(strategy="head").fit(X, y).save(path)
    >>> sktl.load(path).predict(X[:2]).shape
    (2,)
    """
    classes: dict[str, Any] = {cls.__name__: cls for cls in CLASSIFIERS} | learner_classes()
    found = read_model(path, classes, Codec()).cls.__name__
    return classes[found].load(path, **networks)
