"""Which sources help a classifier, and which hurt: by the labelled rows of the other sources, those near the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD

from sktl._magnitudes import length_scaler, scaled, standardiser

PENALTY = 0.1  # of the ridge, in mean squared codes
FITTED_ROWS = 5000  # that the codes' components are found by
N_COMPONENTS, N_COMPONENTS_OF_MANY = 128, 64
JUDGED_ROWS = 500  # of a source, at most
N_JUDGES, N_JUDGES_OF_MANY = 16, 60  # sources whose rows are judged by, the nearest to the target
FEW = 12  # sources, of which one a round is left out; of more, half of those that hurt, by fewer components
CAUTION, CAUTION_OF_MANY = 2.0, 1.0  # standard errors
FEW_ROWS = 10  # of a judge, whose own variance is not relied on
NOTICED = 0.002  # accuracy below which a source is not said to hurt
CONTRADICTED, ABOVE_CHANCE = 3.0, 2.0  # standard errors: below the usual source; above chance
USUAL = 0.75  # of the sources, up to which one may be contradicted: the usual is one of the better ones
ROUNDS = 5  # in which contradicted sources are looked for anew


class Components:
    """Standardised rows, brought to at most so many principal components; sparse rows stay uncentred."""

    def __init__(self, some: Any, n_components: int, rng: np.random.Generator):
        is_sparse = sparse.issparse(some)
        self.scaler = length_scaler(some) if is_sparse else standardiser(some)
        self.reduction: Any = None
        if n_components < min(some.shape):
            kind = TruncatedSVD if is_sparse else PCA
            options = {} if is_sparse else {"svd_solver": "randomized"}
            seed = int(rng.integers(2**31))
            self.reduction = kind(n_components, random_state=seed, **options).fit(scaled(some, self.scaler))

    @classmethod
    def of(cls, X: Any, rows: np.ndarray, n_sources: int, rng: np.random.Generator) -> Components:
        """Return the components of some rows of X, or of a sample of them; fewer where there are many sources."""
        some = rows if len(rows) <= FITTED_ROWS else np.sort(rng.permutation(rows)[:FITTED_ROWS])
        return cls(X[some], N_COMPONENTS if n_sources <= FEW else N_COMPONENTS_OF_MANY, rng)

    def __call__(self, rows: Any) -> np.ndarray:
        """Return the rows' components, (n, n_components)."""
        rows = scaled(rows, self.scaler)
        if self.reduction is not None:
            return self.reduction.transform(rows)
        return rows.toarray() if sparse.issparse(rows) else rows


class RidgeProbe:
    """Ridge classifiers of any sources together: what each adds to the normal equations is a sum over its rows.

    Parameters
    ----------
    codes : ndarray of shape (n, n_codes)
        Labelled rows of all sources.
    number : int array of shape (n,)
        Their classes.
    source : int array of shape (n,)
        Their sources, 0, 1, ...
    """

    def __init__(self, codes: np.ndarray, number: np.ndarray, source: np.ndarray):
        self.codes = np.column_stack([codes, np.ones(len(codes))])
        self.number = number
        targets = np.eye(int(number.max()) + 1)[number]
        order = np.argsort(source, kind="stable")
        self.rows = np.split(order, np.cumsum(np.bincount(source))[:-1])
        self.grams = np.stack([self.codes[rows].T @ self.codes[rows] for rows in self.rows])
        self.products = np.stack([self.codes[rows].T @ targets[rows] for rows in self.rows])
        self.ridge = np.append(np.ones(codes.shape[1]), 1e-6)  # the intercept is hardly penalised

    def right(self, gram: np.ndarray, product: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return at which rows the classifier of these sums is right."""
        # W = (sum_s X_s'X_s + p I)^-1 sum_s X_s'Y_s
        penalty = PENALTY * np.trace(gram) / len(gram) * self.ridge
        weights = np.linalg.solve(gram + np.diag(penalty), product)
        return (self.codes[rows] @ weights).argmax(axis=1) == self.number[rows]


@dataclass
class Judgement:
    """Which sources stay.

    Attributes
    ----------
    kept : list of int
        Sources.
    left_out : list of int
        The others, in the order in which they were left out.
    gains : dict of int to float
        By how much the accuracy on other sources' rows, those near the target, grew with the source among those that
        were left: below 0 where it hurts.
    """

    kept: list[int]
    left_out: list[int] = field(default_factory=list)
    gains: dict[int, float] = field(default_factory=dict)


def judged(probe: RidgeProbe, nearness: np.ndarray, rng: np.random.Generator) -> Judgement:
    """Leave out sources as long as those that are left predict each other's rows better without one.

    A source's rows are predicted by the others together, with and without the one that is judged. Judges are the
    sources nearest to the target among those that are left, each with the weight of its nearness. So no row is
    predicted by a classifier that has learned from its own source, as no target row will be. As bad judges are left
    out too, those that are left look at each source once more, and take back what does no harm by them. Two sources
    cannot be told apart in this way: with two, both stay.

    A source hurts if it does so by more than two standard errors. One of many changes little by itself: from 13 sources
    on, those whose own rows the others predict no better than chance, and far worse than they predict the usual
    source's, are left out together first, if those that are left predict each other better, by more than a standard
    error over judges, and all rows near the target no worse. Then all that hurt at all by half of the judges' rows are
    left out, if what is left is better by the other half; else those that hurt by more than one standard error.

    Parameters
    ----------
    probe : RidgeProbe
        Of all sources.
    nearness : ndarray of shape (n_sources,)
        Weights, above 0.
    rng : Generator
        Draws the rows of large sources.
    """
    rows = [rng.permutation(part)[:JUDGED_ROWS] for part in probe.rows]
    panel = _Panel(probe, nearness, rows)
    everything = [*range(len(nearness))]
    if len(everything) <= FEW:
        return _left_without(panel, everything, CAUTION)
    agreeing = _agreeing(probe, rows)
    if not (panel.is_better(agreeing, everything) and panel.is_no_worse_near(agreeing, everything)):
        agreeing = everything
    halves = [_Panel(probe, nearness, [part[start::2] for part in rows]) for start in (0, 1)]
    found = _left_without(halves[0], agreeing, 0.0)
    if not halves[1].is_better(found.kept, agreeing):
        found = _left_without(panel, agreeing, CAUTION_OF_MANY)
    for i in set(everything) - set(agreeing):
        panel.look_at([i], [*found.kept, i], found.gains)
        found.left_out.append(i)
    found.left_out.sort(key=lambda i: found.gains[i])
    return found


def _agreeing(probe: RidgeProbe, rows: Sequence[np.ndarray]) -> list[int]:
    """Return the sources whose labels those of the others do not contradict; all, where fewer than three would stay."""
    everything = [*range(len(rows))]
    n = np.array([len(part) for part in rows])
    chance = float(np.bincount(probe.number).max()) / len(probe.number)
    kept = everything
    for _ in range(ROUNDS):
        gram, product = probe.grams[kept].sum(axis=0), probe.products[kept].sum(axis=0)
        share = np.empty(len(rows))
        for i in everything:
            own = i in kept
            without = gram - own * probe.grams[i], product - own * probe.products[i]
            share[i] = probe.right(*without, rows[i]).mean()
        usual = float(np.quantile(share[kept], USUAL))
        is_far = share < usual - CONTRADICTED * 0.5 / np.sqrt(n)  # of a share of n rows, at most
        by_chance = share <= chance + ABOVE_CHANCE * np.sqrt(chance * (1 - chance) / n)
        found = np.flatnonzero(~(is_far & by_chance)).tolist()
        if len(found) < 3:
            return everything
        if found == kept:
            break
        kept = found
    return kept


def _left_without(panel: _Panel, everything: Sequence[int], caution: float) -> Judgement:
    """Leave out what hurts by more than `caution` standard errors."""
    kept = list(everything)
    found = Judgement(kept)
    while len(kept) > 2:
        errors = panel.look_at(kept, kept, found.gains)
        hurting = [i for i in kept if found.gains[i] + caution * errors[i] < -NOTICED]
        if not hurting:
            break
        hurting.sort(key=lambda i: found.gains[i])
        at_once = 1 if len(kept) <= FEW else max(1, len(hurting) // 2)
        for i in hurting[: min(at_once, len(kept) - 2)]:
            kept.remove(i)
            found.left_out.append(i)
    for i in found.left_out[::-1]:
        error = panel.look_at([i], [*kept, i], found.gains)[i]
        if found.gains[i] + caution * error >= -NOTICED:
            kept.append(i)
            found.left_out.remove(i)
    found.left_out.sort(key=lambda i: found.gains[i])
    return found


class _Panel:
    """What each source adds to the accuracy on the rows of the judges: those of a set that are near the target."""

    def __init__(self, probe: RidgeProbe, nearness: np.ndarray, rows: Sequence[np.ndarray]):
        self.probe = probe
        self.nearness = nearness
        self.rows = rows
        self.n_judges = N_JUDGES if len(rows) <= FEW else N_JUDGES_OF_MANY

    def look_at(self, asked: Sequence[int], together: Sequence[int], gains: dict[int, float]) -> dict[int, float]:
        """Note the gains of the sources asked for among those `together`; return their standard errors."""
        grams, products = self.probe.grams, self.probe.products
        gram, product = grams[list(together)].sum(axis=0), products[list(together)].sum(axis=0)
        judges = sorted(together, key=lambda j: -self.nearness[j])
        judges = [j for j in judges if len(asked) > 1 or j not in asked][: self.n_judges]
        right = {j: self.probe.right(gram - grams[j], product - products[j], self.rows[j]) for j in judges}
        errors = {}
        for i in asked:
            changes, weights = [], []
            for j in judges:
                if j != i:
                    rest = gram - grams[j] - grams[i], product - products[j] - products[i]
                    changes.append(right[j].astype(float) - self.probe.right(*rest, self.rows[j]))
                    weights.append(self.nearness[j])
            gains[i], errors[i] = _weighted(changes, np.asarray(weights))
        return errors

    def changes(self, few: Sequence[int], everything: Sequence[int], among: Sequence[int]) -> dict[int, float]:
        """Return by how much some sources predict the rows of the nearest judges better than all do."""
        grams, products = self.probe.grams, self.probe.products
        sums = [(part, grams[part].sum(axis=0), products[part].sum(axis=0)) for part in (list(few), list(everything))]
        found = {}
        for j in sorted((j for j in among if len(self.rows[j])), key=lambda j: -self.nearness[j])[: self.n_judges]:
            right = [
                self.probe.right(gram - (j in part) * grams[j], product - (j in part) * products[j], self.rows[j])
                for part, gram, product in sums
            ]
            found[j] = float(right[0].mean() - right[1].mean())
        return found

    def is_better(self, few: Sequence[int], everything: Sequence[int]) -> bool:
        """Whether some sources predict each other's rows better than all do, by more than chance."""
        found = [*self.changes(few, everything, few).values()]
        return len(found) > 2 and float(np.mean(found)) > float(np.std(found, ddof=1)) / np.sqrt(len(found))

    def is_no_worse_near(self, few: Sequence[int], everything: Sequence[int]) -> bool:
        """Whether some sources predict the rows near the target no worse, those of the sources left out too."""
        found = self.changes(few, everything, everything)
        return float(np.average([*found.values()], weights=self.nearness[[*found]])) >= 0


def _weighted(changes: Sequence[np.ndarray], weights: np.ndarray) -> tuple[float, float]:
    """Return the weighted mean over judges of their rows' mean change, and its standard error."""
    shares = weights / weights.sum()
    mean = sum(share * change.mean() for share, change in zip(shares, changes))
    of_all = float(np.concatenate(changes).var())  # a row by itself has no variance, and few rows often none
    variances = [max(change.var(), of_all * (len(change) < FEW_ROWS)) for change in changes]
    error = sum(share**2 * variance / len(change) for share, variance, change in zip(shares, variances, changes))
    return float(mean), float(np.sqrt(error))
