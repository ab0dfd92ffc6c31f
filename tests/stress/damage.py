"""Damaged files: stores, checkpoints and saved models give a right answer, none, or one error that says what is wrong.

Half of the damage is done to bytes (bits flipped, ends cut, pieces swapped or put to zero), which digests have to see.
The other half is made up: JSON values and tensors are changed and the digest is made anew, as only malice does. Then an
answer may differ, but what is allocated is bounded, and whatever is wrong is a `WeightsError`.
"""

from __future__ import annotations

import contextlib
import copy
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback

import sktl
from sktl.cache import DiskCache
from sktl.exceptions import WeightsError
from sktl.fewshot import MAMLLearner, ProtoNetLearner
from sktl.training import decode_tensors, encode_tensors
from tests.stress._result import Result

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 5))
Y = np.arange(48) % 3
FEW = {"n_way": 3, "n_query": 2, "n_episodes": 3, "random_state": 0}
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 2**62, 10**12, 1e308, float("nan"), float("inf"), "", "x" * 300, [], {}, [[]], {"a": 1},
    {"array": ["<U2000000000", "a"]}, {"array": ["<f8", "a"]}, {"array": ["O", 1]}, {"tuple": [10**9, 10**9]},
    {"RowSpec": {}}, {"dict": 5}, "cuda:99",
)  # fmt: skip
DTYPES = (torch.int64, torch.bool, torch.float16, torch.complex64, torch.float64, torch.uint8, torch.bfloat16)


def run(count: int, seed: int) -> Result:
    """Damage `count` files: of saved models, of checkpoints and of stores, in turn."""
    result = Result("damage")
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models, trainings = _saved(Path(folder)), _interrupted(Path(folder))
        for case in range(count):
            where = f"seed {seed}, case {case}"
            kind = case % 4
            if kind < 2:
                name, (path, load, expected) = _pick(rng, models)
                result.count(_of_model(rng, path, load, expected, is_made_up=kind == 1, where=f"{where}, {name}"))
            elif kind == 2:
                name, training = _pick(rng, trainings)
                result.count(_of_checkpoint(rng, training, is_made_up=bool(case & 4), where=f"{where}, {name}"))
            else:
                result.count(_of_store(rng, Path(folder) / f"store{case}", where))
    return result


def _pick(rng: np.random.Generator, table: dict[str, Any]) -> tuple[str, Any]:
    name = list(table)[rng.integers(len(table))]
    return name, table[name]


# What is damaged.


def _saved(folder: Path) -> dict[str, tuple[Path, Callable[[Path], Any], np.ndarray]]:
    """Return, for each kind of model, a sound file, how it is read and used, and the answer."""
    words, months = np.array(["a", "bb", "c"])[Y], np.array(["2020-01", "2020-02", "2021-01"], "M8[M]")[Y]
    support = (X[::4], Y[::4])
    made: dict[str, tuple[Any, Callable[[Path], Any]]] = {
        "classifier": (
            sktl.FineTunedClassifier(max_epochs=1, random_state=0).fit(X, words),
            lambda path: sktl.FineTunedClassifier.load(path).predict_proba(X),
        ),
        "classifier of dates": (
            sktl.FineTunedClassifier(max_epochs=1, random_state=0).fit(X, months),
            lambda path: sktl.FineTunedClassifier.load(path).predict_proba(X),
        ),
        "regressor": (
            sktl.FineTunedRegressor(max_epochs=1, random_state=0).fit(X, X[:, :2]),
            lambda path: sktl.FineTunedRegressor.load(path).predict(X),
        ),
        "prototypical learner": (
            ProtoNetLearner(**FEW).fit(X, Y),
            lambda path: sktl.load(path).transform(X),
        ),
        "MAML": (
            MAMLLearner(**FEW).fit(X, Y),
            lambda path: (lambda learner: learner.logits(learner.adapt_to(*support), X))(sktl.load(path)),
        ),
    }  # fmt: skip
    learner = FrozenEstimator(made["prototypical learner"][0])
    made |= {
        "adapted classifier": (
            sktl.DomainAdaptedClassifier(max_epochs=1, steps_per_epoch=1, random_state=0).fit(X, Y - 3 * (Y > 1)),
            lambda path: sktl.DomainAdaptedClassifier.load(path).predict_proba(X),
        ),
        "prototypes": (
            sktl.ProtoNetClassifier(normalize="center-l2", transductive="bd_cspn").fit(X, words),
            lambda path: sktl.ProtoNetClassifier.load(path).predict_proba(X),
        ),
        "prototypes of a learner's codes": (
            sktl.ProtoNetClassifier(encoder=learner).fit(X, Y),
            lambda path: sktl.ProtoNetClassifier.load(path).predict_proba(X),
        ),
    }  # fmt: skip
    found = {}
    for name, (model, load) in made.items():
        path = folder / f"{name}.safetensors"
        model.save(path)
        found[name] = (path, load, np.asarray(load(path)))
    return found


def _interrupted(folder: Path) -> dict[str, tuple[dict[str, bytes], Callable[[Path], Any], np.ndarray]]:
    """Return, for each kind of training, the checkpoints of one that was stopped, how it goes on, and its outcome."""
    made: dict[str, Callable[[Any, Any], Any]] = {
        "fine-tuning": lambda place, stop: sktl.FineTunedClassifier(
            max_epochs=4, random_state=0, checkpoint_dir=place, callbacks=stop
        ).fit(X, Y).predict_proba(X),
        "meta-training": lambda place, stop: ProtoNetLearner(
            **{**FEW, "n_episodes": 300}, checkpoint_dir=place, callbacks=stop
        ).fit(X, Y).transform(X),
    }  # fmt: skip
    found = {}
    for name, train in made.items():
        place = folder / name
        with contextlib.suppress(InterruptedError):
            train(place, [_Stops()])
        files = {path.name: path.read_bytes() for path in place.glob("*.safetensors")}
        found[name] = (files, lambda where, train=train: train(where, None), train(None, None))
    return found


class _Stops(Callback):
    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            raise InterruptedError


# How it is damaged.


def _damaged(rng: np.random.Generator, content: bytes) -> bytes:
    data, way = bytearray(content), rng.integers(5)
    if way == 0:
        for place in rng.integers(0, len(data), rng.integers(1, 5)):
            data[place] ^= 1 << int(rng.integers(8))
    elif way == 1:
        del data[int(rng.integers(len(data))) :]
    elif way == 2:
        start = int(rng.integers(len(data)))
        data[start : start + 64] = bytes(len(data[start : start + 64]))
    elif way == 3:
        a, b = sorted(int(place) for place in rng.integers(0, len(data) - 16, 2))
        data[a : a + 16], data[b : b + 16] = data[b : b + 16], data[a : a + 16]
    else:
        end = len(data) - int.from_bytes(data[:8], "little")
        data[-int(rng.integers(1, max(2, end))) :] = b""
        data += bytes(len(content) - len(data))
    return bytes(data)


def _made_up(rng: np.random.Generator, content: bytes) -> tuple[bytes, bool]:
    """Change a value or a tensor and make the digest anew; also returns whether an answer must stay the same."""
    tensors, rest = decode_tensors(content)
    rest = copy.deepcopy(rest)
    if rng.integers(2) or not tensors:
        places = list(_places(rest))
        for _ in range(rng.integers(1, 3)):
            holder, key = places[rng.integers(len(places))]
            try:
                if rng.integers(4) == 0:
                    del holder[key]
                elif rng.integers(3) == 0:
                    other, another = places[rng.integers(len(places))]
                    holder[key] = copy.deepcopy(other[another])
                else:
                    holder[key] = copy.deepcopy(ODD[rng.integers(len(ODD))])
            except (LookupError, TypeError):  # its holder was changed before
                continue
        try:
            json.dumps(rest)
        except (ValueError, RecursionError):
            return content, True
    else:
        name = list(tensors)[rng.integers(len(tensors))]
        tensor, way = tensors[name], rng.integers(5)
        if way == 0:
            tensors[name] = tensor.to(DTYPES[rng.integers(len(DTYPES))])
        elif way == 1:
            tensors[name] = torch.zeros(tuple(rng.integers(0, 6, rng.integers(0, 4))), dtype=tensor.dtype)
        elif way == 2 and tensor.is_floating_point():
            tensors[name] = torch.full_like(tensor, float(rng.choice([np.nan, np.inf, -np.inf])))
        elif way == 3:
            del tensors[name]
        else:
            tensors[str(rng.integers(100))] = tensors.pop(name)
    return encode_tensors(tensors, rest), False


def _places(value: Any):
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


# What comes of it.


def _of_model(rng, path: Path, load, expected: np.ndarray, *, is_made_up: bool, where: str) -> str | None:
    content = path.read_bytes()
    damaged, stays = _made_up(rng, content) if is_made_up else (_damaged(rng, content), True)
    path.write_bytes(damaged)
    try:
        with _bounded():
            answer = np.asarray(load(path))
    except WeightsError as error:
        is_bounded = "memory" not in str(error) and "llocat" not in str(error)
        return None if str(path) in str(error) and is_bounded else f"{where}: no name, or memory asked for: {error}"
    except Exception as error:
        return f"{where}: {type(error).__name__}: {error}"
    finally:
        path.write_bytes(content)
    if stays and not (answer.shape == expected.shape and np.array_equal(answer, expected)):
        return f"{where}: another answer"
    return None


def _of_checkpoint(rng, training, *, is_made_up: bool, where: str) -> str | None:
    files, train, expected = training
    with tempfile.TemporaryDirectory() as name:
        place, last = Path(name), sorted(files)[-1]
        for file, content in files.items():
            if file != last:
                (place / file).write_bytes(content)
        if is_made_up:
            content, stays = _made_up(rng, files[last])
            last = f"{last.rpartition('-')[0]}-{xxhash.xxh3_64_hexdigest(content)}.safetensors"
        else:
            content, stays = _damaged(rng, files[last]), True
        (place / last).write_bytes(content)
        try:
            with _bounded():
                answer = train(place)
        except WeightsError as error:
            is_named = is_made_up and str(place) in str(error)
            return None if is_named else f"{where}: {error}"
        except Exception as error:
            return f"{where}: {type(error).__name__}: {error}"
    return None if not stays or np.array_equal(answer, expected) else f"{where}: another outcome"


def _of_store(rng, place: Path, where: str) -> str | None:
    values = [np.full(int(n), i, np.float32) for i, n in enumerate(rng.integers(1, 3000, 30))]
    keys = [f"key {i}".encode() for i in range(30)]
    DiskCache(place).put_many(keys, values)
    data = place / "v1" / "data.mdb"
    content = bytearray(data.read_bytes())
    used = len(bytes(content).rstrip(b"\0"))
    for page in rng.integers(0, max(1, used), rng.integers(1, 5)):
        length = int(rng.choice([1, 8, 64, 4096]))
        content[page : page + length] = rng.integers(0, 256, len(content[page : page + length]), np.uint8).tobytes()
    data.write_bytes(content[: int(rng.integers(len(content)))] if rng.integers(4) == 0 else content)
    try:
        store = DiskCache(place)
        found = store.get_or_compute(keys, lambda at: iter([(at, [values[i] for i in at])]))
    except Exception as error:
        return f"{where}, store: {type(error).__name__}: {error}"
    is_right = all(np.array_equal(a, b) for a, b in zip(found, values))
    return None if is_right else f"{where}, store: another value"


class _bounded:  # noqa: N801 - used like a function
    """Let tensors and arrays take 1 GiB at most for the time of a call, where the system can bound it."""

    def __enter__(self) -> None:
        try:
            import resource

            self._before = resource.getrlimit(resource.RLIMIT_AS)
            with open("/proc/self/statm") as file:
                taken = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (taken + 2**30, self._before[1]))
        except (ImportError, OSError, ValueError):
            self._before = None

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_AS, self._before)
