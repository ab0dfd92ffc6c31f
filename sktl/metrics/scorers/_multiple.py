"""Several scorers of one model, for the price of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sklearn.base import BaseEstimator

from sktl._documented import Documented
from sktl._kept_outputs import keeping_outputs
from sktl.metrics.scorers._domain_scorer import DomainRows, DomainScorer
from sktl.metrics.scorers._registry import get_domain_scorer


class MultipleScorers(Documented, BaseEstimator):
    """Several scorers at once: the rows pass through the model once, and the domains' density ratio is fitted once.

    As ``scoring`` of scikit-learn's searches it gives one column a scorer; ``refit`` names the one that chooses. Scores
    are what each scorer gives by itself.

    Parameters
    ----------
    scorers : list of str or DomainScorer, or dict of these by name, default=("source_target", "importance_weighted", \
"information_maximization")
        Names of `DOMAIN_SCORERS`, or objects. In a list, objects are called by their class.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows, for scorers that are given by name; objects have their own.

    Raises
    ------
    ValueError
        If there is no scorer, or two bear one name.

    See Also
    --------
    get_domain_scorer : One scorer by its name.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sktl.metrics import MultipleScorers
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> model = LogisticRegression().fit(X[:100], y[:100])
    >>> y[100:] = -1
    >>> scores = MultipleScorers(["source_target", "entropy"])(model, X, y)
    >>> list(scores)
    ['source_target', 'entropy']
    """

    _parameter_constraints: ClassVar[dict] = {
        "scorers": [list, tuple, Mapping],
        "unlabelled": "no_validation",
    }

    def __init__(
        self,
        scorers: Sequence[str | DomainScorer] | Mapping[str, str | DomainScorer] = (
            "source_target",
            "importance_weighted",
            "information_maximization",
        ),
        *,
        unlabelled: Any = -1,
    ):
        self.scorers = scorers
        self.unlabelled = unlabelled

    def __call__(self, estimator: Any, X: Any, y: Any) -> dict[str, float]:
        """Score a fitted estimator.

        Parameters
        ----------
        estimator : classifier
            Fitted.
        X : array-like, sparse matrix or sequence of pictures
            Labelled source rows and unlabelled target rows.
        y : array-like of shape (n,)
            Labels; `unlabelled`, NaN or None where there is none.

        Returns
        -------
        dict of str to float
            A score a scorer, in order; higher is better.
        """
        self._validate_params()
        scorers = self._by_name()
        split: dict[str, DomainRows] = {}  # by the mark
        for scorer in scorers.values():
            scorer._validate_params()
            mark = repr(scorer.unlabelled)
            split[mark] = scorer._checked(split[mark]) if mark in split else scorer._rows(X, y)
        with keeping_outputs(estimator) as view:
            return {name: float(one._score(view, split[repr(one.unlabelled)])) for name, one in scorers.items()}

    def _by_name(self) -> dict[str, DomainScorer]:
        given: dict[str, Any]
        if isinstance(self.scorers, Mapping):
            given = dict(self.scorers)
        else:
            names = [one if isinstance(one, str) else type(one).__name__ for one in self.scorers]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"scorers has {', '.join(twice)} more than once. Give a dict, with names of your own.")
            given = dict(zip(names, self.scorers))
        if not given:
            raise ValueError("scorers must have at least one scorer; got none.")
        for name, one in given.items():
            if isinstance(one, str):
                given[name] = get_domain_scorer(one, unlabelled=self.unlabelled)
            elif not isinstance(one, DomainScorer) or type(one).__call__ is not DomainScorer.__call__:
                raise TypeError(
                    f"scorers[{name!r}] must be a name of DOMAIN_SCORERS or a scorer without true labels; got {one!r}."
                )
        return given  # type: ignore[return-value]
