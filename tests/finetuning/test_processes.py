"""Training in two processes on the CPU, started by accelerate's own launcher."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from train_in_processes import fits, values_of

from sktl.finetuning import FineTunedClassifier
from sktl.training import processes_of

pytest.importorskip("accelerate", reason="several processes are led by accelerate, an optional package")
HERE = Path(__file__).resolve().parent
NAMES = ("rows", "stopping", "full", "last", "kept", "finished")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return what one process and what two have learned, by name."""
    folder, rng = tmp_path_factory.mktemp("processes"), np.random.default_rng(0)
    data = {
        "rows": rng.normal(size=(40, 5)), "pictures": rng.integers(0, 255, (40, 32, 32, 3), dtype=np.uint8),
        "y": np.arange(40) % 3 % 2, "weight": rng.uniform(0, 3, 40) * (np.arange(40) % 5 > 0),
    }  # fmt: skip
    data["pictures"][data["y"] == 1] //= 2
    np.savez(folder / "data.npz", **data)
    # --multi_gpu asks for one process a device; without a GPU both are on the CPU, and speak by gloo.
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    defaults = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    script = [str(HERE / "train_in_processes.py"), str(folder / "data.npz"), str(folder), "accelerate"]
    command = [*launch, *defaults, *script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "alone").mkdir()
    alone = {name: values_of(model) for name, model in fits(data, folder / "alone", "cpu")}
    return folder, alone


@pytest.mark.parametrize("name", NAMES)
def test_same_as_one_process(name, results):
    folder, alone = results
    first, second = (np.load(folder / f"{name}-{rank}.npz") for rank in (0, 1))
    assert set(first) == set(alone[name])
    for key, expected in alone[name].items():
        assert np.array_equal(first[key], second[key]), key  # the processes agree to the bit
        assert np.allclose(first[key], expected, rtol=1e-4, atol=1e-5), key


def test_without_random_state_they_draw_the_same(results):
    folder, _ = results
    first, second = (np.load(folder / f"anew-{rank}.npz") for rank in (0, 1))
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_both_hear_of_a_divergence(results):
    folder, _ = results
    first, second = ((folder / f"error-{rank}.txt").read_text() for rank in (0, 1))
    assert "not finite" in first
    assert first == second


def test_one_process_writes_checkpoints(results):
    folder, _ = results
    assert len(list((folder / "kept").glob("*.safetensors"))) == 1


def test_without_a_launcher_it_is_one_process():
    X = np.random.default_rng(0).normal(size=(30, 3))
    options = {"max_epochs": 1, "random_state": 0}
    expected = FineTunedClassifier(**options).fit(X, X[:, 0] > 0).predict_proba(X)
    assert np.array_equal(
        FineTunedClassifier(device="accelerate", **options).fit(X, X[:, 0] > 0).predict_proba(X), expected
    )
    assert processes_of("accelerate") is None


def test_accelerate_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ValueError, match=r"pip install 'sktl\[accelerate\]'"):
        FineTunedClassifier(device="accelerate").fit(np.eye(4), [0, 1, 0, 1])
