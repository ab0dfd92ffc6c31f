"""Which transferability score foretells the accuracy of a linear classifier on codes, beside two controls.

Controls know other families of data sets alone: the mean accuracy of each layer on them (static list), and ridge
regression from trivial meta-features to it. Tests pair data sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from _advisor_cases import data_sets
from _advisor_regrets import DEPTHS, LEAST_SPREAD, Case, accuracy, foretold, gain, others, paired, traits_of, weights
from scipy.stats import spearmanr

FORMULAS = ("linear", "knn", "logme", "h_score", "gbc", "trans_rate", "n_leep", "leep", "nce")
CONTROLS = ("static list", "trivial meta-features")


def of_probes(cases: list[Case]) -> dict[str, Any]:
    """Return the rank correlation of both probes with the accuracy over layers of one network, beside the controls."""
    correlations: dict[str, dict[str, list[float]]] = {}
    for case in cases:
        layers = [layer for layer in DEPTHS if f"logistic regression on {layer}" in case["candidates"]]
        names = [f"logistic regression on {layer}" for layer in layers]
        truth, rest = np.array([accuracy(case, name) for name in names]), others(case, cases)
        share, traits = weights(rest), [traits_of(one) for one in rest]
        gains = {name: [gain(one, name) for one in rest] for name in names}
        values = {
            "linear": [case["advice"]["linear"][layer] for layer in layers],
            "knn": [case["advice"]["knn"][layer] for layer in layers],
            "static list": [float(share @ gains[name]) for name in names],
            "trivial meta-features": [foretold(traits, gains[name], share, traits_of(case)) for name in names],
        }
        for score, value in values.items():
            correlations.setdefault(score, {}).setdefault(case["data"], []).append(correlation(np.array(value), truth))
    means = {score: {name: float(np.mean(v)) for name, v in sets.items()} for score, sets in correlations.items()}
    return ranked(means, None)


def layers_family(name: str) -> str:
    return name.partition(" ")[0]


def of_scores(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mean rank correlation of each score with the accuracy over layers of all networks, and its tests.

    Where there are layers of at least five families only. LEEP and NCE are of a network, not of a layer, and are
    compared over the last layers of networks with a classifier.
    """
    layers = results["layers"]
    if len({layers_family(name) for name in layers}) < 5:
        return {}
    cases = {one.name: results["cases"][f"{one.name}, {one.ranked_size} a class"]
             for one in data_sets() if one.name in layers}  # fmt: skip
    over: dict[str, dict[str, dict[str, float]]] = {"layers": {}, "last layers": {}}
    losses: dict[str, dict[str, dict[str, float]]] = {"layers": {}, "last layers": {}}
    for name, found in layers.items():
        values, truth = of_set(name, layers, cases), np.array([row["accuracy"] for row in found])
        is_last = np.array([row["layer"] == "penultimate" for row in found])
        every = np.ones(len(found), dtype=bool)
        with_classifier = is_last & np.isfinite(values["leep"])
        for where, rows in (("layers", every), ("last layers", with_classifier)):
            for score, value in values.items():
                if np.isfinite(value[rows]).all():
                    over[where].setdefault(score, {})[name] = correlation(value[rows], truth[rows])
                    lost = truth[rows].max() - truth[rows][value[rows].argmax()]
                    losses[where].setdefault(score, {})[name] = round(100 * float(lost), 3)
    return {where: ranked(over[where], losses[where]) for where in over} | {
        "n_layers": len(found), "n_networks": len({row["backbone"] for row in found}),
        "n_with_classifier": int(with_classifier.sum()),
    }  # fmt: skip


def of_set(name: str, layers: Mapping[str, list], cases: Mapping[str, Case]) -> dict[str, np.ndarray]:
    """Return what each score, each control, and both together say of the layers of one set; NaN where nothing."""
    found = layers[name]
    keys = [f"{row['backbone']} {row['layer']}" for row in found]
    rest = [other for other in layers if layers_family(other) != layers_family(name)]
    share = np.array([1 / sum(layers_family(one) == layers_family(other) for one in rest) for other in rest])
    share /= share.sum()
    elsewhere = np.array([[relative_accuracy(layers[other]).get(key, 0.0) for other in rest] for key in keys])
    traits = {other: traits_of(cases[other]) for other in (*rest, name)}
    values = {score: np.array([row["scores"].get(score, np.nan) for row in found]) for score in FORMULAS}
    values["static list"] = elsewhere @ share
    values["trivial meta-features"] = np.array(
        [foretold([traits[other] for other in rest], gains, share, traits[name]) for gains in elsewhere]
    )
    # (m / s^2 + d / e^2) / (1 / s^2 + 1 / e^2): what layers gain elsewhere as a normal prior, leave-one-out measures
    variance = np.maximum((elsewhere - values["static list"][:, None]) ** 2 @ share, LEAST_SPREAD**2)
    held = np.clip(values["linear"], 0.02, 0.98)
    error = held * (1 - held) / cases[name]["rows"]
    measured = values["linear"] - values["linear"].mean()
    values["list and probe"] = (values["static list"] / variance + measured / error) / (1 / variance + 1 / error)
    return values


def relative_accuracy(found: list) -> dict[str, float]:
    mean = np.mean([row["accuracy"] for row in found])
    return {f"{row['backbone']} {row['layer']}": row["accuracy"] - mean for row in found}


def correlation(value: np.ndarray, truth: np.ndarray) -> float:
    if np.ptp(value) == 0 or np.ptp(truth) == 0:
        return 0.0
    return round(float(spearmanr(value, truth).statistic), 4)


def ranked(correlations: Mapping[str, Mapping[str, float]], losses: Mapping | None) -> dict[str, Any]:
    found = {}
    for score, values in correlations.items():
        entry: dict[str, Any] = {"mean": round(float(np.mean(list(values.values()))), 4), "sets": len(values)}
        if losses is not None:
            entry["loss"] = round(float(np.mean(list(losses[score].values()))), 3)
        for control in ("static list", "trivial meta-features"):
            common = [name for name in values if name in correlations.get(control, {})]
            if score != control and common:
                differences = np.array([values[name] - correlations[control][name] for name in common])
                entry[f"against {control}"] = paired(differences)
                if losses is not None:
                    lost = np.array([losses[score][name] - losses[control][name] for name in common])
                    entry[f"loss against {control}"] = paired(lost)
        found[score] = entry
    return found
