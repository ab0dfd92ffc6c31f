"""How the site is built: ``python -m sphinx -W doc build/html``; with SKTL_GALLERY=run the examples run too."""

from __future__ import annotations

import os
import sys
from pathlib import Path

DOC = Path(__file__).resolve().parent
os.environ["SKTL_DOC_URL"] = ".."  # diagrams in gallery pages link to the pages beside them
os.environ.setdefault("MPLBACKEND", "Agg")
sys.path[:0] = [str(DOC), str(DOC.parent)]

import pages  # noqa: E402

import sktl  # noqa: E402

project = "sktl"
author = "The sktl developers"
copyright = "The sktl developers, BSD-3-Clause"
version = release = sktl.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["templates/**"]
suppress_warnings = ["config.cache", "sphinx_gallery"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # types stand in the numpydoc sections
html_math_renderer = "mathml"  # in pages.py: browsers draw MathML by themselves, without a connection
default_role = "py:obj"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # the template lists them
numpydoc_xref_param_type = False
numpydoc_validation_checks = {"GL06", "GL07", "GL09", "PR02", "PR10", "SS01", "SS04", "SS05"}
numpydoc_validation_exclude = {r"\.set_\w+_request$", r"\.(get_params|set_params|fit_transform|set_output)$"}

# Links into other projects' documentation need a connection, and without one the build must pass.
intersphinx_mapping = {
    "sklearn": ("https://scikit-learn.org/stable/", None),
    "torch": ("https://docs.pytorch.org/docs/stable/", None),
    "skorch": ("https://skorch.readthedocs.io/en/stable/", None),
}
if not os.environ.get("SKTL_ONLINE"):
    intersphinx_mapping = {}

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"/plot_",
    "plot_gallery": os.environ.get("SKTL_GALLERY") == "run",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,  # their pages fetch scripts from elsewhere
    "min_reported_time": 1,
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "within_subsection_order": "ExampleTitleSortKey",
    "thumbnail_size": (480, 300),
}

html_theme = "pydata_sphinx_theme"
html_title = "sktl"
html_static_path = ["_static"]
html_css_files = ["sktl.css"]
html_search_scorer = str(DOC / "_static" / "scorer.js")
html_favicon = "_static/logo.svg"
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "sktl", "image_light": "_static/logo.svg", "image_dark": "_static/logo.svg", "alt_text": "sktl"},
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}
html_sidebars = {"index": [], "choice": [], "changelog": [], "limits": [], "coming_from": []}

copybutton_exclude = ".linenos, .gp, .go"


def setup(app):
    """Write the pages that are made of the code, and fill in figures as pages are read."""
    pages.setup(app)
