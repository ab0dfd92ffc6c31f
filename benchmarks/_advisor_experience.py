"""What experience of other data sets saves: candidates and seconds until one is within a point of the best of all.

The order in which the automatic road tries candidates is rebuilt from each case: by the layers' leave-one-out scores,
and by the nearest cases of other families of data sets. Each candidate's accuracy on the test and its seconds stand in
the case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from _advisor_regrets import NETWORKS, Others, accuracy, by_prior, layer_prior, others, paired, rows_a_class

from sktl.advisor._candidates import INNER_FOLDS, SHALLOW, SIMPLE, TRAINED, Candidate
from sktl.advisor._experience import Past, by_experience

HEADS = ("logistic regression", "SVM", "prototypes", "k-NN")
N_LAYERS = 3
WITHIN = 0.01
Case = Mapping[str, Any]


def traits(case: Case) -> dict[str, Any]:
    """Return what `AutoTransferClassifier` notes of a data set."""
    found: dict[str, Any] = {"kind": case["kind"], "task": "classes"}
    found |= {name: round(case["traits"][name], 3) for name in ("log_rows", "log_classes", "balance")}
    if case["kind"] == "pictures":
        found["similarity"] = round(case["advice"]["similarity"], 3)
    if case["kind"] == "feature rows":
        found["log_columns"] = round(case["traits"]["log_columns"], 3)
    return found


def past(case: Case) -> Past:
    """Return a case as one earlier search."""
    names = [name for name in case["candidates"] if "SVM on" not in name or has_svm(case) or case["kind"] == "text"]
    scores = {name: round(accuracy(case, name), 4) for name in names}
    return Past(traits(case), scores, max(scores, key=lambda name: scores[name]))


def has_svm(case: Case) -> bool:
    return rows_a_class(case) >= 2 * INNER_FOLDS


def in_order(case: Case, rest: Others) -> list[str]:
    """Return the candidates in the order in which they are tried without experience, by a prior of other cases."""
    if case["kind"] != "pictures":
        return [name for name in case["candidates"] if name not in NETWORKS] + [
            name for name in NETWORKS if name in case["candidates"]
        ]  # fmt: skip
    linear = {layer: value for layer, value in case["advice"]["linear"].items() if layer != "pixels"}
    best = sorted(linear, key=lambda layer: -linear[layer])[:N_LAYERS]
    heads = [head for head in HEADS if head != "SVM" or has_svm(case)]
    order = [by_prior(case, layer_prior(rest))]
    order += [f"{heads[0]} on {layer}" for layer in (*best, "penultimate")]
    order += [f"{head} on {layer}" for layer in best[:1] for head in heads[1:]]
    return list(dict.fromkeys([*order, *(name for name in NETWORKS if name in case["candidates"])]))


def until_good(case: Case, order: list[str]) -> tuple[int, float]:
    """Return how many candidates, and how many seconds of fits, there are until one is within a point of the best."""
    best, seconds = max(accuracy(case, name) for name in order), 0.0
    for i, name in enumerate(order, 1):
        seconds += case["candidates"][name]["seconds"]
        if accuracy(case, name) >= best - WITHIN:
            return i, seconds
    raise AssertionError("the best is within a point of itself")


def saved(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return candidates and seconds until one is good, with and without experience, and tests over data sets."""
    cases = [case for case in results["cases"].values() if others(case, list(results["cases"].values()))]
    found: dict[str, dict[str, list]] = {"without": {}, "with": {}}
    for case in cases:
        rest = others(case, list(results["cases"].values()))
        order = in_order(case, rest)
        tiers = [TRAINED if name in NETWORKS else SHALLOW if i else SIMPLE for i, name in enumerate(order)]
        candidates = [Candidate(name, "", tier, None) for name, tier in zip(order, tiers)]
        known = [past(one) for one in rest]
        changed = [one.name for one in by_experience(candidates, traits(case), known)[0]]
        for way, names_in_order in (("without", order), ("with", changed)):
            found[way].setdefault(case["data"], []).append(until_good(case, names_in_order))
    means = {way: np.array([np.mean(values, axis=0) for values in by_set.values()]) for way, by_set in found.items()}
    every = {way: np.array([pair for values in by_set.values() for pair in values]) for way, by_set in found.items()}
    return {
        "cases": len(cases),
        **{
            way: {
                "candidates": round(float(every[way][:, 0].mean()), 3), "most": int(every[way][:, 0].max()),
                "seconds": round(float(every[way][:, 1].mean()), 3),
            }
            for way in found
        },
        "test of candidates": paired(means["with"][:, 0] - means["without"][:, 0]),
        "test of seconds": paired(means["with"][:, 1] - means["without"][:, 1]),
    }  # fmt: skip
