"""What advice loses to the best of all that was tried, beside controls that know other data sets only.

Nothing that is judged has seen its case: lists, models and priors come from the other families of data sets (all of
PACS and all alphabets are left out at once; each domain of the reviews by itself, for there is no other text).

- advice: what `TransferAdvisor` advises. Its prior of the layers is the library's code, fitted on the other families.
- advice, form from other data: which traits the prior knows (all three; not the size at which pictures are seen; none),
  and how much leave-one-out counts, is chosen by the other families too. The form that ships was chosen with all of
  them in sight.
- advice, one layer: the same without the mean of two classifiers.
- quadrants: prototypes below five rows a class; else the last layer where rows are like the source, and the layer that
  leave-one-out ranks first where they are not.
- static list: what is best on the others on average.
- trivial meta-features: ridge regression from the numbers of rows and classes, balance, size of the pictures and
  channels to what each candidate gains on the first one.
- probe: logistic regression on the layer that leave-one-out ranks first, without any rule.
- list and probe: the mean gain of each layer on the others, as a normal prior, times what leave-one-out measures here.

Regret is the mean over the draws of a case, measured in two ways. "Raw" is the distance from the best of all candidates
on the rows that are tested. That one is better there than it is, for it is the best of many. "Fair" is the distance
from what is best on one half of these rows, on the other half: the mean over random halves. A candidate counts over the
draws that have it, beside what was taken in the same draws. A case is "behind" where a candidate is more than a point
ahead of the advice beyond chance: a one-sided paired test of the rows at 5 %, over the number of candidates.

Tests pair data sets, each the mean of its sizes. Both regrets have the same differences between methods.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from sktl.advisor._candidates import WORDS_AND_LETTERS
from sktl.advisor._codes import ALL, EMBEDDED, PENULTIMATE, LayerCodes
from sktl.advisor._layer_prior import FAR, SHIPPED, LayerPrior, most_promising
from sktl.advisor._linear_models import LINEAR_AND_FOREST
from sktl.advisor._scoring import ScoredLayer

FIRST = {"pictures": "logistic regression on penultimate", "feature rows": "logistic regression",
         "text": "logistic regression"}  # fmt: skip
DEPTHS = {"blocks.0": 0.06, "blocks.1": 0.18, "blocks.2": 0.31, "blocks.4": 0.67, PENULTIMATE: 1.0, ALL: 1.0}
NETWORKS = ("lp-ft", "full", "last", "lora", "network from scratch")  # what is trained, and dear
RIDGE = 3.0  # of standardised traits
LEAST_SPREAD = 0.003  # of a prior, in accuracy
LEAST_LEFT = 0.03  # of a prior that knows traits
LEAST_WIDTH = 0.01  # of a trait
DRAWN = ("cases", "trainings", "tests")  # of each draw
FORMS = tuple((traits, inflation) for traits in (3, 2, 0) for inflation in (4.0, 2.0, 3.0, 6.0))
PAIRS = ((PENULTIMATE, ALL), (ALL, "blocks.4"), (PENULTIMATE, "blocks.4"))  # in the order of `LayerPrior`
HALVINGS = 200
AHEAD, SURE = 0.01, 0.05
Case = Mapping[str, Any]


def accuracy(case: Case, name: str) -> float:
    return float(np.mean(case["candidates"][name]["accuracy"]))


def gain(case: Case, name: str) -> float:
    return accuracy(case, name) - accuracy(case, FIRST[case["kind"]])


class Others(list):
    """Cases that may be learned from. Each object is a key of its own, so that what is made of it once is kept."""

    __hash__ = object.__hash__


def others(case: Case, cases: Sequence[Case]) -> Others:
    """Return the cases of the same kind that may be learned from."""
    return Others(one for one in cases if one["kind"] == case["kind"] and one["family"] != case["family"])


def weights(cases: Sequence[Case]) -> np.ndarray:
    """Return weights by which each family counts alike, within it each data set."""
    families = [one["family"] for one in cases]
    found = np.array([1 / sum(one["family"] == other for other in families) for one in cases])
    return found / found.sum()


def named(strategy: str, layer: str, case: Case, beside: str | None = None) -> str:
    """Return the candidate that advice means; where it was not fitted, the nearest that was."""
    if case["kind"] != "pictures":
        known = {"neighbours": "k-NN", "scratch": "network from scratch", "linear and forest": LINEAR_AND_FOREST}
        known |= {"codes": WORDS_AND_LETTERS} if case["kind"] == "text" else {}
        name = known.get(strategy, strategy)
        return name if name in case["candidates"] else "logistic regression"
    trained = {"fine-tune": "lp-ft", "fine-tune all": "full", "scratch": "full"}.get(strategy)
    if trained in case["candidates"]:
        return str(trained)
    if strategy == "prototypes":
        return f"prototypes on {layer}"
    pairs = [] if beside is None else [f"logistic regression on {both}" for both in joined(layer, beside)]
    return next((name for name in pairs if name in case["candidates"]), f"logistic regression on {layer}")


def joined(layer: str, other: str) -> tuple[str, str]:
    """Return how two layers are called together, in either order."""
    return f"{layer} and {other}", f"{other} and {layer}"


def rows_a_class(case: Case) -> float:
    return case["rows"] / 10 ** case["traits"]["log_classes"]


def quadrants(case: Case, rest: Others) -> str:
    if case["kind"] != "pictures":
        return advised(case, rest)
    linear = {layer: value for layer, value in case["advice"]["linear"].items() if layer in DEPTHS}
    layer = PENULTIMATE if case["advice"]["similarity"] >= 0.5 else max(linear, key=lambda one: linear[one])
    return f"{'prototypes' if rows_a_class(case) < 5 else 'logistic regression'} on {layer}"


@cache
def with_candidate(rest: Others, name: str) -> tuple[Others, np.ndarray, np.ndarray]:
    """Return the cases that have a candidate, their weights, and what it gains there."""
    found = Others(one for one in rest if name in one["candidates"])
    return found, weights(found), np.array([gain(one, name) for one in found])


def means(rest: Others, case: Case) -> dict[str, float]:
    """Return the mean gain of each candidate of the case on others, those that have it."""
    found = {}
    for name in case["candidates"]:
        with_it, share, gains = with_candidate(rest, name)
        if len(with_it) > len(rest) / 4:
            found[name] = float(share @ gains)
    return found


def static(case: Case, rest: Others) -> str:
    found = means(rest, case)
    return max(found, key=lambda name: found[name])


def traits_of(case: Case) -> list[float]:
    return [case["traits"][name] for name in sorted(case["traits"])]


@cache
def trait_line(rest: Others, name: str) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Return the ridge regression from trivial meta-features to what a candidate gains."""
    with_it, share, gains = with_candidate(rest, name)
    return fitted_line([traits_of(one) for one in with_it], list(gains), share)


def trivial(case: Case, rest: Others) -> str:
    """Return the candidate that ridge regression from trivial meta-features expects most of."""
    found = {name: value_of(trait_line(rest, name), traits_of(case)) for name in means(rest, case)}
    return max(found, key=lambda name: found[name])


def value_of(line: tuple[float, np.ndarray, np.ndarray, np.ndarray], row: list) -> float:
    mean, slope, centre, width = line
    return float(mean + np.clip((np.asarray(row, float) - centre) / width, -2, 2) @ slope)


def foretold(rows: list, values: list, share: np.ndarray, row: list) -> float:
    """Return the weighted ridge regression's value."""
    return value_of(fitted_line(rows, values, share), row)


def fitted_line(rows: list, values: list, share: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Return mean and slopes of a weighted ridge regression on standardised traits, and their centres and widths."""
    X, y = np.asarray(rows, float), np.asarray(values)
    centre, width = share @ X, np.sqrt(share @ (X - share @ X) ** 2)
    width[width < 1e-6] = np.inf
    X = (X - centre) / width
    inner = X.T * (share * len(X))
    slope = np.linalg.solve(inner @ X + RIDGE * np.eye(X.shape[1]), inner @ (y - share @ y))
    return float(share @ y), slope, centre, width


@cache
def layer_prior(rest: Others, n_traits: int = 3, inflation: float = SHIPPED.inflation) -> LayerPrior:
    """Return what layers, and pairs, gain on the last one over other cases, as the library keeps it.

    Slopes are of the first so many traits, and of the product of the first two where these are known.
    """
    share = weights(rest)
    traits = np.array([
        [one["advice"]["similarity"], np.log10(rows_a_class(one)), one["traits"]["log_seen"]] for one in rest
    ])  # fmt: skip
    centre = share @ traits
    width = np.maximum(np.sqrt(share @ (traits - centre) ** 2), LEAST_WIDTH)
    near = np.clip((traits - centre) / width, [-far for far in FAR], FAR)
    X = np.column_stack([near, near[:, 0] * near[:, 1]]) * np.r_[np.arange(3) < n_traits, n_traits > 1]
    known = {}
    for layers in [*((layer,) for layer in DEPTHS), *PAIRS]:
        name = f"logistic regression on {' and '.join(layers)}"
        has_it = np.array([name in one["candidates"] for one in rest])
        gains = np.array([gain(one, name) for one, has in zip(rest, has_it) if has])
        own, rows = share[has_it] / share[has_it].sum(), X[has_it]
        apart = rows - own @ rows
        outer = apart.T * (own * len(rows))
        slope = np.linalg.solve(outer @ apart + RIDGE * np.eye(len(apart.T)), outer @ (gains - own @ gains))
        middle = own @ gains - (own @ rows) @ slope
        spread = max(float(np.sqrt(own @ (gains - middle - rows @ slope) ** 2)), LEAST_LEFT)
        known[layers] = tuple(round(float(value), 3) for value in (middle, *slope, spread))
    inner = [layer for layer in DEPTHS if layer != ALL]
    middle_depth = DEPTHS[PAIRS[1][1]]
    of_traits = [tuple(round(float(value), 2) for value in values) for values in (centre, width)]
    return LayerPrior(
        of_traits[0], of_traits[1], known[(ALL,)], tuple(DEPTHS[layer] for layer in inner),
        tuple(known[(layer,)] for layer in inner), middle_depth, *(known[pair] for pair in PAIRS), inflation,
    )  # fmt: skip


def advised(case: Case, rest: Others, **form: Any) -> str:
    """Return what the library advises, with a prior of the other families."""
    if case["kind"] != "pictures":
        return named(case["advice"]["strategy"], case["advice"]["layer"], case)
    return by_prior(case, layer_prior(rest, **form))


def advised_alone(case: Case, rest: Others) -> str:
    return advised(case, rest) if case["kind"] != "pictures" else by_prior(case, layer_prior(rest), averages=False)


def advised_in_another_form(case: Case, rest: Others) -> str:
    """Return the same with the form of the prior that loses least on the other families, each left out in turn."""
    if case["kind"] != "pictures":
        return advised(case, rest)
    return by_prior(case, layer_prior(rest, *best_form(rest)))


@cache
def best_form(rest: Others) -> tuple[bool, float]:
    """Return the form of the prior that loses least on these cases, the prior from other families than each."""
    lost, share = dict.fromkeys(FORMS, 0.0), weights(rest)
    for family in dict.fromkeys(one["family"] for one in rest):
        apart = Others(one for one in rest if one["family"] != family)
        for form in FORMS:
            prior = layer_prior(apart, *form)
            lost[form] -= sum(w * gain(one, by_prior(one, prior)) for w, one in zip(share, rest)
                              if one["family"] == family)  # fmt: skip
    return min(FORMS, key=lambda form: lost[form])


def by_prior(case: Case, prior: LayerPrior, averages: bool = True) -> str:
    found = case["advice"]
    side = 10 ** case["traits"]["log_seen"]
    layers = [
        ScoredLayer(
            LayerCodes(EMBEDDED, EMBEDDED, layer, DEPTHS[layer], np.empty((0, 0)), side=side),
            {"linear": value},
            {"linear": np.empty(case["rows"])},
        )
        for layer, value in found["linear"].items() if layer in DEPTHS
    ]  # fmt: skip
    has_pairs = averages and found["strategy"] in ("codes", "earlier codes")
    best, beside = most_promising(
        layers, "linear", {EMBEDDED: found["similarity"]}, rows_a_class(case), prior, has_pairs=has_pairs
    )
    assert best is not None
    other = None if beside is None else beside.part.layer
    return named(found["strategy"], best.part.layer, case, other)


def probed(case: Case, rest: Others) -> str:
    if case["kind"] != "pictures":
        return advised(case, rest)
    linear = case["advice"]["linear"]
    layers = [layer for layer in linear if f"logistic regression on {layer}" in case["candidates"]]
    return f"logistic regression on {max(layers, key=lambda layer: linear[layer])}"


def both(case: Case, rest: Others) -> str:
    """Return the layer with the highest posterior gain on the last one: a normal prior from other data sets."""
    if case["kind"] != "pictures":
        return advised(case, rest)
    found, linear = {}, case["advice"]["linear"]
    known = means(rest, case)
    for name in known:
        head, _, layer = name.partition(" on ")
        if head != "logistic regression" or layer not in linear:
            continue
        _, share, gains = with_candidate(rest, name)
        variance = max(float(share @ (gains - known[name]) ** 2), LEAST_SPREAD**2)
        measured, error = linear[layer] - linear["penultimate"], spread_of(case, layer)
        found[name] = (known[name] / variance + measured / error**2) / (1 / variance + 1 / error**2)
    return max(found, key=lambda name: found[name])


def spread_of(case: Case, layer: str) -> float:
    """Return a standard error of the difference of two shares of the rows, from below where none differ."""
    p = min(max(case["advice"]["linear"][layer], 0.02), 0.98)
    return float(np.sqrt(p * (1 - p) / case["rows"]))


METHODS: dict[str, Callable[[Case, Others], str]] = {
    "advice": advised,
    "advice, form from other data": advised_in_another_form,
    "advice, one layer": advised_alone,
    "list and probe": both,
    "probe": probed,
    "quadrants": quadrants,
    "static list": static,
    "trivial meta-features": trivial,
    "the first candidate": lambda case, rest: FIRST[case["kind"]],
}


def rights(case: Case, name: str) -> np.ndarray:
    """Return which rows of the test a candidate is right about, (n,)."""
    packed = np.frombuffer(base64.b64decode(case["candidates"][name]["right"]), dtype=np.uint8)
    return np.unpackbits(packed)[: case["tested"]].astype(float)


@lru_cache(maxsize=2)
def halves_of(n: int) -> np.ndarray:
    """Return random halves of n rows, each followed by what it leaves, as 0 and 1, (2 * HALVINGS, n)."""
    rng = np.random.default_rng(0)
    first = np.zeros((HALVINGS, n))
    for row in first:
        row[rng.permutation(n)[: n // 2]] = 1
    return np.concatenate([first, 1 - first])


class Leads:
    """How far each candidate is ahead of what was taken, row by row of the test, over all draws that have it.

    Attributes
    ----------
    names : list of str
        Of the candidates.
    ahead, counts : ndarray (n_candidates, n_rows)
        Right answers beyond those of what was taken, and in how many draws the row was tested with the candidate.
    """

    def __init__(self, draws: list[Case], taken: list[str]):
        self.names = list(dict.fromkeys(name for case in draws for name in case["candidates"]))
        number = np.unique(np.concatenate([case["numbers"] for case in draws]))
        self.ahead, self.counts = np.zeros((2, len(self.names), len(number)))
        for case, own in zip(draws, taken):
            rows, base = np.searchsorted(number, case["numbers"]), rights(case, own)
            for i, name in enumerate(self.names):
                if name in case["candidates"]:
                    self.ahead[i, rows] += rights(case, name) - base
                    self.counts[i, rows] += 1

    def raw(self) -> np.ndarray:
        """Return by how much each candidate is ahead, (n_candidates,)."""
        return self.ahead.sum(axis=1) / self.counts.sum(axis=1)

    def fair(self) -> float:
        """Return how far what is best on one half of the rows is ahead on the other; the mean over random halves."""
        chooses = halves_of(self.ahead.shape[1])
        scores, judged = (
            (half @ self.ahead.T) / np.maximum(half @ self.counts.T, 1) for half in (chooses, 1 - chooses)
        )
        best = scores >= scores.max(axis=1, keepdims=True) - 1e-12  # ties are shared
        return float(np.mean((judged * best).sum(axis=1) / best.sum(axis=1)))

    def errors(self) -> np.ndarray:
        """Return the standard error of each lead, (n_candidates,); a row tested in several draws counts as one."""
        left = self.ahead - self.raw()[:, None] * self.counts
        n = self.ahead.shape[1]
        return np.sqrt((left**2).sum(axis=1) * n / (n - 1)) / self.counts.sum(axis=1)

    def is_behind(self) -> bool:
        """Return whether some candidate is more than a point ahead beyond chance."""
        bound = NormalDist().inv_cdf(1 - SURE / max(1, len(self.names) - 1))
        return bool(np.any((self.raw() - AHEAD) / np.maximum(self.errors(), 1e-12) > bound))

    def noise(self) -> float:
        """Return the standard error of the best lead of candidates that differ from what was taken."""
        differs = self.errors() > 0
        return float(self.errors()[differs][self.raw()[differs].argmax()]) if differs.any() else 0.0


def with_trainings(drawn: Mapping[str, Any]) -> dict[str, Case]:
    """Return the cases of one draw, with the networks that were trained on them among the candidates."""
    trained, tests = drawn.get("trainings", {}), drawn["tests"]
    return {
        label: {
            **case, "candidates": {**case["candidates"], **trained.get(label, {})},
            "numbers": np.frombuffer(base64.b64decode(tests[case["data"] + case["seen"]]), dtype="<u2"),
        }
        for label, case in drawn["cases"].items()
    }  # fmt: skip


def draws_of(results: Mapping[str, Any]) -> dict[str, list[Case]]:
    """Return each case as a list of its draws."""
    found: dict[str, list[Case]] = {}
    for drawn in (results, *results.get("draws", {}).values()):
        for label, case in with_trainings(drawn).items():
            found.setdefault(label, []).append(case)
    return found


def has_trainings(case: Case) -> bool:
    return any(name in case["candidates"] for name in NETWORKS)


def cost(case: Case, name: str) -> float:
    """Return the seconds of advice, and of the fit that it advises, as a share of those of trying everything."""
    seconds = {one: found["seconds"] for one, found in case["candidates"].items()}
    return (case["extraction"] + case["advice"]["seconds"] + seconds[name]) / (
        case["extraction"] + sum(seconds.values())
    )


def summary(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return regrets by method and case, means over the draws, and tests over data sets."""
    draws = draws_of(results)
    cases = [case for drawn in draws.values() for case in drawn]
    regrets: dict[str, dict[str, float]] = {name: {} for name in METHODS}
    fair: dict[str, dict[str, float]] = {name: {} for name in METHODS}
    taken: dict[str, dict[str, list[str]]] = {name: {} for name in METHODS}
    leads: dict[str, dict[str, Leads]] = {name: {} for name in METHODS}
    known: dict[tuple[str, str], Others] = {}
    for label, drawn in draws.items():
        rest = known.setdefault((drawn[0]["kind"], drawn[0]["family"]), others(drawn[0], cases))
        if not rest:
            continue
        for method, function in METHODS.items():
            taken[method][label] = names = [function(case, rest) for case in drawn]
            leads[method][label] = lead = Leads(drawn, names)
            regrets[method][label] = round(100 * float(lead.raw().max()), 3)
            fair[method][label] = round(100 * lead.fair(), 3)
    if not regrets["advice"]:
        return {"methods": {}}
    judged = {label: draws[label][0] for label in regrets["advice"]}
    luck = np.mean([regrets["advice"][label] - fair["advice"][label] for label in judged])
    found: dict[str, Any] = {"methods": {}, "tests": {}, "regrets": regrets, "fair": fair, "taken": taken,
                             "luck": round(float(luck), 3), "halvings": HALVINGS,
                             "draws": {label: len(draws[label]) for label in judged}}  # fmt: skip
    for method in METHODS:
        raw, halved = (np.array([one[method][label] for label in judged]) for one in (regrets, fair))
        shares = {label: cost(case, taken[method][label][0]) for label, case in judged.items()}
        found["methods"][method] = {
            "cases": len(raw), "mean_regret": round(float(raw.mean()), 3),
            "within_1": round(float((raw <= 1).mean()), 4), "worst": round(float(raw.max()), 2),
            "fair_regret": round(float(halved.mean()), 3), "fair_within_1": round(float((halved <= 1).mean()), 4),
            "behind": sum(lead.is_behind() for lead in leads[method].values()),
            **costs(list(shares.values())),
        }  # fmt: skip
        if method == "advice":
            found["noise"] = round(100 * float(np.median([lead.noise() for lead in leads[method].values()])), 3)
            found["costs"] = {label: round(share, 4) for label, share in shares.items()}
    found["costs_by"] = {
        f"{kind}, {'with' if trained else 'without'} trainings": costs([found["costs"][label] for label in labels])
        for kind in dict.fromkeys(case["kind"] for case in judged.values()) for trained in (True, False)
        if (labels := [label for label, case in judged.items()
                       if case["kind"] == kind and has_trainings(case) == trained])
    }  # fmt: skip
    sets = by_data_set(judged, regrets)
    for method in METHODS:
        for control in ("static list", "trivial meta-features"):
            if method != control:
                found["tests"][f"{method} / {control}"] = paired(sets[method] - sets[control])
    pictures = by_data_set({label: case for label, case in judged.items() if case["kind"] == "pictures"}, regrets)
    if len(pictures["advice"]):
        found["tests on pictures"] = {
            control: paired(pictures["advice"] - pictures[control])
            for control in ("static list", "trivial meta-features")
        }
        found["prior"] = vars(layer_prior(Others(case for case in cases if case["kind"] == "pictures")))
    found["by_kind"] = {
        group: {
            method: round(float(np.mean([v for label, v in values.items() if group_of(judged[label]) == group])), 3)
            for method, values in regrets.items()
        }
        for group in dict.fromkeys(map(group_of, judged.values()))
    }
    found["by_kind_within_1"] = {
        group: round(float(np.mean([
            value <= 1 for label, value in regrets["advice"].items() if group_of(judged[label]) == group
        ])), 4)
        for group in found["by_kind"]
    }  # fmt: skip
    return found


def group_of(case: Case) -> str:
    """Return the kind of rows, and at which size pictures are seen."""
    return case["kind"] if case["kind"] != "pictures" else f"pictures{case['seen'] or ', at 96 pixels'}"


def costs(shares: list[float]) -> dict[str, Any]:
    return {
        "of": len(shares), "cost_median": round(float(np.median(shares)), 4),
        "cost_within_10": round(float(np.mean(np.array(shares) <= 0.1)), 4),
    }  # fmt: skip


def by_data_set(judged: Mapping[str, Case], regrets: Mapping[str, Mapping[str, float]]) -> dict[str, np.ndarray]:
    labels: dict[str, list[str]] = {}
    for label, case in judged.items():
        labels.setdefault(case["data"], []).append(label)
    return {
        method: np.array([np.mean([values[label] for label in own]) for own in labels.values()])
        for method, values in regrets.items()
    }


def paired(differences: np.ndarray) -> dict[str, float]:
    """Return the mean difference over data sets, and the p-value of Wilcoxon's signed ranks, two-sided."""
    moved = differences[np.abs(differences) > 1e-9]
    p = float(wilcoxon(moved).pvalue) if len(moved) > 1 else 1.0
    return {"n": len(differences), "mean": round(float(differences.mean()), 4), "p": round(p, 5)}
