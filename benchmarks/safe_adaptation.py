"""How well a classifier's accuracy without labels is told, and whether adaptation that falls back does no harm.

Aims: a mean error of the accuracy of at most three points over at least 60 shifts, and lower bounds that hold in at
least nine of ten. Never more than a point below the source alone, 80 % of the oracle's gain kept, and an AUROC of 0.9
of the harm risk.

- accuracy: 900 digits train each classifier, 450 are held out with labels, and 447 others, shifted, are the target. The
  figures are of the estimate's distance to the accuracy there, whose labels nothing else sees.
- elsewhere: the same between domains of several kinds of data, by a linear classifier and a forest, with all classes in
  the target, and with half of them rare there. Intervals of each kind of data are judged by errors in all other kinds.
- harm: adaptations of several kinds between these domains. The library's rule was fitted on adaptations such as these.
  So each kind of data is judged by a rule that was fitted to all other kinds, too.

Run ``python benchmarks/safe_adaptation.py``; accuracy takes some two minutes. The others end with ``--minutes``, and
``--resume`` goes on from the file. `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from _common import earlier_results, machine, parser, print_table, write_results
from _safe_intervals import left_out
from _safe_pairs import cases as pairs_and_methods
from _safe_pairs import methods as adaptations
from _safe_pairs import rows as rows_of
from scipy import ndimage
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.adaptation import stack_domains
from sktl.safety import (
    SafelyAdaptedClassifier,
    average_thresholded_confidence,
    difference_of_confidences,
    estimate_accuracy,
)
from sktl.safety._errors import widened
from sktl.safety._evidence import Evidence
from sktl.safety._harm import harm_risk, support
from sktl.safety._referees import overlap

Shift = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
SHIFTS: dict[str, tuple[Shift, list[float]]] = {
    "noise": (lambda X, s, rng: X + rng.normal(scale=s, size=X.shape), [0.1, 0.3, 0.5, 0.8]),
    "rotation": (
        lambda X, s, rng: ndimage.rotate(X, s, axes=(1, 2), reshape=False, order=1),
        [10.0, 20.0, 35.0, 60.0],
    ),
    "blur": (lambda X, s, rng: ndimage.gaussian_filter(X, (0, s, s)), [0.4, 0.7, 1.0, 1.5]),
    "contrast": (lambda X, s, rng: 0.5 + s * (X - 0.5), [0.8, 0.6, 0.4, 0.2]),
    "brightness": (lambda X, s, rng: X + s, [0.1, 0.2, 0.4, 0.6]),
    "dropped pixels": (lambda X, s, rng: X * (rng.random(X.shape) > s), [0.1, 0.2, 0.35, 0.5]),
    "moved": (lambda X, s, rng: ndimage.shift(X, (0, 0, s), order=1), [0.25, 0.5, 1.0, 1.5]),
}
MODELS = {
    "logistic": LogisticRegression(max_iter=2000),
    "forest": RandomForestClassifier(200, random_state=0),
    "mlp": MLPClassifier((64,), max_iter=500, random_state=0),
}
METHODS = ("agreement", "discrepancy", "atc", "difference", "average")


def estimates(model: Any, X: np.ndarray, y: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Return a fitted model's accuracy in the target by each method, the lower bound, and its source accuracy."""
    agreement = estimate_accuracy(model, X, y, target, method="agreement", n_resamples=2)
    found = {"agreement": agreement.accuracy}
    found["discrepancy"] = estimate_accuracy(model, X, y, target, method="discrepancy", n_resamples=2).accuracy
    right, sure, sure_there = model.predict(X) == y, *(model.predict_proba(rows).max(axis=1) for rows in (X, target))
    found["atc"] = average_thresholded_confidence(right, sure, sure_there)
    found["difference"] = difference_of_confidences(right, sure, sure_there)
    found |= {"average": float(sure_there.mean()), "lower_bound": agreement.lower_bound, "source": float(right.mean())}
    return {name: round(value, 4) for name, value in found.items()}


def digits(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures of 8 x 8 with values in [0, 1], and labels, in an order of one's own."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    return (X[order] / 16).reshape(-1, 8, 8), y[order]


def accuracies(quick: bool) -> dict[str, Any]:
    """Return every estimate on every shift, and their errors."""
    cases = []
    X, y = digits(0)
    models = {"logistic": MODELS["logistic"]} if quick else MODELS
    for name, model in models.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X[:900].reshape(900, -1), y[:900])
        for kind, (shift, strengths) in SHIFTS.items():
            for strength in strengths[:1] if quick else strengths:
                moved = shift(X[1350:], strength, np.random.default_rng(1)).reshape(-1, 64)
                case: dict[str, Any] = {"model": name, "shift": kind, "strength": strength}
                case["accuracy"] = round(float(model.score(moved, y[1350:])), 4)
                case |= estimates(model, X[900:1350].reshape(450, -1), y[900:1350], moved)
                cases.append(case)
    return {"cases": cases}


def accuracy_summary(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how far each estimate is from the truth, and how often intervals and bounds hold."""
    true = np.array([case["accuracy"] for case in cases])
    errors = {name: 100 * np.abs(np.array([case[name] for case in cases]) - true) for name in (*METHODS, "source")}
    bounds = np.array([case["lower_bound"] for case in cases])
    ends = [widened("agreement", *[case["agreement"]] * 3, 0.9) for case in cases]
    inside = [low <= accuracy <= high for (low, high), accuracy in zip(ends, true)]
    summary = {
        "shifts": len(cases),
        "mean_error": {name: round(float(found.mean()), 2) for name, found in errors.items()},
        "largest_error": {name: round(float(found.max()), 2) for name, found in errors.items()},
        "interval_holds": round(float(np.mean(inside)), 3),
        "interval_width": round(float(np.mean([high - low for low, high in ends])), 3),
        "lower_bound_holds": round(float((bounds <= true).mean()), 3),
        "lower_bound_says_something": round(float((bounds > 0).mean()), 3),
        "accuracy_above_lower_bound": round(float(100 * (true - bounds).mean()), 2),
    }
    return summary


def estimated_elsewhere(data: str, source: str, target: str, classes: str) -> list[dict[str, Any]]:
    """Return the estimates of two classifiers from one domain to another."""
    X, y, X_target, truth = rows_of(data, source, target, classes)
    X, X_held, y, y_held = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
    cases = []
    for name in ("logistic", "forest"):
        model = make_pipeline(StandardScaler(), clone(MODELS[name])).fit(X, y)
        case = {"data": data, "pair": f"{source}->{target}", "classes": classes, "model": name}
        case |= {"overlap": round(overlap(X_held, X_target), 4), "accuracy": round(model.score(X_target, truth), 4)}
        cases.append(case | estimates(model, X_held, y_held, X_target))
    return cases


HARM, MAX_RISK = 0.01, 0.1


def judged(case: tuple[str, str, str, str, str]) -> dict[str, Any]:
    """Fit one adaptation safely; return what was decided, on what evidence, and the truth."""
    data, source, target, method, classes = case
    X, y, X_target, truth = rows_of(data, source, target, classes)
    both, marked, _ = stack_domains(X, y, X_target)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SafelyAdaptedClassifier(adaptations(data)[method], random_state=0).fit(both, marked)
    seconds = time.perf_counter() - start
    plain, adapted = (float(np.mean(m.predict(X_target) == truth)) for m in (model.baseline_, model.adapted_))
    found, evidence = model.estimated_accuracy_, vars(model.evidence_)
    return {
        "data": data, "pair": f"{source}->{target}", "method": method, "classes": classes, "rows": len(truth),
        "baseline": round(plain, 4), "adapted": round(adapted, 4), "decision": model.decision_,
        "harm_risk": round(model.harm_risk_, 4), **{name: round(value, 4) for name, value in evidence.items()},
        "estimate": round(found.accuracy, 4), "seconds": round(seconds, 1),
    }  # fmt: skip


def evidence_of(case: dict[str, Any]) -> Evidence:
    """Return what a case was judged by."""
    return Evidence(**{field.name: case[field.name] for field in fields(Evidence)})


def by_todays_rule(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return cases of an earlier run with their risk by today's rule; those that must be run again are left out.

    The evidence does not rest on the rule. What predicts does, and what is told of it where it is the adapted one.
    """
    kept = []
    for case in cases:
        risk = round(harm_risk(evidence_of(case), HARM), 4)
        if risk == case["harm_risk"] or (risk > MAX_RISK and case["decision"] == "baseline"):
            kept.append(case | {"harm_risk": risk})
    return kept


def risks_left_out(cases: list[dict[str, Any]]) -> np.ndarray:
    """Return each case's harm risk by a logistic regression of harm in all other kinds of data, each weighing alike."""
    harmful = np.array([case["adapted"] - case["baseline"] < -HARM for case in cases])
    disputed = np.array([case["disagreement"] for case in cases])
    found = np.array([support(evidence_of(case)) for case in cases])[:, None]
    kind = np.array([case["data"] for case in cases])
    risk = np.zeros(len(cases))
    for name in np.unique(kind):
        here, others = kind == name, kind != name
        if len(np.unique(harmful[others])) == 2:
            weight = [1 / np.sum(kind == other) for other in kind[others]]
            fitted = LogisticRegression(C=1e3).fit(found[others], harmful[others], sample_weight=weight)
            risk[here] = fitted.predict_proba(found[here])[:, 1]
    return np.where(disputed <= HARM, 0.0, risk)


def harm_summary(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what falling back keeps and loses, by the library's weights, and by weights fitted elsewhere."""
    gain = np.array([case["adapted"] - case["baseline"] for case in cases])
    harmful = gain < -HARM
    own = np.array([case["harm_risk"] for case in cases])
    by = {
        "always adapting": np.zeros(len(cases)),
        "library": own,
        "other data": risks_left_out(cases),
    }
    out: dict[str, Any] = {"cases": len(cases), "harmful": int(harmful.sum())}
    for name, risk in by.items():
        kept = np.where(risk <= MAX_RISK, gain, 0.0)
        oracle = np.maximum(gain, 0).sum()
        out[name] = {
            "worst": round(100 * float(kept.min()), 2),
            "harmful": int((kept < -HARM).sum()),
            "mean_gain": round(100 * float(kept.mean()), 2),
            "share_of_oracle": round(float(kept.sum() / oracle), 3) if oracle else None,
            "auroc": round(float(roc_auc_score(harmful, risk)), 3) if 0 < harmful.sum() < len(cases) else None,
        }
    errors = [abs(case["estimate"] - case[case["decision"]]) for case in cases]
    out["estimate_mean_error"] = round(100 * float(np.mean(errors)), 2)
    if len({case["data"] for case in cases}) > 1:
        out |= left_out(cases, "estimate", [case[case["decision"]] for case in cases])
    return out


def elsewhere_summary(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what `accuracy_summary` does, over all kinds and for each."""
    kinds = sorted({case["data"] for case in cases})
    by_kind = {kind: accuracy_summary([case for case in cases if case["data"] == kind]) for kind in kinds}
    found = {**accuracy_summary(cases), "kinds": by_kind}
    return found | left_out(cases, "agreement", [case["accuracy"] for case in cases]) if len(kinds) > 1 else found


def sum_up(results: dict[str, Any]) -> None:
    """Write the summary of each part beside its cases."""
    if "cases" in results:
        results["summary"] = accuracy_summary(results["cases"])
    if "elsewhere" in results:
        results["elsewhere"]["summary"] = elsewhere_summary(results["elsewhere"]["cases"])
    if "harm" in results:
        found = results["harm"]["cases"]
        parts = {"both": found} | {
            name: [case for case in found if case["classes"] == name] for name in ("all", "rare")
        }
        results["harm"]["summary"] = {name: harm_summary(part) for name, part in parts.items() if part}


def main() -> None:
    options = parser(__doc__, rounds=1)
    parts = ["accuracy", "elsewhere", "harm"]
    options.add_argument("--only", nargs="+", default=parts, choices=parts)
    options.add_argument("--minutes", type=float, default=20, help="after which no adaptation begins")
    options.add_argument("--data", nargs="+", help="harm only between pairs of these data")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    torch.set_num_threads(1)
    described, results = machine(), dict(earlier_results("safe_adaptation", args))
    if "accuracy" in args.only:
        results |= accuracies(args.quick)
    if "elsewhere" in args.only:
        held = results.get("elsewhere", {}).get("cases", [])
        done = {(case["data"], case["pair"], case["classes"]) for case in held}
        end = time.monotonic() + 60 * args.minutes
        for data, source, target, classes in dict.fromkeys((*case[:3], case[4]) for case in pairs_and_methods()):
            if (data, f"{source}->{target}", classes) in done or (args.quick and data != "digits"):
                continue
            if time.monotonic() > end or (args.quick and len(held) > 3):
                break
            held += estimated_elsewhere(data, source, target, classes)
            results["elsewhere"] = {"cases": held}
    if "harm" in args.only:
        done = {tuple(case[k] for k in ("data", "pair", "method", "classes")): case for case in
                by_todays_rule(results.get("harm", {}).get("cases", []))}  # fmt: skip
        end = time.monotonic() + 60 * args.minutes
        for case in pairs_and_methods():
            key = (case[0], f"{case[1]}->{case[2]}", *case[3:])
            if key in done or (args.data and case[0] not in args.data) or (args.quick and case[0] != "digits"):
                continue
            if time.monotonic() > end or (args.quick and len(done) > 3):
                break
            done[key] = judged(case)
            print(
                " ".join(key), {k: done[key][k] for k in ("baseline", "adapted", "decision", "harm_risk")}, flush=True
            )
            results["harm"] = {"cases": list(done.values())}
            if args.output or not args.quick:
                write_results("safe_adaptation", {"machine": described, "results": results}, args)
    sum_up(results)
    if args.output or not args.quick:
        write_results("safe_adaptation", {"machine": described, "results": results}, args)
    report(results)


def report(results: dict[str, Any]) -> None:
    """Print both tables."""
    if "summary" in results:
        summary = results["summary"]
        print_table(
            ["estimate", "mean error", "largest error"],
            [[name, error, summary["largest_error"][name]] for name, error in summary["mean_error"].items()],
        )
        print({key: value for key, value in summary.items() if not isinstance(value, dict)})
    for classes, summary in results.get("harm", {}).get("summary", {}).items():
        print(f"\nclasses: {classes}; {summary['cases']} adaptations, {summary['harmful']} of them harmful")
        parts = {name: value for name, value in summary.items() if isinstance(value, dict) and "worst" in value}
        columns = ["worst", "harmful", "mean_gain", "share_of_oracle", "auroc"]
        print_table(["weights", *columns], [[name, *(part[c] for c in columns)] for name, part in parts.items()])


if __name__ == "__main__":
    main()
