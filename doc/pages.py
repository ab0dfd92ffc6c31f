"""Pages that are made at build time: the API reference from `__all__`, figures from JSON, llms.txt from all pages."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import measured
from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from numpydoc.docscrape_sphinx import SphinxDocString
from sphinx_gallery.utils import scale_image

import sktl

DOC = Path(__file__).resolve().parent
FAMILIES = {
    "sktl.features": "Codes of pretrained networks",
    "sktl.finetuning": "Fine-tuning",
    "sktl.adaptation": "Domain adaptation",
    "sktl.adaptation.losses": "Losses of domain adaptation",
    "sktl.aligners": "Aligners, for any classifier",
    "sktl.reweighting": "Reweighting of source rows",
    "sktl.safety": "Safety: adaptation that does no harm",
    "sktl.density_ratios": "Density ratios",
    "sktl.metrics": "Scores without target labels",
    "sktl.metrics.transferability": "Transferability",
    "sktl.metrics.distances": "Distances of domains",
    "sktl.fewshot": "Few-shot learning and meta-learning",
    "sktl.fewshot.heads": "Few-shot heads",
    "sktl.fewshot.transductive": "Transductive few-shot inference",
    "sktl.model_selection": "Splits and episodes",
    "sktl.advisor": "The advisor: when and how to transfer",
    "sktl.displays": "Displays",
    "sktl.backbones": "Backbones: networks and their layers",
    "sktl.images": "Pictures in any form",
    "sktl.texts": "Texts in any form",
    "sktl.datasets": "Data sets",
    "sktl.cache": "Stores of codes",
    "sktl.training": "The training loop",
    "sktl.exceptions": "Errors and warnings",
}


def setup(app: Any) -> None:
    """Connect what happens while the site is built."""
    compile_once()
    app.add_html_math_renderer("mathml", (inline_math, None), (display_math, None))
    app.connect("config-inited", on_config)
    app.connect("builder-inited", draw_thumbnails, priority=900)  # after the gallery's own
    app.connect("source-read", on_read)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("build-finished", write_llms)


def on_config(app: Any, config: Any) -> None:
    """Write what is made of code and of results before pages are looked for."""
    measured.write()
    config.autosummary_generate = [f"api/{page}.rst" for page in write_api()]


def compile_once() -> None:
    """Have numpydoc compile its template once, not for each docstring: that was a tenth of the build."""
    load, found = SphinxDocString.load_config, {}

    def load_config(self: Any, config: Any) -> None:
        load(self, {"template": found.get("template"), **config})
        found.setdefault("template", self.template)

    SphinxDocString.load_config = load_config


def inline_math(translator: Any, node: Any) -> None:
    """Write a formula within a line as MathML."""
    translator.body.append(convert(node.astext()))
    raise SkipNode


def display_math(translator: Any, node: Any) -> None:
    """Write a formula of its own as MathML."""
    formula = convert(node.astext().strip(), display="block")
    translator.body.append(f'<div class="math">{formula}</div>\n')
    raise SkipNode


def draw_thumbnails(app: Any) -> None:
    """Make thumbnails of the pictures that are kept, where the gallery is not run."""
    if app.config.sphinx_gallery_conf["plot_gallery"]:
        return
    for picture in (DOC / "_static" / "gallery").glob("*.png"):
        thumbnail = DOC / "gallery" / "images" / "thumb" / f"sphx_glr_{picture.stem}_thumb.png"
        scale_image(picture, thumbnail, *app.config.sphinx_gallery_conf["thumbnail_size"])


def on_read(app: Any, page: str, source: list[str]) -> None:
    """Show an example's picture where the gallery was not run."""
    if page == "reliability":  # written by tests/stress, linked from the limits
        source[0] = f"---\norphan: true\n---\n\n{source[0]}"
    picture = DOC / "_static" / f"{page}.png"
    if page.startswith("gallery/plot_") and picture.exists() and ".. image-sg::" not in source[0]:
        mark = ".. _sphx_glr_download_"
        shown = f".. image:: /_static/{page}.png\n   :alt: the figure of this example\n\n"
        source[0] = source[0].replace(mark, shown + mark, 1)


def skip_member(app: Any, kind: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what scikit-learn and skorch define: their own pages describe it."""
    found = inspect.unwrap(member) if callable(member) else getattr(member, "fget", None)
    module = getattr(found, "__module__", None) or ""
    return True if module and not module.startswith("sktl") else None


def packages() -> list[str]:
    """Return all public packages that list public names, those of families first."""
    found = ["sktl"]
    for package in pkgutil.walk_packages(sktl.__path__, "sktl."):
        is_public = not any(part.startswith("_") for part in package.name.split("."))
        if is_public and getattr(importlib.import_module(package.name), "__all__", None):
            found.append(package.name)
    order = [*FAMILIES, "sktl"]
    return sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))


def public_names() -> dict[str, list[str]]:
    """Return the public names of each package, each name in the outermost package of its family only."""
    seen: set[int] = set()
    found = {}
    for package in packages():
        module = importlib.import_module(package)
        names = [name for name in module.__all__ if name != "__version__" and id(getattr(module, name)) not in seen]
        seen |= {id(getattr(module, name)) for name in names}
        if names:
            found[package] = sorted(names, key=str.lower)
    return found


def write_api() -> list[str]:
    """Write a page for each package, and the list of them; returns the pages' names."""
    (DOC / "api").mkdir(exist_ok=True)
    pages = []
    for package, names in public_names().items():
        module = importlib.import_module(package)
        title = FAMILIES.get(package) or ("Everything else" if package == "sktl" else summary(module).rstrip("."))
        kinds: dict[str, list[str]] = {"Classes": [], "Functions": [], "Tables and constants": []}
        for name in names:
            value = getattr(module, name)
            kind = "Classes" if inspect.isclass(value) else "Functions" if inspect.isroutine(value) else ""
            kinds[kind or "Tables and constants"].append(name)
        page = package.replace(".", "_")
        pages.append(page)
        write(DOC / "api" / f"{page}.rst", api_page(package, title, kinds))
    text = (
        "API reference\n=============\n\n"
        "All public names, by family. The headline names, such as ``CNNCodesTransformer``, can be imported from "
        "``sktl`` itself.\n\n.. toctree::\n   :maxdepth: 1\n\n"
    )
    write(DOC / "api" / "index.rst", text + "".join(f"   {page}\n" for page in pages))
    return pages


def api_page(package: str, title: str, kinds: dict[str, list[str]]) -> str:
    """Return the page of one package."""
    text = f"{title}\n{'=' * len(title)}\n\n``{package}``: {summary(importlib.import_module(package))}\n\n"
    for kind, names in kinds.items():
        if not names:
            continue
        text += f"{kind}\n{'-' * len(kind)}\n\n"
        if kind == "Tables and constants":
            text += "".join(f"``{name}``\n    {described(getattr(importlib.import_module(package), name))}\n\n"
                            for name in names)  # fmt: skip
            continue
        text += f".. currentmodule:: {package}\n\n.. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n"
        text += "".join(f"   {name}\n" for name in names) + "\n"
    return text


def described(value: Any) -> str:
    """Return what a table of names, or a constant, holds."""
    if hasattr(value, "keys"):
        return "Names: " + ", ".join(f"``{key}``" for key in value) + "."
    if isinstance(value, (tuple, list, set, frozenset)):
        return "Names: " + ", ".join(f"``{key}``" for key in value) + "."
    return f"``{value!r}``"


def summary(module: Any) -> str:
    """Return the first sentence of a docstring."""
    return re.sub(r"\s+", " ", (inspect.getdoc(module) or "").split("\n\n")[0])


def write(path: Path, text: str) -> None:
    """Write a file if its text is new, so that an unchanged page is not built again."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def write_llms(app: Any, error: Exception | None) -> None:
    """Write llms.txt: what sktl is, and a line for each page, for programs that read documentation."""
    if error is not None or app.builder.format != "html":
        return
    lines = ["# sktl", "", f"> {importlib.import_module('sktl').__doc__.strip().splitlines()[0]}", ""]
    groups: dict[str, list[str]] = {"Start": [], "User guide": [], "Measured": [], "Examples": [], "API": []}
    kinds = {"guide": "User guide", "measured": "Measured", "gallery": "Examples", "api": "API"}
    for page in sorted(app.env.found_docs):
        title = app.env.titles[page].astext()
        groups[kinds.get(page.split("/")[0], "Start")].append(f"- [{title}]({page}.html)")
    for group, entries in groups.items():
        lines += [f"## {group}", "", *entries, ""]
    (Path(app.outdir) / "llms.txt").write_text("\n".join(lines))
