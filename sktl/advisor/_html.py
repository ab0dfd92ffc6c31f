"""The report as one HTML page: no other file, no network, no library."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from sktl._validation import printable
from sktl.advisor._charts import depth_chart, quadrant_map
from sktl.advisor._decision import advice_in_words
from sktl.advisor._looking import (
    MOST_PAIRS,
    MOST_SUSPECTS,
    SHOWN_A_CLASS,
    SHOWN_CLASSES,
    SHOWN_PAIRS,
    label_name,
)
from sktl.advisor._page import SCRIPT, STYLE
from sktl.advisor._scoring import ACCURACIES, interval, name_of


def page(report: Any) -> str:
    """Return the page."""
    decision = report.decision
    sections = [
        _section("Why", _list(decision.reasons), is_open=True),
        _section("Where this data set stands", _map(report), is_open=True) if decision.similarity else "",
        _section("Accuracy by depth", _depth(report), is_open=True) if decision.similarity else "",
        _section("All layers, ranked", _ranking(report), is_open=True),
        _section("What it would cost to be wrong", _list(costs), is_open=True) if (costs := report.costs()) else "",
        _section("The data", _data(report), is_open=True),
        _section(f"Rows that are the same, or nearly so ({len(report.pairs)})", _pairs(report)),
        _section(f"Doubtful labels ({len(report.doubtful)})", _doubtful(report)),
        _section(f"Pictures that cannot be read ({len(report.unreadable)})", _unreadable(report))
        if report.unreadable
        else "",
        _section("Code to paste", _code(report), is_open=True),
    ]
    title = _escaped(report.title)
    quadrant = f'<p class="tag">{_escaped(decision.quadrant)}</p>' if decision.quadrant else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{title}</title>\n<style>{STYLE}</style></head>\n'
        f'<body><main><header><p class="what">{title}</p><h1>{_first_up(advice_in_words(decision))}</h1>{quadrant}'
        f"</header>\n{''.join(sections)}</main>\n<script>{SCRIPT}</script></body></html>\n"
    )


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def _label(label: Any) -> str:
    """Return a label that leaves the direction of what follows alone."""
    return f"<bdi>{_escaped(label_name(label))}</bdi>"


def _section(title: str, body: str, *, is_open: bool = False) -> str:
    return f"<details{' open' * is_open}><summary><h2>{_escaped(title)}</h2></summary>\n{body}</details>\n"


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_escaped(line)}</li>" for line in lines) + "</ul>"


def _first_up(text: str) -> str:
    return _escaped(text[:1].upper() + text[1:])


def _map(report: Any) -> str:
    alike = report.decision.similarity
    assert alike is not None
    chart = quadrant_map(
        report.n_labelled, alike.value, report.large_from, report.similar_from, advice_in_words(report.decision)
    )
    return f"<figure>{chart}</figure>"


def _depth(report: Any) -> str:
    backbone = report.decision.chosen.part.backbone
    chart = depth_chart(report.layers, report.score, backbone)
    caption = f"Layers of {_escaped(backbone)}, {_escaped(report.how)}."
    return f"<figure>{chart}<figcaption>{caption}</figcaption></figure>"


def _ranking(report: Any) -> str:
    scores = list(report.layers[0].scores)
    heads = ["backbone", "layer", "depth", *map(name_of, scores)]
    has_interval = report.score in ACCURACIES
    both = (report.decision.chosen, report.decision.second)
    advised = [(one.part.backbone, one.part.layer) for one in both if one is not None]
    rows = []
    for one in report.layers:
        part = one.part
        is_chosen = (part.backbone, part.layer) in advised
        cells = [
            _cell(part.backbone),
            _cell(part.layer + (" (advised)" if is_chosen else "")),
            _cell(part.depth, "{:.2f}"),
        ]
        cells += [_cell(one.scores[name], "{:.3f}") for name in scores]
        if has_interval:
            low, high = interval(one.scores[report.score], report.n_scored)
            cells.append(f'<td data-value="{low:.6f}">{low:.3f} to {high:.3f}</td>')
        rows.append(f"<tr{' class=chosen' * is_chosen}>{''.join(cells)}</tr>")
    heads += ["95 % interval"] * has_interval
    columns = "".join(
        f'<th scope="col"{_sorted(head, name_of(report.score))}><button type="button">{_escaped(head)}</button></th>'
        for head in heads
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="Ranking"><table class="sortable">'
        f"<caption><span>Scores by {_escaped(report.how)}. A heading sorts.</span></caption>"
        f"<thead><tr>{columns}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _sorted(head: str, score: str) -> str:
    return ' aria-sort="descending"' if head == score else ' aria-sort="none"'


def _cell(value: Any, form: str = "{}") -> str:
    if isinstance(value, str):
        return f"<td>{_escaped(value)}</td>"
    return f'<td data-value="{value!r}">{form.format(value)}</td>'


def _data(report: Any) -> str:
    facts = [f"{report.n_labelled} labelled rows of {len(report.class_sizes)} classes", *report.facts]
    most = max(size for _, size in report.class_sizes)
    rows = []
    for label, size in report.class_sizes[:SHOWN_CLASSES]:
        shown = [_picture(report, row, f"a picture labelled {label_name(label)}") for row in _rows_of(report, label)]
        bar = f'<span class="bar" style="width:{100 * size / most:.1f}%"></span>'
        rows.append(
            f'<tr><th scope="row">{_label(label)}</th><td class="bars">{bar}<span>{size}</span></td>'
            f"<td>{''.join(shown)}</td></tr>"
        )
    hidden = len(report.class_sizes) - SHOWN_CLASSES
    if hidden > 0:
        facts.append(f"{hidden} more classes are not shown")
    facts += report.noticed()
    return _list(facts) + f'<div class="wide"><table class="classes"><tbody>{"".join(rows)}</tbody></table></div>'


def _rows_of(report: Any, label: Any) -> list[int]:
    return report.shown_rows.get(str(label), [])[:SHOWN_A_CLASS]


def _picture(report: Any, row: int, alt: str) -> str:
    uri = report.pictures.get(row)
    return f'<img src="{uri}" alt="{_escaped(alt)} (row {row})" width="72" height="72">' if uri else ""


def _pairs(report: Any) -> str:
    if not report.pairs:
        return "<p>None were found.</p>"
    items = []
    for pair in report.pairs[:MOST_PAIRS]:
        shown = ""
        if pair in report.pairs[:SHOWN_PAIRS]:
            shown = _picture(report, pair.first, "first") + _picture(report, pair.second, "second")
        kind = "the same" if pair.is_exact else "nearly the same"
        labels = " and ".join("unlabelled" if label is None else _label(label) for label in pair.labels)
        conflict = " <strong>different labels</strong>" if pair.is_conflict else ""
        items.append(f"<li>{shown}<span>rows {pair.first} and {pair.second}: {kind}; {labels}{conflict}</span></li>")
    return (
        "<p>Rows that repeat another are left out of the scores: a picture is easily recognised by its own copy.</p>"
        f'<ul class="pictures">{"".join(items)}</ul>{_more(len(report.pairs) - len(items))}'
    )


def _more(n: int) -> str:
    return f"<p>And {n} more.</p>" if n > 0 else ""


def _doubtful(report: Any) -> str:
    if not report.doubtful:
        return "<p>None were found.</p>"
    items = [
        f"<li>{_picture(report, one.row, f'labelled {label_name(one.label)}')}<span>row {one.row}: labelled "
        f"<strong>{_label(one.label)}</strong>, looks like <strong>{_label(one.likely)}</strong> "
        f"(margin {one.margin:.2f})</span></li>"
        for one in report.doubtful[:MOST_SUSPECTS]
    ]
    return (
        "<p>Both a linear classifier and the nearest neighbours, without the row itself, say another class. Some "
        f'will be hard rather than wrong.</p><ul class="pictures">{"".join(items)}</ul>'
        f"{_more(len(report.doubtful) - len(items))}"
    )


def _unreadable(report: Any) -> str:
    return _list([f"[{row}] {reason}" for row, reason in sorted(report.unreadable.items())])


def _code(report: Any) -> str:
    return (
        '<div class="code"><button type="button" class="copy">Copy</button>'
        f'<pre tabindex="0"><code>{html.escape(report.code)}</code></pre><p class="said" role="status"></p></div>'
    )
