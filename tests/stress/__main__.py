"""Attack the library for some minutes, and write what was found as a table.

Each attack runs in a process of its own, so that one that kills it counts as a violation and the others go on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# How many cases a process tries at a time: few enough to look at the clock in between.
AT_A_TIME = {
    "inputs": 1_000, "pictures": 500, "picture_peaks": 4, "kills": 18, "damage": 100, "store_records": 5_000,
    "full_disk": 12, "threads": 10, "forks": 3, "growth": 2,
}  # fmt: skip
SHARES = {
    "inputs": 6, "pictures": 6, "picture_peaks": 2, "kills": 8, "damage": 4, "store_records": 1, "full_disk": 1,
    "threads": 2, "forks": 6, "growth": 8,
}  # of the time  # fmt: skip
SAYS = {
    "inputs": "odd rows, labels, weights, domains and settings, to every estimator, scorer and splitter",
    "pictures": "damaged picture files",
    "picture_peaks": "the largest pictures that are accepted: at most 1 GB each",
    "kills": "processes killed (-9) while they extract, train or save",
    "damage": "damaged stores, checkpoints and saved models",
    "store_records": "damaged and made-up records of a store",
    "full_disk": "a store on a disk that has little room",
    "threads": "eight threads that fit and predict at once",
    "forks": "forks, while a thread computes and after an engine was built",
    "growth": "memory over many rounds of fit and predict",
}
PROGRAM = """
import importlib, json, sys
name, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
found = importlib.import_module("tests.stress." + name).run(count, seed)
print("RESULT " + json.dumps([found.n_cases, found.violations, found.skipped]))
"""
LIMIT = 900  # seconds for one process


def main() -> int:
    """Run the attacks; returns how many cases broke the contract, at most 99."""
    here = Path(__file__).resolve().parent
    names = [name for name in AT_A_TIME if (here / f"{name}.py").is_file()]
    options = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    options.add_argument("--minutes", type=float, default=20, help="for all attacks together (default: %(default)s)")
    options.add_argument("--seed", type=int, default=0, help="of the first cases; later ones go on from it")
    options.add_argument("--jobs", type=int, default=1, help="attacks at a time (default: %(default)s)")
    options.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    options.add_argument("--output", type=Path, help="a JSON file for the counts")
    options.add_argument("--more", action="store_true", help="add to the counts that --output holds, with other seeds")
    options.add_argument("--page", type=Path, help="a Markdown file for the table")
    given = options.parse_args()
    earlier: dict = {}
    if given.more and given.output and given.output.is_file():
        earlier = json.loads(given.output.read_text())["attacks"]

    whole = sum(SHARES[name] for name in given.only)

    def attacked(name: str) -> dict:
        seed = earlier.get(name, {}).get("next_seed", given.seed)
        row = _attack(name, seed, given.minutes * 60 * given.jobs * SHARES[name] / whole)
        tried = row["skipped"] or f"{row['cases']} cases"
        lines = [f"{name}: {tried}, {len(row['violations'])} violations", *row["violations"][:20]]
        print("\n    ".join(lines), flush=True)
        return _together(earlier[name], row) if name in earlier else row

    with ThreadPoolExecutor(given.jobs) as pool:
        rows = dict(zip(given.only, pool.map(attacked, given.only)))
    rows = {name: rows.get(name, earlier.get(name)) for name in names if name in rows or name in earlier}
    found = {"date": date.today().isoformat(), "machine": _machine(), "minutes": given.minutes, "attacks": rows}
    if given.output:
        given.output.write_text(json.dumps(found, indent=1) + "\n")
    if given.page:
        given.page.write_text(page(found))
    return min(99, sum(len(row["violations"]) for row in rows.values()))


def _together(one: dict, other: dict) -> dict:
    """Return the counts of two runs of an attack."""
    return other | {what: one[what] + other[what] for what in ("cases", "violations", "seconds")}


def _attack(name: str, seed: int, seconds: float) -> dict:
    """Try cases until the time is over, at least one process's."""
    row: dict = {"cases": 0, "violations": [], "skipped": None, "seconds": 0}
    start = time.monotonic()
    while True:
        command = [sys.executable, "-c", PROGRAM, name, str(AT_A_TIME[name]), str(seed)]
        environment = {"OMP_NUM_THREADS": "1", "SCIPY_ARRAY_API": "1", **os.environ, "PYTHONPATH": str(ROOT)}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
            )
            told = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
            why = f"ended with {done.returncode}: {done.stderr[-500:]}"
        except subprocess.TimeoutExpired:
            told, why = [], f"hung for {LIMIT} s"
        if told:
            cases, violations, row["skipped"] = json.loads(told[-1].removeprefix("RESULT "))
            row["cases"] += cases
            row["violations"] += violations
        else:
            row["cases"] += 1
            row["violations"].append(f"seed {seed}: the process {why}")
        seed += 1
        row["seconds"] = round(time.monotonic() - start)
        row["next_seed"] = seed
        if row["skipped"] or row["seconds"] >= seconds:
            return row


def _machine() -> str:
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [int(line.split()[1]) / 2**20 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    room = f", {memory[0]:.0f} GiB" if memory else ""
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores{room}, {platform.system()}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).is_file() else []


def page(found: dict) -> str:
    """Return the page of reliability, in Markdown."""
    lines = [
        "# Reliability",
        "",
        "Programs in `tests/stress/` attack the library. A violation is a wrong answer, an error that the",
        "documentation does not name, a process that dies or hangs, or memory that is not given back.",
        "",
        "| attack | what is tried | cases | violations | seconds |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for name, row in found["attacks"].items():
        cases = row["skipped"] or f"{row['cases']:,}"
        lines.append(f"| `{name}` | {SAYS[name]} | {cases} | {len(row['violations'])} | {row['seconds']} |")
    lines += [
        "",
        f"Taken on {found['date']}: {found['machine']}. Anyone can renew it:",
        "",
        "```console",
        "python -m tests.stress --minutes 20 --page doc/reliability.md",
        "```",
        "",
        "A shorter run of each attack is part of the tests.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
