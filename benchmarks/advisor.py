"""What the advice of `TransferAdvisor` is worth, beside lists that do not look at the data.

Each data set is cut into rows to learn from, in up to three sizes, and up to 1,000 others to test on. Everything that
can be tried is fitted in full once: for pictures logistic regression, a support vector machine, nearest neighbours and
prototypes on all layers of the embedded network, seen at 96 pixels, the mean of logistic regressions on two of them,
and all trainings that `AutoTransferClassifier`
tries, of 6 epochs, small pictures at 64 pixels (the smallest cases first, as many as the time allows); for rows and
texts what `AutoTransferClassifier` tries on them. Beside it stands what the advisor says of the rows to learn from, and
what that took. Costs are seconds of the processor, so that other work on the machine does not count. Which rows of the
test each candidate is right about is kept, packed in base64, first row first.

Pictures are seen once more at the network's own size, 224 pixels, in cases of up to 400 rows, in up to three draws: for
photographs layers gain other things there. Nothing is trained at that size.

At one size of most data sets of pictures (small ones at 64 pixels), layers of five networks are scored by all scores of
`sktl.metrics.transferability`, beside the accuracy of a logistic regression on them on up to 200 other rows.

One draw of the rows says little about a few points, so that ``--draws`` repeats the cases on rows drawn anew.

`benchmarks/_advisor_regrets.py` makes of it the regret of the advice, and of controls that know only other data sets,
`benchmarks/_advisor_scores.py` the rank correlation of each score with the accuracy, beside the same controls.

Results are written after each case; ``--resume`` goes on from the file, ``--minutes`` bounds the run, and ``--parts``
says what is run. Run ``python benchmarks/advisor.py --resume``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import base64
import itertools
import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from _advisor_cases import PICTURES, ROWS, DataSet, Split, data_sets
from _advisor_experience import saved
from _advisor_regrets import DRAWN, summary, with_trainings
from _advisor_scores import of_probes, of_scores
from _common import data_path, earlier_results, machine, parser, print_table, write_results
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import ComplementNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from sktl import CNNCodesTransformer, FineTunedClassifier, ProtoNetClassifier
from sktl.advisor import TransferAdvisor
from sktl.advisor._candidates import WORDS_AND_LETTERS
from sktl.advisor._codes import Extraction, LayerCodes, extract
from sktl.advisor._linear_models import LINEAR_AND_FOREST
from sktl.advisor._problem import read_problem
from sktl.advisor._scoring import SCORES, score_layers
from sktl.advisor._text_models import letters, pairs_of_words, words, words_and_letters
from sktl.features import LogisticRegressionLOO
from sktl.metrics.transferability import leep, nce

SIZE, SMALL_SIZE = 96, 64  # pixels; the second of small pictures where several networks, or trainings, see them
WHOLE, OWN_SIZE = ", at full size", 224
SEEN: dict[str, int | None] = {"": SIZE, WHOLE: None}  # None: the network's own size
MOST_AT_FULL_SIZE, TESTED_AT_FULL_SIZE, DRAWS_AT_FULL_SIZE = 400, 400, 3
RANKED_TEST = 200  # rows by which layers of all networks are compared
EPOCHS = 6
EMBEDDED = "efficientnet_lite0"
OTHERS = {"mobilenet_v2": "mobilenet_v2-tf-ptq.pth", "squeezenet1_1": "squeezenet1_1-caffe.pth"}
TRAINED: dict[str, dict[str, Any]] = {
    "last": {"strategy": "last"}, "lp-ft": {"strategy": "lp-ft"}, "full": {"strategy": "full"},
    "lora": {"adapter": "lora"},
}  # fmt: skip
AVERAGED = (("penultimate", "all"), ("all", "blocks.4"), ("penultimate", "blocks.4"))
PARTS = ("cases", "scores", "trainings")


def halves(right: np.ndarray) -> list[float]:
    """Return the accuracy on either half of the test: one may choose what the other judges."""
    return [round(float(part.mean()), 5) for part in (right[::2], right[1::2])]


def tried(model: Any, X: Any, y: np.ndarray, others: Any, z: np.ndarray) -> dict[str, Any]:
    """Return what one candidate gives, and what it takes."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = clone(model).fit(X, y)
        seconds = time.process_time() - start
        right = model.predict(others) == z
    return outcome(right, seconds)


def outcome(right: np.ndarray, seconds: float) -> dict[str, Any]:
    packed = base64.b64encode(np.packbits(right).tobytes()).decode()
    return {"accuracy": halves(right), "seconds": round(seconds, 3), "right": packed}


def heads(y: np.ndarray) -> dict[str, Any]:
    """Return what classifies codes, by the names of the automatic road."""
    neighbours = 5 if np.median(np.unique(y, return_counts=True)[1]) > 7 else 1
    return {
        "logistic regression": LogisticRegressionLOO(), "SVM": LinearSVC(C=1.0, random_state=0),
        "k-NN": KNeighborsClassifier(neighbours), "prototypes": ProtoNetClassifier(),
    }  # fmt: skip


def means_of_two(layers: dict[str, np.ndarray], rows: np.ndarray, y: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    """Return what the mean of logistic regressions on two layers gives."""
    fitted: dict[str, tuple[LogisticRegressionLOO, float]] = {}
    for layer in {layer for pair in AVERAGED for layer in pair}:
        start = time.process_time()
        fitted[layer] = LogisticRegressionLOO().fit(layers[layer][rows], y[rows]), time.process_time() - start
    found = {}
    for pair in AVERAGED:
        shares = sum(fitted[layer][0].predict_proba(layers[layer][test]) for layer in pair)
        right = fitted[pair[0]][0].classes_[shares.argmax(axis=1)] == y[test]
        seconds = sum(fitted[layer][1] for layer in pair)
        found[f"logistic regression on {' and '.join(pair)}"] = outcome(right, seconds)
    return found


def on_rows(y: np.ndarray) -> dict[str, Any]:
    """Return what is tried on feature rows."""
    neighbours = heads(y)["k-NN"]
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    forest = RandomForestClassifier(random_state=0)
    models = {
        "logistic regression": linear,
        LINEAR_AND_FOREST: VotingClassifier([("linear", linear), ("forest", forest)], voting="soft"),
        "random forest": forest,
        "boosted trees": HistGradientBoostingClassifier(random_state=0),
        "SVM": make_pipeline(StandardScaler(), SVC(random_state=0)),
        "prototypes": make_pipeline(StandardScaler(), ProtoNetClassifier()),
        "k-NN": make_pipeline(StandardScaler(), neighbours),
        "network from scratch": FineTunedClassifier(strategy="scratch", random_state=0),
    }
    return models


def on_texts(y: np.ndarray) -> dict[str, Any]:
    """Return what is tried on texts."""
    logistic = LogisticRegression(C=10.0, max_iter=1000)
    return {
        WORDS_AND_LETTERS: make_pipeline(words_and_letters(), logistic),
        "logistic regression": make_pipeline(words(), logistic),
        "SVM on pairs of words": make_pipeline(pairs_of_words(), LinearSVC(random_state=0)),
        "naive Bayes": make_pipeline(words(), ComplementNB(alpha=0.3)),
        "logistic regression on letters": make_pipeline(letters(), logistic),
    }


def taken(X: Any, rows: np.ndarray) -> Any:
    return X[rows] if isinstance(X, np.ndarray) else [X[i] for i in rows]


def networks(size: int) -> list[Any]:
    """Return the networks whose layers are ranked beside those of the embedded one."""
    found: list[Any] = ["efficientnet_lite1", "efficientnet_lite2"]
    for name, file in OTHERS.items():
        weights = data_path(f"weights/{file}")
        found.append(CNNCodesTransformer(name, weights=weights, layers="all", image_size=size, cache="memory"))
    return found


def codes_of(X: Any, y: np.ndarray, backbones: Any, size: int | None = SIZE) -> Extraction:
    """Return the codes of all rows, in their order."""
    advisor = TransferAdvisor(backbones, image_size=size, max_samples=10**9)
    return extract(advisor, read_problem(advisor, X, y, None, None))


def subset(part: LayerCodes, rows: np.ndarray) -> LayerCodes:
    return replace(part, codes=part.codes[rows])


def advice(X: Any, y: np.ndarray, is_pictures: bool, size: int | None = SIZE) -> dict[str, Any]:
    """Return what the advisor says, by which scores, and what it took."""
    options = {"image_size": size} if is_pictures else {}
    start = time.process_time()
    advisor = TransferAdvisor(**options).fit(X, y)
    seconds = time.process_time() - start
    found: dict[str, Any] = {
        "strategy": advisor.strategy_, "layer": advisor.layer_, "similarity": advisor.similarity_,
        "evidence": advisor.similarity_evidence_, "seconds": round(seconds, 3),
        "confidence": advisor.confidence_,
    }  # fmt: skip
    problem = read_problem(advisor, X, y, None, advisor._first_network())
    shown = extract(advisor, problem)
    layers = score_layers(shown.layers, problem.number, ("knn", "linear", "logme"), None, 0)
    found["linear"] = {one.part.layer: round(one.scores["linear"], 5) for one in layers}
    found["knn"] = {one.part.layer: round(one.scores["knn"], 5) for one in layers}
    best = max(layers, key=lambda one: one.scores["linear"]).right["linear"].astype(float)
    found["error"] = {  # standard error of the difference from the best layer
        one.part.layer: round(float((best - one.right["linear"]).std() / np.sqrt(len(best))), 5) for one in layers
    }
    return found


def fewer(split: Split) -> dict[str, Any]:
    """Return of a split what is seen at the network's own size: the smaller sizes, and fewer rows of the test."""
    test = slice(TESTED_AT_FULL_SIZE)
    by_size = {n: rows for n, rows in split.by_size.items() if len(rows) <= MOST_AT_FULL_SIZE}
    return {"by_size": by_size, "test": split.test[test], "numbers": split.numbers[test]}


def spread(codes: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """Return codes of some of n rows at their places, NaN elsewhere."""
    found = np.full((n, codes.shape[1]), np.nan, dtype=codes.dtype)
    found[rows] = codes
    return found


def one_case(
    data: DataSet, n: int, split: Split, pool: Extraction | None, seconds_a_picture: float, seen: str
) -> dict[str, Any]:
    """Return everything of one size of one data set; `seen` is a key of `SEEN`."""
    X, y, by_size, test = split.X, split.y, split.by_size, split.test
    rows, is_pictures = by_size[n], data.kind == PICTURES
    shape = np.shape(X[0]) if isinstance(X, np.ndarray) else ()
    sizes = np.unique(y[rows], return_counts=True)[1]
    case: dict[str, Any] = {
        "data": data.name, "family": data.family, "kind": data.kind, "seen": seen, "rows": len(rows),
        "tested": len(test),
        "traits": {
            "log_rows": float(np.log10(len(rows))), "log_classes": float(np.log10(len(sizes))),
            "balance": float(sizes.min() / sizes.max()),
            "log_side": float(np.log10(shape[0] if is_pictures and shape else 227 if is_pictures else 1)),
            "log_seen": float(np.log10(SEEN[seen] or OWN_SIZE) if is_pictures else 0),
            "channels": float(3 if is_pictures and not shape else 1),
            "log_columns": float(np.log10(shape[0]) if data.kind == ROWS else 0),
        },
        "candidates": {},
    }  # fmt: skip
    candidates, z = case["candidates"], y[test]
    if is_pictures:
        assert pool is not None
        case["extraction"] = round(seconds_a_picture * len(rows), 3)
        layers = {part.layer: part.codes for part in pool.layers if part.is_pretrained}
        for layer, codes in layers.items():
            for name, head in heads(y[rows]).items():
                candidates[f"{name} on {layer}"] = tried(head, codes[rows], y[rows], codes[test], z)
        candidates |= means_of_two(layers, rows, y, test)
    else:
        case["extraction"] = 0.0
        for name, model in (on_rows if data.kind == ROWS else on_texts)(y[rows]).items():
            candidates[name] = tried(model, taken(X, rows), y[rows], taken(X, test), z)
    case["advice"] = advice(taken(X, rows), y[rows], is_pictures, SEEN[seen])
    return case


def trainings(n: int, split: Split) -> dict[str, Any]:
    """Return what networks give that are trained on one size of a data set of pictures."""
    X, y, by_size, test = split.X, split.y, split.by_size, split.test
    rows, side = by_size[n], SMALL_SIZE if isinstance(X, np.ndarray) else SIZE
    found = {}
    for name, how in TRAINED.items():
        model = FineTunedClassifier(**how, image_size=side, max_epochs=EPOCHS, random_state=0)
        found[name] = tried(model, taken(X, rows), y[rows], taken(X, test), y[test])
    return found


def area(X: Any) -> int:
    """Return the pixels at which pictures are trained on."""
    return (SMALL_SIZE if isinstance(X, np.ndarray) else SIZE) ** 2


def ranked_layers(data: DataSet, split: Split) -> list[dict[str, Any]]:
    """Return scores and accuracy of each layer of each network at one size."""
    X, y, by_size, test = split.X, split.y, split.by_size, split.test
    rows, test = by_size[data.ranked_size], test[:RANKED_TEST]
    every = np.r_[rows, test]
    size = SMALL_SIZE if isinstance(X, np.ndarray) else SIZE
    shown = codes_of(taken(X, every), y[every], [EMBEDDED, *networks(size)], size)
    layers = [part for part in shown.layers if part.is_pretrained]
    number, n = np.unique(y, return_inverse=True)[1][every], len(rows)
    learned = number[:n]
    scored = score_layers([subset(part, np.arange(n)) for part in layers], learned, SCORES, None, 0)
    found = []
    for part, one in zip(layers, scored):
        model = LogisticRegressionLOO()
        right = tried(model, part.codes[:n], learned, part.codes[n:], number[n:])
        scores = {name: round(float(value), 6) for name, value in one.scores.items()}
        if part.backbone in shown.source_proba:
            own_classes = shown.source_proba[part.backbone][:n]
            scores["leep"] = round(leep(own_classes, learned), 6)
            scores["nce"] = round(nce(own_classes.argmax(1), learned), 6)
        found.append({
            "backbone": part.backbone, "layer": part.layer, "depth": round(part.depth, 3),
            "accuracy": round(float(np.mean(right["accuracy"])), 5), "scores": scores,
        })  # fmt: skip
    return found


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--minutes", type=float, default=60.0, help="no case is begun later (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    options.add_argument("--advise-anew", action="store_true", help="of cases that are in the file, renew the advice")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS], help="of the run (default: all)")
    options.add_argument("--draws", type=int, default=1, help="of the rows of each case (default: %(default)s)")
    options.add_argument("--trained-draws", type=int, default=1, help="of them with trainings (default: %(default)s)")
    args = options.parse_args()
    start, described = time.monotonic(), machine()
    results: dict[str, Any] = {"layers": {}, **(earlier_results("advisor", args) or {})}
    every = [one for one in data_sets() if one.name == "glyphs"] if args.quick else data_sets()

    def of_draw(draw: int) -> dict[str, Any]:
        where = results if draw == 1 else results.setdefault("draws", {}).setdefault(str(draw), {})
        for part in DRAWN:
            where.setdefault(part, {})
        return where

    def keep(where: dict[str, Any], name: str, found: Any) -> None:
        where[name] = found
        print(f"{time.monotonic() - start:.0f} s: {name}", flush=True)
        write_results("advisor", {"machine": described, "results": results}, args)

    def is_late() -> bool:
        return time.monotonic() - start > 60 * args.minutes

    looks = [seen for seen in SEEN if not (args.quick and seen)]
    for seen, draw, data in itertools.product(looks, range(1, args.draws + 1), every if "cases" in args.parts else []):
        if seen and (draw > DRAWS_AT_FULL_SIZE or data.kind != PICTURES):
            continue
        where, sizes = of_draw(draw), data.sizes[: 1 if args.quick else None]
        known = [f"{data.name}, {n} a class{seen}" in where["cases"] for n in sizes]
        if is_late() or all(known) or (seen and f"{data.name}{seen}" in where["tests"]):
            continue
        split = data.split(draw)
        if seen:
            split = replace(split, **fewer(split))
        where["tests"][f"{data.name}{seen}"] = base64.b64encode(split.numbers.astype("<u2").tobytes()).decode()
        begun = time.process_time()
        used = np.unique(np.concatenate([*split.by_size.values(), split.test]))
        pool = codes_of(taken(split.X, used), split.y[used], "auto", SEEN[seen]) if data.kind == PICTURES else None
        seconds_a_picture = (time.process_time() - begun) / len(used)
        if pool is not None:
            pool.layers = [replace(part, codes=spread(part.codes, used, len(split.y))) for part in pool.layers]
        for n in split.by_size:
            name = f"{data.name}, {n} a class{seen}"
            if draw > 1 and name in results["cases"]:  # pictures of an earlier draw are in memory
                seconds_a_picture = results["cases"][name]["extraction"] / len(split.by_size[n])
            if name not in where["cases"] and n in sizes:
                keep(where["cases"], name, one_case(data, n, split, pool, seconds_a_picture, seen))
    for draw, data in itertools.product(range(1, args.draws + 1), every if args.advise_anew else []):
        split = data.split(draw)
        most = split.by_size[max(data.sizes)]
        if data.kind == PICTURES:
            codes_of(taken(split.X, most), split.y[most], "auto")  # in memory: the advice is timed without the network
        for n, rows in split.by_size.items():
            name = f"{data.name}, {n} a class"
            case = of_draw(draw)["cases"].get(name)
            if case is not None:
                found = advice(taken(split.X, rows), split.y[rows], data.kind == PICTURES)
                keep(of_draw(draw)["cases"], name, {**case, "advice": found})
    pictures = [data for data in every if data.kind == PICTURES]
    families = [data.family for data in pictures]  # one of each comes first, so that a bounded run has some of each
    pictures = [pictures[i] for i in sorted(range(len(pictures)), key=lambda i: families[:i].count(families[i]))]
    for data in pictures if "scores" in args.parts else []:
        if data.is_ranked and data.name not in results["layers"] and not is_late():
            keep(results["layers"], data.name, ranked_layers(data, data.split()))
    for draw in range(1, args.trained_draws + 1) if "trainings" in args.parts and not args.quick else []:
        splits = {data.name: data.split(draw) for data in pictures}
        order = [(len(splits[data.name].by_size[n]) * area(splits[data.name].X), data, n)
                 for data in pictures for n in data.sizes]  # fmt: skip
        where = of_draw(draw)["trainings"]
        for _, data, n in sorted(order, key=lambda one: one[0]):
            name = f"{data.name}, {n} a class"
            if name not in where and not is_late():
                keep(where, name, trainings(n, splits[data.name]))
    whole = {"cases": with_trainings(of_draw(1))}
    results["summary"] = summary(results)
    if results["summary"]["methods"]:
        results["summary"]["experience"] = saved(whole)
        judged = [case for label, case in results["cases"].items() if label in results["summary"]["regrets"]["advice"]]
        results["summary"]["probes"] = of_probes([case for case in judged if case["kind"] == PICTURES])
        results["summary"]["scores"] = of_scores(results)
    rows = results["summary"]["methods"]
    if not rows:
        return
    write_results("advisor", {"machine": described, "results": results}, args)
    print_table(["method", *next(iter(rows.values()))], [[name, *row.values()] for name, row in rows.items()])


if __name__ == "__main__":
    main()
