"""Networks in two parts: the rest that shares its weights, and codes computed on from an earlier layer."""

import numpy as np
import pytest
import torch
from torch import nn

from sktl._extraction import Extractor
from sktl.backbones import CodeRecipe, Pooling, block_recipe, layer_info, load_backbone, split_at, unflattened
from sktl.cache import MemoryCache
from sktl.images import as_pictures

NAMES = ["resnet18", "mobilenet_v2", "densenet121", "timm/convnext_atto", "timm/vit_tiny_patch16_224"]


def loaded(name):
    backbone = load_backbone(name, None)
    size = (224, 224) if "vit" in name else (64, 64)
    return backbone, size, backbone.trace(size)


@pytest.mark.parametrize("name", NAMES)
def test_training_the_rest_trains_the_network(name):
    backbone, _, trace = loaded(name)
    network = backbone.fresh_module().eval()
    layer = trace.layers[len(trace.layers) // 2].name
    prefix, suffix = split_at(network, layer, trace, shares=True)
    x = torch.linspace(-1, 1, 3 * trace.input_shape[2] ** 2).reshape(trace.input_shape)
    own = {id(parameter) for parameter in network.parameters()}
    assert {id(parameter) for parameter in suffix.parameters()} < own
    assert len(list(suffix.parameters())) < len(own)
    before = network(x)
    with torch.no_grad():
        for parameter in suffix.parameters():
            parameter += 0.01
        z = prefix(x)[0]
    after = network(x)
    assert not torch.allclose(before, after, atol=1e-3)
    assert torch.allclose(suffix(z), after, rtol=1e-4, atol=1e-5)
    suffix(z).sum().backward()
    names = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert names
    assert not any(name.startswith(trace.layers[0].name + ".") for name in names)


@pytest.mark.parametrize("name", NAMES)
def test_whole_outputs_come_back_as_they_were(name):
    backbone, size, trace = loaded(name)
    x = torch.linspace(-1, 1, 6 * size[0] ** 2).reshape(2, *trace.input_shape[1:])
    for row in trace.layers[:: max(1, len(trace.layers) // 3)]:
        output = split_at(backbone.module, row.name, trace)[0](x)[0]
        info = layer_info(row.name, trace)
        flat = Pooling("whole")(output, info)
        assert flat.shape == (2, Pooling("whole").n_features(info))
        assert torch.equal(unflattened(flat, info), output)


@pytest.mark.parametrize("name", NAMES)
def test_codes_computed_on_are_the_same_to_the_bit(name):
    backbone, size, trace = loaded(name)
    source = as_pictures(np.random.default_rng(0).integers(0, 256, (5, *size, 3), dtype=np.uint8))
    recipe = CodeRecipe(backbone, ("penultimate",), Pooling(), backbone.preprocessing.resized_to(size), torch.float32)
    cpu = torch.device("cpu")
    expected = Extractor(recipe, cpu, engine="torch").codes(source)
    kept = [earlier for earlier in recipe.earlier_blocks() if earlier.layers != recipe.layers]
    assert all(block_recipe(recipe, earlier.layers[0]).storage == "float32" for earlier in kept)
    for earlier in kept[:: max(1, len(kept) - 1)]:
        store = MemoryCache()
        Extractor(earlier, cpu, engine="torch", cache=store).codes(source)
        n_before = store.n_entries
        calls = []
        handle = (
            backbone.prepared(cpu, size, packed=True)
            .get_submodule(trace.layers[0].name)
            .register_forward_hook(lambda module, args, output, calls=calls: calls.append(len(output)))
        )
        try:
            found = Extractor(recipe, cpu, engine="torch", cache=store, resumes=True).codes(source)
        finally:
            handle.remove()
        assert np.array_equal(found, expected), earlier.layers
        assert not calls  # the first layer has seen no picture
        assert store.n_entries == n_before + 5


def test_values_beyond_half_precision_stay_finite():
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(nn.Conv2d(3, 32, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2))
    with torch.no_grad():
        network[0].weight.fill_(1e6)
    backbone = load_backbone(network)
    base = CodeRecipe(backbone, ("1",), Pooling("avg"), backbone.preprocessing.resized_to(8), torch.float32)
    recipe = block_recipe(base, "1")
    assert recipe.storage == "float16"
    pictures = np.full((2, 8, 8, 3), 255, np.uint8)
    ((_, values),) = Extractor(recipe, torch.device("cpu"), engine="torch").iter_codes(as_pictures(pictures))
    assert values.dtype == np.float16
    assert np.isfinite(values).all()


def test_facts_are_found_once():
    backbone = load_backbone("resnet18", None)
    asked = []
    for _ in range(2):
        assert backbone.remembered("a question", lambda: asked.append(1) or 42) == 42
    assert asked == [1]
    assert backbone.can_split_at("layer2", (64, 64))
