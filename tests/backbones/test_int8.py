"""Networks of pictures in 8 bits: close to float32, told apart in a store, refused where they cannot be."""

import importlib.util
import logging

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from torch import nn

import sktl
import sktl._openvino as openvino_module
from sktl import CNNCodesTransformer
from sktl._draws import OwnDraws
from sktl.backbones import _engines, _openvino, _quantisation
from sktl.backbones._quantisation import (
    Calibration,
    check_close,
    photographs,
    resolve_code_precision,
    sums_products_exactly,
)
from sktl.cache import MemoryCache

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("openvino", "nncf")),
    reason="openvino and nncf are not installed (pip install sktl[openvino])",
)
CPU = torch.device("cpu")


def small_network():
    with OwnDraws(0):
        return nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(24, 10),
        )  # fmt: skip


NETWORK = small_network()


@pytest.fixture(autouse=True)
def fresh_engines(monkeypatch):
    monkeypatch.setattr(_engines, "_built", type(_engines._built)())
    monkeypatch.setattr(_engines, "_refused", set())
    monkeypatch.setattr(_quantisation, "N_CALIBRATION", 8)  # for speed
    photographs.cache_clear()
    yield
    photographs.cache_clear()


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (9, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2) * 0.9).astype(np.uint8)


def transformer(**params):
    given = {"backbone": NETWORK, "image_size": 32, "device": "cpu", "n_jobs": 1}
    return CNNCodesTransformer(**{**given, "precision": "int8", **params})


def distance(found, expected):
    return np.median(np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1))


def test_codes_are_near_those_in_float32_and_the_same_each_time(pictures, monkeypatch, capfd):
    models = []
    quantise = _openvino.quantised
    monkeypatch.setattr(_openvino, "quantised", lambda *given: models.append(quantise(*given)) or models[-1])
    kind = logging.getLoggerClass()
    found = transformer().fit_transform(pictures)
    assert 0 < distance(found, transformer(precision="float32").transform(pictures)) < 0.1
    assert {"FakeQuantize"} <= {op.get_type_name() for op in models[0].get_ops()}
    np.testing.assert_array_equal(transformer().transform(pictures), found)
    assert len(models) == 1  # the quantised network is kept
    for engine in ("auto", "openvino"):
        np.testing.assert_allclose(transformer(engine=engine).transform(pictures[3:5]), found[3:5], rtol=1e-5)
    monkeypatch.setattr(_engines, "_built", type(_engines._built)())
    np.testing.assert_array_equal(transformer().transform(pictures), found)
    assert len(models) == 2
    assert logging.getLoggerClass() is kind
    assert capfd.readouterr().out == ""


def test_several_layers_and_a_fitted_clone(pictures):
    exact = transformer(precision="float32", layers="all").fit_transform(pictures)
    found = clone(transformer(layers="all")).fit_transform(pictures)
    assert found.shape == exact.shape
    assert found.dtype == np.float32
    assert 0 < distance(found, exact) < 0.1


def test_a_store_tells_recipes_apart(pictures):
    store = MemoryCache()
    by = {
        "float32": transformer(precision="float32", cache=store),
        "photographs": transformer(cache=store),
        "own": transformer(cache=store, calibration=pictures),
    }
    first = {name: one.transform(pictures) for name, one in by.items()}
    for name, one in by.items():
        np.testing.assert_array_equal(one.transform(pictures), first[name])
        keys = one._extractor().recipe.cache_keys("openvino", CPU)
        assert all(
            keys != other._extractor().recipe.cache_keys("openvino", CPU) for other in by.values() if other is not one
        )
    assert not np.array_equal(first["photographs"], first["own"])


def test_codes_do_not_depend_on_what_came_first(pictures, monkeypatch):
    found = transformer().transform(pictures)
    monkeypatch.setattr(_engines, "_built", type(_engines._built)())
    other = transformer()
    other.transform(255 - pictures[:2])
    np.testing.assert_array_equal(other.transform(pictures), found)


def test_calibration_takes_pictures_in_any_form(pictures, tmp_path):
    paths = []
    for i, picture in enumerate(pictures):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(picture).save(paths[-1])
    forms = [pictures, pictures.transpose(0, 3, 1, 2), pictures / 255.0, paths, [Image.fromarray(p) for p in pictures]]
    recipes = [transformer(calibration=form)._extractor().recipe.calibration for form in forms]
    assert len(set(recipes)) == 1
    assert recipes[0].pictures.shape == (9, 3, 32, 32)
    assert recipes[0] != transformer(calibration=pictures[:5])._extractor().recipe.calibration
    many = transformer(calibration=np.repeat(pictures, 20, axis=0))._extractor().recipe.calibration
    assert len(many.pictures) == 64


def test_photographs_are_always_the_same():
    photographs.cache_clear()
    first = photographs((24, 40))
    photographs.cache_clear()
    assert photographs((24, 40)) == first
    assert hash(photographs((24, 40))) == hash(first)
    assert first.pictures.shape == (_quantisation.N_CALIBRATION + 24, 3, 24, 40)
    assert first.pictures.std(axis=(1, 2, 3)).min() > 5
    assert repr(first) == repr(Calibration(first.pictures.copy()))
    assert first != "photographs"


def test_auto_never_takes_it():
    assert resolve_code_precision("auto", CPU, "auto") == torch.float32
    assert transformer(precision="auto")._extractor().recipe.dtype == torch.float32


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"engine": "torch"}, "computed by OpenVINO; got engine='torch'"),
        ({"precision": "float32", "calibration": np.zeros((3, 8, 8), np.uint8)}, "calibration is for precision='int8'"),
        ({"calibration": np.zeros((1, 8, 8), np.uint8)}, "calibration must hold pictures of many kinds"),
        ({"precision": "int4"}, "int8"),
    ],
)
def test_what_cannot_be_is_refused_in_fit(pictures, params, words):
    with pytest.raises(ValueError, match=words):
        transformer(**params).fit(pictures)


def test_a_gpu_is_refused():
    with pytest.raises(ValueError, match="precision='int8' is for CPUs; got device='cuda'"):
        resolve_code_precision("int8", torch.device("cuda"), "auto")


@pytest.mark.parametrize("lacking", ["openvino", "nncf"])
def test_a_missing_package_is_named(pictures, lacking, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == lacking else found(name, *a))
    with pytest.raises(ValueError, match=rf"needs {lacking}: pip install 'sktl\[openvino\]'"):
        transformer().fit(pictures)


def test_a_process_forked_off_one_with_openvino_says_so(pictures, monkeypatch):
    monkeypatch.setattr(openvino_module, "_was_lost", True)
    with pytest.raises(ValueError, match="does not outlive a fork"):
        transformer().transform(pictures)


def test_networks_that_8_bits_spoil_are_refused(pictures, monkeypatch):
    codes = [np.ones((4, 3))]
    check_close([codes[0] * 1.4], codes, ("body",))
    with pytest.raises(RuntimeError, match="8 bits move its codes of 'body' by 60% of their length"):
        check_close([codes[0] * 1.6], codes, ("body",))
    with pytest.raises(RuntimeError, match="nan%"):
        check_close([codes[0] * np.nan], codes, ("body",))
    monkeypatch.setattr(_quantisation, "FARTHEST", 0.0)
    with pytest.raises(ValueError, match="cannot run in 8 bits here"):
        transformer().transform(pictures)


def test_large_sums_are_not_cut_off():
    # Each pair of products is 255 * 127 * 2, beyond 16 bits, in which older cores add pairs up.
    with OwnDraws(0):
        network = nn.Sequential(
            nn.Conv2d(3, 16, 1, bias=False), nn.ReLU(), nn.Conv2d(16, 16, 1, bias=False), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2),
        )  # fmt: skip
    with torch.no_grad():
        network[0].weight.fill_(1 / 3)
        network[2].weight.copy_((1 + torch.arange(16) / 16)[:, None, None, None] / 16)
    bright = np.full((4, 32, 32, 3), 250, np.uint8)
    options = {"backbone": network, "preprocessing": {"mean": (0, 0, 0), "std": (1, 1, 1)}}
    found = transformer(calibration=bright, **options).transform(bright)
    np.testing.assert_allclose(found, transformer(precision="float32", **options).transform(bright), rtol=0.03)


@pytest.mark.parametrize(
    ("machine", "has", "expected"),
    [
        ("x86_64", {"avx2": True}, False),
        ("AMD64", {"avx2": True, "avx512_f": True, "avx512_vnni": False}, False),
        ("x86_64", {"avx512_vnni": True}, True),
        ("x86_64", {"avx2": True, "avx_vnni": True}, True),
        ("x86_64", {"amx_int8": True}, True),
        ("arm64", {}, True),
    ],
)
def test_which_processors_add_exactly(machine, has, expected, monkeypatch):
    monkeypatch.setattr(_quantisation.platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    sums_products_exactly.cache_clear()
    try:
        assert sums_products_exactly() is expected
        one = Calibration(np.zeros((1, 3, 4, 4), np.uint8))
        monkeypatch.setattr(_quantisation, "sums_products_exactly", lambda: not expected)
        assert Calibration(one.pictures) != one  # codes that come out otherwise are kept apart
    finally:
        sums_products_exactly.cache_clear()


def test_pictures_of_a_calibration_are_not_written_over():
    size = (224, 224)  # smaller ones were not
    before = photographs(size).pictures.copy()
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)

    def codes():
        sktl.clear_memory()
        model = CNNCodesTransformer(precision="int8", cache=None, device="cpu")
        return model.fit_transform(pictures)

    first = codes()
    np.testing.assert_array_equal(photographs(size).pictures, before)
    np.testing.assert_array_equal(codes(), first)  # of the same pictures, as in another process
