"""Values that differ have other digests, or are not known at all; values that are equal have the same."""

import array
import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import functools
import importlib
import itertools
import operator
import pathlib
import pickle
import random
import re
import types
import weakref

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from skorch.callbacks import Callback, EarlyStopping, PrintLog
from torch import nn
from torchvision.transforms import v2

from sktl._identity import callbacks_that_matter, identify, key_of, key_of_object


@dataclasses.dataclass
class Config:
    number: float
    items: list = dataclasses.field(default_factory=list)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Pickled:
    """Its pickle says nothing."""

    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        return Pickled, (0,)


class Numbers(list):
    pass


class Named(collections.namedtuple("Named", "a b")):
    __slots__ = ()


class Word(str):
    __slots__ = ()


def closed(number):
    def outer():
        def inner():
            return number

        return inner

    return outer


def wrapped(number):
    @functools.wraps(closed)
    def wrapper():
        return number

    return wrapper


MAKERS = {
    "number": lambda n: n,
    "text": str,
    "zero's sign": lambda n: 0.0 if n == 1 else -0.0,
    "tuple": lambda n: (1, (n,)),
    "dataclass": Config,
    "items": lambda n: Config(1, [n]),
    "enumeration": Colour,
    "own pickle": Pickled,
    "list of its own": lambda n: Numbers([n]),
    "named tuple": lambda n: Named(n, 0),
    "text of its own": lambda n: Word(n),
    "set": lambda n: {n, "a", (n, None)},
    "order": lambda n: {n: 0, 3 - n: 0},
    "range": range,
    "slice": slice,
    "default factory": lambda n: collections.defaultdict([int, float][n - 1]),
    "deque": lambda n: collections.deque([n]),
    "counter": lambda n: collections.Counter("a" * n),
    "bytes": lambda n: bytearray([n]),
    "date": lambda n: datetime.date(n, 1, 1),
    "array": lambda n: array.array("f", [n]),
    "decimal": decimal.Decimal,
    "path": lambda n: pathlib.Path(str(n)),
    "pattern": lambda n: re.compile(str(n)),
    "iterator": itertools.count,
    "list iterator": lambda n: iter([n, 2]),
    "namespace": lambda n: types.SimpleNamespace(n=n),
    "getter": lambda n: operator.attrgetter(str(n)),
    "closure": closed,
    "wrapper": wrapped,
    "partial": lambda n: functools.partial(closed, n),
    "keywords": lambda n: functools.partial(closed, number=n),
    "cached": lambda n: functools.lru_cache(closed(n)),
    "reference": lambda n: HELD.setdefault(n, weakref.ref(KEPT[n])),
    "scalar": np.float32,
    "NumPy array": lambda n: np.full(2, n),
    "dtype": lambda n: np.dtype(["f4", "f8"][n - 1]),
    "objects": lambda n: np.array([n, "a"], dtype=object),
    "ufunc": lambda n: [np.add, np.multiply][n - 1],
    "generator": np.random.default_rng,
    "random state": np.random.RandomState,
    "Python's generator": random.Random,
    "tensor": lambda n: torch.full((2,), n),
    "half": lambda n: torch.full((2,), n).bfloat16(),
    "torch's function": lambda n: [torch.add, torch.mul][n - 1],
    "operator": lambda n: [torch.ops.aten.add, torch.ops.aten.mul][n - 1],
    "parameter": lambda n: nn.Parameter(torch.full((2,), float(n))),
    "generator of torch": lambda n: torch.Generator().manual_seed(n),
    "gradient's hook": lambda n: hooked(n),
    "estimator": lambda n: LogisticRegression(C=n),
    "transform": lambda n: v2.Compose([v2.RandomErasing(p=n / 4)]),
    "order of layers": lambda n: nn.Sequential(*[nn.ReLU(), nn.Tanh()][:: 3 - 2 * n]),
}
KEPT = {n: Config(n) for n in (1, 2)}
HELD: dict = {}


def hooked(number):
    tensor = torch.ones(1, requires_grad=True)
    tensor.register_hook(lambda gradient: gradient * number)
    return tensor


@pytest.mark.parametrize("what", MAKERS)
def test_values(what):
    make = MAKERS[what]
    one, again, other = identify(make(1)), identify(make(1)), identify(make(2))
    assert one.unknown == other.unknown == ()
    assert one == again
    assert one.digest != other.digest


def test_copies_and_pickles_are_the_same():
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.LSTM(2, 3), nn.MultiheadAttention(4, 2))
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), network.eval()):
        assert identify(other) == identify(network)


def test_shared_parts_are_not_equal_ones():
    part, twin = [1], [1]
    assert identify([part, part]) != identify([part, twin])


def test_cycles_end():
    one, other = [1], [2]
    one.append(one)
    other.append(other)
    assert identify(one) != identify(other)


class Reads:
    def by_name(self):
        return importlib.import_module("helpers").number

    def inside(self):
        import helpers

        return helpers.number

    def attribute(self):
        return getattr(network_like, "name")  # noqa: B009 - that is the test


network_like = types.ModuleType("network_like")


@pytest.mark.parametrize(
    "value",
    [
        Reads.by_name, Reads.inside, Reads.attribute, (i for i in ()), memoryview(b"a"), torch.eye(2).to_sparse(),
        nn.LazyLinear(2), torch.ones(1, device="meta"), network_like,
    ],
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", repr(value)),
)  # fmt: skip
def test_what_is_not_known(value):
    found = identify(value)
    assert found.unknown
    assert key_of(value) == f"{found.digest}{key_of_object(value)}"


def drops_at_random(x):
    return x if random.random() < np.random.rand() else torch.rand(1, generator=torch.default_generator)


def test_draws_from_global_generators_change_nobody():
    before, states = identify(drops_at_random), (random.getstate(), np.random.get_state(), torch.get_rng_state())
    try:
        drops_at_random(1)
        assert identify(drops_at_random) == before
        assert not before.unknown
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


class Raises:
    @property
    def __dict__(self):
        raise RuntimeError("no")


def test_objects_that_raise_are_not_known():
    assert identify([Raises()]).unknown == ("what raises RuntimeError",)


class Looks(Callback):
    def __init__(self):
        self.seen = []

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(net.history[-1]["train_loss"])
        print(len(net.history))


class Steps(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.module_.zero_grad()


class Hands(Callback):
    def on_epoch_end(self, net, **kwargs):
        print(net)


class Rewrites(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.history.clear()


class Takes(Callback):
    def on_batch_end(self, net, **kwargs):
        kwargs["batch"][0].zero_()


def test_callbacks_that_only_look_do_not_matter():
    assert callbacks_that_matter([Looks(), ("a name", Looks()), PrintLog()]) == []
    assert callbacks_that_matter(None) == []
    for callback in (Steps(), Hands(), Rewrites(), Takes(), EarlyStopping(), Looks, lambda net: None):
        assert len(callbacks_that_matter([callback])) == 1, callback
    patched = Looks()
    patched.on_epoch_end = lambda net, **kwargs: net.module_.zero_grad()
    assert len(callbacks_that_matter([patched])) == 1
