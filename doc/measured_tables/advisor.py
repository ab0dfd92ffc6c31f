"""What advice is worth, beside lists that do not look at the data; what transferability scores foretell; experience."""

from __future__ import annotations

from measured_tables._write import read, table

TITLES = {
    "list and probe": "static list and leave-one-out together", "advice": "the rules of the quadrants",
    "advice, thresholds from other data": "the same, thresholds from other data",
    "static list": "control: static list", "trivial meta-features": "control: trivial meta-features",
    "probe": "the layer that leave-one-out ranks first",
    "the first candidate": "always the first candidate",
}  # fmt: skip
SCORES = {
    "linear": "linear probe, exact leave-one-out", "knn": "k-NN, leave-one-out", "logme": "LogME",
    "h_score": "H-score", "gbc": "GBC", "trans_rate": "TransRate", "n_leep": "N-LEEP", "leep": "LEEP", "nce": "NCE",
    "list and probe": "static list and linear probe together", "static list": "control: static list",
    "trivial meta-features": "control: trivial meta-features",
}  # fmt: skip
SURE = 0.05  # p-value
CONTROLS = ("static list", "trivial meta-features")


def advised() -> dict:
    """Return the summary of all cases."""
    return read("advisor")["results"]["summary"]


def n_advised(strategy: str | None, kind: str) -> int:
    """Return in how many cases of a kind a strategy was advised; None counts all of them."""
    cases = [case for case in read("advisor")["results"]["cases"].values() if case["kind"] == kind]
    return sum(strategy in (None, case["advice"]["strategy"]) for case in cases)


def advice_value(method: str, what: str) -> float:
    """Return one figure of a method: "mean_regret" in points, "within_1" in %, "worst", "cost_median" in %."""
    value = advised()["methods"][method][what]
    return 100 * value if what in ("within_1", "cost_median") else value


def advice_test(method: str, control: str) -> str:
    """Return the mean difference of regrets from a control, and its p-value."""
    found = advised()["tests"][f"{method} / {control}"]
    return f"{found['mean']:+.2f} (p = {found['p']:.2g}, {found['n']} data sets)"


def table_advice() -> str:
    """Return regrets and costs by method."""
    kinds = list(advised()["by_kind"])
    rows = [
        [
            title, f"{advice_value(name, 'mean_regret'):.2f}",
            *(f"{advised()['by_kind'][kind][name]:.2f}" for kind in kinds),
            f"{advice_value(name, 'within_1'):.0f}", f"{advice_value(name, 'worst'):.1f}",
            *(_difference(advised()["tests"].get(f"{name} / {control}")) for control in CONTROLS),
        ]
        for name, title in TITLES.items()
    ]  # fmt: skip
    header = ["", "regret", *kinds, "within 1 point, %", "worst", "against static list", "against meta-features"]
    return table(header, rows)


def _difference(found: dict | None) -> str | None:
    return None if found is None else f"{found['mean']:+.2f} (p = {found['p']:.2g})"


def score_value(score: str) -> float:
    """Return the mean rank correlation of a score with the accuracy over layers."""
    return advised()["probes"][score]["mean"]


def table_scores() -> str:
    """Return the rank correlation of each score with the accuracy over layers of the embedded network."""
    rows = [
        [SCORES[name], f"{one['mean']:.2f}", *(_difference(one.get(f"against {control}")) for control in CONTROLS)]
        for name, one in advised()["probes"].items()
    ]
    return table(["", "rank correlation", "against static list", "against meta-features"], rows)


def layer_scores(where: str = "layers") -> dict:
    """Return each score's rank correlation and loss, over the layers of all networks, or over "last layers"."""
    found = advised()["scores"][where]
    return {name: found[name] for name in SCORES if name in found}


def n_scored(what: str = "sets") -> int:
    """Return the number of data sets, of "n_layers", of "n_networks", or of those "n_with_classifier"."""
    return layer_scores()["static list"]["sets"] if what == "sets" else advised()["scores"][what]


def layer_score(score: str, what: str = "mean", where: str = "layers") -> float:
    """Return a score's mean rank correlation, or the mean "loss" of the layer that it ranks first, in points."""
    return layer_scores(where)[score][what]


def table_layer_scores(where: str = "layers") -> str:
    """Return rank correlation, loss and both tests of each score."""
    rows = [
        [
            SCORES[name], f"{one['mean']:.2f}", *(_difference(one.get(f"against {control}")) for control in CONTROLS),
            f"{one['loss']:.1f}", *(_difference(one.get(f"loss against {control}")) for control in CONTROLS),
        ]
        for name, one in layer_scores(where).items()
    ]  # fmt: skip
    header = ["", "rank correlation", "against static list", "against meta-features"]
    return table([*header, "points lost", "against static list", "against meta-features"], rows)


def scores_ahead(where: str = "layers", what: str = "against") -> str:
    """Return which scores are ahead of both controls beyond chance; of what is "loss against", which lose less."""
    better = -1 if what.startswith("loss") else 1
    found = [
        SCORES[name]
        for name, one in layer_scores(where).items()
        if all(_is_ahead(one.get(f"{what} {control}"), better) for control in CONTROLS)
    ]
    return " and ".join(found) or "none"


def _is_ahead(test: dict | None, better: int) -> bool:
    return test is not None and better * test["mean"] > 0 and test["p"] < SURE


def n_cases() -> int:
    """Return the number of cases."""
    return advised()["methods"]["advice"]["cases"]


def experience_value(way: str, what: str = "candidates") -> float:
    """Return candidates or seconds until one is within a point of the best, "with" or "without" experience."""
    return advised()["experience"][way][what]


def experience_test(what: str = "candidates") -> str:
    """Return the mean difference over data sets that experience makes, and its p-value."""
    return _difference(advised()["experience"][f"test of {what}"]) or ""
