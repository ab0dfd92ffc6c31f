"""The defaults of skada, easyfsl and fastai on the cases of `defaults.py`: labels that they predict."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import data_path, peer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

Rows = tuple[np.ndarray, np.ndarray]
EPOCHS = 10  # of fastai, after one of the head alone: as many as `FineTunedClassifier` trains at most


def by_skada(method: str, source: Rows, target: np.ndarray) -> np.ndarray:
    """Return what logistic regression behind an adapter of skada says of the target's rows."""
    skada = peer("skada")[0]
    adapter = {"CORAL": skada.CORALAdapter, "optimal transport": skada.OTMappingAdapter}[method]()
    model = skada.make_da_pipeline(StandardScaler(), adapter, LogisticRegression(max_iter=1000))
    X, y = np.vstack([source[0], target]), np.r_[source[1], np.full(len(target), -1)]
    domain = np.r_[np.ones(len(source[1]), dtype=int), np.full(len(target), -2)]
    model.fit(X, y, sample_domain=domain)
    return model.predict(target, sample_domain=np.full(len(target), -2))


def by_easyfsl(method: str, support: Rows, queries: np.ndarray) -> np.ndarray:
    """Return what a method of easyfsl says of codes."""
    methods = peer("easyfsl.methods")[0]
    model = {"prototypes": methods.PrototypicalNetworks, "SimpleShot": methods.SimpleShot}[method](torch.nn.Identity())
    classes, numbers = np.unique(support[1], return_inverse=True)
    with torch.no_grad():
        model.process_support_set(torch.as_tensor(support[0], dtype=torch.float32), torch.as_tensor(numbers))
        return classes[model(torch.as_tensor(queries, dtype=torch.float32)).argmax(1).numpy()]


def accuracy_by_fastai(python: str, train: tuple[Any, Any], test: tuple[Any, Any], size: int) -> float:
    """Return the share that fastai's `fine_tune` gets right, in a process of its own; X are paths."""
    with tempfile.TemporaryDirectory() as folder:
        problem = Path(folder) / "problem.json"
        problem.write_text(json.dumps({
            "files": [*map(str, train[0])], "labels": [*map(str, train[1])],
            "test_files": [*map(str, test[0])], "test_labels": [*map(str, test[1])],
        }))  # fmt: skip
        weights = data_path("weights/efficientnet-lite0-57934424.pth")
        command = [python, str(Path(__file__).with_name("_fastai_worker.py")), str(problem), "--weights", str(weights)]
        command += ["--epochs", str(EPOCHS), "--size", str(size), "--threads", str(torch.get_num_threads())]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout)["accuracy"]
