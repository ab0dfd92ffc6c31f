"""Which rows are source, which are target, and which take part with their labels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sktl._columns import domain_column
from sktl._domain_names import as_python, domain_name, domain_names
from sktl._validation import shorten
from sktl._warn_once import warn_user
from sktl.adaptation.joint._target import Target
from sktl.adaptation.losses import DomainLoss


@dataclasses.dataclass(frozen=True)
class Roles:
    """Row numbers by the part that they play.

    Attributes
    ----------
    sources : list of arrays
        Labelled rows, an array a source domain.
    target_labelled : array
        Target rows with a label.
    target : array
        All target rows.
    domains : array of shape (n_domains,)
        Names.
    is_target_domain : array of bool, shape (n_domains,)
        Which of them are the target.
    unknown : array
        Those of `target_labelled` that were found to be of no class of the source.
    """

    sources: list[np.ndarray]
    target_labelled: np.ndarray
    target: np.ndarray
    domains: np.ndarray
    is_target_domain: np.ndarray
    unknown: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, dtype=np.intp))

    @property
    def drawn_target(self) -> np.ndarray:
        """Target rows that the losses are shown: all but the unknown ones, unless there are no others."""
        return np.setdiff1d(self.target, self.unknown) if 0 < len(self.unknown) < len(self.target) else self.target

    @property
    def labelled(self) -> np.ndarray:
        """All rows whose label is learned."""
        return np.concatenate([*self.sources, self.target_labelled])


def assign(
    y: Target,
    sample_domain: Any,
    target_domain: Any,
    weights: np.ndarray | None,
    losses: list[DomainLoss],
) -> Roles:
    """Return the rows' roles.

    Without `sample_domain` labelled rows are the source and unlabelled ones the target. With it, the target is
    `target_domain`; by default the domains without any label, failing these the ones with unlabelled rows.

    Raises
    ------
    ValueError
        If domains are missing, too few, or of a wrong length, or a loss needs rows that are not there.
    """
    is_labelled = y.is_labelled
    n_rows = len(is_labelled)
    takes_part = np.ones(n_rows, dtype=bool) if weights is None else weights > 0
    if not takes_part.any():
        raise ValueError("No row is left to learn from: all have a weight of zero.")
    if sample_domain is None:
        if target_domain is not None:
            raise ValueError(
                f"target_domain={target_domain!r} names a domain, but fit was given no sample_domain. Pass one domain "
                "a row, or leave target_domain=None: unlabelled rows are then the target."
            )
        of_row, is_target = np.zeros(n_rows, dtype=np.intp), ~is_labelled
        is_target_domain = np.array([False, True])[: 1 + int(is_target.any())]
        names = np.array(["source", "target"])[: len(is_target_domain)]
    else:
        names, of_row = _domains(sample_domain, n_rows)
        targets = _targets(names, of_row, is_labelled, takes_part, target_domain)
        is_target, is_target_domain = np.isin(of_row, targets), np.isin(np.arange(len(names)), targets)
    sources = [
        np.flatnonzero((of_row == domain) & ~is_target & is_labelled & takes_part) for domain in np.unique(of_row)
    ]
    sources = [rows for rows in sources if len(rows)]
    target = np.flatnonzero(is_target & takes_part)
    left_out = int((~is_target & ~is_labelled & takes_part).sum())
    if left_out:
        warn_user(
            f"{left_out} unlabelled rows of source domains take no part in training; give labels, or name their domain "
            "in target_domain.",
        )
    labelled = np.flatnonzero(is_target & is_labelled & takes_part)
    roles = Roles(sources, labelled, target, names, is_target_domain)
    _check(roles, y, losses, has_domains=sample_domain is not None)
    return roles


def _domains(sample_domain: Any, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the domains' names and each row's number."""
    values = domain_column(sample_domain, n_rows)
    names, of_row = np.unique(domain_names(values) if values.dtype == object else values, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"sample_domain holds a single domain, {as_python(names)[0]!r}; adaptation is between two or more. Leave "
            "it out to take labelled rows for the source and unlabelled rows for the target."
        )
    return names, of_row


def _targets(
    names: np.ndarray, of_row: np.ndarray, is_labelled: np.ndarray, takes_part: np.ndarray, target_domain: Any
) -> np.ndarray:
    if target_domain is not None:
        wanted = target_domain if isinstance(target_domain, (list, tuple, set, np.ndarray)) else [target_domain]
        known = {domain_name(name): number for number, name in enumerate(names)}
        absent = [name for name in wanted if domain_name(name) not in known]
        if absent:
            raise ValueError(
                f"target_domain {shorten(map(repr, absent))} does not occur in sample_domain; the domains are "
                f"{shorten(map(repr, as_python(names)))}."
            )
        return np.array([known[domain_name(name)] for name in wanted], dtype=np.intp)
    n_rows = np.bincount(of_row[takes_part], minlength=len(names))
    n_labelled = np.bincount(of_row[is_labelled & takes_part], minlength=len(names))
    without = np.flatnonzero((n_labelled == 0) & (n_rows > 0))
    return without if len(without) else np.flatnonzero(n_labelled < n_rows)


def _check(roles: Roles, y: Target, losses: list[DomainLoss], *, has_domains: bool) -> None:
    labelled = roles.labelled
    if len(labelled) == 0:
        raise ValueError("No labelled row is left to learn from: all have a weight of zero.")
    if y.is_class and len(np.unique(y.values[labelled])) < 2:
        raise ValueError("The labelled rows of weight above zero are of one class; at least 2 classes are needed.")
    needing = [type(loss).__name__ for loss in losses if loss.needs_target]
    for loss in losses:
        if loss.n_sources > max(1, len(roles.sources)):
            raise ValueError(
                f"{type(loss).__name__} compares source domains and needs at least {loss.n_sources}; got "
                f"{len(roles.sources)}. Name each row's domain in sample_domain."
            )
    if needing and has_domains and len(roles.target) == 0:
        raise ValueError(
            f"{' and '.join(needing)} need target rows, but every row is labelled and no target_domain is named. Name "
            "the target in target_domain, mark its rows as unlabelled, or use a loss between sources such as 'irm'."
        )
    if needing and len(roles.sources) == 0:
        raise ValueError(
            "Every labelled row is in the target domain, so there is no source to adapt from. Name the target's domain "
            "in target_domain, or leave sample_domain out."
        )
    if needing and len(roles.target) == 0:
        warn_user(
            "No row is unlabelled, so there is no target to adapt to: this is plain supervised training. Mark target "
            "rows in y as unlabelled (" + ("-1, or '-1' among labels of text)." if y.is_class else "NaN)."),
        )
    if not y.is_class or not roles.sources:
        return
    n_only = len(np.setdiff1d(y.values[roles.target_labelled], y.values[np.concatenate(roles.sources)]))
    if n_only:
        warn_user(
            f"{n_only} classes have labels in the target only. They are learned from these rows; aligning the domains "
            "assumes that both hold the same classes.",
        )
