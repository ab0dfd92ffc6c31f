"""Domains that differ in what is frequent, not in how it looks, keep one centre."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.adaptation import DomainAdaptedClassifier, stack_domains
from sktl.adaptation.joint._row_start import Part
from sktl.metrics.distances import domain_move
from sktl.metrics.distances._domain_move import APART, EXPLAINED, _explained, explained_ways, own_neighbours

RNG = np.random.default_rng(0)


def halves(X, y, shift, seed=0):
    """Return a source and a target: the rows that lie low and high along a direction, or drawn at random and moved."""
    rng = np.random.default_rng(seed)
    X = StandardScaler().fit_transform(X)
    order = rng.permutation(len(y))
    if shift == "picked":
        along = X @ rng.normal(size=X.shape[1])
        order = np.argsort(along + rng.normal(size=len(along)) * along.std() / 2)
    source, target = order[: len(y) // 2], order[len(y) // 2 :]
    if shift == "fewer classes":
        target = target[y[target] < len(np.unique(y)) // 2]
    moved = rng.normal(size=X.shape[1]) if shift == "moved" else 0.0
    return X[source], y[source], X[target] + moved, y[target]


class TestOwnNeighbours:
    def test_by_hand(self):
        source, target = np.array([[0.0], [1], [10]]), np.array([[0.2], [5], [5.1]])
        # 0.2 is nearest to 0; 5 and 5.1 to each other
        assert own_neighbours(source, target) == pytest.approx(2 / 3)

    def test_a_half_for_rows_of_one_kind(self):
        rows = RNG.normal(size=(1200, 6))
        assert own_neighbours(rows[:600], rows[600:]) == pytest.approx(0.5, abs=0.06)
        assert own_neighbours(rows[:600], rows[600:700]) == pytest.approx(0.5, abs=0.15)

    def test_all_for_rows_elsewhere(self):
        assert own_neighbours(RNG.normal(size=(50, 4)), RNG.normal(size=(50, 4)) + 9) == 1

    def test_scales_and_repeats_do_not_count(self):
        source, target = RNG.normal(size=(80, 5)), RNG.normal(size=(80, 5)) + 1
        found = own_neighbours(source, target)
        scale = np.logspace(-5, 5, 5)
        assert own_neighbours(source * scale, target * scale) == pytest.approx(found, abs=0.02)
        assert own_neighbours(np.repeat(source, 3, axis=0), np.repeat(target, 2, axis=0)) == found

    @pytest.mark.parametrize("n", [0, 1])
    def test_too_few_rows(self, n):
        assert own_neighbours(RNG.normal(size=(n, 3)), RNG.normal(size=(9, 3))) == 0.5

    def test_rows_without_weight_are_not_looked_at(self):
        rows = np.vstack([RNG.normal(size=(40, 3)), RNG.normal(size=(40, 3)), RNG.normal(size=(300, 3)) + 9])
        y, source, target = np.arange(380) % 2, np.arange(40), np.arange(40, 380)
        for weights, expected in ((None, "separate"), (np.r_[np.ones(80), np.zeros(300)], "shared")):
            part = Part(y, 2, weights, source, target, source, is_separate=True, shares=None)
            assert part.batch_norm_for(rows) == expected
        assert part.batch_norm_for(sparse.csr_matrix(rows)) == "separate"  # words have no centre


class TestExplainedWays:
    def test_in_many_noisy_columns(self):
        rng, y = np.random.default_rng(1), np.repeat(np.arange(4), 60)
        centres = rng.normal(size=(4, 200))
        source, target = (centres[y] + 3 * rng.normal(size=(240, 200)) for _ in range(2))
        assert explained_ways(source, y, target) == (1.0, 1.0)  # no way at all
        moved = target + 0.5 * rng.normal(size=200)
        assert own_neighbours(source, moved) < APART  # rows mix all the same
        assert max(explained_ways(source, y, moved)) < EXPLAINED

    def test_fewer_classes_are_no_move(self):
        rng, y = np.random.default_rng(1), np.repeat(np.arange(4), 100)
        centres = 2 * rng.normal(size=(4, 20))
        source, target = (centres[y] + rng.normal(size=(400, 20)) for _ in range(2))
        assert min(explained_ways(source, y, target[y < 2])) > 0.7

    def test_shares_that_explain_a_way(self):
        ways = np.array([[1.0, 0], [0, 1], [-1, -1]]).T
        assert _explained(np.array([0.5, 0.5]), ways, 0.0) == pytest.approx(1, abs=1e-4)
        assert _explained(np.array([-3.0, 3.0]), ways, 0.0) == pytest.approx(1 - (9 + 4) / 18, abs=1e-3)  # at (0, 1)

    @pytest.mark.parametrize("n", [0, 1, 2])
    def test_degenerate_rows(self, n):
        assert explained_ways(np.ones((n, 3)), np.zeros(n, dtype=int), RNG.normal(size=(9, 3))) == (1.0, 1.0)
        assert explained_ways(np.ones((9, 3)), np.zeros(9, dtype=int), np.ones((9, 3))) == (1.0, 1.0)


class TestDomainMove:
    @pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
    def test_tells_one_from_the_other(self, load):
        for shift in ("picked", "fewer classes", "moved"):
            X, y, X_target, _ = halves(*load(return_X_y=True), shift)
            found = domain_move(X, y, X_target)
            assert found.has_moved == (shift == "moved"), (shift, found)

    def test_rows_far_away_have_moved_whatever_shares_explain(self):
        y = np.repeat([0, 1], 50)
        source = RNG.normal(size=(100, 2)) + 3 * y[:, None]
        found = domain_move(source, y, RNG.normal(size=(60, 2)) + 12)  # along the line from class to class
        assert found.own_neighbours > 0.95
        assert found.has_moved

    def test_huge_numbers_are_no_reason_to_fail(self):
        found = domain_move(1e200 * RNG.normal(size=(30, 3)), np.arange(30) % 2, 1e200 * RNG.normal(size=(30, 3)))
        assert found == (False, 0.5, (1.0, 1.0))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"target": np.ones((4, 2))}, "same columns: source has 3, target 2"),
            ({"y_source": np.zeros(4)}, "inconsistent numbers of samples"),
            ({"source": np.full((5, 3), np.nan)}, "contains NaN"),
            ({"target": np.ones(3)}, "Expected 2D array"),
        ],
    )
    def test_bad_input(self, change, message):
        given = {"source": np.ones((5, 3)), "y_source": np.zeros(5), "target": np.ones((4, 3))} | change
        with pytest.raises(ValueError, match=message):
            domain_move(**given)


@pytest.mark.filterwarnings("ignore:Classes seem to have other shares:UserWarning")
class TestDefault:
    @pytest.mark.parametrize("shift", ["picked", "fewer classes"])
    @pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
    def test_does_not_lose_where_rows_are_picked_otherwise(self, load, shift):
        X, y, X_target, y_target = halves(*load(return_X_y=True), shift)
        plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X, y)
        model = DomainAdaptedClassifier(random_state=0).fit(*stack_domains(X, y, X_target)[:2])
        assert model.batch_norm_ == "shared"
        allowed = 0.03 if shift == "picked" else 0.06
        assert model.score(X_target, y_target) >= plain.score(X_target, y_target) - allowed

    @pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
    def test_gains_where_the_target_has_moved(self, load):
        X, y, X_target, y_target = halves(*load(return_X_y=True), "moved")
        plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X, y)
        model = DomainAdaptedClassifier(random_state=0).fit(*stack_domains(X, y, X_target)[:2])
        assert model.batch_norm_ == "separate"
        assert model.score(X_target, y_target) >= plain.score(X_target, y_target) + 0.01

    def test_what_is_asked_for_is_taken(self):
        X, y, X_target, _ = halves(*load_iris(return_X_y=True), "picked")
        both = stack_domains(X, y, X_target)[:2]
        for given in ("shared", "separate", "target"):
            assert DomainAdaptedClassifier(batch_norm=given, max_epochs=1).fit(*both).batch_norm_ == given
        known = DomainAdaptedClassifier(target_shares=[0, 0.5, 0.5], max_epochs=1).fit(*both)
        assert known.batch_norm_ == "separate"  # shares say where the target's centre lies
        assert 0.5 < APART < 1
