"""A small network that notes in a file how many pictures went through it, from whatever process."""

import os
from pathlib import Path

import torch
from torch import nn


class CountingNetwork(nn.Module):
    def __init__(self, log: str):
        super().__init__()
        self.log = log
        self.body = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4))
        self.head = nn.Linear(128, 2)

    def forward(self, x):
        with open(self.log, "ab") as file:  # appending one byte a picture is atomic
            os.write(file.fileno(), b"." * len(x))
        return self.head(self.body(x).flatten(1))


def counting_network(log: Path) -> CountingNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CountingNetwork(str(log))


def n_seen(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0
