"""A small network that notes how many pictures go through each of its parts, from whatever process."""

import os
from pathlib import Path

import torch
from torch import nn


class Counted(nn.Module):
    """A stage that appends one byte a picture to a file of its own; appending is atomic.

    A single picture does not count: networks are looked at with one.
    """

    def __init__(self, n_in: int, n_out: int, log: str):
        super().__init__()
        self.log = log
        self.conv = nn.Conv2d(n_in, n_out, 5, stride=4 if n_in == 3 else 2, padding=2)
        self.norm = nn.BatchNorm2d(n_out)
        self.act = nn.ReLU()

    def forward(self, x):
        if len(x) > 1:
            with open(self.log, "ab") as file:
                os.write(file.fileno(), b"." * len(x))
        return self.act(self.norm(self.conv(x)))


def counted_network(folder: Path) -> nn.Sequential:
    """Return three stages, "0" to "2", and a classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        stages = [Counted(*sizes, str(folder / name)) for name, sizes in zip("012", [(3, 8), (8, 12), (12, 16)])]
        return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


def forget(folder: Path) -> None:
    for name in "012":
        (folder / name).unlink(missing_ok=True)


def n_seen(folder: Path) -> list[int]:
    """Return how many pictures went through each stage."""
    return [path.stat().st_size if (path := folder / name).exists() else 0 for name in "012"]
