"""Pictures that calibrate 8 bits where no pictures are given: made from a network's own statistics.

Two photographs do not fill the ranges of a network that knows a thousand things. Each batch norm, though, has kept the
mean and the spread that its inputs had over ImageNet. Here crops of the two photographs of scikit-learn are changed by
gradient steps until their means and spreads are those (Cai et al., "ZeroQ", CVPR 2020): pictures that look like none,
and none of ImageNet. They are written on one sheet, ``sktl/backbones/_distilled.jpg``, which ships.

What they are good for is printed: by how much codes of pictures that no calibration saw are moved, without them and
with them, for networks with weights at hand. The accuracy of linear classifiers is in ``int8_codes.py``.

    python benchmarks/distilled_calibration.py [--make] [--quick]
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import data_path, machine, parser, print_table, write_results
from int8_codes import sets
from PIL import Image
from torch import Tensor, nn

import sktl
from sktl import CNNCodesTransformer
from sktl.backbones import _quantisation as quantisation
from sktl.backbones import load_backbone

N_PICTURES, N_COLUMNS = 24, 6  # of the sheet
SHEET = Path(quantisation.__file__).with_name("_distilled.jpg")
SMALL = 1e-3  # variances below it do not count alone
WEIGHTS = {
    "efficientnet_lite0": "default",
    "efficientnet_lite1": "default",
    "mobilenet_v2": data_path("weights/mobilenet_v2-tf-ptq.pth"),
    "squeezenet1_1": data_path("weights/squeezenet1_1-caffe.pth"),
}


def unlike_the_statistics(network: nn.Module) -> list[Tensor]:
    """Have each batch norm note how far its input is from what it has kept; returns the list that is filled."""
    noted: list[Tensor] = []

    def note(norm: nn.BatchNorm2d, given: tuple[Tensor], _: Tensor) -> None:
        mean, spread = given[0].mean((0, 2, 3)), given[0].std((0, 2, 3))
        assert norm.running_mean is not None
        assert norm.running_var is not None
        kept = norm.running_var + SMALL
        # mean_c (m_c - mu_c)^2 / sigma_c^2 + mean_c (s_c / sigma_c - 1)^2
        noted.append(((mean - norm.running_mean).square() / kept).mean() + (spread / kept.sqrt() - 1).square().mean())

    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.register_forward_hook(note)
    return noted


def distilled(n_steps: int) -> np.ndarray:
    """Return pictures, uint8 (n, 224, 224, 3)."""
    backbone = load_backbone("efficientnet_lite0")
    network = backbone.fresh_module().eval().requires_grad_(False)
    noted = unlike_the_statistics(network)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (backbone.preprocessing.mean, backbone.preprocessing.std))
    side = quantisation.DISTILLED_SIDE
    start = quantisation.photographs((side, side)).pictures[:N_PICTURES]
    logits = torch.logit(torch.from_numpy(start).float().div(255).clamp(0.02, 0.98)).requires_grad_(True)
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for step in range(n_steps):
        noted.clear()
        network((logits.sigmoid() - mean) / std)
        loss = torch.stack(noted).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 10 == 0:
            print(f"step {step}: {float(loss):.4f}", flush=True)
    return (logits.sigmoid().detach() * 255).round().byte().permute(0, 2, 3, 1).numpy()


def write_sheet(pictures: np.ndarray) -> None:
    """Write the pictures side by side."""
    n, side = len(pictures), quantisation.DISTILLED_SIDE
    grid = pictures.reshape(n // N_COLUMNS, N_COLUMNS, side, side, 3).transpose(0, 2, 1, 3, 4)
    sheet = Image.fromarray(grid.reshape(-1, N_COLUMNS * side, 3))
    sheet.save(SHEET, "JPEG", quality=75, subsampling=0, optimize=True)


def moved(name: str, calibration: Any, paths: list[str]) -> float | None:
    """Return the median distance of codes from those in float32, as a share of their length; None if refused."""
    common: dict[str, Any] = {"weights": WEIGHTS[name], "cache": None, "device": "cpu"}
    exact = CNNCodesTransformer(name, engine="openvino", **common).fit_transform(paths)
    try:
        codes = CNNCodesTransformer(name, precision="int8", calibration=calibration, **common).fit_transform(paths)
    except ValueError:  # more than half of their length
        return None
    return round(float(np.median(np.linalg.norm(codes - exact, axis=1) / np.linalg.norm(exact, axis=1))), 4)


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--make", action="store_true", help="make the pictures anew first")
    options.add_argument("--steps", type=int, default=60, help="of gradient (default: %(default)s)")
    options.add_argument("--each", type=int, default=30, help="pictures of a set (default: %(default)s)")
    args = options.parse_args()
    warnings.filterwarnings("ignore")
    if args.make:
        write_sheet(distilled(args.steps))
        quantisation.photographs.cache_clear()
        sktl.clear_memory()
    rng = np.random.default_rng(5)
    n = 2 if args.quick else args.each
    few = {name: [paths[i] for i in rng.permutation(len(paths))[:n]] for name, (paths, _) in sets(None).items()}
    size = (quantisation.DISTILLED_SIDE,) * 2
    alone = quantisation.photographs(size).pictures[: quantisation.N_CALIBRATION].transpose(0, 2, 3, 1)
    results: dict[str, Any] = {}
    for name in list(WEIGHTS)[:1] if args.quick else WEIGHTS:
        found = {
            data: {"photographs alone": moved(name, alone, paths), "as shipped": moved(name, None, paths)}
            for data, paths in few.items()
        }
        results[name] = found
        print(name, results[name], flush=True)
        write_results("distilled_calibration", {"machine": machine(), "results": results}, args)
    rows = [
        [name, data, *(cell[k] for k in ("photographs alone", "as shipped"))]
        for name, cells in results.items()
        for data, cell in cells.items()
    ]
    print_table(["network", "set", "photographs alone", "as shipped"], rows)


if __name__ == "__main__":
    main()
