"""Adaptation that falls back, and accuracy without labels."""

from __future__ import annotations

from typing import Any

from measured_tables._write import read, table

JUDGES = {
    "always adapting": "always adapting",
    "library": "the library's weights, fitted with pairs such as these",
    "other pairs": "weights fitted to all other pairs",
    "other data": "weights fitted to all other kinds of data",
}
ESTIMATES = {
    "discrepancy": '`method="discrepancy"`, the default',
    "atc": '`method="atc"`',
    "difference": '`method="difference"`',
    "average": '`method="average"`',
    "source": "the accuracy in the source, as it is",
}


NOT_YET = (
    "`SafelyAdaptedClassifier` has not been measured at length yet. `python benchmarks/safe_adaptation.py --only harm` "
    "does it, over aligners, reweighting and networks, with all classes frequent in the target and half of them rare."
)
HARM = """{cases} adaptations, by `SafelyAdaptedClassifier` with its defaults. An adaptation is harmful if it loses more
than a point against the same classifier that learned the labelled rows alone; "worst" and "mean gain" are points of
target accuracy against that one. The oracle adapts where the true labels say that it helps. "AUROC" is that of
`harm_risk_`. Half of the classes are rare where a twentieth of their rows is left.

{table}

The estimated accuracy of what then predicts is {error:.1f} points off on average, and its interval holds in
{holds:.0f} % of the cases: after severe shifts it is far too low. The library's weights rest on more adaptations than
these, but on such pairs; those fitted to the other cases here rest on few. The cases are the first that chance drew
of all that the script knows, on digits and Office-Caltech. The aims are
never more than a point lost, four fifths of the oracle's gain kept, and an
AUROC of nine tenths."""


def harm_section() -> str:
    """Return what falling back keeps and loses, or that it is not measured yet."""
    found = read("safe_adaptation")["results"].get("harm", {}).get("summary")
    if not found:
        return NOT_YET
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
        holds=100 * both["interval_holds"],
    )  # fmt: skip


def table_accuracy_estimates() -> str:
    """Return how far estimates of the accuracy are off."""
    found = read("safe_adaptation")["results"]["summary"]
    rows = [[what, f"{found['mean_error'][name]:.1f}", f"{found['largest_error'][name]:.1f}"]
            for name, what in ESTIMATES.items()]  # fmt: skip
    return table(["estimate", "mean error", "largest error"], rows)


def told(name: str) -> Any:
    """Return a figure of the estimates of accuracy."""
    return read("safe_adaptation")["results"]["summary"][name]
