"""Which layer's codes are worth how much, by how much the pictures resemble ImageNet and how many are labelled.

Claim: on few pictures, codes of the embedded network with logistic regression are a strong start; the last layer is
best for photographs, earlier layers (several together, by the generalised mean or by mean and maximum) for sketches.

Protocol, the same for every column: each picture's codes are scaled to unit length (`Normalizer`), then comes
multinomial logistic regression with ``C=100``; nothing is chosen by test labels. The JSON and a second table hold the
same with `StandardScaler` and the default ``C=1``. The column "chosen by CV" takes, in each repeat, the layers with the
best 3-fold accuracy on the training part alone.

- hymenoptera: the tutorial's split, and 2 x 5-fold stratified cross-validation over all its pictures;
- PACS, each domain: 5, 20 or 80 random pictures a class for training (never more than half of a class), all the others
  for testing; 10, 5 and 3 repeats.

Peers in the same run: timm's own features in a plain loop, with the same values and the same classifier; MobileNetV2
through the same transformer; raw pixels.

Run ``python benchmarks/codes_accuracy.py``; `SKTL_DATA` or ``--data`` names the folder of the data.
"""

from __future__ import annotations

import argparse
import functools
import json
import operator
import os
import platform
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from PIL import Image
from scipy.linalg import eigh
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sktl import CNNCodesTransformer, list_layers

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results" / "codes_accuracy.json"
DOMAINS = ("photo", "art_painting", "cartoon", "sketch")
REPEATS = {5: 10, 20: 5, 80: 3}

LAYERS = list_layers("efficientnet_lite0")
NAMES = [row.name for row in LAYERS]
STAGES = [row.name for row in LAYERS if row.is_stage]
MIDDLE = NAMES[NAMES.index("blocks.3") : NAMES.index("blocks.5") + 1]  # eight layers, without the last ones
SECOND_HALF = NAMES[NAMES.index("blocks.4.0") :]  # nine layers: all beyond half of the depth
LAST_STAGE = NAMES[NAMES.index("blocks.5.0") :]  # six layers: all of the lowest resolution

# A block of codes is (layer, pooling); a setting is the blocks that stand side by side.
Block = tuple[str, str]


def setting(layers: list[str], pooling: str) -> list[Block]:
    return [(layer, part) for layer in layers for part in (("avg", "max") if pooling == "avgmax" else (pooling,))]


HEADLINE = {
    "penultimate, avg (default)": setting(["bn2"], "avg"),
    "blocks.5, avgmax": setting(["blocks.5"], "avgmax"),
    "blocks.3 to blocks.5, avgmax": setting(MIDDLE, "avgmax"),
    '"all", gem': setting(STAGES, "gem"),
    "second half, gem": setting(SECOND_HALF, "gem"),
}
CHOSEN = "chosen by CV"
ANCHORS = {"MobileNetV2, penultimate": [("mobilenet_v2", "avg")], "raw pixels 32 x 32": [("pixels", "32")]}
TIMM = {"timm, plain loop": [("timm", "avg")]}
FURTHER = {
    '"all", avg': setting(STAGES, "avg"),
    '"all", avgmax': setting(STAGES, "avgmax"),
    "every layer, avgmax": setting(NAMES, "avgmax"),
    "every layer, gem": setting(NAMES, "gem"),
    "second half, avg": setting(SECOND_HALF, "avg"),
    "second half, avgmax": setting(SECOND_HALF, "avgmax"),
    "last stage, gem": setting(LAST_STAGE, "gem"),
    "blocks.3 to blocks.5, gem": setting(MIDDLE, "gem"),
    **{f"{name}, avg": setting([name], "avg") for name in NAMES[:-1]},
    **{f"{name}, {how}": setting([name], how) for name in STAGES for how in ("gem", "avgmax")},
}
CLASSIFIERS = {
    "unit length": lambda: make_pipeline(Normalizer(), LogisticRegression(C=100.0, max_iter=2000)),
    "standardised": lambda: make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000)),
}
MAIN, OTHER = CLASSIFIERS
COLUMNS = [*HEADLINE, CHOSEN, *ANCHORS]


@dataclass(frozen=True)
class Split:
    """One repeat of one row of the table."""

    row: str
    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Pictures:
    """All pictures of the benchmark: paths, and the set and class that each belongs to."""

    paths: list[Path]
    sets: np.ndarray
    labels: np.ndarray

    def of(self, *sets: str) -> np.ndarray:
        """Return the positions of the pictures of those sets."""
        return np.flatnonzero(np.isin(self.sets, sets))


def find_pictures(data: Path, *, quick: bool) -> Pictures:
    folders = {"train": data / "hymenoptera" / "train", "val": data / "hymenoptera" / "val"}
    folders |= {domain: data / "pacs" / domain for domain in (("photo", "sketch") if quick else DOMAINS)}
    found = [
        (path, name)
        for name, folder in folders.items()
        for label in sorted(folder.iterdir())
        for path in sorted(label.iterdir())[: 30 if quick else None]
    ]
    paths = [path for path, _ in found]
    return Pictures(paths, np.array([name for _, name in found]), np.array([path.parent.name for path in paths]))


def make_splits(pictures: Pictures, *, quick: bool) -> Iterator[Split]:
    train, val = pictures.of("train"), pictures.of("val")
    yield Split("hymenoptera, tutorial's split", train, val)
    both = np.concatenate([train, val])
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=1 if quick else 2, random_state=0)
    for i, j in folds.split(both, pictures.labels[both]):
        yield Split("hymenoptera, 5-fold CV", both[i], both[j])
    for domain in DOMAINS:
        for n_shots, n_repeats in {5: 2}.items() if quick else REPEATS.items():
            for repeat in range(n_repeats) if len(pictures.of(domain)) else ():
                rng = np.random.default_rng([n_shots, repeat])
                yield random_split(f"{domain}, {n_shots} a class", pictures, domain, n_shots, rng)


def random_split(row: str, pictures: Pictures, domain: str, n_shots: int, rng: np.random.Generator) -> Split:
    rows = pictures.of(domain)
    train = []
    for label in np.unique(pictures.labels[rows]):
        members = rng.permutation(rows[pictures.labels[rows] == label])
        train.extend(members[: min(n_shots, len(members) // 2)])
    return Split(row, np.array(train), np.setdiff1d(rows, train))


def embedded_codes(paths: list[Path]) -> dict[Block, np.ndarray]:
    """Codes of every layer by every pooling, in two passes over the pictures."""
    codes: dict[Block, np.ndarray] = {}
    for pooling, parts in (("avgmax", ("avg", "max")), ("gem", ("gem",))):
        joined = CNNCodesTransformer(layers=NAMES, pooling=pooling).fit_transform(paths)
        ends = np.cumsum([row.channels for row in LAYERS for _ in parts])[:-1]
        blocks = [(row.name, part) for row in LAYERS for part in parts]
        codes |= dict(zip(blocks, np.split(joined, ends, axis=1)))
    return codes


def timm_codes(paths: list[Path]) -> np.ndarray:
    """Run the same network and values as one would without sktl."""
    import timm
    import torch
    from torchvision import transforms

    from sktl.backbones._registry import EmbeddedProvider

    values = torch.load(EmbeddedProvider.weights_path(), weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    network.load_state_dict(dict(zip(network.state_dict(), values.values())))
    network.reset_classifier(0)
    network.eval()
    bicubic = transforms.InterpolationMode.BICUBIC
    normalise = transforms.Normalize([127 / 255] * 3, [128 / 255] * 3)
    resize, crop = transforms.Resize(256, interpolation=bicubic), transforms.CenterCrop(224)
    prepare = transforms.Compose([resize, crop, transforms.ToTensor(), normalise])
    out = []
    with torch.inference_mode():
        for start in range(0, len(paths), 16):
            batch = [prepare(Image.open(path).convert("RGB")) for path in paths[start : start + 16]]
            out.append(network(torch.stack(batch)).numpy())
    return np.concatenate(out)


def pixels(paths: list[Path]) -> np.ndarray:
    side = (32, 32)
    return np.stack([np.asarray(Image.open(p).convert("RGB").resize(side), np.float32).ravel() / 255 for p in paths])


@dataclass(frozen=True)
class Products:
    """Inner products of rows: train x train, test x train, and of each test row with itself."""

    K: np.ndarray
    K_test: np.ndarray
    squares: np.ndarray

    def __add__(self, other: Products) -> Products:
        """Return the products of two blocks of codes side by side."""
        return Products(self.K + other.K, self.K_test + other.K_test, self.squares + other.squares)

    def normalised(self) -> Products:
        """Return the products of rows scaled to unit length."""
        norms, test_norms = np.sqrt(np.diag(self.K)), np.sqrt(self.squares)
        K_test = self.K_test / test_norms[:, None] / norms
        return Products(self.K / norms[:, None] / norms, K_test, np.ones(len(test_norms)))


def products(codes: np.ndarray, train: np.ndarray, test: np.ndarray, classifier: str) -> Products:
    A, B = codes[train], codes[test]  # (n_train, n_features), (n_test, n_features)
    if classifier == "standardised":
        scaler = StandardScaler().fit(A)
        A, B = scaler.transform(A), scaler.transform(B)
    return Products((A @ A.T).astype(float), (B @ A.T).astype(float), np.square(B).sum(axis=1, dtype=float))


def predict(inner: Products, y: np.ndarray, classifier: str) -> np.ndarray:
    """Fit and predict from inner products: the same model as `CLASSIFIERS` at a fraction of the cost.

    With an L2 penalty the weights lie in the span of the training rows, so coordinates in a basis of that span do as
    well as the codes: with K = U S U', rows of U S^(1/2) for training and of K_test U S^(-1/2) for testing.
    """
    inner = inner.normalised() if classifier == "unit length" else inner
    values, U = eigh(inner.K)
    kept = values > 1e-7 * values.max()
    root = np.sqrt(values[kept])
    model = CLASSIFIERS[classifier]()[-1].fit(U[:, kept] * root, y)
    return model.predict(inner.K_test @ U[:, kept] / root)


def accuracies(settings: dict[str, list[Block]], codes, y, train, test, classifier: str = MAIN) -> dict[str, float]:
    wanted = {block for blocks in settings.values() for block in blocks}
    cached = {block: products(codes[block], train, test, classifier) for block in wanted}
    out = {}
    for name, blocks in settings.items():
        inner = functools.reduce(operator.add, (cached[block] for block in blocks))
        out[name] = float(np.mean(predict(inner, y[train], classifier) == y[test]))
    return out


def run_split(split: Split, codes: dict[Block, np.ndarray], y: np.ndarray, settings) -> tuple[str, dict, str]:
    """Return the row, the accuracy of each classifier and setting, and the setting that CV chose."""
    there = {name: blocks for name, blocks in settings.items() if np.isfinite(codes[blocks[0]][split.test[0]]).all()}
    out = {MAIN: accuracies(there, codes, y, split.train, split.test)}
    fewer = {name: blocks for name, blocks in there.items() if name in [*HEADLINE, *ANCHORS, *TIMM, '"all", avg']}
    out[OTHER] = accuracies(fewer, codes, y, split.train, split.test, OTHER)
    inner = defaultdict(list)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    for i, j in folds.split(split.train, y[split.train]):
        for name, value in accuracies(HEADLINE, codes, y, split.train[i], split.train[j]).items():
            inner[name].append(value)
    best = max(HEADLINE, key=lambda name: np.mean(inner[name]))
    out[MAIN][CHOSEN] = out[MAIN][best]
    return split.row, out, best


def check_classifier(codes: np.ndarray, y: np.ndarray, split: Split) -> dict[str, float]:
    """Return, for each classifier, on which share of the pictures scikit-learn's pipeline and `predict` agree."""
    agreement = {}
    for name, make in CLASSIFIERS.items():
        plain = make().fit(codes[split.train], y[split.train]).predict(codes[split.test])
        ours = predict(products(codes, split.train, split.test, name), y[split.train], name)
        agreement[name] = float(np.mean(plain == ours))
    return agreement


def markdown(results: dict[str, dict[str, dict]]) -> str:
    shown = [name for name in COLUMNS if any(name in columns for columns in results.values())]
    lines = ["| data | " + " | ".join(shown) + " |", "| --- |" + " ---: |" * len(shown)]
    for row, columns in results.items():
        best = max(columns[name]["mean"] for name in HEADLINE)
        cells = []
        for name in shown:
            mean, std, n = (columns[name][key] for key in ("mean", "std", "repeats"))
            text = f"{mean:.3f}"
            text = f"**{text}**" if name in HEADLINE and round(mean, 3) == round(best, 3) else text
            cells.append(text + (f" ± {std:.3f}" if n > 1 else ""))
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summarise(values: list[float]) -> dict[str, float]:
    return {
        "mean": round(float(np.mean(values)), 4),
        "std": round(float(np.std(values)), 4),
        "repeats": len(values),
    }


def extract(pictures: Pictures, data: Path, *, quick: bool) -> tuple[dict[Block, np.ndarray], dict]:
    """Return all codes and a report: seconds each took, and how far sktl's and timm's agree."""
    seconds = {}

    def timed(name, compute):
        start = time.perf_counter()
        result = compute()
        seconds[name] = round(time.perf_counter() - start, 1)
        print(f"{name}: {seconds[name]:.0f} s", flush=True)
        return result

    codes = timed("embedded network, 18 layers, 3 poolings", lambda: embedded_codes(pictures.paths))
    codes["pixels", "32"] = timed("raw pixels", lambda: pixels(pictures.paths))
    weights = data / "weights" / "mobilenet_v2-tf-ptq.pth"
    if not quick and weights.is_file():
        mobilenet = CNNCodesTransformer("mobilenet_v2", weights=weights)
        codes["mobilenet_v2", "avg"] = timed("MobileNetV2", lambda: mobilenet.fit_transform(pictures.paths))
    # timm's loop is slow, so it runs over part of the pictures.
    rows = pictures.of("train", "val")
    peer = timed(f"timm, {len(rows)} pictures", lambda: timm_codes([pictures.paths[i] for i in rows]))
    codes["timm", "avg"] = np.full((len(pictures.paths), peer.shape[1]), np.nan, np.float32)
    codes["timm", "avg"][rows] = peer
    ours = codes["bn2", "avg"][rows]
    cosine = (ours * peer).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(peer, axis=1)
    agreement = {"cosine_mean": round(float(cosine.mean()), 6),
                 "cosine_min": round(float(cosine.min()), 6),
                 "largest_difference": float(np.abs(ours - peer).max())}  # fmt: skip
    return codes, {"seconds": seconds, "timm_agreement": agreement}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("SKTL_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of the data")
    parser.add_argument("--quick", action="store_true", help="few pictures, few repeats; writes no file")
    args = parser.parse_args()
    start = time.perf_counter()

    pictures = find_pictures(args.data, quick=args.quick)
    splits = list(make_splits(pictures, quick=args.quick))
    codes, report = extract(pictures, args.data, quick=args.quick)
    settings = {**HEADLINE, **ANCHORS, **TIMM, **({} if args.quick else FURTHER)}
    settings = {name: blocks for name, blocks in settings.items() if all(block in codes for block in blocks)}
    report["classifier_agreement"] = check_classifier(codes["bn2", "avg"], pictures.labels, splits[0])

    jobs = (delayed(run_split)(split, codes, pictures.labels, settings) for split in splits)
    collected: dict = {name: defaultdict(lambda: defaultdict(list)) for name in CLASSIFIERS}
    chosen: dict = defaultdict(list)
    for row, by_classifier, best in Parallel(n_jobs=-1)(jobs):
        chosen[row].append(best)
        for classifier, values in by_classifier.items():
            for name, value in values.items():
                collected[classifier][row][name].append(value)
    everything = {
        classifier: {row: {name: summarise(v) for name, v in columns.items()} for row, columns in rows.items()}
        for classifier, rows in collected.items()
    }
    results = everything[MAIN]
    seconds = round(time.perf_counter() - start, 1)

    for classifier, table in everything.items():
        print(f"\nCodes {classifier}:\n\n{markdown(table)}\n")
    for row, columns in results.items():
        if "timm, plain loop" in columns:
            ours, peer = columns["penultimate, avg (default)"]["mean"], columns["timm, plain loop"]["mean"]
            print(f"{row}: sktl {ours:.3f}, timm in a plain loop {peer:.3f}")
    print(f"cosine of sktl's and timm's codes: {report['timm_agreement']}; all in {seconds:.0f} s")
    if args.quick:
        return
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"cpus": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()}
    content = {
        "machine": machine, "seconds": seconds, **report, "columns": COLUMNS,
        "settings": {name: [f"{layer}:{pooling}" for layer, pooling in blocks] for name, blocks in settings.items()},
        "chosen": dict(chosen), "results": everything,
    }  # fmt: skip
    RESULTS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
