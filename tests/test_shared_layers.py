"""A layer that stands in a network twice, or whose weights are another's, learns as the same layer used twice does."""

import numpy as np
import pytest
import torch
from torch import nn

from sktl.adaptation import DomainAdaptedClassifier
from sktl.finetuning import FineTunedClassifier


class UsedTwice(nn.Module):
    """One convolution, registered once and called twice."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.stem, self.norm = nn.Conv2d(3, 6, 3, stride=2, bias=False), nn.BatchNorm2d(6)
            self.conv, self.norm2, self.fc = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Linear(6, 5)

    def again(self, x):
        return self.conv(x)

    def forward(self, x):
        x = torch.relu(self.conv(torch.relu(self.norm(self.stem(x)))))
        return self.fc(torch.relu(self.again(self.norm2(x))).mean((2, 3)))


class RegisteredTwice(UsedTwice):
    def __init__(self):
        super().__init__()
        self.other = nn.Sequential(self.conv)

    def again(self, x):
        return self.other(x)


class Tied(UsedTwice):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            self.other = nn.Conv2d(6, 6, 3, padding=1)
        self.other.weight, self.other.bias = self.conv.weight, self.conv.bias

    def again(self, x):
        return self.other(x)


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (24, 32, 32, 3)).astype(np.uint8), np.arange(24) % 2
    X[y == 1, ..., 0] //= 4
    X[y == 0, ..., 2] //= 4
    return X, y


FULL = {
    "strategy": "full", "max_epochs": 6, "learning_rate": 0.03, "batch_size": 12, "augment": None, "image_size": 32,
    "layer_decay": 1.0, "random_state": 0,
}  # fmt: skip
WAYS = {
    "all layers": {},
    "low-rank": {"adapter": "lora"},
    "averaged": {"ema": 0.9},
    "towards the start": {"l2_sp": 0.1},
    "early layers fixed": {"freeze_until": "norm"},
}


@pytest.mark.parametrize("way", WAYS)
def test_fine_tuning(way, pictures):
    X, y = pictures
    expected = FineTunedClassifier(UsedTwice(), **FULL, **WAYS[way]).fit(X, y)
    assert not np.allclose(expected.predict_proba(X), 0.5, atol=0.05)
    for network in (RegisteredTwice, Tied):
        model = FineTunedClassifier(network(), **FULL, **WAYS[way]).fit(X, y)
        np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=5e-6)


@pytest.mark.parametrize("network", [RegisteredTwice, Tied])
def test_saved_and_exported(network, pictures, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="ONNX files are run by onnxruntime, an optional package")
    X, y = pictures
    model = FineTunedClassifier(network(), **FULL).fit(X, y)
    model.save(tmp_path / "model")
    loaded = FineTunedClassifier.load(tmp_path / "model", backbone=network())
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    model.to_onnx(tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    ready = np.ascontiguousarray(X.transpose(0, 3, 1, 2))
    (found,) = session.run(None, {session.get_inputs()[0].name: ready})
    with torch.no_grad():
        expected = model.torch_module_.eval()(torch.from_numpy(ready)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("loss", ["cdan", "mean_teacher", "adda", "mcd"])
def test_adaptation(loss, pictures):
    X, y = pictures
    labels = np.where(np.arange(24) < 12, y, -1)
    options = {
        "learning_rate": 0.03,
        "loss": loss,
        "max_epochs": 2,
        "batch_size": 6,
        "random_state": 0,
        "image_size": 32,
    }
    expected = DomainAdaptedClassifier(UsedTwice(), **options).fit(X, labels)
    for network in (RegisteredTwice, Tied):
        model = DomainAdaptedClassifier(network(), **options).fit(X, labels)
        np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=5e-6)
