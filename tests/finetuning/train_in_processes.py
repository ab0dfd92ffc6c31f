"""Fit in as many processes as a launcher starts; argv: data file, folder for the results, device."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sktl.finetuning import FineTunedClassifier, FineTunedRegressor


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = [
            nn.Sequential(nn.Conv2d(n, 2 * n + 2, 3, stride=2), nn.BatchNorm2d(2 * n + 2), nn.ReLU()) for n in (3, 8)
        ]
        return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(18, 2))


def fits(data, folder: Path, device: str):
    """Yield the name and the fitted model of fits of several kinds."""
    rows, pictures, y, weight = (data[name] for name in ("rows", "pictures", "y", "weight"))
    common = {"random_state": 0, "device": device, "optimizer": "sgd", "max_epochs": 3}
    of_pictures = {**common, "image_size": 32, "augment": "flip", "batch_size": 7}
    yield "rows", FineTunedClassifier(batch_size=9, **common).fit(rows, y, sample_weight=weight)
    # 40 rows in batches of 13 or 14, of which the last process has fewer; a held-out part that stops training
    stopping = {"early_stopping": True, "validation_fraction": 0.25, "n_iter_no_change": 1, "ema": 0.5}
    yield "stopping", FineTunedClassifier(batch_size=14, **common, **stopping).fit(rows, y)
    yield "full", FineTunedClassifier(network(), strategy="full", **of_pictures).fit(pictures, y)
    yield "last", FineTunedClassifier(network(), strategy="last", freeze_until="0", **of_pictures).fit(pictures, y)
    kept = FineTunedRegressor(network(), checkpoint_dir=folder / "kept", **of_pictures)
    yield "kept", kept.fit(pictures, rows[:, :2])
    yield "finished", kept.fit(pictures, rows[:, :2])


def values_of(model) -> dict:
    return {
        "losses": [row["train_loss"] for row in model.history_],
        **{name: tensor.numpy() for name, tensor in model._learned.tensors.items()},
    }


if __name__ == "__main__":
    from accelerate import PartialState

    data, folder = np.load(sys.argv[1]), Path(sys.argv[2])
    for name, model in fits(data, folder, sys.argv[3]):
        rank = PartialState().process_index
        assert PartialState().num_processes == 2
        np.savez(folder / f"{name}-{rank}.npz", **values_of(model))
    anew = FineTunedClassifier(device=sys.argv[3], max_epochs=1).fit(data["rows"], data["y"])  # no random state
    np.savez(folder / f"anew-{rank}.npz", **values_of(anew))
    try:
        FineTunedClassifier(device=sys.argv[3], learning_rate=1e30, optimizer="sgd").fit(data["rows"] * 1e6, data["y"])
    except ArithmeticError as error:
        (folder / f"error-{rank}.txt").write_text(str(error))
    PartialState().destroy_process_group()  # else gloo's threads may outlive what they use, as the process ends
