"""Sources that are near the target and do no harm."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sktl
from sktl.advisor import SourceIndex, SourceSelector, _source_index
from sktl.advisor._source_distances import COMPARED
from sktl.advisor._source_value import RidgeProbe, _agreeing, _weighted
from sktl.exceptions import WeightsError
from sktl.metrics.distances import frechet_distance
from sktl.model_selection import StratifiedDomainKFold


def domains(n_sources=4, n_rows=80, n_columns=5, wrong=(), seed=0, shift=0.5):
    """Sources ever farther from the target; those in `wrong` are labelled the other way round."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=((n_sources + 1) * n_rows, n_columns))
    domain = np.repeat([*(f"s{k}" for k in range(n_sources)), "target"], n_rows)
    X[:, 1:] += shift * np.repeat([*range(1, n_sources + 1), 0], n_rows)[:, None]
    y = np.where(X[:, 0] > 0, "yes", "no")
    truth = y[domain == "target"].copy()
    for name in wrong:
        y[domain == name] = np.where(y[domain == name] == "yes", "no", "yes")
    y[domain == "target"] = "-1"
    return X, y, domain, truth


def selector(**options):
    return SourceSelector(LogisticRegression(), random_state=0, **options)


def column(model, name):
    ranked = model.source_ranking_
    return list(ranked[name]) if hasattr(ranked, "columns") else [row[name] for row in ranked]


def test_sources_that_do_harm_are_left_out():
    X, y, domain, truth = domains(5, wrong=["s0", "s3"])
    model = selector().fit(X, y, sample_domain=domain)
    assert sorted(model.sources_) == ["s1", "s2", "s4"]
    assert sorted(model.harmful_sources_) == ["s0", "s3"]
    target = X[domain == "target"]
    everything = LogisticRegression().fit(X[y != "-1"], y[y != "-1"])
    assert model.score(target, truth) > everything.score(target, truth)
    gains = dict(zip(column(model, "source"), column(model, "gain")))
    assert max(gains[name] for name in ("s0", "s3")) < min(gains[name] for name in ("s1", "s2", "s4"))


def test_rows_of_weight_zero_are_as_if_they_were_not_there():
    X, y, domain, _ = domains(4, wrong=["s1"])
    weight = np.random.default_rng(0).integers(0, 3, len(y)) * (domain != "s2") + (y == "-1")
    kept = weight > 0
    expected = selector().fit(X[kept], y[kept], sample_domain=domain[kept], sample_weight=weight[kept])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = selector().fit(X, y, sample_domain=domain, sample_weight=weight)
    assert list(model.sources_) == list(expected.sources_)
    np.testing.assert_allclose(column(model, "gain"), column(expected, "gain"))
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X))


def test_where_none_does_harm_all_are_kept():
    for seed in range(5):
        X, y, domain, _ = domains(4, n_rows=200, seed=seed)
        model = selector().fit(X, y, sample_domain=domain)
        assert len(model.sources_) == 4
        rows = np.flatnonzero(y != "-1")
        np.testing.assert_array_equal(model.rows_, rows)
        np.testing.assert_allclose(model.estimator_.coef_, LogisticRegression().fit(X[rows], y[rows]).coef_)


@pytest.mark.parametrize("distance", ["proxy_a", "mmd", "coral", "frechet", "sliced_wasserstein", "moments"])
def test_the_nearest_by_every_distance(distance):
    X, y, domain, _ = domains(4, shift=2.0)
    if distance == "coral":  # covariances alone
        X = X * np.repeat([1.5, 2.0, 3.0, 4.0, 1.0], 80)[:, None]
    model = selector(distance=distance, n_sources=2).fit(X, y, sample_domain=domain)
    assert model.sources_.tolist() == ["s0", "s1"]
    assert column(model, "source") == ["s0", "s1", "s2", "s3"]
    assert column(model, "is_chosen") == [True, True, False, False]
    assert np.isfinite(column(model, "distance")).all()
    assert np.isnan(column(model, "gain")).all()


def test_a_distance_of_ones_own():
    X, y, domain, _ = domains(4)
    asked = []

    def far(source, target):
        asked.append((source.shape, target.shape))
        return -frechet_distance(source, target)

    model = selector(distance=far, n_sources=1).fit(X, y, sample_domain=domain)
    assert model.sources_.tolist() == ["s3"]
    assert len(asked) == 4
    with pytest.raises(ValueError, match="The distance of a source is nan"):
        selector(distance=lambda source, target: np.nan).fit(X, y, sample_domain=domain)


def test_of_many_sources_the_nearest_are_compared():
    X, y, domain, _ = domains(40, n_rows=12, shift=0.1)
    model = selector(n_sources=3).fit(X, y, sample_domain=domain)
    assert np.isfinite(column(model, "distance")).sum() == COMPARED
    moments = np.array(column(model, "moments"))
    assert moments[:COMPARED].max() <= moments[COMPARED:].min()


def test_many_sources_are_judged():
    wrong = [f"s{k}" for k in range(0, 24, 3)]
    X, y, domain, truth = domains(24, n_rows=60, wrong=wrong, shift=0.02)
    X[np.isin(domain, wrong), 2] += 1.0  # which makes them no judges of the others, and no worse by the others' labels
    model = selector(distance="moments").fit(X, y, sample_domain=domain)
    assert len(set(wrong) - set(model.harmful_sources_)) <= 1
    assert len(model.sources_) >= 10
    assert model.score(X[domain == "target"], truth) > 0.95


def test_many_sources_of_single_rows_are_no_obstacle():
    X, y, domain, _ = domains(20, n_rows=8)
    keep = np.ones(len(y), dtype=bool)
    for k in range(10):
        keep[np.flatnonzero(domain == f"s{k}")[1:]] = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = selector().fit(X[keep], y[keep], sample_domain=domain[keep])
    assert len(column(model, "source")) == 20


def test_ridge_classifiers_are_those_of_their_rows():
    X, y, domain, _ = domains(3)
    labelled = y != "-1"
    X, y, domain = X[labelled], (y[labelled] == "yes").astype(int), domain[labelled]
    probe = RidgeProbe(X, y, np.unique(domain, return_inverse=True)[1])
    few = domain != "s1"
    codes = np.column_stack([X, np.ones(len(X))])
    penalty = 0.1 * np.mean(np.sum(codes[few] ** 2, axis=0))
    model = Ridge(penalty).fit(X[few], np.eye(2)[y[few]])  # which leaves the intercept free
    rows = np.flatnonzero(~few)
    found = probe.right(probe.grams[[0, 2]].sum(axis=0), probe.products[[0, 2]].sum(axis=0), rows)
    np.testing.assert_array_equal(found, model.predict(X[rows]).argmax(axis=1) == y[rows])


def test_rows_that_are_frequent_in_the_target_are_selected():
    X, y, domain, _ = domains(3)
    X[:, 1] += np.random.default_rng(1).choice([0.0, 9.0], size=len(X)) * (domain != "target")
    model = selector(row_selection=0.5).fit(X, y, sample_domain=domain)
    n = (y != "-1").sum()
    assert abs(len(model.rows_) - n / 2) <= 2
    assert np.mean(X[model.rows_, 1] > 5) < 0.2 < 0.4 < np.mean(X[:n, 1] > 5)
    shares = [np.mean(y[rows] == "yes") for rows in (model.rows_, np.flatnonzero(y != "-1"))]
    assert abs(shares[0] - shares[1]) < 0.02
    whole = selector(row_selection=1.0).fit(X, y, sample_domain=domain)
    assert len(whole.rows_) == n


def test_labelled_target_rows_are_learned_too():
    X, y, domain, truth = domains(3)
    y = y.copy()
    known = np.flatnonzero(domain == "target")[:5]
    y[known] = truth[:5]
    model = selector(n_sources=1, target_domain="target").fit(X, y, sample_domain=domain)
    assert set(model.rows_) == {*np.flatnonzero(domain == model.sources_[0]), *known}


def test_an_index_is_kept_and_used(tmp_path, monkeypatch):
    X, y, domain, _ = domains(4)
    path = tmp_path / "sources.safetensors"
    without = selector(n_sources=2).fit(X, y, sample_domain=domain)
    first = selector(n_sources=2, index=path).fit(X, y, sample_domain=domain)
    assert SourceIndex.load(path).names == ["s0", "s1", "s2", "s3"]
    read = []
    whole = _source_index._moments
    monkeypatch.setattr(_source_index, "_moments", lambda rows: read.append(len(rows)) or whole(rows))
    second = selector(n_sources=2, index=str(path)).fit(X, y, sample_domain=domain)
    assert read == [80]  # the target
    for model in (first, second):
        assert model.sources_.tolist() == without.sources_.tolist()
        assert column(model, "moments") == column(without, "moments")
    changed = X.copy()
    changed[domain == "s1"] += 9
    selector(n_sources=2, index=path).fit(changed, y, sample_domain=domain)
    assert len(read) == 3  # the target, and the source whose rows are others


def test_a_damaged_index_is_named(tmp_path):
    X, y, domain, _ = domains(3)
    path = tmp_path / "sources"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match=r"sources.*Remove the file"):
        selector(index=path).fit(X, y, sample_domain=domain)
    assert path.read_bytes() == b"nothing of the kind"
    path.unlink()
    selector(index=path).fit(X, y, sample_domain=domain)
    with pytest.raises(ValueError, match="take an index of its own"):
        selector(index=path).fit(X[:, :3], y, sample_domain=domain)


def test_sparse_rows_pipelines_and_grids():
    X, y, domain, truth = domains(4, wrong=["s2"])
    model = selector().fit(sparse.csr_matrix(X), y, sample_domain=domain)
    assert model.harmful_sources_.tolist() == ["s2"]
    pipeline = make_pipeline(StandardScaler(), selector())
    pipeline.fit(X, y, sourceselector__sample_domain=domain)
    assert pipeline.score(X[domain == "target"], truth) > 0.9
    grid = GridSearchCV(selector(), {"n_sources": [2, 3], "estimator__C": [0.1, 1.0]}, cv=StratifiedDomainKFold(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # score leaves the target out
        assert grid.fit(X, y, sample_domain=domain).best_estimator_.sources_.size in (2, 3)


def test_weights_reach_the_estimator():
    X, y, domain, _ = domains(3)
    weight = np.random.default_rng(0).uniform(0.1, 2, size=len(y))
    model = selector(n_sources=3).fit(X, y, sample_domain=domain, sample_weight=weight)
    rows = y != "-1"
    expected = LogisticRegression().fit(X[rows], y[rows], sample_weight=weight[rows])
    np.testing.assert_allclose(model.estimator_.coef_, expected.coef_)
    with pytest.raises(TypeError, match="takes no sample_weight"):
        SourceSelector(KNeighborsClassifier()).fit(X, y, sample_domain=domain, sample_weight=weight)


def test_the_same_seed_gives_the_same_choice():
    X, y, domain, _ = domains(4, n_rows=700, wrong=["s1"])
    found = [selector().fit(X, y, sample_domain=domain) for _ in range(2)]
    assert column(found[0], "gain") == column(found[1], "gain")
    assert column(found[0], "distance") == column(found[1], "distance")


def test_one_source_two_sources_and_a_source_of_two_rows():
    X, y, domain, _ = domains(3, wrong=["s1"])
    one = np.isin(domain, ["s0", "target"])
    with pytest.warns(UserWarning, match="There is one source, 's0'"):
        model = selector().fit(X[one], y[one], sample_domain=domain[one])
    assert model.sources_.tolist() == ["s0"]
    two = np.isin(domain, ["s0", "s1", "target"])
    model = selector().fit(X[two], y[two], sample_domain=domain[two])
    assert len(model.sources_) == 2  # which of them is wrong cannot be told
    for n in (1, 2):
        keep = np.ones(len(y), dtype=bool)
        keep[np.flatnonzero(domain == "s2")[n:]] = False
        model = selector().fit(X[keep], y[keep], sample_domain=domain[keep])
        assert len(column(model, "source")) == 3
    keep = (domain != "target") | (np.cumsum(domain == "target") == 1)
    assert np.isnan(column(selector().fit(X[keep], y[keep], sample_domain=domain[keep]), "distance")).all()


def test_what_is_wrong_is_said():
    X, y, domain, _ = domains(3)
    with pytest.raises(ValueError, match=r"distance must be one of .*Did you mean 'proxy_a'"):
        selector(distance="proxya").fit(X, y, sample_domain=domain)
    with pytest.raises(ValueError, match="n_sources=4, but there are 3 sources"):
        selector(n_sources=4).fit(X, y, sample_domain=domain)
    with pytest.raises(ValueError, match="There is no source"):
        selector(target_domain=["s0", "s1", "s2", "target"]).fit(X, y, sample_domain=domain)
    with pytest.raises(ValueError, match="no label"):
        selector().fit(X, np.full(len(y), "-1"), sample_domain=domain)
    with pytest.warns(UserWarning, match="The sources 's1' have no labelled row"):
        model = selector(target_domain="target").fit(X, np.where(domain == "s1", "-1", y), sample_domain=domain)
    assert "s1" not in column(model, "source")
    with pytest.warns(UserWarning, match="There is no target row"):
        selector().fit(X[y != "-1"], y[y != "-1"], sample_domain=domain[y != "-1"])
    one_class = np.where((domain == "s0"), "yes", y)
    with pytest.raises(ValueError, match="'s0', hold one class only"):
        selector(n_sources=1).fit(X, one_class, sample_domain=domain)


def test_nothing_is_said_where_all_is_well():
    X, y, domain, _ = domains(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        selector(row_selection=0.5).fit(X, y, sample_domain=domain)


def test_it_is_a_headline():
    assert sktl.SourceSelector is SourceSelector
    assert clone(selector(index="some.file")).index == "some.file"


def test_what_others_contradict_is_left_out_together():
    wrong = [f"s{k}" for k in range(30) if k % 10 in (1, 4, 7)]
    X, y, domain, truth = domains(30, n_rows=40, n_columns=30, wrong=wrong, shift=0.0)
    noise = domain == "s5"
    X[noise, 0] = np.random.default_rng(1).normal(size=noise.sum())  # labels say nothing of the rows
    model = selector().fit(X, y, sample_domain=domain)
    assert {*wrong, "s5"} <= set(model.harmful_sources_)
    assert len(model.sources_) >= 12
    target = X[domain == "target"]
    everything = LogisticRegression().fit(X[y != "-1"], y[y != "-1"])
    assert model.score(target, truth) >= everything.score(target, truth)


def test_a_minority_that_is_like_the_target_stays():
    X, y, domain, _ = domains(30, n_rows=60, shift=0.0)
    few = np.isin(domain, [f"s{k}" for k in range(10)])
    turned = few & (y != "-1")
    y[turned] = np.where(y[turned] == "yes", "no", "yes")  # labelled the other way round, and
    X[few | (domain == "target"), 1:] += 5.0  # where the target is: nobody else knows
    model = selector().fit(X, y, sample_domain=domain)
    assert not {f"s{k}" for k in range(10)} <= set(model.harmful_sources_)


def test_which_sources_agree_does_not_depend_on_how_many_rows_they_have():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(20 * 40 + 15, 3))
    number, source = (codes[:, 0] > 0).astype(int), np.r_[np.repeat(np.arange(20), 40), np.arange(20, 35)]
    number[source == 3] = 1 - number[source == 3]
    number[source >= 30] = 1 - number[source >= 30]  # of one row each, which proves nothing
    probe = RidgeProbe(codes, number, source)
    assert _agreeing(probe, probe.rows) == [i for i in range(35) if i != 3]


def test_few_rows_do_not_make_a_source_the_nearest():
    first = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        domain = np.r_[np.repeat(["a", "b", "c", "d"], [3, 5, 8, 200]), np.repeat("target", 100)]
        X = rng.normal(size=(len(domain), 5))  # all of one distribution
        y = np.where(domain == "target", -1, rng.integers(0, 2, len(domain)))
        first.append(column(selector().fit(X, y, sample_domain=domain), "source")[0])
    assert first.count("d") >= 6  # by distances below 0, which are chance, it was never the first
    X, y, domain, _ = domains(shift=1.0)
    assert column(selector().fit(X, y, sample_domain=domain), "source") == ["s0", "s1", "s2", "s3"]


def test_a_single_row_is_no_proof():
    assert _weighted([np.array([-1.0]), np.array([0.0])], np.ones(2)) == pytest.approx((-0.5, np.sqrt(0.125)))
    large = [np.random.default_rng(i).integers(-1, 2, 50).astype(float) for i in (0, 1)]
    mean, error = _weighted(large, np.array([1.0, 3.0]))
    assert mean == pytest.approx(0.25 * large[0].mean() + 0.75 * large[1].mean())
    assert error == pytest.approx(np.sqrt(0.0625 * large[0].var() / 50 + 0.5625 * large[1].var() / 50))


def test_a_distance_of_ones_own_is_checked_and_changes_nothing():
    X, y, domain, _ = domains()

    def writes(source, target):
        distance = abs(source.mean() - target.mean())
        source[:], target[:] = 0.0, 0.0
        return distance

    plain = selector(distance=lambda s, t: abs(s.mean() - t.mean())).fit(X, y, sample_domain=domain)
    model = selector(distance=writes).fit(X, y, sample_domain=domain)
    assert column(model, "distance") == column(plain, "distance")
    assert column(model, "gain") == column(plain, "gain")
    for odd in (None, "near", np.ones(3)):
        with pytest.raises(TypeError, match="finite numbers"):
            selector(distance=lambda s, t, odd=odd: odd).fit(X, y, sample_domain=domain)


def test_regressors_and_domains_that_read_alike_are_refused():
    X, y, domain, _ = domains()
    with pytest.raises(TypeError, match="Ridge is a regressor"):
        SourceSelector(Ridge()).fit(X, y, sample_domain=domain)
    mixed = np.array([{"s0": 1, "s1": "1"}.get(name, name) for name in domain], dtype=object)
    with pytest.raises(ValueError, match="two domains that read '1'"):
        selector().fit(X, y, sample_domain=mixed)


@pytest.mark.parametrize("distance", ["proxy_a", "moments", "mmd"])
def test_rows_whose_squares_vanish_are_ranked_as_others(distance):
    X, y, domain, _ = domains()
    model = SourceSelector(make_pipeline(StandardScaler(), LogisticRegression()), distance=distance, random_state=0)
    usual = clone(model).fit(X, y, sample_domain=domain)
    small = clone(model).fit(np.ldexp(X, -600), y, sample_domain=domain)
    assert column(small, "source") == column(usual, "source")
    assert np.allclose(column(small, "distance"), column(usual, "distance"))
    assert list(small.sources_) == list(usual.sources_)
