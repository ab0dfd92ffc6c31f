"""Figures in the documentation come from the benchmarks' results.

A page with figures has a template in `doc/templates`, where ``{{ expression }}`` stands for a figure or a table. An
expression is Python over the functions of `measured_tables` and over `read`, which returns what a benchmark wrote;
``{{ omniglot("protonet", "5w1s") | .1f }}`` formats a number. The pages, and README's rows of figures, are filled by::

    python doc/measured.py

Every build of the site fills them anew, and a test compares them, so that no figure can differ from its JSON.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

DOC = Path(__file__).resolve().parent
sys.path.insert(0, str(DOC))

from measured_tables import (  # noqa: E402
    _write,
    adaptation,
    advisor,
    automatic,
    classes,
    codes,
    defaults,
    extraction,
    fewshot,
    finetuning,
    one_machine,
    regression,
    safety,
    scale,
    source_free,
    sources,
    tests,
    texts,
)

PLACE = re.compile(r"\{\{(.+?)\}\}", flags=re.DOTALL)
KEPT = "[^kept]: An earlier run, whose JSON was not kept.\n"
README = DOC.parent / "README.md"
TEMPLATES = DOC / "templates"
FIGURES = Path("readme_figures.md")
MODULES = (
    _write,
    adaptation,
    advisor,
    automatic,
    classes,
    codes,
    defaults,
    extraction,
    fewshot,
    finetuning,
    one_machine,
    regression,
    safety,
    scale,
    source_free,
    sources,
    tests,
    texts,
)
NAMES: dict[str, Any] = {
    name: value
    for module in MODULES
    for name, value in vars(module).items()
    if callable(value) and not name.startswith("_")
}


def kept(figure: str) -> str:
    """Return a figure of a run whose JSON was not kept, marked as such."""
    return f"{figure}[^kept]"


def link_to_reliability() -> str:
    """Return a link to the page that the attacks of `tests/stress` write, if it is there."""
    there = (DOC / "reliability.md").exists()
    return "- What was tried to break sktl, and what came of it: [reliability](reliability.md)." if there else ""


def shown() -> set[str]:
    """Return the results that have a place in a page."""
    text = "".join(template.read_text() for template in TEMPLATES.rglob("*.md"))
    found = {name for names in re.findall(r"measured_on\((.+?)\)", text) for name in re.findall(r'"(\w+)"', names)}
    return found | ({"reached_by_tests"} if _write.there("reached_by_tests") else set())  # its table builds without it


def without_a_page() -> str:
    """Return the names of results that no page shows yet."""
    return ", ".join(
        f"`{name}.json`" for name in sorted({path.stem for path in _write.RESULTS.glob("*.json")} - shown())
    )


NAMES |= {"without_a_page": without_a_page, "kept": kept, "link_to_reliability": link_to_reliability}


def work_out(place: str) -> str:
    """Return what one place in a page says."""
    expression, _, form = place.rpartition(" | ") if " | " in place else (place, "", "")
    value = eval(expression.strip(), dict(NAMES))
    if value is None or value != value:
        raise ValueError(f"{expression.strip()} is no figure of the results: it is {value}.")
    return format(value, form.strip())


def fill(text: str) -> str:
    """Return a page with all its places filled."""
    filled = PLACE.sub(lambda found: work_out(found[1]), text)
    return f"{filled}\n{KEPT}" if "[^kept]" in filled else filled


def pages() -> dict[Path, str]:
    """Return the text of each page with figures, README among them."""
    found = {}
    for template in sorted(TEMPLATES.rglob("*.md")):
        name = template.relative_to(TEMPLATES)
        if name != FIGURES:
            found[DOC / name] = page(template.read_text(), name)
    return found | {README: readme()}


def page(text: str, name: Path) -> str:
    """Return a filled page that says what it was made of, behind its front matter if it has one."""
    note = f"<!-- Made of doc/templates/{name} by doc/measured.py: edit that. -->\n\n"
    front, rest = re.match(r"(---\n.*?\n---\n\n)?(.*)", text, flags=re.DOTALL).groups()
    return f"{front or ''}{note}{fill(rest)}"


def readme() -> str:
    """Return README with its rows of figures renewed."""
    text, rows = README.read_text(), fill((TEMPLATES / FIGURES).read_text()).strip()
    before, _, rest = text.partition("<!-- figures -->\n")
    after = rest.partition("<!-- end of figures -->")[2]
    return f"{before}<!-- figures -->\n{rows}\n\n<!-- end of figures -->{after}"


def write() -> list[Path]:
    """Write the pages whose text is new; returns them."""
    new = [(path, text) for path, text in pages().items() if not path.exists() or path.read_text() != text]
    for path, text in new:
        path.write_text(text)
    return [path for path, _ in new]


if __name__ == "__main__":
    for written in write():
        print(f"written: {written.relative_to(DOC.parent)}")
