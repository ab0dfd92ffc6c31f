"""How results are read and written: one number, a mean with its spread, a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


@cache
def read(name: str) -> Any:
    """Return what a benchmark wrote."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def there(name: str) -> bool:
    """Return whether a benchmark has written a result."""
    return (RESULTS / f"{name}.json").exists()


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], left: int = 1) -> str:
    """Return a table in Markdown; the first `left` columns are text, the others figures. None is an empty cell."""
    lines = [_line(header), "|" + " --- |" * left + " ---: |" * (len(header) - left)]
    return "\n".join(lines + [_line(row) for row in rows])


def _line(cells: Iterable[Any]) -> str:
    return "| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |"


def spread(values: Iterable[float], digits: int = 1) -> str:
    """Return the mean in percent, and the spread where there is more than one value."""
    found = 100 * np.array(list(values), float)
    mean = f"{found.mean():.{digits}f}"
    return mean if len(found) == 1 else f"{mean} ± {found.std():.{digits}f}"


def interval(cell: dict[str, float] | None, digits: int = 1) -> str | None:
    """Return a mean and its 95 % interval, as they were written."""
    return None if cell is None else f"{cell['mean']:.{digits}f} ± {cell['ci95']:.{digits}f}"


def bold_best(cells: Sequence[str | None], values: Sequence[float | None], digits: int) -> list[str | None]:
    """Return the cells, the best of them in bold, all that are level after rounding included."""
    best = max(round(value, digits) for value in values if value is not None)
    return [
        f"**{cell}**" if value is not None and round(value, digits) == best else cell
        for cell, value in zip(cells, values)
    ]


def minutes(seconds: float) -> str:
    """Return seconds as whole minutes."""
    return f"{seconds / 60:.0f} min"


def measured_on(*names: str) -> str:
    """Return which scripts made a section, on which machine, when, and with which versions."""
    lines = [_one_machine(name) for name in names]
    return '<p class="measured-on">' + "<br>".join(lines) + "</p>"


def _one_machine(name: str) -> str:
    found = read(name)
    machine = found.get("machine", {})
    script = found.get("benchmark", name)
    script = {"sinusoid_mixture": "sinusoid"}.get(script, script)
    parts = [f"<code>benchmarks/{script}.py</code> &rarr; <code>results/{name}.json</code>"]
    if "cpu" in machine:
        cores, threads = machine["cores"], machine["torch_threads"]
        parts.append(
            f"{machine['cpu']} ({machine['cpu_capability']}), {cores} core{'s' * (cores > 1)}, "
            f"{threads} thread{'s' * (threads > 1)} of PyTorch, load {machine['load_at_start']} at the start"
        )
    else:
        parts.append(f"{machine['cpus']} cores ({machine['processor']})")
    if "date" in machine:
        parts.append(machine["date"])
    versions = {"Python": machine["python"], **(machine.get("versions") or {})}
    parts.append(", ".join(f"{package} {version}" for package, version in versions.items()))
    if "note" in found:
        parts.append(found["note"])
    return "; ".join(parts)
