"""Classes that one domain lacks: partial sets (the target has a few of them) and open sets (the source has a few).

Pairs are PACS' twelve, codes of the embedded EfficientNet-Lite0, 70 pictures of each class, and digits, MNIST to USPS
and back, codes of 500 pictures. Which classes are there is drawn once, the same for all pairs; all rows of a domain
that are of these classes take part, and all rows of the target are judged.

- partial: the target has 3 of 7 classes, or 5 of 10. Logistic regression on standardised source rows, and
  `DomainAdaptedClassifier` with ``target_shares=None``, "auto" (the default), and the true shares, which only an oracle
  knows.
- open: the source has 4 of 7 classes, or 5 of 10, the target all of them. "confidence" is logistic regression that
  answers "unknown" below the confidence that a twentieth of held-out source rows has; with "own centre" each domain is
  standardised by itself. Beside it `DomainAdaptedClassifier` with `unknown_label`. OS* is the mean accuracy over the
  known classes, UNK the share of unknown rows that are found, H their harmonic mean.
- one unknown: as open, but the target has one unknown class only; closed: none. What is shown then is the accuracy:
  what the answer "unknown" costs where it is not needed.

- signs: what the test for unknown classes sees in open, one unknown, closed and partial sets, with two draws of the
  classes, and how often it finds something unknown, by the library's line, and by one that was fitted to the other
  targets' pairs.

How many target rows may become the first unknown ones (a quarter at most) was looked for on eight of these pairs, open
and closed, with target labels and the same draws of classes: see the figures as what the method can do there.

Run ``python benchmarks/partial_open_sets.py --minutes 10``; ``--resume`` goes on. `SKTL_DATA` names the folder of the
data, and codes are kept in `--codes`.
"""

from __future__ import annotations

import itertools
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _common import earlier_results, machine, parser, print_table, write_results
from defaults import DOMAINS, sets
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import StandardScaler

from sktl import DomainAdaptedClassifier, stack_domains
from sktl.adaptation.joint._open_signs import CLAIMED, THRESHOLD, open_signs

PAIRS = [(f"pacs_{a}", f"pacs_{b}") for a, b in itertools.permutations(DOMAINS, 2)]
PAIRS += [("mnist", "usps"), ("usps", "mnist")]
UNKNOWN = 99
LEANS_TO_OPEN = 0.4  # probability from which a set is taken for open: to miss unknown classes costs more
REJECTED = 0.05  # of held-out source rows

Rows = tuple[np.ndarray, np.ndarray]


def only(rows: Rows, classes: np.ndarray) -> Rows:
    kept = np.isin(rows[1], classes)
    return rows[0][kept], rows[1][kept]


def cases(source: Rows, target: Rows, order: np.ndarray) -> dict[str, tuple[Rows, Rows]]:
    """Return the rows of both domains by condition; labels of unknown target rows are `UNKNOWN`."""
    n = len(order)
    few, known = order[: n // 2], order[: (n + 1) // 2]

    def open_to(n_unknown: int) -> tuple[Rows, Rows]:
        X, y = only(target, order[: len(known) + n_unknown])
        return only(source, known), (X, np.where(np.isin(y, known), y, UNKNOWN))

    return {
        "partial": (source, only(target, few)),
        "open": open_to(n - len(known)),
        "one unknown": open_to(1),
        "closed": open_to(0),
    }


def by_confidence(*, own_centre: bool) -> Callable[[Rows, np.ndarray], np.ndarray]:
    def answer(source: Rows, X: np.ndarray) -> np.ndarray:
        scaler = StandardScaler().fit(source[0])
        rows = scaler.transform(source[0])
        model = LogisticRegression(C=0.01, max_iter=1000)
        held_out = cross_val_predict(model, rows, source[1], cv=3, method="predict_proba").max(axis=1)
        proba = model.fit(rows, source[1]).predict_proba(
            (StandardScaler().fit(X) if own_centre else scaler).transform(X)
        )
        found = model.classes_[proba.argmax(axis=1)]
        return np.where(proba.max(axis=1) < np.quantile(held_out, REJECTED), UNKNOWN, found)

    return answer


def unadapted(source: Rows, X: np.ndarray) -> np.ndarray:
    scaler = StandardScaler().fit(source[0])
    model = LogisticRegression(C=0.01, max_iter=1000).fit(scaler.transform(source[0]), source[1])
    return model.predict(scaler.transform(X))


def adapted(**options: Any) -> Callable[[Rows, np.ndarray], np.ndarray]:
    def answer(source: Rows, X: np.ndarray) -> np.ndarray:
        both, marked, _ = stack_domains(*source, X)
        return DomainAdaptedClassifier(random_state=0, **options).fit(both, marked).predict(X)

    return answer


def methods(condition: str, truth: np.ndarray, n_classes: int) -> dict[str, Callable[[Rows, np.ndarray], np.ndarray]]:
    if condition == "partial":
        return {
            "logistic regression": unadapted,
            "adapted, target_shares=None": adapted(target_shares=None),
            "adapted, target_shares='auto'": adapted(),
            "adapted, true shares": adapted(target_shares=np.bincount(truth, minlength=n_classes) / len(truth)),
        }
    found = {
        "confidence": by_confidence(own_centre=False),
        "confidence, own centre": by_confidence(own_centre=True),
        "unknown_label": adapted(unknown_label=UNKNOWN),
    }
    if condition == "open":
        found["unknown_label, loss='cdan+e'"] = adapted(unknown_label=UNKNOWN, loss="cdan+e")
    if condition == "closed":
        found["unknown_label=None"] = adapted()
    return found


def figures(answers: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the accuracy, and OS*, UNK and H where there are unknown rows, in percent."""
    known = truth != UNKNOWN
    found = {"accuracy": float(np.mean(answers == truth))}
    if not known.all():
        of_classes = float(np.mean([np.mean(answers[truth == c] == c) for c in np.unique(truth[known])]))
        of_unknown = float(np.mean(answers[~known] == UNKNOWN))
        h_score = 2 * of_classes * of_unknown / max(of_classes + of_unknown, 1e-12)
        found |= {"OS*": of_classes, "UNK": of_unknown, "H": h_score}
    return {name: round(100 * value, 2) for name, value in found.items()}


def seen_signs(every: dict[str, Rows], held: list[dict[str, Any]], end: float) -> list[dict[str, Any]]:
    """Return what tells an open set, by pair, condition and draw of the classes, added to what is there."""
    done = {(found["pair"], found["condition"], found["draw"]) for found in held}
    for draw, pair in itertools.product(range(2), PAIRS):
        source, target = (every[name] for name in pair)
        order = np.random.default_rng(draw).permutation(int(source[1].max()) + 1)
        for condition, ((X, y), (X_target, _)) in cases(source, target, order).items():
            if (" -> ".join(pair), condition, draw) in done or time.monotonic() > end:
                continue
            rows = (StandardScaler().fit_transform(part) for part in (X, X_target))
            signs = open_signs(next(rows), np.unique(y, return_inverse=True)[1], next(rows))
            assert signs is not None
            held.append({
                "pair": " -> ".join(pair), "condition": condition, "draw": draw,
                "unsure": round(signs.unsure, 4), "claimed": round(signs.claimed, 4),
            })  # fmt: skip
    return held


def found_open(signs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return in what share of the sets something unknown is found, by condition and by whose line."""
    X = np.array([[found["unsure"], found["claimed"]] for found in signs])
    condition = np.array([found["condition"] for found in signs])
    target = np.array([found["pair"].split(" -> ")[1] for found in signs])
    is_open, learned = np.isin(condition, ("open", "one unknown")), condition != "partial"
    weight = np.where(condition == "closed", 1.0, 0.5)
    others = np.zeros(len(X), dtype=bool)
    for name in np.unique(target):
        here, known = target == name, learned & (target != name)
        line = LogisticRegression(C=1e3).fit(X[known], is_open[known], sample_weight=weight[known])
        others[here] = line.predict_proba(X[here])[:, 1] > LEANS_TO_OPEN
    judges = {"library": X[:, 0] - CLAIMED * X[:, 1] > THRESHOLD, "other targets": others}
    return {
        judge: {name: round(float(says[condition == name].mean()), 3) for name in np.unique(condition)}
        for judge, says in judges.items()
    }


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--minutes", type=float, default=10, help="after which no pair begins (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep what an earlier run has measured")
    options.add_argument("--codes", type=Path, default=Path(tempfile.gettempdir()) / "sktl_defaults_codes.npz")
    args = options.parse_args()
    end, described = time.monotonic() + 60 * args.minutes, machine()
    results = earlier_results("partial_open_sets", args)
    every = sets(args.codes)
    # digits and a few pairs of pictures first, so that a short run has seen both
    for pair in PAIRS[-1:] if args.quick else [*PAIRS[-2:], *PAIRS[:-2:2], *PAIRS[1:-2:2]]:
        source, target = (every[name] for name in pair)
        order = np.random.default_rng(0).permutation(int(source[1].max()) + 1)
        for condition, (here, there) in cases(source, target, order).items():
            for name, answer in methods(condition, there[1], len(order)).items():
                found = results.setdefault(condition, {}).setdefault(name, {})
                key = " -> ".join(pair)
                if key in found:
                    continue
                if time.monotonic() > end:
                    print(f"No time is left for {key}, {condition}, {name}.")
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found[key] = figures(answer(here, there[0]), there[1])
                if args.output or not args.quick:
                    write_results("partial_open_sets", {"machine": described, "results": results}, args)
    if not args.quick:
        signs = seen_signs(every, results.get("signs", {}).get("cases", []), end)
        results["signs"] = {"cases": signs, "found": found_open(signs)}
        write_results("partial_open_sets", {"machine": described, "results": results}, args)
        print(results["signs"]["found"])
    for condition, by_method in results.items():
        if condition == "signs":
            continue
        names = list(next(iter(next(iter(by_method.values())).values())))
        rows = [
            [name, len(pairs), *(f"{np.mean([cell[n] for cell in pairs.values()]):.1f}" for n in names)]
            for name, pairs in by_method.items()
            if pairs
        ]
        print_table([condition, "pairs", *names], rows)


if __name__ == "__main__":
    main()
