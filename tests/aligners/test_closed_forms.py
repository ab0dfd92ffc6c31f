"""What aligners compute, against an independent computation of the papers' formulas."""

import sys

import numpy as np
import pytest
from scipy import sparse
from scipy.linalg import sqrtm
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler

from sktl.aligners import (
    CORALAligner,
    DomainStandardizer,
    GeodesicFlowKernel,
    MarginalizedDenoiser,
    OptimalTransportAligner,
    SubspaceAligner,
    TransferComponentAnalysis,
)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5))
    target = rng.normal(size=(40, 5)) @ rng.normal(size=(5, 5)) + 3
    return np.concatenate([source, target]), np.array([0, 1] * 30 + [-1] * 40)


@pytest.mark.parametrize("n_target", [40, 3])  # more rows than columns, and fewer
@pytest.mark.parametrize("regularization", [1.0, 1e-3])
def test_coral_is_the_papers_product_of_roots(rows, n_target, regularization):
    X, y = rows[0][: 60 + n_target], rows[1][: 60 + n_target]
    source, target = X[:60], X[60:]
    c_s, c_t = np.cov(source.T), np.cov(target.T)
    c_s += regularization * np.trace(c_s) / 5 * np.eye(5)
    c_t += regularization * np.trace(c_t) / 5 * np.eye(5)
    expected = (source - source.mean(0)) @ np.linalg.inv(sqrtm(c_s)).real @ sqrtm(c_t).real + target.mean(0)
    out = CORALAligner(regularization=regularization).fit_transform(X, y)
    np.testing.assert_allclose(out[:60], expected, rtol=1e-6)
    np.testing.assert_array_equal(out[60:], target)


@pytest.mark.parametrize(("of_source", "of_target"), [(1e-170, 1e-170), (1e-300, 1e-300), (1e-200, 1.0), (1.0, 1e-200)])
def test_coral_of_rows_whose_squares_vanish(rows, of_source, of_target):
    X, y = rows
    scales = np.where(y >= 0, of_source, of_target)[:, None]
    out = CORALAligner().fit_transform(X * scales, y)
    np.testing.assert_allclose(out / of_target, CORALAligner().fit_transform(X, y), rtol=1e-9)


def test_coral_gives_the_source_the_target_s_covariance(rows):
    X, y = rows
    out = CORALAligner(regularization=1e-12).fit_transform(X, y)
    np.testing.assert_allclose(np.cov(out[:60].T), np.cov(X[60:].T), rtol=1e-6)


@pytest.mark.parametrize("n_columns", [5, 200])  # fewer than rows, and more
@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_matrix])
def test_coral_of_sparse_rows(n_columns, kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, n_columns)) * (rng.random((100, n_columns)) < 0.2)
    X[60:] *= 3
    y = np.array([0, 1] * 30 + [-1] * 40)
    model = CORALAligner(regularization=0.1)
    expected = model.fit_transform(X, y)
    found = model.fit_transform(kind(X), y)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(model.transform(kind(X), sample_domain=["source"] * 100), model.transform(
        X, sample_domain=["source"] * 100), atol=1e-9)  # fmt: skip


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_coral_gives_the_same_answer_on_any_scale(rows, scale):
    X, y = rows
    np.testing.assert_allclose(
        CORALAligner().fit_transform(X * scale, y) / scale, CORALAligner().fit_transform(X, y), rtol=1e-6
    )


def test_standardizer_is_a_standard_scaler_for_each_domain(rows):
    X, y = rows
    domain = np.array(["a"] * 30 + ["b"] * 30 + ["c"] * 40)
    model = DomainStandardizer()
    out = model.fit_transform(X, y, sample_domain=domain)
    for name in "abc":
        np.testing.assert_allclose(out[domain == name], StandardScaler().fit_transform(X[domain == name]))
    np.testing.assert_allclose(model.transform(X[60:]), out[60:])
    np.testing.assert_allclose(model.transform(X, sample_domain=domain), out)
    by_mark = DomainStandardizer().fit_transform(X, y)
    np.testing.assert_allclose(by_mark[:60], StandardScaler().fit_transform(X[:60]))


def directions(rows, k):
    return np.linalg.svd(rows - rows.mean(0), full_matrices=False)[2][:k].T


@pytest.mark.parametrize("n_target", [40, 4])
def test_subspaces_are_aligned_as_in_the_paper(rows, n_target):
    X, y = rows[0][: 60 + n_target], rows[1][: 60 + n_target]
    source, target = X[:60], X[60:]
    p_s, p_t = directions(source, 3), directions(target, 3)
    aligned = (source - source.mean(0)) @ p_s @ p_s.T @ p_t
    out = SubspaceAligner(n_components=3).fit_transform(X, y)
    np.testing.assert_allclose(np.abs(out[:60]), np.abs(aligned), atol=1e-8)  # signs of directions are free
    both = np.r_[aligned, (target - target.mean(0)) @ p_t]
    np.testing.assert_allclose(out @ out.T, both @ both.T, atol=1e-8)


@pytest.mark.parametrize("k", [1, 2, 4])  # with four of five columns, some angles are 0
def test_geodesic_flow_is_the_integral_over_the_path(rows, k):
    X, y = rows
    p_s, p_t = directions(X[:60], k), directions(X[60:], k)
    # the path by the exponential map of the Grassmann manifold (Edelman et al.), summed by Gauss-Legendre
    m = np.linalg.pinv(p_s.T @ p_t)
    u, s, vt = np.linalg.svd((np.eye(5) - p_s @ p_s.T) @ p_t @ m, full_matrices=False)
    theta = np.arctan(s)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    expected = 0
    for t, w in zip((nodes + 1) / 2, weights / 2):
        phi = p_s @ vt.T * np.cos(t * theta) + u * np.sin(t * theta)
        expected = expected + w * phi @ phi.T
    model = GeodesicFlowKernel(n_components=k).fit(X, y)
    np.testing.assert_allclose(np.sort(model.angles_), np.sort(theta), atol=1e-6)
    np.testing.assert_allclose(model.components_.T @ model.components_, expected, atol=1e-6)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_transfer_components_solve_the_papers_problem(rows, kernel):
    X, y = rows
    K = rbf_kernel(X, gamma=0.1) if kernel == "rbf" else X @ X.T / np.mean(np.sum(X**2, axis=1))
    e = np.where(y == -1, -1 / 40, 1 / 60)
    n, H = 100, np.eye(100) - 1 / 100
    values, vectors = np.linalg.eig(np.linalg.inv(K @ np.outer(e, e) @ K + 0.5 * np.eye(n)) @ K @ H @ K)
    order = np.argsort(-values.real)[:3]
    expected = H @ K @ vectors[:, order].real
    expected *= np.sqrt(values[order].real / values[order[0]].real) / expected.std(axis=0)
    model = TransferComponentAnalysis(3, kernel=kernel, gamma=0.1, regularization=0.5)
    out = model.fit_transform(X, y)
    np.testing.assert_allclose(np.abs(out), np.abs(expected), rtol=1e-5, atol=1e-5)
    assert model.set_params(max_rows=100).fit_transform(X, y).shape == (100, 3)


def test_transfer_components_of_some_rows_are_near_those_of_all(rows):
    X, y = rows
    whole = TransferComponentAnalysis(2, kernel="rbf").fit_transform(X, y)
    some = TransferComponentAnalysis(2, kernel="rbf", max_rows=60, random_state=0).fit_transform(X, y)
    for i in range(2):
        assert abs(np.corrcoef(whole[:, i], some[:, i])[0, 1]) > 0.9


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, sparse.csc_matrix])
def test_denoiser_restores_rows_struck_many_times(rows, kind):
    rng = np.random.default_rng(0)
    X = np.abs(rows[0])
    X[X < 1] = 0
    many = np.tile(X, (2000, 1))
    struck = np.c_[many * (rng.random(many.shape) > 0.3), np.ones(len(many))]
    W = np.linalg.lstsq(struck, many, rcond=None)[0]
    model = MarginalizedDenoiser(corruption=0.3, regularization=1e-10).fit(kind(X), rows[1])
    np.testing.assert_allclose(model.weights_[0], W, atol=0.02)
    expected = np.c_[X, np.tanh(X @ model.weights_[0][:-1] + model.weights_[0][-1])]
    np.testing.assert_allclose(model.transform(kind(X)), expected)


def test_denoiser_stacks_layers_and_splits_many_columns(rows):
    X, y = rows
    two = MarginalizedDenoiser(n_layers=2)
    out = two.fit_transform(X, y)
    again = MarginalizedDenoiser().fit_transform(out[:, 5:10], y)
    np.testing.assert_allclose(out[:, 10:], again[:, 5:])
    parts = MarginalizedDenoiser(max_features=3, random_state=0)
    assert parts.fit_transform(np.abs(X), y).shape == (100, 8)
    np.testing.assert_array_equal(parts.transform(np.abs(X)), parts.fit_transform(np.abs(X), y))


@pytest.mark.parametrize("method", ["emd", "sinkhorn", "class"])
def test_transport_is_that_of_pot(rows, method):
    ot = pytest.importorskip("ot", reason="optimal transport is that of POT, an optional package")
    X, y = rows
    source, target = X[:60], X[60:]
    peer = {
        "emd": ot.da.EMDTransport(norm="max"),
        "sinkhorn": ot.da.SinkhornTransport(reg_e=0.1, norm="max", out_of_sample_map="ferradans"),
        "class": ot.da.SinkhornLpl1Transport(reg_e=0.1, reg_cl=0.1, norm="max", max_inner_iter=1000),
    }[method]
    peer.fit(Xs=source, ys=y[:60], Xt=target)
    model = OptimalTransportAligner(method=method, regularization=0.1)
    out = model.fit_transform(X, y)
    np.testing.assert_allclose(out[:60], peer.transform(Xs=source), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(out[60:], target)
    unseen = source + 0.01
    np.testing.assert_allclose(
        model.transform(unseen, sample_domain=["source"] * 60), peer.transform(Xs=unseen), rtol=1e-5, atol=1e-5
    )


def test_a_missing_pot_is_named(rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(ImportError, match=r"sktl\[aligners\]"):
        OptimalTransportAligner().fit(*rows)
