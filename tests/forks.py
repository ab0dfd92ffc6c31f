"""Fork with every estimator fitted, while a thread computes, and after OpenVINO was built; prints what goes wrong.

Arguments: parts of names, to try only those.
"""

import importlib
import inspect
import sys
import threading
import time
import warnings

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

import sktl
from sktl.adaptation import GradualAdaptedClassifier, PerDomainClassifier, TestTimeAdaptedClassifier
from sktl.fewshot import FewShotClassifier, MAMLLearner
from sktl.fewshot.meta_training._fitted_method import FittedMethod
from sktl.reweighting import ReweightedClassifier, ReweightedRegressor
from tests.children import ENDED, LIMIT, outcome_in_child

FOLDERS = (
    "sktl",
    "sktl.adaptation",
    "sktl.aligners",
    "sktl.features",
    "sktl.fewshot",
    "sktl.finetuning",
    "sktl.reweighting",
    "sktl.safety",
)
N_FORKS = 3
LIGHT = {
    "max_epochs": 2, "n_episodes": 4, "meta_batch_size": 2, "n_way": 2, "n_shot": 1, "n_query": 1, "random_state": 0,
}  # fmt: skip
RNG = np.random.default_rng(0)
ROWS, LABELS = RNG.normal(size=(40, 6)), np.arange(40) % 4
MARKED = np.where(np.arange(40) % 2, LABELS, -1)
PICTURES = RNG.integers(0, 255, (40, 32, 32, 3), dtype=np.uint8)


class ForkFailedError(Exception):
    """A child did not do what its parent does."""


def in_child(work) -> None:
    """Run `work` in a forked child; raise if it fails or hangs there."""
    outcome = outcome_in_child(lambda: (work(), True)[1])
    if outcome != ENDED:
        raise ForkFailedError(f"{outcome} in the child")


def network():
    layers = [nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8, 4))


def kinds() -> list:
    found: dict = {}
    for folder in FOLDERS:
        module = importlib.import_module(folder)
        for kind in (getattr(module, name) for name in module.__all__):
            if inspect.isclass(kind) and hasattr(kind, "fit") and not inspect.isabstract(kind):
                found[kind] = None
    return list(found)


def made(kind):
    known = inspect.signature(kind.__init__).parameters
    given = {name: value for name, value in LIGHT.items() if name in known}
    if kind in (ReweightedClassifier, ReweightedRegressor):
        given["estimator"] = LogisticRegression() if kind is ReweightedClassifier else Ridge()
    elif "estimator" in known:
        given["estimator"] = sktl.DomainAdaptedClassifier(max_epochs=2, random_state=0)
        if kind is not GradualAdaptedClassifier:
            given["estimator"].fit(ROWS, MARKED)
        if kind is PerDomainClassifier:
            given["estimator"] = TestTimeAdaptedClassifier(given["estimator"])
    if kind is sktl.CNNCodesTransformer:
        given |= {"backbone": network(), "image_size": 32, "engine": "torch", "cache": None}
    return kind(**given)


def data_of(kind):
    if kind is sktl.TextCodesTransformer:
        return [f"text {i}" for i in range(40)], LABELS
    X = PICTURES if kind is sktl.CNNCodesTransformer else ROWS
    if kind is ReweightedRegressor:
        return X, np.where(np.arange(40) % 2, ROWS[:, 0], np.nan)
    adapts = ("adaptation", "aligners", "reweighting", "safety", "_source_selector")
    return X, MARKED if any(part in kind.__module__ for part in adapts) else LABELS


def output(fitted, X):
    if isinstance(fitted, sktl.TransferAdvisor):
        return fitted.ranking_.select_dtypes("number").to_numpy()
    for name in ("transform", "predict_proba", "predict"):
        if hasattr(fitted, name):
            return getattr(fitted, name)(X)
    learned = next(value for value in vars(fitted).values() if isinstance(value, FittedMethod))
    module = learned.module(torch.device("cpu"))
    return np.concatenate([value.detach().numpy().ravel() for value in module.state_dict().values()])


def agrees(fitted, X, expected) -> None:
    np.testing.assert_allclose(output(fitted, X), expected, rtol=1e-3, atol=1e-4)


def each_kind(kind) -> None:
    """Predict in a child what was fitted in the parent, and fit in a child."""
    X, y = data_of(kind)
    fitted = made(kind).fit(X, y)
    expected = output(fitted, X)
    in_child(lambda: agrees(fitted, X, expected))
    in_child(lambda: output(made(kind).fit(X, y), X))


def while_a_thread_does(work, check) -> None:
    ended = threading.Event()
    begun = threading.Event()

    def again():
        while not ended.is_set():
            work()
            begun.set()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        begun.wait(LIMIT)
        for i in range(N_FORKS):
            time.sleep(0.003 * i)
            in_child(check)
    finally:
        ended.set()
        thread.join()


def predicting_thread(estimator, X, y) -> None:
    fitted = estimator.fit(X, y)
    expected = output(fitted, X)
    while_a_thread_does(lambda: output(fitted, X), lambda: agrees(fitted, X, expected))


def fitting_thread(estimator, X, y) -> None:
    expected = output(estimator.fit(X, y), X)
    others = [type(estimator)(**estimator.get_params(deep=False)) for _ in range(2)]
    while_a_thread_does(lambda: others[0].fit(X, y), lambda: agrees(others[1].fit(X, y), X, expected))


def loading_thread() -> None:
    def load():
        for seed in range(3):
            sktl.list_layers("resnet18", image_size=32)
            sktl.backbones.load_backbone("resnet18", None, seed=seed)
            sktl.backbones._backbone.STORE.clear()

    while_a_thread_does(load, lambda: sktl.list_layers("resnet18", image_size=32))


def after_openvino() -> None:
    options = {"image_size": 32, "cache": None}
    compiled = sktl.CNNCodesTransformer(network(), engine="openvino", **options).fit(PICTURES)
    expected = compiled.transform(PICTURES)
    engines = [engine.name for engine in sktl.backbones._engines.built_engines().values()]
    assert "openvino" in engines
    automatic = sktl.CNNCodesTransformer(compiled.backbone, **options).fit(PICTURES)
    in_child(lambda: agrees(automatic, PICTURES, expected))  # without a warning
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        in_child(lambda: agrees(compiled, PICTURES, expected))
    agrees(compiled, PICTURES, expected)


def cases() -> dict:
    net, maml = network(), made(MAMLLearner)
    codes = sktl.CNNCodesTransformer(net, image_size=32, engine="torch", cache=None)
    tuned = sktl.FineTunedClassifier(max_epochs=2, random_state=0)
    test_time = TestTimeAdaptedClassifier(sktl.DomainAdaptedClassifier(max_epochs=2, random_state=0).fit(ROWS, MARKED))
    few = FewShotClassifier(FrozenEstimator(made(MAMLLearner).set_params(n_way=4).fit(ROWS, LABELS)))
    found = {kind.__name__: lambda kind=kind: each_kind(kind) for kind in kinds()}
    found["codes while a thread takes codes"] = lambda: predicting_thread(codes, PICTURES, LABELS)
    found["prediction while a thread predicts"] = lambda: predicting_thread(tuned, ROWS, LABELS)
    found["adapted prediction while a thread predicts"] = lambda: predicting_thread(test_time, ROWS, MARKED)
    found["few-shot prediction while a thread predicts"] = lambda: predicting_thread(few, ROWS, LABELS)
    found["fit while a thread fits"] = lambda: fitting_thread(tuned, ROWS, LABELS)
    found["learning while a thread learns"] = lambda: fitting_thread(maml, ROWS, LABELS)
    found["loading while a thread loads"] = loading_thread
    if importlib.util.find_spec("openvino") is not None:
        found["OpenVINO"] = after_openvino  # last: all children of this process are without it afterwards
    return found


def main(wanted) -> None:
    warnings.simplefilter("error", sktl.exceptions.EngineWarning)
    warnings.filterwarnings("ignore", "No row is unlabelled")
    torch.set_num_threads(2)
    torch.randn(10**6).exp()  # starts OpenMP's threads, which no child has
    n_tried = 0
    for name, case in cases().items():
        if wanted and not any(part in name for part in wanted):
            continue
        start = time.perf_counter()
        n_tried += 1
        try:
            case()
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {str(error).strip()[:200]}", flush=True)
        if wanted:
            print(f"  {name} {time.perf_counter() - start:.1f} s", flush=True)
    print(f"tried {n_tried}")


if __name__ == "__main__":
    main(sys.argv[1:])
