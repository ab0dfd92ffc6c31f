"""Adaptation that falls back, and accuracy without labels."""

from __future__ import annotations

from typing import Any

from measured_tables._write import read, table

JUDGES = {
    "always adapting": "always adapting",
    "library": "the library's rule, fitted with pairs such as these",
    "other data": "a rule fitted to all other kinds of data",
}
ESTIMATES = {
    "agreement": '`method="agreement"`, the default',
    "discrepancy": '`method="discrepancy"`',
    "atc": '`method="atc"`',
    "difference": '`method="difference"`',
    "average": '`method="average"`',
    "source": "the accuracy in the source, as it is",
}


HARM = """{cases} adaptations, by `SafelyAdaptedClassifier` with its defaults, the first that chance drew: aligners and
weightings in front of a linear classifier or a nearest neighbour, and networks. An adaptation is harmful if it loses
more than a point against the same classifier that learned the labelled rows alone; "worst" and "mean gain" are points
of target accuracy against that one. The oracle adapts where the true labels say that it helps. "AUROC" is that of
`harm_risk_`. Half of the classes are rare where a twentieth of their rows is left.

{table}

The aims are never more than a point lost, four fifths of the oracle's gain kept, and an AUROC of nine tenths.
In the rows of "a rule fitted to all other kinds of data" the curve is fitted to the adaptations of that half of the
table alone, so their losses do not add up. Fitted to both halves, as the library's is, the number of harmful
adaptations that it lets through is {n_other}, {worst_other:.1f} points at worst; that of the library's own curve is
{n_own}, {worst_own:.1f} at worst.

The weights of the evidence were chosen on adaptations between these domains; only the curve from the evidence to the
risk is fitted anew for the other kinds of data. One weight, the referee's where domains do not overlap, rests on
electricity's prices. Without it, the evidence in the JSON has one of their pairs lose more than 50 points. The next
kind of data may be as hard.

The estimated accuracy of what then predicts is {error:.1f} points off on average. Its interval, stated as nine in ten,
holds in {left_out:.0f} % of the cases if its widths are those of the errors in all other kinds of data, and is
{width:.0f} points wide."""


def harm_section() -> str:
    """Return what falling back keeps and loses."""
    found = read("safe_adaptation")["results"]["harm"]["summary"]
    rows = []
    for classes, title in (("all", "all frequent"), ("rare", "half of them rare")):
        for judge, what in JUDGES.items():
            cell: dict[str, Any] = found[classes][judge]
            auroc = None if judge == "always adapting" or cell["auroc"] is None else f"{cell['auroc']:.2f}"
            rows.append([title, what, f"{cell['worst']:.1f}", cell["harmful"], f"{cell['mean_gain']:.1f}",
                         f"{100 * cell['share_of_oracle']:.0f} %", auroc])  # fmt: skip
    header = ["classes in the target", "judged by", "worst", "harmful", "mean gain", "share of oracle's gain", "AUROC"]
    both = found["both"]
    return HARM.format(
        cases=both["cases"], table=table(header, rows, left=2), error=both["estimate_mean_error"],
        left_out=100 * both["interval_holds_left_out"], width=100 * both["interval_width_left_out"],
        n_other=both["other data"]["harmful"], worst_other=-both["other data"]["worst"],
        n_own=both["library"]["harmful"], worst_own=-both["library"]["worst"],
    )  # fmt: skip


def safe(name: str) -> float:
    """Return a figure of adaptation that falls back, over all cases, by a rule fitted to other kinds of data."""
    both = read("safe_adaptation")["results"]["harm"]["summary"]["both"]
    return both["other data"][name] if name in both["other data"] else both[name]


def safe_library(name: str) -> float:
    """Return a figure of adaptation that falls back, over all cases, by the library's own rule."""
    return read("safe_adaptation")["results"]["harm"]["summary"]["both"]["library"][name]


def table_accuracy_estimates() -> str:
    """Return how far estimates of the accuracy are off, on digits and elsewhere."""
    results = read("safe_adaptation")["results"]
    both = [results["summary"], results["elsewhere"]["summary"]]
    rows = [
        [what, *(f"{part[figure][name]:.1f}" for part in both for figure in ("mean_error", "largest_error"))]
        for name, what in ESTIMATES.items()
    ]
    return table(["estimate", "digits: mean error", "largest", "elsewhere: mean error", "largest"], rows)


def told(name: str, part: str = "digits") -> Any:
    """Return a figure of the estimates of accuracy."""
    results = read("safe_adaptation")["results"]
    return (results["summary"] if part == "digits" else results["elsewhere"]["summary"])[name]


def differs(case: str, test: str) -> float:
    """Return in how many percent of the draws a test says that two domains differ."""
    return 100 * float(read("domain_shift")["results"][case][test])


def table_domain_shift() -> str:
    """Return how often each test says that two domains differ, by kind of change and number of columns."""
    found: dict[str, Any] = read("domain_shift")["results"]
    kinds = list(dict.fromkeys(case.rsplit(", ", 1)[0] for case in found))
    kinds.sort(key=lambda kind: kind != "none")
    sizes = list(dict.fromkeys(case.rsplit(", ", 1)[1] for case in found))
    tests = [name for name in next(iter(found.values())) if name != "draws"]
    rows = []
    for kind in kinds:
        cells = [found[f"{kind}, {size}"] for size in sizes]
        shares = [f"{100 * cell[test]:.0f}" for cell in cells for test in tests]
        draws = ", ".join(dict.fromkeys(str(cell["draws"]) for cell in cells))
        rows.append(["nothing" if kind == "none" else kind, draws, *shares])
    titles = [name.replace("domain_shift_test", "`domain_shift_test`").replace("mmd", "`mmd`") for name in tests]
    header = [
        "what has changed",
        "draws",
        *(f"{title}, {size.split(' x ')[1]} columns" for size in sizes for title in titles),
    ]
    return table(header, rows)
