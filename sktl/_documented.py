"""Where an estimator's page lies, to which its HTML diagram links."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import metadata
from typing import Any

VARIABLE = "SKTL_DOC_URL"


class Documented:
    """Mixin: the diagram of a notebook links to the estimator's page, where the site's address is known.

    The address is the environment variable ``SKTL_DOC_URL``, or what pyproject.toml's ``[project.urls]`` says under
    "Documentation". Where neither is there, the diagram has no link.
    """

    _doc_link_module = "sktl"

    @property
    def _doc_link_template(self) -> str:
        address = os.environ.get(VARIABLE) or _published()
        return f"{address.rstrip('/')}/api/generated/{{module}}.{{name}}.html" if address else ""

    def _doc_link_url_param_generator(self) -> dict[str, Any]:
        return {"module": public_module(type(self)), "name": type(self).__name__}


def public_module(kind: type) -> str:
    """Return the outermost package of a family that has a class among its public names."""
    parts = kind.__module__.split(".")
    for n in range(2, len(parts)):
        package = ".".join(parts[:n])
        if kind.__name__ in getattr(sys.modules.get(package), "__all__", ()):
            return package
    return ".".join(part for part in parts if not part.startswith("_"))


@cache
def _published() -> str:
    try:
        found = metadata.metadata("sktl").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    urls = dict(entry.split(", ", 1) for entry in found)
    return urls.get("Documentation", "")
