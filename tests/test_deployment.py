"""Fitted estimators as plain modules and ONNX files."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from sklearn.frozen import FrozenEstimator
from torch import nn

from sktl._deployment import GraphPreprocessing
from sktl._preprocessing import Preprocessing
from sktl.adaptation import DomainAdaptedClassifier, SourceFreeAdaptedClassifier, TestTimeAdaptedClassifier
from sktl.fewshot import ProtoNetClassifier, ProtoNetLearner
from sktl.finetuning import FineTunedClassifier
from sktl.images import as_pictures


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(8, 3),
        )  # fmt: skip


@pytest.fixture(scope="module")
def pictures():
    X = np.random.default_rng(0).integers(0, 200, (12, 41, 52, 3), dtype=np.uint8)
    X[::2, ..., 0] += 55
    return X, np.array(["red", "grey"])[np.arange(12) % 2]


@pytest.fixture(scope="module")
def fine_tuned(network, pictures):
    return FineTunedClassifier(network, image_size=16, max_epochs=1, random_state=0).fit(*pictures)


@pytest.fixture(scope="module")
def table():
    X = np.random.default_rng(0).normal(size=(80, 3))
    return X, (X[:, 0] > 0).astype(int)


def close(found, expected):
    return np.abs(np.asarray(found) - expected).max() < 1e-4 * max(1, np.abs(expected).max())


class TestPreprocessing:
    @pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
    def test_it_does_what_the_library_does(self, crop_mode, interpolation):
        rng = np.random.default_rng(0)
        for size in ((70, 90), (91, 64), (20, 33), (20, 150)):
            for shape, share in (((32, 32), 0.875), ((24, 40), 1.0), ((32, 32), 1.2)):
                preprocessing = Preprocessing(shape, share, interpolation=interpolation, crop_mode=crop_mode)
                X = rng.integers(0, 256, (2, *size, 3), dtype=np.uint8)
                expected = as_pictures(X).batch(range(2), preprocessing).float()
                found = GraphPreprocessing(preprocessing)(torch.from_numpy(X).permute(0, 3, 1, 2))
                away = (found - expected).abs()
                assert interpolation == "nearest" or away.max() <= 2  # two roundings
                assert (away > 0).float().mean() < 0.05  # the library rounds weights to 16 bits, and places to float32


class TestModule:
    def test_modes_precisions_and_scripts(self, fine_tuned, pictures):
        module = fine_tuned.torch_module_
        assert not any(part.training for part in module.modules())
        seen = as_pictures(pictures[0]).batch(range(12), fine_tuned._learned.spec.preprocessing)
        with torch.no_grad():
            logits = module(seen)
            assert close(logits.softmax(1), fine_tuned.predict_proba(pictures[0]))
            assert torch.equal(torch.jit.script(module)(seen), logits)
            coarse = fine_tuned.torch_module_.bfloat16()(seen)  # eight bits of each value
            assert (coarse - logits).abs().max() < 0.05 * logits.abs().max()
            assert close(fine_tuned.torch_module_.double()(seen), logits.numpy())

    def test_rows(self, table):
        model = FineTunedClassifier(strategy="head").fit(*table)
        rows = torch.as_tensor(table[0], dtype=torch.float32)
        for module in (model.torch_module_, torch.jit.script(model.torch_module_)):
            assert close(module(rows).softmax(1), model.predict_proba(table[0]))
        assert model.torch_module_.bfloat16()(rows).dtype == torch.bfloat16

    def test_it_can_be_trained(self, fine_tuned, pictures):
        module = fine_tuned.torch_module_.train().requires_grad_(True)
        module(torch.zeros(4, 3, 16, 16)).sum().backward()
        assert all(parameter.grad is not None for parameter in module.parameters())


class TestOnnx:
    @pytest.fixture(autouse=True)
    def packages(self):
        pytest.importorskip("onnxscript", reason="torch exports to ONNX by onnxscript, an optional package")
        self.runtime = pytest.importorskip("onnxruntime", reason="ONNX files are run by onnxruntime")

    def run(self, path, **inputs):
        session = self.runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, inputs)[0], session.get_modelmeta().custom_metadata_map

    def test_without_a_warning_of_the_mode(self, fine_tuned, pictures, tmp_path):
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*training mode.*")
            fine_tuned.to_onnx(tmp_path / "model.onnx")
        seen = as_pictures(pictures[0]).batch(range(12), fine_tuned._learned.spec.preprocessing)
        logits, about = self.run(tmp_path / "model.onnx", pictures=seen.contiguous().numpy())
        assert close(torch.from_numpy(logits).softmax(1), fine_tuned.predict_proba(pictures[0]))
        assert json.loads(about["sktl.classes"]) == ["grey", "red"]

    def test_pictures_of_any_size(self, fine_tuned, tmp_path):
        """What README shows: Pillow decodes, the graph does the rest."""
        fine_tuned.to_onnx(tmp_path / "model.onnx", preprocess=True)
        rng = np.random.default_rng(1)
        for number, (height, width) in enumerate(((41, 52), (60, 33))):
            path = tmp_path / f"{number}.png"
            Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)
            picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
            batch = np.asarray(picture).transpose(2, 0, 1)[None]
            logits, about = self.run(tmp_path / "model.onnx", pictures=batch)
            found = torch.from_numpy(logits).softmax(1)
            assert np.abs(found.numpy() - fine_tuned.predict_proba([path])).max() < 2e-3  # single grey levels
        assert json.loads(about["sktl.input"])["size"] == "any"

    def test_the_rest_by_pillow(self, fine_tuned, tmp_path):
        """What `to_onnx` says of pictures that are scaled and cropped before the graph."""
        fine_tuned.to_onnx(tmp_path / "model.onnx")
        path = tmp_path / "picture.png"
        Image.fromarray(np.random.default_rng(1).integers(0, 255, (60, 33, 3), dtype=np.uint8)).save(path)
        about = json.loads(self.run_about(tmp_path / "model.onnx")["sktl.input"])
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        (height, width), side, crop = picture.size[::-1], about["scaled_size"][0], about["size"][0]
        height, width = side * height // min(height, width), side * width // min(height, width)
        picture = picture.resize((width, height), Image.Resampling[about["interpolation"].upper()])
        top, left = round((height - crop) / 2), round((width - crop) / 2)
        picture = picture.crop((left, top, left + crop, top + crop))
        logits, _ = self.run(tmp_path / "model.onnx", pictures=np.asarray(picture).transpose(2, 0, 1)[None])
        found = torch.from_numpy(logits).softmax(1)
        assert np.abs(found.numpy() - fine_tuned.predict_proba([path])).max() < 2e-3

    def run_about(self, path):
        return (
            self.runtime.InferenceSession(path, providers=["CPUExecutionProvider"]).get_modelmeta().custom_metadata_map
        )

    def test_places_are_looked_at_first(self, fine_tuned, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.onnx, "export", lambda *args, **options: pytest.fail("work was done"))
        with pytest.raises(FileNotFoundError, match=r"there is no folder .*none"):
            fine_tuned.to_onnx(tmp_path / "none" / "model.onnx")
        with pytest.raises(IsADirectoryError, match="Name a file in it"):
            fine_tuned.to_onnx(tmp_path)

    def test_adapted_pictures(self, network, pictures, tmp_path):
        X, y = pictures
        model = DomainAdaptedClassifier(nn.Sequential(*network[:-1]), image_size=16, max_epochs=1, random_state=0)
        model.fit(X, np.where(np.arange(12) < 6, y, None))
        model.to_onnx(tmp_path / "model.onnx")
        seen = as_pictures(X).batch(range(12), model._learned.preprocessing)
        logits, _ = self.run(tmp_path / "model.onnx", pictures=seen.contiguous().numpy())
        assert close(torch.from_numpy(logits).softmax(1), model.predict_proba(X))

    @pytest.mark.parametrize("kind", ["joint", "source free", "test time"])
    def test_adapted_rows(self, table, kind, tmp_path):
        X, y = table
        model = DomainAdaptedClassifier(max_epochs=2, random_state=0).fit(X, np.where(np.arange(80) < 40, y, -1))
        if kind == "source free":
            model = SourceFreeAdaptedClassifier(model, max_epochs=1, random_state=0).fit(X + 1)
        if kind == "test time":
            model = TestTimeAdaptedClassifier(model).adapt(X + 1)
        model.to_onnx(tmp_path / "model.onnx")
        logits, about = self.run(tmp_path / "model.onnx", rows=X.astype(np.float32))
        assert close(torch.from_numpy(logits).softmax(1), model.predict_proba(X))
        assert json.loads(about["sktl.classes"]) == [0, 1]
        with pytest.raises(ValueError, match="fitted on rows"):
            model.to_onnx(tmp_path / "model.onnx", preprocess=True)

    @pytest.mark.parametrize("options", [{}, {"normalize": "center-l2"}, {"distance": "cosine", "normalize": "l2"}])
    def test_prototypes(self, network, pictures, options, tmp_path):
        X, y = pictures
        model = ProtoNetClassifier(network, image_size=16, **options).fit(X, y)
        model.to_onnx(tmp_path / "model.onnx")
        seen = as_pictures(X).batch(range(12), model.encoder_.network()[1])
        logits, about = self.run(tmp_path / "model.onnx", pictures=seen.contiguous().numpy())
        assert close(torch.from_numpy(logits).softmax(1), model.predict_proba(X))
        assert json.loads(about["sktl.classes"]) == ["grey", "red"]


def test_prototypes_of_rows_and_what_cannot_be_exported(table, tmp_path):
    X, y = table
    rows = torch.as_tensor(X, dtype=torch.float32)
    learner = ProtoNetLearner(n_way=2, n_query=1, n_episodes=4, random_state=0).fit(X, y)
    for model in (ProtoNetClassifier(), ProtoNetClassifier(encoder=FrozenEstimator(learner))):
        model.fit(X, y)
        assert close(model.torch_module_(rows).softmax(1), model.predict_proba(X))
    with pytest.raises(ValueError, match="classifies all rows of a call together"):
        ProtoNetClassifier(transductive="tim").fit(X, y).to_onnx(tmp_path / "model.onnx")
