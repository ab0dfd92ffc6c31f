r"""Pictures a second: sktl against a plain torchvision loop, img2vec-pytorch, embetter and thingsvision.

All run the same network with the same weights over the same pictures, one after another in every round, and their
codes are compared before the race. Peers get random or local weights: none is downloaded.

    python benchmarks/extraction.py [--quick] [--thingsvision-python PATH]

What a large batch costs hangs on malloc. glibc hands the memory of each layer's output back to the system, and the next
layer waits for fresh pages; a process that keeps its memory shows what is left of the difference without that:

    MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000 MALLOC_TOP_PAD_=1000000000 \
        python benchmarks/extraction.py --output benchmarks/results/extraction_kept_memory.json

Peers that are not installed are left out, and the results say so (``pip install sktl[bench]``). thingsvision needs an
environment of its own: ``python -m venv tv && tv/bin/pip install thingsvision``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from _common import data_path, interleaved, machine, parser, print_table, ratio, timed, write_results
from PIL import Image
from torch import nn
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from sktl import CNNCodesTransformer
from sktl._device import cpu_has_bfloat16
from sktl.backbones import Backbone, load_backbone

SIZE = 224
BATCH = 32  # of the loops that users write
PLAIN = "plain loop"
TUNED = "tuned loop"  # on CUDA: bfloat16, channels last, batches of 256
SKTL = "sktl torch"
INT8 = "sktl int8"
AIMS = {SKTL: 3.0, "sktl openvino": 4.5, INT8: 9.0}  # times the plain loop, on two cores


@dataclass(frozen=True)
class Network:
    """A network, and what the peers call it."""

    name: str
    weights: Any
    img2vec: str | None = None
    timm: str | None = None
    thingsvision: tuple[str, str] | None = None

    def backbone(self) -> Backbone:
        """Return the one that sktl runs, with its values and its preprocessing."""
        return load_backbone(self.name, self.weights)

    def transformer(self, **parameters: Any) -> CNNCodesTransformer:
        """Return sktl's transformer of it."""
        return CNNCodesTransformer(self.name, weights=self.weights, **parameters)

    def headless(self) -> nn.Module:
        """Return a network of its own, as users have it: unfolded, its classifier an identity."""
        module = self.backbone().fresh_module().eval()
        name = next(name for name in ("fc", "classifier", "head") if hasattr(module, name))
        setattr(module, name, nn.Identity())
        return module


def networks() -> list[Network]:
    mobilenet = data_path("weights/mobilenet_v2-tf-ptq.pth")
    return [
        Network("mobilenet_v2", mobilenet, thingsvision=("torchvision", "mobilenet_v2")),
        Network("resnet18", None, img2vec="resnet18", thingsvision=("torchvision", "resnet18")),
        Network(
            "efficientnet_lite0",
            "default",
            timm="tf_efficientnet_lite0",
            thingsvision=("timm", "tf_efficientnet_lite0"),
        ),
    ]


@dataclass(frozen=True)
class Road:
    """Pictures as users hold them. In arrays they have the network's size already, and nothing scales them."""

    name: str
    pictures: Any

    @property
    def in_files(self) -> bool:
        """Whether the pictures are paths."""
        return isinstance(self.pictures, list)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What replaces the fields that come with the weights."""
        return {} if self.in_files else {"crop_pct": 1.0}


def roads(n: int, n_large: int, folder: Path) -> list[Road]:
    generator = np.random.default_rng(0)
    files = sorted(str(path) for path in data_path("pacs").glob("*/*/*.jpg"))
    files = [files[i] for i in generator.permutation(len(files))[: n // 2]]
    photographs = sorted(str(path) for path in data_path("hymenoptera").glob("*/*/*.jpg"))
    photographs = [photographs[i] for i in generator.permutation(len(photographs))[: n - len(files)]]
    # PACS and hymenoptera alternate, so that the first few hold both.
    small = [path for pair in zip(files, photographs, strict=True) for path in pair]
    large = []
    for i, path in enumerate(photographs[:n_large]):
        large.append(str(folder / f"{i:04d}.jpg"))
        with Image.open(path) as picture:
            picture.convert("RGB").resize((1280, 960), Image.Resampling.BICUBIC).save(large[-1], quality=88)
    arrays = np.stack([_square(path) for path in small])
    return [Road("arrays", arrays), Road("files", small), Road("large files", large)]


def _square(path: str) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))


# --- The contenders: each a function from pictures to codes -----------------------------------------------------------

Contender = Callable[[Any], np.ndarray]


def sktl_contenders(network: Network, road: Road, device: str) -> dict[str, Contender]:
    common = {"device": device, "preprocessing": road.preprocessing}
    found = {SKTL: network.transformer(engine="torch", precision="float32", **common).transform}
    if device == "cpu" and cpu_has_bfloat16():
        found["sktl torch bfloat16"] = network.transformer(engine="torch", precision="bfloat16", **common).transform
    with contextlib.suppress(ImportError):
        import openvino  # noqa: F401

        if device == "cpu":
            found["sktl openvino"] = network.transformer(engine="openvino", **common).transform
            if importlib.util.find_spec("nncf") is not None:
                found[INT8] = network.transformer(precision="int8", **common).transform
    return found


def torchvision_transform(network: Network, road: Road) -> Callable[[Any], torch.Tensor]:
    expected = network.backbone().preprocessing.overridden_by(road.preprocessing)
    steps: list[Any] = [transforms.ToTensor(), transforms.Normalize(expected.mean, expected.std)]
    if road.in_files:
        interpolation = InterpolationMode(expected.interpolation)
        scaled = round(SIZE / expected.crop_pct)
        steps = [transforms.Resize(scaled, interpolation), transforms.CenterCrop(SIZE), *steps]
    return transforms.Compose(steps)


class Files(torch.utils.data.Dataset):
    """Files, decoded and scaled as torchvision's tutorials do it."""

    def __init__(self, paths: list[str], transform: Callable[[Any], torch.Tensor]):
        self.paths = paths
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> torch.Tensor:
        with Image.open(self.paths[i]) as picture:
            return self.transform(picture.convert("RGB"))


def plain_contenders(network: Network, road: Road) -> dict[str, Contender]:
    """Return the loop that users write: eval mode, no gradients, batches of 32."""
    module = network.headless()
    if road.in_files:
        transform = torchvision_transform(network, road)

        def with_workers(n_workers: int) -> Contender:
            def run(paths: list[str]) -> np.ndarray:
                loader = torch.utils.data.DataLoader(Files(paths, transform), batch_size=BATCH, num_workers=n_workers)
                with torch.no_grad():
                    return torch.cat([module(batch) for batch in loader]).numpy()

            return run

        return {f"{PLAIN}, {n} workers": with_workers(n) for n in (0, 2)}

    expected = network.backbone().preprocessing
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (expected.mean, expected.std))

    def run(pictures: np.ndarray) -> np.ndarray:
        codes = []
        with torch.no_grad():
            for start in range(0, len(pictures), BATCH):
                batch = torch.from_numpy(pictures[start : start + BATCH]).permute(0, 3, 1, 2).float().div(255)
                codes.append(module(((batch - mean) / std).contiguous()))
        return torch.cat(codes).numpy()

    return {PLAIN: run}


def img2vec_contender(network: Network, road: Road) -> Contender:
    from img2vec_pytorch import img_to_vec

    module = network.backbone().fresh_module()
    original = getattr(img_to_vec, network.img2vec)
    setattr(img_to_vec, network.img2vec, lambda weights: module)  # it always asks for published weights
    try:
        encoder = img_to_vec.Img2Vec(model=network.img2vec)
    finally:
        setattr(img_to_vec, network.img2vec, original)

    def run(pictures: Any) -> np.ndarray:
        codes = []
        for start in range(0, len(pictures), BATCH):
            batch = pictures[start : start + BATCH]
            opened = [Image.open(p).convert("RGB") if road.in_files else Image.fromarray(p) for p in batch]
            codes.append(encoder.get_vec(opened))
        return np.concatenate(codes)

    return run


def embetter_contender(network: Network, road: Road) -> Contender:
    from embetter.vision import ImageLoader, TimmEncoder, _torchvis

    module = network.headless()
    original = _torchvis.timm.create_model
    _torchvis.timm.create_model = lambda *args, **kwargs: module  # it always asks for published weights
    try:
        encoder = TimmEncoder(name=network.timm)
    finally:
        _torchvis.timm.create_model = original
    encoder.model.eval()  # it forgets to
    expected = network.backbone().preprocessing.overridden_by(road.preprocessing)
    encoder.transform_img = timm.data.create_transform(
        (3, SIZE, SIZE),
        interpolation=expected.interpolation,
        mean=expected.mean,
        std=expected.std,
        crop_pct=expected.crop_pct,
    )
    loader = ImageLoader()

    def run(pictures: Any) -> np.ndarray:
        opened = loader.fit_transform(pictures) if road.in_files else [Image.fromarray(p) for p in pictures]
        return encoder.transform(opened)

    return run


class ThingsvisionContender:
    """thingsvision in a process of its own, which takes the time itself."""

    def __init__(self, python: Path, network: Network, road: Road, folder: Path):
        assert network.thingsvision is not None
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        weights, pictures = self.folder / "weights.pth", self.folder / ("paths.txt" if road.in_files else "p.npy")
        torch.save(network.backbone().module.state_dict(), weights)
        if road.in_files:
            pictures.write_text("\n".join(road.pictures))
        else:
            np.save(pictures, road.pictures)
        expected = network.backbone().preprocessing
        source, model = network.thingsvision
        command = [str(python), str(Path(__file__).with_name("_thingsvision_worker.py"))]
        command += ["--source", source, "--model", model, "--weights", str(weights), "--pictures", str(pictures)]
        command += ["--mean", *map(str, expected.mean), "--std", *map(str, expected.std), "--batch-size", str(BATCH)]
        command += ["--scaled", str(round(SIZE / expected.crop_pct)), "--interpolation", expected.interpolation]
        self._log = (self.folder / "log").open("w")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        self.versions = self._answer()
        del self.versions["ready"]

    def __call__(self, pictures: Any) -> np.ndarray:
        """Return the codes of the first ``len(pictures)`` pictures of the road."""
        path = self.folder / "codes.npy"
        self._ask({"run": len(pictures), "save": str(path)})
        return np.load(path)

    def seconds(self, n: int) -> float:
        """Return how long the first `n` pictures take."""
        return self._ask({"run": n})["seconds"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._log.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"thingsvision ended: {(self.folder / 'log').read_text()[-2000:]}")
        return json.loads(line)


# --- The race ---------------------------------------------------------------------------------------------------------


def race(network: Network, road: Road, rounds: int, thingsvision: Path | None, folder: Path) -> dict[str, Any]:
    """Return images/s of each contender on one network and one road."""
    contenders = {**plain_contenders(network, road), **sktl_contenders(network, road, "cpu")}
    left_out: dict[str, str] = {}
    for name, supported, build in (
        ("img2vec", network.img2vec, img2vec_contender),
        ("embetter", network.timm, embetter_contender),
    ):
        if supported is None:
            continue
        try:
            contenders[name] = build(network, road)
        except ImportError as error:
            left_out[name] = str(error)
    worker = None
    if thingsvision is not None:
        try:
            worker = contenders["thingsvision"] = ThingsvisionContender(thingsvision, network, road, folder)
        except (OSError, RuntimeError) as error:
            left_out["thingsvision"] = str(error)

    n = len(road.pictures)
    few = road.pictures[:16]
    first_call = {name: timed(lambda run=run: run(few[:1])) for name, run in contenders.items() if "sktl" in name}
    agreement = compare(contenders, few, road)
    runs = {
        name: (lambda: worker.seconds(n)) if name == "thingsvision" and worker else (lambda run=run: run(road.pictures))
        for name, run in contenders.items()
    }
    seconds = interleaved(runs, rounds)
    if worker is not None:
        worker.close()

    plain = min((name for name in seconds if PLAIN in name), key=lambda name: statistics.median(seconds[name]))
    limit = matmul_limit(network)
    return {
        "network": network.name,
        "road": road.name,
        "pictures": n,
        "plain": plain,
        "images_per_second": {name: round(n / statistics.median(each), 1) for name, each in seconds.items()},
        "times_the_plain_loop": {name: ratio(seconds[plain], each) for name, each in seconds.items()},
        **({"int8_times_openvino": ratio(seconds["sktl openvino"], seconds[INT8])} if INT8 in seconds else {}),
        "sktl_times_the_peer": {
            name: {peer: ratio(seconds[peer], seconds[name]) for peer in seconds if "sktl" not in peer}
            for name in seconds
            if "sktl" in name
        },
        **limit,
        "share_of_the_matmul_limit": {
            name: round(n / min(each) / limit["images_per_second_by_matmul"], 3)
            for name, each in seconds.items()
            if name in AIMS and name != INT8 and not road.in_files
        },
        "first_call_seconds": {name: round(value, 2) for name, value in first_call.items()},
        "agreement": agreement,
        "left_out": left_out,
        "seconds": {name: [round(value, 4) for value in each] for name, each in seconds.items()},
        **({"thingsvision_versions": worker.versions} if worker is not None else {}),
    }


def compare(contenders: dict[str, Contender], pictures: Any, road: Road) -> dict[str, dict[str, float]]:
    """Return how the codes of each contender differ from sktl's, and end the run if they are of other work.

    From arrays they must be equal to rounding. From files the resampling differs in the last bits (PIL's or torch's),
    and img2vec squeezes pictures to a square, so that its codes are another picture's.
    """
    expected = contenders[SKTL](pictures)
    scale = float(np.abs(expected).max())
    agreement = {}
    for name, run in contenders.items():
        if name == SKTL:
            continue
        codes = run(pictures)
        if codes.shape != expected.shape:
            raise SystemExit(f"{name} returned codes of shape {codes.shape}; sktl's are {expected.shape}.")
        cosine = (codes * expected).sum(1) / (np.linalg.norm(codes, axis=1) * np.linalg.norm(expected, axis=1))
        difference = float(np.abs(codes - expected).max()) / scale
        agreement[name] = {
            "largest_difference_of_largest_code": float(f"{difference:.1e}"),
            "smallest_cosine": round(float(cosine.min()), 5),
        }
        same_input = not road.in_files or "sktl" in name
        if name == "img2vec" and road.in_files:
            continue
        is_exact = same_input and "bfloat16" not in name and name != INT8
        if (is_exact and difference > 2e-3) or np.median(cosine) < (0.9 if name == INT8 else 0.97):
            raise SystemExit(f"The codes of {name} are not sktl's on {road.name}: {agreement[name]}.")
    return agreement


# --- CUDA -------------------------------------------------------------------------------------------------------------


def race_on_gpu(network: Network, pictures: np.ndarray, rounds: int, device: torch.device) -> dict[str, Any]:
    """Return images/s from uint8 arrays in memory, beside the plain loop's and what the device could do at best."""
    module = network.headless().to(device)
    expected = network.backbone().preprocessing
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (expected.mean, expected.std))

    def plain(batch_size: int, tuned: bool) -> Contender:
        network_of_its_own = module.to(memory_format=torch.channels_last) if tuned else module

        def run(pictures: np.ndarray) -> np.ndarray:
            codes = []
            precision = torch.autocast(device.type, torch.bfloat16) if tuned else contextlib.nullcontext()
            with torch.no_grad(), precision:
                for start in range(0, len(pictures), batch_size):
                    batch = torch.from_numpy(pictures[start : start + batch_size]).to(device).permute(0, 3, 1, 2)
                    batch = (batch.float() / 255 - mean) / std
                    batch = batch if tuned else batch.contiguous()
                    codes.append(network_of_its_own(batch).float().cpu())
            return torch.cat(codes).numpy()

        return run

    common = {"device": str(device), "preprocessing": {"crop_pct": 1.0}, "engine": "torch"}
    contenders: dict[str, Contender] = {
        PLAIN: plain(BATCH, tuned=False),
        "sktl": network.transformer(**common).transform,
        "sktl float32": network.transformer(precision="float32", **common).transform,
    }
    few, warm = pictures[: 2 * BATCH], pictures[: 4 * 256] if device.type == "cuda" else pictures[:1]
    reference = contenders["sktl float32"](few)
    agreement = {}
    for name, run in contenders.items():
        codes = run(few)
        cosine = (codes * reference).sum(1) / (np.linalg.norm(codes, axis=1) * np.linalg.norm(reference, axis=1))
        agreement[name] = round(float(cosine.min()), 5)
        if agreement[name] < 0.98:
            raise SystemExit(f"The codes of {name} are not sktl's: cosine {agreement[name]}.")
        run(warm)  # kernels chosen, pinned memory held
    seconds = interleaved({name: (lambda run=run: run(pictures)) for name, run in contenders.items()}, rounds)
    # A copy in channels_last shares the module, so the tuned loop is timed once the plain one is done.
    tuned = plain(256, tuned=True)
    tuned(warm)
    seconds[TUNED] = [timed(lambda: tuned(pictures)) for _ in range(rounds)]

    limits = device_limits(network, device)
    rate = {name: len(pictures) / statistics.median(each) for name, each in seconds.items()}
    return {
        "network": network.name,
        "road": f"arrays, {device.type}",
        "pictures": len(pictures),
        "plain": PLAIN,
        "images_per_second": {name: round(value, 1) for name, value in rate.items()},
        "times_the_plain_loop": {name: ratio(seconds[PLAIN], each) for name, each in seconds.items()},
        "limits": limits,
        "share_of_the_limit": round(rate["sktl"] / limits["images_per_second"], 4),
        "smallest_cosine": agreement,
        "seconds": {name: [round(value, 4) for value in each] for name, each in seconds.items()},
    }


def matmul_limit(network: Network) -> dict[str, float]:
    """Return images/s on a CPU if all operations ran as fast as one large product of float32 matrices does."""
    operations, _ = network_costs(network)
    a, b = (torch.randn(2048, 2048) for _ in range(2))
    matmul = 2 * 2048**3 / _seconds_of(lambda: a @ b, torch.device("cpu"), n_times=5)
    return {
        "gflops_a_picture": round(operations / 1e9, 3),
        "matmul_gflops_per_second": round(matmul / 1e9, 1),
        "images_per_second_by_matmul": round(matmul / operations, 1),
    }


def device_limits(network: Network, device: torch.device) -> dict[str, float]:
    """Return the most images/s by arithmetic and by memory, both measured on the device.

    Arithmetic: bfloat16 matrix products a second over the network's operations. Memory: copied bytes a second over
    the bytes that its convolutions and linear layers read and write at least, in bfloat16, all else fused into them.
    """
    operations, elements = network_costs(network)
    on_gpu = device.type == "cuda"
    side, n_bytes = (8192, 2**31) if on_gpu else (512, 2**26)
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    matmul = 2 * side**3 / _seconds_of(lambda: a @ b, device)
    source, target = (torch.empty(n_bytes, dtype=torch.uint8, device=device) for _ in range(2))
    copied = 2 * n_bytes / _seconds_of(lambda: target.copy_(source), device)  # read and written
    host = torch.empty(2**28 if on_gpu else 2**24, dtype=torch.uint8, pin_memory=on_gpu)
    fed = host.numel() / _seconds_of(lambda: target[: host.numel()].copy_(host, non_blocking=True), device)
    by_matmul, by_memory = matmul / operations, copied / (2 * elements)
    return {
        "matmul_tflops": round(matmul / 1e12, 3),
        "copy_gb_per_second": round(copied / 1e9, 1),
        "host_to_device_gb_per_second": round(fed / 1e9, 1),
        "gflops_a_picture": round(operations / 1e9, 3),
        "activation_megabytes_a_picture": round(2 * elements / 1e6, 3),
        "by_matmul": round(by_matmul, 1),
        "by_memory": round(by_memory, 1),
        "by_copies_from_the_host": round(fed / (3 * SIZE * SIZE), 1),
        "images_per_second": round(min(by_matmul, by_memory), 1),
    }


def network_costs(network: Network) -> tuple[int, int]:
    """Return the operations of one picture, and the elements that its convolutions and linear layers read and write."""
    from torch.utils.flop_counter import FlopCounterMode

    module = network.headless()
    elements = 0

    def count(layer, args, output):
        nonlocal elements
        elements += args[0].numel() + output.numel()

    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(count)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        module(torch.zeros(1, 3, SIZE, SIZE))
    return counter.get_total_flops(), elements


def _seconds_of(function: Callable[[], Any], device: torch.device, n_times: int = 20) -> float:
    """Return the seconds of one call among many, the fastest of three goes."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    function()
    goes = []
    for _ in range(3):
        wait()
        start = time.perf_counter()
        for _ in range(n_times):
            function()
        wait()
        goes.append((time.perf_counter() - start) / n_times)
    return min(goes)


# --- The run ----------------------------------------------------------------------------------------------------------


def show(cells: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(name.split(",")[0] for cell in cells for name in cell["images_per_second"]))
    rows = []
    for cell in cells:
        row = [cell["network"], cell["road"], cell["pictures"]]
        for column in columns:
            names = [name for name in cell["images_per_second"] if name.split(",")[0] == column]
            if not names:
                row.append(None)
                continue
            name = max(names, key=lambda name: cell["images_per_second"][name])
            times = cell["times_the_plain_loop"][name]
            spread = f"{times['smallest_of_a_round']:.2f} to {times['largest_of_a_round']:.2f}"
            shown = f"{cell['images_per_second'][name]:.0f}"
            row.append(shown if column == PLAIN else f"{shown} ({times['of_medians']:.2f}x; {spread})")
        rows.append(row)
    print("\nImages a second (how many times the plain loop: of the medians; smallest and largest of a round)\n")
    print_table(["network", "road", "pictures", *columns], rows)


def show_aims(cells: list[dict[str, Any]]) -> None:
    print("\nAims on two cores, mobilenet_v2 from arrays:")
    for cell in cells:
        if (cell["network"], cell["road"]) != ("mobilenet_v2", "arrays"):
            continue
        for name, aim in AIMS.items():
            if name in cell["times_the_plain_loop"]:
                found = cell["times_the_plain_loop"][name]["of_medians"]
                print(f"- {name}: {found:.2f}x the plain loop (aim {aim}x): {'met' if found >= aim else 'NOT met'}")
    for cell in cells:
        if "int8_times_openvino" in cell:
            found = cell["int8_times_openvino"]["of_medians"]
            print(f"- {INT8}: {found:.2f}x OpenVINO in float32 on {cell['network']}, {cell['road']} (aim 2.2x)")
        for name, rivals in cell.get("sktl_times_the_peer", {}).items():
            behind = [peer for peer, found in rivals.items() if found["of_medians"] < 1]
            if behind:
                print(f"- {name} is behind {', '.join(behind)} on {cell['network']}, {cell['road']}")


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--thingsvision-python", type=Path, help="the Python of an environment with thingsvision")
    options.add_argument("--pictures", type=int, default=256, help="on a CPU (default: %(default)s)")
    options.add_argument("--networks", nargs="*", help="only these")
    options.add_argument("--roads", nargs="*", help="only these: arrays, files, 'large files'")
    options.add_argument("--skip-cpu", action="store_true", help="on a machine with a GPU, measure the GPU alone")
    options = options.parse_args()
    if options.quick:
        options.rounds, options.pictures = min(options.rounds, 2), min(options.pictures, 48)
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
    described = machine()
    cells: list[dict[str, Any]] = []

    def wanted(name: str, choice: list[str] | None) -> bool:
        return not choice or name in choice

    with tempfile.TemporaryDirectory() as folder:
        if not options.skip_cpu:
            of_pictures = roads(options.pictures, options.pictures // 2, Path(folder))
            for network in networks():
                for road in of_pictures:
                    # One network shows what decoding at a reduced scale brings.
                    if road.name == "large files" and network.name != "mobilenet_v2":
                        continue
                    if wanted(network.name, options.networks) and wanted(road.name, options.roads):
                        cells.append(race(network, road, options.rounds, options.thingsvision_python, Path(folder)))
                        show(cells[-1:])
    if torch.cuda.is_available():
        n = 512 if options.quick else 8192
        pictures = np.random.default_rng(0).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)
        device = torch.device("cuda", torch.cuda.current_device())
        for network in (Network("resnet18", None), Network("resnet50", None), networks()[2]):
            if wanted(network.name, options.networks):
                cells.append(race_on_gpu(network, pictures, options.rounds, device))
                show(cells[-1:])
    if not cells:
        raise SystemExit("Nothing to measure: --networks, --roads and --skip-cpu leave nothing.")
    show(cells)
    show_aims(cells)
    allocator = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
    settings = {
        "size": SIZE,
        "rounds": options.rounds,
        "batch_of_the_plain_loop": BATCH,
        # Large batches spend most of their time on pages that malloc returned to the system after each layer.
        "allocator": {name: value for name, value in os.environ.items() if name.startswith(allocator)},
    }
    write_results("extraction", {"machine": described, "settings": settings, "cells": cells}, options)


if __name__ == "__main__":
    main()
