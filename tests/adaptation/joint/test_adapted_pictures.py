"""The domain-adapted classifier on pictures."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sktl.adaptation import DomainAdaptedClassifier
from sktl.adaptation.joint._training import DomainTraining
from sktl.adaptation.losses import MixStyle


def quick(backbone, **params):
    return DomainAdaptedClassifier(backbone, **{"max_epochs": 8, "batch_size": 20, "random_state": 0, **params})


class TestModules:
    @pytest.mark.parametrize(
        ("batch_norm", "of_source", "of_target"), [("shared", 0.9, 0.8), ("separate", 0.7, 0.9), ("target", 0.55, 0.65)]
    )
    def test_pictures_of_one_size(self, batch_norm, of_source, of_target, small_extractor, striped):
        X, y, truth = striped
        model = quick(small_extractor, batch_norm=batch_norm).fit(X, y)
        assert model.score(X[:60], y[:60]) > of_source
        assert model.score(X[60:], truth) > of_target
        assert model.module_.n_features == 256
        again = pickle.loads(pickle.dumps(model))
        assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
        np.testing.assert_allclose(model.predict_proba(X[7:9]), model.predict_proba(X)[7:9], rtol=0, atol=1e-5)

    def test_every_layout_means_the_same(self, small_extractor, striped):
        X, y, _ = striped
        expected = quick(small_extractor).fit(X, y).predict_proba(X)
        for same in (X[..., None], X[:, None], X / 255.0, torch.from_numpy(X), np.repeat(X[..., None], 3, axis=3)):
            assert np.array_equal(quick(small_extractor).fit(same, y).predict_proba(same), expected)
        flat = quick(small_extractor, image_shape=(14, 14)).fit(X.reshape(120, -1), y)
        assert np.array_equal(flat.predict_proba(X.reshape(120, -1)), expected)

    def test_paths_and_sizes(self, small_extractor, striped, tmp_path):
        X, y, _ = striped
        paths = []
        for i, picture in enumerate(X[40:80]):
            paths.append(tmp_path / f"{i}.png")
            Image.fromarray(np.kron(picture, np.ones((1 + i % 2,) * 2, dtype=np.uint8))).save(paths[-1])
        model = quick(small_extractor, image_size=14, max_epochs=2).fit(paths, y[40:80])
        assert model.predict(paths).shape == (40,)

    def test_pictures_decoded_anew_give_the_same(self, small_extractor, striped, monkeypatch):
        X, y, _ = striped
        expected = quick(small_extractor).fit(X, y).predict_proba(X)
        monkeypatch.setattr("sktl.adaptation._batches.RESIDENT_BYTES", 1)
        assert np.array_equal(quick(small_extractor).fit(X, y).predict_proba(X), expected)

    @pytest.mark.parametrize(
        ("loss", "augment"),
        [
            ("fixmatch", "shift_flip"), ("mean_teacher", "shift"), (["cdan", "fixmatch"], "crop"),
            ("adda", "crop_flip"), ("mixstyle", "flip"),
        ],
    )  # fmt: skip
    def test_losses_of_pictures(self, loss, augment, small_extractor, striped):
        X, y, _ = striped
        model = quick(small_extractor, loss=loss, augment=augment).fit(X, y)
        assert np.isfinite(model.predict_proba(X)).all()
        assert not any(part._forward_hooks for part in model.module_.modules())

    def test_mixstyle_needs_no_target(self, small_extractor, striped):
        X, y, _ = striped
        domain = np.arange(60) // 30
        model = quick(small_extractor, loss=MixStyle(probability=1.0)).fit(X[:60], y[:60], sample_domain=domain)
        plain = quick(small_extractor, loss=None).fit(X[:60], y[:60], sample_domain=domain)
        assert model.score(X[:60], y[:60]) > 0.8
        assert not np.array_equal(model.predict_proba(X), plain.predict_proba(X))

    @pytest.mark.parametrize(
        ("module", "message"),
        [
            (nn.Conv2d(2, 4, 3), "takes pictures of 2 channels"),
            (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(3, 4)), r"fails on pictures of shape \(2, 1"),
            (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(0)), "must return one feature vector"),
        ],
    )
    def test_modules_that_do_not_fit(self, module, message, striped):
        with pytest.raises(ValueError, match=message):
            quick(module).fit(*striped[:2])

    def test_bad_files_are_all_named(self, small_extractor, tmp_path):
        bad = [tmp_path / "no.png", tmp_path / "none.png"]
        good = tmp_path / "yes.png"
        Image.new("L", (14, 14)).save(good)
        with pytest.raises(ValueError, match=r"(?s)no\.png.*none\.png"):
            quick(small_extractor, image_size=14).fit([good, bad[0], good, bad[1]], [0, 1, -1, -1])


class TestPretrained:
    def test_embedded_network(self, striped):
        X, y, _ = striped
        X, y = X[40:80], y[40:80]
        model = DomainAdaptedClassifier(image_size=32, max_epochs=1, batch_size=10, random_state=0).fit(X, y)
        proba = model.predict_proba(X)
        assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), proba)
        rates = DomainTraining.of(model, X, y, None, None)[0].net(model.module_, None, None)
        assert rates.param_groups[1]["lr"] == pytest.approx(0.1 * rates.param_groups[0]["lr"])

    def test_random_start_learns_at_the_full_rate(self, striped):
        X, y, _ = striped
        model = DomainAdaptedClassifier(image_size=32, weights=None, max_epochs=1, batch_size=10, random_state=0)
        plan = DomainTraining.of(model, X[40:80], y[40:80], None, None)[0].plan
        assert not plan.is_pretrained
