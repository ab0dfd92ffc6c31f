"""Adaptation and meta-learning on two machines, a process each on the CPU, learn what one process learns."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from train_everywhere import KINDS, values_of

import sktl._device as devices
from sktl.adaptation._batches import Layout
from sktl.adaptation.joint._step import AdaptationStep, CrossEntropy
from sktl.training import Processes, WholeBatches

pytest.importorskip("accelerate", reason="several processes are led by accelerate, an optional package")
SCRIPT = str(Path(__file__).resolve().parent / "train_everywhere.py")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Return the folder of what two machines have learned: launchers that meet on the loopback address."""
    folder = tmp_path_factory.mktemp("shared")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    meet = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", str(port)]
    command = [sys.executable, "-m", "torch.distributed.run", *meet]
    machines = [
        subprocess.Popen(
            [*command, "--node-rank", str(rank), SCRIPT, str(folder)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    try:
        said = [machine.communicate(timeout=400)[1] for machine in machines]
    finally:
        for machine in machines:
            machine.kill()
    assert [machine.returncode for machine in machines] == [0, 0], "\n".join(text[-2000:] for text in said)
    return folder


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "drawing"])
def test_two_processes_learn_what_one_does(kind, shared, tmp_path):
    names = []
    for name, model in KINDS[kind]("cpu", tmp_path):
        names.append(name)
        first, second = (np.load(shared / f"{name}-{rank}.npz") for rank in (0, 1))
        alone = values_of(model)
        assert set(first) == set(alone)
        for key, expected in alone.items():
            assert np.array_equal(first[key], second[key]), (name, key)  # the processes agree to the bit
            assert np.allclose(first[key], expected, rtol=2e-3, atol=2e-4), (name, key)
    assert len(names) >= 9


def test_where_they_draw_they_still_learn_the_same(shared):
    files = [sorted(shared.glob(f"{name}-?.npz")) for name in ("loss-mixstyle", "SNAILLearner", "MANNLearner")]
    for first, second in files:
        left, right = np.load(first), np.load(second)
        assert all(np.array_equal(left[key], right[key]) for key in left)


def test_one_process_writes(shared):
    assert len(list((shared / "kept").glob("*.safetensors"))) == 1
    assert len(list((shared / "meta").glob("*.safetensors"))) == 1


def test_what_cannot_be_shared_says_so(shared):
    first, second = ((shared / f"refusals-{rank}.txt").read_text() for rank in (0, 1))
    assert first == second
    tent, search, update = first.split("\n")
    assert "TENT" in tent
    assert "set_params(device='auto')" in tent
    assert "meta_batch_size of 1 row(s)" in update
    assert "in one process" in search


def test_a_state_made_before_is_found_out(monkeypatch):
    devices.accelerate_state()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="has started 2 processes, but accelerate's state in this one knows of 1"):
        devices.accelerate_state()


def test_a_batch_smaller_than_the_processes():
    layout = Layout((2,), 0, 4)
    with pytest.raises(ValueError, match=r"A batch's source of 2 row\(s\) cannot be shared among 3 processes"):
        AdaptationStep([], layout, CrossEntropy(), WholeBatches(0, 3))
    norm = nn.BatchNorm1d(2)
    with pytest.raises(ValueError, match="each needs one at least"):
        Processes(0, 3).together(norm, 2)
    assert Processes(0, 3).together(norm.eval(), 2) is None


def test_shares_of_rows():
    assert [Processes(rank, 2).n_mine(5) for rank in (0, 1)] == [3, 2]
    X = torch.arange(5)
    with pytest.raises(ValueError, match=r"A batch of 1 row\(s\) cannot be shared among 2 processes"):
        Processes(0, 2).through(lambda rows: rows, X[:1])
