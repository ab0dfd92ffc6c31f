"""Layers: found, described, chosen, cut."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sktl.backbones import (
    LayerOutputs,
    cut_head,
    list_backbones,
    list_layers,
    load_backbone,
    parameter_groups,
    resolve_layers,
    split_at,
    trace_of,
)

FAMILIES = [
    "efficientnet_lite0",
    "resnet18",
    "squeezenet1_1",
    "densenet121",
    "swin_t",
    "timm/vit_tiny_patch16_224",
    "timm/convnext_atto",
]


def random_backbone(name):
    return load_backbone(name, "default" if name == "efficientnet_lite0" else None)


def size_of(name):
    """Small pictures, but for networks that take one size only."""
    return (224, 224) if "vit" in name else (64, 64)


def random_pictures(name="resnet18"):
    return torch.randn(2, 3, *size_of(name), generator=torch.Generator().manual_seed(0))


def test_table_of_a_network_known_by_heart():
    table = {row.name: row for row in list_layers("resnet18")}
    assert list(table) == [
        "relu",
        "layer1.0",
        "layer1",
        "layer2.0",
        "layer2",
        "layer3.0",
        "layer3",
        "layer4.0",
        "layer4",
    ]
    assert [table[f"layer{i}"].channels for i in (1, 2, 3, 4)] == [64, 128, 256, 512]
    assert [table[f"layer{i}"].resolution for i in (1, 2, 3, 4)] == [(56, 56), (28, 28), (14, 14), (7, 7)]
    assert table["layer4"].depth == 1.0
    assert [row.name for row in table.values() if row.is_stage] == ["relu", "layer1", "layer2", "layer3", "layer4"]
    text = repr(list_layers("resnet18"))
    assert "MACs share" in text
    assert len(text.splitlines()) == 10


def test_macs_agree_with_torchs_own_counter():
    backbone = random_backbone("resnet18")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone.module(torch.zeros(1, 3, 224, 224))
    total = counter.get_total_flops() / 2
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        LayerOutputs(backbone.module, ["layer2"])(torch.zeros(1, 3, 224, 224))
    share = next(row.macs_share for row in list_layers("resnet18") if row.name == "layer2")
    assert counter.get_total_flops() / 2 / total == pytest.approx(share, rel=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_penultimate_is_what_enters_the_classifier(name):
    backbone, pictures = random_backbone(name), random_pictures(name)
    trace = backbone.trace(size_of(name))
    head = backbone.module.get_submodule(trace.head)
    entered = []
    handle = head.register_forward_pre_hook(lambda module, args: entered.append(args[0]))
    with torch.no_grad():
        backbone.module(pictures)
        (output,) = LayerOutputs(backbone.module, ["penultimate"], heads=trace.heads)(pictures)
    handle.remove()
    assert torch.equal(output, entered[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_one_pass_gives_what_hooks_on_a_whole_pass_give(name):
    backbone, pictures = random_backbone(name), random_pictures(name)
    trace = backbone.trace(size_of(name))
    names = [row.name for row in trace.layers]
    expected = {}
    handles = [
        backbone.module.get_submodule(n).register_forward_hook(lambda m, a, out, n=n: expected.update({n: out.clone()}))
        for n in names
    ]
    with torch.no_grad():
        backbone.module(pictures)
        for handle in handles:
            handle.remove()
        for found, n in zip(LayerOutputs(backbone.module, names)(pictures), names):
            assert torch.equal(found, expected[n]), n


def test_an_early_layer_costs_its_prefix_only():
    backbone = random_backbone("resnet18")
    ran = []
    handles = [m.register_forward_pre_hook(lambda m, a, n=n: ran.append(n)) for n, m in backbone.module.named_modules()]
    LayerOutputs(backbone.module, ["relu", "layer1"])(torch.zeros(1, 3, 64, 64))
    for handle in handles:
        handle.remove()
    assert "layer1.1.bn2" in ran
    assert not [n for n in ran if n.startswith(("layer2", "layer3", "layer4", "fc"))]


@pytest.mark.parametrize("name", FAMILIES)
def test_split_in_two_is_the_whole(name):
    backbone, pictures = random_backbone(name), random_pictures(name)
    trace = backbone.trace(size_of(name))
    with torch.no_grad():
        expected = backbone.module(pictures)
        for row in (trace.layers[len(trace.layers) // 2], trace.layers[-1]):
            prefix, suffix = split_at(backbone.module, row.name, trace)
            torch.testing.assert_close(suffix(prefix(pictures)[0]), expected, rtol=1e-5, atol=1e-5)


def test_suffix_holds_and_trains_only_its_own_parameters():
    backbone = random_backbone("resnet18")
    _, suffix = split_at(backbone.module, "layer3", backbone.trace((224, 224)))
    names = {name.removeprefix("rest.") for name, _ in suffix.named_parameters()}
    assert names == {name for name, _ in backbone.module.named_parameters() if name.startswith(("layer4", "fc"))}
    suffix.requires_grad_(True).train()
    suffix(torch.randn(2, 256, 4, 4, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert all(p.grad is not None for p in suffix.parameters())
    assert all(p.grad is None for p in backbone.module.parameters())


class Bypass(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=1)
        self.c = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 2)
        self.again = nn.ReLU()

    def forward(self, x):
        a = self.again(self.a(x))
        return self.head((self.c(self.again(self.b(a))) + a).mean((2, 3)))


@pytest.fixture
def bypass():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Bypass().eval()


def test_a_layer_that_something_goes_round_is_no_cut(bypass):
    trace = trace_of(bypass, (16, 16))
    assert [row.name for row in trace.layers] == ["a"]
    with pytest.raises(ValueError, match="by another way too"):
        split_at(bypass, "b", trace)


class LateFusion(Bypass):
    def forward(self, x):
        return self.head((self.a(x) + self.again(x.repeat(1, 3, 1, 1)[:, :8])).mean((2, 3)))


def test_where_there_is_no_cut_before_the_head_the_head_is_no_layer():
    with torch.random.fork_rng(devices=[]):
        network = LateFusion().eval()
    trace = trace_of(network, (16, 16))
    assert [row.name for row in trace.layers] == ["a", "again"]  # the modules that are called once
    assert resolve_layers(1.0, trace) == ("a",)  # as deep as the other
    assert resolve_layers("penultimate", trace) == ("penultimate",)


def test_layers_by_name_fraction_and_word():
    trace = random_backbone("resnet18").trace((224, 224))
    assert resolve_layers("penultimate", trace) == ("penultimate",)
    assert resolve_layers("penultimate", trace, "max") == ("layer4",)
    assert resolve_layers(1.0, trace) == ("layer4",)
    assert resolve_layers(0.5, trace) == ("layer2",)
    assert resolve_layers(["layer1", 1.0, "penultimate"], trace) == ("layer1", "layer4", "penultimate")
    assert resolve_layers("all", trace) == ("relu", "layer1", "layer2", "layer3", "layer4")
    assert resolve_layers("layer2.0.conv1", trace) == ("layer2.0.conv1",)


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ("layer5", ValueError, "Did you mean 'layer"),
        (0.0, ValueError, r"\(0, 1\]"),
        (1.5, ValueError, r"\(0, 1\]"),
        ([], ValueError, "empty list"),
        (True, TypeError, "layers takes names"),
        (None, TypeError, "layers takes names"),
        ("", ValueError, "no layer ''"),
    ],
)
def test_layers_that_are_none(layers, error, message):
    with pytest.raises(error, match=message):
        resolve_layers(layers, random_backbone("resnet18").trace((224, 224)))


def test_a_layer_called_twice_has_no_one_output(bypass):
    with pytest.raises(ValueError, match="called 2 times"):
        resolve_layers("again", trace_of(bypass, (16, 16)))


def test_in_place_activations_do_not_overwrite_what_was_asked_for():
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)).eval()
        network[0].weight.copy_(torch.ones_like(network[0].weight))
        network[0].bias.fill_(-10)
        (output, _) = LayerOutputs(network, ["0", "1"])(torch.zeros(1, 3, 2, 2))
    assert (output == -10).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_parameter_is_in_one_group_in_order_of_depth(name):
    backbone = random_backbone(name)
    trace = backbone.trace(size_of(name))
    groups = parameter_groups(backbone.module, trace)
    names = [n for group in groups for n, _ in group.parameters]
    assert sorted(names) == sorted(n for n, _ in backbone.module.named_parameters())
    assert [group.depth for group in groups] == sorted(group.depth for group in groups)
    assert all(n.startswith(trace.head.split(".")[0]) for n, _ in groups[-1].parameters)


def test_cut_head_ends_in_the_penultimate_codes():
    backbone, pictures = random_backbone("resnet18"), random_pictures()
    headless = cut_head(backbone.module, backbone.trace((64, 64)))
    with torch.no_grad():
        (maps,) = LayerOutputs(backbone.module, ["layer4"])(pictures)
        torch.testing.assert_close(headless(pictures), maps.mean((2, 3)))
    assert isinstance(backbone.module.fc, nn.Linear)


def test_a_module_without_classifier_keeps_its_last_layer():
    parts = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3), *parts)
    trace = trace_of(network, (16, 16))
    assert trace.head is None
    assert trace.penultimate == "3"


def test_tracing_leaves_mode_and_gradients_as_they_were(bypass):
    bypass.train()
    bypass.a.weight.requires_grad_(False)
    before = [(p.requires_grad, p.grad) for p in bypass.parameters()]
    trace_of(bypass, (16, 16))
    assert bypass.training
    assert [(p.requires_grad, p.grad) for p in bypass.parameters()] == before
    assert not bypass._forward_hooks


def test_a_size_that_the_network_refuses_is_said():
    with pytest.raises(ValueError, match="does not take pictures of 100 x 100"):
        random_backbone("timm/vit_tiny_patch16_224").trace((100, 100))


def test_listing_of_backbones():
    assert list_backbones()[0] == "efficientnet_lite0"
    assert "resnet18" in list_backbones("resnet*")
    assert "timm/convnext_tiny" in list_backbones("timm/convnext_t")
    with pytest.raises(ValueError, match="Did you mean"):
        list_backbones("resnett18")
