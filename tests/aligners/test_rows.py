"""How aligners read rows, domains and marks, and what they do with degenerate ones."""

import importlib.util
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sktl import aligners

ALIGNERS = [
    aligners.CORALAligner(),
    aligners.DomainStandardizer(),
    aligners.GeodesicFlowKernel(),
    aligners.JointDistributionAligner(),
    aligners.MarginalizedDenoiser(),
    *([aligners.OptimalTransportAligner(max_sinkhorn_iter=100)] if importlib.util.find_spec("ot") else []),
    aligners.StructuralCorrespondence(min_count=1),
    aligners.SubspaceAligner(),
    aligners.TransferComponentAnalysis(),
    aligners.TransferKernelLearning(),
]
each = pytest.mark.parametrize("aligner", ALIGNERS, ids=lambda aligner: type(aligner).__name__)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 4))
    y = (X[:, 0] > 0).astype(int)
    X[45:] = X[45:] * [4, 1, 1, 1] + [8, 0, 0, 0]
    truth = y.copy()
    y[45:] = -1
    return X, y, truth


@each
def test_a_pipeline_needs_no_routing(rows, aligner):
    X, y, _ = rows
    before = X.copy(), y.copy()
    pipeline = make_pipeline(clone(aligner), aligners.LabelledOnly(LogisticRegression()))
    search = GridSearchCV(pipeline, {"labelledonly__estimator__C": [0.1, 10.0]}, cv=3)
    with pytest.warns(UserWarning, match="get_domain_scorer"):
        search.fit(X, y)
    assert search.classes_.tolist() == [0, 1]
    assert set(search.predict(X[45:])) == {0, 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isfinite(cross_val_score(pipeline, X, y, cv=3)).all()
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])


@each
def test_each_row_is_mapped_by_its_own_domain(rows, aligner):
    X, y, _ = rows
    domain = np.where(y == -1, "new", "old")
    both = clone(aligner).fit_transform(X, y)
    model = clone(aligner).fit(X, y, sample_domain=domain)
    np.testing.assert_allclose(model.transform(X, sample_domain=domain), both)
    np.testing.assert_allclose(model.transform(X[45:]), both[45:])
    np.testing.assert_allclose(model.transform(X[:45], sample_domain=["source"] * 45), both[:45])
    with pytest.raises(ValueError, match=r"'odd'.*has not seen"):
        model.transform(X, sample_domain=["odd"] * 90)
    with pytest.raises(ValueError, match="does not occur"):
        clone(aligner).set_params(target_domain="odd").fit(X, y, sample_domain=domain)
    if isinstance(aligner, aligners.JointDistributionAligner):  # it learns from labels of the target, too
        return
    all_labelled = clone(aligner).set_params(target_domain="new").fit_transform(X, rows[2], sample_domain=domain)
    np.testing.assert_allclose(all_labelled, both)


@each
@pytest.mark.parametrize("label", [1, -1])
def test_one_domain_alone_is_left_as_it_is(rows, aligner, label):
    X = rows[0]
    with pytest.warns(UserWarning, match="leaves all rows as they are"):
        model = clone(aligner).fit(X, np.full(len(X), label))
    np.testing.assert_array_equal(model.transform(X), X)
    assert model.get_feature_names_out().tolist() == ["x0", "x1", "x2", "x3"]


@each
def test_types_and_names(rows, aligner):
    X, y, _ = rows
    double = clone(aligner).fit_transform(X, y)
    single = clone(aligner).fit_transform(X.astype(np.float32), y)
    assert (double.dtype, single.dtype) == (np.float64, np.float32)
    if isinstance(aligner, aligners.GeodesicFlowKernel):  # equal angles leave its columns free to turn
        np.testing.assert_allclose(single @ single.T, double @ double.T, rtol=1e-3, atol=1e-3)
    else:
        np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-3)
    model = clone(aligner).fit(X, y)
    assert len(model.get_feature_names_out()) == double.shape[1] == len(set(model.get_feature_names_out()))
    words = np.array(["yes", "no", "-1"])[np.where(y == -1, 2, y)]
    np.testing.assert_allclose(clone(aligner).fit_transform(X, words), double)


def degenerate():
    rng = np.random.default_rng(1)
    for scale in (1e-8, 1.0, 1e8):
        for n_source, n_target, d in ((1, 20, 3), (20, 1, 3), (1, 1, 1), (3, 4, 30), (30, 40, 3), (2, 2, 2)):
            X = rng.normal(size=(n_source + n_target, d)) * scale
            y = np.r_[np.arange(n_source) % 2, np.full(n_target, -1)]
            yield X, y
            yield np.full_like(X, scale), y  # constant
            yield np.repeat(X[:, :1], d, axis=1), y  # of rank one
            yield np.where(y[:, None] == -1, X * 1e12, X), y  # of other scales
            yield np.where(y[:, None] == -1, scale, X), y  # one domain constant


@each
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_degenerate_rows_give_finite_numbers_or_an_error(aligner):
    n_answers = 0
    for X, y in degenerate():
        for rows in (X, X.astype(np.float32)):
            try:
                out = clone(aligner).fit_transform(rows, y)
            except (ValueError, TypeError):
                continue
            n_answers += 1
            assert out.shape[0] == len(X)
            assert np.isfinite(out).all()
    assert n_answers > 120  # of 180


FROM_ALL_ROWS = (aligners.MarginalizedDenoiser, aligners.StructuralCorrespondence)
BY_DOMAIN = [aligner for aligner in ALIGNERS if not isinstance(aligner, FROM_ALL_ROWS)]


@pytest.mark.parametrize("aligner", BY_DOMAIN, ids=lambda aligner: type(aligner).__name__)
def test_one_row_in_a_domain_is_said(rows, aligner):
    X, y, _ = rows
    with pytest.warns(UserWarning, match=r"The target has 1 row\(s\)"):
        out = clone(aligner).fit_transform(X[:46], y[:46])
    assert np.isfinite(out).all()


@each
def test_bad_input_is_named(rows, aligner):
    X, y, _ = rows
    with pytest.raises(ValueError, match="requires y to be passed"):
        clone(aligner).fit(X)
    with pytest.raises(ValueError, match="target_domain='a' names a domain"):
        clone(aligner).set_params(target_domain="a").fit(X, y)
    with pytest.raises(ValueError, match="one entry a row"):
        clone(aligner).fit(X, y, sample_domain=[0, 1])
    with pytest.raises(ValueError, match="can be computed with"):
        clone(aligner).fit(X * 1e160, y)


def test_sparse_rows_are_scaled_by_domain(rows):
    X, y, _ = rows
    X[X < 0] = 0
    found = aligners.DomainStandardizer(with_mean=False).fit_transform(sparse.csr_array(X), y)
    assert sparse.issparse(found)
    np.testing.assert_allclose(found.toarray(), aligners.DomainStandardizer(with_mean=False).fit_transform(X, y))
    with pytest.raises(ValueError, match="with_mean=False"):
        aligners.DomainStandardizer().fit(sparse.csr_array(X), y)


def test_labelled_only_learns_what_labelled_rows_say(rows):
    X, y, _ = rows
    weight = np.arange(1.0, 91.0)
    model = aligners.LabelledOnly(LogisticRegression()).fit(X, y, sample_weight=weight)
    alone = LogisticRegression().fit(X[:45], y[:45], sample_weight=weight[:45])
    np.testing.assert_array_equal(model.coef_, alone.coef_)
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))
    with pytest.warns(UserWarning, match="leaves out rows"):
        assert model.score(X, y) == alone.score(X[:45], y[:45])
    with pytest.raises(ValueError, match="holds no label"):
        model.fit(X, np.full(90, -1))


def test_minus_one_is_a_value_for_a_regressor(rows):
    X, _, _ = rows
    y = np.r_[np.linspace(-1, 1, 45), np.full(45, np.nan)]
    model = aligners.LabelledOnly(Ridge()).fit(X, y)
    np.testing.assert_array_equal(model.coef_, Ridge().fit(X[:45], y[:45]).coef_)
