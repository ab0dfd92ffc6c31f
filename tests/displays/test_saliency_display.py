import copy
import importlib
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sktl.displays import SaliencyDisplay
from sktl.finetuning import FineTunedClassifier


@pytest.fixture(scope="module")
def pictures():
    """Pictures whose class is the quarter that is bright."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 60, (24, 32, 32, 3), dtype=np.uint8), np.array(["left", "right"] * 12)
    X[y == "left", 8:20, :12] += 180
    X[y == "right", 8:20, 20:] += 180
    return X, y


@pytest.fixture(scope="module")
def model(pictures):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()]
        network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 64, 2))
    parts = {"strategy": "full", "max_epochs": 30, "learning_rate": 0.01, "augment": None, "device": "cpu"}
    return FineTunedClassifier(network, image_size=32, random_state=0, **parts).fit(*pictures)


def by_hand(module, place, pictures, target):
    """Return Grad-CAM maps before scaling: relu(sum_k mean(dy/dA_k) A_k)."""
    kept = []
    handle = place.register_forward_hook(lambda part, inputs, output: kept.append(output))
    logits = module(pictures.requires_grad_(True))
    handle.remove()
    gradient = torch.autograd.grad(logits[torch.arange(len(target)), target].sum(), kept[0])[0]
    maps = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True).clamp(min=0)
    maps = nn.functional.interpolate(maps, pictures.shape[2:], mode="bilinear")[:, 0].detach()
    return (maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-30)).numpy()


class TestWithCaptum:
    @pytest.fixture(autouse=True)
    def _captum(self):
        pytest.importorskip("captum", reason="saliency maps are captum's, an optional package")

    def test_maps_are_grad_cam(self, model, pictures):
        X, _ = pictures
        display = SaliencyDisplay.from_estimator(model, X, n_pictures=4)
        module = model.torch_module_
        target = torch.from_numpy(np.searchsorted(model.classes_, display.labels))
        batch = torch.from_numpy(display.pictures).permute(0, 3, 1, 2).float()
        expected = by_hand(module, module.get_submodule(display.layer), batch, target)
        np.testing.assert_allclose(display.heat, expected, atol=1e-5)
        np.testing.assert_array_equal(display.labels, model.predict(X[:4]))
        np.testing.assert_allclose(display.probabilities, model.predict_proba(X[:4]).max(1), atol=1e-5)
        for ax, heat in zip(display.axes_, display.heat):
            np.testing.assert_array_equal(ax.images[1].get_array(), heat)
        assert display.axes_[0].get_title() == f"{display.labels[0]} {display.probabilities[0]:.0%}"
        assert plt.get_fignums() == [display.figure_.number]

    def test_targets(self, model, pictures):
        X, y = pictures
        assert SaliencyDisplay.from_estimator(model, X, "right", n_pictures=2).labels == ["right", "right"]
        assert SaliencyDisplay.from_estimator(model, list(X), y, n_pictures=3).labels == y[:3].tolist()

    def test_layers(self, model, pictures):
        X, _ = pictures
        first = SaliencyDisplay.from_estimator(model, X, layer="0", n_pictures=1)
        assert first.layer.endswith(".0")
        with pytest.raises(ValueError, match="maps of more than one cell; layer='9' is none of them"):
            SaliencyDisplay.from_estimator(model, X, layer="9")

    def test_bad_input(self, model, pictures, two_domains):
        X, y = pictures
        with pytest.raises(ValueError, match="target 'up' is none of the classes: 'left', 'right'"):
            SaliencyDisplay.from_estimator(model, X, "up")
        with pytest.raises(ValueError, match="target must have one entry a row: expected 24, got 2"):
            SaliencyDisplay.from_estimator(model, X, ["left", "right"])
        with pytest.raises(TypeError, match="one network's, such as FineTunedClassifier; got LogisticRegression"):
            SaliencyDisplay.from_estimator(LogisticRegression().fit(X.reshape(24, -1), y), X)
        rows = FineTunedClassifier(max_epochs=1, random_state=0).fit(*two_domains[:2])
        with pytest.raises(ValueError, match="was fitted on feature rows"):
            SaliencyDisplay.from_estimator(rows, two_domains[0])
        assert not plt.get_fignums()


def test_without_captum_the_error_says_what_to_install(monkeypatch, model, pictures):
    def missing(name, *args, **kwargs):
        if name.partition(".")[0] == "captum":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"SaliencyDisplay needs captum, .*: pip install sktl\[explain\]"):
        SaliencyDisplay.from_estimator(model, pictures[0])


def transformer(kind):
    mean, attention = {"global_pool": "avg"}, {"global_pool": "map", "class_token": False}
    settings = {"class token": {}, "mean": mean, "attention": attention}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = VisionTransformer(
            img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=2, **settings[kind]
        )
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape))
    return network.eval()


def rolled_out_by_hand(network, x, reads):
    """Return the shares of patches by (mean of heads + identity) / 2, block after block."""
    kept = []
    for block in network.blocks:
        block.attn.register_forward_pre_hook(lambda module, args: kept.append((module, args[0])))
    network(x)
    share = None
    for module, z in kept:
        n, tokens, width = z.shape
        q, k, _ = module.qkv(z).reshape(n, tokens, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) * module.scale).softmax(-1).mean(1)
        mixed = (weights + torch.eye(tokens)) / 2
        share = mixed if share is None else mixed @ share
    read = share[:, 0] if reads == "class token" else share[:, 1:].mean(1)
    return read[:, 1:].reshape(-1, 1, 4, 4)


@pytest.mark.parametrize("kind", ["class token", "mean"])
def test_attention_of_a_transformer_is_rolled_out(kind, pictures, monkeypatch):
    X, y = pictures
    monkeypatch.setitem(sys.modules, "captum.attr", None)  # it needs none
    model = FineTunedClassifier(transformer(kind), strategy="head", image_size=32, device="cpu").fit(X, y)
    display = SaliencyDisplay.from_estimator(model, X, n_pictures=3)
    assert display.method == "roll-out"
    network = copy.deepcopy(model.torch_module_)
    inner = next(part for part in network.modules() if isinstance(part, VisionTransformer))
    entered = []
    inner.register_forward_pre_hook(lambda module, args: entered.append(args[0]))
    with torch.no_grad():
        network(torch.from_numpy(display.pictures).permute(0, 3, 1, 2).float())
        maps = rolled_out_by_hand(inner, entered[0], kind)
    maps = nn.functional.interpolate(maps, (32, 32), mode="bilinear")[:, 0]
    atol = 0.02 if kind == "mean" else 1e-4  # a norm stands between the patches' mean and their attention
    np.testing.assert_allclose(display.heat, maps / maps.amax((1, 2), keepdim=True), atol=atol)
    assert display.labels == model.predict(X[:3]).tolist()


def test_attention_that_pools_and_pytorchs_own(pictures):
    X, y = pictures
    with torch.random.fork_rng(devices=[]):
        own = OwnAttention().eval()
    for network in (transformer("attention"), own):
        model = FineTunedClassifier(network, strategy="head", image_size=32, device="cpu").fit(X, y)
        display = SaliencyDisplay.from_estimator(model, X, n_pictures=2)
        assert display.method == "roll-out"
        assert display.heat.shape == (2, 32, 32)
        np.testing.assert_allclose(display.heat.max((1, 2)), 1, atol=1e-6)
        plt.close("all")


class OwnAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.token = nn.Parameter(torch.ones(1, 1, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        z = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.block(torch.cat([self.token.expand(len(z), -1, -1), z], 1))[:, 0])
