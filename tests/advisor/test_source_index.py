"""Sources near a target, found by what is kept of them."""

import numpy as np
import pytest
from scipy import sparse

from sktl.advisor import SourceIndex, _source_index
from sktl.exceptions import WeightsError

RNG = np.random.default_rng(0)


def sources(n=5, n_columns=4):
    return {f"s{k}": RNG.normal(loc=k, scale=1 + k / 10, size=(20 + k, n_columns)) for k in range(n)}


def filled(domains):
    index = SourceIndex()
    for name, rows in domains.items():
        index.add(name, rows)
    return index


@pytest.fixture
def counted(monkeypatch):
    """Count the tables whose rows are read for statistics."""
    read = []
    whole = _source_index._moments
    monkeypatch.setattr(_source_index, "_moments", lambda rows: read.append(rows.shape) or whole(rows))
    return read


def test_distances_are_those_of_the_formula():
    domains, target = sources(), RNG.normal(size=(30, 4))
    parts = [*domains.values(), target]
    variance = np.mean([p.var(axis=0) for p in parts], axis=0) + np.var([p.mean(axis=0) for p in parts], axis=0)
    found = filled(domains).distances(target)
    for name, rows in domains.items():
        gap = (rows.mean(axis=0) - target.mean(axis=0)) ** 2 + (rows.std(axis=0) - target.std(axis=0)) ** 2
        np.testing.assert_allclose(found[name], (gap / variance).mean())


def test_the_nearest_come_first_and_only_those_asked_for_count():
    domains, target = sources(), RNG.normal(loc=1.1, size=(30, 4))
    index = filled(domains)
    assert [name for name, _ in index.nearest(target, 2)] == ["s1", "s2"]
    few = {name: domains[name] for name in ("s3", "s0")}
    assert index.distances(target, few) == filled(few).distances(target)
    with pytest.raises(ValueError, match="no source 'x'"):
        index.distances(target, ["x"])


def test_units_of_columns_do_not_matter():
    domains, target = sources(), RNG.normal(size=(30, 4))
    scale = np.array([1e-6, 1.0, 1e3, 1e6])
    found = filled({name: rows * scale for name, rows in domains.items()}).distances(target * scale)
    np.testing.assert_allclose([*found.values()], [*filled(domains).distances(target).values()])


def test_sparse_rows_are_as_dense_ones():
    domains, target = sources(), RNG.normal(size=(30, 4))
    found = filled({name: sparse.csr_matrix(rows) for name, rows in domains.items()})
    np.testing.assert_allclose(
        [*found.distances(sparse.csr_matrix(target)).values()], [*filled(domains).distances(target).values()]
    )


def test_a_thousand_sources_are_ranked_without_their_rows(tmp_path, counted):
    rows = RNG.normal(size=(1000, 5, 8)) + np.arange(1000)[:, None, None]
    index = SourceIndex()
    for k, own in enumerate(rows):
        index.add(k, own)
    index.save(tmp_path / "index.safetensors")
    assert len(counted) == 1000
    counted.clear()
    del rows
    found = SourceIndex.load(tmp_path / "index.safetensors").nearest(np.full((3, 8), 500.2) + RNG.normal(size=(3, 8)))
    assert len(found) == 1000
    assert abs(int(found[0][0]) - 500) < 5
    assert counted == [(3, 8)]  # the target's own


def test_rows_that_are_known_cost_nothing(counted):
    domains = sources()
    index = filled(domains)
    counted.clear()
    for name, rows in domains.items():
        index.add(name, rows.copy())
    assert not counted
    index.add("s0", domains["s0"] + 1)
    assert len(counted) == 1
    assert len(index) == 5


def test_a_file_holds_all(tmp_path):
    index, target = filled(sources()), RNG.normal(size=(9, 4))
    index.save(tmp_path / "index")
    loaded = SourceIndex.load(tmp_path / "index")
    assert loaded.names == index.names
    assert loaded.distances(target) == index.distances(target)
    SourceIndex().save(tmp_path / "empty")
    assert SourceIndex.load(tmp_path / "empty").nearest(target) == []


def test_constant_columns_and_single_rows_give_numbers():
    index = filled({"a": np.ones((1, 2)), "b": np.array([[1.0, 3.0]])})
    assert index.distances([[1.0, 3.0]])["b"] == 0
    assert index.distances([[1.0, 3.0]])["a"] > 0


def test_what_is_wrong_is_said(tmp_path):
    index = filled(sources())
    with pytest.raises(ValueError, match="X has 3 columns, and the sources in this index have 4"):
        index.add("other", np.ones((2, 3)))
    with pytest.raises(ValueError, match="NaN"):
        index.add("other", [[np.nan] * 4])
    with pytest.raises(ValueError, match="as large as"):
        index.add("other", [[1e200] * 4])
    assert "other" not in index
    with pytest.raises(WeightsError, match="no such file"):
        SourceIndex.load(tmp_path / "nothing")
    index.save(tmp_path / "index")
    content = (tmp_path / "index").read_bytes()
    for place in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        (tmp_path / "index").write_bytes(damaged)
        with pytest.raises(WeightsError):
            SourceIndex.load(tmp_path / "index")
    (tmp_path / "index").write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError):
        SourceIndex.load(tmp_path / "index")


@pytest.mark.parametrize("change", ["names", "value", "kind"])
def test_a_whole_file_with_wrong_content_is_refused(tmp_path, change):
    index = filled(sources())
    if change == "names":
        index._digests.append("more")
    elif change == "value":
        index._deviations[0] = -index._deviations[0]
    else:
        index._means = [mean.astype(np.float32) for mean in index._means]
    index.save(tmp_path / "index")
    with pytest.raises(WeightsError, match=r"its (names|statistics)"):
        SourceIndex.load(tmp_path / "index")
