"""Processes that are killed (-9) while they extract, train with checkpoints, or save: nothing is lost, nothing wrong.

After each kill, what was stored before is still there. Now and then a process is let alone: it has to end like one that
was never disturbed, to the bit. All processes are forks of one program that has not computed anything yet, so that they
are at work at once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import sktl
from sktl.cache import open_cache
from sktl.exceptions import CacheWarning, CheckpointWarning
from sktl.fewshot import MAMLLearner, ProtoNetLearner
from tests.stress._result import Result

ROOT = Path(__file__).resolve().parents[2]
ENDS = 0.3  # share of kills after which a process is let alone
PICTURES = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), np.uint8)
X = np.random.default_rng(1).normal(size=(60, 5))
Y = np.arange(60) % 3
TEXTS = [f"the film {i}, " * (1 + i % 5) + "good book" for i in range(120)]


def run(count: int, seed: int) -> Result:
    """Kill `count` processes, of each kind in turn."""
    result = Result("kills")
    if not hasattr(os, "fork"):
        result.skipped = "processes cannot be forked"
        return result
    program = [sys.executable, "-m", "tests.stress.kills", str(count), str(seed)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(program, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, cwd=ROOT)
    if done.returncode:
        result.count(f"the program ended with {done.returncode}: {done.stderr[-2000:]}")
        return result
    found = json.loads(done.stdout.splitlines()[-1])
    result.n_cases, result.violations = found["n_cases"], found["violations"]
    return result


def in_child(work: Callable[[], None]) -> int:
    """Start a child; returns its process id. Its warnings of damaged or unusable files are errors."""
    child = os.fork()
    if child:
        return child
    try:
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", CheckpointWarning)
        warnings.simplefilter("error", CacheWarning)
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ended(child: int) -> bool:
    """Wait for a child; returns whether it ended well."""
    return os.waitpid(child, 0)[1] == 0


class Kind(ABC):
    """What is killed.

    Parameters
    ----------
    folder : Path
        New.
    """

    def __init__(self, folder: Path):
        self.kept, self.answer = folder / "kept", folder / "answer.npy"
        folder.mkdir()
        begin = time.monotonic()
        assert ended(in_child(lambda: np.save(self.answer, self.work(None)))), type(self).__name__
        self.seconds, self.expected = time.monotonic() - begin, np.load(self.answer)

    @abstractmethod
    def work(self, kept: Path | None) -> np.ndarray:
        """Do all of it, keeping what is done in a folder, and return the outcome."""

    @abstractmethod
    def n_kept(self) -> int:
        """Return how much of the work is kept."""

    def kill(self, rng: np.random.Generator) -> str | None:
        """Kill one process; returns what is wrong, if something is."""
        before = self.n_kept()
        child = in_child(lambda: np.save(self.answer, self.work(self.kept)))
        time.sleep(rng.uniform(0, 1.1 * self.seconds))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        after = self.n_kept()
        if after < before:
            return f"{after} are kept of {before}"
        return self.end() if rng.uniform() < ENDS else None

    def end(self) -> str | None:
        """Let a process alone; returns what is wrong with its outcome, if something is. What is kept is removed."""
        self.answer.unlink(missing_ok=True)
        if not ended(in_child(lambda: np.save(self.answer, self.work(self.kept)))):
            return "a process that was let alone failed"
        is_same = np.array_equal(np.load(self.answer), self.expected)
        shutil.rmtree(self.kept, ignore_errors=True)
        return None if is_same else "another outcome"


class Extraction(Kind):
    """Codes of pictures, with a store."""

    def work(self, kept: Path | None) -> np.ndarray:
        """Return the codes."""
        options: dict[str, Any] = {
            "layers": "0",
            "pooling": "flatten",
            "image_size": 32,
            "engine": "torch",
            "n_jobs": 1,
        }
        return sktl.CNNCodesTransformer(network(), batch_size=2, cache=kept, device="cpu", **options).transform(
            PICTURES
        )

    def n_kept(self) -> int:
        """Return how many codes are stored."""
        place = self.answer.with_name("n_kept.npy")
        if not self.kept.exists():
            return 0
        return int(np.load(place)) if ended(in_child(lambda: np.save(place, open_cache(self.kept).n_entries))) else -1


class SharedExtraction(Extraction):
    """Two processes share the store; one is killed, and the other has to end well all the same."""

    def kill(self, rng: np.random.Generator) -> str | None:
        """Kill one of two processes."""
        first, second = (in_child(lambda: np.save(self.answer, self.work(self.kept))) for _ in range(2))
        time.sleep(rng.uniform(0, 1.1 * self.seconds))
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        if not ended(second):
            return "the other process failed"
        if self.n_kept() != len(PICTURES):
            return f"{self.n_kept()} codes are stored of {len(PICTURES)}"
        return self.end()


class TextExtraction(Extraction):
    """Codes of texts, with a store."""

    def __init__(self, folder: Path):
        self.encoder = folder.with_name("encoder")
        self.encoder.mkdir()
        assert ended(in_child(self._write_encoder)), "the encoder was not written"
        super().__init__(folder)

    def _write_encoder(self) -> None:
        from tests.texts.tiny_encoders import save_tiny_encoder

        save_tiny_encoder(self.encoder)

    def work(self, kept: Path | None) -> np.ndarray:
        """Return the codes."""
        model = sktl.TextCodesTransformer(
            str(self.encoder / "encoder"), batch_size=1, cache=kept, engine="torch", device="cpu"
        )
        return model.transform(TEXTS)


class Training(Kind):
    """Abstract: a training that keeps checkpoints."""

    def n_kept(self) -> int:
        """Return the last epoch that is kept."""
        return max((int(path.name.split("-")[1]) for path in self.kept.glob("*.safetensors")), default=0)


class Classifier(Training):
    """Fine-tuning, with early stopping."""

    def work(self, kept: Path | None) -> np.ndarray:
        """Return the probabilities."""
        model = sktl.FineTunedClassifier(
            max_epochs=15, batch_size=8, early_stopping=True, ema=0.9, random_state=0, checkpoint_dir=kept
        )
        return model.fit(X, Y).predict_proba(X)


class Regressor(Training):
    """Fine-tuning on values."""

    def work(self, kept: Path | None) -> np.ndarray:
        """Return the estimates."""
        model = sktl.FineTunedRegressor(max_epochs=15, batch_size=8, random_state=0, checkpoint_dir=kept)
        return model.fit(X, X[:, :2]).predict(X)


class Metric(Training):
    """Meta-training of an encoder."""

    def work(self, kept: Path | None) -> np.ndarray:
        """Return the codes."""
        learner = ProtoNetLearner(n_way=3, n_query=2, n_episodes=600, random_state=0, checkpoint_dir=kept)
        return learner.fit(X, Y).transform(X)


class Gradients(Training):
    """Meta-training by gradients through gradients."""

    def work(self, kept: Path | None) -> np.ndarray:
        """Return the answers for a task."""
        learner = MAMLLearner(
            n_way=3, n_query=2, n_episodes=300, meta_batch_size=1, adapt_steps=1, random_state=0, checkpoint_dir=kept
        ).fit(X, Y)
        return learner.logits(learner.adapt_to(X[::4], Y[::4]), X)


class Saving(Kind):
    """Two models are saved to one path, in turn: a whole one stands there, always."""

    def work(self, kept: Path | None) -> np.ndarray:
        """Save for a while; return the answers of both models."""
        options = {"n_way": 3, "n_query": 2, "n_episodes": 2}
        learners = [ProtoNetLearner(**options, random_state=i).fit(X, Y) for i in range(2)]
        if kept is not None:
            kept.mkdir(exist_ok=True)
            for turn in range(40):
                learners[turn % 2].save(kept / "model")
        return np.stack([learner.transform(X) for learner in learners])

    def n_kept(self) -> int:
        """Return whether a model stands there."""
        return int((self.kept / "model").exists())

    def kill(self, rng: np.random.Generator) -> str | None:
        """Kill a process, and look at what it leaves."""
        wrong = super().kill(rng)
        if wrong is None and self.n_kept():
            found = self.answer.with_name("found.npy")
            if not ended(in_child(lambda: np.save(found, sktl.load(self.kept / "model").transform(X)))):
                return "a file that cannot be loaded"
            if not any(np.array_equal(np.load(found), one) for one in self.expected):
                return "a file that answers otherwise"
        return wrong

    def end(self) -> str | None:
        """Let a process alone; nothing of those that were killed is left then."""
        if not ended(in_child(self._save)):
            return "a process that was let alone failed"
        left = [path.name for path in self.kept.iterdir()]
        return None if left == ["model"] else f"the folder holds {left}"

    def _save(self) -> None:
        self.work(self.kept)


KINDS: tuple[type[Kind], ...] = (Extraction, Classifier, Saving, SharedExtraction, Metric, Regressor, Gradients)
if importlib.util.find_spec("sentence_transformers") is not None:
    KINDS += (TextExtraction,)


def network() -> nn.Module:
    """Return the same small network in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def attack(count: int, seed: int) -> Result:
    """Kill `count` children of this very process."""
    rng, result = np.random.default_rng(seed), Result("kills")
    with tempfile.TemporaryDirectory() as folder:
        kinds = [kind(Path(folder) / kind.__name__) for kind in KINDS[: max(1, count)]]
        for case in range(count):
            kind = kinds[case % len(kinds)]
            wrong = kind.kill(rng)
            result.count(None if wrong is None else f"seed {seed}, case {case}, {type(kind).__name__}: {wrong}")
        for kind in kinds:  # whatever was killed last goes on and ends
            if (wrong := kind.end()) is not None:
                result.violations.append(f"seed {seed}, at the end, {type(kind).__name__}: {wrong}")
    return result


if __name__ == "__main__":
    torch.set_num_threads(1)
    if TextExtraction in KINDS:
        import sentence_transformers  # noqa: F401 - here, so that no child has to
    outcome = attack(int(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps({"n_cases": outcome.n_cases, "violations": outcome.violations}))
