"""All that the report says, in one record, and as plain text."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sktl._progress import duration
from sktl._validation import printable, shorten
from sktl.advisor._decision import Decision, advice_in_words
from sktl.advisor._looking import Pair, Suspect, label_name
from sktl.advisor._scoring import ACCURACIES, ScoredLayer, interval, name_of

SHOWN_LAYERS = 10
EPOCHS_OF_TRAINING = 20
PASSES_AN_EPOCH = 3  # forward once, backward twice as much


@dataclass(frozen=True)
class AdviceReport:
    """What `TransferAdvisor` found, to read or to show: ``print(report)``, ``report.save("report.html")``.

    In a notebook it shows itself. The HTML file needs no network and no other file.

    Attributes
    ----------
    title : str
        What was looked at.
    decision : Decision
        The advice and its reasons.
    layers : list of ScoredLayer
        The best first.
    score : str
        The one that decides.
    n_scored : int
        Rows that scores are of.
    how : str
        How scores were made.
    class_sizes : list of (label, int)
        Labelled rows of each class.
    facts : list of str
        About the data.
    pairs : list of Pair
        Rows that are the same, or nearly so.
    doubtful : list of Suspect
        Labels to look at.
    unreadable : dict of int to str
        What is wrong with pictures, by row.
    failed : dict of str to str
        Backbones left out, and why.
    pictures : dict of int to str
        Thumbnails as data URIs, by row.
    shown_rows : dict of str to list of int
        Rows of each class that have one.
    seconds : float or None
        A picture, in the best backbone.
    code : str
        To paste.
    similar_from, large_from : float, int
        Where the quadrants divide.
    n_labelled : int
        Before sampling.

    Examples
    --------
    >>> import numpy as np
    >>> from sktl import TransferAdvisor
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> report = TransferAdvisor().fit(X, X[:, 0] > 0).report_
    >>> print(str(report).splitlines()[2])
    Advice: linear and forest: the mean of a linear classifier and a random forest on the rows as they are.
    """

    title: str
    decision: Decision
    layers: list[ScoredLayer]
    score: str
    n_scored: int
    how: str
    class_sizes: list[tuple[Any, int]]
    facts: list[str]
    pairs: list[Pair]
    doubtful: list[Suspect]
    unreadable: dict[int, str]
    failed: dict[str, str]
    pictures: dict[int, str] = field(repr=False)
    shown_rows: dict[str, list[int]] = field(repr=False)
    seconds: float | None = None
    code: str = ""
    similar_from: float = 0.5
    large_from: int = 1000
    n_labelled: int = 0

    def __str__(self) -> str:
        decision = self.decision
        lines = [self.title, "", f"Advice: {advice_in_words(decision)}"]
        if decision.quadrant:
            lines.append(f"Quadrant: {decision.quadrant}.")
        lines += ["", "Why", *(f"- {reason}" for reason in decision.reasons)]
        lines += ["", f"Layers by {name_of(self.score)}, {self.how}", *self._table()]
        lines += ["", *self.costs()]
        noticed = self.noticed()
        lines += ["", "Look at", *(f"- {line}" for line in noticed)] if noticed else []
        return "\n".join([*map(printable, lines), "", "Code", self.code])

    def _repr_html_(self) -> str:
        from html import escape

        return (
            f'<iframe title="{escape(self.title)}" srcdoc="{escape(self.html())}" '
            'style="width:100%;height:900px;border:0"></iframe>'
        )

    def html(self) -> str:
        """Return the report as one self-contained HTML page.

        Returns
        -------
        str
        """
        from sktl.advisor._html import page

        return page(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as one self-contained HTML file.

        Parameters
        ----------
        path : str or path-like
            The file; its name ends in .html or .htm. One that is there is replaced.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        ValueError
            If the name has another ending.
        """
        file = Path(path)
        if file.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"The report is an HTML page; path must end in .html, got {str(path)!r}.")
        file.write_text(self.html(), encoding="utf-8")
        return file

    def costs(self) -> list[str]:
        """Return what it would cost to be wrong, in sentences."""
        decision, said = self.decision, []
        chosen, other, ahead = decision.chosen, decision.runner_up, decision.lead
        has_other = other is not None and ahead is not None
        if other is not None and ahead is not None and self.score in ACCURACIES:
            where = f"{layer_name(chosen)} over {layer_name(other)}"
            said.append(
                f"Lead of {where}: {100 * ahead.difference:+.1f} points, 95 % interval {100 * ahead.low:+.1f} to "
                f"{100 * ahead.high:+.1f}; ahead with probability {ahead.probability:.2f}."
            )
        if self.score in ACCURACIES:
            low, high = interval(chosen.scores[self.score], self.n_scored)
            what = layer_name(chosen) if has_other else f"the {name_of(self.score)}"
            luck = " The best of several layers looks a little better than it is." * has_other
            said.append(
                f"Accuracy of {what}: {100 * chosen.scores[self.score]:.1f} % ({100 * low:.1f} to {100 * high:.1f}) on "
                f"rows left out.{luck}"
            )
            if decision.second is not None:
                said.append(f"These are of {layer_name(chosen)} alone; the mean of two is mostly better.")
        if self.seconds is not None and self.seconds > 1e-4:
            codes = self.seconds * self.n_labelled
            training = ""
            if decision.similarity is not None:
                time = duration(codes * PASSES_AN_EPOCH * EPOCHS_OF_TRAINING)
                training = (
                    f"; training all layers for {EPOCHS_OF_TRAINING} epochs about {time} (a rule of thumb: three "
                    "passes an epoch)"
                )
            said.append(f"Time on this machine: codes of all labelled rows about {duration(codes)}{training}.")
        return said

    def noticed(self) -> list[str]:
        """Return what is odd in the data, in sentences."""
        said = []
        exact = sum(pair.is_exact for pair in self.pairs)
        if self.pairs:
            conflicts = sum(pair.is_conflict for pair in self.pairs)
            which = shorten((f"rows {pair.first} and {pair.second}" for pair in self.pairs), most=5)
            said.append(
                f"Pairs of rows that are the same: {exact}, nearly the same: {len(self.pairs) - exact}, of these with "
                f"different labels: {conflicts}. They are {which}."
            )
        if self.doubtful:
            texts = (
                f"row {s.row} is labelled {label_name(s.label)} but looks like {label_name(s.likely)}"
                for s in self.doubtful
            )
            said.append(f"Doubtful labels, {len(self.doubtful)}: {shorten(texts, most=5)}.")
        if self.unreadable:
            texts = (f"[{row}] {reason}" for row, reason in sorted(self.unreadable.items()))
            said.append(f"Pictures that cannot be read, and that fit of any estimator refuses, {len(self.unreadable)}: "
                        f"{shorten(texts, most=5)}.")  # fmt: skip
        if self.failed:
            said.append("Backbones left out: " + shorten(f"{name} ({why})" for name, why in self.failed.items()) + ".")
        sizes = [size for _, size in self.class_sizes]
        if max(sizes) >= 5 * min(sizes):
            said.append(
                f"Classes are of very different sizes, {min(sizes)} to {max(sizes)} rows: look at balanced accuracy "
                'too, and try class_weight="balanced".'
            )
        return said

    def _table(self) -> list[str]:
        rows = [["backbone", "layer", *map(name_of, self.layers[0].scores)]]
        for one in self.layers[:SHOWN_LAYERS]:
            rows.append([one.part.backbone, one.part.layer, *(f"{value:.3f}" for value in one.scores.values())])
        widths = np.array([[len(cell) for cell in row] for row in rows]).max(axis=0)
        return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def layer_name(one: ScoredLayer) -> str:
    """Return a layer with its backbone, where there is one."""
    return f"{one.part.backbone} {one.part.layer}" if one.part.is_pretrained else one.part.layer
