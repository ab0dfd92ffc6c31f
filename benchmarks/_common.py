"""What the benchmarks share: where the data lie, interleaved timing, the machine, tables and result files."""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import torch

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SKTL_DATA", REPOSITORY / "../shared/data")).resolve()
RESULTS = Path(__file__).resolve().parent / "results"
# Of DomainAdaptedClassifier: the same network for rows, whatever the loss, and nothing estimated of the classes.
WITH_BOTTLENECK: dict[str, Any] = {"bottleneck": 256, "target_shares": None}
PACKAGES = (
    "sktl",
    "torch",
    "torchvision",
    "timm",
    "openvino",
    "nncf",
    "scikit-learn",
    "skorch",
    "joblib",
    "numpy",
    "pillow",
    "embetter",
    "img2vec-pytorch",
)


def data_path(name: str) -> Path:
    """Return a file or folder of the data, or end the run with what is missing."""
    path = DATA / name
    if not path.exists():
        raise SystemExit(f"This benchmark needs {path}; set SKTL_DATA to the folder that has {name}.")
    return path


def parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    options = argparse.ArgumentParser(description=description.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="a small run that shows that it works; writes no results")
    options.add_argument("--rounds", type=int, default=rounds, help="interleaved rounds (default: %(default)s)")
    options.add_argument("--output", type=Path, help="where the JSON goes (default: benchmarks/results/)")
    return options


def peer(name: str) -> tuple[Any, str | None]:
    """Return a module, or the reason why it cannot be had; what it imports but a race does not need is stood in for."""
    for _ in range(12):
        try:
            return importlib.import_module(name), None
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if missing.split(".")[0] == name.split(".")[0] or missing in sys.modules:
                return None, str(error)
            sys.modules[missing] = mock.MagicMock()
        except Exception as error:
            return None, f"{type(error).__name__}: {error}"
    return None, "too much of what it imports is missing"


def interleaved(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each contender in each round; the rounds run A B C, B C A, C A B, ..."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            gc.collect()
            seconds[name].append(timed(contenders[name]))
    return seconds


def timed(function: Callable[[], Any]) -> float:
    """Return the seconds that a call takes; a number that the call returns counts instead."""
    start = time.perf_counter()
    result = function()
    elapsed = time.perf_counter() - start
    return result if isinstance(result, float) else elapsed


def ratio(slow: Sequence[float], fast: Sequence[float]) -> dict[str, float]:
    """Return how many times as fast `fast` is: the ratio of the medians, and the smallest and largest of a round."""
    each = [a / b for a, b in zip(slow, fast)]
    return {
        "of_medians": round(statistics.median(slow) / statistics.median(fast), 3),
        "smallest_of_a_round": round(min(each), 3),
        "largest_of_a_round": round(max(each), 3),
    }


def machine() -> dict[str, Any]:
    """Describe what the figures were measured on."""
    described: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch_threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "date": datetime.now(UTC).date().isoformat(),
    }
    if torch.cuda.is_available():
        described["gpu"] = torch.cuda.get_device_name()
        described["cuda"] = torch.version.cuda
    return described


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table in Markdown; None is an empty cell."""
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    for row in rows:
        print("| " + " | ".join("" if cell is None else str(cell) for cell in row) + " |", flush=True)


def write_results(name: str, results: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Write ``benchmarks/results/<name>.json``; a quick run writes only where ``--output`` says."""
    path = options.output or (None if options.quick else RESULTS / f"{name}.json")
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"benchmark": name, "quick": options.quick, **results}, indent=2) + "\n")
    print(f"\nwritten to {path}")


def earlier_results(name: str, options: argparse.Namespace) -> Any:
    """Return the results that an earlier run wrote where this one will, if the options say to go on from them."""
    path = options.output or RESULTS / f"{name}.json"
    return json.loads(path.read_text())["results"] if options.resume and path.exists() else {}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None
