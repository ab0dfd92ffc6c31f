"""Engines: the same codes by every road, and what happens where a road is closed."""

import os
import platform
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from sktl import CNNCodesTransformer
from sktl._device import cpu_has_bfloat16, exact_float32
from sktl.backbones import _engines, agreeing_precision, auto_batch_size, load_backbone, planned_engine
from sktl.backbones._agreement import N_EXAMPLES, TOLERANCE, example_pictures
from sktl.backbones._engine import CodeNetwork, TorchEngine
from sktl.backbones._folding import fold_batch_norms
from sktl.exceptions import EngineWarning
from sktl.features._recipe import recipe_of

openvino = pytest.mark.skipif(
    not __import__("importlib").util.find_spec("openvino"),
    reason="openvino is not installed (pip install sktl[openvino])",
)


@pytest.fixture(autouse=True)
def fresh_engines(monkeypatch):
    monkeypatch.setattr(_engines, "_built", type(_engines._built)())
    monkeypatch.setattr(_engines, "_refused", set())


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (7, 64, 64, 3), dtype=np.uint8)


def codes(pictures, **params):
    return CNNCodesTransformer(**{"image_size": 64, "device": "cpu", **params}).transform(pictures)


def difference(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


@openvino
@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "resnet18"])
def test_openvino_agrees_with_torch(pictures, backbone):
    params = {"backbone": backbone, "weights": "default" if backbone == "efficientnet_lite0" else None, "layers": "all"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = codes(pictures, engine="openvino", **params)
    assert difference(found, codes(pictures, engine="torch", **params)) < 1e-3
    assert np.array_equal(found, codes(pictures, engine="openvino", **params))


@openvino
def test_openvino_keeps_the_order_of_many_batches(pictures):
    many = np.concatenate([pictures] * 6)
    many[::5] = 0
    found = codes(many, engine="openvino", batch_size=2)
    assert difference(found, codes(many, engine="torch")) < 1e-3


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU has no bfloat16 instructions")
def test_bfloat16_stays_near(pictures):
    """Its 8 bits of mantissa leave some hundredths after fifty layers, whatever the engine: see CNNCodesTransformer."""
    a, b = (codes(pictures, engine="torch", precision=p) for p in ("bfloat16", "float32"))
    assert a.dtype == np.float32
    assert np.linalg.norm(a - b) / np.linalg.norm(b) < 0.15
    assert not np.array_equal(a, b)


def test_openvino_that_is_missing_gives_one_warning(pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.warns(EngineWarning, match="pip install openvino"):
        found = codes(pictures, engine="openvino")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = codes(pictures, engine="openvino")
    assert np.array_equal(found, codes(pictures, engine="torch"))
    assert np.array_equal(again, found)


@openvino
def test_a_network_that_openvino_refuses_runs_on_torch(pictures):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.odd = nn.Identity()
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.odd(torch.special.bessel_j0(self.conv(x)).mean((2, 3))))

    with torch.random.fork_rng(devices=[]):
        network = Odd()
    with pytest.warns(EngineWarning, match="OpenVINO cannot run 'Odd'"):
        found = codes(pictures, backbone=network, layers="odd", engine="openvino")
    assert np.array_equal(found, codes(pictures, backbone=network, layers="odd", engine="torch"))


@openvino
def test_openvino_whose_codes_differ_is_not_used(pictures, monkeypatch):
    monkeypatch.setattr("sktl.backbones._openvino.TOLERANCE", -1.0)
    with pytest.warns(EngineWarning, match="differ from PyTorch's"):
        codes(pictures, engine="openvino")


def test_auto_compiles_only_for_work_that_repays_it():
    transformer = CNNCodesTransformer(device="cpu")
    recipe = transformer._extractor().recipe
    cpu = torch.device("cpu")
    assert planned_engine("auto", recipe, cpu, 20) == "torch"
    assert planned_engine("torch", recipe, cpu, 10**6) == "torch"
    if __import__("importlib").util.find_spec("openvino"):
        assert planned_engine("auto", recipe, cpu, 10**4) == "openvino"
    assert planned_engine("auto", recipe, torch.device("cuda", 0), 10**4) == "torch"


def test_batch_sizes_follow_device_and_size():
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 0)
    assert auto_batch_size("torch", cpu, (224, 224)) == 4
    assert auto_batch_size("torch", cpu, (64, 64)) > 4
    assert auto_batch_size("torch", cpu, (2000, 2000)) == 1
    assert auto_batch_size("torch", cuda, (224, 224)) >= 128


class TestOutOfMemory:
    @staticmethod
    def engine_with_room_for(n, monkeypatch):
        extractor = CNNCodesTransformer(image_size=32, device="cpu", engine="torch")._extractor()
        engine = TorchEngine(extractor.recipe, extractor.device)
        network, sizes = engine._network, []

        def limited(batch):
            sizes.append(len(batch))
            if len(batch) > n:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return network(batch)

        monkeypatch.setattr(engine, "_network", limited)
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
        return engine, sizes

    def test_the_batch_is_halved_until_it_fits(self, monkeypatch):
        engine, sizes = self.engine_with_room_for(3, monkeypatch)
        batch = torch.randint(0, 256, (10, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        ((_, (found,)),) = engine.run(iter([(np.arange(10), batch)]))
        assert sizes[0] == 10
        assert max(size for size in sizes if size <= 3) == 3
        monkeypatch.undo()
        ((_, (expected,)),) = engine.run(iter([(np.arange(10), batch)]))
        assert difference(found, expected) < 1e-5

    def test_one_picture_that_does_not_fit_is_an_error_with_advice(self, monkeypatch):
        engine, _ = self.engine_with_room_for(0, monkeypatch)
        with pytest.raises(MemoryError, match=r"32 x 32 pixels. Lower image_size"):
            list(engine.run(iter([(np.arange(2), torch.zeros(2, 3, 32, 32, dtype=torch.uint8))])))


class TestFolding:
    @pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "mobilenet_v2", "timm/mobilenetv3_small_050"])
    def test_every_batch_norm_goes_and_the_outputs_stay(self, name):
        module = (
            load_backbone(name, "default" if name == "efficientnet_lite0" else None)
            .fresh_module()
            .requires_grad_(False)
        )
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():  # a fresh network's statistics are zeros and ones, which folding would pass for free
            for part in module.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.running_mean.add_(torch.randn(part.num_features, generator=generator) * 0.01)
        x = torch.randn(2, 3, 64, 64, generator=generator)
        folded = fold_batch_norms(module, x)
        assert not [p for p in folded.modules() if isinstance(p, nn.modules.batchnorm._BatchNorm)]
        with torch.no_grad():
            torch.testing.assert_close(folded(x), module(x), rtol=1e-4, atol=1e-4)

    def test_a_convolution_whose_own_output_is_wanted_keeps_its_norm(self, pictures):
        found = codes(pictures, backbone="resnet18", weights=None, layers=["conv1", "bn1"], engine="torch")
        module = load_backbone("resnet18", None).module
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        with torch.no_grad():
            conv = module.conv1((x - mean) / std)
            expected = torch.cat([conv.mean((2, 3)), module.bn1(conv).mean((2, 3))], 1).numpy()
        near = codes(pictures, backbone="resnet18", weights=None, layers=["conv1", "bn1"], engine="torch",
                     preprocessing={"crop_pct": 1.0})  # fmt: skip
        assert difference(near, expected) < 1e-4
        assert found.shape == expected.shape

    def test_a_norm_that_stands_elsewhere_stays(self):
        class PreNorm(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

            def forward(self, x):
                y = self.conv(x)
                return self.norm(y) + y

        with torch.random.fork_rng(devices=[]):
            network = PreNorm().eval()
        with torch.no_grad():
            network.norm.running_mean.fill_(0.5)
        x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        folded = fold_batch_norms(network, x)
        with torch.no_grad():
            torch.testing.assert_close(folded(x), network(x))


class TestAgreement:
    """ "auto" takes a fast precision only where the codes stay what they are."""

    @staticmethod
    def recipe(name, weights, **params):
        transformer = CNNCodesTransformer(name, weights=weights, image_size=64, device="cpu", **params)
        return recipe_of(transformer, load_backbone(name, weights), torch.device("cpu"))

    @pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU has no bfloat16 instructions")
    @pytest.mark.parametrize(
        ("name", "weights", "allowed"),
        [
            ("resnet18", None, (torch.bfloat16, torch.float16)),  # at the border: 0.5 % off, by the kernels of the CPU
            ("efficientnet_lite0", "default", (torch.float16, torch.float32)),
        ],
    )
    def test_chosen_by_the_difference(self, pictures, name, weights, allowed):
        cpu, candidates = torch.device("cpu"), (torch.bfloat16, torch.float16)
        recipe = self.recipe(name, weights, engine="torch")
        chosen = agreeing_precision(recipe, cpu, candidates)
        assert chosen.dtype in allowed
        network, shown = CodeNetwork(recipe, cpu), example_pictures(N_EXAMPLES, recipe.preprocessing.size)
        with torch.inference_mode():
            (exact,) = network(shown)
            off = {}
            for dtype in candidates:
                with torch.autocast("cpu", dtype):
                    off[dtype] = float((network(shown)[0] - exact).norm() / exact.norm())
        assert chosen.dtype == next((dtype for dtype in candidates if off[dtype] <= TOLERANCE), torch.float32)
        batch = torch.from_numpy(pictures).permute(0, 3, 1, 2)
        found, expected = (next(TorchEngine(r, cpu).run(iter([(np.arange(7), batch)])))[1][0] for r in (chosen, recipe))
        assert np.linalg.norm(found - expected) < 1e-2 * np.linalg.norm(expected)

    def test_float32_where_nothing_agrees(self):
        recipe = self.recipe("efficientnet_lite0", "default")
        assert agreeing_precision(recipe, torch.device("cpu"), (torch.bfloat16,)).dtype == torch.float32

    def test_cpu_stays_at_float32(self):
        assert self.recipe("resnet18", None).dtype == torch.float32

    def test_examples_look_like_photographs(self):
        """Power falls with the square of frequency; the mean is grey."""
        examples = example_pictures(4, (64, 48))
        assert examples.shape == (4, 3, 64, 48)
        assert examples.dtype == torch.uint8
        power = torch.fft.rfft2(examples.double()).abs().square().mean(dim=(0, 1))
        assert 12 < power[4, 0] / power[16, 0] < 20
        assert abs(examples.double().mean() - 128) < 3
        assert torch.equal(examples, example_pictures(4, (64, 48)))


@pytest.mark.parametrize("is_new", [False, True])
def test_float32_on_cuda_is_not_rounded_to_tf32(is_new):
    """Several threads may ask for it; the last one puts the process's setting back, whichever interface it came by."""
    cudnn, cuda = torch.backends.cudnn, torch.device("cuda")

    def allowed():
        return cudnn.conv.fp32_precision == "tf32" if is_new else cudnn.allow_tf32

    assert allowed()
    if is_new:
        before = cudnn.rnn.fp32_precision
        cudnn.rnn.fp32_precision = "ieee"  # now the older interface cannot be read
    try:
        with exact_float32(cuda):
            assert not allowed()
            with exact_float32(cuda):
                pass
            assert not allowed()
        assert allowed()
    finally:
        if is_new:
            cudnn.rnn.fp32_precision = before


COUNT_FAULTS = """
import resource
import numpy as np
from sktl import CNNCodesTransformer
from sktl.features._recipe import recipe_of

pictures = np.zeros((24, 224, 224, 3), dtype=np.uint8)
transformer = CNNCodesTransformer(engine="torch", device="cpu", n_jobs=1)
transformer.transform(pictures)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
transformer.transform(pictures)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / len(pictures))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that hands memory back at once")
def test_layers_use_memory_again():
    """Without care some 3,000 pages a picture are handed back to the system and fetched anew."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS], capture_output=True, text=True, check=True, env=environment
    )
    assert float(done.stdout) < 1000
