"""Vision transformers: which token is which, other sizes than the trained one, files in several layouts, training."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sktl import CNNCodesTransformer
from sktl._preprocessing import Preprocessing
from sktl.backbones import (
    LayerOutputs,
    load_backbone,
    parameter_groups,
    resolve_layers,
    split_at,
    trace_of,
)
from sktl.backbones._folding import fold_batch_norms
from sktl.exceptions import WeightsError
from sktl.finetuning import STRATEGIES, FineTunedClassifier, LoRA
from sktl.finetuning._lora import adapted_layers, merge_adapters
from sktl.finetuning._networks import picture_spec
from sktl.finetuning._plan import make_plan

SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2}
ROPE = {"use_rot_pos_emb": True, "use_abs_pos_emb": False, "rope_type": "dinov3", "num_reg_tokens": 4}
KINDS = {
    "class token": {},
    "registers": {"reg_tokens": 4, "no_embed_class": True},
    "patches' mean": {"global_pool": "avg"},
    "no class token": {"global_pool": "avg", "class_token": False},
    "registers alone": {"global_pool": "avg", "class_token": False, "reg_tokens": 4, "no_embed_class": True},
    "attention": {"global_pool": "map", "class_token": False},
}
N_PREFIX = {
    "class token": 1,
    "registers": 5,
    "patches' mean": 1,
    "no class token": 0,
    "registers alone": 4,
    "attention": 0,
    "rotary": 5,
}
CLASS_TOKEN = ("class token", "registers", "patches' mean", "rotary")


def network(kind, **settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "rotary":
            made = Eva(**SMALL, num_classes=3, dynamic_img_size=True, **ROPE, **settings)
        else:
            made = VisionTransformer(**SMALL, num_classes=3, **KINDS[kind], **settings)
        with torch.no_grad():  # heads start at zero, which reads nothing
            for parameter in made.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape))
    return made.eval()


PICTURES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
AS_IS = {"crop_pct": 1.0, "mean": (0.5,) * 3, "std": (0.25,) * 3}


def as_tensor(pictures):
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25


def codes_of(module, pictures=PICTURES, **settings):
    settings = {"image_size": pictures.shape[1:3], "engine": "torch", "preprocessing": AS_IS, **settings}
    return CNNCodesTransformer(module, **settings).fit_transform(pictures)


@pytest.mark.parametrize("kind", [*KINDS, "rotary"])
def test_poolings_are_of_the_tokens_that_they_name(kind):
    module, n_prefix = network(kind), N_PREFIX[kind]
    with torch.no_grad():
        tokens = module.forward_features(as_tensor(PICTURES))
        read = module.forward_head(tokens, pre_logits=True)
    np.testing.assert_allclose(codes_of(module), read, atol=1e-5)  # what enters the network's own head
    patches = tokens[:, n_prefix:].mean(1)
    np.testing.assert_allclose(codes_of(module, pooling="avg"), patches, atol=1e-5)
    if kind in CLASS_TOKEN:
        np.testing.assert_allclose(codes_of(module, pooling="token"), tokens[:, 0], atol=1e-5)
        both = torch.cat([tokens[:, 0], patches], 1)
        np.testing.assert_allclose(codes_of(module, pooling="tokenavg"), both, atol=1e-5)
    else:
        for pooling in ("token", "tokenavg"):
            with pytest.raises(ValueError, match=r"class token, but .*Use pooling='avg'"):
                codes_of(module, pooling=pooling)


def test_a_network_without_a_head_is_pooled_all_the_same():
    module = network("registers", pos_embed="none")
    module.reset_classifier(0)
    with torch.no_grad():
        tokens = module.forward_features(as_tensor(PICTURES))
    np.testing.assert_allclose(codes_of(module), tokens[:, 0], atol=1e-5)
    np.testing.assert_allclose(codes_of(module, pooling="avg"), tokens[:, 5:].mean(1), atol=1e-5)


class LastToken(nn.Module):
    """A transformer of its own: the token that is classified stands second, behind one that nobody reads."""

    def __init__(self, reads: str):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.extra = nn.Parameter(torch.randn(1, 2, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
        self.head = nn.Linear(8, 2)
        self.reads = reads

    def forward(self, x):
        z = self.patches(x).flatten(2).transpose(1, 2)
        z = self.block(torch.cat([self.extra.expand(len(z), -1, -1), z], 1))
        return self.head(z[:, 1] if self.reads == "second" else z[:, 2:].mean(1))


@pytest.mark.parametrize("reads", ["second", "patches"])
def test_the_class_token_is_the_one_that_is_read(reads):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = LastToken(reads).eval()
    trace = trace_of(module, (32, 32))
    assert trace.layers[-1].n_prefix_tokens == 2
    assert trace.layers[-1].class_token == (1 if reads == "second" else None)
    if reads == "second":
        np.testing.assert_allclose(codes_of(module, pooling="token"), codes_of(module), atol=1e-6)


@pytest.mark.parametrize("name", ["timm/vit_tiny_patch16_224", "timm/vit_small_patch16_dinov3"])
def test_other_sizes_than_the_trained_one(name):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 48, 80, 3), dtype=np.uint8)
    found = codes_of(name, pictures, weights=None)
    module = load_backbone(name, None).module
    with torch.no_grad():
        tokens = module.forward_features(as_tensor(pictures))
        assert tokens.shape[1] == module.num_prefix_tokens + 3 * 5
        np.testing.assert_allclose(found, module.forward_head(tokens, pre_logits=True), atol=1e-5)


def test_another_size_in_openvino():
    pytest.importorskip("openvino", reason="OpenVINO is an optional engine (sktl[openvino])")
    module = network("class token", dynamic_img_size=True)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 48, 80, 3), dtype=np.uint8)
    found = codes_of(module, pictures)
    with torch.no_grad():
        read = module.forward_head(module.forward_features(as_tensor(pictures)), pre_logits=True)
    np.testing.assert_allclose(found, read, atol=1e-5)
    openvino = codes_of(module, pictures, engine="openvino")
    assert np.linalg.norm(openvino - found) < 1e-3 * np.linalg.norm(found)


def test_interpolated_positions_leave_the_trained_size_as_it_is():
    module = load_backbone("timm/vit_tiny_patch16_224", None).module
    with torch.random.fork_rng(devices=[]):
        fixed = timm.create_model("vit_tiny_patch16_224").eval()
    fixed.load_state_dict(module.state_dict())
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(module(x), fixed(x))


@pytest.mark.parametrize(
    ("module", "size", "nearest"),
    [
        ("timm/vit_tiny_patch16_224", (100, 96), r"such as 96 x 96 or 112 x 96"),
        (network("class token"), (40, 40), r"such as 32 x 32,"),
        (network("rotary"), (35, 40), r"such as 32 x 40 or 40 x 40,"),
    ],
    ids=["patches", "positions", "rotary"],
)
def test_a_size_that_is_refused_names_the_nearest_that_is_not(module, size, nearest):
    weights = None if isinstance(module, str) else "default"
    with pytest.raises(ValueError, match=f"does not take pictures of {size[0]} x {size[1]} pixels.*{nearest}"):
        CNNCodesTransformer(module, weights=weights, image_size=size).fit(PICTURES)


@pytest.mark.parametrize("kind", ["registers", "attention", "rotary"])
def test_layers_by_name_depth_and_in_two_parts(kind):
    module = network(kind)
    trace = trace_of(module, (32, 32))
    names = [row.name for row in trace.layers]
    assert "blocks.0" in names
    assert "blocks.1" in names
    depths = [row.depth for row in trace.layers]
    assert depths == sorted(depths)
    assert resolve_layers("blocks.0", trace) == ("blocks.0",)
    row = next(row for row in trace.layers if row.name == "blocks.1")
    assert resolve_layers(row.depth, trace) == ("blocks.1",)
    x = as_tensor(PICTURES)
    with torch.no_grad():
        whole = module(x)
        for name in ("blocks.0", "blocks.1"):
            prefix, suffix = split_at(module, name, trace)
            torch.testing.assert_close(suffix(prefix(x)[0]), whole)
        folded = fold_batch_norms(module, x[:1])
        torch.testing.assert_close(folded(x), whole)
        first, second = LayerOutputs(module, ["blocks.0", "blocks.1"])(x)
        expected = module.forward_intermediates(x, indices=[0, 1], output_fmt="NLC", intermediates_only=True)
        n_prefix = row.n_prefix_tokens
        torch.testing.assert_close(first[:, n_prefix:], expected[0])
        torch.testing.assert_close(second[:, n_prefix:], expected[1])


@pytest.mark.parametrize("kind", ["registers", "rotary"])
def test_blocks_are_groups_of_their_own_from_picture_to_head(kind):
    module = network(kind)
    groups = parameter_groups(module, trace_of(module, (32, 32)))
    of = {name: i for i, group in enumerate(groups) for name, _ in group.parameters}
    assert sorted(of) == sorted(name for name, _ in module.named_parameters())
    blocks = [{i for name, i in of.items() if name.startswith(f"blocks.{k}.")} for k in range(3)]
    assert all(len(block) == 1 for block in blocks)
    first, second, third = (block.pop() for block in blocks)
    tokens = {of[name] for name in of if name in ("cls_token", "reg_token", "pos_embed", "patch_embed.proj.weight")}
    assert max(tokens) < first < second < third
    assert of["norm.weight" if kind == "registers" else "fc_norm.weight"] >= third
    assert of["head.weight"] == len(groups) - 1 > third


@pytest.mark.parametrize("kind", ["registers", "rotary", "PyTorch's own"])
def test_frozen_blocks_are_frozen_with_their_attention(kind):
    """timm's rotary blocks and PyTorch's own attention use weights of layers that are never called."""
    if kind == "PyTorch's own":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = torchvision.models.VisionTransformer(32, 8, 3, 2, 16, 32, num_classes=2).eval()
        block = "encoder.layers.encoder_layer_{}"
    else:
        module, block = network(kind), "blocks.{}"
    first, last = block.format(0), block.format(2)
    spec = picture_spec(module, "default", 0, Preprocessing(size=(32, 32)), "penultimate", 2)
    built = spec.build()
    make_plan(
        built, spec, STRATEGIES["full"], freeze_until=block.format(1), learning_rate=1.0, layer_decay=0.5,
        weight_decay=0.0, l2_sp=0.0, freezes_bn=False, adapter=None, trains_body=True, seed=0,
    )  # fmt: skip
    trained = {name.removeprefix("network."): p.requires_grad for name, p in built.named_parameters()}
    assert not any(trained[name] for name in trained if name.startswith((f"{first}.", block.format(1) + ".")))
    assert all(trained[name] for name in trained if name.startswith(f"{last}."))


Y = np.arange(8) % 2
TRAINED = np.random.default_rng(1).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)


def test_rates_fall_block_by_block():
    spec = picture_spec(network("class token"), "default", 0, Preprocessing(size=(32, 32)), "penultimate", 2)
    module = spec.build()
    plan = make_plan(
        module, spec, STRATEGIES["full"], freeze_until=None, learning_rate=1.0, layer_decay=0.5, weight_decay=0.0,
        l2_sp=0.0, freezes_bn=False, adapter=None, trains_body=True, seed=0,
    )  # fmt: skip
    rates = {id(p): group["lr"] for group in plan.groups for p in group["params"]}
    of = {name.removeprefix("network."): rates[id(p)] for name, p in module.named_parameters()}
    assert of["head.weight"] == 1.0
    for k, share in ((2, 1.0), (1, 0.5), (0, 0.25)):
        assert {of[n] for n in of if n.startswith(f"blocks.{k}.")} == {0.1 * share}
    assert of["patch_embed.proj.weight"] == of["cls_token"] == pytest.approx(0.1 * 0.125)


class Attention(nn.Module):
    """torch's own attention, whose weights of queries, keys and values are one parameter and no layer."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        z = self.patches(x).flatten(2).transpose(1, 2)
        z = z + self.attention(z, z, z, need_weights=False)[0]
        return self.head(z.mean(1))


@pytest.mark.parametrize("make", [lambda: network("registers"), lambda: network("rotary"), Attention])
def test_adapters_reach_attention(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = make().eval()
    x = as_tensor(PICTURES)
    with torch.no_grad():
        before = module(x)
        LoRA(rank=2).attach(module, lambda name: "attn" in name or name.startswith("attention"), 0)
        named = adapted_layers(module)
        torch.testing.assert_close(module(x), before)  # B = 0
        for name, parameter in module.named_parameters():
            if name.endswith(".0.B"):
                parameter.add_(0.1)
        changed = module(x)
        assert not torch.allclose(changed, before)
    if isinstance(module, Attention):
        assert set(named) == {"attention", "attention.out_proj"}
    else:
        assert {name.rpartition(".")[2] for name in named} >= {"qkv", "proj"}
        assert len(named) == 6
    module.requires_grad_(False)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name.endswith((".0.A", ".0.B")))
    module(x).square().sum().backward()
    assert all(p.grad is not None for n, p in module.named_parameters() if n.endswith((".0.A", ".0.B")))
    with torch.no_grad():
        torch.testing.assert_close(merge_adapters(module)(x), changed)
    assert not adapted_layers(module)


def test_a_transformer_with_adapters_is_trained_and_saved(tmp_path):
    model = FineTunedClassifier(
        network("class token"), adapter=LoRA(rank=2), strategy="full", image_size=32, max_epochs=1, random_state=0,
    ).fit(TRAINED, Y)  # fmt: skip
    model.save(tmp_path / "model")
    again = FineTunedClassifier.load(tmp_path / "model", backbone=network("class token"))
    np.testing.assert_allclose(again.predict_proba(TRAINED), model.predict_proba(TRAINED), atol=1e-6)


def meta_dinov3(state):
    """The layout of Meta's files: other names, and buffers that timm keeps no values of."""
    rename = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
    found = {}
    for name, value in state.items():
        for ours, theirs in rename.items():
            name = name.replace(ours, theirs)
        found[name] = value
        if name.endswith("qkv.weight"):
            found[name.replace("weight", "bias")] = torch.zeros(len(value))
            found[name.replace("weight", "bias_mask")] = torch.zeros(len(value))
    return found | {"mask_token": torch.zeros(1, 384), "rope_embed.periods": torch.ones(16)}


def meta_convnext(state):
    found = {}
    for name, value in state.items():
        parts = (
            name.replace("stem.", "downsample_layers.0.").replace("head.norm.", "norm.").replace("head.fc.", "head.")
        )
        parts = parts.replace("blocks.", "").replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        if ".downsample." in parts:
            _, stage, _, rest = parts.split(".", 3)
            parts = f"downsample_layers.{stage}.{rest}"
        is_linear = "pwconv" in parts and name.endswith("weight")  # timm's small ones have 1 x 1 convolutions there
        found[parts] = value.flatten(1) if is_linear else value
    return {"model": found}


LAYOUTS = {
    "timm": ("timm/vit_small_patch16_dinov3", "w.safetensors", dict, {"pooling": "token"}),
    "DINOv3": ("timm/vit_small_patch16_dinov3", "w.pth", meta_dinov3, {"pooling": "token"}),
    "ConvNeXt": ("timm/convnext_atto", "w.pth", meta_convnext, {}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_from_a_file_in_each_layout(layout, tmp_path, capsys):
    name, file, convert, settings = LAYOUTS[layout]
    wanted = load_backbone(name, None, seed=7).module
    state = convert({key: value.clone() for key, value in wanted.state_dict().items()})
    path = tmp_path / file
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save(state, path)
    found = codes_of(name, weights=path, **settings)
    expected = codes_of(name, weights=None, random_state=7, **settings)
    np.testing.assert_array_equal(found, expected)
    assert capsys.readouterr().out == ""


def test_of_two_towers_the_one_of_pictures(tmp_path):
    name = "timm/vit_wee_patch16_reg1_gap_256"
    wanted = load_backbone(name, None, seed=7).module
    towers = {f"visual.trunk.{key}": value.contiguous() for key, value in wanted.state_dict().items()}
    others = {"text.transformer.weight": torch.ones(3, 3), "logit_scale": torch.ones(1)}
    save_file({**towers, **others}, tmp_path / "w.safetensors")
    found = codes_of(name, weights=tmp_path / "w.safetensors")
    np.testing.assert_array_equal(found, codes_of(name, weights=None, random_state=7))


@pytest.mark.parametrize("damage", ["names of another library", "a tensor is missing", "NaN"])
def test_a_file_that_does_not_fit_is_refused(damage, tmp_path):
    name = "timm/convnext_atto"
    state = {key: value.clone() for key, value in load_backbone(name, None).module.state_dict().items()}
    if damage == "names of another library":
        state = {f"embeddings.{key}": value for key, value in state.items()}
    elif damage == "a tensor is missing":
        del state["head.norm.weight"]
    else:
        state["head.norm.weight"][0] = torch.nan
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"do not fit ConvNeXt.*(missing|NaN)"):
        load_backbone(name, tmp_path / "w.pth")
