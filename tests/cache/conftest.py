from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sktl.cache import DiskCache, MemoryCache

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "codes"


@pytest.fixture(params=["memory", "disk"])
def cache(request, folder):
    return MemoryCache() if request.param == "memory" else DiskCache(folder)


@pytest.fixture
def start():
    """Start a Python program that can import sktl and the helpers beside this file; end it with the test."""
    started = []

    def start_program(program: str, *arguments) -> subprocess.Popen:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        return process

    yield start_program
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def finish():
    def finish_program(process: subprocess.Popen, timeout: float = 60) -> str:
        output, errors = process.communicate(timeout=timeout)
        assert process.returncode == 0, errors
        return output

    return finish_program
