"""The report as a page: it stands alone, says all in words too, and works in a browser."""

import html
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from sktl import TransferAdvisor
from sktl.advisor._scoring import interval
from tests.advisor.conftest import squares

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

USE = """
<script>
addEventListener("load", async () => {
  const head = [...document.querySelectorAll("th button")].find(b => b.textContent === "k-NN");
  head.focus();
  head.click();
  const column = [...head.closest("tr").children].indexOf(head.parentElement);
  const rows = [...document.querySelectorAll("table.sortable tbody tr")];
  const values = rows.map(r => Number(r.cells[column].dataset.value));
  const closed = [...document.querySelectorAll("details")].find(d => !d.open);
  closed.querySelector("summary").click();
  let copied = "";
  document.addEventListener("copy", () => { copied = getSelection().toString(); });
  try { navigator.clipboard.writeText = async text => { copied = text; }; } catch {}
  document.querySelector(".copy").click();
  await new Promise(done => setTimeout(done, 200));
  document.title = JSON.stringify({
    falls: values.length > 2 && values.every((v, i) => i === 0 || v <= values[i - 1]),
    sorted: head.parentElement.getAttribute("aria-sort"),
    opened: closed.open,
    copied: copied,
    said: document.querySelector(".said").textContent,
    width: document.documentElement.scrollWidth,
    caption: [...document.querySelectorAll("caption, caption > *")].pop().getBoundingClientRect().right,
  });
});
</script>
"""


@pytest.fixture(scope="module")
def report(network):
    X, y = squares(60)
    X[40] = X[0]
    names = np.where(y == "noise", "<b>noise</b> & co", "square")
    names[4] = "square"
    return TransferAdvisor(network, image_size=24).fit(X, names).report_


class Page(HTMLParser):
    VOID = ("meta", "img", "br", "link", "circle", "rect", "line", "path", "polyline", "polygon")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_page_stands_alone(report, tmp_path):
    file = report.save(tmp_path / "report.html")
    text = file.read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open
    assert "//" not in re.sub(r'"data:image/[^"]*"', "", text)
    sources = [attrs.get("src") or attrs.get("href") for tag, attrs in page.tags if "src" in attrs or "href" in attrs]
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert {tag for tag, _ in page.tags} >= {"html", "title", "main", "table", "svg", "details", "summary", "button"}
    assert "<b>noise</b>" not in text  # labels are shown, not run


def test_all_is_said_in_words(report):
    page = Page(report.html())
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(pictures) >= 8
    assert all(len(attrs["alt"]) > 8 for attrs in pictures)
    charts = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert len(charts) == 2
    assert all(attrs["role"] == "img" and len(attrs["aria-label"]) > 40 for attrs in charts)
    assert ("html", {"lang": "en"}) in page.tags
    text = html.unescape(report.html())
    for part in ("penultimate", report.code, *report.decision.reasons, *report.costs(), *report.noticed()):
        assert part in text
    for part in report.layers:
        assert f"{part.scores['linear']:.3f}" in text


HOSTILE = {
    "markup": "</td><script>alert(1)</script>&amp;'\"",
    "turned": "\u202ealert\u2066",
    "lines": "cat\nAdvice: fine-tune\r\x1b[2J\x00",
    "half": "\ud800 name of no encoding \udcff",
    "long": "very " * 5000,
    "right to left": "\u05d7\u05ea\u05d5\u05dc",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_labels_of_any_text(kind, network, tmp_path):
    label = HOSTILE[kind]
    X, y = squares(60)
    X[40] = X[1]  # a pair, of two labels
    names = np.where(y == "noise", label, "square").astype(object)
    names[4] = label  # doubtful
    names[40] = "square" if names[1] == label else label
    report = TransferAdvisor(network, image_size=24).fit(X, names).report_
    assert report.doubtful or report.pairs
    text = report.save(tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert len(text) < 200_000
    plain = str(report)
    for shown in (text, plain):
        shown.encode("utf-8")
        assert not set(shown) & {"\u202e", "\u2066", "\x1b", "\x00", "\r"}
    assert sum(line.startswith("Advice:") for line in plain.splitlines()) == 1
    rows = [tag for tag, _ in page.tags]
    assert rows.count("bdi") >= 2
    if kind == "right to left":
        assert f"<bdi>{label}</bdi>" in text
    json.dumps(report._repr_html_()).encode("utf-8")


def test_paths_of_any_text(network, tmp_path):
    X, y = squares(20)
    folder = os.fsencode(tmp_path) + b"/\xff\n\xe2\x80\xae"
    os.mkdir(folder)
    paths = [os.fsdecode(folder + b"/%d.png" % i) for i in range(20)]
    for path, picture in zip(paths, X):
        Image.fromarray(picture).save(path)
    with open(paths[3], "wb") as file:
        file.write(b"no picture")
    report = TransferAdvisor(network, image_size=24).fit(paths, y).report_
    text = report.save(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "[3]" in text
    for shown in (text, str(report)):
        shown.encode("utf-8")
        assert "\u202e" not in shown


def test_notebook_and_text(report):
    assert report._repr_html_().startswith("<iframe")
    assert "&lt;!DOCTYPE html&gt;" in report._repr_html_()
    text = str(report)
    assert "Advice:" in text
    assert report.code in text
    with pytest.raises(ValueError, match=r"must end in \.html"):
        report.save("report.pdf")


def test_text_of_rows_has_no_pictures():
    X = np.random.default_rng(0).normal(size=(30, 3))
    page = TransferAdvisor().fit(X, np.arange(30) % 2).report_.html()
    assert "<img" not in page
    assert "<svg" not in page


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium, in which the page is tried, is not installed")
@pytest.mark.parametrize("width", [400, 1400])
def test_in_a_browser(report, width, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(report.html().replace("</body>", f"{USE}</body>"), encoding="utf-8")
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},1000", "--enable-logging=stderr", "--virtual-time-budget=3000", "--dump-dom",
        file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr
    title = html.unescape(re.search(r"<title>(.*?)</title>", done.stdout, flags=re.DOTALL).group(1))
    found = json.loads(title)
    assert found["falls"]
    assert found["sorted"] == "descending"
    assert found["opened"]
    assert found["copied"].strip() == report.code.strip()
    assert found["said"] == "Copied."
    assert found["width"] <= max(width, 500)  # nothing but tables is wider than the window
    assert found["caption"] <= max(width, 500)


def test_no_shape_has_a_negative_size(network):
    X, y = squares(40)
    for large_from in (1, 5, 100_000):
        page = Page(TransferAdvisor(network, image_size=24, large_from=large_from).fit(X, y).report_.html())
        sizes = [float(given[side]) for tag, given in page.tags if tag == "rect" for side in ("width", "height")]
        assert len(sizes) > 8
        assert min(sizes) >= 0


def test_of_one_layer_the_accuracy_is_said(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 4))
    y = (X[:, 0] > 0).astype(int)
    report = TransferAdvisor().fit(X, y).report_
    (said,) = report.costs()
    low, high = interval(report.layers[0].scores["linear"], 60)
    assert said.startswith(f"Accuracy of the linear probe: {100 * report.layers[0].scores['linear']:.1f} % (")
    assert f"({100 * low:.1f} to {100 * high:.1f}) on rows left out." in said
    assert "several layers" not in said
    assert "What it would cost to be wrong" in report.html()
    by_another = TransferAdvisor(scores=("logme",)).fit(X, y).report_
    assert by_another.costs() == []
    assert "What it would cost to be wrong" not in by_another.html()
