"""Forks with every estimator fitted, while a thread computes, after OpenVINO was built: no child hangs or differs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from tests.stress._result import Result

PROGRAM = [sys.executable, "-m", "tests.forks"]
ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT = 300  # seconds for one case, with its children


def run(count: int, seed: int) -> Result:
    """Try `count` cases, each in a process of its own; the next seed goes on where this one ends."""
    result = Result("forks")
    if not hasattr(os, "fork"):
        result.skipped = "this system cannot fork"
        return result
    from tests.forks import cases  # imports every family

    with torch.random.fork_rng(devices=[]):  # the cases' networks draw their first weights
        names = list(cases())
    order = np.random.default_rng(0).permutation(len(names))
    for number in range(count):
        result.count(_violation(names[order[(seed * count + number) % len(order)]]))
    return result


def _violation(name: str) -> str | None:
    try:
        done = subprocess.run([*PROGRAM, name], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"{name}: hung for {LIMIT} s"
    if done.returncode or "child" in done.stdout or not done.stdout.splitlines()[-1].startswith("tried"):
        return f"{name}: ended with {done.returncode}: {(done.stdout + done.stderr)[-500:]}"
    return None
