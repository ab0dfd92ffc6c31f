"""Agreement with what many models predict together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from sktl.metrics.scorers._domain_scorer import DomainRows, DomainScorer
from sktl.metrics.scorers._outputs import as_probabilities, probabilities


def consensus_scores(probas: Sequence[np.ndarray]) -> np.ndarray:
    """Return how often each model predicts the class that the mean of all models' probabilities names.

    Parameters
    ----------
    probas : sequence of ndarray, each of shape (n, n_classes)
        Probabilities of the same target rows, one array a model.

    Returns
    -------
    ndarray of shape (n_models,)
        Shares between 0 and 1; the highest is the model to choose.

    Raises
    ------
    ValueError
        If there is no model, or shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.metrics import consensus_scores
    >>> first, second, third = np.array([[[0.9, 0.1], [0.6, 0.4]], [[0.8, 0.2], [0.1, 0.9]], [[0.7, 0.3], [0.2, 0.8]]])
    >>> consensus_scores([first, second, third])
    array([0.5, 1. , 1. ])
    """
    probas = [as_probabilities(proba) for proba in probas]
    if len(probas) == 0 or len({np.shape(proba) for proba in probas}) > 1:
        raise ValueError(
            "consensus_scores compares models on the same rows and classes, and needs probabilities of one shape; got "
            f"{[np.shape(proba) for proba in probas]}."
        )
    # s_m = mean_i [argmax_c p_m(c | x_i) = argmax_c mean_m' p_m'(c | x_i)]
    together = np.mean(probas, axis=0).argmax(axis=1)  # (n,)
    return np.array([(np.argmax(proba, axis=1) == together).mean() for proba in probas])


class ConsensusScorer(DomainScorer):
    """How often a model's predictions in the target are those of many models together [1]_.

    Models that err differently are seldom wrong in the mean of their probabilities, so that the one nearest to it is a
    safe choice. Give the candidates themselves, or a varied few: several losses with their default weights, say.

    Parameters
    ----------
    estimators : list of fitted classifiers
        The models, all of the same classes. Clones of the scorer refer to them.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; missing values mark them too.

    References
    ----------
    .. [1] D. Hu, M. Luo, J. Liang and C.-S. Foo, "Towards reliable model selection for unsupervised domain adaptation:
       an empirical study and a certified baseline", NeurIPS Datasets and Benchmarks, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.adaptation import DomainAdaptedClassifier
    >>> from sktl.metrics import ConsensusScorer
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 3))
    >>> y = np.where(np.arange(100) < 50, X[:, 0] > 0, -1)
    >>> losses = ["dann", "coral", "mcc"]
    >>> models = [DomainAdaptedClassifier(loss=loss, max_epochs=2, random_state=0).fit(X, y) for loss in losses]
    >>> scorer = ConsensusScorer(models)
    >>> best = max(models, key=lambda model: scorer(model, X, y))
    """

    _parameter_constraints: ClassVar[dict] = {**DomainScorer._parameter_constraints, "estimators": [list, tuple]}

    def __init__(self, estimators: Sequence[Any], *, unlabelled: Any = -1):
        self.estimators = estimators
        self.unlabelled = unlabelled

    def _score(self, estimator: Any, rows: DomainRows) -> float:
        name = type(self).__name__
        if len(self.estimators) == 0:
            raise ValueError(f"{name} needs at least one fitted estimator to compare with; got none.")
        classes = np.asarray(estimator.classes_).tolist()
        for other in self.estimators:
            if np.asarray(other.classes_).tolist() != classes:
                raise ValueError(
                    f"{name} compares models of the same classes; the scored one has {classes}, one of the estimators "
                    f"{np.asarray(other.classes_).tolist()}."
                )
        probas = [probabilities(one, rows.X_target, name) for one in self.estimators]
        together = np.mean(probas, axis=0).argmax(axis=1)
        return (probabilities(estimator, rows.X_target, name).argmax(axis=1) == together).mean()

    def __sklearn_clone__(self) -> ConsensusScorer:
        return ConsensusScorer(self.estimators, unlabelled=self.unlabelled)
