"""How many training steps a second, beside skada: the same network, batches and loss, on digits and on codes.

Aims: at least 3 times as many steps a second as skada on a LeNet, and at least 10 times as many on an MLP over codes,
on two CPU cores. Neither is reached, and two bounds say how near one could come: a LeNet's convolutions and an MLP's
matrix products, forwards and backwards with both domains in one pass and nothing else, and the plain loop of PyTorch,
which is fed batches of a tensor, has one pass for both domains, PyTorch's fused SGD, and records nothing.

Protocol: both train by their own `fit`, from the same data and initial network, by SGD, with the same rows of each
domain a batch and the same number of steps; seconds are those of the whole fit, so that what each does once an epoch
counts. Rounds are interleaved. Before that, both losses are computed on the same batch and must agree. skada's default
DANN is not right (its discriminator ends in a softmax over one logit, which has no gradient), so that it is given the
discriminator and reversed gradient of ours; its own is timed too. CDAN is timed for ours alone.

Run ``PYTHONPATH=<folder of skada> python benchmarks/adaptation_speed.py``, with skada and POT of the package index
installed in that folder; without them only our own steps are timed. `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import copy
import importlib.metadata
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from _common import data_path, interleaved, machine, parser, print_table, ratio, write_results
from torch import nn

from sktl.adaptation import DomainAdaptedClassifier
from sktl.adaptation.losses import (
    CDAN,
    CORAL,
    DANN,
    MCC,
    DomainLoss,
    class_confusion,
    coral,
    domain_loss,
    reverse_gradient,
)

try:
    import skada.deep as skada
    from skada.deep.losses import deepcoral_loss, mcc_loss
    from skada.deep.modules import DomainClassifier, GradientReversalLayer
except ImportError:
    skada = None

BATCH = 64
RATE = 0.01
LOSSES: dict[str, DomainLoss] = {"coral": CORAL(), "mcc": MCC(), "dann": DANN(n_hidden=100), "cdan": CDAN()}


def lenet() -> tuple[nn.Sequential, int]:
    """Return the convolutional extractor of the digits' literature, and its number of features."""
    convolutions = [nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.ReLU()]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(800, 256), nn.ReLU()), 256


def mlp(n_columns: int) -> tuple[nn.Sequential, int]:
    return nn.Sequential(nn.Linear(n_columns, 128), nn.ReLU()), 128


def digits(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return MNIST digits, source then target; the target is turned to a negative."""
    held = np.load(data_path("digits/mnist.npz"))
    X, y = held["x_train"][: 2 * n].copy(), held["y_train"][: 2 * n].astype(np.int64)
    X[n:] = 255 - X[n:]
    return X, y


def codes(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of 320 columns and ten classes, the target moved: what matters here is their size."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 2 * n)
    X = rng.normal(size=(2 * n, 320)).astype(np.float32) + rng.normal(size=(10, 320)).astype(np.float32)[y]
    X[n:] += 0.3
    return X, y


class Sigmoid(nn.Module):
    """The discriminator of `DANN` as skada wants it: reversed gradient before, a probability behind."""

    def __init__(self, discriminator: nn.Module):
        super().__init__()
        self.discriminator = discriminator

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the probabilities."""
        return torch.sigmoid(self.discriminator(GradientReversalLayer.apply(features, 1.0)))


class Whole(nn.Module):
    """Extractor and classifier in one, as skada wants them."""

    def __init__(self, extractor: nn.Module, n_features: int, is_pictures: bool):
        super().__init__()
        self.extractor = extractor
        self.classifier = nn.Linear(n_features, 10)
        self.is_pictures = is_pictures

    def forward(self, X: torch.Tensor, sample_weight: Any = None) -> torch.Tensor:
        """Return the logits."""
        return self.classifier(self.extractor(X))


def assert_same_losses() -> dict[str, float]:
    """Compute both libraries' losses on one batch; returns the largest differences."""
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randn(2, BATCH, 32, generator=generator)
    logits = torch.randn(2 * BATCH, 10, generator=generator) * 3
    state = DANN(n_hidden=16).build(32, 10, nn.Identity())
    probability = torch.sigmoid(state(torch.cat([source, target])))
    # skada adds the two domains' losses up and calls the source 0; ours are their mean.
    theirs = skada.DANNLoss()(1 - probability[:BATCH], 1 - probability[BATCH:])
    pairs = {
        "coral": (coral(source, target), deepcoral_loss(source, target)),
        "mcc": (class_confusion(logits), mcc_loss(logits, T=2)),
        "dann": (domain_loss(state(torch.cat([source, target])), BATCH), theirs / 2),
    }
    differences = {name: abs(float(a - b)) for name, (a, b) in pairs.items()}
    assert max(differences.values()) < 1e-4, differences
    return differences


def train_ours(
    extractor: nn.Module, loss: DomainLoss, X: Any, y: np.ndarray, n_epochs: int, device: str = "auto"
) -> float:
    """Return the seconds of a step."""
    marked = y.copy()
    marked[len(y) // 2 :] = -1
    model = DomainAdaptedClassifier(
        extractor, loss=loss, bottleneck=None, batch_norm="shared", batch_size=BATCH, max_epochs=n_epochs,
        learning_rate=RATE, schedule="constant", random_state=0, device=device,
    )  # fmt: skip
    start = time.perf_counter()
    model.fit(X, marked)
    seconds = time.perf_counter() - start
    return seconds / sum(row["train_batch_count"] for row in model.history_)


def train_plainly(
    extractor: nn.Module, n_features: int, name: str, X: np.ndarray, y: np.ndarray, n_epochs: int, device: str = "cpu"
) -> float:
    """Return the seconds of a step of the shortest loop that does the same."""
    n = len(y) // 2
    rows, labels = torch.from_numpy(X).to(device), torch.from_numpy(y).to(device)
    body, head = copy.deepcopy(extractor).to(device), nn.Linear(n_features, 10).to(device)
    state = LOSSES[name].build(n_features, 10, nn.Identity())
    state = None if state is None else state.to(device)
    parameters = [p for part in (body, head, state) if part is not None for p in part.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=RATE, momentum=0.9, nesterov=True, fused=True)
    start = time.perf_counter()
    for _ in range(n_epochs):
        of_source, of_target = torch.randperm(n), n + torch.randperm(n)
        for first in range(0, n - BATCH + 1, BATCH):
            chosen = torch.cat([of_source[first : first + BATCH], of_target[first : first + BATCH]])
            features = body(rows[chosen])
            logits = head(features)
            if name == "mcc":
                added = class_confusion(logits[BATCH:])
            elif name == "coral":
                added = coral(features[:BATCH], features[BATCH:])
            else:
                added = domain_loss(state(reverse_gradient(features, 1.0)), BATCH)
            loss = nn.functional.cross_entropy(logits[:BATCH], labels[chosen[:BATCH]]) + added
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    loss.item()  # a GPU is done then
    return (time.perf_counter() - start) / (n_epochs * (n // BATCH))


def products_alone(extractor: nn.Module, X: np.ndarray, n_steps: int) -> float:
    """Return the seconds that convolutions and matrix products of a step take, forwards and backwards."""
    calls = []
    handles = [
        part.register_forward_hook(
            lambda part, inputs, output: calls.append((part, inputs[0].detach(), output.detach()))
        )
        for part in extractor.modules()
        if isinstance(part, nn.Conv2d | nn.Linear)
    ]
    layout = {"memory_format": torch.channels_last} if X.ndim > 2 else {}
    extractor = copy.deepcopy(extractor).to(**layout)
    extractor(torch.from_numpy(X[: 2 * BATCH]).contiguous(**layout))
    for handle in handles:
        handle.remove()
    prepared = [(part, x.requires_grad_(i > 0), torch.randn_like(out)) for i, (part, x, out) in enumerate(calls)]
    start = time.perf_counter()
    for _ in range(n_steps):
        for part, x, gradient in prepared:
            part(x).backward(gradient)
    return (time.perf_counter() - start) / n_steps


def train_skada(make: Callable, X: np.ndarray, y: np.ndarray, n_epochs: int) -> float:
    n = len(y) // 2
    domain, marked = np.repeat([1, -2], n), y.copy()
    marked[n:] = -1
    net = make(
        iterator_train__batch_size=BATCH, batch_size=BATCH, max_epochs=n_epochs, train_split=None, verbose=0,
        optimizer=torch.optim.SGD, optimizer__momentum=0.9, optimizer__nesterov=True, lr=RATE,
        device="cuda" if torch.cuda.is_available() else "cpu",
    )  # fmt: skip
    start = time.perf_counter()
    net.fit(X, marked, sample_domain=domain)
    return (time.perf_counter() - start) / (n_epochs * (n // BATCH))


def skada_makers(name: str, whole: nn.Module, n_features: int) -> dict[str, Callable]:
    """Return skada's methods of that name, ready for their training options."""
    module = partial(copy.deepcopy, whole)
    if name == "coral":
        return {"skada": lambda **o: skada.DeepCoral(module(), "extractor", reg=100.0, **o)}
    if name == "mcc":
        return {"skada": lambda **o: skada.MCC(module(), "extractor", reg=1.0, T=2, **o)}
    if name == "dann":

        def repaired(**options: Any) -> Any:
            discriminator = Sigmoid(DANN(n_hidden=100).build(n_features, 10, nn.Identity()))
            return skada.DANN(module(), "extractor", reg=1.0, domain_classifier=discriminator, **options)

        own = partial(DomainClassifier, num_features=n_features)
        return {
            "skada": repaired,
            "skada, its own discriminator": lambda **o: skada.DANN(
                module(), "extractor", reg=1.0, domain_classifier=own(), **o
            ),
        }
    return {}


def scaled(X: np.ndarray) -> np.ndarray:
    """Return pictures as skada's network wants them."""
    return (X[:, None].astype(np.float32) / 255 - 0.5) / 0.5 if X.dtype == np.uint8 else X


def measure(setting: str, options: Any) -> dict[str, Any]:
    n = BATCH * (3 if options.quick else 20)
    n_epochs = 1 if options.quick else (2 if setting == "digits, LeNet" else 10)
    torch.manual_seed(0)
    X, y = digits(n) if setting == "digits, LeNet" else codes(n)
    extractor, n_features = lenet() if setting == "digits, LeNet" else mlp(X.shape[1])
    whole, prepared = Whole(extractor, n_features, X.ndim > 2), scaled(X)
    found: dict[str, Any] = {}
    for name, loss in LOSSES.items():
        contenders: dict[str, Callable[[], Any]] = {"sktl": partial(train_ours, extractor, loss, X, y, n_epochs)}
        if name != "cdan":
            contenders["plain loop"] = partial(train_plainly, extractor, n_features, name, prepared, y, n_epochs)
        if skada is not None:
            for label, make in skada_makers(name, whole, n_features).items():
                contenders[label] = partial(train_skada, make, prepared, y, n_epochs)
        seconds = interleaved(contenders, 1 if options.quick else options.rounds)
        found[name] = {
            label: {"steps_per_second": round(1 / float(np.median(values)), 1), "seconds_a_step": values}
            for label, values in seconds.items()
        }
        for label in seconds:
            if label != "sktl":
                found[name][label]["sktl_is_faster"] = ratio(seconds[label], seconds["sktl"])
    values = [products_alone(extractor, prepared, 20) for _ in range(5)]
    found["products alone"] = {
        "": {"steps_per_second": round(1 / float(np.median(values)), 1), "seconds_a_step": values}
    }
    return found


def report(results: dict[str, Any]) -> None:
    rows = []
    for setting, losses in results.items():
        for name, contenders in losses.items():
            for label, cell in contenders.items():
                faster = cell.get("sktl_is_faster", {}).get("of_medians")
                rows.append([setting, name, label, cell["steps_per_second"], faster and f"{faster:.1f}x"])
    print_table(["setting", "loss", "library", "steps/s", "sktl is faster by"], rows)


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--threads", type=int, default=None, help="torch's threads (default: torch's own choice)")
    args = options.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore")
    described = machine()
    same = {}
    if skada is None:
        print("skada is not installed; only our own steps are timed.\n")
    else:
        described["versions"]["skada"] = importlib.metadata.version("skada")
        same = assert_same_losses()
    results = {setting: measure(setting, args) for setting in ("digits, LeNet", "codes, MLP")}
    report(results)
    content = {"machine": described, "batch_size": BATCH, "differences_of_losses": same, "results": results}
    write_results("adaptation_speed", content, args)


if __name__ == "__main__":
    main()
