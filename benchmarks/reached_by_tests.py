"""How much of the library the tests reach: lines and branches, by folder, and the files that are reached least.

Tests that are slow are left out. Each folder of tests runs in a process of its own, until --minutes are over; what was
run stands in the result. Run ``python benchmarks/reached_by_tests.py --minutes 60``, with ``pip install -e ".[dev]"``.
Or let one run of all tests measure, and read what it wrote::

    python -m pytest -q -n 2 -m "not slow" --cov --cov-report=json:coverage.json
    python benchmarks/reached_by_tests.py --from coverage.json
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import earlier_results, machine, parser, print_table, write_results

ROOT = Path(__file__).resolve().parent.parent
LEAST = 10  # files that are named


def parts() -> list[list[str]]:
    """Return the paths of tests that run together: the folders, and the files beside them in fives."""
    folders = sorted(path for path in (ROOT / "tests").iterdir() if any(path.rglob("test_*.py")))
    files = sorted((ROOT / "tests").glob("test_*.py"))
    split = [sorted(folder.iterdir()) if any(p.is_dir() for p in folder.iterdir()) else [folder] for folder in folders]
    tested = [[p] for group in split for p in group if p.is_dir() and any(p.rglob("test_*.py"))]
    tested += [[p for p in group if p.is_file() and p.name.startswith("test_")] for group in split]
    tested += [files[i : i + 5] for i in range(0, len(files), 5)]
    named = [[str(path.relative_to(ROOT)) for path in paths] for paths in tested if paths]
    return sorted(named, key=_size)  # the shortest first: most have run when time is over


def _size(paths: list[str]) -> int:
    files = [
        file for path in paths for file in ([ROOT / path] if path.endswith(".py") else (ROOT / path).rglob("*.py"))
    ]
    return sum(file.stat().st_size for file in files)


def run(paths: list[str], data: Path, seconds: float) -> str:
    """Run some tests, keep which lines they reach, and return how it ended."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not slow",
        "--cov",
        "--cov-report=",
    ]
    environment = os.environ | {"COVERAGE_FILE": str(data / f"of.{paths[0].replace('/', '.')}"), "MPLBACKEND": "Agg"}
    try:
        done = subprocess.run(
            [*command, *paths], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return "no time was left"
    return (done.stdout.strip().splitlines() or [done.stderr[-200:]])[-1].strip("= ")


def reached(data: Path) -> dict:
    """Return what all tests together reach, in percent."""
    whole = data / "whole"
    environment = os.environ | {"COVERAGE_FILE": str(whole)}
    of_parts = [str(path) for path in data.glob("of.*")]
    for command in (["combine", "--keep", *of_parts], ["json", "-q", "-o", str(data / "found.json")]):
        subprocess.run([sys.executable, "-m", "coverage", *command], cwd=ROOT, env=environment, check=True)
    return summed(json.loads((data / "found.json").read_text()))


def summed(found: dict) -> dict:
    """Return how much is reached, in percent, of a report that coverage wrote as JSON."""
    files = {name: file["summary"] for name, file in found["files"].items()}
    folders: dict[str, list[dict]] = {}
    for name, summary in files.items():
        folders.setdefault(name.split("/")[1] if name.count("/") > 1 else "sktl", []).append(summary)

    def percent(summaries: list[dict]) -> float:
        n_reached = sum(s["covered_lines"] + s["covered_branches"] for s in summaries)
        return round(100 * n_reached / max(1, sum(s["num_statements"] + s["num_branches"] for s in summaries)), 1)

    least = sorted((name for name, s in files.items() if s["num_statements"] >= 20), key=lambda n: percent([files[n]]))
    return {
        "percent": percent(list(files.values())),
        "n_lines": sum(s["num_statements"] for s in files.values()),
        "folders": {name: percent(summaries) for name, summaries in sorted(folders.items())},
        "least": {name: percent([files[name]]) for name in least[:LEAST]},
    }


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--minutes", type=float, default=60, help="for all tests together (default: %(default)s)")
    options.add_argument("--from", dest="report", type=Path, help="a JSON of coverage's; no test is run then")
    options.add_argument("--data", type=Path, help="the folder of what was reached (default: a temporary one)")
    options.add_argument("--resume", action="store_true", help="go on from the results that are there, with --data")
    args = options.parse_args()
    if args.report:
        results = summed(json.loads(args.report.read_text()))
        write_results("reached_by_tests", {"machine": machine(), "results": results}, args)
        return show(results)
    end = time.monotonic() + 60 * args.minutes
    data = args.data or Path(tempfile.mkdtemp(prefix="sktl-coverage-"))
    data.mkdir(exist_ok=True)
    ran = (earlier_results("reached_by_tests", args) or {}).get("ran", {})
    described = machine()
    for paths in parts()[: 1 if args.quick else None]:
        left = end - time.monotonic()
        if left < 10 or ran.get(paths[0], "").find("passed") >= 0:
            continue
        ran[paths[0]] = run(paths, data, left)
        print(f"{' '.join(paths)}: {ran[paths[0]]}", flush=True)
        write_results("reached_by_tests", {"machine": described, "results": reached(data) | {"ran": ran}}, args)
    show(reached(data))


def show(results: dict) -> None:
    """Print what is reached."""
    print_table(["folder", "reached, %"], [[name, str(value)] for name, value in results["folders"].items()])
    print_table(["file", "reached, %"], [[name, str(value)] for name, value in results["least"].items()])


if __name__ == "__main__":
    main()
