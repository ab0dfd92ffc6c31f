"""What a fitted estimator leaves behind: pickles, files without pickle, modules, ONNX."""

import copy
import json
import os
import pickle

import joblib
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from torch import nn

from sktl.backbones import load_backbone
from sktl.backbones._weights import read_state_dict
from sktl.exceptions import WeightsError
from sktl.finetuning import FineTunedClassifier, FineTunedRegressor, LoRA
from sktl.images import as_pictures
from sktl.training import encode_tensors, read_tensors

QUICK = {"image_size": 32, "max_epochs": 1, "random_state": 0}
MAKES = [
    {"strategy": "head"},
    {"strategy": "last"},
    {"strategy": "full", "layer": 0.5},
    {"strategy": "lp-ft", "adapter": "lora"},
]


@pytest.fixture(scope="module")
def real_pictures(tmp_path_factory):
    """Twelve photograph-like files of differing sizes in two classes."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = []
    for i in range(12):
        coarse = rng.integers(0, 160, (6, 6, 3), dtype=np.uint8)
        coarse[..., i % 2] += 90
        paths.append(folder / f"{i}.jpg")
        Image.fromarray(coarse).resize((70 + i, 90 - i), Image.Resampling.BICUBIC).save(paths[-1])
    return paths, np.array(["warm", "cold"])[np.arange(12) % 2]


def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(5, 2, size=(60, 4))
    return X, X @ rng.normal(size=(4, 2)) + 100


def header_of(path):
    return read_tensors(path)[1]


def rewrite(path, change):
    """Change a saved file's header and tensors."""
    tensors, header = read_tensors(path)
    change(header, tensors)
    path.write_bytes(encode_tensors(tensors, header))


class TestPickles:
    def test_a_head_weighs_kilobytes(self, striped):
        model = FineTunedClassifier(strategy="head", **QUICK).fit(*striped)
        model.predict(striped[0])  # builds nothing that would be pickled
        assert len(pickle.dumps(model)) < 2 * 1280 * 8 + 6000

    @pytest.mark.parametrize("options", MAKES, ids=repr)
    def test_trained_tensors_only(self, options, striped, tmp_path):
        model = FineTunedClassifier(**QUICK, **options).fit(*striped)
        expected = model.predict_proba(striped[0])
        trained = sum(t.numel() * t.element_size() for t in model._learned.tensors.values())
        assert len(pickle.dumps(model)) < trained + 40_000
        joblib.dump(model, tmp_path / "model.joblib")
        for other in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib"), copy.deepcopy(model)):
            assert np.allclose(other.predict_proba(striped[0]), expected, atol=1e-6)
        assert not hasattr(clone(model), "classes_")

    def test_frozen_layers_are_not_pickled(self, small_network, striped):
        model = FineTunedClassifier("resnet18", weights=None, strategy="last", freeze_until=0.9, **QUICK).fit(*striped)
        assert not any(name.startswith(("network.conv1", "network.layer1")) for name in model._learned.tensors)


class TestFiles:
    @pytest.mark.parametrize("options", MAKES, ids=repr)
    def test_round_trip(self, options, real_pictures, tmp_path):
        paths, y = real_pictures
        model = FineTunedClassifier(**QUICK, **options, n_jobs=1, preprocessing={"crop_pct": 1.0}).fit(paths, y)
        model.save(tmp_path / "model.safetensors")
        loaded = FineTunedClassifier.load(tmp_path / "model.safetensors")
        assert np.array_equal(loaded.predict_proba(paths), pickle.loads(pickle.dumps(model)).predict_proba(paths))
        assert list(loaded.classes_) == ["cold", "warm"]
        assert loaded.history_ == model.history_
        ours, theirs = model.get_params(), loaded.get_params()
        assert {k: repr(v) for k, v in ours.items()} == {k: repr(v) for k, v in theirs.items()}
        trained = sum(t.numel() * t.element_size() for t in model._learned.tensors.values())
        assert (tmp_path / "model.safetensors").stat().st_size < trained + 40_000

    def test_rows_and_regression(self, tmp_path):
        X, y = rows()
        for target in (y, y[:, 0]):
            model = FineTunedRegressor(max_epochs=3, random_state=0, adapter=LoRA(rank=2)).fit(X, target)
            model.save(tmp_path / "model")
            loaded = FineTunedRegressor.load(tmp_path / "model")
            assert np.array_equal(loaded.predict(X), model.predict(X))
            assert loaded.n_features_in_ == 4
            loaded.set_params(warm_start=True).fit(X, target)  # and training goes on

    @pytest.mark.parametrize(
        "labels",
        [[7, 3], [True, False], [1.0, 2.0], np.array(["a", "b"], dtype=object)],
        ids=["int", "bool", "float", "object"],
    )
    def test_labels_of_every_type(self, labels, tmp_path):
        X = rows()[0]
        y = np.asarray(labels)[np.arange(60) % 2]
        model = FineTunedClassifier(max_epochs=1, random_state=0).fit(X, y)
        model.save(tmp_path / "model")
        loaded = FineTunedClassifier.load(tmp_path / "model")
        assert loaded.classes_.dtype == model.classes_.dtype
        assert np.array_equal(loaded.predict(X), model.predict(X))

    def test_a_module_of_ones_own(self, small_network, striped, tmp_path):
        model = FineTunedClassifier(small_network, **QUICK).fit(*striped)
        model.save(tmp_path / "model")
        with pytest.raises(WeightsError, match="pass it, as it was before fit"):
            FineTunedClassifier.load(tmp_path / "model")
        loaded = FineTunedClassifier.load(tmp_path / "model", backbone=small_network)
        assert np.array_equal(loaded.predict_proba(striped[0]), model.predict_proba(striped[0]))
        other = copy.deepcopy(small_network)
        with torch.no_grad():
            other[0][0].weight += 1e-3
        with pytest.raises(WeightsError, match="other values of Sequential: fingerprint"):
            FineTunedClassifier.load(tmp_path / "model", backbone=other)

    def test_code_is_left_out_and_said(self, striped, tmp_path):
        model = FineTunedClassifier(augment=lambda pictures, generator: pictures, **QUICK).fit(*striped)
        with pytest.warns(UserWarning, match="augment of this FineTunedClassifier"):
            model.save(tmp_path / "model")
        assert FineTunedClassifier.load(tmp_path / "model").augment == "auto"

    def test_no_pickle_in_it(self, striped, tmp_path):
        FineTunedClassifier(strategy="head", **QUICK).fit(*striped).save(tmp_path / "model")
        header = header_of(tmp_path / "model")
        assert header["class"] == "FineTunedClassifier"
        assert set(load_file(tmp_path / "model")) == {"network/head.weight", "network/head.bias"}

    def test_not_fitted(self, tmp_path):
        with pytest.raises(ValueError, match="not fitted"):
            FineTunedClassifier().save(tmp_path / "model")


class TestFilesThatDoNotFit:
    @pytest.fixture
    def saved(self, tmp_path):
        X, y = rows()
        path = tmp_path / "model"
        FineTunedClassifier(max_epochs=1, random_state=0).fit(X, y[:, 0] > np.median(y[:, 0])).save(path)
        return path

    def test_another_estimator(self, saved):
        with pytest.raises(WeightsError, match="holds a FineTunedClassifier, not a FineTunedRegressor"):
            FineTunedRegressor.load(saved)

    def test_missing(self, tmp_path):
        with pytest.raises(WeightsError, match="no such file"):
            FineTunedClassifier.load(tmp_path / "none")

    @pytest.mark.parametrize("content", [b"", b"text", "cut", "foreign"])
    def test_damaged_or_foreign(self, content, saved):
        whole = saved.read_bytes()
        if content == "foreign":
            save_file({"a": torch.zeros(2)}, saved)
        else:
            saved.write_bytes(whole[:-40] if content == "cut" else content)
        with pytest.raises(WeightsError, match=r"cannot be loaded: it is damaged"):
            FineTunedClassifier.load(saved)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                lambda h, t: h["attributes"]["classes_"]["array"].append(True),
                "classes_ cannot be",
            ),
            (
                lambda h, t: h["attributes"].update(classes_={"array": ["<i8", 1, 2, 3]}),
                "names 3 classes or targets, but .* 2 outputs",
            ),
            (
                lambda h, t: t.update({"network/head.weight": torch.zeros(2, 9)}),
                r"head.weight is \(2, 9\), should be \(2, 4\)",
            ),
            (lambda h, t: t.update({"network/extra": torch.zeros(1)}), "extra is not in the network"),
            (lambda h, t: t.pop("network/head.bias"), "head.bias is missing"),
            (lambda h, t: t["network/head.bias"].fill_(np.nan), "head.bias has NaN"),
            (lambda h, t: h.update(format=99), "another version"),
        ],
        ids=["classes", "more classes", "shape", "extra", "missing", "nan", "version"],
    )
    def test_changed(self, change, message, saved):
        rewrite(saved, change)
        with pytest.raises(WeightsError, match=message):
            FineTunedClassifier.load(saved)

    def test_backbone_file_that_is_gone_or_another(self, striped, tmp_path):
        weights = tmp_path / "weights.safetensors"
        save_file(load_backbone("squeezenet1_1", None, seed=1).module.state_dict(), weights)
        model = FineTunedClassifier("squeezenet1_1", weights=weights, strategy="head", **{**QUICK, "image_size": 64})
        model.fit(*striped).save(tmp_path / "model")
        expected = model.predict(striped[0])
        weights.rename(tmp_path / "moved.safetensors")
        with pytest.raises(WeightsError, match=r"weights\.safetensors.*no such file.*load\(path, weights=\.\.\.\)"):
            FineTunedClassifier.load(tmp_path / "model")
        loaded = FineTunedClassifier.load(tmp_path / "model", weights=tmp_path / "moved.safetensors")
        assert np.array_equal(loaded.predict(striped[0]), expected)
        save_file(load_backbone("squeezenet1_1", None, seed=2).module.state_dict(), weights)
        with pytest.raises(WeightsError, match="fingerprint"):
            FineTunedClassifier.load(tmp_path / "model")

    def test_full_disk(self, saved, monkeypatch):
        model, before = FineTunedClassifier.load(saved), saved.read_bytes()

        def full(file):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            model.save(saved)
        assert saved.read_bytes() == before
        assert [path.name for path in saved.parent.iterdir()] == ["model"]


def seen(model, X):
    """Return pictures as the network is given them."""
    return as_pictures(X).batch(range(len(X)), model._learned.spec.preprocessing)


class TestModule:
    def test_logits_of_pictures(self, real_pictures):
        paths, y = real_pictures
        model = FineTunedClassifier(strategy="head", **QUICK).fit(paths, y)
        with torch.no_grad():
            logits = model.torch_module_(seen(model, paths))
        assert np.allclose(logits.softmax(1).numpy(), model.predict_proba(paths), atol=1e-5)

    @pytest.mark.parametrize("several", [False, True])
    def test_estimates_of_rows(self, several):
        X, y = rows()
        y = y if several else y[:, 0]
        model = FineTunedRegressor(max_epochs=2, random_state=0).fit(X, y)
        found = model.torch_module_(torch.as_tensor(X, dtype=torch.float32))
        assert found.shape == y.shape
        assert np.allclose(found.numpy(), model.predict(X), rtol=1e-5)

    def test_it_is_a_copy(self, small_network, striped):
        model = FineTunedClassifier(small_network, **QUICK).fit(*striped)
        expected = model.predict_proba(striped[0])
        with torch.no_grad():
            for parameter in model.torch_module_.parameters():
                parameter.zero_()
        assert np.array_equal(model.predict_proba(striped[0]), expected)


class WithoutOperator(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.classifier = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        largest = torch.linalg.svdvals(x.flatten(2))[:, :1, None, None]
        return self.classifier(self.conv(x / largest).relu().mean((2, 3)))


@pytest.mark.filterwarnings("ignore")
class TestOnnx:
    @pytest.fixture(autouse=True)
    def packages(self):
        pytest.importorskip("onnxscript", reason="torch exports to ONNX by onnxscript, an optional package")
        self.runtime = pytest.importorskip(
            "onnxruntime", reason="ONNX files are run by onnxruntime, an optional package"
        )

    def run(self, path, **inputs):
        session = self.runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, inputs)[0], session.get_modelmeta().custom_metadata_map

    @pytest.mark.parametrize("options", MAKES[1:3], ids=repr)
    def test_real_pictures(self, options, real_pictures, tmp_path):
        paths, y = real_pictures
        model = FineTunedClassifier(**{**QUICK, "image_size": 64}, **options).fit(paths, y)
        model.to_onnx(tmp_path / "model.onnx")
        for n in (1, 12):
            logits, about = self.run(tmp_path / "model.onnx", pictures=seen(model, paths[:n]).contiguous().numpy())
            expected = model._outputs(paths[:n])
            assert np.abs(logits - expected).max() < 1e-4 * max(1, np.abs(expected).max())
        assert json.loads(about["sktl.classes"]) == ["cold", "warm"]
        assert json.loads(about["sktl.input"])["size"] == [64, 64]
        assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
        assert np.isfinite(model.predict_proba(paths)).all()  # the estimator is as it was

    def test_photographs(self, ants_and_bees, tmp_path):
        paths, y = ants_and_bees
        options = {**QUICK, "image_size": 128, "max_epochs": 1, "max_steps": 2}
        model = FineTunedClassifier(strategy="last", **options).fit(paths[:16], y[:16])
        model.to_onnx(tmp_path / "model.onnx")
        logits, about = self.run(tmp_path / "model.onnx", pictures=seen(model, paths).contiguous().numpy())
        expected = model._outputs(paths)
        assert np.abs(logits - expected).max() < 1e-4 * max(1, np.abs(expected).max())
        classes = np.array(json.loads(about["sktl.classes"]))
        assert (classes[logits.argmax(1)] == model.predict(paths)).all()

    def test_rows(self, tmp_path):
        X, y = rows()
        model = FineTunedRegressor(max_epochs=2, random_state=0).fit(X, y)
        model.to_onnx(tmp_path / "model.onnx")
        estimates, _ = self.run(tmp_path / "model.onnx", rows=X.astype(np.float32))
        assert np.allclose(estimates, model.predict(X), rtol=1e-4)

    def test_operators_that_do_not_export_are_named(self, striped, tmp_path):
        with torch.random.fork_rng(devices=[]):
            network = WithoutOperator()
        model = FineTunedClassifier(network, strategy="full", **QUICK).fit(*striped)
        with pytest.raises(ValueError, match=r"no operator for aten\._linalg_svd"):
            model.to_onnx(tmp_path / "other.onnx")
        assert not list(tmp_path.iterdir())


class TestLoadedFiles:
    @pytest.mark.parametrize("by", ["zeros", "truncation"])
    def test_a_file_changed_afterwards_changes_nothing(self, by, tmp_path):
        X, y = rows()
        path = tmp_path / "model"
        FineTunedRegressor(max_epochs=1, random_state=0).fit(X, y).save(path)
        model = FineTunedRegressor.load(path)
        expected, n_bytes = model.predict(X), path.stat().st_size
        with open(path, "r+b") as file:  # the same inode
            file.write(bytes(n_bytes)) if by == "zeros" else file.truncate(0)
        np.testing.assert_array_equal(model.predict(X), expected)
        np.testing.assert_array_equal(copy.deepcopy(model).predict(X), expected)

    def test_weights_files_too(self, tmp_path):
        path = tmp_path / "weights.safetensors"
        save_file({"a": torch.ones(5000)}, path)
        tensors = read_state_dict(path)
        with open(path, "r+b") as file:
            file.truncate(0)
        assert tensors["a"].eq(1).all()

    def test_a_file_chooses_no_folders(self, tmp_path):
        X, y = rows()
        path, cache, checkpoints = (tmp_path / name for name in ("model", "cache", "checkpoints"))
        options = {"max_epochs": 1, "random_state": 0}
        FineTunedRegressor(**options, cache=str(cache), checkpoint_dir=str(checkpoints)).fit(X, y).save(path)
        model = FineTunedRegressor.load(path)
        assert model.cache is None
        assert model.checkpoint_dir is None
        assert model.max_epochs == 1
