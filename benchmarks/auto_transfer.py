"""AutoTransferClassifier within a time budget, beside single strategies, and how well it keeps its budget.

Protocol: each case has a training set and a test set that nothing has seen. AutoTransferClassifier gets 60 seconds,
with no codes kept from before. Single strategies stand beside: `make_codes_classifier()` (for feature rows and texts:
logistic regression), the same on all layers, a support vector machine on the last layer, and fine-tuning of all layers,
always, which ends with the epoch in which 60 seconds are over. Default settings, one seed.

With ``--fastai-python PATH`` (of an environment of its own: ``python -m venv fa && fa/bin/pip install fastai timm``)
cases with pictures are run beside fastai's `fine_tune`, from the same weights and for the same time. With
``--autogluon-python PATH`` (``pip install autogluon.tabular[all]``) cases of rows and texts are run beside AutoGluon's
`TabularPredictor` for the same time. With ``--multimodal-python PATH`` (``pip install autogluon.multimodal``) cases
with pictures are run beside AutoGluon's `MultiModalPredictor`, which starts from the same weights.

The second part fits small data of all kinds with budgets of 5 to 120 seconds, and notes by how much each is overrun.

Results are written after each case; ``--resume`` goes on from the file and ``--minutes`` bounds the run. Run
``python benchmarks/auto_transfer.py``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import itertools
import json
import lzma
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import data_path, earlier_results, machine, parser, print_table, write_results
from PIL import Image
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import LinearSVC
from skorch.callbacks import Callback

from sktl import AutoTransferClassifier, CNNCodesTransformer, FineTunedClassifier, make_codes_classifier
from sktl.datasets import load_pictures

CASES = (
    "electricity rows", "books reviews", "hymenoptera", "USPS 20 a class", "sketches", "Greek letters",
    "photographs", "MNIST 20 a class", "paintings", "kitchen reviews",
)  # fmt: skip
BUDGET = 60.0
BUDGETS = (5.0, 10.0, 20.0, 30.0)
MORE_BUDGETS = (7.0, 15.0, 60.0, 120.0)
QUICK_ONES = ("rows 300", "rows 2000", "texts 400")  # of which there are repetitions
OVERRUN_CASES = ("rows 300", "rows 2000", "texts 400", "digits 60", "digits 120")
MOST_TESTED = 200
TABLE_CASES = ("electricity rows", "books reviews", "kitchen reviews")
WEIGHTS = "efficientnet-lite0-57934424.pth"
PEER_CASES = (
    "hymenoptera",
    "sketches",
    "USPS 20 a class",
    "Greek letters",
    "photographs",
    "MNIST 20 a class",
    "paintings",
)


def split(X: Any, y: Any, n_each: int, seed: int = 0) -> tuple[Any, np.ndarray, Any, np.ndarray]:
    """Return so many rows of each class to train on, and up to 200 others to test on."""
    y = np.asarray(y)
    order = np.random.default_rng(seed).permutation(len(y))
    train = np.concatenate([order[y[order] == label][:n_each] for label in np.unique(y)])
    test = np.setdiff1d(order, train, assume_unique=True)
    test = np.random.default_rng(seed).permutation(test)[:MOST_TESTED]
    take = (lambda rows: X[rows]) if isinstance(X, np.ndarray) else (lambda rows: [X[i] for i in rows])
    return take(train), y[train], take(test), y[test]


def load(case: str) -> tuple[Any, np.ndarray, Any, np.ndarray]:
    """Return training rows and labels, and those of the test."""
    if case == "hymenoptera":
        paths, y = load_pictures(data_path("hymenoptera/train"))
        others, z = load_pictures(data_path("hymenoptera/val"))
        return paths, np.asarray(y), others, np.asarray(z)
    domains = {"sketches": "sketch", "photographs": "photo", "paintings": "art_painting"}
    if case in domains:
        paths, y = load_pictures(data_path(f"pacs/{domains[case]}"))
        return split(paths, y, 20)
    if case.endswith("a class"):
        name = case.split()[0].lower()
        z = np.load(data_path(f"digits/{name}.npz"))
        return split(z["x_train"], z["y_train"], 20)
    if case == "Greek letters":
        z = np.load(data_path("omniglot/omniglot_28.npz"))
        letters = z["images"][z["alphabet"] == "Greek"]
        return split(255 - letters.reshape(-1, 28, 28), np.repeat(np.arange(len(letters)), 20), 8)
    if case.endswith("reviews"):
        with lzma.open(data_path("amazon_reviews/reviews.jsonl.xz"), "rt", encoding="utf8") as lines:
            rows = [row for row in map(json.loads, lines) if row["domain"] == case.split()[0]]
        return split([f"{row['title']} {row['text']}" for row in rows], [row["label"] for row in rows], 300)
    X, y = electricity()
    return split(X, y, 500)


def electricity() -> tuple[np.ndarray, np.ndarray]:
    """Return rows and labels of the stream of prices."""
    z = np.load(data_path("electricity/electricity.npz"))
    return z["X"].astype(float), z["y"]


class EndsAfter(Callback):
    """Ends training with the epoch in which so many seconds are over."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def on_train_begin(self, net: Any, **_: Any) -> None:
        """Look at the clock."""
        self.start = time.monotonic()

    def on_epoch_end(self, net: Any, **_: Any) -> None:
        """Stop if it is late."""
        if time.monotonic() - self.start > self.seconds:
            raise KeyboardInterrupt


def strategies(X: Any, budget: float) -> dict[str, Any]:
    """Return the single strategies for rows of this kind."""
    if isinstance(X[0], str) and not X[0].lower().endswith((".jpg", ".jpeg", ".png")):
        words = TfidfVectorizer(sublinear_tf=True)
        return {
            "simple": make_pipeline(words, LogisticRegression(C=10.0, max_iter=1000)),
            "SVM": make_pipeline(words, CalibratedClassifierCV(LinearSVC(), cv=3, ensemble=False)),
        }
    network = FineTunedClassifier(strategy="full", callbacks=[EndsAfter(budget)], random_state=0)
    if getattr(X, "ndim", 0) == 2:
        svm = CalibratedClassifierCV(LinearSVC(), cv=3, ensemble=False)
        simple = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        network.set_params(strategy="scratch")
        return {"simple": simple, "SVM": make_pipeline(StandardScaler(), svm), "always trained": network}
    codes = CNNCodesTransformer(cache="memory")
    every = CNNCodesTransformer(layers="all", cache="memory")
    svm = CalibratedClassifierCV(LinearSVC(), cv=3, ensemble=False)
    return {
        "simple": make_codes_classifier(codes),
        "all layers": make_codes_classifier(every),
        "SVM": make_pipeline(codes, Normalizer(), svm),
        "always trained": network,
    }


def one_case(case: str, budget: float) -> dict[str, Any]:
    """Return accuracies and seconds of all on one case."""
    X, y, others, z = load(case)
    start = time.monotonic()
    search = AutoTransferClassifier(time_budget=budget).fit(X, y)
    found: dict[str, Any] = {
        "rows": len(y), "tested": len(z), "seconds": round(time.monotonic() - start, 1),
        "taken": search.best_candidate_, "expected": round(search.best_score_, 4),
        "accuracy": {"automatic": round(float(search.score(others, z)), 4)},
        "tried": int(search.leaderboard_["score"].notna().sum()), "trained seconds": {},
    }  # fmt: skip
    for name, model in strategies(X, budget).items():
        start = time.monotonic()
        model.fit(X, y)
        found["trained seconds"][name] = round(time.monotonic() - start, 1)
        found["accuracy"][name] = round(float(model.score(others, z)), 4)
    return found


def beside_fastai(case: str, budget: float, python: str) -> dict[str, Any]:
    """Return the accuracies of the automatic road, of training all layers and of fastai, one after the other."""
    X, y, others, z = load(case)
    models = {"automatic": AutoTransferClassifier(time_budget=budget)}
    models["always trained"] = strategies(X, budget)["always trained"]
    found = ours(models, X, y, others, z)
    with tempfile.TemporaryDirectory() as folder:
        problem = Path(folder) / "problem.json"
        names = {"files": as_files(X, folder, "train"), "labels": [*map(str, y)]}
        names |= {"test_files": as_files(others, folder, "test"), "test_labels": [*map(str, z)]}
        problem.write_text(json.dumps(names))
        weights = data_path(f"weights/{WEIGHTS}")
        worker = Path(__file__).with_name("_fastai_worker.py")
        command = [python, str(worker), str(problem), "--weights", str(weights), "--seconds", str(budget)]
        command += ["--threads", str(torch.get_num_threads())]
        return with_peer(found, "fastai", command, budget)


def ours(models: dict[str, Any], X: Any, y: np.ndarray, others: Any, z: np.ndarray) -> dict[str, Any]:
    """Return accuracies and seconds of fitting of models of this library."""
    found: dict[str, Any] = {"rows": len(y), "tested": len(z), "accuracy": {}, "seconds": {}}
    for name, model in models.items():
        start = time.monotonic()
        model.fit(X, y)
        found["seconds"][name] = round(time.monotonic() - start, 1)
        found["accuracy"][name] = round(float(model.score(others, z)), 4)
    return found


def with_peer(found: dict[str, Any], name: str, command: list[str], budget: float) -> dict[str, Any]:
    """Add what a worker in another environment prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20 * budget)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    peer = json.loads(done.stdout)
    found["accuracy"][name], found["seconds"][name] = peer.pop("accuracy"), peer.pop("seconds")
    return found | {name: peer}


def beside_autogluon(case: str, budget: float, python: str) -> dict[str, Any]:
    """Return the accuracies of the automatic road, of logistic regression and of AutoGluon, one after the other."""
    X, y, others, z = load(case)
    models = {"automatic": AutoTransferClassifier(time_budget=budget), "simple": strategies(X, budget)["simple"]}
    found = ours(models, X, y, others, z)
    rows = {"train": X, "test": others}
    is_text = isinstance(X[0], str)
    given = {part: [[row] for row in of] if is_text else of.tolist() for part, of in rows.items()}
    given |= {"kind": "text" if is_text else "rows", "labels": y.tolist(), "test_labels": z.tolist()}
    with tempfile.TemporaryDirectory() as folder:
        problem = Path(folder) / "problem.json"
        problem.write_text(json.dumps(given))
        worker = Path(__file__).with_name("_autogluon_worker.py")
        return with_peer(found, "autogluon", [python, str(worker), str(problem), "--seconds", str(budget)], budget)


def beside_multimodal(case: str, budget: float, python: str) -> dict[str, Any]:
    """Return the accuracies of the automatic road, of codes of the last layer and of AutoGluon's MultiModal."""
    X, y, others, z = load(case)
    models = {"automatic": AutoTransferClassifier(time_budget=budget), "simple": strategies(X, budget)["simple"]}
    found = ours(models, X, y, others, z)
    with tempfile.TemporaryDirectory() as folder:
        given = {"kind": "pictures", "labels": y.tolist(), "test_labels": z.tolist()}
        given |= {"train": as_files(X, folder, "train"), "test": as_files(others, folder, "test")}
        problem = Path(folder) / "problem.json"
        problem.write_text(json.dumps(given))
        worker, weights = Path(__file__).with_name("_autogluon_worker.py"), data_path(f"weights/{WEIGHTS}")
        command = [python, str(worker), str(problem), "--seconds", str(budget), "--weights", str(weights)]
        return with_peer(found, "autogluon", [*command, "--threads", str(torch.get_num_threads())], budget)


def as_files(X: Any, folder: str, name: str) -> list[str]:
    """Return paths of the pictures; arrays are written as PNG."""
    if isinstance(X[0], (str, Path)):
        return [str(path) for path in X]
    paths = [f"{folder}/{name}_{i}.png" for i in range(len(X))]
    for path, picture in zip(paths, X):
        Image.fromarray(picture).save(path)
    return paths


def small(case: str, seed: int) -> tuple[Any, np.ndarray]:
    """Return small data of one kind."""
    kind, n = case.split()[0], int(case.split()[1])
    rng = np.random.default_rng(seed)
    if kind == "rows":
        X, y = electricity()
        rows = rng.permutation(len(y))[:n]
        return X[rows], y[rows]
    if kind == "texts":
        X, y, _, _ = load("books reviews")
        rows = rng.permutation(len(y))[:n]
        return [X[i] for i in rows], y[rows]
    X, y, _, _ = load("USPS 20 a class")
    rows = rng.permutation(len(y))[:n]
    return X[rows], y[rows]


def one_overrun(case: str, budget: float, seed: int) -> dict[str, Any]:
    """Return how long a search took beyond its budget; of pictures, beside one pass of the network over them."""
    X, y = small(case, seed)
    one_pass = 0.0
    if case.startswith("digits"):
        start = time.monotonic()
        CNNCodesTransformer().fit_transform(X)
        one_pass = time.monotonic() - start
        X = X.copy()
        X[:, 0, 0] ^= np.uint8(1 + seed)  # pictures that no store knows
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        search = AutoTransferClassifier(time_budget=budget).fit(X, y)
    seconds = time.monotonic() - start
    return {
        "seconds": round(seconds, 2), "overrun": round(seconds - budget, 2), "one pass": round(one_pass, 2),
        "taken": search.best_candidate_, "tried": int(search.leaderboard_["score"].notna().sum()),
    }  # fmt: skip


def runs_of_time(n: int) -> list[tuple[str, str, float]]:
    """Return so many runs of the second part, each a name, the data and the budget."""
    found = list(itertools.product(OVERRUN_CASES, BUDGETS))
    found += [pair for budget in MORE_BUDGETS for pair in itertools.product((*QUICK_ONES, "digits 60"), (budget,))]
    runs = [(f"{case}, {budget:g} s", case, budget) for case, budget in found]
    for repetition in range(2, 2 + n):
        again = itertools.product(BUDGETS + MORE_BUDGETS, QUICK_ONES)
        runs += [(f"{case}, {budget:g} s, {repetition}", case, budget) for budget, case in again]
        if len(runs) >= n:
            break
    return runs[:n]


def report(results: dict[str, Any]) -> None:
    """Print the accuracies, and the overruns."""
    names = ["automatic", "simple", "all layers", "SVM", "always trained"]
    rows = []
    for case, cell in results.get("cases", {}).items():
        values = [cell["accuracy"].get(name) for name in names]
        rows.append([case, cell["rows"], *(None if v is None else f"{100 * v:.1f}" for v in values), cell["taken"]])
    print_table(["case", "rows", *names, "taken"], rows)
    runs = list(results.get("overruns", {}).values())
    if runs:
        most = max(run["overrun"] for run in runs)
        kept = sum(run["overrun"] <= max(2.0, run["one pass"]) for run in runs)
        print(f"\n{len(runs)} runs: the largest overrun {most:.1f} s; {kept} within 2 s or one pass")


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--cases", nargs="*", default=list(CASES), choices=CASES)
    options.add_argument("--budget", type=float, default=BUDGET, help="seconds (default: %(default)s)")
    options.add_argument("--runs", type=int, default=100, help="of the second part (default: %(default)s)")
    options.add_argument("--minutes", type=float, default=60.0, help="no case is begun later (default: %(default)s)")
    options.add_argument("--fastai-python", help="the Python of an environment with fastai: that part alone is run")
    options.add_argument("--autogluon-python", help="the same with AutoGluon")
    options.add_argument("--multimodal-python", help="the same with AutoGluon's MultiModal")
    options.add_argument("--threads", type=int, default=None, help="torch's threads (default: torch's own choice)")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.quick:
        args.cases, args.budget = args.cases[:1], 10.0
    start, results, described = time.monotonic(), earlier_results("auto_transfer", args), machine()
    cases, overruns = results.setdefault("cases", {}), results.setdefault("overruns", {})

    is_beside = bool(args.fastai_python or args.autogluon_python or args.multimodal_python)
    budget = BUDGET if is_beside else args.budget  # of the cases; another one of a peer's is in its title

    def keep(where: dict[str, Any], name: str, found: dict[str, Any]) -> None:
        where[name] = found
        print(name, found, flush=True)
        write_results("auto_transfer", {"machine": described, "budget": budget, "results": results}, args)

    of_peers = (
        ("fastai", args.fastai_python, PEER_CASES, beside_fastai),
        ("autogluon", args.autogluon_python, TABLE_CASES, beside_autogluon),
        ("multimodal", args.multimodal_python, PEER_CASES, beside_multimodal),
    )
    for name, python, peer_cases, beside in of_peers:
        title = name if args.budget == BUDGET else f"{name}, {args.budget:g} s"
        peers = results.setdefault(title, {}) if python else {}
        for case in peer_cases if python else ():
            if case in args.cases and case not in peers and time.monotonic() - start < 60 * args.minutes:
                keep(peers, case, beside(case, args.budget, python))
    if is_beside:
        return
    runs = runs_of_time(2 if args.quick else args.runs)
    for number in range(max(len(runs), len(args.cases))):  # both parts in turn, so that a bounded run has some of each
        if time.monotonic() - start > 60 * args.minutes:
            break
        if number < len(args.cases) and args.cases[number] not in cases:
            keep(cases, args.cases[number], one_case(args.cases[number], args.budget))
        for name, case, seconds in runs[2 * number : 2 * number + 2]:
            if name not in overruns and time.monotonic() - start < 60 * args.minutes:
                keep(overruns, name, one_overrun(case, seconds, len(overruns)))
    report(results)


if __name__ == "__main__":
    main()
