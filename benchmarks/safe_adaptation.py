"""How well a classifier's accuracy without labels is told, and whether adaptation that falls back does no harm.

Aims: a mean error of the accuracy of at most three points over at least 60 shifts, and lower bounds that hold in at
least nine of ten. Never more than a point below the source alone, 80 % of the oracle's gain kept, and an AUROC of 0.9
of the harm risk.

- accuracy: 900 digits train each classifier, 450 are held out with labels, and 447 others, shifted, are the target. The
  figures are of the estimate's distance to the accuracy there, whose labels nothing else sees.
- harm: adaptations of several kinds between pairs of domains, with all classes in the target, and with half of them
  rare there. The library's weights of the evidence were fitted on adaptations such as these. So each pair is judged by
  weights fitted to the evidence of all other pairs, too; and each kind of data by those fitted to all other kinds.

Run ``python benchmarks/safe_adaptation.py``; accuracy takes some two minutes. Harm ends with ``--minutes``, and
``--resume`` goes on from the file. `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from _common import earlier_results, machine, parser, print_table, write_results
from _safe_pairs import cases as pairs_and_methods
from _safe_pairs import methods as adaptations
from _safe_pairs import rows as rows_of
from scipy import ndimage
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

from sktl.adaptation import stack_domains
from sktl.safety import SafelyAdaptedClassifier, estimate_accuracy

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
METHODS = ("discrepancy", "atc", "difference", "average")


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
                for method in METHODS:
                    found = estimate_accuracy(model, X[900:1350].reshape(450, -1), y[900:1350], moved, method=method)
                    case[method] = round(found.accuracy, 4)
                    case["lower_bound"], case["source"] = round(found.lower_bound, 4), round(found.source_accuracy, 4)
                cases.append(case)
    true = np.array([case["accuracy"] for case in cases])
    errors = {name: 100 * np.abs(np.array([case[name] for case in cases]) - true) for name in (*METHODS, "source")}
    bounds = np.array([case["lower_bound"] for case in cases])
    summary = {
        "shifts": len(cases),
        "mean_error": {name: round(float(found.mean()), 2) for name, found in errors.items()},
        "largest_error": {name: round(float(found.max()), 2) for name, found in errors.items()},
        "lower_bound_holds": round(float((bounds <= true).mean()), 3),
        "lower_bound_says_something": round(float((bounds > 0).mean()), 3),
        "accuracy_above_lower_bound": round(float(100 * (true - bounds).mean()), 2),
    }
    return {"summary": summary, "cases": cases}


EVIDENCE = ("neighbourhood", "round_trip", "shares")
HARM, MAX_RISK = 0.01, 0.3


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
        "estimate": round(found.accuracy, 4), "interval": [round(end, 4) for end in found.interval],
        "seconds": round(seconds, 1),
    }  # fmt: skip


def risks_left_out(cases: list[dict[str, Any]], by: tuple[str, ...]) -> np.ndarray:
    """Return each case's harm risk by weights that were fitted to the evidence of other pairs, or kinds of data."""
    gain = np.array([case["adapted"] - case["baseline"] for case in cases])
    disputed = np.array([case["disagreement"] for case in cases])
    n = np.array([case["rows"] for case in cases])
    evidence = np.array([[case[name] for name in EVIDENCE] for case in cases])
    won = np.clip(gain / np.maximum(disputed, 0.005), -1, 1)
    group = np.array([" ".join(case[name] for name in by) for case in cases])
    risk = np.zeros(len(cases))
    for name in np.unique(group):
        here, others = group == name, group != name
        if not disputed[others].any():
            continue
        fitted = Ridge(0.03).fit(evidence[others], won[others], sample_weight=disputed[others])
        error = won[others] - fitted.predict(evidence[others])
        spread = np.sqrt(np.average(error**2, weights=disputed[others]))
        expected = disputed[here] * np.clip(fitted.predict(evidence[here]), -1, 1)
        width = np.hypot(spread * disputed[here], np.sqrt(disputed[here] / n[here]))
        risk[here] = norm.cdf((-HARM - expected) / np.maximum(width, 1e-9))
    return np.where(disputed <= HARM, 0.0, risk)


def harm_summary(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what falling back keeps and loses, by the library's weights, and by weights fitted elsewhere."""
    gain = np.array([case["adapted"] - case["baseline"] for case in cases])
    harmful = gain < -HARM
    own = np.array([case["harm_risk"] for case in cases])
    by = {
        "always adapting": np.zeros(len(cases)),
        "library": own,
        "other pairs": risks_left_out(cases, ("data", "pair")),
        "other data": risks_left_out(cases, ("data",)),
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
    inside = [case["interval"][0] <= case[case["decision"]] <= case["interval"][1] for case in cases]
    out["estimate_mean_error"] = round(100 * float(np.mean(errors)), 2)
    out["interval_holds"] = round(float(np.mean(inside)), 3)
    return out


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--only", nargs="+", default=["accuracy", "harm"], choices=["accuracy", "harm"])
    options.add_argument("--minutes", type=float, default=20, help="after which no adaptation begins")
    options.add_argument("--data", nargs="+", help="harm only between pairs of these data")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    torch.set_num_threads(1)
    described, results = machine(), dict(earlier_results("safe_adaptation", args))
    if "accuracy" in args.only:
        results |= accuracies(args.quick)
    if "harm" in args.only:
        done = {tuple(case[k] for k in ("data", "pair", "method", "classes")): case for case in
                results.get("harm", {}).get("cases", [])}  # fmt: skip
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
            found = list(done.values())
            everywhere = [case for case in found if case["classes"] == "all"]
            parts = {"all": everywhere, "rare": [case for case in found if case["classes"] == "rare"]}
            summary = {name: harm_summary(part) for name, part in (("both", found), *parts.items()) if part}
            results["harm"] = {"summary": summary, "cases": found}
            if args.output or not args.quick:
                write_results("safe_adaptation", {"machine": described, "results": results}, args)
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
        parts = {name: value for name, value in summary.items() if isinstance(value, dict)}
        columns = ["worst", "harmful", "mean_gain", "share_of_oracle", "auroc"]
        print_table(["weights", *columns], [[name, *(part[c] for c in columns)] for name, part in parts.items()])


if __name__ == "__main__":
    main()
