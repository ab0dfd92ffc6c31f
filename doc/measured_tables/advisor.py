"""What advice is worth, beside lists that do not look at the data; what transferability scores foretell; experience."""

from __future__ import annotations

import numpy as np

from measured_tables._write import read, table
from sktl.advisor._reasons import HALF_LIKE

TITLES = {
    "advice": "the advice", "advice, form from other data": "the same, the form of its prior chosen on other data",
    "advice, one layer": "the same, of one layer", "list and probe": "mean gain elsewhere and leave-one-out",
    "probe": "the layer that leave-one-out ranks first", "quadrants": "the rules of the quadrants",
    "static list": "control: static list", "trivial meta-features": "control: trivial meta-features",
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


def draws() -> list[dict]:
    """Return the draws of the rows, each with its cases and trainings."""
    results = read("advisor")["results"]
    return [results, *results.get("draws", {}).values()]


def n_draws(kind: str | None = None) -> int:
    """Return the number of draws of each case; of a kind, the number of all draws of its cases."""
    if kind is None:
        return max(advised()["draws"].values())
    return sum(case["kind"] == kind for draw in draws() for case in draw["cases"].values())


def trained_draws() -> int:
    """Return in how many draws of the cases of pictures networks were trained."""
    return sum(len(draw["trainings"]) for draw in draws())


def n_advised(strategy: str, kind: str) -> int:
    """Return in how many draws of a kind's cases a strategy was advised."""
    cases = [case for draw in draws() for case in draw["cases"].values() if case["kind"] == kind]
    return sum(strategy == case["advice"]["strategy"] for case in cases)


def advice_value(method: str, what: str) -> float:
    """Return one figure of a method: "mean_regret" or "fair_regret" in points, "within_1" or "fair_within_1" in %."""
    value = advised()["methods"][method][what]
    return 100 * value if "within" in what else value


def regret_of(kind: str, method: str = "advice") -> float:
    """Return the raw regret of a method on one kind of rows; of pictures with ", at 96 pixels" or ", at full size"."""
    return advised()["by_kind"][kind][method]


def advice_test(control: str, kind: str | None = None) -> str:
    """Return the mean difference of the advice's regret from a control's, with its p-value; of "pictures" alone."""
    tests = advised()["tests"] if kind is None else advised()[f"tests on {kind}"]
    return _difference(tests[f"advice / {control}" if kind is None else control]) or ""


def ahead_of_controls() -> str:
    """Return in words against which controls the advice is ahead beyond chance."""
    beaten = [name for name in CONTROLS if _is_ahead(advised()["tests"][f"advice / {name}"], -1)]
    return ("against neither", f"against the {beaten[0]} only" if beaten else "", "against both")[len(beaten)]


def behind_last_layer(kind: str) -> tuple[int, int, str, int, float]:
    """Return where the last layer, always, is better than what is advised: "pictures, at full size" or "at 96 pixels".

    In how many cases, of how many; which, by how many points; in how many the advice is ahead; the mean difference.
    """
    first, advice = (advised()["regrets"][name] for name in ("the first candidate", "advice"))
    cases, seen = read("advisor")["results"]["cases"], kind.removeprefix("pictures").replace(", at 96 pixels", "")
    own = [label for label in advice if cases[label]["kind"] == "pictures" and cases[label]["seen"] == seen]
    ahead = {label: first[label] - advice[label] for label in own}
    behind = sorted((lead, label.removesuffix(seen)) for label, lead in ahead.items() if lead < 0)
    named = "; ".join(f"{label} ({-lead:.1f})" for lead, label in behind) or "none"
    n_ahead = sum(lead > 0 for lead in ahead.values())
    return len(behind), len(ahead), named, n_ahead, float(np.mean([*ahead.values()]))


def cost_value(where: str, what: str = "cost_median") -> float:
    """Return the cost of advice in % of trying everything, or "cost_within_10", or the number "of" cases."""
    value = advised()["costs_by"][where][what]
    return value if what == "of" else 100 * value


def table_costs() -> str:
    """Return what advice costs, by kind of rows and by whether networks were trained among the candidates."""
    rows = [
        [where, f"{one['of']}", f"{100 * one['cost_median']:.1f}", f"{100 * one['cost_within_10']:.0f}"]
        for where, one in advised()["costs_by"].items()
    ]
    return table(["", "cases", "cost, median, %", "at most 10 %, % of cases"], rows)


def table_advice() -> str:
    """Return regrets by method."""
    kinds = list(advised()["by_kind"])
    rows = [
        [
            title, f"{advice_value(name, 'mean_regret'):.2f}", f"{advice_value(name, 'fair_regret'):.2f}",
            *(f"{advised()['by_kind'][kind][name]:.2f}" for kind in kinds),
            f"{advice_value(name, 'within_1'):.0f}", f"{advice_value(name, 'fair_within_1'):.0f}",
            f"{advice_value(name, 'behind')}", f"{advice_value(name, 'worst'):.1f}",
            *(_difference(advised()["tests"].get(f"{name} / {control}")) for control in CONTROLS),
        ]
        for name, title in TITLES.items()
    ]  # fmt: skip
    header = ["", "regret, raw", "fair", *(f"raw, {kind}" for kind in kinds), "raw within 1 point, %",
              "fair within 1 point, %", "cases behind", "worst, raw"]  # fmt: skip
    return table([*header, "against static list", "against meta-features"], rows)


def _difference(found: dict | None) -> str | None:
    if found is None:
        return None
    p = f"p = {found['p']:.2g}" if found["p"] else "p < 1e-05"  # it is written with five digits
    return f"{found['mean']:+.2f} ({p})"


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


def trained_ahead() -> tuple[int, int, float]:
    """Return in how many cases of pictures a trained network is best of all, of how many, and how far ahead there."""
    leads: dict[str, list[dict[str, float]]] = {}
    for draw in draws():
        for label, trained in draw["trainings"].items():
            every = {**draw["cases"][label]["candidates"], **trained}
            leads.setdefault(label, []).append({name: float(np.mean(one["accuracy"])) for name, one in every.items()})
    networks = {name for draw in draws() for trained in draw["trainings"].values() for name in trained}
    found = []
    for values in leads.values():
        means = {name: float(np.mean([one[name] for one in values])) for name in values[0]}
        best = {of: max(v for name, v in means.items() if (name in networks) == of) for of in (True, False)}
        found.append(100 * (best[True] - best[False]))
    ahead = [lead for lead in found if lead > 0]
    return len(ahead), len(found), float(np.mean(ahead)) if ahead else 0.0


def training_half_alike() -> tuple[int, int, float]:
    """Return in how many draws all layers trained are ahead of the advice, of how many, and the mean lead in points.

    Of pictures that are about half like the network's source.
    """
    low, high = HALF_LIKE
    leads, seen = [], dict.fromkeys(advised()["taken"]["advice"], 0)
    for draw in draws():
        for label, case in draw["cases"].items():
            if label not in seen:
                continue
            number, seen[label] = seen[label], seen[label] + 1
            trained = draw["trainings"].get(label, {}).get("full")
            if trained is None or not low <= case["advice"]["similarity"] <= high:
                continue
            taken = advised()["taken"]["advice"][label][number]
            everything = {**case["candidates"], **draw["trainings"][label]}
            leads.append(100 * float(np.mean(trained["accuracy"]) - np.mean(everything[taken]["accuracy"])))
    return sum(lead > 0 for lead in leads), len(leads), float(np.mean(leads))


def half_alike() -> str:
    """Return the similarities that count as about half alike."""
    return " to ".join(f"{value:.2f}" for value in HALF_LIKE)


def n_of_kind(kind: str) -> int:
    """Return the number of cases of a kind."""
    return sum(case["kind"] == kind for case in read("advisor")["results"]["cases"].values())


def n_halvings() -> int:
    """Return how often the test is halved."""
    return advised()["halvings"]


def experience_value(way: str, what: str = "candidates") -> float:
    """Return candidates or seconds until one is within a point of the best, "with" or "without" experience."""
    return advised()["experience"][way][what]


def experience_test(what: str = "candidates") -> str:
    """Return the mean difference over data sets that experience makes, and its p-value."""
    return _difference(advised()["experience"][f"test of {what}"]) or ""
