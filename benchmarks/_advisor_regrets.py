"""What advice loses to the best of all that was tried, beside controls that know other data sets only.

Nothing that is judged has seen its case: lists, models and thresholds come from the other families of data sets (all of
PACS and all alphabets are left out at once; each domain of the reviews by itself, for there is no other text).

- static list: what is best on the others on average.
- trivial meta-features: ridge regression from the numbers of rows and classes, balance, size of the pictures and
  channels to what each candidate gains on the first one.
- probe: logistic regression on the layer that leave-one-out ranks first, without any rule.
- list and probe: the gain of each layer on the others, as a normal prior, times what leave-one-out measures here.

Tests pair data sets, each the mean of its sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

FIRST = {"pictures": "logistic regression on penultimate", "feature rows": "logistic regression",
         "text": "logistic regression"}  # fmt: skip
SIMILARITIES = (0.0, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 1.01)
FEW_ROWS = (0, 4, 5, 7, 11, 1000)
RIDGE = 3.0  # of standardised traits
LEAST_SPREAD = 0.003  # of a prior, in accuracy
Case = Mapping[str, Any]


def accuracy(case: Case, name: str) -> float:
    return float(np.mean(case["candidates"][name]["accuracy"]))


def gain(case: Case, name: str) -> float:
    return accuracy(case, name) - accuracy(case, FIRST[case["kind"]])


def others(case: Case, cases: list[Case]) -> list[Case]:
    """Return the cases of the same kind that may be learned from."""
    return [one for one in cases if one["kind"] == case["kind"] and one["family"] != case["family"]]


def weights(cases: list[Case]) -> np.ndarray:
    """Return weights by which each family counts alike, within it each data set."""
    families = [one["family"] for one in cases]
    found = np.array([1 / sum(one["family"] == other for other in families) for one in cases])
    return found / found.sum()


def named(strategy: str, layer: str, case: Case) -> str:
    """Return the candidate that advice means; where it was not fitted, the nearest that was."""
    if case["kind"] != "pictures":
        known = {"neighbours": "k-NN", "scratch": "network from scratch"}
        name = known.get(strategy, strategy)
        return name if name in case["candidates"] else "logistic regression"
    if strategy in ("fine-tune", "fine-tune all", "scratch") and "lp-ft" in case["candidates"]:
        return "lp-ft"
    return f"{'prototypes' if strategy == 'prototypes' else 'logistic regression'} on {layer}"


def rows_a_class(case: Case) -> float:
    return case["rows"] / 10 ** case["traits"]["log_classes"]


def ruled(case: Case, similar_from: float, few_below: float) -> str:
    """Return what the rules say with other thresholds."""
    found = case["advice"]
    if case["kind"] != "pictures":
        return named(found["strategy"], found["layer"], case)
    if found["strategy"].startswith(("fine-tune", "scratch")):
        return named(found["strategy"], found["layer"], case)
    is_similar = found["similarity"] >= similar_from
    layer = found["rules"]["always similar" if is_similar else "never similar"]["layer"]
    return named("prototypes" if rows_a_class(case) < few_below else "codes", layer, case)


def thresholds(rest: list[Case]) -> tuple[float, float]:
    """Return the thresholds that are best on other cases."""
    share = weights(rest)
    grid = [(similar, few) for similar in SIMILARITIES for few in FEW_ROWS]
    value = [sum(w * gain(one, ruled(one, *pair)) for w, one in zip(share, rest)) for pair in grid]
    best = np.flatnonzero(np.array(value) >= max(value) - 1e-9)
    return grid[best[len(best) // 2]]


def means(rest: list[Case], case: Case) -> dict[str, float]:
    """Return the mean gain of each candidate of the case on others, those that have it."""
    found = {}
    for name in case["candidates"]:
        with_it = [one for one in rest if name in one["candidates"]]
        if len(with_it) > len(rest) / 4:
            found[name] = float(weights(with_it) @ [gain(one, name) for one in with_it])
    return found


def static(case: Case, rest: list[Case]) -> str:
    found = means(rest, case)
    return max(found, key=lambda name: found[name])


def trivial(case: Case, rest: list[Case]) -> str:
    """Return the candidate that ridge regression from trivial meta-features expects most of."""
    found = {}
    for name in means(rest, case):
        with_it = [one for one in rest if name in one["candidates"]]
        found[name] = foretold(
            [list(one["traits"].values()) for one in with_it], [gain(one, name) for one in with_it], weights(with_it),
            list(case["traits"].values()),
        )  # fmt: skip
    return max(found, key=lambda name: found[name])


def foretold(rows: list, values: list, share: np.ndarray, row: list) -> float:
    """Return the weighted ridge regression's value."""
    X, y = np.asarray(rows, float), np.asarray(values)
    centre, spread = share @ X, np.sqrt(share @ (X - share @ X) ** 2)
    spread[spread < 1e-6] = np.inf
    X, row = (X - centre) / spread, (np.asarray(row, float) - centre) / spread
    inner = X.T * (share * len(X))
    slope = np.linalg.solve(inner @ X + RIDGE * np.eye(X.shape[1]), inner @ (y - share @ y))
    return float(share @ y + np.clip(row, -2, 2) @ slope)


def probed(case: Case, rest: list[Case]) -> str:
    if case["kind"] != "pictures":
        return ruled(case, 0.5, 5)
    linear = case["advice"]["linear"]
    layers = [layer for layer in linear if f"logistic regression on {layer}" in case["candidates"]]
    return f"logistic regression on {max(layers, key=lambda layer: linear[layer])}"


def both(case: Case, rest: list[Case]) -> str:
    """Return the layer with the highest posterior gain on the last one: a normal prior from other data sets."""
    if case["kind"] != "pictures":
        return ruled(case, 0.5, 5)
    found, linear = {}, case["advice"]["linear"]
    known = means(rest, case)
    for name in known:
        head, _, layer = name.partition(" on ")
        if head != "logistic regression" or layer not in linear:
            continue
        gains = np.array([gain(one, name) for one in rest])
        variance = max(float(weights(rest) @ (gains - known[name]) ** 2), LEAST_SPREAD**2)
        measured, error = linear[layer] - linear["penultimate"], spread_of(case, layer)
        found[name] = (known[name] / variance + measured / error**2) / (1 / variance + 1 / error**2)
    return max(found, key=lambda name: found[name])


def spread_of(case: Case, layer: str) -> float:
    """Return a standard error of the difference of two shares of the rows, from below where none differ."""
    p = min(max(case["advice"]["linear"][layer], 0.02), 0.98)
    return float(np.sqrt(p * (1 - p) / case["rows"]))


def advised(case: Case, rest: list[Case]) -> str:
    return named(case["advice"]["strategy"], case["advice"]["layer"], case)


def advised_elsewhere(case: Case, rest: list[Case]) -> str:
    return ruled(case, *thresholds(rest))


METHODS: dict[str, Callable[[Case, list[Case]], str]] = {
    "advice": advised,
    "advice, thresholds from other data": advised_elsewhere,
    "static list": static,
    "trivial meta-features": trivial,
    "probe": probed,
    "list and probe": both,
    "the first candidate": lambda case, rest: FIRST[case["kind"]],
}


def honest_best(case: Case) -> float:
    """Return the accuracy of the best, each half of the test chosen for by the other."""
    values = np.array([found["accuracy"] for found in case["candidates"].values()])
    return float((values[values[:, 0].argmax(), 1] + values[values[:, 1].argmax(), 0]) / 2)


def cost(case: Case, name: str) -> float:
    """Return the seconds of advice, and of the fit that it advises, as a share of those of trying everything."""
    seconds = {one: found["seconds"] for one, found in case["candidates"].items()}
    return (case["extraction"] + case["advice"]["seconds"] + seconds[name]) / (
        case["extraction"] + sum(seconds.values())
    )


def summary(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return regrets by method and case, and tests over data sets."""
    cases = list(results["cases"].values())
    regrets: dict[str, dict[str, float]] = {name: {} for name in METHODS}
    taken: dict[str, dict[str, str]] = {name: {} for name in METHODS}
    for label, case in results["cases"].items():
        rest = others(case, cases)
        if not rest:
            continue
        best = max(accuracy(case, name) for name in case["candidates"])
        for method, function in METHODS.items():
            name = function(case, rest)
            taken[method][label] = name
            regrets[method][label] = round(100 * (best - accuracy(case, name)), 3)
    if not regrets["advice"]:
        return {"methods": {}}
    judged = {label: results["cases"][label] for label in regrets["advice"]}
    luck = [
        100 * (max(accuracy(case, name) for name in case["candidates"]) - honest_best(case))
        for case in judged.values()
    ]  # fmt: skip
    found: dict[str, Any] = {"methods": {}, "tests": {}, "regrets": regrets, "taken": taken,
                             "luck": round(float(np.mean(luck)), 3)}  # fmt: skip
    for method, values in regrets.items():
        every = np.array(list(values.values()))
        shares = [cost(case, taken[method][label]) for label, case in judged.items()]
        found["methods"][method] = {
            "cases": len(every), "mean_regret": round(float(every.mean()), 3),
            "within_1": round(float((every <= 1).mean()), 4), "worst": round(float(every.max()), 2),
            "cost_median": round(float(np.median(shares)), 4),
        }  # fmt: skip
    sets = by_data_set(judged, regrets)
    for method in METHODS:
        for control in ("static list", "trivial meta-features"):
            if method != control:
                found["tests"][f"{method} / {control}"] = paired(sets[method] - sets[control])
    found["by_kind"] = {
        kind: {
            method: round(float(np.mean([v for label, v in values.items() if judged[label]["kind"] == kind])), 3)
            for method, values in regrets.items()
        }
        for kind in dict.fromkeys(case["kind"] for case in judged.values())
    }
    return found


def by_data_set(judged: Mapping[str, Case], regrets: Mapping[str, Mapping[str, float]]) -> dict[str, np.ndarray]:
    names = list(dict.fromkeys(case["data"] for case in judged.values()))
    return {
        method: np.array([
            np.mean([v for label, v in values.items() if judged[label]["data"] == name]) for name in names
        ])
        for method, values in regrets.items()
    }  # fmt: skip


def paired(differences: np.ndarray) -> dict[str, float]:
    """Return the mean difference over data sets, and the p-value of Wilcoxon's signed ranks, two-sided."""
    moved = differences[np.abs(differences) > 1e-9]
    p = float(wilcoxon(moved).pvalue) if len(moved) > 1 else 1.0
    return {"n": len(differences), "mean": round(float(differences.mean()), 4), "p": round(p, 5)}
