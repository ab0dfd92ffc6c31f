"""Numbers in another domain: what adaptation gains over no adaptation, and over ridge regression.

Claim: with default settings `DomainAdaptedRegressor` is not behind its own training without a loss, nor behind ridge
regression on feature rows.

Protocol: rows of the source with numbers, rows of the target without; R^2 on these target rows, mean over `--seeds`.

- patients: scikit-learn's diabetes set, from one sex to the other and from younger to older ones; its progression.
- demand: electricity's demand from prices and hours, 4,000 half hours of one time to 4,000 of a later one.
- stars: 1 to 5, from 400 reviews of one kind of goods to 2,000 of another, twelve pairs; 200 principal
  components of tf-idf.
- angles: digits turned by -45 to 45 degrees, MNIST to USPS and back; 1,500 pictures of each; a network of two
  convolutions that is trained from random values.

Ridge regression is `RidgeCV` on rows standardised by all rows. Of the losses, which is the default was chosen on these
sets, the angles included: the one that is not behind "none" anywhere. Run ``python benchmarks/domain_regression.py``;
`SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import itertools
import json
import lzma
import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from _common import data_path, machine, parser, print_table, write_results
from scipy.ndimage import rotate, zoom
from sklearn.datasets import load_diabetes
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktl import DomainAdaptedRegressor

LOSSES: dict[str, str | None] = {
    "none": None, "mmd": "mmd", "dare_gram": "dare_gram", "coral": "coral", "cmd": "cmd", "dann": "dann"
}  # fmt: skip
GOODS = ("books", "dvd", "electronics", "kitchen")
N_DIGITS, N_REVIEWS, N_HOURS, N_COMPONENTS = 1500, 400, 4000, 200
EPOCHS_ON_DIGITS = 8


class Pair(NamedTuple):
    """One adaptation."""

    name: str
    X_source: Any
    y_source: np.ndarray
    X_target: Any
    y_target: np.ndarray
    settings: dict[str, Any]


def patients() -> Iterator[Pair]:
    data = load_diabetes()
    for name, column in (("to the other sex", 1), ("to older ones", 0)):
        is_target = data.data[:, column] > 0
        X = np.delete(data.data, 1, axis=1)
        yield Pair(
            f"patients, {name}", X[~is_target], data.target[~is_target], X[is_target], data.target[is_target], {}
        )


def demand() -> Iterator[Pair]:
    with np.load(data_path("electricity/electricity.npz")) as held:
        X, names = held["X"].astype(float), held["feature_names"].tolist()
    columns = [names.index(name) for name in ("day", "period", "nswprice", "vicprice", "vicdemand", "transfer")]
    y = X[:, names.index("nswdemand")]
    for first, later in ((0, 20000), (20000, 40000)):
        rows, others = slice(first, first + N_HOURS), slice(later, later + N_HOURS)
        yield Pair(f"demand, {first} to {later}", X[rows][:, columns], y[rows], X[others][:, columns], y[others], {})


def stars() -> Iterator[Pair]:
    with lzma.open(data_path("amazon_reviews/reviews.jsonl.xz"), "rt", encoding="utf8") as file:
        reviews = [json.loads(line) for line in file]
    words = TfidfVectorizer(sublinear_tf=True, min_df=3, stop_words="english")
    reduced = make_pipeline(words, TruncatedSVD(N_COMPONENTS, random_state=0))
    codes = reduced.fit_transform([f"{each['title']} {each['text']}" for each in reviews])
    kind, y = np.array([each["domain"] for each in reviews]), np.array([float(each["rating"]) for each in reviews])
    for source, target in itertools.permutations(GOODS, 2):
        rows = np.random.default_rng(0).permutation(np.flatnonzero(kind == source))[:N_REVIEWS]
        others = kind == target
        yield Pair(f"stars, {source} to {target}", codes[rows], y[rows], codes[others], y[others], {})


def angles() -> Iterator[Pair]:
    with np.load(data_path("digits/mnist.npz")) as held:
        mnist = held["x_train"]
    with np.load(data_path("digits/usps.npz")) as held:
        usps = np.stack([np.pad(zoom(one, 20 / 16, order=1), 4) for one in held["x_train"][:2500]])
    sets = {"MNIST": _turned(mnist, 0), "USPS": _turned(usps.clip(0, 255).astype(np.uint8), 1)}
    for source, target in (("MNIST", "USPS"), ("USPS", "MNIST")):
        settings = {"backbone": _network, "max_epochs": EPOCHS_ON_DIGITS}
        yield Pair(f"angles, {source} to {target}", *sets[source], *sets[target], settings)


def _turned(pictures: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    chosen, degrees = rng.permutation(len(pictures))[:N_DIGITS], rng.uniform(-45, 45, N_DIGITS)
    turned = [rotate(one, by, reshape=False, order=1) for one, by in zip(pictures[chosen], degrees)]
    return np.stack(turned).astype(np.uint8), degrees


def _network() -> nn.Module:
    parts: list[nn.Module] = []
    for n_in, n_out in ((1, 16), (16, 32)):
        parts += [nn.Conv2d(n_in, n_out, 5), nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*parts, nn.Flatten())


def figures(pair: Pair, n_seeds: int) -> dict[str, Any]:
    X = np.concatenate([pair.X_source, pair.X_target])
    y = np.r_[pair.y_source, np.full(len(pair.y_target), np.nan)]
    found: dict[str, Any] = {"pair": pair.name, "n_source": len(pair.y_source), "n_target": len(pair.y_target)}
    if X.ndim == 2:
        scaler = StandardScaler().fit(X)
        ridge = RidgeCV(np.logspace(-4, 1, 11) * len(pair.y_source))
        ridge.fit(scaler.transform(pair.X_source), pair.y_source)
        found["ridge"] = round(float(ridge.score(scaler.transform(pair.X_target), pair.y_target)), 4)
    seconds: dict[str, float] = {}
    for name, loss in LOSSES.items():
        start, scores = time.perf_counter(), []
        for seed in range(n_seeds):
            model = DomainAdaptedRegressor(loss=loss, random_state=seed, **pair.settings).fit(X, y)
            scores.append(model.score(pair.X_target, pair.y_target))
        found[name] = round(float(np.mean(scores)), 4)
        seconds[name] = round((time.perf_counter() - start) / n_seeds, 2)
    return found | {"seconds": seconds}


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--seeds", type=int, default=2, help="of each figure (default: %(default)s)")
    options.add_argument("--minutes", type=float, default=10, help="after which no pair begins (default: %(default)s)")
    args = options.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    about, end = machine(), time.monotonic() + 60 * args.minutes
    results = []
    sections = (patients,) if args.quick else (patients, demand, angles, stars)
    for pair in itertools.chain.from_iterable(section() for section in sections):
        if time.monotonic() < end:
            results.append(figures(pair, 1 if args.quick else args.seeds))
            print(results[-1], flush=True)
            write_results("domain_regression", {"machine": about, "seeds": args.seeds, "results": results}, args)
    print_table(
        ["pair", "ridge", *LOSSES], [[each["pair"], each.get("ridge"), *(each[n] for n in LOSSES)] for each in results]
    )


if __name__ == "__main__":
    main()
