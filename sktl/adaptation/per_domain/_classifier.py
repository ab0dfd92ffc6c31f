"""One general classifier for all, and an adapted copy for each sub-domain whose rows are there."""

from __future__ import annotations

from numbers import Integral
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from sklearn.base import _fit_context
from sklearn.metrics import accuracy_score
from sklearn.utils._param_validation import Interval
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sktl._array_api import n_rows, rows_on_host, take_rows
from sktl._callbacks import CallbackSupportMixin
from sktl._columns import check_length, domain_column, row_weights
from sktl._delegation import has
from sktl._domain_names import domain_name, rows_by_domain
from sktl._domains import found_domains
from sktl._draws import seed_of
from sktl._progress import fitted_in_task
from sktl._unlabelled import as_labels, is_labelled, known_labels
from sktl._validation import shorten
from sktl._warn_once import warn_user
from sktl.adaptation.from_fitted._base import FromFittedClassifier
from sktl.adaptation.from_fitted._start import chosen, is_fitted
from sktl.adaptation.per_domain._copies import Copies, DomainCopy, HoldsCopies, warn_of_strangers
from sktl.adaptation.per_domain._saving import Savable


class PerDomainClassifier(CallbackSupportMixin, HoldsCopies, Savable, FromFittedClassifier):
    """One general classifier, and a small copy of it for each sub-domain, adapted to that domain's unlabelled rows.

    A speech recogniser for each speaker, a crop classifier for each field: the sub-domains have no labels, and are
    each a little unlike what the general classifier has learned from. Each copy is adapted by a method that needs
    unlabelled rows alone. Copies share all that they do not change: one of AdaBN [1]_ holds the statistics of its batch
    norms, some kilobytes, whatever the network weighs.

    Rows are routed by `sample_domain`. The rule for rows without a copy: rows of a domain that is not known, and all
    rows where `sample_domain` is not given, are answered by the general classifier.

    Parameters
    ----------
    estimator : TestTimeAdaptedClassifier, SourceFreeAdaptedClassifier or GradualAdaptedClassifier
        How a copy is adapted, and, as its ``estimator``, the general classifier: fitted, or else fitted on the labelled
        rows. Start with ``TestTimeAdaptedClassifier(DomainAdaptedClassifier(loss=None))``, which trains nothing and
        makes the smallest copies. It is not changed. Copies stay as they are: ``online`` has no say.
    min_rows : int, default=20
        Sub-domains with fewer rows get no copy in `fit`, with a warning: the statistics of a few rows do harm.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; so do NaN and None.
    target_domain : int, str, list of these or None, default=None
        Which of the domains in ``sample_domain`` are the sub-domains that get copies; by default those without any
        label.
    random_state : int, RandomState instance or None, default=None
        Of the general classifier's training, and of each copy's, where these have no seed of their own.

    Attributes
    ----------
    estimator_ : classifier
        The general one.
    domains_ : ndarray of str
        The sub-domains that have a copy, sorted.
    copies_ : dict of str to DomainCopy
        What each copy holds: ``tensors`` that differ from the general classifier's, ``n_bytes`` of these (None where a
        classifier without such tensors is held whole), and ``n_rows`` that it was adapted to.
    classes_ : ndarray
        The labels, sorted.
    n_features_in_ : int
        For 2-D X only.

    Raises
    ------
    NotFittedError
        If the general classifier is not fitted and y holds no label.
    TypeError
        If `estimator` does not adapt to unlabelled rows alone.

    References
    ----------
    .. [1] Y. Li et al., "Revisiting batch normalization for practical domain adaptation", arXiv:1603.04779, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.adaptation import DomainAdaptedClassifier, PerDomainClassifier, TestTimeAdaptedClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 4))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> domain = np.repeat(["office", "north", "south"], 100)
    >>> X[100:200] += 1.0  # each sub-domain in its own way
    >>> X[200:] *= 2.0
    >>> marked = np.where(domain == "office", y, -1)
    >>> general = DomainAdaptedClassifier(loss=None, max_epochs=20, random_state=0)
    >>> model = PerDomainClassifier(TestTimeAdaptedClassifier(general), random_state=0)
    >>> model.fit(X, marked, sample_domain=domain).domains_.tolist()
    ['north', 'south']
    >>> model.predict(X[100:], sample_domain=domain[100:]).shape
    (200,)
    >>> model.adapt(rng.normal(size=(50, 4)) - 1.0, "east").domains_.tolist()
    ['east', 'north', 'south']
    """

    __metadata_request__fit: ClassVar[dict] = {"sample_domain": True}
    __metadata_request__predict: ClassVar[dict] = {"sample_domain": True}
    __metadata_request__predict_proba: ClassVar[dict] = {"sample_domain": True}
    __metadata_request__decision_function: ClassVar[dict] = {"sample_domain": True}
    __metadata_request__score: ClassVar[dict] = {"sample_domain": True}
    _parameter_constraints: ClassVar[dict] = {
        **{k: v for k, v in FromFittedClassifier._parameter_constraints.items() if k != "n_jobs"},
        "min_rows": [Interval(Integral, 1, None, closed="left")],
        "target_domain": "no_validation",
    }
    _copies: Copies

    def __init__(
        self,
        estimator: Any,
        *,
        min_rows: int = 20,
        unlabelled: Any = -1,
        target_domain: Any = None,
        random_state: Any = None,
    ):
        self.estimator = estimator
        self.min_rows = min_rows
        self.unlabelled = unlabelled
        self.target_domain = target_domain
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, *, sample_domain: Any = None) -> PerDomainClassifier:
        """Fit the general classifier if it is not fitted, and adapt a copy to each sub-domain.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures
            Rows of all domains, of the kind that the general classifier takes.
        y : array-like of shape (n,), default=None
            Labels, with `unlabelled`, NaN or None for rows without. Labels are learned only by a general classifier
            that is not fitted.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain. Without it the unlabelled rows are one sub-domain, "target".

        Returns
        -------
        PerDomainClassifier
            Itself.
        """
        self._check_adapter()
        inner = self._source()
        given = self._begin(X, y)
        labels = np.full(n_rows(X), np.nan) if given.labels is None else given.labels
        domains = found_domains(labels, sample_domain, self.unlabelled, self.target_domain)
        wanted = domains.targets
        if is_fitted(inner) and self.target_domain is None and sample_domain is not None:
            wanted = np.isin(np.arange(len(domains.names)), domains.of_row[given.rows])  # of all that is adapted to
        seed = None if self.random_state is None else seed_of(self.random_state)
        context = self._init_callback_context(max_subtasks=int(np.sum(wanted)))
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        copies = Copies(given.fitted(inner, SimpleNamespace(random_state=seed)))
        few = []
        for place in np.flatnonzero(wanted):
            rows = np.flatnonzero(domains.of_row == place)
            if len(rows) >= self.min_rows:
                self._adapt(copies, str(domains.names[place]), chosen(given.X, rows), len(rows), seed, context)
            elif len(rows):
                few.append(f"{str(domains.names[place])!r} ({len(rows)})")
        if few:
            warn_user(
                f"Sub-domains of fewer than min_rows={self.min_rows} rows get no copy, and are answered by the general "
                f"classifier: {shorten(few)}."
            )
        elif not copies.by_domain:
            warn_user("There is no sub-domain: mark rows in y as unlabelled. All rows are answered by one classifier.")
        self._copies, self._seed, self._seen = copies, seed, set(domains.names.tolist())
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def adapt(self, X: Any, domain: Any) -> PerDomainClassifier:
        """Add a sub-domain, or start over with one that has a copy; the other copies stay as they are.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures
            Its rows, without labels; as many as the method of adaptation takes, whatever `min_rows` says.
        domain : int or str
            Its name.

        Returns
        -------
        PerDomainClassifier
            Itself.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        """
        check_is_fitted(self)
        domain_column([domain], 1, "domain")
        X = rows_on_host(X)
        self._adapt(self._copies, domain_name(domain), X, n_rows(X), self._seed)
        return self

    def _adapt(self, copies: Copies, domain: str, X: Any, n: int, seed: int | None, context: Any = None) -> None:
        params = {**self.estimator.get_params(deep=False), "estimator": copies.general}
        if params.get("random_state", 0) is None:
            params["random_state"] = seed  # the same for all, in whatever order they come
        adapter = type(self.estimator)(**params)
        if context is None:
            adapter.fit(X)
        else:
            fitted_in_task(adapter, X, None, meta=self, context=context, name=domain)
        copies.add(domain, adapter.estimator_, n)

    def _source(self) -> Any:
        """Return the general classifier, as it was given."""
        return getattr(self.estimator, "estimator", self.estimator)

    def _check_adapter(self) -> None:
        if not isinstance(self.estimator, FromFittedClassifier) or isinstance(self.estimator, PerDomainClassifier):
            raise TypeError(
                "estimator must adapt a fitted classifier to unlabelled rows: a TestTimeAdaptedClassifier, a "
                "SourceFreeAdaptedClassifier or a GradualAdaptedClassifier around the general classifier; got "
                f"{type(self.estimator).__name__}."
            )

    @property
    def estimator_(self) -> Any:
        """The general classifier."""
        check_is_fitted(self)
        return self._copies.general

    @property
    def copies_(self) -> dict[str, DomainCopy]:
        """What each sub-domain's copy holds, by its name."""
        check_is_fitted(self)
        return dict(self._copies.by_domain)

    @property
    def domains_(self) -> np.ndarray:
        """The sub-domains that have a copy, sorted."""
        return np.array(sorted(self.copies_), dtype=str)

    def classifier_of(self, domain: Any) -> Any:
        """Return the classifier that answers for a domain; it predicts by itself.

        Parameters
        ----------
        domain : int or str
            Its name.

        Returns
        -------
        classifier
            Its copy, or the general one where there is none.
        """
        check_is_fitted(self)
        return self._copies.classifier(domain_name(domain))

    def predict(self, X: Any, *, sample_domain: Any = None) -> np.ndarray:
        """Return the most probable labels, each row's by the copy of its domain.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures
            Rows.
        sample_domain : array-like of shape (n,), default=None
            Their domains. Rows of other domains than `domains_`, and all rows without it, are the general classifier's;
            a warning says once where no row is of a domain that was ever seen.

        Returns
        -------
        ndarray of shape (n,)
            Labels.
        """
        return self._answered("predict", X, sample_domain)

    @available_if(has("predict_proba"))
    def predict_proba(self, X: Any, *, sample_domain: Any = None) -> np.ndarray:
        """Return probabilities, (n, n_classes), in the order of `classes_`; rows are routed as in `predict`."""
        return self._scores(self._answered("predict_proba", X, sample_domain))

    @available_if(has("predict_proba"))
    def predict_log_proba(self, X: Any, *, sample_domain: Any = None) -> np.ndarray:
        """Return the logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X, sample_domain=sample_domain))

    @available_if(has("decision_function"))
    def decision_function(self, X: Any, *, sample_domain: Any = None) -> np.ndarray:
        """Return decision values, (n,) or (n, n_classes); rows are routed as in `predict`."""
        return self._scores(self._answered("decision_function", X, sample_domain))

    def score(self, X: Any, y: Any, sample_weight: Any = None, *, sample_domain: Any = None) -> float:
        """Return the accuracy on the labelled rows, which are routed as in `predict`.

        Parameters
        ----------
        X : array-like, sparse matrix or sequence of pictures
            As in `predict`.
        y : array-like of shape (n,)
            True labels; rows that are marked as unlabelled are left out.
        sample_weight : array-like of shape (n,), default=None
            Of the rows.
        sample_domain : array-like of shape (n,), default=None
            Their domains.

        Returns
        -------
        float
            Between 0 and 1.
        """
        if sample_domain is None:
            return super().score(X, y, sample_weight)
        labels = as_labels(y)
        check_length(labels, n_rows(X), "y")
        known = np.flatnonzero(is_labelled(labels, self.unlabelled))
        if not len(known):
            raise ValueError(f"{type(self).__name__}.score needs labels, but all {len(labels)} rows are unlabelled.")
        names = domain_column(sample_domain, len(labels))[known]
        weight = None if sample_weight is None else row_weights(sample_weight, len(labels))[known]
        predicted = self.predict(take_rows(X, known), sample_domain=names)
        return float(accuracy_score(known_labels(labels, known), predicted, sample_weight=weight))

    def _answered(self, method: str, X: Any, sample_domain: Any) -> np.ndarray:
        check_is_fitted(self)
        X = self._asked(X)
        if sample_domain is None:
            return np.asarray(getattr(self.estimator_, method)(X))
        places, others = rows_by_domain(domain_column(sample_domain, n_rows(X)), self.domains_)
        if not places:
            warn_of_strangers(others, self._copies.by_domain, self.__dict__.get("_seen"))
        routes = [(self.classifier_of(name), rows) for name, rows in places.items()]
        is_other = np.ones(n_rows(X), dtype=bool)
        is_other[[row for rows in places.values() for row in rows]] = False
        if is_other.any():
            routes.append((self.estimator_, np.flatnonzero(is_other)))
        parts = [np.asarray(getattr(classifier, method)(chosen(X, rows))) for classifier, rows in routes]
        order = np.argsort(np.concatenate([rows for _, rows in routes]), kind="stable")
        return np.concatenate(parts)[order]

    def __sklearn_is_fitted__(self) -> bool:
        return "_copies" in self.__dict__
