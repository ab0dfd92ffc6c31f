"""A module that was looked through is known again at once, and any change to it is noticed."""

import gc
import time
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v3_small

from sktl.backbones import _fingerprint
from sktl.backbones._fingerprint import module_identity


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Sequential(nn.Dropout(0.5), nn.Conv2d(4, 4, 1))
        )
    module.register_buffer("hidden", torch.ones(2), persistent=False)
    module.settings = {"sizes": [1, 2], "pair": (1, [2])}
    return module.eval()


def set_data(module):
    module[0].weight.data = module[0].weight.data + 1


def write_through_numpy(module):
    module[0].weight.detach().numpy()[0, 0, 0, 0] += 1


def write_to_data(module):
    module[3][1].bias.data.add_(1)


def own_forward(self, x):
    return x * 2


CHANGES = {
    "a value": lambda m: nn.init.constant_(m[3][1].weight, 0.5),
    "a value's data": write_to_data,
    "other data": set_data,
    "a value through numpy": write_through_numpy,
    "another parameter": lambda m: setattr(m[0], "weight", nn.Parameter(m[0].weight.detach() + 1)),
    "a buffer": lambda m: m[1].running_mean.fill_(3),
    "a buffer that is not kept": lambda m: m.hidden.fill_(3),
    "a setting": lambda m: setattr(m[1], "eps", 0.1),
    "a setting's type": lambda m: setattr(m[3][0], "inplace", 0),
    "a stride": lambda m: setattr(m[0], "stride", (2, 2)),
    "a list in a dictionary": lambda m: m.settings["sizes"].append(3),
    "a list in a tuple": lambda m: m.settings["pair"][1].append(3),
    "a new attribute": lambda m: setattr(m[2], "extra", 1),
    "a layer": lambda m: m[3].__setitem__(0, nn.Tanh()),
    "one more layer": lambda m: m.append(nn.ReLU()),
    "a layer's class": lambda m: setattr(m[2], "__class__", nn.Tanh),
    "a hook": lambda m: m[2].register_forward_hook(lambda module, args, output: output + 1),
    "a hook before": lambda m: m.register_forward_pre_hook(lambda module, args: None),
    "a method": lambda m: setattr(m[2], "forward", lambda x: x),
    "an attribute of a tensor": lambda m: setattr(m[0].weight, "note", 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_noticed(change):
    module = network()
    before = module_identity(module)
    assert module_identity(module) is before
    assert id(module) in _fingerprint._noted
    CHANGES[change](module)
    after = module_identity(module)
    assert after.fingerprint != before.fingerprint
    _fingerprint._noted.clear()
    assert module_identity(module).seen == after.seen


def test_a_method_put_into_a_known_class_is_noticed(monkeypatch):
    module = network()
    before = module_identity(module)
    monkeypatch.setattr(nn.ReLU, "forward", own_forward)
    assert module_identity(module).fingerprint != before.fingerprint
    monkeypatch.undo()
    assert module_identity(module).fingerprint == before.fingerprint


def test_a_hook_on_all_modules_is_noticed():
    module = network()
    before = module_identity(module)
    handle = nn.modules.module.register_module_forward_hook(lambda module, args, output: output)
    try:
        assert module_identity(module).fingerprint != before.fingerprint
    finally:
        handle.remove()
    assert module_identity(module).fingerprint == before.fingerprint


def test_its_mode_and_gradients_do_not_count():
    module = network()
    before = module_identity(module)
    assert module_identity(module.train().requires_grad_(False)).fingerprint == before.fingerprint


class Own(nn.Module):
    factor = 1

    def forward(self, x):
        return x * self.factor


def test_a_class_of_the_users_is_looked_through_each_time(monkeypatch):
    module = nn.Sequential(nn.Dropout(), Own())
    before = module_identity(module)
    assert id(module) not in _fingerprint._noted
    monkeypatch.setattr(Own, "factor", 2)
    assert module_identity(module).fingerprint != before.fingerprint


def test_a_module_is_not_kept_alive():
    module = network()
    module_identity(module)
    number, parts = id(module), weakref.ref(module[0])
    module = weakref.ref(module)
    gc.collect()
    assert module() is None
    assert parts() is None
    assert number not in _fingerprint._noted


def test_knowing_it_again_takes_a_fraction_of_looking_through_it():
    with torch.random.fork_rng(devices=[]):
        module = mobilenet_v3_small()
    times = {"first": [], "again": []}
    for _ in range(5):
        _fingerprint._noted.clear()
        for name in times:
            start = time.process_time()
            module_identity(module)
            times[name].append(time.process_time() - start)
    assert np.median(times["again"]) < 0.5 * np.median(times["first"])
