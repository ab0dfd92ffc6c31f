"""What a search tries, and its shallow models: on codes, rows or texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.naive_bayes import ComplementNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils._param_validation import Interval

from sktl._documented import Documented
from sktl._inputs import ROWS
from sktl.advisor._codes import PENULTIMATE, LayerCodes
from sktl.advisor._linear_models import (
    LINEAR_AND_FOREST,
    MOST_FOREST_ROWS,
    has_many_columns,
    linear_and_forest,
    linear_classifier,
    suits_forest,
)
from sktl.advisor._material import MOST_CLASSES_SOLVED, Material, assembled, scaled
from sktl.advisor._problem import TEXT
from sktl.advisor._text_models import are_short, letters, pairs_of_words, words, words_and_letters
from sktl.advisor._two_layers import mean_of_two, side_by_side
from sktl.features import LogisticRegressionLOO
from sktl.fewshot import ProtoNetClassifier

SIMPLE, SHALLOW, TRAINED = 0, 1, 2  # tiers: each has to be ahead of the ones before by more than noise
ALPHAS = np.logspace(-3, 3, 13)
INNER_FOLDS = 3
MOST_KERNEL_ROWS = 3000
EPOCHS = (10, 6, 3)  # of a training, the first that the time allows
LOGISTIC = "logistic regression"
WORDS_AND_LETTERS = "logistic regression on words and letters"
USUAL_SIZE = 224  # pixels
SLOWER = 2.0  # a pass in training, beside one that computes codes alone


@dataclass(frozen=True)
class View:
    """How large a training sees its pictures, and what that costs.

    Attributes
    ----------
    passes : (float, float)
        Passes of the network a row that a fit takes, at this size: once, and an epoch.
    side : int or None
        In pixels; None is the estimator's own size.
    changes : dict
        Settings of the estimator.
    said : str
        In the candidate's name.
    """

    passes: tuple[float, float]
    side: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""

    def seconds(self, material: Material, n_rows: int, epochs: int) -> float | None:
        """Return what a fit is expected to take, or None where nobody knows."""
        if material.seconds_a_picture is None:
            return None
        area = ((self.side or USUAL_SIZE) / USUAL_SIZE) ** 2
        return SLOWER * area * material.seconds_a_picture * n_rows * (self.passes[0] + epochs * self.passes[1])


@dataclass
class Candidate:
    """Something to try.

    Attributes
    ----------
    name : str
        In the leaderboard.
    strategy : str
        What kind of transfer it is.
    tier : int
        `SIMPLE`, `SHALLOW` or `TRAINED`.
    estimator : estimator
        Unfitted; on codes a head.
    part : LayerCodes or None
        The codes that it is fitted to; None for rows as they came.
    views : tuple of View
        Sizes at which a network may be trained on pictures, of which the first is taken that time allows.
    takes_marks : bool
        Whether it learns from unlabelled rows too.
    is_given : bool
        Whether it is the user's, whose labels and probabilities may not agree.
    """

    name: str
    strategy: str
    tier: int
    estimator: Any
    part: LayerCodes | None = None
    views: tuple[View, ...] = ()
    takes_marks: bool = False
    is_given: bool = False

    def seconds(self, material: Material, n_rows: int, epochs: int) -> float | None:
        """Return what a fit is expected to take at the first size, or None where nobody knows."""
        return self.views[0].seconds(material, n_rows, epochs) if self.views else None

    def take(self, view: View, epochs: int) -> None:
        """Leave one size, and so many epochs."""
        changes = dict(view.changes)
        said = view.said
        if epochs != EPOCHS[0]:
            changes["max_epochs"] = epochs
            said += f", {epochs} epochs"
        self.views, self.name = (view,), self.name + said
        if changes:
            self.estimator = clone(self.estimator).set_params(**changes)

    def whole(self, owner: Any, head: Any, X: Any) -> Any:
        """Return what predicts rows as they come, of a head fitted on codes."""
        return head if self.part is None else assembled(owner, self.part, head, X)


class CandidateFamily(Documented, BaseEstimator, ABC):
    """Abstract: what `AutoTransferClassifier` and `AutoTransferRegressor` try of one kind.

    A subclass with a class attribute `name` is found by it: ``candidates=["codes", "mine"]``.
    """

    @abstractmethod
    def _candidates(self, owner: Any, material: Material) -> Sequence[Candidate | tuple[str, Any]]:
        """Return candidates, or pairs (name, estimator), in the order in which they should be tried."""


class CodesCandidates(CandidateFamily):
    """Shallow models: on a fixed network's codes of several layers, on feature rows, or on texts.

    For pictures: logistic regression on the layer that the rules of `TransferAdvisor` expect most of, then logistic
    regression on other layers, those that leave-one-out ranks highest and the last one, and support vector machines,
    nearest neighbours and prototypes on the first. Codes are computed once for all. For feature rows: the mean of
    logistic regression on standardised columns and a random forest (up to 10,000 rows), each alone, boosted trees, and
    the others. Few rows with 64 columns or more may be codes: logistic regression comes first there, and chooses their
    scale. For texts: logistic regression on tf-idf of words, pairs of
    words and letters together, where all texts have up to five million characters; then other linear models on one of
    these.

    Parameters
    ----------
    n_layers : int, default=3
        Layers tried beside the first one. Start with the default.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl.advisor import AutoTransferClassifier, CodesCandidates
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> model = AutoTransferClassifier([CodesCandidates(n_layers=1)], n_candidates=2).fit(X, X[:, 0] > 0)
    >>> model.best_candidate_
    'logistic regression and random forest'
    """

    _parameter_constraints: ClassVar[dict] = {"n_layers": [Interval(Integral, 0, None, closed="left")]}

    def __init__(self, n_layers: int = 3):
        self.n_layers = n_layers

    def _candidates(self, owner: Any, material: Material) -> list[Candidate]:
        self._validate_params()
        is_values = not len(material.problem.classes)
        if material.layers and material.problem.is_pictures:
            return self._on_layers(owner, material, is_values)
        if material.problem.kind not in (TEXT, ROWS):
            return []
        plain = _on_text(material, is_values) if material.problem.kind == TEXT else _on_rows(owner, material, is_values)
        return plain + _on_given(owner, material, is_values)

    def _on_layers(self, owner: Any, material: Material, is_values: bool) -> list[Candidate]:
        last = next((part for part in material.layers if part.layer == PENULTIMATE), material.layers[0])
        usual, beside = material.advised()
        usual = usual or last
        others = [part for part in material.layers if part is not usual][: int(self.n_layers)]
        if last is not usual and others and not any(part is last for part in others):
            others[-1] = last
        heads = _heads(owner, material, is_values)
        first = next(iter(heads))
        order = (
            [(first, usual)] + [(first, part) for part in others] + [(name, usual) for name in heads if name != first]
        )
        order += [(name, part) for part in others[:1] for name in heads if name != first]
        several = len({part.backbone for part in material.layers}) > 1
        found: list[Candidate] = []

        def add(name: str, head: Any, part: LayerCodes) -> None:
            where = f"{part.backbone} {part.layer}" if several else part.layer
            strategy = "codes" if part.layer == PENULTIMATE else "earlier codes"
            tier = SHALLOW if found else SIMPLE
            found.append(Candidate(f"{name} on {where}", strategy, tier, head, part))

        if beside is not None and first == LOGISTIC:
            both = side_by_side(usual, beside)
            add(first, mean_of_two(heads[first], both), both)
        for name, part in order:
            add(name, heads[name], part)
        return found


def _calibrated(model: Any) -> Any:
    return CalibratedClassifierCV(model, cv=INNER_FOLDS, ensemble=False)


def _kernel_ridge(gamma: float | None) -> Any:
    """Return ridge regression with a Gaussian kernel, on values of mean 0 and variance 1."""
    kernel = KernelRidge(alpha=0.1, kernel="rbf", gamma=gamma)
    return TransformedTargetRegressor(kernel, transformer=StandardScaler(), check_inverse=False)


def _smallest(material: Material) -> int:
    return int(material.problem.sizes.min())


def _heads(owner: Any, material: Material, is_values: bool) -> dict[str, Any]:
    """Return heads on rows of unit length, the usual one first."""
    if is_values:
        found: dict[str, Any] = {"ridge": RidgeCV(ALPHAS)}
        found |= {"kernel ridge": _kernel_ridge(1.0)} if material.n <= MOST_KERNEL_ROWS else {}
        return {**found, "k-NN": KNeighborsRegressor(min(5, material.n - 1))}
    few = {"prototypes": ProtoNetClassifier(), "k-NN": KNeighborsClassifier(_neighbours(material))}
    if len(material.problem.classes) > MOST_CLASSES_SOLVED:
        return few
    found = {LOGISTIC: LogisticRegressionLOO()}
    if _smallest(material) >= 2 * INNER_FOLDS:
        found["SVM"] = _calibrated(LinearSVC(C=1.0, random_state=owner.random_state))
    return {**found, **few}


def _neighbours(material: Material) -> int:
    return 5 if np.median(material.problem.sizes) > 7 else 1


def _on_rows(owner: Any, material: Material, is_values: bool) -> list[Candidate]:
    seed = owner.random_state
    models: dict[str, Any]
    if is_values:
        models = {"ridge": scaled(RidgeCV(ALPHAS)), "boosted trees": HistGradientBoostingRegressor(random_state=seed)}
        if suits_forest(material.X):
            models["random forest"] = RandomForestRegressor(random_state=seed)
        if material.n <= MOST_KERNEL_ROWS:
            models["kernel ridge"] = scaled(_kernel_ridge(None))
        models["k-NN"] = scaled(KNeighborsRegressor(max(1, min(5, material.n // 2))))
    else:
        few = {
            "prototypes": scaled(ProtoNetClassifier()), "k-NN": scaled(KNeighborsClassifier(_neighbours(material))),
        }  # fmt: skip
        if len(material.problem.classes) > MOST_CLASSES_SOLVED:
            models = few
        else:
            of_rows = material.X, len(material.problem.classes), owner.device
            models = {LINEAR_AND_FOREST: linear_and_forest(*of_rows, seed)} if suits_forest(material.X) else {}
            models[LOGISTIC] = linear_classifier(*of_rows)
            if material.n >= 50:
                models["boosted trees"] = HistGradientBoostingClassifier(random_state=seed)
                if material.n <= MOST_FOREST_ROWS:
                    models["random forest"] = RandomForestClassifier(random_state=seed)
            if material.n <= MOST_KERNEL_ROWS and _smallest(material) >= 2 * INNER_FOLDS:
                models["SVM"] = scaled(_calibrated(SVC(random_state=seed)))
            models |= few
            if has_many_columns(material.X):  # of which trees take long to make much
                models |= {name: models.pop(name) for name in ("boosted trees", "random forest") if name in models}
    return _shallow(models, "linear")


def _on_text(material: Material, is_values: bool) -> list[Candidate]:
    logistic = LogisticRegression(C=10.0, max_iter=1000)
    if is_values:
        models = {"ridge": (words(), RidgeCV(ALPHAS)), "ridge on letters": (letters(), RidgeCV(ALPHAS))}
    elif len(material.problem.classes) > MOST_CLASSES_SOLVED:
        models = {"k-NN": (words(), KNeighborsClassifier(_neighbours(material)))}
    else:
        models = {"logistic regression": (words(), logistic)}
        if _smallest(material) >= 2 * INNER_FOLDS:
            models["SVM on pairs of words"] = (pairs_of_words(), _calibrated(LinearSVC(random_state=0)))
        models["naive Bayes"] = (words(), ComplementNB(alpha=0.3))
        models["logistic regression on letters"] = (letters(), logistic)
        if are_short(material.X):
            models = {WORDS_AND_LETTERS: (words_and_letters(), logistic), **models}
    return _shallow(
        {name: make_pipeline(features, clone(model)) for name, (features, model) in models.items()}, "linear"
    )


def _on_given(owner: Any, material: Material, is_values: bool) -> list[Candidate]:
    """Return linear models on what the user's own transformers make of rows or texts."""
    if isinstance(owner.backbones, str) or len(material.problem.classes) > MOST_CLASSES_SOLVED:
        return []
    model, said = (RidgeCV(ALPHAS), "ridge") if is_values else (LogisticRegression(C=10.0, max_iter=1000), "logistic")
    return [
        Candidate(f"{said} on {part.backbone}", "codes", SHALLOW, make_pipeline(clone(part.item), Normalizer(), model))
        for part in material.layers
    ]


def _shallow(models: dict[str, Any], strategy: str) -> list[Candidate]:
    return [
        Candidate(name, strategy if not i else name, SHALLOW if i else SIMPLE, model)
        for i, (name, model) in enumerate(models.items())
    ]
