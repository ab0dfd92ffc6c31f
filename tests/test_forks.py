"""No forked child hangs: a part of the program `forks.py`, which tries every estimator."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_estimators_that_build_no_engine():
    done = subprocess.run(
        [sys.executable, "-m", "tests.forks", "MAMLLearner", "ProtoNetClassifier", "FineTunedClassifier"],
        capture_output=True, text=True, timeout=400, check=False, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "child" not in done.stdout, done.stdout
    assert done.stdout.splitlines()[-1] == "tried 3"
