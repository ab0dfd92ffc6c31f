"""Seconds of fine-tuning: sktl against fastai and a plain skorch net, for head-only, last-block and full.

The same network (MobileNetV2 with the same weights), pictures, random crops and flips, epochs and batch size in all
three; accuracy is measured on the same held-out pictures and has to agree within noise. Every contender does what its
users would write: fastai `fit_one_cycle` on frozen groups, or `fine_tune`; skorch a `NeuralNetClassifier` with
torchvision's transforms, AdamW and a one-cycle schedule. From files on a CPU, and where there is a GPU from pictures
held in memory too.

    pip install fastai            # or: pip install --target peers --no-deps fastai ..., and PYTHONPATH=peers
    python benchmarks/finetune_speed.py [--quick]
"""

from __future__ import annotations

import gc
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import data_path, interleaved, machine, parser, print_table, ratio, write_results
from PIL import Image
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torchvision import transforms
from torchvision.models import mobilenet_v2

from sktl.finetuning import FineTunedClassifier

AIMS = {"head": 5.0, "last": 2.0, "full": 1.2}
LAST_FROZEN = 13  # features of MobileNetV2 that stay as they are in "last": a depth of 0.73
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RATE = {"head": 3e-3, "last": 1e-3, "full": 1e-3}


def network(n_classes: int = 1000) -> nn.Module:
    """Return MobileNetV2 with the shared weights, and a classifier of `n_classes` (1000: its own)."""
    model = mobilenet_v2()
    path = data_path("weights/mobilenet_v2-tf-ptq.pth")
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    if n_classes != 1000:
        model.classifier[1] = nn.Linear(model.last_channel, n_classes)
    return model


def folder_of(name: str, n: int | None) -> tuple[list[str], np.ndarray]:
    paths = sorted(data_path(f"hymenoptera/{name}").glob("*/*.jpg"))
    paths = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))[:n]]
    return [str(path) for path in paths], np.array([path.parent.name for path in paths])


class Task:
    """Pictures, epochs and the rest that all contenders share."""

    def __init__(self, options, device: str, in_memory: bool):
        n = 48 if options.quick else options.pictures
        self.size, self.epochs, self.batch = options.image_size, options.epochs, 32
        self.device, self.workers = device, options.workers
        self.X, self.y = folder_of("train", n)
        self.X_test, self.y_test = folder_of("val", n)
        if in_memory:
            self.X, self.X_test = self.decoded(self.X), self.decoded(self.X_test)

    def decoded(self, paths: list[str]) -> np.ndarray:
        """Return pictures as an array, as wide as crops need."""
        wide = round(self.size / 0.875)
        resize = transforms.Compose([transforms.Resize(wide), transforms.CenterCrop(wide)])
        return np.stack([np.asarray(resize(Image.open(path).convert("RGB"))) for path in paths])


def of_sktl(task: Task, mode: str, **options: Any) -> float:
    model = FineTunedClassifier(
        "mobilenet_v2", weights=data_path("weights/mobilenet_v2-tf-ptq.pth"), strategy=mode,
        freeze_until=f"features.{LAST_FROZEN}" if mode == "last" else None, image_size=task.size,
        max_epochs=task.epochs, max_steps=10**9, batch_size=task.batch, learning_rate=RATE[mode], device=task.device,
        early_stopping=False, random_state=0, **options,
    )  # fmt: skip
    start = time.perf_counter()
    model.fit(task.X, task.y)
    seconds = time.perf_counter() - start
    task.accuracy = model.score(task.X_test, task.y_test)
    return seconds


class Pictures(torch.utils.data.Dataset):
    """What one writes for skorch: decode, transform, label."""

    def __init__(self, X, y, transform: Callable):
        self.X, self.y, self.transform = X, y, transform

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, i: int):
        picture = Image.fromarray(self.X[i]) if isinstance(self.X, np.ndarray) else Image.open(self.X[i]).convert("RGB")
        return self.transform(picture), int(self.y[i])


def of_skorch(task: Task, mode: str) -> float:
    finish = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    random = [transforms.RandomResizedCrop(task.size, scale=(0.35, 1)), transforms.RandomHorizontalFlip(), *finish]
    plain = [transforms.Resize(round(task.size / 0.875)), transforms.CenterCrop(task.size), *finish]
    classes, codes = np.unique(task.y, return_inverse=True)
    torch.manual_seed(0)
    start = time.perf_counter()
    model = network(len(classes))
    frozen = {"head": model.features, "last": model.features[: LAST_FROZEN + 1], "full": nn.Identity()}[mode]
    frozen.requires_grad_(False)
    n_steps = task.epochs * -(-len(codes) // task.batch)
    net = NeuralNetClassifier(
        model, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.AdamW, lr=RATE[mode], max_epochs=task.epochs,
        batch_size=task.batch, train_split=None, iterator_train__shuffle=True, verbose=0, device=task.device,
        iterator_train__num_workers=task.workers, iterator_valid__num_workers=task.workers,
        callbacks=[LRScheduler(OneCycleLR, max_lr=RATE[mode], total_steps=n_steps, step_every="batch")],
    )  # fmt: skip
    net.fit(Pictures(task.X, codes, transforms.Compose(random)), y=None)
    seconds = time.perf_counter() - start
    found = net.predict(Pictures(task.X_test, np.zeros(len(task.y_test)), transforms.Compose(plain)))
    task.accuracy = float(np.mean(classes[found] == task.y_test))
    return seconds


def of_fastai(task: Task, mode: str) -> float:
    from fastai.vision import all as fastai

    random = fastai.RandomResizedCrop(task.size, min_scale=0.35)
    names = dict(zip(map(id, task.X), task.y)) if isinstance(task.X, np.ndarray) else dict(zip(task.X, task.y))
    fastai.set_seed(0)
    start = time.perf_counter()
    if isinstance(task.X, np.ndarray):
        items = [(fastai.PILImage.create(picture), name) for picture, name in zip(task.X, task.y)]
        get_x, get_y = (lambda item: item[0]), (lambda item: item[1])
    else:
        items, get_x, get_y = list(task.X), (lambda path: Path(path)), (lambda path: names[path])
    block = fastai.DataBlock(
        blocks=(fastai.ImageBlock, fastai.CategoryBlock), get_x=get_x, get_y=get_y,
        splitter=lambda items: (list(range(len(items))), []), item_tfms=random,
        batch_tfms=[fastai.Flip(), fastai.Normalize.from_stats(MEAN, STD)],
    )  # fmt: skip
    loaders = block.dataloaders(items, bs=task.batch, num_workers=task.workers, device=torch.device(task.device))
    model = network(len(loaders.vocab))

    def groups(model: nn.Module) -> list:
        parts = (model.features[: LAST_FROZEN + 1], model.features[LAST_FROZEN + 1 :], model.classifier)
        return [fastai.params(part) for part in parts]

    learner = fastai.Learner(loaders, model, loss_func=fastai.CrossEntropyLossFlat(), splitter=groups)
    with learner.no_bar(), learner.no_logging():
        if mode == "full":
            learner.fine_tune(task.epochs - 1, base_lr=2 * RATE[mode], freeze_epochs=1)
        else:
            learner.freeze_to(-1 if mode == "head" else 1)
            learner.fit_one_cycle(task.epochs, RATE[mode])
    seconds = time.perf_counter() - start
    tested = list(task.X_test) if not isinstance(task.X_test, np.ndarray) else [
        (fastai.PILImage.create(picture), task.y[0]) for picture in task.X_test
    ]  # fmt: skip
    with learner.no_bar(), learner.no_logging():
        outputs, _ = learner.get_preds(dl=loaders.test_dl(tested, num_workers=task.workers))
    found = np.asarray(loaders.vocab)[outputs.argmax(1).numpy()]
    task.accuracy = float(np.mean(found == task.y_test))
    return seconds


CONTENDERS = {
    "sktl": of_sktl,
    "sktl bfloat16": partial(of_sktl, precision="bfloat16"),  # on CPUs with instructions for it
    "sktl progressive": partial(of_sktl, progressive_resizing=0.5),  # small pictures first
    "fastai": of_fastai,
    "skorch": of_skorch,
}


def run(options, device: str, in_memory: bool) -> dict:
    """Return seconds and accuracies of every contender, by mode."""
    results: dict = {}
    for mode in options.modes.split(","):
        names = [name for name in CONTENDERS if name in options.contenders.split(",")]
        if mode != "full":  # small pictures first are for whole networks
            names = [name for name in names if name != "sktl progressive"]
        task = Task(options, device, in_memory)
        accuracy: dict[str, list[float]] = {}

        def counted(name: str, task: Task = task, mode: str = mode, accuracy: dict = accuracy) -> float:
            gc.collect()
            seconds = CONTENDERS[name](task, mode)
            accuracy.setdefault(name, []).append(round(task.accuracy, 4))
            print(f"{device}, {mode}, {name}: {seconds:.1f} s, accuracy {task.accuracy:.3f}", flush=True)
            return seconds

        seconds = interleaved({name: partial(counted, name) for name in names}, 1 if options.quick else options.rounds)
        results[mode] = {
            "seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
            "accuracy": accuracy,
            "times_as_fast": {name: ratio(seconds[name], seconds["sktl"]) for name in names if name != "sktl"},
        }
        if "sktl progressive" in seconds:
            fast = seconds["sktl progressive"]
            results[mode]["progressive_times_as_fast"] = {
                name: ratio(seconds[name], fast) for name in names if name != "sktl progressive"
            }
    return results


def report(where: str, results: dict) -> None:
    print(f"\n{where}: seconds (accuracy)\n")
    rows = []
    for mode, cell in results.items():
        texts = {}
        for name, values in cell["seconds"].items():
            texts[name] = f"{statistics.median(values):.1f} ({statistics.mean(cell['accuracy'][name]):.3f})"
        times = [f"{r['of_medians']:.1f}x {name}" for name, r in cell["times_as_fast"].items()]
        rows.append([mode, *texts.values(), ", ".join(times)])
    print_table(["", *next(iter(results.values()))["seconds"], "sktl is as fast as"], rows)
    for mode, cell in results.items():
        for name, r in cell.get("progressive_times_as_fast", {}).items():
            print(f"- {mode}, small pictures first: {r['of_medians']:.1f}x as fast as {name}")
        for name, r in cell["times_as_fast"].items():
            if name.startswith("sktl"):
                continue
            met = "met" if r["of_medians"] >= AIMS[mode] else "NOT met"
            print(f"- {mode}: {r['of_medians']:.1f}x as fast as {name} (aim {AIMS[mode]:g}x): {met}")


def main() -> None:
    options = parser(__doc__, rounds=3)
    options.add_argument("--image-size", type=int, default=224, help="pixels a side (default: %(default)s)")
    options.add_argument("--epochs", type=int, default=10, help="of every training (default: %(default)s)")
    options.add_argument("--pictures", type=int, default=120, help="to train on, of 244 (default: %(default)s)")
    options.add_argument("--workers", type=int, default=0, help="of the peers' loaders (default: %(default)s)")
    options.add_argument("--modes", default="head,last,full")
    options.add_argument("--contenders", default="sktl,sktl progressive,fastai,skorch")
    args = options.parse_args()
    if args.quick:
        args.image_size, args.epochs = 64, 2
    warnings.filterwarnings("ignore")
    described, start = machine(), time.perf_counter()
    results = {"files, CPU": run(args, "cpu", in_memory=False)}
    if torch.cuda.is_available():
        results["memory, GPU"] = run(args, "cuda", in_memory=True)
    for where, cells in results.items():
        report(where, cells)
    settings = {name: getattr(args, name) for name in ("image_size", "epochs", "pictures", "workers", "rounds")}
    content = {"machine": described, "settings": settings, "seconds": round(time.perf_counter() - start, 1)}
    write_results("finetune_speed", {**content, "results": results}, args)


if __name__ == "__main__":
    main()
