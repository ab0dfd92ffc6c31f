"""Frozen layers run once: the same weights as without, and the least number of pictures."""

import numpy as np
import pytest
import torch
from counted_parts import counted_network, forget, n_seen
from PIL import Image
from sklearn.model_selection import GridSearchCV, KFold
from torch import nn

from sktl import open_cache
from sktl._preprocessing import Preprocessing
from sktl.cache import MemoryCache
from sktl.exceptions import CacheWarning
from sktl.finetuning import FineTunedClassifier, FineTunedRegressor, _batches, _frozen
from sktl.finetuning._frozen import CODES, cuts_before
from sktl.finetuning._gradient_training import Run
from sktl.finetuning._picture_views import PictureViews
from sktl.images import as_pictures


@pytest.fixture
def uncached(monkeypatch):
    """Have the frozen layers run in every epoch."""

    def switch():
        monkeypatch.setattr(Run, "_cut", lambda self, touched: (None, None))

    return switch


def far(tensors, others):
    """Return the largest difference between the weights of two trained networks."""
    assert set(tensors) == set(others)
    return max((tensors[name] - others[name]).abs().max().item() for name in tensors)


# Adam divides a gradient by its size, so that rounding in one that nearly vanishes becomes a whole step.
EXACT = {"augment": None, "optimizer": "sgd", "random_state": 0}


class TestExactness:
    @pytest.mark.parametrize(
        "options",
        [
            {"freeze_until": "0"},
            {"freeze_until": "1"},
            {"freeze_until": "1", "freeze_bn": False, "batch_size": 20},
            {"freeze_until": "1", "strategy": "lp-ft", "ema": 0.9, "C": 1.0},
            {"freeze_until": 1.0, "strategy": "lp-ft", "C": 1.0},
            {"freeze_until": "0", "strategy": "gradual", "l2_sp": 0.1, "max_epochs": 6},
            {"freeze_until": "1", "adapter": "lora", "strategy": "full"},
            {"freeze_until": "0", "early_stopping": True, "validation_fraction": 0.25},
            {"freeze_until": "0", "layer": "1"},
            {"freeze_until": 1.0},
            {"freeze_until": "0.0", "class_weight": "balanced"},  # a convolution within a stage
        ],
        ids=repr,
    )
    def test_same_weights_as_uncached(self, options, small_network, striped, uncached):
        X, y = striped
        options = {"strategy": "last", "image_size": 32, "max_epochs": 3, **EXACT, **options}
        cached = FineTunedClassifier(small_network, **options).fit(X, y)
        assert cached._learned.cut is not None
        uncached()
        plain = FineTunedClassifier(small_network, **options).fit(X, y)
        assert plain._learned.cut is None
        assert far(cached._learned.tensors, plain._learned.tensors) < 5e-6
        assert np.allclose(cached.predict_proba(X), plain.predict_proba(X), atol=1e-5)
        for row, other in zip(cached.history_, plain.history_, strict=True):
            assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)

    def test_halves_where_whole_numbers_take_more_than_the_picture(self, striped, uncached):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            body = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU())
            network = nn.Sequential(body, nn.Conv2d(16, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                    nn.Linear(8, 4))  # fmt: skip
        X, y = striped
        options = {"image_size": 32, "max_epochs": 3, "freeze_until": "0", **EXACT}
        store = MemoryCache()
        cached = FineTunedClassifier(network, strategy="last", cache=store, **options).fit(X, y)
        assert store.n_bytes / 40 < 2.1 * 16 * 32 * 32
        uncached()
        plain = FineTunedClassifier(network, strategy="last", **options).fit(X, y)
        assert far(cached._learned.tensors, plain._learned.tensors) < 1e-4  # half precision's rounding is 5e-4

    def test_real_network_and_files(self, tmp_path, uncached):
        rng = np.random.default_rng(0)
        paths = []
        for i in range(8):
            paths.append(tmp_path / f"{i}.png")
            Image.fromarray(rng.integers(i % 2 * 60, 180 + i % 2 * 60, (70, 80, 3), dtype=np.uint8)).save(paths[-1])
        y = np.arange(8) % 2
        options = {"strategy": "last", "image_size": 64, "max_epochs": 2, **EXACT}
        cached = FineTunedClassifier(cache="memory", **options).fit(paths, y)
        probabilities = cached.predict_proba(paths)
        uncached()
        plain = FineTunedClassifier(**options).fit(paths, y)
        assert far(cached._learned.tensors, plain._learned.tensors) < 5e-6
        assert np.allclose(probabilities, plain.predict_proba(paths), atol=1e-4)

    def test_regression(self, small_network, striped, uncached):
        X = striped[0]
        y = X.mean(axis=(1, 2))
        options = {"strategy": "last", "freeze_until": "1", "image_size": 32, "max_epochs": 3, **EXACT}
        cached = FineTunedRegressor(small_network, **options).fit(X, y)
        uncached()
        plain = FineTunedRegressor(small_network, **options).fit(X, y)
        assert np.allclose(cached.predict(X), plain.predict(X), rtol=1e-4)

    def test_going_on_from_frozen_and_from_changed_layers(self, small_network, striped, uncached):
        X, y = striped
        options = {"image_size": 32, "max_epochs": 2, "random_state": 0, "warm_start": True, "freeze_until": "1"}
        found = []
        for first in ("last", "full"):
            model = FineTunedClassifier(small_network, **{**options, "strategy": first})
            model.set_params(freeze_until="1" if first == "last" else None).fit(X, y)
            model.set_params(strategy="last", freeze_until="1").fit(X, y)
            found.append(model._learned)
        assert [learned.cut for learned in found] == [
            "1",
            None,
        ]  # whose frozen layers are no longer the pretrained ones
        assert any(name.startswith("network.0") for name in found[1].tensors)


class TestCuts:
    @pytest.mark.parametrize(
        "name", ["resnet18", "mobilenet_v2", "densenet121", "timm/vit_tiny_patch16_224", "timm/convnext_atto"]
    )
    def test_networks_of_many_makes(self, name):
        rng = np.random.default_rng(0)
        size = 224 if "vit" in name else 64
        X, y = rng.integers(0, 256, (4, size, size, 3), dtype=np.uint8), [0, 1, 0, 1]
        options = {"weights": None, "strategy": "last", "freeze_until": 0.7, "image_size": size, "max_epochs": 1}
        model = FineTunedClassifier(name, augment=None, random_state=0, cache=MemoryCache(), **options).fit(X, y)
        assert model._learned.cut is not None
        assert np.allclose(model.predict_proba(X), model.set_params(cache=None).predict_proba(X), atol=2e-3)

    def test_deepest_first(self, small_network, striped):
        spec = FineTunedClassifier(small_network, strategy="head", image_size=32).fit(*striped)._learned.spec
        assert cuts_before(spec, "1") == ["1", "0"]
        assert cuts_before(spec, "1.0")[-1] == "0"
        assert cuts_before(spec, 1.0) == ["2", "1", "0"]  # dropout stands between the last layer and the head
        spec = FineTunedClassifier(small_network, strategy="head", layer="1", image_size=32).fit(*striped)._learned.spec
        assert cuts_before(spec, 1.0) == cuts_before(spec, "1") == [CODES]

    def test_something_that_goes_round_every_layer(self, striped, tmp_path):
        class Round(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(7, 5, 3)
                self.classifier = nn.Linear(5, 2)

            def forward(self, x):
                z = self.second(torch.cat([x, self.first(x).relu()], 1)).relu()
                return self.classifier(z.mean((2, 3)))

        with torch.random.fork_rng(devices=[]):
            network = Round()
        options = {"image_size": 32, "max_epochs": 1, "random_state": 0, "strategy": "last"}
        model = FineTunedClassifier(network, freeze_until="first", **options).fit(*striped)
        assert model._learned.cut is None
        assert not any(name.startswith("network.first") for name in model._learned.tensors)

    @pytest.mark.parametrize("options", [{"mixup": 0.2}, {"augment": "flip", "n_views": None}, {"strategy": "scratch"}])
    def test_pictures_that_are_new_every_time(self, options, small_network, striped):
        options = {"strategy": "last", "freeze_until": "1", "image_size": 32, "max_epochs": 1, **options}
        assert FineTunedClassifier(small_network, random_state=0, **options).fit(*striped)._learned.cut is None


class TestViews:
    def views(self, X, indices, **options):
        return PictureViews(as_pictures(X), np.asarray(indices), **options)

    def pixels(self, views, i, size=32):
        return views.batch([i], Preprocessing(size=(size, size), crop_pct=1.0)).numpy()

    def test_go_by_content_not_by_place(self, striped):
        X = striped[0][:6]
        ours = self.views(X, [4, 1, 2], n_views=3, augment="crop_flip")
        theirs = self.views(X[::-1], [3, 1], n_views=3, augment="crop_flip")  # pictures 2 and 4
        assert ours.digests(0, 3) == theirs.digests(3, 6)
        assert ours.digests(6, 9) == theirs.digests(0, 3)
        for view in range(3):
            assert np.array_equal(self.pixels(ours, view), self.pixels(theirs, 3 + view))
            assert np.array_equal(self.pixels(ours, 6 + view), self.pixels(theirs, view))
        assert len({*ours.digests(0, 9)}) == 9
        assert len({self.pixels(ours, i).tobytes() for i in range(9)}) == 9

    def test_other_augmentations_are_other_views(self, striped):
        digests = [
            self.views(striped[0], [0], augment=a, n_views=1).digest(0) for a in ("crop", "flip", "crop_flip", None)
        ]
        assert len(set(digests)) == 4
        assert digests[3] == as_pictures(striped[0]).digest(0)

    def test_a_view_is_the_same_in_any_batch(self, striped):
        views = self.views(striped[0], np.arange(5), n_views=2, augment="crop_flip")
        whole = views.batch(np.arange(10), Preprocessing(size=(32, 32))).numpy()
        for i in (0, 3, 9):
            assert np.array_equal(views.batch([i], Preprocessing(size=(32, 32))).numpy()[0], whole[i])

    def test_a_callable_of_ones_own(self, small_network, striped):
        seen = []

        def darker(pictures, generator):
            seen.append(len(pictures))
            return pictures * torch.rand((), generator=generator)

        options = {"strategy": "last", "freeze_until": "1", "image_size": 32, "max_epochs": 5, "random_state": 0}
        model = FineTunedClassifier(small_network, augment=darker, n_views=2, cache=MemoryCache(), **options)
        model.fit(*striped)
        assert sum(seen) == 80
        model.fit(*striped)
        assert sum(seen) == 80
        FineTunedClassifier(small_network, augment=darker, n_views=8, **options).fit(*striped)
        assert sum(seen) == 80 + 5 * 40  # five epochs meet five views

    def test_a_bad_picture_is_named_by_its_place(self, tmp_path, small_network):
        paths = []
        for i in range(6):
            paths.append(tmp_path / f"{i}.png")
            Image.fromarray(np.full((70, 70, 3), 40 * i, np.uint8)).save(paths[-1])
        paths[4].write_bytes(paths[4].read_bytes()[:60])
        model = FineTunedClassifier(small_network, strategy="last", image_size=64, augment="crop_flip", random_state=0)
        with pytest.raises(ValueError, match=r"4\.png") as caught:
            model.fit(paths, [0, 1] * 3)
        assert set(caught.value.failures) == {4}


class TestMemory:
    options = {"strategy": "last", "freeze_until": "1", "image_size": 32, "max_epochs": 2, **EXACT}  # noqa: RUF012

    def test_in_a_file_beyond_the_bound(self, small_network, striped, monkeypatch):
        expected = FineTunedClassifier(small_network, **self.options).fit(*striped)
        monkeypatch.setattr(_frozen, "RESIDENT_BYTES", 1000)
        monkeypatch.setattr(_batches, "RESIDENT_BYTES", 1000)
        found = FineTunedClassifier(small_network, **self.options).fit(*striped)
        assert far(found._learned.tensors, expected._learned.tensors) == 0

    def test_full_disk(self, small_network, striped, monkeypatch):
        expected = FineTunedClassifier(small_network, **self.options).fit(*striped)

        def full(file, n_bytes):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(_frozen, "RESIDENT_BYTES", 1000)
        monkeypatch.setattr(_batches, "RESIDENT_BYTES", 1000)
        monkeypatch.setattr(_frozen, "_reserve", full)
        with pytest.warns(CacheWarning, match="No space left"):
            found = FineTunedClassifier(small_network, **self.options).fit(*striped)
        assert far(found._learned.tensors, expected._learned.tensors) < 5e-6


class TestGrid:
    """What a grid search sends through each part of the network: 48 pictures, two folds and a last fit on all."""

    EPOCHS = 2
    LAST = {"strategy": ["last"], "freeze_until": ["0", "1"], "learning_rate": [1e-3, 1e-2]}  # noqa: RUF012

    def counted(self, folder, cache, grid, n_jobs=None, **options):
        X = np.random.default_rng(0).integers(0, 255, (48, 32, 32, 3), dtype=np.uint8)
        X[::2] //= 2
        options = {"image_size": 32, "max_epochs": self.EPOCHS, "random_state": 0, "batch_size": 16, **options}
        model = FineTunedClassifier(counted_network(folder), cache=cache, **options)
        search = GridSearchCV(model, grid, cv=KFold(2, shuffle=True, random_state=0), n_jobs=n_jobs)
        forget(folder)
        search.fit(X, np.arange(48) % 2)
        return search, n_seen(folder)

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_least_possible(self, n_jobs, tmp_path):
        open_cache("memory").clear()
        cache = "memory" if n_jobs == 1 else tmp_path / "store"
        search, (first, second, third) = self.counted(tmp_path, cache, self.LAST, n_jobs, augment=None)
        trained = 24 * self.EPOCHS  # rows of a fold's training
        refit = 48 * self.EPOCHS
        until = search.best_params_["freeze_until"]
        assert first == 48  # each picture once: folds, grid points, tests and the last fit share it
        # Two folds at two rates train what follows "0"; what follows "1" was frozen in as many: once a picture.
        tests = 2 * 2 * 24
        assert second == 2 * 2 * trained + tests + 48 + (until == "0") * refit
        assert third == 2 * (2 * 2 * trained + tests) + refit

    def test_heads_solved_on_the_way(self, tmp_path):
        open_cache("memory").clear()
        grid = [{**self.LAST, "strategy": ["last", "lp-ft"]}, {"strategy": ["head"]}]
        _, seen = self.counted(tmp_path, "memory", grid, augment=None)
        assert seen[0] == 48  # codes go on from the frozen layers' outputs

    def test_views(self, tmp_path):
        open_cache("memory").clear()
        grid = {"strategy": ["last"], "freeze_until": ["1"], "learning_rate": [1e-3, 1e-2]}
        _, seen = self.counted(tmp_path, "memory", grid, augment="flip", n_views=3)
        assert seen[0] == seen[1] == 48 * (3 + 1)  # three views to train on, and the picture itself to test on
