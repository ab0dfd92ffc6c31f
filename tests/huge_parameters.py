"""Give every whole-number parameter of every public object a huge value, within 3 GB of memory; prints what breaks.

Arguments: the values, by default 10**9 and 10**12; -v prints all.
"""

import importlib
import inspect
import resource
import sys
import time
import warnings
from numbers import Integral

import numpy as np
import psutil
import torch
from sklearn.utils._param_validation import Interval
from skorch.callbacks import Callback

FOLDERS = (
    "sktl", "sktl.adaptation", "sktl.adaptation.losses", "sktl.fewshot", "sktl.fewshot.transductive", "sktl.finetuning",
)  # fmt: skip
LIMIT, SECONDS = 3 * 2**30, 10
LIGHT = {
    "max_epochs": 1,
    "n_episodes": 4,
    "meta_batch_size": 2,
    "n_way": 2,
    "n_shot": 1,
    "n_query": 1,
    "n_candidates": 2,
}
RNG = np.random.default_rng(0)
ROWS, LABELS = RNG.normal(size=(24, 6)), np.arange(24) % 3
MARKED = np.where(np.arange(24) < 12, LABELS, -1)
DOMAINS = np.repeat(["a", "b", "t"], [6, 6, 12])
PICTURES = RNG.integers(0, 255, (24, 16, 16, 3), dtype=np.uint8)


class StopAtOnce(Callback):
    """What ends a training that was asked to be long."""

    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def found() -> dict:
    """Return the public classes with such parameters, and these."""
    parameters = {}
    for folder in FOLDERS:
        module = importlib.import_module(folder)
        for kind in (getattr(module, name) for name in module.__all__):
            table = getattr(kind, "_parameter_constraints", None)
            if inspect.isclass(kind) and table and not inspect.isabstract(kind):
                known = inspect.signature(kind.__init__).parameters
                numbers = [n for n, rule in table.items() if n in known and n != "random_state" and is_whole(rule)]
                parameters[kind] = numbers
    return parameters


def is_whole(rule) -> bool:
    return isinstance(rule, list) and any(
        part is Integral or (isinstance(part, Interval) and part.type is Integral) for part in rule
    )


def made(kind, **params):
    import sktl

    known = inspect.signature(kind.__init__).parameters
    given = {name: value for name, value in LIGHT.items() if name in known}
    given |= {"callbacks": [StopAtOnce()]} if "callbacks" in known else {}
    given |= {"random_state": 0} if "random_state" in known else {}
    given |= {"steps_per_epoch": 2} if "steps_per_epoch" in known else {}
    if "estimator" in known:
        given["estimator"] = sktl.DomainAdaptedClassifier(max_epochs=1)
    if "learner" in known:
        given["learner"] = sktl.fewshot.ProtoNetLearner(**{k: v for k, v in LIGHT.items() if k != "max_epochs"})
    if "order" in known and "cg_steps" in params:
        given["order"] = "implicit"
    return kind(**{**given, **params})


def tried(kind, name: str, value: int) -> None:
    import sktl
    from sktl.adaptation.losses import DomainLoss
    from sktl.finetuning import LoRA

    obj = made(kind, **{name: value})
    pictures = name in ("image_size", "n_jobs", "batch_size") and hasattr(obj, "image_size")
    X = PICTURES if pictures else ROWS
    if isinstance(obj, DomainLoss):
        sktl.DomainAdaptedClassifier(loss=obj, max_epochs=1).fit(ROWS, MARKED, sample_domain=DOMAINS)
    elif isinstance(obj, LoRA):
        sktl.FineTunedClassifier(adapter=obj, max_epochs=1).fit(ROWS, LABELS)
    elif kind.__name__ == "TextCodesTransformer":
        obj.fit_transform(["a film", "a book or two"])
    elif not hasattr(obj, "fit"):
        sktl.ProtoNetClassifier(transductive=obj).fit(ROWS[:9], LABELS[:9]).predict(ROWS)
    elif "backbone" in inspect.signature(kind.__init__).parameters:
        options = {"image_size": 32} if pictures and name != "image_size" else {}
        options |= {"strategy": "head"} if pictures and hasattr(obj, "strategy") else {}
        if pictures and name != "image_size" and hasattr(obj, "bottleneck"):
            return  # its pictures are trained on, which is slow, in batches that rows have too
        obj.set_params(**options).fit(X, MARKED if hasattr(obj, "bottleneck") else LABELS)
        getattr(obj, "predict", getattr(obj, "transform", None))(X)
    else:
        if pictures and name != "image_size":
            obj.set_params(image_size=32)
        obj.fit(X, MARKED if hasattr(obj, "estimator") else LABELS)


def main(values) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    parameters = found()
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + LIMIT,) * 2)
    n_tried = 0
    for kind, names in parameters.items():
        for name in names:
            if name == "steps_per_epoch":  # batches are made as they are used; the epoch has its length
                continue
            if name == "n_episodes" and "-v" not in sys.argv and kind.__name__ != "ProtoNetLearner":
                continue  # one stands for all: they share the loop
            for value in values:
                start, outcome = time.perf_counter(), "works"
                try:
                    tried(kind, name, value)
                except (ValueError, TypeError) as error:
                    outcome = f"refused: {error}"
                except BaseException as error:
                    outcome = f"BROKEN by {type(error).__name__}: {error}"
                took = time.perf_counter() - start
                n_tried += 1
                if outcome.startswith("BROKEN") or took > SECONDS or "-v" in sys.argv:
                    print(f"{kind.__name__}({name}={value}) {outcome.splitlines()[0][:150]}, {took:.1f} s", flush=True)
    print(f"tried {n_tried}")


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:] if argument != "-v"] or [10**9, 10**12])
