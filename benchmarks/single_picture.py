"""One picture at a time, as a service asks: what each estimator adds to the bare network.

The bare network is given its input ready, and one picture goes through it by PyTorch, or by OpenVINO as compiled from
the same network for latency. sktl and the peer are given the picture as an array of its own size: the peer is what
timm's documentation shows, `create_transform` and a forward pass. All run the same values and take turns in every
round; the figure is the ratio of the medians.

    python benchmarks/single_picture.py [--quick] [--minutes 4]
"""

from __future__ import annotations

import contextlib
import json
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import timm
import torch
from _common import RESULTS, interleaved, machine, parser, print_table, ratio, write_results
from PIL import Image
from torch import nn

from sktl import CNNCodesTransformer, DomainAdaptedClassifier, FineTunedClassifier, ProtoNetClassifier
from sktl.backbones import load_backbone

NETWORKS = {"efficientnet_lite0": "default", "resnet18": None, "mobilenet_v3_small": None}
SIZES = (64, 224)
AIM = 1.3  # at most this many times the bare network
BARE, BARE_OPENVINO, PEER = "bare network", "bare network, OpenVINO", "timm's transform and forward"
CALLS = 3  # of a contender in a round


def bare_torch(module: nn.Module, picture: torch.Tensor) -> Callable[[], Any]:
    """Return the pass that users write, its input ready."""

    def run() -> Any:
        with torch.inference_mode():
            return module(picture)

    return run


def bare_openvino(module: nn.Module, picture: torch.Tensor) -> Callable[[], Any]:
    """Return OpenVINO's own road for one picture, in float32 as all others: its default may be bfloat16."""
    import openvino as ov

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ov.convert_model(module, example_input=picture, input=[list(picture.shape)])
    compiled = ov.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
    request, array = compiled.create_infer_request(), picture.numpy()
    return lambda: request.infer({0: array})


def peer(module: nn.Module, size: int, backbone: Any) -> Callable[[np.ndarray], Any]:
    """Return timm's road from a picture to the network's output."""
    expected = backbone.preprocessing
    transform = timm.data.create_transform(
        (3, size, size), interpolation=expected.interpolation, mean=expected.mean, std=expected.std,
        crop_pct=expected.crop_pct,
    )  # fmt: skip

    def run(picture: np.ndarray) -> Any:
        with torch.inference_mode():
            return module(transform(Image.fromarray(picture)).unsqueeze(0))

    return run


def estimators(name: str, weights: Any, size: int, pictures: np.ndarray) -> dict[str, Callable[[np.ndarray], Any]]:
    """Return what answers for a batch of pictures, fitted."""
    common = {"image_size": size, "device": "cpu"}
    labels = np.arange(len(pictures)) % 2
    codes = CNNCodesTransformer(name, weights=weights, engine="torch", **common).fit(pictures)
    module = load_backbone(name, weights).fresh_module().eval()
    own = CNNCodesTransformer(module, engine="torch", **common).fit(pictures)
    found: dict[str, Callable[[np.ndarray], Any]] = {
        "CNNCodesTransformer": codes.transform,
        "CNNCodesTransformer, a module": own.transform,
    }
    with contextlib.suppress(ImportError):
        import openvino  # noqa: F401

        fast = CNNCodesTransformer(name, weights=weights, engine="openvino", **common).fit(pictures)
        found["CNNCodesTransformer, OpenVINO"] = fast.transform
    training = {"weights": weights, "max_epochs": 1, "random_state": 0, **common}
    for strategy in ("head", "full"):
        classifier = FineTunedClassifier(name, strategy=strategy, **training).fit(pictures, labels)
        found[f"FineTunedClassifier, {strategy}"] = classifier.predict_proba
    marked = np.where(np.arange(len(labels)) < len(labels) // 2, labels, -1)
    adapted = DomainAdaptedClassifier(backbone=name, **training).fit(pictures, marked)
    found["DomainAdaptedClassifier"] = adapted.predict_proba
    if weights == "default":
        prototypes = ProtoNetClassifier(encoder=name, **common).fit(pictures, labels)
        found["ProtoNetClassifier"] = prototypes.predict_proba
    return found


def race(name: str, weights: Any, size: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Return the milliseconds of each contender, and how many times the bare network that is."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (8, size, size, 3), dtype=np.uint8)
    backbone = load_backbone(name, weights)
    module = backbone.fresh_module().requires_grad_(False).eval()
    ready = torch.from_numpy(pictures[:1]).permute(0, 3, 1, 2).float().div(255).sub(0.5).div(0.25).contiguous()
    answers = {**estimators(name, weights, size, pictures), PEER: peer(module, size, backbone)}
    contenders: dict[str, Callable[[], Any]] = {BARE: bare_torch(module, ready)}
    with contextlib.suppress(ImportError):
        contenders[BARE_OPENVINO] = bare_openvino(module, ready)
    for each, answer in answers.items():
        one = pictures[0] if each == PEER else pictures[:1]
        contenders[each] = lambda answer=answer, one=one: answer(one)
    agreement = {each: disagreement(answer, pictures) for each, answer in answers.items() if each != PEER}
    for run in contenders.values():
        run()

    def several(run: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: [run() for _ in range(CALLS)] and None

    runs = {each: several(run) for each, run in contenders.items()}
    taken: dict[str, list[float]] = {each: [] for each in runs}
    end = time.perf_counter() + seconds
    for _ in range(rounds):
        for each, times in interleaved(runs, 1).items():
            taken[each] += times
        if time.perf_counter() > end:
            break
    against = {each: BARE_OPENVINO if "OpenVINO" in each else BARE for each in runs}
    return {
        "network": name,
        "size": size,
        "rounds": len(taken[BARE]),
        "milliseconds": {each: round(1e3 * statistics.median(t) / CALLS, 2) for each, t in taken.items()},
        "times_the_bare_network": {each: ratio(t, taken[against[each]]) for each, t in taken.items()},
        "alone_against_among_eight": agreement,
    }


def disagreement(answer: Callable[[np.ndarray], np.ndarray], pictures: np.ndarray) -> float:
    """Return the largest difference of one picture's answer alone from among others, relative to the largest."""
    together, alone = answer(pictures), np.concatenate([answer(pictures[i : i + 1]) for i in range(len(pictures))])
    return float(np.abs(together - alone).max() / np.abs(together).max())


def main() -> None:
    options = parser(__doc__, rounds=25)
    options.add_argument("--minutes", type=float, default=4, help="of all races together (default: %(default)s)")
    options.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    options.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), help="pixels a side")
    options.add_argument("--resume", action="store_true", help="keep the other cells that the output file holds")
    args = options.parse_args()
    torch.set_num_threads(1)
    described = machine()
    asked = [(name, size) for name in args.networks for size in args.sizes]
    asked, rounds = (asked[:1], 3) if args.quick else (asked, args.rounds)
    settings = {"calls": CALLS, "minutes": args.minutes, "aim": AIM}
    path = args.output or RESULTS / "single_picture.json"
    earlier = json.loads(path.read_text())["cells"] if args.resume and path.exists() else []
    results = {(cell["network"], cell["size"]): cell for cell in earlier}
    for name, size in asked:
        results[name, size] = race(name, NETWORKS[name], size, rounds, 60 * args.minutes / len(asked))
        cells = list(results.values())
        write_results("single_picture", {"machine": described, "settings": settings, "cells": cells}, args)
    for cell in results.values():
        print(f"\n{cell['network']}, {cell['size']} px, {cell['rounds']} rounds\n")
        rows = [
            [name, cell["milliseconds"][name], times["of_medians"], cell["alone_against_among_eight"].get(name)]
            for name, times in cell["times_the_bare_network"].items()
        ]
        print_table(["one picture by", "ms", f"times the bare network (aim {AIM})", "alone against among eight"], rows)


if __name__ == "__main__":
    main()
