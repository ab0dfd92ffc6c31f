"""From a folder of pictures to an ONNX file that predicts, within a minute: ants and bees, by cross-validation.

Protocol: all 397 pictures of hymenoptera, five stratified folds. In each, AutoTransferClassifier learns four fifths of
the paths, with no codes kept from before, and writes what it found as one ONNX file that takes decoded pictures. The
time of both together is to be a minute, so that the search gets `--budget` seconds of it. The last fifth is decoded by
Pillow and answered by onnxruntime alone. The answers of the estimator itself stand beside, and so does a peer:
torchvision's usual preparation, the same network's pooled features by timm, and scikit-learn's logistic regression.

Results are written after each fold; ``--resume`` goes on from the file. Run ``python benchmarks/folder_to_onnx.py``;
`SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _advisor_cases import hymenoptera
from _common import data_path, earlier_results, machine, parser, print_table, write_results
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from sktl import AutoTransferClassifier

FOLDS = 5
BUDGET, MINUTE = 50.0, 60.0
WEIGHTS = "efficientnet-lite0-57934424.pth"


def one_fold(paths: list, y: np.ndarray, train: np.ndarray, test: np.ndarray, budget: float) -> dict[str, Any]:
    """Return accuracies of the file, of the estimator and of the peer, and seconds, on one fold."""
    import onnxruntime

    shown, asked = [paths[i] for i in train], [paths[i] for i in test]
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        search = AutoTransferClassifier(time_budget=budget, cache=folder).fit(shown, y[train])
        searched = time.monotonic() - start
        search.to_onnx(Path(folder) / "model.onnx", preprocess=True)
        seconds = time.monotonic() - start
        session = onnxruntime.InferenceSession(Path(folder) / "model.onnx", providers=["CPUExecutionProvider"])
        size = (Path(folder) / "model.onnx").stat().st_size
        answers = [int(session.run(None, {"pictures": decoded(path)})[0].argmax(1)[0]) for path in asked]
        own = search.predict(asked)
    written = search.classes_[answers]
    return {
        "rows": len(train), "tested": len(test), "taken": search.best_candidate_, "file_mib": round(size / 2**20, 1),
        "seconds": {"search": round(searched, 1), "both": round(seconds, 1)},
        "accuracy": {
            "ONNX": round(float(np.mean(written == y[test])), 4), "estimator": round(float(np.mean(own == y[test])), 4),
            "peer": round(by_peer(shown, y[train], asked, y[test]), 4),
        },
        "agree": round(float(np.mean(written == own)), 4),
    }  # fmt: skip


def decoded(path: Any) -> np.ndarray:
    """Return a picture as it was decoded, uint8 of shape (1, 3, H, W)."""
    return np.ascontiguousarray(np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)[None])


def by_peer(shown: list, y: np.ndarray, asked: list, z: np.ndarray) -> float:
    """Return the accuracy of timm's features of the same weights and logistic regression, at their defaults."""
    import timm
    from torchvision import transforms

    network = timm.create_model("tf_efficientnet_lite0")
    state = torch.load(data_path(f"weights/{WEIGHTS}"), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), state.values())))
    network.reset_classifier(0)
    network.eval()
    prepare = transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize([0.5] * 3, [0.5] * 3),
    ])  # fmt: skip

    def codes(paths: list) -> np.ndarray:
        with torch.inference_mode():
            batches = [torch.stack([prepare(Image.open(p).convert("RGB")) for p in paths[i : i + 32]])
                       for i in range(0, len(paths), 32)]  # fmt: skip
            return np.concatenate([network(batch).numpy() for batch in batches])

    return float(LogisticRegression(max_iter=1000).fit(codes(shown), y).score(codes(asked), z))


def report(results: dict[str, Any]) -> None:
    """Print accuracies and seconds by fold."""
    rows = [
        [fold, *(f"{100 * cell['accuracy'][name]:.1f}" for name in ("ONNX", "estimator", "peer")),
         cell["seconds"]["both"], cell["taken"]]
        for fold, cell in results.items()
    ]  # fmt: skip
    print_table(["fold", "ONNX", "estimator", "peer", "seconds", "taken"], rows)
    means = [np.mean([cell["accuracy"][name] for cell in results.values()]) for name in ("ONNX", "estimator", "peer")]
    print("means", *(f"{100 * mean:.2f}" for mean in means))


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--budget", type=float, default=BUDGET, help="seconds of the search (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    results, described = earlier_results("folder_to_onnx", args), machine()
    paths, y = hymenoptera()
    y = np.asarray(y)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(paths, y)
    for number, (train, test) in enumerate(folds, 1):
        fold = f"fold {number}"
        if fold in results or (args.quick and number > 1):
            continue
        results[fold] = one_fold(paths, y, train, test, 10.0 if args.quick else args.budget)
        print(fold, results[fold], flush=True)
        write_results("folder_to_onnx", {"machine": described, "budget": args.budget, "results": results}, args)
    report(results)


if __name__ == "__main__":
    main()
