"""What is kept between calls is bounded, given back when asked for, and never the user's own pictures."""

import gc
import io
import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import sktl
from sktl import CNNCodesTransformer, FineTunedClassifier
from sktl._identity._keys import _held, key_of_object
from sktl._memory import Remembered, trim
from sktl.backbones import _backbone, list_layers, load_backbone
from sktl.cache import open_cache

PICTURES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
MIB = 2**20


def network(megabytes=0.0, seed=0):
    """A small network with a wide linear layer of so many MiB before its classifier."""
    width = max(1, int(megabytes * MIB / 4 / 8))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wide = nn.utils.skip_init(nn.Linear, 8, width)
        nn.init.constant_(wide.weight, 0.1 + seed)
        nn.init.zeros_(wide.bias)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), wide, nn.ReLU(),
            nn.Linear(width, 2),
        )  # fmt: skip


def resident():
    """MiB of this process in memory."""
    psutil = pytest.importorskip("psutil", reason="psutil, an optional package, says how much memory is taken")
    gc.collect()
    trim()  # or what other tests have freed counts by chance
    return psutil.Process().memory_info().rss / MIB


@pytest.fixture(autouse=True)
def nothing_kept():
    sktl.clear_memory()
    yield
    sktl.clear_memory()


def codes(module, **params):
    return CNNCodesTransformer(module, image_size=16, engine="torch", **params).fit(PICTURES).transform(PICTURES)


def test_many_networks_in_turn_take_the_memory_of_few():
    codes(network(20))
    first = resident()
    for seed in range(1, 12):
        codes(network(20, seed))  # 40 MiB with the copy that runs
    assert resident() - first < 220  # 440 MiB and more if each of them stays; 96 MiB and the last are kept


def test_many_sizes_and_layers_of_one_network_stay_few():
    module = network()
    for side in range(16, 80):
        list_layers(module, image_size=side)
    backbone = load_backbone(module)
    assert len(backbone._traces) <= 16
    for layers in (["0"], ["0", "1"], ["1"], ["2"], ["5"]):
        codes(module, layers=layers)
    assert len(backbone._prepared) <= 4


def test_a_network_lives_as_long_as_a_fitted_estimator_that_runs_it(monkeypatch):
    monkeypatch.setattr(_backbone, "KEPT_BYTES", MIB)
    fitted = CNNCodesTransformer(network(), image_size=16).fit(PICTURES)
    expected = fitted.transform(PICTURES)
    backbone = weakref.ref(load_backbone(fitted.backbone))
    for seed in range(1, 4):
        codes(network(1, seed))
    assert load_backbone(fitted.backbone) is backbone()
    np.testing.assert_array_equal(fitted.transform(PICTURES), expected)
    del fitted
    codes(network(1, 5))
    gc.collect()
    assert backbone() is None


def test_what_is_asked_for_in_turn_is_shared():
    one, other = network(seed=1), network(seed=2)
    first = load_backbone(one), load_backbone(other)
    assert (load_backbone(one), load_backbone(other)) == first


def test_clearing_gives_everything_back_and_changes_no_result():
    transformer = CNNCodesTransformer(network(20), image_size=16, cache="memory").fit(PICTURES)
    classifier = FineTunedClassifier(
        network(seed=3), image_size=16, strategy="full", max_epochs=1, random_state=0, device="cpu"
    ).fit(PICTURES, [0, 1, 0, 1])
    before = transformer.transform(PICTURES), classifier.predict_proba(PICTURES)
    backbone = weakref.ref(load_backbone(transformer.backbone))
    taken = resident()
    sktl.clear_memory()
    assert backbone() is None
    assert open_cache("memory").n_entries == 0
    assert not _backbone.STORE._kept
    assert resident() < taken - 20
    np.testing.assert_array_equal(transformer.transform(PICTURES), before[0])
    np.testing.assert_array_equal(classifier.predict_proba(PICTURES), before[1])


def test_values_that_cannot_be_referred_to_weakly_do_not_pile_up():
    made = [[i] for i in range(300)]
    keys = [key_of_object(value) for value in made]
    assert len(set(keys)) == 300
    assert key_of_object(made[-1]) == keys[-1]
    assert len(_held) <= 256


def test_the_entries_used_last_are_remembered():
    remembered = Remembered(2)
    for key in "abac":
        assert remembered.get_or_make(key, key.upper) == key.upper()
    assert list(remembered) == ["a", "c"]
    assert remembered.get_or_make("a", lambda: "again") == "A"


def encoded(form, mode, second=False):
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    picture, other = (Image.fromarray(p).convert(mode) for p in (pixels, pixels[::-1]))
    more = {"save_all": True, "append_images": [other]} if second else {}
    file = io.BytesIO()
    picture.save(file, form, **more)
    return file.getvalue()


@pytest.mark.parametrize(
    ("form", "mode", "second"),
    [("JPEG", "RGB", False), ("PNG", "P", False), ("PNG", "RGBA", False), ("GIF", "P", False), ("BMP", "1", False),
     ("TIFF", "RGB", False), ("TIFF", "RGB", True), ("WEBP", "RGB", False), ("WEBP", "RGB", True)],
)  # fmt: skip
@pytest.mark.parametrize("cache", [None, "memory"])
def test_a_picture_that_is_not_decoded_yet_stays_so(form, mode, second, cache):
    data = encoded(form, mode, second)
    lazy, decoded = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(data))
    for image in (lazy, decoded):
        image.seek(int(second))
    decoded.load()
    transformer = CNNCodesTransformer(network(), image_size=16, engine="torch", cache=cache)
    place = lazy.fp.tell()
    found = transformer.fit([lazy]).transform([lazy])
    assert lazy._im is None
    assert lazy.fp.tell() == place
    sktl.clear_memory()  # or the codes are found by content
    np.testing.assert_array_equal(found, transformer.transform([decoded]))
    np.testing.assert_array_equal(np.asarray(lazy.convert("RGB")), np.asarray(decoded.convert("RGB")))


def test_a_picture_that_is_to_be_decoded_at_a_smaller_scale_is_taken_so():
    lazy, decoded = (Image.open(io.BytesIO(encoded("JPEG", "RGB"))) for _ in range(2))
    for image in (lazy, decoded):
        image.draft("L", (30, 20))
    decoded.load()
    transformer = CNNCodesTransformer(network(), image_size=16, engine="torch")
    np.testing.assert_array_equal(transformer.transform([lazy]), transformer.transform([decoded]))
    assert lazy._im is None


def test_large_pictures_opened_in_a_list_take_no_memory_afterwards(tmp_path):
    paths = [tmp_path / f"{i}.jpg" for i in range(8)]
    for path in paths:
        Image.new("RGB", (2500, 2000), "red").save(path)
    transformer = CNNCodesTransformer(network(), image_size=16, engine="torch", n_jobs=1).fit(PICTURES)
    transformer.transform([Image.open(paths[0])])
    pictures = [Image.open(path) for path in paths]
    first = resident()
    transformer.transform(pictures)
    assert resident() - first < 60  # 20 MiB each
