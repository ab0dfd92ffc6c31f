"""The site: its figures come from the benchmarks' results, it builds without a warning, its links lead somewhere."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
DOC = ROOT / "doc"
sys.path.insert(0, str(DOC))

import measured  # noqa: E402

from sktl.advisor._reasons import FOREST, TRAINING  # noqa: E402
from tests.browser import CHROMIUM, DRIVER, MISSING, Browser, served  # noqa: E402

PAGES = measured.pages()
TEMPLATES = sorted(measured.TEMPLATES.rglob("*.md"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_figures_are_those_of_the_results(path):
    assert path.read_text() == PAGES[path], "run: python doc/measured.py"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(measured.TEMPLATES)))
def test_figures_stand_in_places(template):
    """Outside of places and of code no accuracy, error or factor is written by hand; counts and settings are whole."""
    text = measured.PLACE.sub("", template.read_text())
    text = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    written = re.findall(r"\d+\.\d+", text)
    assert not set(written) - {"0.5"}, "figures of the results belong in places: {{ ... }}"


def test_results_that_are_shown_exist():
    names = {path.stem for path in measured._write.RESULTS.glob("*.json")}
    assert len(measured.shown()) > 20
    assert measured.shown() <= names


def test_a_place_is_worked_out(tmp_path, monkeypatch):
    """Another result gives another page: nothing is written by hand on the way."""
    for path in measured._write.RESULTS.glob("*.json"):
        shutil.copy(path, tmp_path)
    found = (tmp_path / "omniglot.json").read_text()
    (tmp_path / "omniglot.json").write_text(found.replace("98.48", "12.34"))
    monkeypatch.setattr(measured._write, "RESULTS", tmp_path)
    measured._write.read.cache_clear()
    try:
        assert measured.work_out(' omniglot("protonet", "5w1s") | .2f ') == "12.34"
        assert "12.3 ± 0.2" in measured.pages()[DOC / "measured" / "omniglot.md"]
    finally:
        measured._write.read.cache_clear()


def test_a_place_without_a_figure_is_an_error():
    """Or a page would say None, or nan."""
    for nothing in ("None", 'float("nan")', 'adapted("usps->mnist", "no such loss")'):
        with pytest.raises(ValueError, match="is no figure of the results"):
            measured.work_out(f" {nothing} ")


def test_what_tests_reach_is_told_where_it_was_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(measured._write, "RESULTS", tmp_path)
    measured._write.read.cache_clear()
    try:
        assert "has not been measured" in measured.tests.what_tests_reach()
        results = {"percent": 81.5, "n_lines": 12345, "folders": {"images": 80.0}, "least": {"sktl/images/_a.py": 12.5}}
        machine = {"cpus": 2, "processor": "a processor", "python": "3.11"}
        written = json.dumps({"results": results, "machine": machine})
        (tmp_path / "reached_by_tests.json").write_text(written)
        told = measured.tests.what_tests_reach()
        for part in ("**81.5 %**", "12,345", "| `images` | 80.0 |", "| `sktl/images/_a.py` | 12.5 |", "2 cores"):
            assert part in told
    finally:
        measured._write.read.cache_clear()


def test_readme_is_one_screen():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name)
def test_links_of_pages_outside_the_site(page):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert not [link for link in links if "://" not in link and not (ROOT / link).exists()]


def test_pictures_are_of_examples():
    """What pages show where the gallery was not run: each example has one."""
    drawn = {path.stem for path in (DOC / "_static" / "gallery").glob("*.png")}
    assert drawn == {path.stem for path in (ROOT / "examples").glob("plot_*.py")}


def test_all_displays_are_in_the_guide():
    from sktl import displays

    listed = re.findall(r"^\| `(\w+)` \|", (DOC / "guide" / "displays.md").read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(displays.__all__)


class Links(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        self.links |= {found[key] for key in ("href", "src") if found.get(key)}


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The site, built as ``python -m sphinx -W doc build/html`` does, from a copy and without running the examples.

    Where several processes test, one of them builds it for all.
    """
    for package in ("sphinx", "pydata_sphinx_theme", "numpydoc", "sphinx_gallery", "sphinx_design", "myst_parser"):
        pytest.importorskip(package, reason='the site is built by packages of the extra "doc"')
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "site"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "html" / "llms.txt").exists():  # the last file of a build
            build(folder)
    return folder / "html"


def build(folder):
    """Build the site in a folder that a failed build may have left."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("doc", "examples", "benchmarks/results", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "sktl"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        ignored = {"ignore": shutil.ignore_patterns("gallery_*", "__pycache__")} if (ROOT / name).is_dir() else {}
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, folder / name, **ignored)
    env = {key: value for key, value in os.environ.items() if key not in ("SKTL_GALLERY", "SKTL_ONLINE", "SKTL_DATA")}
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "doc", "html"]
    env["PYTHONPATH"] = str(folder)
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=900)
    if done.returncode:
        shutil.rmtree(folder / "html", ignore_errors=True)
    assert done.returncode == 0, done.stderr[-4000:]


def test_links_lead_somewhere(site):
    pages = {path: Links(path.read_text()) for path in site.rglob("*.html") if "_static" not in path.parts}
    assert len(pages) > 100
    anchors = {str(path): page.anchors for path, page in pages.items()}
    files = {str(path) for path in site.rglob("*")}  # looked up for each of 100,000 links
    folders = {str(site), *(str(path.parent) for path in site.rglob("*"))}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not (parts.path or parts.fragment):
                continue
            target = os.path.normpath(path.parent / unquote(parts.path)) if parts.path else str(path)
            target = f"{target}/index.html" if target in folders else target
            anchor = unquote(parts.fragment)
            if target not in files or (anchor and target in anchors and anchor not in anchors[target]):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken, broken[:30]


def test_the_reference_has_every_public_name(site):
    import pages

    for package, names in pages.public_names().items():
        for name in names:
            page = site / "api" / f"{package.replace('.', '_')}.html"
            assert name in page.read_text(), f"{package}.{name}"
    assert (site / "api" / "generated" / "sktl.features.CNNCodesTransformer.html").exists()


def test_the_search_finds_names(site):
    assert "CNNCodesTransformer" in (site / "searchindex.js").read_text()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None or DRIVER is None:
        pytest.skip(MISSING)
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


SEEN = ["index.html", "gallery/plot_quickstart.html", "api/generated/sktl.features.CNNCodesTransformer.html",
        "measured/index.html", "measured/codes.html", "choice.html"]  # fmt: skip
LOOK = """
const shade = color => color.match(/[0-9.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 765;
const scrolls = part => part.tagName == "ARTICLE" ? null
  : ["auto", "scroll"].includes(getComputedStyle(part).overflowX) ? part : scrolls(part.parentElement);
const seen = getComputedStyle(document.querySelector("h1"));
return {
  width: document.documentElement.scrollWidth,
  theme: document.documentElement.dataset.theme,
  ground: shade(getComputedStyle(document.body).backgroundColor),
  ink: shade(seen.color),
  words: document.querySelector("article").innerText.length,
  cut: [...document.querySelectorAll("article h1, article h2, article dt.sig")]
    .filter(part => part.scrollWidth > part.clientWidth + 1).map(part => part.innerText.slice(0, 60)),
  beyond: [...document.querySelectorAll("article *")].filter(part => {
    const place = part.getBoundingClientRect();
    const frame = scrolls(part.parentElement);
    const start = frame ? frame.getBoundingClientRect().left - frame.scrollLeft : 0;
    return place.width > 1 && place.height > 1 && getComputedStyle(part).visibility == "visible"
      && !part.closest(".sphx-glr-download, .sphx-glr-thumbcontainer, .sd-stretched-link, .headerlink")
      && ((!frame && place.right > document.documentElement.clientWidth + 1) || place.left < start - 1);
  }).map(part => part.tagName + " " + part.textContent.slice(0, 60)).slice(0, 5),
  lost: [...document.images].filter(image => image.complete && !image.naturalWidth).map(image => image.src),
};
"""


def looked_at(browser, address, page, width, scheme):
    """Open a page: no error in its console, nothing wider than the screen, cut off or lost. Returns what was seen."""
    browser.errors()
    browser.open(f"{address}/{page}", width, scheme)
    where = f"{page} at {width} px, {scheme}"
    assert browser.wait_for("return document.readyState == 'complete' && !!document.querySelector('h1')"), where
    look = browser.run(LOOK)
    assert browser.errors() == [], where
    assert look["width"] <= width, where
    assert look["cut"] == look["lost"] == look["beyond"] == [], (where, look)
    return look


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_pages_in_a_browser(site, browser, width, scheme):
    """Ink stands out of the ground, in the scheme that is asked for."""
    with served(site) as address:
        for page in SEEN:
            look = looked_at(browser, address, page, width, scheme)
            where = f"{page} at {width} px, {scheme}"
            assert look["theme"] == scheme, where
            assert abs(look["ground"] - look["ink"]) > 0.5, where
            assert (look["ground"] > 0.5) == (scheme == "light"), where
            assert look["words"] > 300, where


def test_every_page_on_a_phone(site, browser):
    """All pages but those of single names, of which there are some that are long."""
    pages = sorted(path.relative_to(site) for path in site.rglob("*.html") if "_static" not in path.parts)
    pages = [page for page in pages if page.parent.name != "generated" and page.name != "search.html"]
    assert len(pages) > 60
    with served(site) as address:
        for page in pages:
            looked_at(browser, address, page, 400, "light")


def test_thumbnails_show_what_examples_draw(site):
    found = list((site / "_images").glob("sphx_glr_plot_*_thumb.png"))
    assert len(found) == len(list((ROOT / "examples").glob("plot_*.py")))
    assert len({path.read_bytes() for path in found}) == len(found)


SOUGHT = {
    "CNNCodesTransformer": "CNNCodesTransformer",
    "MAML": "MAMLLearner",
    "domain adaptation": "guide/adaptation",
    "covariate shift": "guide/reweighting",
    "prototypes": "guide/few_shot",
    "fine-tuning": "guide/finetuning",
}


def test_the_search_answers_in_a_browser(site, browser):
    with served(site) as address:
        for words, page in SOUGHT.items():
            browser.open(f"{address}/search.html?q={words.replace(' ', '+')}")
            listed = "[...document.querySelectorAll('#search-results li a')].slice(0, 3).map(link => link.href)"
            assert browser.wait_for(f"return {listed}.length"), words
            time.sleep(0.5)  # the list is filled in, the best first
            assert any(page in link for link in browser.run(f"return {listed}")), words
        assert browser.errors() == []


def test_programs_find_the_pages(site):
    lines = (site / "llms.txt").read_text()
    links = re.findall(r"\]\((.+?)\)", lines)
    assert len(links) > 50
    assert not [link for link in links if not (site / link).exists()]


def test_words_are_spelled_right():
    pytest.importorskip("codespell_lib", reason='codespell comes with the extra "doc"')
    done = subprocess.run([sys.executable, "-m", "codespell_lib"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_the_report_says_of_training_is_what_was_measured():
    n_ahead, n_draws, lead = measured.advisor.training_half_alike()
    assert f"in {n_ahead} of {n_draws} draws, by {lead:.1f} points on average" in TRAINING


def test_what_the_report_says_of_a_forest_is_what_was_measured():
    gains: dict[tuple[str, str], list[float]] = {}
    for name, found in measured._write.read("linear_and_forest")["results"].items():
        table, rows, _ = name.split(", ")
        if rows in ("8 a class", "24 a class"):
            gains.setdefault((rows, table), []).append(100 * (found["linear + forest"][0] - found["linear"][0]))
    assert len(gains) == 2 * 23
    mean = sum(sum(of) / len(of) for of in gains.values()) / len(gains)
    assert f"was {mean:.1f} points ahead" in " ".join(FOREST.split())
