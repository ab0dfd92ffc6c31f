"""Time and memory of aligners beside skada and POT called directly, by number of rows and of columns.

Aims: never slower than a peer, at least 3 times as fast on kernel methods, and the denoiser on 4,000 sparse rows of
5,000 columns in seconds.

Protocol: n rows, half of them of each domain, of ten classes and d columns, each domain standardised. What is timed is
`fit_transform` on all rows, in a process that is forked for it, so that its peak of memory is its own; rounds are
interleaved, and what is compared is processor time on one thread, for other work may run beside it. Where the outputs
differ by more than a thousandth of their size, that is said; signs of components and means of columns are left out of
the comparison. A call that takes more than `--limit` processor seconds is ended, and the limit stands for its time.
What is loaded once is loaded by a small call before.

skada's TCA takes a matrix that is not symmetric for symmetric, so that its components are others; it is right for
CORAL, subspaces and transport. It computes all pairs of rows, which do not fit above 5,000.

Run ``PYTHONPATH=<folder of skada> python benchmarks/aligners_speed.py --minutes 8`` on one thread, with skada of the
package index installed in that folder; without it only POT is beside ours. Results are written after each case, and
``--resume`` goes on from there.
"""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import resource
import signal
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from _common import earlier_results, machine, parser, print_table, ratio, write_results
from scipy import sparse

from sktl.aligners import (
    CORALAligner,
    JointDistributionAligner,
    MarginalizedDenoiser,
    OptimalTransportAligner,
    SubspaceAligner,
    TransferComponentAnalysis,
    TransferKernelLearning,
)

try:
    import ot
except ImportError:
    ot = None
try:
    import skada
except ImportError:
    skada = None

FORK = multiprocessing.get_context("fork")
MOST_PAIRS = 5000  # rows of which peers, and transport, take all pairs


def ours(aligner: Any) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda X, y: aligner.fit_transform(X, y)


def skadas(make: Callable[[], Any]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def run(X: np.ndarray, y: np.ndarray) -> np.ndarray:
        domain = np.where(y == -1, -2, 1)  # its mark of a target domain
        return np.asarray(make().fit_transform(X, y, sample_domain=domain))

    return run


def pots(make: Callable[[], Any]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def run(X: np.ndarray, y: np.ndarray) -> np.ndarray:
        source, target = X[y != -1], X[y == -1]
        return np.concatenate([make().fit(Xs=source, Xt=target).transform(Xs=source), target])

    return run


def contenders() -> dict[str, dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]]:
    """Return who computes what: ours first, then peers with the same settings."""
    found: dict[str, dict[str, Any]] = {
        "CORAL": {"sktl": ours(CORALAligner(regularization=1.0))},
        "subspaces": {"sktl": ours(SubspaceAligner(20))},
        "TCA, linear": {"sktl": ours(TransferComponentAnalysis(30, random_state=0))},
        "TCA, rbf": {"sktl": ours(TransferComponentAnalysis(30, kernel="rbf", random_state=0))},
        "Sinkhorn": {"sktl": ours(OptimalTransportAligner(regularization=0.05))},
        "exact transport": {"sktl": ours(OptimalTransportAligner(method="emd"))},
        "JDA": {"sktl": ours(JointDistributionAligner(30, random_state=0))},
        "TKL": {"sktl": ours(TransferKernelLearning(random_state=0))},
    }
    if ot is not None:
        found["Sinkhorn"]["POT"] = pots(lambda: ot.da.SinkhornTransport(reg_e=0.05, norm="max"))
        found["exact transport"]["POT"] = pots(lambda: ot.da.EMDTransport(norm="max", max_iter=100_000))
    if skada is not None:
        found["CORAL"]["skada"] = skadas(lambda: skada.CORALAdapter(reg=0.5))  # shrinkage: ours is 1 / (1 - 1/2) - 1
        found["subspaces"]["skada"] = skadas(lambda: skada.SubspaceAlignmentAdapter(n_components=20, random_state=0))
        for kernel in ("linear", "rbf"):
            found[f"TCA, {kernel}"]["skada"] = skadas(
                lambda kernel=kernel: skada.TransferComponentAnalysisAdapter(kernel=kernel, n_components=30, mu=1.0)
            )
        found["Sinkhorn"]["skada"] = skadas(
            lambda: skada.EntropicOTMappingAdapter(reg_e=0.05, norm="max", max_iter=1000)
        )
        found["exact transport"]["skada"] = skadas(lambda: skada.OTMappingAdapter(norm="max", max_iter=100_000))
    return found


def takes_pairs(method: str, who: str) -> bool:
    return "ransport" in method or method == "Sinkhorn" or (who != "sktl" and method.startswith("TCA"))


def rows(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised rows of ten classes in two domains, and marks."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, n)
    X = rng.normal(size=(n, d)) + rng.normal(size=(10, d))[y]
    X[n // 2 :] *= rng.uniform(0.5, 2, d)
    X[n // 2 :] += 0.5 * np.roll(X[n // 2 :], 1, axis=1)
    for half in (slice(0, n // 2), slice(n // 2, n)):
        X[half] -= X[half].mean(axis=0)
        X[half] /= X[half].std(axis=0)
    return X, np.where(np.arange(n) < n // 2, y, -1)


def in_a_fork(
    work: Callable[[], np.ndarray], warm_up: Callable[[], Any], limit: float
) -> tuple[float, float, np.ndarray] | str:
    """Return processor seconds, the peak of memory in MiB above what was there, and some rows of the output."""

    def child(end: Any) -> None:
        warnings.simplefilter("ignore")
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + limit) + 1, resource.RLIM_INFINITY))
        warm_up()
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        try:
            out = work()
            seconds = time.process_time() - start
            peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            shown = out[:: max(1, out.shape[0] // 200)]
            end.send((seconds, peak, shown.toarray() if sparse.issparse(shown) else shown))
        except Exception as error:
            end.send(f"{type(error).__name__}: {error}")

    here, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=child, args=(there,))
    process.start()
    there.close()
    try:
        answer = here.recv()
    except EOFError:  # ended by the system
        process.join()
        answer = f"more than {limit:g} s" if process.exitcode == -signal.SIGXCPU else "out of memory"
    process.kill()
    process.join()
    return answer


def difference(found: np.ndarray, other: np.ndarray) -> float | None:
    """Return by how much two outputs differ at most, in units of their size; signs and means of columns are free."""
    if found.shape != other.shape:
        return None
    found, other = found - found.mean(axis=0), other - other.mean(axis=0)
    signs = np.where((found * other).sum(axis=0) < 0, -1, 1)
    return float(np.abs(found - signs * other).max() / np.abs(found).max())


def race(methods: dict[str, Callable], X: Any, y: np.ndarray, rounds: int, limit: float, end: float) -> dict[str, Any]:
    """Return each contender's seconds, memory and answer, and how many times as fast ours is."""
    cells: dict[str, Any] = {who: {"seconds": [], "peak_mib": []} for who in methods}
    outputs: dict[str, np.ndarray] = {}
    few = X[:: len(y) // 60, :20], y[:: len(y) // 60]
    for _ in range(rounds):
        for who, run in methods.items():
            cell = cells[who]
            if "failed" in cell or (cell["seconds"] and (time.monotonic() > end or cell["seconds"][0] > limit / 4)):
                continue
            found = in_a_fork(lambda run=run: run(X, y), lambda run=run: run(*few), limit)
            if isinstance(found, str):
                cell["failed"] = found
                continue
            cell["seconds"].append(round(found[0], 4))
            cell["peak_mib"].append(round(found[1], 1))
            outputs[who] = found[2]
    for who, cell in cells.items():
        if cell["seconds"]:
            cell["median_seconds"] = statistics.median(cell["seconds"])
        if who == "sktl" or "sktl" not in outputs:
            continue
        mine = cells["sktl"]["seconds"]
        if who in outputs:
            cell["difference"] = difference(outputs["sktl"], outputs[who])
            cell["sktl_is_faster"] = ratio(cell["seconds"], mine[: len(cell["seconds"])])
        elif cell["failed"].startswith("more than"):
            cell["sktl_is_faster_at_least"] = round(limit / statistics.median(mine), 1)
    return cells


def text() -> tuple[sparse.csr_matrix, np.ndarray]:
    """Return 4,000 sparse rows of 5,000 columns, about a hundred entries each."""
    rng = np.random.default_rng(0)
    frequent = rng.permutation(1 / np.arange(1, 5001))
    held = rng.random((4000, 5000)) < np.minimum(100 * frequent / frequent.sum(), 0.5)
    return sparse.csr_matrix(held * rng.random((4000, 5000))), np.where(np.arange(4000) < 2000, rng.integers(2), -1)


def main() -> None:
    options = parser(__doc__, rounds=3)
    options.add_argument("--minutes", type=float, default=30, help="after which no case begins (default: %(default)s)")
    options.add_argument("--limit", type=float, default=60, help="seconds that a call may take (default: %(default)s)")
    options.add_argument("--only", nargs="+", help="methods (default: all)")
    options.add_argument("--resume", action="store_true", help="keep what an earlier run has measured")
    args = options.parse_args()
    end = time.monotonic() + 60 * args.minutes
    described, results = machine(), earlier_results("aligners_speed", args)
    described["versions"] |= {
        name: importlib.metadata.version(name) for name, there in (("skada", skada), ("pot", ot)) if there is not None
    }
    everyone = contenders()
    chosen = args.only or [*everyone, "denoiser"]
    sizes = [(200, 20)] if args.quick else [(n, d) for d in (50, 800, 5000) for n in (1000, 5000, 20000)]
    cases = [(n, d, method) for n, d in sizes for method in everyone if method in chosen]
    if "denoiser" in chosen and not args.quick:
        cases.insert(0, (4000, 5000, "denoiser"))
    held: tuple[Any, Any, tuple[int, int] | None] = (None, None, None)
    for n, d, method in cases:
        case = f"{method}, {n:,} x {d:,}"
        if case in results:
            continue
        if time.monotonic() > end:
            print(f"No time is left for {case}.")
            continue
        if method == "denoiser":
            methods = {"sktl": ours(MarginalizedDenoiser())}
            X, y = text()
        else:
            methods = {
                who: run for who, run in everyone[method].items() if n <= MOST_PAIRS or not takes_pairs(method, who)
            }
            if held[2] != (n, d):
                held = (*rows(n, d), (n, d))
            X, y, _ = held
        if not methods:
            continue
        results[case] = race(methods, X, y, args.rounds, args.limit, end)
        shown = {who: cell.get("median_seconds", cell.get("failed")) for who, cell in results[case].items()}
        print(case, shown, flush=True)
        if args.output or not args.quick:
            write_results("aligners_speed", {"machine": described, "limit": args.limit, "results": results}, args)
    table = [
        [case, who, cell.get("median_seconds"), cell["peak_mib"] and max(cell["peak_mib"]), cell.get("difference"),
         cell.get("sktl_is_faster", {}).get("of_medians") or cell.get("failed")]
        for case, cells in results.items() for who, cell in cells.items()
    ]  # fmt: skip
    print_table(["case", "", "seconds", "MiB", "difference", "sktl is faster"], table)


if __name__ == "__main__":
    main()
