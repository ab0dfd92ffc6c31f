"""From what was measured to what to do: the quadrant, the strategy, the layer, the estimator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sktl._inputs import ROWS
from sktl.adaptation import DomainAdaptedClassifier
from sktl.advisor._codes import ALL, CODES, PENULTIMATE, PIXELS, Extraction, LayerCodes, transformer_of
from sktl.advisor._layer_prior import SHIPPED, UNDECIDED, most_promising
from sktl.advisor._linear_models import chooses_scale, linear_and_forest, linear_classifier, suits_forest
from sktl.advisor._problem import TEXT, Problem
from sktl.advisor._reasons import FOREST, LETTERS, of_training, of_two_layers
from sktl.advisor._scoring import GOOD_ENOUGH, Lead, OfTrees, ScoredLayer, lead, n_neighbours, standard_error
from sktl.advisor._shift import Shift, shifts
from sktl.advisor._similarity import Similarity, in_words, similarity
from sktl.advisor._text_models import are_short, words_and_letters
from sktl.advisor._two_layers import in_one_pass, picked, vote
from sktl.aligners import CORALAligner, DomainStandardizer, LabelledOnly
from sktl.features import CNNCodesTransformer, LogisticRegressionLOO, make_codes_classifier
from sktl.fewshot import ProtoNetClassifier
from sktl.finetuning import FineTunedClassifier

FEW, SMALL, LARGE = "few", "small", "large"
SURE = 3  # standard errors: on 23 tables nearest neighbours that led by less were no better on new rows
FINE_TUNING = {"fine-tune all": "full", "scratch": "scratch"}  # by the names of `FineTunedClassifier`
NAMED = {"neighbours": "Nearest neighbours", "boosted trees": "Boosted trees"}
STRATEGIES = {
    "prototypes": "a prototype for each class, on codes of the network as it is, or on rows",
    "codes": "a linear classifier on codes of the network as it is",
    "earlier codes": "a linear classifier on codes of earlier layers",
    "fine-tune": "the head first, then all layers from their pretrained values",
    "fine-tune all": "all layers at once, with pretrained values as the start",
    "scratch": "all layers from random values",
    "adapt": "labels from one domain, carried over to the other",
    "linear": "a linear classifier on the rows as they are",
    "linear and forest": "the mean of a linear classifier and a random forest on the rows as they are",
    "neighbours": "nearest neighbours on the rows as they are",
    "boosted trees": "boosted trees on the rows as they are",
}


@dataclass(frozen=True)
class Decision:
    """What is advised, and why.

    Attributes
    ----------
    size : {"few", "small", "large"}
        Of the labelled data.
    similarity : Similarity or None
        To what the network was trained on.
    quadrant : str or None
        Such as "small, similar".
    strategy : str
        A key of `STRATEGIES`.
    chosen : ScoredLayer
        Whose layer is advised.
    beside : ScoredLayer or None
        Of the same network, whose classifier is asked too.
    runner_up : ScoredLayer or None
        The best other layer.
    lead : Lead or None
        How far it is behind; below 0 where the chosen one is kept though another scored higher.
    shifts : list of Shift
        Between domains.
    estimator : estimator
        Unfitted.
    reasons : list of str
        Sentences.
    """

    size: str
    similarity: Similarity | None
    quadrant: str | None
    strategy: str
    chosen: ScoredLayer
    beside: ScoredLayer | None
    runner_up: ScoredLayer | None
    lead: Lead | None
    shifts: list[Shift]
    estimator: Any
    reasons: list[str] = field(default_factory=list)

    @property
    def second(self) -> ScoredLayer | None:
        """The layer beside the chosen one, where the mean of a classifier on each is advised."""
        return self.beside if self.strategy in ("codes", "earlier codes") else None

    def light(self) -> Decision:
        """Return what can be read, without codes, networks and the estimator."""
        beside = None if self.beside is None else self.beside.light()
        other = None if self.runner_up is None else self.runner_up.light()
        return replace(self, chosen=self.chosen.light(), beside=beside, runner_up=other, estimator=None)


def decide(
    advisor: Any, problem: Problem, found: Extraction, layers: Sequence[ScoredLayer], score: str,
    trees: OfTrees | None = None,
) -> Decision:  # fmt: skip
    """Apply the rules that `TransferAdvisor` describes; `trees` is what `boosted` returned."""
    size, reasons = _size(advisor, problem)
    networks = [one for one in layers if one.part.is_pretrained]
    names = dict.fromkeys(one.part.backbone for one in networks)
    likeness = {name: similarity(layers, score, problem.number, found, name) for name in names}
    alike = None
    if networks:
        best = max(networks, key=lambda one: one.scores[score])
        alike = likeness[best.part.backbone]
    is_similar = alike is None or alike.value >= advisor.similar_from
    quadrant = None
    if alike is not None:
        quadrant = f"{LARGE if size == LARGE else SMALL}, {'similar' if is_similar else 'unlike'}"
        said = "like" if is_similar else "unlike"
        reasons.append(
            f"The rows are {said} what {best.part.backbone} was trained on: similarity {alike.value:.2f}, where "
            f"{advisor.similar_from:g} divides."
        )
        reasons += in_words(alike)
    among = networks or list(layers)
    known = {name: one.value for name, one in likeness.items() if one is not None}
    has_pairs = problem.is_pictures and not problem.n_unlabelled and size != FEW
    chosen, beside = most_promising(among, score, known, float(np.median(problem.sizes)), has_pairs=has_pairs)
    chosen = chosen or max(among, key=lambda one: one.scores[score])
    others = [one for one in layers if one is not chosen]
    runner_up = max(others, key=lambda one: one.scores[score], default=None)
    ahead = None if runner_up is None else lead(chosen, runner_up, score)
    between = shifts(problem, found, chosen.part, advisor.random_state)
    strategy = _strategy(problem, layers, chosen, score, size, is_similar, between, trees, reasons)
    if strategy == "linear" and problem.kind == ROWS and chosen.part.item is None and suits_forest(problem.X):
        strategy = "linear and forest"
        reasons.append(FOREST)
    if strategy in ("codes", "linear") and _looks_at_letters(advisor, problem, chosen.part):
        reasons.append(LETTERS)
    second = beside if strategy in ("codes", "earlier codes") else None
    if second is not None:
        alikeness = known.get(chosen.part.backbone, UNDECIDED)
        gained, _ = SHIPPED.gain((chosen, second), alikeness, float(np.median(problem.sizes)))
        reasons.append(of_two_layers(chosen.part.layer, second.part.layer, gained))
    if problem.is_pictures and size == SMALL and strategy in ("codes", "earlier codes"):
        reasons += of_training(None if alike is None else alike.value)
    estimator = _estimator(advisor, problem, chosen.part, strategy, size, None if second is None else second.part)
    return Decision(size, alike, quadrant, strategy, chosen, beside, runner_up, ahead, between, estimator, reasons)


def _size(advisor: Any, problem: Problem) -> tuple[str, list[str]]:
    n, a_class = problem.n_labelled, float(np.median(problem.sizes))
    if a_class < advisor.few_below:
        return FEW, [f"Few: {a_class:g} labelled rows a class (median), fewer than {advisor.few_below}."]
    if n < advisor.large_from:
        return SMALL, [f"Small: {n} labelled rows, fewer than {advisor.large_from}."]
    return LARGE, [f"Large: {n} labelled rows, {advisor.large_from} or more."]


def _strategy(
    problem: Problem, layers: Sequence[ScoredLayer], chosen: ScoredLayer, score: str, size: str, is_similar: bool,
    between: list[Shift], trees: OfTrees | None, reasons: list[str],
) -> str:  # fmt: skip
    if problem.n_unlabelled and between:
        shift = between[0]
        if shift.is_shift:
            reasons.append(
                f"Unlabelled rows differ from labelled ones: proxy A-distance {shift.proxy_a:.2f} of 2, p = "
                f"{shift.pvalue:.3f}. A classifier of the labelled rows has to be carried over."
            )
            if chosen.part.n_components is None:
                return "adapt"
            reasons.append(
                "Sparse codes, such as counts of words, are not adapted: aligned columns told classes of other domains "
                "no better than those as they are. Give a TextCodesTransformer, whose codes can be."
            )
        else:
            reasons.append(
                f"Unlabelled rows are like labelled ones (p = {shift.pvalue:.2f}): there is nothing to adapt, and they "
                "are left out."
            )
    elif between:
        apart = [shift for shift in between if shift.is_shift]
        if apart:
            names = ", ".join(f"{shift.target} (proxy A-distance {shift.proxy_a:.2f})" for shift in apart)
            reasons.append(
                f"Domains differ: {names}. All have labels, so train on all; score by LeaveOneDomainOut, for a new "
                "domain is harder than these accuracies say."
            )
    if size == FEW:
        return "prototypes"
    if not problem.is_pictures:
        return _for_rows(chosen, size, n_neighbours(problem.number), trees, reasons)
    if size == SMALL:
        return "codes" if chosen.part.layer == PENULTIMATE else "earlier codes"
    accuracy = chosen.scores.get(score, 0.0)
    if score in chosen.right and accuracy >= GOOD_ENOUGH:
        reasons.append(
            f"Codes of the network as it is reach {100 * accuracy:.1f} %: training it could win "
            f"{100 * (1 - accuracy):.1f} points at most."
        )
        return "codes" if chosen.part.layer == PENULTIMATE else "earlier codes"
    if is_similar:
        return "fine-tune"
    pixels = next((one for one in layers if one.part.layer == PIXELS), None)
    if pixels is not None and pixels.scores[score] >= chosen.scores[score]:
        reasons.append(
            "Plain pixels do as well as the network's codes: what it learned is of no use here, and there are rows "
            "enough to learn from nothing."
        )
        return "scratch"
    return "fine-tune all"


def _for_rows(
    chosen: ScoredLayer, size: str, k: int, trees: OfTrees | None, reasons: list[str]
) -> str:  # fmt: skip
    if not chosen.part.is_pretrained:
        reasons.append("Rows of features come without a pretrained network: there is nothing to transfer from.")
    if chosen.part.is_pretrained or "linear" not in chosen.right:
        return "codes" if chosen.part.is_pretrained else "linear"
    gains = {}
    if "knn" in chosen.right:
        gains["neighbours"] = chosen.right["knn"].astype(float) - chosen.right["linear"]
        if gains["neighbours"].mean() <= (SURE if k > 1 else 1) * standard_error(gains["neighbours"]):
            del gains["neighbours"]
    if trees is not None:
        rows, right, of_mean = trees
        gains["boosted trees"] = right.astype(float) - chosen.right["linear"][rows]
    best = max(gains, key=lambda name: gains[name].mean(), default=None)
    if best is None or gains[best].mean() <= standard_error(gains[best]):
        return "linear"
    if trees is not None and of_mean is not None:  # the linear classifier's mean with a forest takes its place
        over = (right if best == "boosted trees" else chosen.right["knn"][rows]).astype(float) - of_mean
        if over.mean() <= standard_error(over):
            return "linear"
    ahead = f"{NAMED[best]} are {100 * gains[best].mean():.1f} points ahead of a linear classifier"
    if best == "neighbours" and k == 1 and size != LARGE:
        reasons.append(f"{ahead}. One neighbour is no sure answer: the mean of a few rows is a better one.")
        return "prototypes"
    reasons.append(f"{ahead}: classes are not divided by planes.")
    return "scratch" if best == "neighbours" and size == LARGE else best


def _estimator(
    advisor: Any, problem: Problem, part: LayerCodes, strategy: str, size: str, beside: LayerCodes | None
) -> Any:
    """Return the unfitted estimator of a strategy; rows without a label never reach a classifier as a class."""
    if beside is not None:
        layers, columns = in_one_pass((part, beside))
        heads = (make_pipeline(picked(own), Normalizer(), LogisticRegressionLOO()) for own in columns)
        members = dict(zip((part.layer, beside.layer), heads))
        return make_pipeline(transformer_of(advisor, part.item, layers), vote(members))
    pictures = _picture_options(advisor, part.item) if problem.is_pictures else {}
    network: dict[str, Any] = {} if part.item is None or not problem.is_pictures else {"backbone": _backbone(part.item)}
    if strategy == "adapt" and size == LARGE and (problem.is_pictures or not part.is_pretrained):
        return DomainAdaptedClassifier(**network, **pictures, **_mark(advisor))
    if strategy in ("fine-tune", "fine-tune all", "scratch"):
        how: dict[str, Any] = {} if strategy == "fine-tune" else {"strategy": FINE_TUNING[strategy]}
        model: Any = FineTunedClassifier(**network, **how, **pictures)
        return LabelledOnly(model, **_mark(advisor)) if problem.n_unlabelled else model
    if strategy == "linear and forest":
        model = linear_and_forest(part.codes, len(problem.classes), advisor.device, advisor.random_state)
        return LabelledOnly(model, **_mark(advisor)) if problem.n_unlabelled else model
    if strategy == "linear" and part.item is None and chooses_scale(part.codes, len(problem.classes)):
        model = linear_classifier(part.codes, len(problem.classes), advisor.device)
        return LabelledOnly(model, **_mark(advisor)) if problem.n_unlabelled else model
    before = _codes_steps(advisor, problem, part, strategy)
    if part.n_components is not None and strategy == "prototypes":  # which take no sparse rows
        before.insert(1, TruncatedSVD(part.n_components, random_state=advisor.random_state))
    if problem.is_pictures and strategy in ("codes", "earlier codes") and not problem.n_unlabelled:
        return make_codes_classifier(before[0])
    if strategy == "prototypes":
        classifier: Any = ProtoNetClassifier()
    elif strategy == "neighbours":
        classifier = KNeighborsClassifier()
    elif strategy == "boosted trees":
        classifier, before = HistGradientBoostingClassifier(random_state=advisor.random_state), []
    else:
        sparse_too = LogisticRegression(C=10.0 if part.is_pretrained else 1.0, max_iter=1000)
        classifier = LogisticRegressionLOO() if problem.is_pictures else sparse_too
    if strategy == "adapt":
        before.append(DomainStandardizer(**_mark(advisor)))
        if min(problem.n_labelled, problem.n_unlabelled) > part.codes.shape[1]:  # rows enough for a covariance
            before.append(CORALAligner(**_mark(advisor)))
    if problem.n_unlabelled:
        classifier = LabelledOnly(classifier, **_mark(advisor))
    return make_pipeline(*before, classifier)


def _looks_at_letters(advisor: Any, problem: Problem, part: Any) -> bool:
    """Whether the words are those of "auto" or "installed", beside which pairs and letters are taken."""
    is_own = isinstance(advisor.backbones, str) and isinstance(part.item, TfidfVectorizer)
    return problem.kind == TEXT and is_own and are_short(problem.X)


def _codes_steps(advisor: Any, problem: Problem, part: Any, strategy: str) -> list:
    if part.item is None:
        return [StandardScaler()]
    if not problem.is_pictures:
        has_letters = _looks_at_letters(advisor, problem, part) and strategy in ("codes", "linear")
        return [words_and_letters() if has_letters else clone(part.item), Normalizer()]
    layers = {} if part.layer == PENULTIMATE else {"layers": ALL if part.layer == ALL else part.layer}
    transformer = transformer_of(advisor, part.item, layers.get("layers", PENULTIMATE))
    return [transformer, Normalizer()]


def _backbone(item: Any) -> Any:
    return item.backbone if isinstance(item, CNNCodesTransformer) else item


def _picture_options(advisor: Any, item: Any) -> dict[str, Any]:
    from_item = item if isinstance(item, CNNCodesTransformer) else advisor
    options = {name: getattr(from_item, name) for name in ("image_shape", "value_range", "image_size")}
    return {name: value for name, value in options.items() if value is not None}


def _mark(advisor: Any) -> dict[str, Any]:
    is_default = isinstance(advisor.unlabelled, int) and advisor.unlabelled == -1
    return {} if is_default else {"unlabelled": advisor.unlabelled}


def advice_in_words(decision: Decision) -> str:
    """Return the advice in one sentence."""
    part = decision.chosen.part
    on_codes = decision.strategy in ("codes", "earlier codes", "prototypes", "adapt") and part.layer != CODES
    layers = f"layer {part.layer}"
    if decision.second is not None:
        layers = f"the mean of layers {part.layer} and {decision.second.part.layer}"
    where = (f" ({part.backbone}, {layers})" if on_codes else f" ({part.backbone})") * part.is_pretrained
    return f"{decision.strategy}: {STRATEGIES[decision.strategy]}{where}."
