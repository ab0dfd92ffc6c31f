"""A grid over strategy, freeze point and learning rate: what running frozen layers once saves.

The same GridSearchCV, 3 folds and a last fit, over sktl with its store in memory, and over a plain skorch net that is
written to do the same: head only, the last layers, or the head first and then the last layers. The network
(MobileNetV2 in three parts), the pictures, epochs and batch size are the same, and no pictures are augmented. How many
pictures went through each part, forwards, is counted in both.

    python benchmarks/strategy_grid.py [--quick]
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections import Counter, OrderedDict
from typing import Any

import numpy as np
import torch
from _common import data_path, interleaved, machine, parser, print_table, ratio, write_results
from PIL import Image
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn
from torchvision import transforms
from torchvision.models import mobilenet_v2

from sktl import open_cache
from sktl.finetuning import FineTunedClassifier

AIM = 4.0
# Where the nineteen features of MobileNetV2 are cut. Deep cuts, as one freezes with few pictures, save most.
DEPTHS = {"deep": {"early": 14, "middle": 17}, "shallow": {"early": 7, "middle": 14}}
CUTS = dict(DEPTHS["deep"])
PARTS = ("early", "middle", "late")
SEEN: Counter = Counter()
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Part(nn.Sequential):
    """Layers that count the pictures they see; one alone is a look at the network's make."""

    def forward(self, x):
        """Count, and go on."""
        if len(x) > 1:
            SEEN[self.name] += len(x)
        return super().forward(x)


def network() -> nn.Sequential:
    """Return MobileNetV2 in three parts, with its classifier."""
    whole = mobilenet_v2()
    path = data_path("weights/mobilenet_v2-tf-ptq.pth")
    whole.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    ends = [0, *CUTS.values(), len(whole.features)]
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for name, start, end in zip(PARTS, ends, ends[1:]):
        parts[name] = Part(*whole.features[start:end])
        parts[name].name = name
    parts["pool"], parts["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    parts["classifier"] = whole.classifier[1]
    return nn.Sequential(parts)


class Grown(nn.Module):
    """What one writes for skorch: the network with a new classifier, frozen up to a part."""

    def __init__(self, freeze_until: str = "late", n_classes: int = 2):
        super().__init__()
        self.body = network()
        self.body.classifier = nn.Linear(self.body.classifier.in_features, n_classes)
        self.frozen = [] if freeze_until is None else list(PARTS[: PARTS.index(freeze_until) + 1])
        for name in self.frozen:
            self.body.get_submodule(name).requires_grad_(False)

    def train(self, mode: bool = True):
        """Keep the frozen parts in evaluation mode."""
        super().train(mode)
        for name in self.frozen:
            self.body.get_submodule(name).eval()
        return self

    def forward(self, x):
        """Return the logits."""
        return self.body(x)


class HeadFirst(Callback):
    """Keeps all but the classifier as it is in the first half of the epochs."""

    def __init__(self, is_on: bool = False):
        self.is_on = is_on

    def on_epoch_begin(self, net, **kwargs):
        """Freeze, or open, what the freeze point leaves."""
        opens = not self.is_on or len(net.history) > net.max_epochs // 2
        for name in PARTS:
            if name not in net.module_.frozen:
                net.module_.body.get_submodule(name).requires_grad_(opens)


def skorch_grid(args, X: np.ndarray, y: np.ndarray, cv) -> GridSearchCV:
    net = NeuralNetClassifier(
        Grown, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.AdamW, max_epochs=args.epochs, batch_size=32,
        train_split=None, iterator_train__shuffle=True, verbose=0, callbacks=[("head_first", HeadFirst())],
    )  # fmt: skip
    rates, cuts = args.rates, list(CUTS)
    points = [
        {"module__freeze_until": cuts, "lr": rates, "callbacks__head_first__is_on": [False, True]},
        {"module__freeze_until": ["late"], "lr": [1e-2]},
    ]
    return GridSearchCV(net, points, cv=cv, scoring="accuracy").fit(X, y)


def sktl_grid(args, X: np.ndarray, y: np.ndarray, cv) -> GridSearchCV:
    open_cache("memory").clear()
    model = FineTunedClassifier(
        network(), image_size=args.image_size, preprocessing={"crop_pct": 1.0}, max_epochs=args.epochs, batch_size=32,
        max_steps=10**9, augment=None, cache="memory", random_state=0, early_stopping=False,
    )  # fmt: skip
    points = [  # from shallow to deep: each goes on from what the one before has kept
        {"strategy": ["last", "lp-ft"], "freeze_until": list(CUTS), "learning_rate": args.rates},
        {"strategy": ["head"]},
    ]
    return GridSearchCV(model, points, cv=cv, scoring="accuracy").fit(X, y)


def pictures(n: int | None, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return hymenoptera's pictures at the network's size, as an array: decoding is not what is measured."""
    paths = sorted(data_path("hymenoptera").glob("*/*/*.jpg"))
    paths = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))[:n]]
    resize = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size)])
    X = np.stack([np.asarray(resize(Image.open(path).convert("RGB"))) for path in paths])
    return X, np.array([path.parent.name for path in paths])


def run(args) -> dict[str, Any]:
    X, names = pictures(args.pictures, args.image_size)
    y = np.unique(names, return_inverse=True)[1]
    normal = (X / 255.0 - np.array(MEAN)) / np.array(STD)
    normal = np.ascontiguousarray(normal.transpose(0, 3, 1, 2), dtype=np.float32)
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    seen: dict[str, dict] = {}
    scores: dict[str, float] = {}

    def counted(name: str, search) -> None:
        SEEN.clear()
        torch.manual_seed(0)
        found = search()
        seen[name] = {part: SEEN[part] for part in PARTS}
        scores[name] = round(float(found.best_score_), 4)
        print(f"{name}: best {found.best_params_}, accuracy {scores[name]}", flush=True)

    contenders = {
        "sktl": lambda: counted("sktl", lambda: sktl_grid(args, X, y, cv)),
        "skorch": lambda: counted("skorch", lambda: skorch_grid(args, normal, y, cv)),
    }
    seconds = interleaved(contenders, args.rounds)
    return {"n_pictures": len(X), "seconds": seconds, "seen": seen, "best_score": scores}


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--image-size", type=int, default=128, help="pixels a side (default: %(default)s)")
    options.add_argument("--epochs", type=int, default=5, help="of every training (default: %(default)s)")
    options.add_argument("--pictures", type=int, default=None, help="how many (default: all 397)")
    options.add_argument("--depths", nargs="+", choices=list(DEPTHS), default=list(DEPTHS), help="where layers are cut")
    args = options.parse_args()
    args.rates = [3e-4, 1e-3]
    if args.quick:
        args.image_size, args.epochs, args.pictures, args.rounds = 64, 2, 60, 1
    warnings.filterwarnings("ignore")
    described, start = machine(), time.perf_counter()
    results = {}
    for depth in args.depths:
        CUTS.update(DEPTHS[depth])
        results[depth] = run(args)
        report(depth, results[depth], args)
    settings = {name: getattr(args, name) for name in ("image_size", "epochs", "rates", "rounds")}
    content = {"machine": described, "settings": settings, "depths": DEPTHS, "points": n_points(args)}
    seconds = round(time.perf_counter() - start, 1)
    write_results("strategy_grid", {**content, "seconds_all": seconds, "results": results}, args)


def n_points(args) -> int:
    return 1 + 2 * len(CUTS) * len(args.rates)


def report(depth: str, found: dict[str, Any], args) -> None:
    print(f"\n{depth} cuts {CUTS}: {n_points(args)} points, 3 folds, {found['n_pictures']} pictures\n")
    rows = [
        [name, f"{statistics.median(found['seconds'][name]):.1f}", *found["seen"][name].values(),
         f"{found['best_score'][name]:.3f}"]
        for name in found["seconds"]
    ]  # fmt: skip
    print_table(["", "seconds", *(f"pictures through {part}" for part in PARTS), "best accuracy"], rows)
    found["times_as_fast"] = times = ratio(found["seconds"]["skorch"], found["seconds"]["sktl"])
    met = "met" if times["of_medians"] >= AIM else "NOT met"
    print(f"- sktl is {times['of_medians']:.1f}x as fast as skorch (aim {AIM:g}x): {met}")


if __name__ == "__main__":
    main()
