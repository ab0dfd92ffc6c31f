"""When to transfer, from which layer, and how: measured, with reasons."""

from __future__ import annotations

from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

from sklearn.base import _fit_context, clone
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sktl._callbacks import CallbackSupportMixin
from sktl._estimator import ModuleSharingMixin
from sktl.advisor._advice import AdviceReport
from sktl.advisor._code import as_code
from sktl.advisor._codes import Extraction, extract
from sktl.advisor._decision import Decision, decide
from sktl.advisor._looking import (
    duplicates,
    picture_facts,
    rows_by_class,
    suspects,
    thumbnails,
    without_repeats,
)
from sktl.advisor._problem import Problem, check_classes_left, described, read_problem
from sktl.advisor._scoring import (
    boosted,
    checked_scores,
    deciding,
    how_scored,
    possible_cv,
    ranking,
    score_layers,
)
from sktl.advisor._similarity import as_mapping
from sktl.cache import CodeCache
from sktl.features import CNNCodesTransformer


class TransferAdvisor(CallbackSupportMixin, ModuleSharingMixin):
    """Measure when to transfer, from which layer and how, and say why.

    The rule of the textbooks has four quadrants: new data small or large, like the source or unlike it. The advisor
    measures both. One pass of each network over (a sample of) the rows gives the codes of all layers; classifiers on
    them are scored by exact leave-one-out. Then:

    ===================== ==================================================================================
    what was found        what is advised
    ===================== ==================================================================================
    one or two a class    prototypes, on the best layer
    small                 a linear classifier on the layer, or on all of them, or the mean of one on each of two layers:
                          that of which leave-one-out here and what was best on other data sets, as similar and with as
                          many rows a class, expect most together
    large, similar        fine-tuning: the head first, then all layers; codes, if they are right in 99 %
    large, unlike         all layers at once; from scratch, if plain pixels do as well as the network's codes
    unlabelled rows that  adaptation: statistics of each domain aligned, or `DomainAdaptedClassifier` if labels
    differ from labelled  are many
    rows of features      the mean of a linear classifier and a random forest (linear alone, if they may be codes);
                          nearest neighbours (prototypes, with five a class or fewer; a network from scratch, if
                          large) where leave-one-out says more than noise for them; boosted trees where they are ahead
                          of these in three folds
    text                  a linear classifier on tf-idf of words, their pairs and letters (if long: words), or on
                          codes of the transformers given; sparse codes are not adapted
    ===================== ==================================================================================

    Parameters
    ----------
    backbones : "auto", "installed", str, Module, transformer, or list of these, default="auto"
        What to transfer from: names of `sktl.list_backbones`, modules, callables that return one, a
        `CNNCodesTransformer` with settings of its own; for text and feature rows any transformer. "auto" is the
        embedded network for pictures, tf-idf for text, and nothing for feature rows; "installed" adds all that needs
        no download: the larger embedded networks (``sktl[backbones]``) and the encoder of text (``sktl[text]``), at
        their cost. One that cannot be loaded is left out, with a warning.
    layers : "all", or list of str or float, default="all"
        Layers to compare, as in `CNNCodesTransformer`; "all" is the last one of each resolution, and all of them side
        by side. What enters the classifier is always among them.
    scores : tuple of str, default=("knn", "linear", "logme")
        Of "linear", "knn", "logme", "h_score", "gbc", "trans_rate" and "n_leep". The ranking goes by "linear" if it is
        there, else by "knn", else by the first.
    cv : int or None, default=None
        Folds of a logistic regression for "linear". None scores a ridge classifier by exact leave-one-out: faster, and
        possible with two rows a class.
    max_samples : int, default=2000
        Labelled rows looked at, and as many unlabelled ones: a sample, by class.
    few_below : float, default=3
        Labelled rows a class (median) below which data count as few, and prototypes are advised. From three a class
        on, the fewest that were measured, logistic regression was ahead: by 8 points on average at four a class.
    large_from : int, default=1000
        Labelled rows from which data count as large: VTAB's border of the small regime [3]_.
    similar_from : float, default=0.5
        Similarity from which rows count as like the source. Of 7 sets measured with the embedded network, photographs
        have 0.77 and 0.85, paintings 0.64, cartoons 0.57; sketches 0.36, digits and characters 0.32.
    unlabelled : scalar or None, default=-1
        The label that marks unlabelled rows; so do NaN and None.
    image_shape, value_range, image_size
        Of pictures, as in `CNNCodesTransformer`.
    cache : None, "memory", path or CodeCache, default="memory"
        Where codes are kept: what `make_estimator` returns finds them there.
    n_jobs : int, default=None
        Threads that decode pictures.
    device : str or torch.device, default="auto"
        Where networks run.
    random_state : int, default=0
        Fixes the sample and the tests.
    verbose : int, default=0
        Above 0 shows the time left.

    Attributes
    ----------
    strategy_ : str
        "prototypes", "codes", "earlier codes", "fine-tune", "fine-tune all", "scratch", "adapt", "linear",
        "linear and forest", "neighbours" or "boosted trees".
    similarity_ : float or None
        From 0 to 1; None where there is no network to be similar to.
    similarity_evidence_ : dict of str to float
        Its parts. "depth": how much the last layer beats earlier ones. "statistics": nearness to the means that the
        network's batch norms keep of its source. "labels": what its own predictions tell of the labels. Beside them
        their "certainty" and "spread", which do not enter.
    size_ : {"few", "small", "large"}
        Of the labelled rows.
    quadrant_ : str or None
        "small, similar", "small, unlike", "large, similar" or "large, unlike".
    backbone_, layer_, second_layer_ : str
        The best. The second is None, unless the mean of a classifier on each of two layers is advised.
    ranking_ : DataFrame, or list of dict without pandas
        Backbone, layer, depth, scores, and a 95 % interval of the one that decides; the best first.
    confidence_ : dict of str to float
        How far the advised layer is ahead of the next: "lead", its 95 % interval "low" to "high", and "probability".
    shifts_ : list
        Distance of domains: `source`, `target`, `proxy_a`, `pvalue`.
    duplicates_ : list
        Pairs of rows that are the same or nearly so: `first`, `second`, `is_exact`, `labels`. Each row is paired with
        the first that it repeats. Rows that repeat another are left out of the scores.
    suspects_ : list
        Rows with a doubtful label: `row`, `label`, `likely`, `margin`.
    unreadable_ : dict of int to str
        What is wrong with pictures that cannot be read, by row. They do not stop the advice.
    failed_backbones_ : dict of str to str
        Which were left out, and why.
    report_ : AdviceReport
        ``print(report_)`` or ``report_.save("report.html")``.
    code_ : str
        What `make_estimator` returns, as code to paste.
    classes_ : ndarray
        The labels.
    n_features_in_ : int
        For a 2-D X only.

    Raises
    ------
    TypeError, ValueError
        For malformed rows, labels or domains, values for labels, one class, or backbones none of which can be loaded.

    See Also
    --------
    sktl.metrics.transferability : The scores.
    sktl.metrics.distances : How far domains are apart.

    References
    ----------
    .. [1] J. Yosinski, J. Clune, Y. Bengio and H. Lipson, "How transferable are features in deep neural networks?",
       NeurIPS, 2014.
    .. [2] S. Kornblith, J. Shlens and Q. V. Le, "Do better ImageNet models transfer better?", CVPR, 2019.
    .. [3] X. Zhai et al., "A large-scale study of representation learning with the Visual Task Adaptation Benchmark",
       arXiv:1910.04867, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl import TransferAdvisor
    >>> rng = np.random.default_rng(0)
    >>> pictures = rng.integers(0, 120, (24, 32, 32, 3), dtype=np.uint8)
    >>> pictures[::2, 8:24, 8:24] += 100  # a bright square in every other one
    >>> advisor = TransferAdvisor(image_size=64).fit(pictures, ["square", "noise"] * 12)
    >>> advisor.size_
    'small'
    >>> advisor.make_estimator().fit(pictures, ["square", "noise"] * 12).predict(pictures[:2]).tolist()
    ['square', 'noise']
    """

    __metadata_request__fit: ClassVar[dict] = {"sample_domain": True}
    _parameter_constraints: ClassVar[dict] = {
        "backbones": "no_validation",
        "layers": [str, list, tuple],
        "scores": [list, tuple],
        "cv": [Interval(Integral, 2, None, closed="left"), None],
        "max_samples": [Interval(Integral, 4, None, closed="left")],
        "few_below": [Interval(Real, 0, None, closed="left")],
        "large_from": [Interval(Integral, 1, None, closed="left")],
        "similar_from": [Interval(Real, 0, 1, closed="both")],
        "unlabelled": "no_validation",
        "image_shape": [tuple, list, None],
        "value_range": [tuple, list, None],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "cache": [str, Path, CodeCache, None],
        "n_jobs": [Integral, None],
        "device": "no_validation",
        "random_state": [Interval(Integral, 0, None, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        backbones: Any = "auto",
        *,
        layers: str | list | tuple = "all",
        scores: tuple[str, ...] | list[str] = ("knn", "linear", "logme"),
        cv: int | None = None,
        max_samples: int = 2000,
        few_below: float = 3,
        large_from: int = 1000,
        similar_from: float = 0.5,
        unlabelled: Any = -1,
        image_shape: tuple[int, ...] | None = None,
        value_range: tuple[float, float] | None = None,
        image_size: int | tuple[int, int] | None = None,
        cache: str | Path | CodeCache | None = "memory",
        n_jobs: int | None = None,
        device: Any = "auto",
        random_state: int = 0,
        verbose: int = 0,
    ):
        self.backbones = backbones
        self.layers = layers
        self.scores = scores
        self.cv = cv
        self.max_samples = max_samples
        self.few_below = few_below
        self.large_from = large_from
        self.similar_from = similar_from
        self.unlabelled = unlabelled
        self.image_shape = image_shape
        self.value_range = value_range
        self.image_size = image_size
        self.cache = cache
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, *, sample_domain: Any = None) -> TransferAdvisor:
        """Look at the rows, and decide.

        Parameters
        ----------
        X : array-like or sequence
            Pictures, as every estimator of pictures takes them; rows of features, (n, n_features); or text.
        y : array-like of shape (n,)
            Labels; `unlabelled`, NaN or None where there is none.
        sample_domain : array-like of shape (n,), default=None
            Each row's domain.

        Returns
        -------
        TransferAdvisor
            Itself.
        """
        context = self._init_callback_context()
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        self._look(X, y, sample_domain)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def make_estimator(self) -> Any:
        """Return the advised estimator, unfitted: a pipeline, or a classifier of sktl.

        Give it X and y as they were given to `fit`, marks of unlabelled rows included.

        Returns
        -------
        estimator
            A new one at each call. `code_` is its code.
        """
        check_is_fitted(self, "strategy_")
        return clone(self._estimator)

    def _look(self, X: Any, y: Any, sample_domain: Any) -> None:
        scores = checked_scores(self.scores)
        problem = read_problem(self, X, y, sample_domain, self._first_network())
        found = extract(self, problem)
        problem = problem.without(set(found.unreadable))
        check_classes_left(problem, found.unreadable)
        pairs = duplicates(found, problem)
        doubtful = suspects(found, problem) if len(problem.number) > 2 else []
        found, scored_problem = without_repeats(found, problem, pairs)
        cv = possible_cv(self.cv, scored_problem.number)
        layers = score_layers(found.layers, scored_problem.number, scores, cv, self.random_state)
        score = deciding(scores)
        trees = boosted(layers, scored_problem.number, self.random_state)
        decision = decide(self, scored_problem, found, layers, score, trees)

        layers.sort(key=lambda one: one.scores[score], reverse=True)
        self._learn(problem, found, decision)
        self.ranking_ = ranking(layers, scores, len(scored_problem.number))
        self.duplicates_, self.suspects_ = pairs, doubtful
        self.code_ = as_code(self._estimator)
        self.report_ = AdviceReport(
            title=f"{type(self).__name__} on {described(problem)}",
            decision=decision.light(),
            layers=[one.light() for one in layers],
            score=score,
            n_scored=len(scored_problem.number),
            how=how_scored(cv, len(scored_problem.number)),
            class_sizes=list(zip(problem.classes.tolist(), problem.sizes.tolist())),
            facts=picture_facts(problem),
            pairs=pairs,
            doubtful=doubtful,
            unreadable=found.unreadable,
            failed=found.failed,
            pictures=thumbnails(self, problem, pairs, doubtful),
            shown_rows=rows_by_class(problem),
            seconds=found.seconds.get(self.backbone_),
            code=f"{self.code_}\nmodel.fit(X, y)",
            similar_from=float(self.similar_from),
            large_from=int(self.large_from),
            n_labelled=problem.n_labelled,
        )

    def _learn(self, problem: Problem, found: Extraction, decision: Decision) -> None:
        self.classes_ = problem.classes
        alike, ahead = decision.similarity, decision.lead
        self.similarity_ = None if alike is None else alike.value
        self.similarity_evidence_ = {} if alike is None else dict(as_mapping(alike))
        self.size_, self.quadrant_, self.strategy_ = decision.size, decision.quadrant, decision.strategy
        self.backbone_, self.layer_ = decision.chosen.part.backbone, decision.chosen.part.layer
        self.second_layer_ = None if decision.second is None else decision.second.part.layer
        self.confidence_ = {} if ahead is None else ahead.as_mapping()
        self.shifts_ = decision.shifts
        self.unreadable_, self.failed_backbones_ = found.unreadable, found.failed
        self._estimator = decision.estimator

    def _first_network(self) -> Any:
        items = list(self.backbones) if isinstance(self.backbones, (list, tuple)) else [self.backbones]
        if not items:
            raise ValueError("backbones is an empty list; name at least one, or use 'auto'.")
        first = items[0]
        if hasattr(first, "fit_transform"):
            return None if isinstance(first, CNNCodesTransformer) else "auto"
        return first if isinstance(first, (str, nn.Module)) else None  # what a callable returns takes pictures

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags
