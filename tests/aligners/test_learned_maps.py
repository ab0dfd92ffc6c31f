"""JDA, TKL and SCL against the papers' equations, written out plainly."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mutual_info_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from sktl.aligners import (
    JointDistributionAligner,
    LabelledOnly,
    StructuralCorrespondence,
    TransferComponentAnalysis,
    TransferKernelLearning,
)
from sktl.aligners._structural import mutual_information
from sktl.aligners._transfer_kernel import fitted_spectrum


@pytest.fixture(scope="module")
def rows():
    """Return rows of three classes in two domains, marks, and the truth."""
    rng = np.random.default_rng(0)
    truth = np.tile([0, 1, 2], 40)
    X = rng.normal(size=(120, 6)) + 4 * np.eye(6)[truth]
    X[60:] = X[60:] @ (np.eye(6) + 0.2 * rng.normal(size=(6, 6))) + 1
    return X, np.where(np.arange(120) < 60, truth, -1), truth


def joint_distribution(K, y, regularization, k, n_rounds):
    """Return the paper's components by its matrices M, of coordinates K (m, n), and the labels of the last round."""
    is_target, n = y == -1, len(y)
    H, labels, Z = np.eye(n) - 1 / n, np.full(60, -1), None
    for _ in range(n_rounds + 1):
        M = np.zeros((n, n))
        for c in [None, 0, 1, 2]:
            s = ~is_target if c is None else y == c
            t = is_target if c is None else is_target & np.r_[np.zeros(60, bool), labels == c]
            if t.any():
                e = s / s.sum() - t / t.sum()
                M += np.outer(e, e)
        values, A = np.linalg.eig(np.linalg.inv(K @ M @ K.T + regularization * np.eye(len(K))) @ K @ H @ K.T)
        A = A[:, np.argsort(-values.real)[:k]].real
        Z = (H @ K.T @ A) / (H @ K.T @ A).std(axis=0) * np.sqrt(np.sort(values.real)[::-1][:k] / values.real.max())
        unit = Z / np.linalg.norm(Z, axis=1, keepdims=True)
        previous, labels = labels, KNeighborsClassifier(1).fit(unit[:60], y[:60]).predict(unit[60:])
    return Z, previous


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("n_rounds", [1, 3])
def test_joint_distributions_are_the_paper_s(rows, kernel, n_rounds):
    X, y, _ = rows
    K = rbf_kernel(X, gamma=0.1) if kernel == "rbf" else X.T / np.sqrt(np.mean(np.sum(X**2, axis=1)))
    expected, labels = joint_distribution(K, y, 0.05, 3, n_rounds)
    model = JointDistributionAligner(3, kernel=kernel, gamma=0.1, regularization=0.05, max_rounds=n_rounds)
    out = model.fit_transform(X, y)
    np.testing.assert_allclose(np.abs(out), np.abs(expected), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(model.pseudo_labels_, labels)
    assert model.n_rounds_ <= n_rounds


def test_columns_beyond_max_rows_are_sums_over_rows(rows):
    X, y, _ = rows
    wide = X @ np.random.default_rng(1).normal(size=(6, 200))
    exact = np.abs(JointDistributionAligner(3).fit_transform(wide, y))
    for most in (150, 40):  # six directions are spanned by forty rows
        some = JointDistributionAligner(3, max_rows=most, random_state=0)
        np.testing.assert_allclose(np.abs(some.fit_transform(wide, y)), exact, atol=1e-6)
        np.testing.assert_allclose(np.abs(some.transform(wide)), exact, atol=1e-6)


def test_class_means_come_together_and_labels_are_found(rows):
    X, y, truth = rows
    marginal = TransferComponentAnalysis(3, kernel="linear").fit_transform(X, y)
    model = JointDistributionAligner(3)
    joint = model.fit_transform(X, y)

    def apart(Z):
        gaps = [Z[:60][truth[:60] == c].mean(0) - Z[60:][truth[60:] == c].mean(0) for c in range(3)]
        return np.linalg.norm(gaps) / Z.std()

    assert apart(joint) < 0.7 * apart(marginal)
    assert np.mean(model.pseudo_labels_ == truth[60:]) > 0.9


def test_labels_that_the_target_has_are_used(rows):
    X, _, truth = rows
    domain = np.repeat(["old", "new"], 60)
    model = JointDistributionAligner(3, target_domain="new").fit(X, truth, sample_domain=domain)
    np.testing.assert_array_equal(model.pseudo_labels_, truth[60:])
    assert model.n_rounds_ == 0
    words = np.array(["a", "b", "c"])[truth].astype(object)
    words[90:] = None
    some = JointDistributionAligner(3, estimator=LogisticRegression(), target_domain="new")
    some.fit(X, words, sample_domain=domain)
    assert some.pseudo_labels_[:30].tolist() == words[60:90].tolist()
    assert set(some.pseudo_labels_[30:]) == {"a", "b", "c"}
    with pytest.warns(UserWarning, match="No source row has a label"):
        JointDistributionAligner(3, target_domain="new").fit(X, np.full(120, -1), sample_domain=domain)
    with pytest.raises(ValueError, match="Unknown label type"):
        JointDistributionAligner().fit(X, np.where(np.arange(120) < 60, X[:, 0], np.nan))


@pytest.mark.parametrize("damping", [1.0, 1.5])
def test_the_learned_spectrum_is_the_least_squares_solution(damping):
    rng = np.random.default_rng(0)
    P, K = rng.normal(size=(30, 4)), rng.normal(size=(30, 30))
    K = K @ K.T
    found = fitted_spectrum(P, K, damping)
    least = minimize(
        lambda v: np.sum((P * v @ P.T - K) ** 2), np.ones(4), method="SLSQP", tol=1e-14,
        constraints={"type": "ineq", "fun": lambda v: np.append(v[:-1] - damping * v[1:], v[-1])},
    )  # fmt: skip
    np.testing.assert_allclose(found, least.x, rtol=1e-3, atol=1e-3)
    assert (found[:-1] >= damping * found[1:] - 1e-9).all()
    assert found[-1] >= 0


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_the_learned_kernel_is_the_paper_s(rows, kernel):
    X, y, _ = rows
    K = rbf_kernel(X, gamma=0.1) if kernel == "rbf" else X @ X.T / np.mean(np.sum(X**2, axis=1))
    values, vectors = np.linalg.eigh(K[60:, 60:])
    values, vectors = values[::-1][:5], vectors[:, ::-1][:, :5]
    extended = K[:, 60:] @ vectors / values
    fitted = fitted_spectrum(extended[:60], K[:60, :60], 1.2)
    model = TransferKernelLearning(damping=1.2, kernel=kernel, gamma=0.1, n_components=5)
    out = model.fit_transform(X, y)
    np.testing.assert_allclose(out @ out.T, extended * fitted @ extended.T, atol=1e-8)
    np.testing.assert_allclose(model.eigenvalues_, fitted, rtol=1e-6)


def test_a_kernel_of_one_distribution_is_learned_as_it_is(rows):
    X = np.tile(rows[0][:60], (2, 1))
    out = TransferKernelLearning(damping=1.0, gamma=0.1).fit_transform(X, rows[1])
    np.testing.assert_allclose(out @ out.T, rbf_kernel(X, gamma=0.1), atol=1e-5)


@pytest.fixture(scope="module")
def words():
    """Return counts of words: pivots tell the class in both domains, other words do in one domain alone."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    p = np.full((400, 60), 0.05)
    p[:, :6] += 0.35 * np.eye(2)[truth][:, [0, 0, 0, 1, 1, 1]]
    for domain, first in ((0, 10), (1, 20)):
        mine = np.arange(400) // 200 == domain
        p[np.ix_(mine, range(first, first + 10))] += 0.4 * np.eye(2)[truth[mine]][:, [0] * 5 + [1] * 5]
        p[np.ix_(~mine, range(first, first + 10))] = 0
    return (rng.random((400, 60)) < p).astype(float), np.where(np.arange(400) < 200, truth, -1), truth


def test_pivots_are_chosen_by_mutual_information(words):
    X, y, truth = words
    told = mutual_information(sparse.csr_matrix(X[:200]), truth[:200])
    np.testing.assert_allclose(told, [mutual_info_score(truth[:200], X[:200, j]) for j in range(60)], atol=1e-12)
    model = StructuralCorrespondence(n_pivots=6).fit(X, y)
    assert set(model.pivots_) == set(range(6))
    counts = np.minimum((X[:200] > 0).sum(0), (X[200:] > 0).sum(0))
    frequent = [j for j in np.argsort(-told, kind="stable") if counts[j] >= 9]
    assert StructuralCorrespondence(n_pivots=99, min_count=9).fit(X, y).pivots_.tolist() == frequent


@pytest.mark.parametrize("n_columns", [60, 600])  # fewer than rows, and more
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_structural_columns_are_the_directions_of_ridge_models(words, n_columns, kind):
    X, y, _ = words
    X = np.hstack([X, (np.random.default_rng(1).random((400, n_columns - 60)) < 0.004).astype(float)])
    model = StructuralCorrespondence(2, n_pivots=6, min_count=9, regularization=0.5, scale=2.0)
    out = model.fit_transform(kind(X), y)
    masked = X.copy()
    masked[:, model.pivots_] = 0
    alpha = 0.5 * np.mean(np.sum(masked**2, axis=1))
    W = Ridge(alpha=alpha).fit(masked, 2 * (X[:, model.pivots_] > 0) - 1).coef_.T
    theta = np.linalg.svd(W, full_matrices=False)[0][:, :2]
    new = X @ theta
    new *= 2 * np.sqrt(np.mean(np.sum(X**2, 1)) / np.mean(np.sum(new**2, 1)))
    assert sparse.issparse(out) == (kind is not np.asarray)
    out = out.toarray() if sparse.issparse(out) else out
    np.testing.assert_array_equal(out[:, :n_columns], X)
    np.testing.assert_allclose(np.abs(out[:, n_columns:]), np.abs(new), atol=1e-7)


def test_words_of_the_target_become_evidence(words):
    X, y, truth = words
    X = X.copy()
    X[200:, :6] = 0  # at prediction the pivots are hidden
    unseen = X[200:]
    model = make_pipeline(StructuralCorrespondence(1, n_pivots=6), LabelledOnly(LogisticRegression()))
    alone = LabelledOnly(LogisticRegression()).fit(words[0], y)
    adapted = model.fit(words[0], y)
    assert np.mean(alone.predict(unseen) == truth[200:]) < 0.75
    assert np.mean(adapted.predict(unseen) == truth[200:]) > 0.85


def test_columns_that_cannot_be_pivots_are_said(words):
    X, y, _ = words
    with pytest.warns(UserWarning, match="there are no pivots"):
        out = StructuralCorrespondence(min_count=300).fit_transform(X, y)
    np.testing.assert_array_equal(out, X)


@pytest.mark.parametrize(
    "aligner",
    [
        JointDistributionAligner(3), JointDistributionAligner(3, kernel="rbf"), TransferKernelLearning(),
        TransferKernelLearning(kernel="linear"), TransferComponentAnalysis(3),
        TransferComponentAnalysis(3, kernel="rbf"), TransferComponentAnalysis(3, max_rows=50, random_state=0),
        JointDistributionAligner(3, max_rows=50, random_state=0),
    ],
    ids=str,
)  # fmt: skip
def test_sparse_rows_give_what_dense_ones_give(words, aligner):
    X, y, _ = words
    expected = aligner.fit_transform(X, y)
    for kind in (sparse.csr_array, sparse.csc_matrix):
        found = aligner.fit_transform(kind(X), y)
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-6)
        np.testing.assert_allclose(aligner.transform(kind(X)), found, atol=1e-9)
    counts = sparse.csr_matrix(X.astype(int))
    counts.indices, counts.indptr = counts.indices.astype(np.int64), counts.indptr.astype(np.int64)
    np.testing.assert_allclose(np.abs(aligner.fit_transform(counts, y)), np.abs(expected), atol=1e-6)
