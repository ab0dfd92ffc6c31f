"""Codes named "penultimate" are what enters a network's own classifier, whatever the network does before it."""

import gc
import re
import warnings

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from sktl import CNNCodesTransformer
from sktl.backbones import cut_head, load_backbone, trace_of
from sktl.backbones._backbone import STORE
from sktl.finetuning._networks import picture_spec

FEW = [
    "densenet121",  # a functional ReLU
    "swin_t",
    "squeezenet1_1",  # the classifier is a convolution on maps
    "timm/convnext_atto",  # a norm after pooling
    "timm/poolformer_s12",
    "timm/edgenext_xx_small",
    "timm/nest_tiny_jx",
    "timm/davit_tiny",
    "timm/pvt_v2_b0",
    "timm/hgnetv2_b0",
    "timm/inception_next_atto",
    "timm/efficientvit_b0",
    "timm/vit_tiny_patch16_224",  # the class token
    "timm/crossvit_9_240",  # two branches, two heads
    "timm/deit_tiny_distilled_patch16_224",
]
TWO_HEADS_ON_ONE_TENSOR = ["levit_128s", "efficientformer_l1", "swiftformer_xs"]
TIMM_FAMILIES = [
    "beit_base_patch16_224",
    "halonet26t",
    "mobileone_s0",
    "cait_xxs24_224",
    "coat_tiny",
    "convit_tiny",
    "convmixer_1024_20_ks9_p14",
    "convnext_atto",
    "cpubone_nano",
    "crossvit_tiny_240",
    "csatv2_21m",
    "cs3darknet_s",
    "davit_tiny",
    "deit_tiny_patch16_224",
    "densenet121",
    "dla46_c",
    "dpn48b",
    "edgenext_small",
    "efficientformer_l1",
    "efficientformerv2_s0",
    "mobilenet_edgetpu_v2_xs",
    "efficientvim_m1",
    "efficientvit_b0",
    "efficientvit_m0",
    "fasternet_t0",
    "fastvit_t8",
    "focalnet_tiny_lrf",
    "gcvit_xxtiny",
    "ghostnet_050",
    "hardcorenas_a",
    "hgnet_tiny",
    "hiera_tiny_224",
    "hrnet_w18_small",
    "iformer_t",
    "inception_next_atto",
    "inception_resnet_v2",
    "inception_v3",
    "inception_v4",
    "lcnetv2_small",
    "levit_128s",
    "lowformer_b0",
    "mambaout_femto",
    "maxvit_pico_rw_256",
    "caformer_s18",
    "mixer_s32_224",
    "gmlp_ti16_224",
    "tf_mobilenetv3_small_minimal_100",
    "mobilevit_xxs",
    "mvitv2_tiny",
    "nest_tiny",
    "nextvit_small",
    "nf_regnet_b0",
    "pit_ti_224",
    "pvt_v2_b0",
    "rdnet_tiny",
    "regnetx_002",
    "repghostnet_050",
    "repvit_m0_9",
    "res2net50_26w_4s",
    "resnest14d",
    "resnet10t",
    "resnetv2_18",
    "rexnet_100",
    "selecsls42",
    "legacy_seresnet18",
    "sequencer2d_s",
    "shvit_s1",
    "skresnet18",
    "starnet_s050",
    "swiftformer_xs",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "swinv2_cr_tiny_224",
    "tiny_vit_5m_224",
    "tnt_s_patch16_224",
    "twins_svt_small",
    "vgg11",
    "visformer_tiny",
    "vit_relpos_small_patch16_224",
    "vit_tiny_r_s16_p8_224",
    "vitamin_small_224",
    "volo_d1_224",
    "ese_vovnet19b_slim",
    "legacy_xception",
    "xception41",
    "xcit_nano_12_p8_224",
]


PICTURES = np.random.default_rng(1).integers(0, 256, (3, 12, 12, 3), dtype=np.uint8)
AS_IS = {"crop_pct": 1.0, "mean": (0.0,) * 3, "std": (1.0,) * 3}


def own_classifiers(name, network):
    """Return what the architecture itself calls its classifiers, found without the library."""
    if name.startswith("timm/"):
        named = network.pretrained_cfg["classifier"]
        found = [network.get_submodule(part) for part in ((named,) if isinstance(named, str) else named)]
        return [head for part in found for head in (part if isinstance(part, nn.ModuleList) else [part])]
    if name.startswith("squeezenet"):
        return [network.classifier[1]]
    top = next(getattr(network, part) for part in ("fc", "classifier", "head", "heads") if hasattr(network, part))
    return [[part for part in top.modules() if isinstance(part, nn.Linear)][-1]]


def accepted_size(network, own):
    for side in (64, 96):
        try:
            with torch.no_grad():
                network(torch.zeros(1, 3, side, side))
            return side, side
        except Exception:
            continue
    return own


def check(name):
    backbone = load_backbone(name, None)
    size = accepted_size(backbone.module, (224, 224) if name == "vit_h_14" else backbone.preprocessing.size)
    pictures = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    as_is = {"crop_pct": 1.0, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    transformer = CNNCodesTransformer(name, weights=None, image_size=size, preprocessing=as_is, engine="torch")
    codes = transformer.fit_transform(pictures)
    entered = []
    for head in own_classifiers(name, backbone.module):
        head.register_forward_pre_hook(lambda module, args: entered.append(args[0]))
    try:
        with torch.no_grad():
            backbone.module((torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25)
    finally:
        for head in own_classifiers(name, backbone.module):
            head._forward_pre_hooks.clear()
            head._forward_pre_hooks_with_kwargs.clear()
    entered = [x for i, x in enumerate(entered) if not any(torch.equal(x, earlier) for earlier in entered[:i])]
    vectors = [x.flatten(1) for x in entered if x.ndim == 2 or x.shape[2:] == (1, 1)]
    expected = torch.cat(vectors or [x.mean((2, 3)) for x in entered], dim=1).numpy()
    # A random Visformer's values grow and cancel: plain float32 is 4e-5 off float64, the codes are 3e-5 off it.
    tolerance = 2e-4 if "visformer" in name else 1e-5
    np.testing.assert_allclose(codes, expected, rtol=0, atol=tolerance * max(1.0, np.abs(expected).max()))
    assert transformer.layers_ == ("penultimate",)


@pytest.mark.parametrize("name", FEW)
def test_codes_are_what_a_hook_on_the_classifier_sees(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [*torchvision.models.list_models(module=torchvision.models), *(f"timm/{n}" for n in TIMM_FAMILIES)],
)
def test_codes_of_every_family_are_what_a_hook_on_the_classifier_sees(name):
    try:
        check(name)
    finally:
        STORE.clear()
        gc.collect()


@pytest.mark.parametrize(
    "name", ["repvit_m0_9", *(pytest.param(name, marks=pytest.mark.slow) for name in TWO_HEADS_ON_ONE_TENSOR)]
)
def test_families_of_two_classifiers_on_one_tensor(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model(name).eval()
        for part in network.modules():
            if isinstance(part, nn.BatchNorm1d):  # each head has its own: their inputs are multiples of one another
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
    entered = []
    first = network.get_submodule(network.pretrained_cfg["classifier"][0])
    hook = first.register_forward_pre_hook(lambda module, args: entered.append(args[0].numpy()))
    side = 64 if name == "repvit_m0_9" else 224
    pictures = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    with torch.no_grad():
        network(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255)
    hook.remove()
    codes = CNNCodesTransformer(network, preprocessing=AS_IS, engine="torch", image_size=side).fit_transform(pictures)
    np.testing.assert_allclose(codes, entered[0], rtol=0, atol=1e-5 * np.abs(entered[0]).max())


class OnOneTensor(nn.Module):
    """Two classifiers on the same means, each computed anew and with a norm of its own, or on halves of them."""

    def __init__(self, halves):
        super().__init__()
        self.halves = halves
        self.body, self.norm, self.other_norm = body(), nn.BatchNorm1d(6), nn.BatchNorm1d(6)
        self.head, self.other = (nn.Linear(3 if halves else 6, 4) for _ in range(2))

    def forward(self, x):
        maps = self.body(x).relu()
        if self.halves:  # two tensors of one operation
            first, second = maps.mean((2, 3)).chunk(2, dim=1)
            return self.head(first) + self.other(second)
        return self.head(self.norm(maps.mean((2, 3)))) + self.other(self.other_norm(maps.mean((2, 3)) * 2))


@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("halves", [False, True])
def test_one_code_of_each_tensor_that_is_classified(halves, engine):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = OnOneTensor(halves).eval()
        network.other_norm.running_mean.normal_()
    codes = CNNCodesTransformer(network, image_size=12, preprocessing=AS_IS, engine=engine).fit_transform(PICTURES)
    with torch.no_grad():
        means = network.body(torch.from_numpy(PICTURES).permute(0, 3, 1, 2) / 255).relu().mean((2, 3))
        np.testing.assert_allclose(codes, means if halves else network.norm(means), atol=1e-5)


def body():
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6))


class FunctionalEnd(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = body(), nn.Linear(6, 4)

    def entering(self, x):
        return self.body(x).relu().amax((2, 3)).tanh()

    def forward(self, x):
        return self.head(self.entering(x)).log_softmax(1)


class TwoHeads(FunctionalEnd):
    def __init__(self):
        super().__init__()
        self.other = nn.Linear(6, 4)

    def forward(self, x):
        maps = self.body(x).relu()
        return (self.head(maps.mean((2, 3))) + self.other(maps.amax((2, 3)))) / 2

    def entering(self, x):
        maps = self.body(x).relu()
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)


class Answers(FunctionalEnd):
    def forward(self, x):
        z = self.entering(x)
        return {"logits": self.head(z), "features": z}


class Record:
    def __init__(self, logits):
        self.logits = logits


class AnswersByAttribute(FunctionalEnd):
    def forward(self, x):
        return Record(self.head(self.entering(x)))


class Frozen(FunctionalEnd):
    def forward(self, x):
        with torch.no_grad():
            z = self.entering(x)
        return self.head(z)


class Detached(FunctionalEnd):
    def forward(self, x):
        return self.head(self.entering(x).detach())


class OnlyLooks(FunctionalEnd):
    @torch.inference_mode()
    def forward(self, x):
        return self.head(self.entering(x))


class NoClassifier(FunctionalEnd):
    def __init__(self):
        super().__init__()
        del self.head

    def forward(self, x):
        return self.entering(x)


@pytest.fixture(
    params=[FunctionalEnd, TwoHeads, Answers, AnswersByAttribute, Frozen, Detached, OnlyLooks, NoClassifier]
)
def network(request):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = request.param().eval()
        network.body[1].running_mean.normal_()
        return network


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_whatever_stands_before_and_behind_the_classifier(network, engine):
    codes = CNNCodesTransformer(network, image_size=12, preprocessing=AS_IS, engine=engine).fit_transform(PICTURES)
    with torch.no_grad():
        expected = network.entering(torch.from_numpy(PICTURES).permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(codes, expected, atol=1e-5)


def test_a_network_without_its_classifier_returns_what_entered_it(network):
    x = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    headless = cut_head(network, trace_of(network, (12, 12)))
    with torch.no_grad():
        torch.testing.assert_close(headless(x), network.entering(x))
    assert not [name for name, _ in headless.named_parameters() if "head" in name or "other" in name]


@pytest.mark.parametrize("name", ["timm/convnext_atto", "densenet121", "timm/crossvit_9_240", "squeezenet1_1"])
def test_a_new_head_is_fed_as_the_old_one_was(name):
    backbone = load_backbone(name, None)
    size = backbone.preprocessing.size if "crossvit" in name else (64, 64)
    preprocessing = backbone.preprocessing.resized_to(size)
    built = picture_spec(name, None, 0, preprocessing, "penultimate", 3).build()
    pictures = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    whole = {"crop_pct": 1.0}
    codes = CNNCodesTransformer(name, weights=None, image_size=size, preprocessing=whole, engine="torch")
    with torch.no_grad():
        own = built.codes(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    np.testing.assert_allclose(own, codes.fit_transform(pictures), atol=2e-5)
    assert built.head.in_features == own.shape[1]


class TwoAnswers(FunctionalEnd):
    def forward(self, x):
        z = self.entering(x)
        return {"a": self.head(z), "b": z}


def test_where_the_classifier_cannot_be_found_it_is_said():
    with torch.random.fork_rng(devices=[]):
        network = TwoAnswers().eval()
    with pytest.raises(ValueError, match=re.escape("Name a layer: one of")):
        CNNCodesTransformer(network, image_size=12).fit(PICTURES)
    assert CNNCodesTransformer(network, image_size=12, layers="body").fit_transform(PICTURES).shape == (3, 6)


@pytest.mark.parametrize("kind", [Frozen, Detached, OnlyLooks])
def test_layers_of_a_network_that_holds_gradients_back(kind):
    with torch.random.fork_rng(devices=[]):
        plain, network = FunctionalEnd().eval(), kind().eval()
    assert trace_of(network, (12, 12)).layers == trace_of(plain, (12, 12)).layers


def test_pooling_asked_for_pools_the_deepest_layer():
    name = "timm/vit_tiny_patch16_224"
    pictures = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    found = {
        pooling: CNNCodesTransformer(name, weights=None, preprocessing=AS_IS, pooling=pooling).fit_transform(pictures)
        for pooling in ("auto", "token", "avg")
    }
    with torch.no_grad():
        tokens = load_backbone(name, None).module.forward_features(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(found["auto"], tokens[:, 0], atol=1e-4)
    np.testing.assert_allclose(found["token"], tokens[:, 0], atol=1e-4)
    np.testing.assert_allclose(found["avg"], tokens[:, 1:].mean(1), atol=1e-4)


def test_timm_networks_without_classifier_give_their_own_features():
    with torch.random.fork_rng(devices=[]):
        network = timm.create_model("convnext_atto", num_classes=0).eval()
    codes = CNNCodesTransformer(network, image_size=64, preprocessing={**AS_IS}, engine="torch").fit_transform(
        np.full((1, 64, 64, 3), 200, dtype=np.uint8)
    )
    with torch.no_grad():
        np.testing.assert_allclose(codes, network(torch.full((1, 3, 64, 64), 200 / 255)), atol=1e-5)


class FunctionalHead(FunctionalEnd):
    """The classifier is no module of its own."""

    def __init__(self):
        super().__init__()
        del self.head
        self.weight = nn.Parameter(torch.ones(4, 6))

    def forward(self, x):
        return nn.functional.linear(self.entering(x), self.weight)


class Refined(FunctionalEnd):
    """One classifier goes on from what another says."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        logits = self.head(self.entering(x))
        return logits + self.fc(logits)


class Repeated(FunctionalEnd):
    def forward(self, x):
        return self.head(self.entering(x)) + self.head(self.entering(x.flip(3)))


class FunctionalPrototypes(FunctionalHead):
    def forward(self, x):
        return -torch.cdist(self.entering(x), self.weight)


@pytest.mark.parametrize("kind", [FunctionalHead, FunctionalPrototypes, Refined, Repeated])
def test_a_networks_answers_never_pass_for_what_enters_its_classifier(kind):
    with torch.random.fork_rng(devices=[]):
        network = kind().eval()
    with pytest.raises(ValueError, match=r"Name a layer: one of|no layer that is called once"):
        CNNCodesTransformer(network, image_size=12).fit(PICTURES)


def test_a_quantised_classifier_is_one():
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.ao.quantization.quantize_dynamic(FunctionalEnd().eval(), {nn.Linear})
    codes = CNNCodesTransformer(network, image_size=12, preprocessing=AS_IS, engine="torch").fit_transform(PICTURES)
    with torch.no_grad():
        entering = network.entering(torch.from_numpy(PICTURES).permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(codes, entering, atol=1e-5)


def test_a_parametrised_classifier_is_one():
    with torch.random.fork_rng(devices=[]):
        network = FunctionalEnd().eval()
        nn.utils.parametrizations.weight_norm(network.head)
    assert trace_of(network, (12, 12)).heads == ("head",)


def test_segmentation_gives_the_mean_of_the_maps_that_are_classified():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
            weights=None, weights_backbone=None, num_classes=3
        ).eval()  # a dict of maps, by two classifiers: of fine and of coarse maps
    codes = CNNCodesTransformer(network, image_size=64, preprocessing=AS_IS, engine="torch").fit_transform(
        np.full((1, 64, 64, 3), 99, dtype=np.uint8)
    )
    entered = {}
    for name in ("low_classifier", "high_classifier"):
        head = network.classifier.get_submodule(name)
        head.register_forward_pre_hook(lambda module, args, name=name: entered.update({name: args[0].mean((2, 3))}))
    with torch.no_grad():
        network(torch.full((1, 3, 64, 64), 99 / 255))
    assert {tuple(part.shape[1:]) for part in entered.values()} == {(40,), (128,)}
    expected = torch.cat([entered["low_classifier"], entered["high_classifier"]], 1)
    np.testing.assert_allclose(codes, expected, atol=1e-5)
