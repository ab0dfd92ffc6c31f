"""Networks in pairs that differ in one hidden thing, and networks that two processes have to tell alike.

Each of `PAIRS` returns two networks of the same values, classes' names and text. Those that `differ` compute other
codes: that is asserted too, so that no pair is idle.
"""

import functools
import importlib
import sys
import types

import torch
from torch import nn


def body() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Network(nn.Module):
    """The body's codes, times what `scaled` makes of them."""

    def __init__(self):
        super().__init__()
        self.body = body()
        self.head = nn.utils.skip_init(nn.Linear, 4, 2)
        nn.init.constant_(self.head.weight, 0.5)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        return self.head(self.scaled(self.body(x)))

    def scaled(self, x):
        return x


def with_(change, *values):
    """Return a network for each value, changed by ``change(network, value)``."""
    made = []
    for value in values:
        network = Network()
        made.append(change(network, value) or network)
    return made


class Buffered(Network):
    def __init__(self, scale):
        super().__init__()
        self.register_buffer("factor", torch.tensor(scale), persistent=False)

    def scaled(self, x):
        return x * self.factor


class Hidden(Network):
    def __init__(self, scale):
        super().__init__()
        self._factor = scale

    def scaled(self, x):
        return x * self._factor


class Called(Network):
    """Scales by any callable, or container of them."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def scaled(self, x):
        held = self.function
        held = held[0] if isinstance(held, list) else held["key"] if isinstance(held, dict) else held
        return held(x)


class Slotted:
    __slots__ = ("factor",)

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return x * self.factor


class Dotted(Slotted):
    __slots__ = ()


class Callable:
    def __init__(self, factor):
        self._factor = factor

    def __call__(self, x):
        return x * self._factor


def times(factor, x):
    return x * factor


def closure(factor):
    return lambda x: x * factor


def local_class(factor):
    class Local(Network):
        def scaled(self, x):
            return x * factor

    return Local()


def class_attribute(factor):
    return type("Same", (Network,), {"factor": factor, "scaled": lambda self, x: x * self.factor})()


def linear(factor):
    layer = nn.utils.skip_init(nn.Linear, 4, 4, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(4) * factor)
    return layer


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self._factor = factor

    def forward(self, x):
        return x * self._factor


def hooked(network, factor):
    network.body.register_forward_hook(lambda module, inputs, output: output * factor)


def pre_hooked(network, factor):
    network.head.register_forward_pre_hook(functools.partial(lambda f, module, inputs: (inputs[0] * f,), factor))


def patched(network, factor):
    network.scaled = types.MethodType(lambda self, x: x * factor, network)


def parametrised(network, factor):
    nn.utils.parametrize.register_parametrization(network.head, "bias", Plus(factor))


class Plus(nn.Module):
    def __init__(self, number):
        super().__init__()
        self._number = number

    def forward(self, bias):
        return bias + self._number


SOURCE = """
import torch
from torch import nn
from network_pairs import Network
{top}
class FromFile(Network):
    def scaled(self, x):
        {line}
"""


def of_files(folder, one, two):
    """Return a network of each of two files, of which the same name is imported one after the other."""
    made = []
    for i, (top, line) in enumerate((one, two)):
        place = folder / str(i)
        place.mkdir()
        (place / "users_file.py").write_text(SOURCE.format(top=top, line=line))
        sys.path.insert(0, str(place))
        try:
            sys.modules.pop("users_file", None)
            importlib.invalidate_caches()
            made.append(importlib.import_module("users_file").FromFile())
        finally:
            sys.path.remove(str(place))
    return made


def of_lines(top_one, top_two, line):
    return lambda folder: of_files(folder, (top_one, line), (top_two, line))


PAIRS = {
    "non-persistent buffer": lambda _: [Buffered(1.0), Buffered(3.0)],
    "attribute with an underscore": lambda _: [Hidden(1.0), Hidden(3.0)],
    "closure": lambda _: [Called(closure(1.0)), Called(closure(3.0))],
    "default of a lambda": lambda _: [Called(lambda x, f=1.0: x * f), Called(lambda x, f=3.0: x * f)],
    "keyword default": lambda _: [Called(lambda x, *, f=1.0: x * f), Called(lambda x, *, f=3.0: x * f)],
    "partial": lambda _: [Called(functools.partial(times, f)) for f in (1.0, 3.0)],
    "object that is called": lambda _: [Called(Callable(f)) for f in (1.0, 3.0)],
    "slots": lambda _: [Called(Slotted(f)) for f in (1.0, 3.0)],
    "slots of a base": lambda _: [Called(Dotted(f)) for f in (1.0, 3.0)],
    "bound method": lambda _: [Called(Callable(f).__call__) for f in (1.0, 3.0)],
    "module in a list": lambda _: [Called([linear(f)]) for f in (1.0, 3.0)],
    "module in a dict": lambda _: [Called({"key": Times(f)}) for f in (1.0, 3.0)],
    "module in a closure": lambda _: [Called((lambda m: lambda x: m(x))(linear(f))) for f in (1.0, 3.0)],
    "class attribute": lambda _: [class_attribute(f) for f in (1.0, 3.0)],
    "local class": lambda _: [local_class(f) for f in (1.0, 3.0)],
    "forward hook": lambda _: with_(hooked, 1.0, 3.0),
    "forward pre-hook": lambda _: with_(pre_hooked, 1.0, 3.0),
    "patched method": lambda _: with_(patched, 1.0, 3.0),
    "parametrization": lambda _: with_(parametrised, 1.0, 3.0),
    "attribute of a layer": lambda _: with_(lambda n, v: setattr(n.body[1], "forward", v), torch.relu, torch.sigmoid),
    "global of the file": of_lines("F = 1.0", "F = 3.0", "return x * F"),
    "global tensor": of_lines("F = torch.tensor(1.0)", "F = torch.tensor(3.0)", "return x * F"),
    "global dict": of_lines("F = {'f': 1.0}", "F = {'f': 3.0}", "return x * F['f']"),
    "global object": of_lines(*[f"class C:\n    f = {f}\nF = C()" for f in (1.0, 3.0)], "return x * F.f"),
    "helper function": of_lines(*[f"def helper(x):\n    return x * {f}" for f in (1.0, 3.0)], "return helper(x)"),
    "helper of a helper": of_lines(
        *[f"def deep(x):\n    return x * {f}\ndef helper(x):\n    return deep(x)" for f in (1.0, 3.0)],
        "return helper(x)",
    ),
    "helper in a comprehension": of_lines(
        *[f"def helper(x):\n    return x * {f}" for f in (1.0, 3.0)], "return [helper(y) for y in (x,)][0]"
    ),
    "decorator": of_lines(
        *[f"def d(f):\n    return lambda *a: f(*a) * {f}\n@d\ndef helper(x):\n    return x" for f in (1.0, 3.0)],
        "return helper(x)",
    ),
    "another function of torch": of_lines(
        "from torch import relu as f", "from torch import sigmoid as f", "return f(x - 0.1)"
    ),
    "code alone": lambda folder: of_files(folder, ("", "return x * 1.0"), ("", "return x * 3.0")),
    "name read by name": of_lines("F = 1.0", "F = 3.0", "return x * globals()['F']"),
}  # fmt: skip


def same():
    """Return networks that another process has to find the same, by name."""
    tied = Network()
    tied.other = tied.head
    with torch.random.fork_rng(devices=[]):
        lstm = nn.LSTM(3, 4)
    for value in lstm.parameters():
        nn.init.constant_(value, 0.1)
    norm = nn.utils.parametrizations.weight_norm(linear(2.0))
    hook = Network()
    hooked(hook, 2.0)
    return {
        "user's": Network(), "buffer": Buffered(2.0), "hidden": Hidden(2.0), "closure": Called(closure(2.0)),
        "partial": Called(functools.partial(times, 2.0)), "object": Called(Callable(2.0)), "slots": Called(Dotted(2.0)),
        "list": Called([linear(2.0)]), "local class": local_class(2.0), "hook": hook, "tied": tied, "lstm": lstm,
        "set": Called({"b", "a", 3, (1, "c")}), "weight norm": norm, "parametrised": with_(parametrised, 2.0)[0],
        "generator": Called(torch.Generator().manual_seed(3)),
    }  # fmt: skip
