"""Every figure of the library on a GPU, in one call: each row has a time limit, and a second call does what is left.

- extraction: pictures a second from memory, beside the plain loop, a tuned one (bfloat16, channels last, batches of
  256), and what the device's matrix products and its memory allow, both measured in the same run;
- fine-tuning: all layers of a ResNet-18 from pictures in memory, beside a plain loop in bfloat16 and channels last;
- adaptation: steps a second beside a plain loop, on digits' LeNet and on an MLP over codes;
- meta-training: updates a second of MAML and prototypical networks;
- Omniglot: the trainings whose published number of episodes takes a GPU. They write checkpoints beside the results, so
  that each call goes on where the last one stopped.

    python benchmarks/on_gpu.py [--rows resnet50 ...] [--limit 120] [--resume]
    python benchmarks/on_gpu.py --device cpu --quick     # that it works, on any machine

`SKTL_DATA` names the folder of the data; rows whose data are not there are left out, and the results say so.
"""

from __future__ import annotations

import argparse
import statistics
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import adaptation_speed
import extraction
import meta_speed
import numpy as np
import omniglot
import torch
from _common import RESULTS, earlier_results, interleaved, machine, parser, print_table, ratio, write_results
from sklearn.base import clone
from torch import nn

from sktl._deadline import OutOfTimeError, deadline
from sktl.backbones import load_backbone
from sktl.finetuning import FineTunedClassifier

NETWORKS = {
    "resnet18": None,
    "resnet50": None,
    "efficientnet_lite0": "default",
    "vit_small_patch16_224": None,
}
QUICK_NETWORKS = ("resnet18",)
TRAINED_SIZE = 160  # pixels, of fine-tuning
BATCH = 64
Row = Callable[[argparse.Namespace], dict[str, Any]]


def extraction_row(name: str, args: argparse.Namespace) -> dict[str, Any]:
    n = 2 if args.device == "cpu" else (512 if args.quick else 8192)
    pictures = np.random.default_rng(0).integers(0, 256, (n, extraction.SIZE, extraction.SIZE, 3), dtype=np.uint8)
    network = extraction.Network(name, NETWORKS[name])
    found = extraction.race_on_gpu(network, pictures, args.rounds, torch.device(args.device))
    rates = found["images_per_second"]
    plain = found["times_the_plain_loop"]["sktl"]["of_medians"]
    figure = f"{rates['sktl']:.0f} images/s"
    beside = f"{plain:.2f}x the plain loop, {rates['sktl'] / rates[extraction.TUNED]:.2f}x the tuned one"
    return found | {"figure": figure, "beside": f"{beside}, {100 * found['share_of_the_limit']:.0f}% of the limit"}


def finetuning_row(args: argparse.Namespace) -> dict[str, Any]:
    n, epochs, size = (16, 1, 32) if args.quick else (2048, 3, TRAINED_SIZE)
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8), np.arange(n) % 10
    if args.quick:
        y %= 2

    def ours() -> None:
        FineTunedClassifier(
            "resnet18", weights=None, strategy="full", image_size=size, max_epochs=epochs, max_steps=10**9,
            batch_size=BATCH, learning_rate=1e-3, device=args.device, early_stopping=False, random_state=0,
        ).fit(X, y)  # fmt: skip

    def plain() -> None:
        _plain_training(X, y, epochs, torch.device(args.device))

    seconds = interleaved({"sktl": ours, "plain loop": plain}, args.rounds)
    rate = n * epochs / statistics.median(seconds["sktl"])
    times = ratio(seconds["plain loop"], seconds["sktl"])
    beside = f"{times['of_medians']:.2f}x a plain loop without augmentation"
    return {"seconds": seconds, "times": times, "figure": f"{rate:.0f} images/s", "beside": beside}


def _plain_training(X: np.ndarray, y: np.ndarray, epochs: int, device: torch.device) -> None:
    """Train a ResNet-18 as a good engineer writes it: in memory, bfloat16 and channels last on a GPU."""
    module = load_backbone("resnet18", None).fresh_module()
    module.fc = nn.Linear(module.fc.in_features, int(y.max()) + 1)
    module = module.to(device, memory_format=torch.channels_last).train()
    pictures, labels = torch.from_numpy(X).permute(0, 3, 1, 2).to(device), torch.from_numpy(y).to(device)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True)
    loss = torch.zeros(())
    for _ in range(epochs):
        for rows in torch.randperm(len(X), device=device).split(BATCH):
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                batch = (pictures[rows].float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
                loss = nn.functional.cross_entropy(module(batch).float(), labels[rows])
            loss.backward()
            optimizer.step()
    loss.item()


def adaptation_row(setting: str, args: argparse.Namespace) -> dict[str, Any]:
    n = adaptation_speed.BATCH * (3 if args.quick else 40)
    torch.manual_seed(0)
    X, y = adaptation_speed.digits(n) if setting == "LeNet" else adaptation_speed.codes(n)
    extractor, n_features = adaptation_speed.lenet() if setting == "LeNet" else adaptation_speed.mlp(X.shape[1])
    prepared, epochs = adaptation_speed.scaled(X), 1 if args.quick else 10
    found: dict[str, Any] = {}
    for name in ("mcc", "dann"):
        loss = adaptation_speed.LOSSES[name]
        contenders = {
            "sktl": partial(adaptation_speed.train_ours, extractor, loss, X, y, epochs, args.device),
            "plain loop": partial(
                adaptation_speed.train_plainly, extractor, n_features, name, prepared, y, epochs, args.device
            ),
        }
        seconds = interleaved(contenders, args.rounds)
        found[name] = {"seconds_a_step": seconds, "times": ratio(seconds["plain loop"], seconds["sktl"])}
    rate = {name: 1 / statistics.median(found[name]["seconds_a_step"]["sktl"]) for name in found}
    figure = ", ".join(f"{name} {value:.0f} steps/s" for name, value in rate.items())
    beside = ", ".join(f"{cell['times']['of_medians']:.2f}x" for cell in found.values())
    return {"losses": found, "figure": figure, "beside": f"{beside} a plain loop"}


def meta_row(name: str, args: argparse.Namespace) -> dict[str, Any]:
    skipped: dict[str, str] = {}
    device = torch.device(args.device)
    if name == "ProtoNet":
        race = meta_speed.protonet_race(3 if args.quick else 40, args.rounds, device, skipped)
    else:
        race = meta_speed.maml_race(name, 1 if args.quick else 5, 2 if args.quick else 60, args.rounds, device, skipped)
    beside = ", ".join(f"{times['of_medians']:.1f}x {peer}" for peer, times in race["times_as_fast_as"].items())
    speed = race["per_second"]["sktl"]
    return {**race, "skipped": skipped, "figure": f"{speed} {race['unit']}", "beside": beside}


def omniglot_row(name: str, args: argparse.Namespace) -> dict[str, Any]:
    train = omniglot.characters("train", "val")
    X, y = omniglot.characters("test", rotated=True)
    learner = clone(omniglot.LEARNERS[name])
    learner.set_params(rotations=True, device=args.device, random_state=0)
    if args.quick:
        n = min(learner.meta_batch_size, 2)
        train, X, y = (train[0][:400], train[1][:400]), X[y < 40], y[y < 40]
        learner.set_params(n_episodes=n, meta_batch_size=n)
    else:
        learner.set_params(checkpoint_dir=args.folder / name.replace(" ", "_"))
    learner.fit(*train)
    columns = [c for c in omniglot.COLUMNS if c[0] == learner.n_way or not learner.has_fixed_outputs]
    found = omniglot.measured(learner, X, y, 2 if args.quick else 1000, columns[:1] if args.quick else columns)
    papers = [omniglot.PUBLISHED[name][omniglot.COLUMNS.index(column)] for column in columns]
    figure = ", ".join(f"{cell} {value['mean']:.2f}" for cell, value in found.items())
    beside = "papers: " + " / ".join(map(str, papers))
    return {"test": found, "n_episodes": learner.n_episodes, "figure": figure, "beside": beside}


ROWS: dict[str, Row] = {
    **{f"extraction, {name}": partial(extraction_row, name) for name in NETWORKS},
    "fine-tuning, resnet18": finetuning_row,
    "adaptation, MLP": partial(adaptation_row, "MLP"),
    "adaptation, LeNet": partial(adaptation_row, "LeNet"),
    "meta-training, MAML MLP": partial(meta_row, "MLP"),
    "meta-training, MAML Conv-4": partial(meta_row, "Conv-4"),
    "meta-training, ProtoNet": partial(meta_row, "ProtoNet"),
    **{f"Omniglot, {name}": partial(omniglot_row, name) for name in omniglot.LEARNERS if name != "protonet"},
}
QUICK_ROWS = (
    *(f"extraction, {name}" for name in QUICK_NETWORKS),
    "fine-tuning, resnet18",
    "adaptation, MLP",
    "adaptation, LeNet",
    "meta-training, MAML MLP",
    "meta-training, ProtoNet",
    "Omniglot, matching",
)


def within_limit(row: Row, args: argparse.Namespace) -> dict[str, Any]:
    """Return what a row measures, or why it has nothing to show: the library's loops end when its time is up."""
    start = time.perf_counter()
    try:
        with deadline(args.limit):
            found = row(args)
        found["status"] = "done"
    except OutOfTimeError:
        found = {"status": "out of time: the next call goes on", "figure": None, "beside": None}
    except SystemExit as reason:  # data that are not there
        found = {"status": f"left out: {reason}", "figure": None, "beside": None}
    except Exception as error:  # the other rows are still to be had
        traceback.print_exc()
        found = {"status": f"failed: {type(error).__name__}: {error}", "figure": None, "beside": None}
    if args.device != "cpu":
        torch.cuda.empty_cache()
    return found | {"wall_seconds": round(time.perf_counter() - start, 1)}


def report(results: dict[str, Any]) -> None:
    print()
    rows = [[name, r["figure"] or r["status"], r["beside"], r["wall_seconds"]] for name, r in results.items()]
    print_table(["row", "sktl", "beside", "seconds"], rows)


def main() -> None:
    options = parser(__doc__, rounds=3)
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else None, help="cuda, or cpu")
    options.add_argument("--rows", nargs="+", help="only rows with these words in their names")
    options.add_argument("--limit", type=float, default=120, help="seconds of a row (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep the rows that the output file has done")
    args = options.parse_args()
    if args.device is None:
        raise SystemExit("torch finds no GPU here. To see that the rows work: --device cpu --quick")
    if args.quick:
        args.rounds = 1
    path: Path = args.output or RESULTS / "on_gpu.json"
    args.folder = path.with_suffix("")
    described, results = machine(), earlier_results("on_gpu", args)
    for name in QUICK_ROWS if args.quick else ROWS:
        if args.rows and not any(word in name for word in args.rows):
            continue
        if results.get(name, {}).get("status") == "done":
            continue
        results[name] = within_limit(ROWS[name], args)
        print(name, results[name]["status"], f"{results[name]['wall_seconds']} s", flush=True)
        if args.output or not args.quick:
            write_results("on_gpu", {"machine": described, "device": args.device, "results": results}, args)
    report(results)


if __name__ == "__main__":
    main()
