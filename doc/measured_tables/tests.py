"""What the tests reach."""

from __future__ import annotations

from measured_tables._write import measured_on, read, table, there


def what_tests_reach() -> str:
    """Return how many of the lines and branches the tests reach, by folder, and the files that are reached least."""
    if not there("reached_by_tests"):
        return "How much the tests reach has not been measured at this state: `python benchmarks/reached_by_tests.py`."
    found = read("reached_by_tests")["results"]
    said = (
        f"The tests that are not slow reach **{found['percent']:.1f} %** of the library's {found['n_lines']:,} "
        "statements and of the branches between them."
    )
    folders = table(
        ["folder", "reached, %"], [[f"`{name}`", f"{share:.1f}"] for name, share in found["folders"].items()]
    )
    least = table(["file", "reached, %"], [[f"`{name}`", f"{share:.1f}"] for name, share in found["least"].items()])
    return f"{said}\n\n{folders}\n\nReached least:\n\n{least}\n\n{measured_on('reached_by_tests')}"
