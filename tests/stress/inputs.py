"""Odd rows, labels, weights, domains and settings, given to every estimator, scorer and splitter.

What means the same as a plain array has to give the same answer; anything else a finite answer of the right length, or
a ValueError or TypeError.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import _num_samples
from torch import nn

import sktl
from sktl import adaptation, fewshot, metrics, model_selection
from sktl.fewshot import transductive
from tests.stress import _odd
from tests.stress._result import Result

N_ROWS, N_COLUMNS = 24, 4
_RNG = np.random.default_rng(0)
# Multiples of 1/8 below 8, which bfloat16 and float16 hold; the third class is far away, so that all are learned.
LABELS = np.tile([0, 1, 2], N_ROWS // 3)
ROWS = np.round(8 * (_RNG.normal(size=(N_ROWS, N_COLUMNS)).clip(-3, 3) + LABELS[:, None])) / 8
VALUES = np.round(8 * ROWS[:, 0]) / 8
WEIGHTS = np.tile([1.0, 2.0, 0.5, 0.0], N_ROWS // 4)
DOMAINS = np.arange(N_ROWS) // (N_ROWS // 3)
MARKED = np.where(DOMAINS < 2, LABELS, -1)
EPISODES = {"n_way": 2, "n_shot": 1, "n_query": 2}
PARAMETERS: dict[str, list[Any]] = {
    "device": ["xpu", "meta", "", "cpu:7", "cuda:99", "tpu", torch.device("meta"), None, 3],
    "cache": ["", 3, "\0", b"memory"],
    "checkpoint_dir": ["", "\0", 3],
    "random_state": [-1, 2**70, "a", 0.5],
    "image_size": [0, -1, (0, 4), (4,), "4", np.nan],
    "image_shape": [(0, 4), (3, 3), "22", (2, 2, 2, 2), 4],
}

Call = Callable[..., Any]


@dataclass(frozen=True)
class Role:
    """Something that is given rows, labels and more: `call` returns numbers, a row for each row of X (or any)."""

    call: Call
    given: dict[str, Any]
    has_rows: bool = True
    estimator: Any = None  # whose parameters may be odd too
    plain: list[np.ndarray] = field(default_factory=list)

    def expected(self) -> np.ndarray:
        """Return the answer to plain arrays."""
        if not self.plain:
            self.plain.append(np.asarray(self.call(**self.given)))
        return self.plain[0]


def _fitted(estimator: Any, answer: str, *, is_partial: bool = False) -> Call:
    def call(X: Any, y: Any, X_new: Any = None, estimator: Any = estimator, **more: Any) -> Any:
        model = clone(estimator)
        model = model.partial_fit(X, y, **more) if is_partial else model.fit(X, y, **more)
        return getattr(model, answer)(X_new)

    return call


def _role(estimator: Any, *, y: np.ndarray = LABELS, is_partial: bool = False, **more: Any) -> Role:
    answer = next(name for name in ("predict_proba", "predict", "transform") if hasattr(estimator, name))
    call = _fitted(estimator, answer, is_partial=is_partial)
    return Role(call, {"X": ROWS, "y": y, "X_new": ROWS, **more}, estimator=estimator)


def _learner(estimator: Any, *, y: np.ndarray = LABELS, **more: Any) -> Role:
    def call(
        X: Any, y: Any, X_support: Any, y_support: Any, X_new: Any, estimator: Any = estimator, **more: Any
    ) -> Any:
        learner = clone(estimator).fit(X, y, **more)
        return learner.logits(learner.adapt_to(X_support, y_support), X_new)

    given = {"X": ROWS, "y": y, "X_support": ROWS, "y_support": y, "X_new": ROWS, **more}
    return Role(call, given, estimator=estimator)


def _scored(scorer: Any, model: Any) -> Role:
    return Role(lambda X, y: scorer(model, X, y), {"X": ROWS, "y": MARKED}, has_rows=False)


def _split(splitter: Any, **given: Any) -> Role:
    def call(X: Any, y: Any = None, groups: Any = None) -> Any:
        return np.concatenate([np.concatenate(parts) for parts in splitter.split(X, y, groups)])

    return Role(call, {"X": ROWS, **given}, has_rows=False)


def _episode_scores(estimator: Any, y: np.ndarray, **more: Any) -> Role:
    def call(X: Any, y: Any, **more: Any) -> Any:
        scores = model_selection.episode_scores(estimator, X, y, n_episodes=2, **EPISODES, **more)
        return scores.scores

    return Role(call, {"X": ROWS, "y": y, **more}, has_rows=False)


def _transduced() -> Role:
    sampler = fewshot.EpisodeSampler(LABELS, n_way=2, n_shot=1, n_query=2)
    episodes = sampler.draw(2)
    return Role(lambda X: transductive.TIM().episode_logits(X, episodes), {"X": ROWS}, has_rows=False)


def _stacked(Xs: Any, ys: Any, Xt: Any) -> Any:
    X, y, domain = adaptation.stack_domains(Xs, ys, Xt)
    model = sktl.DomainAdaptedClassifier(max_epochs=1, steps_per_epoch=1, random_state=0)
    return model.fit(X, y, sample_domain=domain).predict_proba(ROWS)


def _adapted_more(source: Any) -> Call:
    return lambda X, X_new: adaptation.TestTimeAdaptedClassifier(source).adapt(X).predict_proba(X_new)


def _by_domain(source: Any) -> Call:
    def call(X: Any, sample_domain: Any, X_new: Any, domain_new: Any) -> Any:
        model = adaptation.GradualAdaptedClassifier(source, n_steps=1).fit(X, sample_domain=sample_domain)
        return model.predict_proba(X_new, sample_domain=domain_new)

    return call


def roles() -> dict[str, Role]:
    """Return all that is attacked, with plain arguments, by name."""
    with torch.random.fork_rng(devices=[]):
        picture_network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    light = {"n_episodes": 2, "meta_batch_size": 2, "random_state": 0, **EPISODES, "n_way": 3}
    domain_adapted = sktl.DomainAdaptedClassifier(max_epochs=1, steps_per_epoch=1, random_state=0)
    source = FrozenEstimator(clone(domain_adapted).set_params(loss=None).fit(ROWS, LABELS))
    linear = FrozenEstimator(LogisticRegression().fit(ROWS, LABELS))
    adapted = clone(domain_adapted).fit(ROWS, MARKED)
    learner = fewshot.ProtoNetLearner(**light).fit(ROWS, LABELS)
    found = {
        "CNNCodes": _role(sktl.CNNCodesTransformer(picture_network, image_shape=(2, 2), image_size=8)),
        "FineTunedClassifier": _role(sktl.FineTunedClassifier(max_steps=2, random_state=0), sample_weight=WEIGHTS),
        "FineTunedClassifier, head": _role(sktl.FineTunedClassifier(strategy="head"), sample_weight=WEIGHTS),
        "FineTunedClassifier, balanced": _role(
            sktl.FineTunedClassifier(strategy="head", class_weight="balanced"), sample_weight=WEIGHTS
        ),
        "FineTunedClassifier, in parts": _role(
            sktl.FineTunedClassifier(random_state=0), is_partial=True, sample_weight=WEIGHTS
        ),
        "FineTunedRegressor": _role(
            sktl.FineTunedRegressor(max_steps=2, random_state=0), y=VALUES, sample_weight=WEIGHTS
        ),
        "FineTunedRegressor, head": _role(sktl.FineTunedRegressor(strategy="head"), y=VALUES, sample_weight=WEIGHTS),
        "DomainAdapted": _role(domain_adapted, y=MARKED, sample_domain=DOMAINS, sample_weight=WEIGHTS),
        "DomainAdapted by the mark": _role(domain_adapted, y=MARKED),
        "SourceFree": _role(
            adaptation.SourceFreeAdaptedClassifier(source, max_epochs=1, steps_per_epoch=1, random_state=0), y=MARKED
        ),
        "TestTime": _role(adaptation.TestTimeAdaptedClassifier(source, random_state=0), y=MARKED),
        "TestTime, adapted": Role(_adapted_more(source), {"X": ROWS, "X_new": ROWS}),
        "Gradual": _role(adaptation.GradualAdaptedClassifier(linear, n_steps=1), y=MARKED, sample_domain=DOMAINS),
        "Gradual from labels": _role(
            adaptation.GradualAdaptedClassifier(LogisticRegression(), n_steps=1), y=MARKED, sample_domain=DOMAINS
        ),
        "Gradual by domain": Role(
            _by_domain(linear), {"X": ROWS, "sample_domain": DOMAINS, "X_new": ROWS, "domain_new": DOMAINS}
        ),
        "ProtoNet": _role(sktl.ProtoNetClassifier()),
        "ProtoNet in parts": _role(sktl.ProtoNetClassifier(distance="cosine"), is_partial=True),
        "ProtoNet, TIM": _role(sktl.ProtoNetClassifier(transductive="tim")),
        "FewShotRegressor": _role(fewshot.FewShotRegressor(), y=VALUES),
        "FewShotClassifier, learner": _role(fewshot.FewShotClassifier(FrozenEstimator(learner))),
        "stack_domains": Role(_stacked, {"Xs": ROWS[:16], "ys": LABELS[:16], "Xt": ROWS[16:]}, has_rows=False),
        "StratifiedDomainKFold": _split(model_selection.StratifiedDomainKFold(2), y=MARKED, groups=DOMAINS),
        "SourceTargetShuffleSplit": _split(model_selection.SourceTargetShuffleSplit(2), y=MARKED, groups=DOMAINS),
        "LeaveOneDomainOut": _split(model_selection.LeaveOneDomainOut(), y=LABELS, groups=DOMAINS),
        "TimeDomainSplit": _split(model_selection.TimeDomainSplit(1), y=LABELS, groups=DOMAINS),
        "EpisodeSplit": _split(model_selection.EpisodeSplit(n_episodes=2, **EPISODES), y=LABELS),
        "EpisodeSplit in groups": _split(model_selection.EpisodeSplit(2, 1, 1, n_episodes=2), y=LABELS, groups=DOMAINS),
        "episode_scores": _episode_scores(learner, LABELS),
        "episode_scores, fitted": _episode_scores(sktl.ProtoNetClassifier(), LABELS),
        "episode_scores, regression": _episode_scores(fewshot.FewShotRegressor(), VALUES, groups=DOMAINS),
        "transductive": _transduced(),
    }
    for head in fewshot.heads.HEADS:
        found[f"FewShotClassifier, {head}"] = _role(fewshot.FewShotClassifier(head))
    for name in fewshot.__all__:
        if name.endswith("Learner"):
            found[name] = _learner(getattr(fewshot, name)(**light))
    found["MAMLLearner, regression"] = _learner(fewshot.MAMLLearner(**light), y=VALUES, groups=DOMAINS)
    for name in metrics.DOMAIN_SCORERS:
        found[f"scorer {name}"] = _scored(metrics.get_domain_scorer(name), adapted)
    oracle = metrics.CheatingOracleScorer()
    found["scorer of truth"] = Role(
        lambda X, y, true_labels: oracle(adapted, X, y, true_labels=true_labels),
        {"X": ROWS, "y": MARKED, "true_labels": LABELS}, has_rows=False,
    )  # fmt: skip
    return found


def run(count: int, seed: int) -> Result:
    """Try `count` odd inputs."""
    rng = np.random.default_rng(seed)
    result = Result("odd inputs")
    attacked = roles()
    names = list(attacked)
    for case in range(count):
        name = names[case % len(names)]
        result.count(_violation(attacked[name], rng, f"seed {seed}, case {case}, {name}"))
    return result


def _violation(role: Role, rng: np.random.Generator, where: str) -> str | None:
    given, is_same = dict(role.given), True
    if role.estimator is not None and rng.random() < 0.05:
        names = sorted(set(PARAMETERS) & set(role.estimator.get_params(deep=False)))
        if names:
            name = rng.choice(names)
            value = PARAMETERS[name][rng.integers(len(PARAMETERS[name]))]
            given["estimator"] = clone(role.estimator).set_params(**{name: value})
            return _outcome(role, given, f"{where}, {name}={value!r}", is_same=False, dispatch=False)
    for name in rng.permutation(list(role.given))[: rng.integers(1, 3)]:
        forms, same = _forms(role.given[name], name)
        form = rng.choice(list(forms))
        given[name] = forms[form](role.given[name])
        is_same &= form in same
        where += f", {name}: {form}"
    return _outcome(role, given, where, is_same=is_same, dispatch=bool(rng.random() < 0.3))


def _forms(plain: np.ndarray, name: str) -> tuple[dict[str, Any], set[str]]:
    """Return the odd forms of an argument, and the names of those that mean the same as the plain one."""
    if plain.ndim == 2:
        same, bad = {**_odd.SAME, **_odd.SAME_ROWS}, {**_odd.BAD, **_odd.BAD_ROWS}
    else:
        same, bad = {**_odd.SAME, **_odd.SAME_COLUMN}, {**_odd.BAD, **_odd.BAD_COLUMN}
    own = _odd.SAME_LABELS if name in ("y", "y_support") and plain is LABELS else {}
    if name in ("y", "y_support", "true_labels") and plain is not LABELS:
        bad |= _odd.SAME_LABELS
    if name in ("y_support", "domain_new", "true_labels", "X_support"):  # of the kind that fit was given
        bad |= same
        same = {}
    if name == "sample_weight":  # which scikit-learn takes as one axis alone
        bad |= {form: same.pop(form) for form in ("column", "column tensor")}
    if name in ("sample_domain", "groups", "domain_new"):  # 0.0 is no name like 0 to all of them
        bad |= own
        own = {}
    return {**same, **own, **bad}, {*same, *own}


def _outcome(role: Role, given: dict[str, Any], where: str, *, is_same: bool, dispatch: bool) -> str | None:
    expected = role.expected()
    try:
        with warnings.catch_warnings(), sklearn.config_context(array_api_dispatch=dispatch):
            warnings.simplefilter("ignore")
            answer = role.call(**given)
    except (ValueError, TypeError) as error:
        return f"{where}: {type(error).__name__}: {error}" if is_same else None
    except Exception as error:
        return f"{where}: {type(error).__name__}: {error}"
    if not isinstance(answer, (np.ndarray, float)) or not np.isfinite(answer).all():
        return f"{where}: the answer is no finite array of NumPy's"
    if np.shape(answer) == (*np.shape(expected), 1):  # regressors answer to a column by a column, as scikit-learn's do
        answer = np.reshape(answer, np.shape(expected))
    if is_same and not (np.shape(answer) == expected.shape and np.allclose(answer, expected, rtol=1e-3, atol=1e-3)):
        return f"{where}: another answer than to plain arrays"
    if role.has_rows and len(answer) != _num_samples(given.get("X_new", expected)):
        return f"{where}: {len(answer)} answers"
    return None
