"""Tables of the choice of sources, and of copies for sub-domains."""

from __future__ import annotations

from typing import Any

from measured_tables._write import read, table

TITLES = {"pacs": "PACS", "amazon": "Amazon", "omniglot": "Omniglot", "fonts": "fonts"}
VARIANTS = ("as they are", "a quarter is mislabelled")
COLUMNS = ("all", "selected", "nearest", "random half", "oracle")


def _groups(variant: str) -> dict[str, dict[str, Any]]:
    found = read("source_selection")["results"]["summary"]
    return {name: found[f"{name}: {variant}"] for name in TITLES if f"{name}: {variant}" in found}


def table_source_selection(variant: str) -> str:
    """Return the mean accuracies with the labels as they are, or with a quarter of the sources mislabelled."""
    rows = [
        [TITLES[name], group["cases"], *(f"{group[column]:.1f}" for column in COLUMNS), f"{group['worst_change']:+.1f}"]
        for name, group in _groups(variant).items()
    ]
    return table(["", "targets", "all sources", "`SourceSelector`", "nearest", "random half", "oracle", "worst"], rows)


def source_gain(variant: str) -> float:
    """Return the points above all sources together, the mean over kinds of data."""
    gains = [group["gain"] for group in _groups(variant).values()]
    return sum(gains) / len(gains)


def source_worst(variant: str, name: str) -> float:
    """Return the least change against all sources together, over the targets of one kind of data."""
    return float(_groups(variant)[name]["worst_change"])


def source_gain_overall() -> float:
    """Return the points above all sources together, the mean over kinds of data and both variants."""
    return (source_gain("as they are") + source_gain("a quarter is mislabelled")) / 2


def sources_count(variant: str | None, what: str, *names: str) -> int:
    """Return how many there were over all kinds of data, or over some; of both variants where it is None."""
    variants = VARIANTS if variant is None else (variant,)
    return sum(group[what] for one in variants for name, group in _groups(one).items() if not names or name in names)


def per_domain(column: str) -> float:
    """Return the mean accuracy over corrupted sub-domains, in %."""
    return 100 * read("per_domain")["results"]["summary"]["mean"][column]


def per_domain_worst(method: str) -> float:
    """Return the largest loss of a copy against the general model, in points."""
    return 100 * read("per_domain")["results"]["summary"]["worst_change"][method]


def copy_kilobytes(method: str, what: str = "added_by_a_copy") -> float:
    """Return what a pickle of all grows by with a copy, or the size of the general model."""
    return read("per_domain")["results"]["summary"]["bytes"][method][what] / 1000


def table_per_domain() -> str:
    """Return the accuracy of the general model and of the copies on each corruption, the mean of two strengths."""
    cases = read("per_domain")["results"]["cases"]
    kinds = list(dict.fromkeys(name.rpartition(" ")[0] for name in cases))
    columns = ["general", "adabn", "tent", "adabn, another's copy"]
    rows = []
    for kind in kinds:
        own = [case for name, case in cases.items() if name.rpartition(" ")[0] == kind]
        rows.append([kind, *(f"{100 * sum(case[column] for case in own) / len(own):.1f}" for column in columns)])
    rows.append(["mean", *(f"{per_domain(column):.1f}" for column in columns)])
    return table(["", "general", "copy, AdaBN", "copy, TENT", "another's copy, AdaBN"], rows)


def per_domain_clean() -> float:
    """Return the general model's accuracy on rows that are not corrupted, in %."""
    return 100 * read("per_domain")["results"]["summary"]["clean"]


def n_sub_domains() -> int:
    """Return the number of sub-domains."""
    return len(read("per_domain")["results"]["cases"])
