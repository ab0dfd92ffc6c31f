"""Scorers by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sklearn.linear_model import LogisticRegression

from sktl._named import make_named
from sktl.metrics.scorers._deep_embedded import DeepEmbeddedValidationScorer
from sktl.metrics.scorers._domain_scorer import DomainScorer
from sktl.metrics.scorers._entropy import EntropyScorer
from sktl.metrics.scorers._importance_weighted import ImportanceWeightedScorer
from sktl.metrics.scorers._information import InformationMaximizationScorer
from sktl.metrics.scorers._labelled import LabelledScorer
from sktl.metrics.scorers._neighborhood_density import SoftNeighborhoodDensityScorer
from sktl.metrics.scorers._nuclear_norm import BatchNuclearNormScorer
from sktl.metrics.scorers._reverse import ReverseValidationScorer
from sktl.metrics.scorers._source_target import SourceTargetScorer

DOMAIN_SCORERS: dict[str, Callable[..., DomainScorer]] = {
    "domain_default": SourceTargetScorer,
    "source_target": SourceTargetScorer,
    "labelled": LabelledScorer,
    "importance_weighted": ImportanceWeightedScorer,
    "deep_embedded_validation": DeepEmbeddedValidationScorer,
    "information_maximization": InformationMaximizationScorer,
    "entropy": EntropyScorer,
    "soft_neighborhood_density": SoftNeighborhoodDensityScorer,
    "batch_nuclear_norm": BatchNuclearNormScorer,
    "reverse_validation": ReverseValidationScorer,
    "reverse_codes": partial(ReverseValidationScorer, LogisticRegression(max_iter=1000)),
}


def get_domain_scorer(name: str = "domain_default", **params: Any) -> DomainScorer:
    """Return a scorer that chooses without target labels, by its name.

    Parameters
    ----------
    name : str, default="domain_default"
        A key of `DOMAIN_SCORERS`, or the `name` of a subclass of `DomainScorer` of one's own. "domain_default" is
        "source_target", which looks at both domains; of all here its choices come nearest the oracle's, on average,
        in ``benchmarks/unsupervised_selection.py``.
    **params
        Of the scorer, such as ``unlabelled``.

    Returns
    -------
    DomainScorer
        A ``scorer(estimator, X, y)``, for ``scoring`` of scikit-learn's searches and ``selection`` of
        `DomainAdaptedClassifier`.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> from sktl.metrics import get_domain_scorer
    >>> get_domain_scorer("soft_neighborhood_density", temperature=0.1)
    SoftNeighborhoodDensityScorer(temperature=0.1)
    """
    return make_named(name, DomainScorer, DOMAIN_SCORERS, "scorer", **params)
