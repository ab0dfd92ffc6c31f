"""Pooling against plain NumPy."""

import numpy as np
import pytest
import torch

from sktl.backbones import LayerInfo, Pooling, list_layers, load_backbone

MAP = LayerInfo("m", 1.0, "map", 3, (4, 6), 1.0, True)
MAP_LAST = LayerInfo("l", 1.0, "map_last", 3, (4, 6), 1.0, True)
TOKENS = LayerInfo("t", 1.0, "tokens", 3, (17,), 1.0, True, n_prefix_tokens=1, grid=(4, 4))
VECTOR = LayerInfo("v", 1.0, "vector", 3, (), 1.0, True)
x = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype(np.float32)

BY_HAND = {
    "avg": lambda v: v.reshape(2, 3, -1).mean(2),
    "max": lambda v: v.reshape(2, 3, -1).max(2),
    "avgmax": lambda v: np.concatenate([v.reshape(2, 3, -1).mean(2), v.reshape(2, 3, -1).max(2)], 1),
    "gem": lambda v: (np.maximum(v.reshape(2, 3, -1), 1e-6) ** 3).mean(2) ** (1 / 3),
    "flatten": lambda v: v.reshape(2, -1),
    "pyramid": lambda v: np.concatenate([v.mean((2, 3)), v.reshape(2, 3, 2, 2, 2, 3).mean((3, 5)).reshape(2, -1)], 1),
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_maps(kind):
    pooling = Pooling(kind)
    expected = BY_HAND[kind](x)
    assert pooling.n_features(MAP) == expected.shape[1]
    np.testing.assert_allclose(pooling(torch.from_numpy(x), MAP), expected, rtol=1e-5, atol=1e-6)
    last = torch.from_numpy(x).permute(0, 2, 3, 1).contiguous()
    np.testing.assert_allclose(pooling(last, MAP_LAST), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["avg", "max", "avgmax", "gem", "flatten", "pyramid"])
def test_tokens_leave_the_class_token_out(kind):
    tokens = torch.randn(2, 17, 3, generator=torch.Generator().manual_seed(0))
    patches = tokens[:, 1:].transpose(1, 2).reshape(2, 3, 4, 4)
    square = LayerInfo("m", 1.0, "map", 3, (4, 4), 1.0, True)
    pooling = Pooling(kind)
    assert pooling.n_features(TOKENS) == pooling.n_features(square)
    torch.testing.assert_close(pooling(tokens, TOKENS), pooling(patches, square))
    torch.testing.assert_close(Pooling("token")(tokens, TOKENS), tokens[:, 0])


def test_vectors_pass():
    vectors = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Pooling("max")(vectors, VECTOR), vectors)
    assert Pooling("max").n_features(VECTOR) == 3


def test_codes_do_not_share_the_networks_memory():
    maps = torch.ones(2, 3, 4, 4)
    for kind in ("flatten", "avg"):
        code = Pooling(kind)(maps, LayerInfo("m", 1.0, "map", 3, (4, 4), 1.0, True))
        maps.zero_()
        assert (code == 1).all()
        maps.fill_(1)


def test_class_token_of_a_network_without_one():
    with pytest.raises(ValueError, match="class token"):
        Pooling("token").n_features(MAP)
    no_prefix = LayerInfo("t", 1.0, "tokens", 3, (16,), 1.0, True)
    with pytest.raises(ValueError, match="class token"):
        Pooling("token").n_features(no_prefix)


def test_class_token_is_a_transformers_own_code():
    backbone = load_backbone("timm/vit_tiny_patch16_224", None)
    trace = backbone.trace((224, 224))
    info = trace.layers[-1]
    assert list_layers("timm/vit_tiny_patch16_224")[-1].kind == "tokens"
    pictures = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tokens = backbone.module.forward_features(pictures)
        own = backbone.module.forward_head(tokens, pre_logits=True)
    torch.testing.assert_close(Pooling("token")(tokens, info), own)
