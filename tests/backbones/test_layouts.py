"""Which axis holds channels and which tokens are patches, where a guess by the shape would be wrong."""

import numpy as np
import pytest
import torch
from timm.models.nest import Nest
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sktl import CNNCodesTransformer
from sktl.backbones import Pooling, layer_info, list_layers, load_backbone, trace_of

AS_IS = {"crop_pct": 1.0, "mean": (0.0,) * 3, "std": (1.0,) * 3}


def pictures(size, n=2):
    return np.random.default_rng(0).integers(0, 256, (n, *size, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "layer", "size", "axes"),
    [
        ("efficientnet_lite0", "blocks.1", (96, 128), (2, 3)),  # 24 channels, 24 rows
        ("resnet18", "layer1", (256, 320), (2, 3)),  # 64 channels, 64 rows
        ("swin_t", "norm", (64, 128), (1, 2)),
        ("swin_t", "features.1", (64, 128), (1, 2)),
        ("timm/swin_tiny_patch4_window7_224", "layers.1", (224, 224), (1, 2)),  # takes this size only
    ],
)
def test_channels_are_told_from_rows_and_columns(name, layer, size, axes):
    network = load_backbone(name, None).module
    kept = []
    handle = network.get_submodule(layer).register_forward_hook(lambda module, args, output: kept.append(output))
    with torch.no_grad():
        network(torch.from_numpy(pictures(size)).permute(0, 3, 1, 2) / 255)
    handle.remove()
    transformer = CNNCodesTransformer(name, weights=None, layers=layer, image_size=size, preprocessing=AS_IS)
    np.testing.assert_allclose(transformer.fit_transform(pictures(size)), kept[0].mean(axes), atol=1e-4)


@pytest.mark.parametrize("size", [(32, 64), (48, 32)])
def test_every_stage_has_the_channels_it_is_built_with(size):
    by_hand = {"resnet18": [64, 64, 128, 256, 512], "swin_t": [96, 192, 384, 768]}
    for name, channels in by_hand.items():
        assert [row.channels for row in list_layers(name, image_size=size) if row.is_stage] == channels


@pytest.mark.parametrize(
    ("size", "patch", "n_register", "dynamic"),
    [((32, 16), 8, 0, False), ((28, 28), 14, 4, False), ((28, 28), 14, 4, True), ((32, 64), 16, 1, True)],
)
def test_patches_are_told_from_class_and_register_tokens(size, patch, n_register, dynamic):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = VisionTransformer(
            img_size=size, patch_size=patch, embed_dim=16, depth=2, num_heads=2, num_classes=3, reg_tokens=n_register,
            dynamic_img_size=dynamic,
        ).eval()  # fmt: skip
    tokens = []
    handle = network.blocks[0].register_forward_hook(lambda module, args, output: tokens.append(output))
    with torch.no_grad():
        network(torch.from_numpy(pictures(size)).permute(0, 3, 1, 2) / 255)
    handle.remove()
    n_prefix = 1 + n_register
    maps = tokens[0][:, n_prefix:].unflatten(1, (size[0] // patch, size[1] // patch)).permute(0, 3, 1, 2)
    row = layer_info("blocks.0", trace_of(network, size))
    assert (row.n_prefix_tokens, row.grid) == (n_prefix, tuple(maps.shape[2:]))
    for pooling, expected in (("avg", maps.mean((2, 3))), ("flatten", maps.flatten(1))):
        transformer = CNNCodesTransformer(
            network, layers="blocks.0", image_size=size, pooling=pooling, preprocessing=AS_IS, engine="torch"
        )
        np.testing.assert_allclose(transformer.fit_transform(pictures(size)), expected, atol=1e-5)


def test_tokens_in_windows_are_no_maps_of_them():
    with torch.random.fork_rng(devices=[]):
        network = Nest(32, num_levels=2, patch_size=2, embed_dims=(12, 24), num_heads=(1, 2), depths=(1, 1)).eval()
    row = layer_info("levels.0.transformer_encoder", trace_of(network, (32, 32)))  # (1, windows, tokens, channels)
    assert (row.kind, row.channels, row.resolution) == ("map_last", 12, (4, 64))


class Folded(nn.Module):
    """Takes one size, and makes maps of which no layer tells which axis is which."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Linear(3 * 8 * 8, 512)
        self.fold = nn.Unflatten(1, (8, 8, 8))
        self.head = nn.Linear(512, 2)

    def forward(self, x):
        return self.head(self.fold(self.wide(x.flatten(1))).flatten(1))


def test_what_nothing_tells_is_an_error_and_no_guess():
    with torch.random.fork_rng(devices=[]):
        network = Folded().eval()
    with pytest.raises(ValueError, match="Nothing tells which axis of the layer 'fold' holds the channels"):
        CNNCodesTransformer(network, layers="fold", image_size=8).fit(pictures((8, 8)))
    assert CNNCodesTransformer(network, image_size=8).fit_transform(pictures((8, 8))).shape == (2, 512)


def test_sequences_are_pooled_over_their_length():
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(
            nn.Conv2d(3, 6, 4, 4), nn.Flatten(2), nn.Conv1d(6, 5, 1), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
            nn.Linear(5, 2),
        ).eval()  # fmt: skip
    info = layer_info("2", trace_of(network, (16, 24)))
    assert (info.kind, info.channels, info.resolution) == ("map", 5, (24,))
    output = torch.randn(2, 5, 24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Pooling("avg")(output, info), output.mean(2))


def test_tokens_of_networks_that_scale_pictures_themselves():
    """CrossViT's numbers of tokens do not follow the picture's size; its patches are those of its two convolutions."""
    trace = load_backbone("timm/crossvit_9_240", None).trace((64, 64))
    found = [layer_info(f"blocks.0.blocks.{branch}.0", trace) for branch in (0, 1)]
    assert [(row.resolution, row.n_prefix_tokens, row.grid) for row in found] == [
        ((401,), 1, (20, 20)),
        ((197,), 1, (14, 14)),
    ]
