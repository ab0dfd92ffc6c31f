"""Peak memory of fit and of predict, transform or score, per family, as rows grow.

Each figure is of a process of its own: the peak of its resident memory beyond what it held before the call, with the
rows made already. What a method must hold grows with the rows: its answer, and of some methods a copy of the rows; the
column "bytes a row" is what the last tenfold of rows has added for each of them, beside the bytes that a row itself
has. Methods that compare all rows with each other grow with their square and are measured up to a thousand or ten.

    python benchmarks/memory.py [--quick] [--families ...] [--largest 1000000]
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _common import earlier_results, machine, parser, print_table, write_results

N_COLUMNS = 64
SIDE = 16  # pixels of pictures
LIMIT = 240  # seconds of a process


def rows_of(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 rows of two domains and labels, -1 in the second half."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, N_COLUMNS)).astype(np.float32)
    y = rng.integers(0, 5, n)
    X[np.arange(n), y] += 3
    y[n // 2 :] = -1
    return X, y


def pictures_of(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8), np.arange(n) % 5


Calls = tuple[Callable[[], Any], Callable[[Any], Any]]  # what fits, and what is asked of the fitted


def codes(n: int) -> Calls:
    from sktl import CNNCodesTransformer

    X, _ = pictures_of(n)
    model = CNNCodesTransformer(image_size=32, engine="torch", layers=0.3)
    return lambda: model.fit(X), lambda fitted: fitted.transform(X)


def codes_in_blocks(n: int) -> Calls:
    from sktl import CNNCodesTransformer

    X, _ = pictures_of(n)
    model = CNNCodesTransformer(image_size=32, engine="torch", layers=0.3)
    return lambda: model.fit(X), lambda fitted: sum(len(block) for block in fitted.iter_transform(X))


def aligner(name: str, **params: Any) -> Callable[[int], Calls]:
    def build(n: int) -> Calls:
        import sktl.aligners as aligners

        X, y = rows_of(n)
        model = getattr(aligners, name)(**params)
        return lambda: model.fit(X, y), lambda fitted: fitted.transform(X)

    return build


def classifier(module: str, name: str, *, marked: bool, **params: Any) -> Callable[[int], Calls]:
    def build(n: int) -> Calls:
        import importlib

        X, y = rows_of(n)
        if not marked:
            y = np.where(y < 0, 0, y)
        model = getattr(importlib.import_module(module), name)(**params)
        return lambda: model.fit(X, y), lambda fitted: fitted.predict_proba(X)

    return build


def reweighted(n: int) -> Calls:
    from sklearn.linear_model import LogisticRegression

    from sktl.reweighting import ReweightedClassifier

    X, y = rows_of(n)
    model = ReweightedClassifier(LogisticRegression(max_iter=50))
    return lambda: model.fit(X, y), lambda fitted: fitted.predict_proba(X)


def scorer(name: str) -> Callable[[int], Calls]:
    def build(n: int) -> Calls:
        from sklearn.linear_model import LogisticRegression

        from sktl.metrics import get_domain_scorer

        X, y = rows_of(n)
        half = n // 2
        model = LogisticRegression(max_iter=50)
        return lambda: model.fit(X[:half], y[:half]), lambda fitted: get_domain_scorer(name)(fitted, X, y)

    return build


FAMILIES: dict[str, tuple[Callable[[int], Calls], str, int]] = {  # what, the second call, rows at most
    "CNNCodesTransformer": (codes, "transform", 10**5),
    "CNNCodesTransformer, in blocks": (codes_in_blocks, "iter_transform", 10**5),
    "DomainStandardizer": (aligner("DomainStandardizer"), "transform", 10**6),
    "CORALAligner": (aligner("CORALAligner"), "transform", 10**6),
    "SubspaceAligner": (aligner("SubspaceAligner"), "transform", 10**6),
    "OptimalTransportAligner": (aligner("OptimalTransportAligner"), "transform", 10**3),
    "ReweightedClassifier": (reweighted, "predict_proba", 10**5),
    "DomainAdaptedClassifier": (
        classifier("sktl.adaptation", "DomainAdaptedClassifier", marked=True, max_epochs=1, random_state=0),
        "predict_proba",
        10**6,
    ),
    "FineTunedClassifier": (
        classifier("sktl.finetuning", "FineTunedClassifier", marked=False, max_epochs=1, random_state=0),
        "predict_proba",
        10**5,
    ),
    "ProtoNetClassifier": (classifier("sktl.fewshot", "ProtoNetClassifier", marked=False), "predict_proba", 10**6),
    "domain_default": (scorer("domain_default"), "score", 10**5),
    "soft_neighborhood_density": (scorer("soft_neighborhood_density"), "score", 10**4),
}


class Peak:
    """The largest resident memory of this process in a block, beyond what it was before."""

    def __enter__(self) -> Peak:
        gc.collect()
        self.before = self.peak = _resident()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.peak = max(self.peak, _resident())
        self._ends.set()
        self._thread.join()
        self.megabytes = round((self.peak - self.before) / 1e6, 1)

    def _watch(self) -> None:
        while not self._ends.wait(0.002):
            self.peak = max(self.peak, _resident())


def _resident() -> int:
    import psutil

    return psutil.Process().memory_info().rss


def one(family: str, n: int) -> dict[str, Any]:
    """Measure one family with so many rows, in this process."""
    build = FAMILIES[family][0]
    fit, ask = build(1000)
    ask(fit())  # libraries loaded, networks prepared
    fit, ask = build(n)
    start = time.perf_counter()
    with Peak() as fitting:
        fitted = fit()
    with Peak() as asking:
        answer = ask(fitted)
    seconds = round(time.perf_counter() - start, 2)
    answered = getattr(answer, "nbytes", 0)
    return {"fit": fitting.megabytes, "then": asking.megabytes, "answer": round(answered / 1e6, 1), "seconds": seconds}


def in_its_own_process(family: str, n: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", family, str(n)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return {"error": f"more than {LIMIT} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def bytes_a_row(by_rows: dict[str, dict[str, Any]], call: str) -> int | None:
    """Return what each row has added between the two largest measurements."""
    done = sorted(int(n) for n, found in by_rows.items() if "error" not in found)
    if len(done) < 2:
        return None
    few, many = done[-2:]
    return round(1e6 * (by_rows[str(many)][call] - by_rows[str(few)][call]) / (many - few))


def report(results: dict[str, Any]) -> None:
    counts = sorted({int(n) for by_rows in results.values() for n in by_rows})
    rows = []
    for family, by_rows in results.items():
        of_row = 3 * SIDE * SIDE if "Codes" in family else 4 * N_COLUMNS
        for call, shown in (("fit", "fit"), ("then", FAMILIES[family][1])):
            cells = [by_rows.get(str(n), {}) for n in counts]
            values = [cell.get("error") or cell.get(call) for cell in cells]
            rows.append([family, shown, *values, bytes_a_row(by_rows, call), of_row])
    print("\nPeak megabytes beyond what the process held before the call\n")
    print_table(["", "call", *(f"{n:,} rows" for n in counts), "bytes a row", "a row itself"], rows)


def main() -> None:
    if "--one" in sys.argv:
        family, n = sys.argv[-2:]
        print(json.dumps(one(family, int(n))))
        return
    options = parser(__doc__, rounds=1)
    options.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    options.add_argument("--largest", type=int, default=10**5, help="rows at most (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    described, results = machine(), earlier_results("memory", args)
    counts = (200, 2000) if args.quick else (10**3, 10**4, 10**5, 10**6)
    for family in args.families:
        by_rows = results.setdefault(family, {})
        for n in counts:
            if n > min(args.largest, FAMILIES[family][2]) or str(n) in by_rows:
                continue
            by_rows[str(n)] = in_its_own_process(family, n)
            print(family, n, by_rows[str(n)], flush=True)
            if args.output or not args.quick:
                write_results("memory", {"machine": described, "columns": N_COLUMNS, "results": results}, args)
    report(results)


if __name__ == "__main__":
    main()
