"""Text: Amazon's reviews from domain to domain, and with few labels; codes, tf-idf, and both views together.

Aim: a mean of 85 over the twelve pairs in under five minutes on two cores, chosen without target labels; codes at three
times the speed of sentence-transformers' own `encode`.

- pairs: 2,000 labelled reviews of one domain, 2,000 unlabelled ones of another, accuracy on the latter, as in papers.
  Views are tf-idf (words and pairs of words, 5,000 columns, of all texts, as in papers) and codes of "minilm"; "both"
  sums their log-odds. "co-training": five rounds in which each view takes on, as labels, the target rows of which the
  other one is surest, a tenth more of them a round, as many of each class. "earlier" are codes of the encoder's fourth
  of six blocks (``layer=0.66``), each domain's brought to mean 0 and variance 1. "chosen" takes, of the two layers, the
  one whose codes judge the source's own reviews better by cross-validation, and then what mutual information of the
  target's predictions prefers: neither needs a target label. mSDA stands in `aligners_accuracy.py`.
- aligned words: whether alignment helps tf-idf itself, which `TransferAdvisor` and `AutoTransferClassifier` leave as it
  is: columns of each domain brought to one scale, and that, and CORAL, on 256 principal components of both domains.
- few: in one domain, 8, 16 and 32 labels a class, the rest for testing, five draws.
- speed: reviews of 100 to 200 words; seconds of the processor, so that other work on the machine does not count.

Settings are fixed over all pairs. Codes are kept in a store, results are written after each pair; ``--resume`` goes on,
and ``--parts`` says what is run: "aligned words" needs no codes. Run
``python benchmarks/text_adaptation.py --minutes 20``. `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import itertools
import json
import lzma
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _common import WITH_BOTTLENECK, data_path, earlier_results, machine, parser, print_table, write_results
from scipy import sparse
from scipy.special import expit
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl import DomainAdaptedClassifier, TextCodesTransformer, stack_domains
from sktl.aligners import CORALAligner, DomainStandardizer, LabelledOnly
from sktl.features import LogisticRegressionLOO
from sktl.fewshot import FewShotClassifier
from sktl.metrics import mutual_information

PUBLISHED = {"svm on tf-idf": 76.0, "msda": 80.2, "best shallow": 82.5, "fine-tuned bert": 91.7}
ROUNDS, SHARE = 5, 0.1
SHOTS = (8, 16, 32)
DRAWS = 5
LAYERS = {"last": "last", "earlier": 0.66}
PARTS = ("aligned words", "codes")
COMPONENTS = 256  # that the advisor's own codes of words have


def words(C: float = 10) -> LogisticRegression:
    return LogisticRegression(C=C, max_iter=1000)


def meanings() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))


def tones() -> LogisticRegression:
    return LogisticRegression(C=0.003, max_iter=1000)


def read(quick: bool) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return texts, labels and domains."""
    with lzma.open(data_path("amazon_reviews/reviews.jsonl.xz"), "rt", encoding="utf8") as lines:
        reviews = [json.loads(line) for line in lines][:: 100 if quick else 1]
    texts = [f"{review['title']} {review['text']}" for review in reviews]
    return texts, np.array([r["label"] for r in reviews]), np.array([r["domain"] for r in reviews])


def co_trained(source: list, y: np.ndarray, target: list, makers: tuple = (words, meanings)) -> list[np.ndarray]:
    """Return both views' log-odds of the target rows, after each has learned from what the other is sure of."""
    models = [make().fit(X, y) for make, X in zip(makers, source)]
    for number in range(1, ROUNDS + 1):
        scores = [model.decision_function(X) for model, X in zip(models, target)]
        for view, make in enumerate(makers):
            order = np.argsort(scores[1 - view])
            n_taken = int(number * SHARE / 2 * len(order))
            rows = np.concatenate([order[:n_taken], order[len(order) - n_taken :]])
            labels = np.repeat([0, 1], n_taken)
            stack = sparse.vstack if sparse.issparse(source[view]) else np.vstack
            models[view] = make().fit(stack([source[view], target[view][rows]]), np.concatenate([y, labels]))
    return [model.decision_function(X) for model, X in zip(models, target)]


def adapted(model: Any, X: Any, y: np.ndarray, X_target: Any) -> np.ndarray:
    """Return the log-odds of the target rows of a model that has seen them without labels."""
    stacked, marked, _ = stack_domains(X, y, X_target)
    model.fit(stacked, marked)
    if hasattr(model, "decision_function"):
        return model.decision_function(X_target)
    proba = np.clip(model.predict_proba(X_target)[:, 1], 1e-9, 1 - 1e-9)
    return np.log(proba / (1 - proba))


def pair(words_of: tuple, codes_of: tuple, earlier: tuple, y: np.ndarray, quick: bool) -> dict[str, np.ndarray]:
    """Return the log-odds of the target rows by method; each argument is (source, target)."""
    (Ws, Wt), (Cs, Ct) = words_of, codes_of
    Es, Et = (StandardScaler().fit_transform(codes) for codes in earlier)
    network = DomainAdaptedClassifier(loss="cdan+e", max_epochs=2 if quick else 5, random_state=0, **WITH_BOTTLENECK)
    found = {
        "tf-idf": words().fit(Ws, y).decision_function(Wt),
        "codes": meanings().fit(Cs, y).decision_function(Ct),
        "codes, CORAL": adapted(make_pipeline(CORALAligner(), LabelledOnly(meanings())), Cs, y, Ct),
        "codes, DomainAdaptedClassifier": adapted(network, Cs, y, Ct),
    }
    found["both"] = found["tf-idf"] + found["codes"]
    found["both, CORAL"] = found["tf-idf"] + found["codes, CORAL"]
    found["both, co-training"] = np.sum(co_trained([Ws, Cs], y, [Wt, Ct]), axis=0)
    alike = make_pipeline(StandardScaler(), tones()).fit(earlier[0], y)
    found["earlier, as the source's"] = alike.decision_function(earlier[1])
    found["earlier"] = tones().fit(Es, y).decision_function(Et)
    found["both, earlier"] = found["tf-idf"] + found["earlier"]
    found["both, earlier, co-training"] = np.sum(co_trained([Ws, Es], y, [Wt, Et], (words, tones)), axis=0)
    return found


def aligned_words(Ws: Any, Wt: Any, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return the log-odds of the target rows of tf-idf as it is, and aligned by columns or by components.

    Each classifier's strength is chosen by cross-validation on the rows it learns from.
    """
    model = LabelledOnly(LogisticRegressionCV(Cs=np.logspace(-4, 2, 7), cv=3, max_iter=1000))
    components = TruncatedSVD(min(COMPONENTS, *Ws.shape), random_state=0).fit(sparse.vstack([Ws, Wt]))
    Cs, Ct = components.transform(Ws), components.transform(Wt)
    scale, columns, table = StandardScaler(with_mean=False), DomainStandardizer(with_mean=False), DomainStandardizer()
    return {
        "tf-idf": adapted(model, Ws, y, Wt),
        "tf-idf, columns of one scale": adapted(make_pipeline(scale, model), Ws, y, Wt),
        "tf-idf, columns of one scale in each domain": adapted(make_pipeline(columns, model), Ws, y, Wt),
        "components": adapted(make_pipeline(StandardScaler(), model), Cs, y, Ct),
        "components, those of each domain standardised": adapted(make_pipeline(table, model), Cs, y, Ct),
        "components, CORAL": adapted(make_pipeline(table, CORALAligner(), model), Cs, y, Ct),
    }


def accuracies(found: dict[str, np.ndarray], truth: np.ndarray) -> dict[str, float]:
    """Return the accuracy of each method's log-odds, in percent."""
    return {method: round(100 * float(np.mean((scores > 0) == truth)), 2) for method, scores in found.items()}


def better_layer(codes: dict[str, np.ndarray], y: np.ndarray) -> str:
    """Return the layer whose codes judge the labelled domain's own texts better."""
    return max(codes, key=lambda name: cross_val_score(make_pipeline(StandardScaler(), tones()), codes[name], y).mean())


def chosen(found: dict[str, np.ndarray], layer: str) -> str:
    """Return the method that one would take without a target label."""

    def information(scores: np.ndarray) -> float:
        proba = expit(scores / np.std(scores))  # methods differ in the scale of their log-odds
        return mutual_information(np.column_stack([1 - proba, proba]))

    of_layer = [n for n in found if n.startswith("both") and (n.startswith("both, earlier") == (layer == "earlier"))]
    return max(of_layer, key=lambda name: information(found[name]))


def few(X_words: Any, codes: np.ndarray, earlier: np.ndarray, y: np.ndarray) -> dict[str, dict[str, list[float]]]:
    """Return accuracies by labels a class and method, one a draw."""
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    tone = StandardScaler().fit_transform(earlier)  # the other texts are there, without labels
    tone /= np.linalg.norm(tone, axis=1, keepdims=True)
    out: dict[str, dict[str, list[float]]] = {}
    for n_shots, seed in itertools.product(SHOTS, range(DRAWS)):
        if 2 * n_shots >= len(y):  # a quick run's few texts
            continue
        rng = np.random.default_rng(seed)
        train = np.concatenate([rng.permutation(np.flatnonzero(y == label))[:n_shots] for label in (0, 1)])
        test = np.setdiff1d(np.arange(len(y)), train)
        scores = {
            "tf-idf": words().fit(X_words[train], y[train]).decision_function(X_words[test]),
            "codes": LogisticRegressionLOO().fit(unit[train], y[train]).decision_function(unit[test]),
            "earlier": LogisticRegressionLOO().fit(tone[train], y[train]).decision_function(tone[test]),
        }
        scaled = {name: values / np.std(values) for name, values in scores.items()}
        scores["both"] = scaled["tf-idf"] + scaled["codes"]
        scores["both, earlier"] = scaled["tf-idf"] + scaled["earlier"]
        right = {name: (values > 0) == y[test] for name, values in scores.items()}
        for name, rows in (("codes, prototypes", unit), ("earlier, prototypes", tone)):
            right[name] = FewShotClassifier("prototypes").fit(rows[train], y[train]).predict(rows[test]) == y[test]
        for name, values in right.items():
            out.setdefault(str(n_shots), {}).setdefault(name, []).append(round(100 * float(np.mean(values)), 2))
    return out


def speed(texts: list[str], quick: bool) -> dict[str, Any]:
    """Return reviews a second of the processor's time: sentence-transformers' encode and ours, in turns."""
    import torch
    from sentence_transformers import SentenceTransformer

    from sktl.texts import load_encoder

    chosen = [text for text in texts if 100 <= len(text.split()) <= 200][: 8 if quick else 48]
    folder = tempfile.TemporaryDirectory()
    settings: dict[str, dict[str, Any]] = {
        "torch": {"engine": "torch"},
        "openvino": {"engine": "openvino"},
        "openvino, bfloat16": {"engine": "openvino", "precision": "bfloat16"},
        "openvino, int8": {"precision": "int8"},
        "cached": {"cache": folder.name},
    }
    # As the peer does, so that both read as many tokens.
    contenders = {name: TextCodesTransformer(long_texts="truncate", **given) for name, given in settings.items()}
    load_encoder("minilm")
    from sktl.texts._loading import _folder_of

    peer = SentenceTransformer(str(_folder_of("minilm")), device="cpu")
    runs = {"sentence-transformers": lambda: peer.encode(chosen)}
    runs |= {name: (lambda model=model: model.transform(chosen)) for name, model in contenders.items()}
    exact = runs["sentence-transformers"]()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    agreement = {}
    for name in list(runs):
        try:
            codes = runs[name]()  # builds what there is to build
        except ValueError as error:
            print(f"{name}: {error}")
            del runs[name]
            continue
        agreement[name] = float((codes * exact).sum(axis=1).min())
    for _, name in itertools.product(range(1 if quick else 3), runs):
        start = time.process_time()
        runs[name]()
        seconds[name].append(time.process_time() - start)
    return {
        "n_reviews": len(chosen),
        "torch_threads": torch.get_num_threads(),
        "per_second": {name: round(len(chosen) / np.median(seconds[name]), 1) for name in runs},
        "smallest_cosine": {name: round(value, 5) for name, value in agreement.items()},
    }


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--minutes", type=float, default=20, help="after which nothing begins (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="go on from the results that are there")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS], help="of the run (default: all)")
    options.add_argument("--codes", type=Path, help="the folder where codes are kept (default: a temporary one)")
    args = options.parse_args()
    end = time.monotonic() + 60 * args.minutes
    results = earlier_results("text_adaptation", args) or {"pairs": {}, "chosen": {}, "few": {}, "seconds": {}}
    described = machine()
    texts, y, domain = read(args.quick)

    def write() -> None:
        content = {"machine": described, "published": PUBLISHED, "results": results}
        write_results("text_adaptation", content, args)

    tfidf = TfidfVectorizer(max_features=5000, ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts)
    names = sorted(set(domain))
    rows = {name: np.flatnonzero(domain == name) for name in names}
    if PARTS[0] in args.parts:
        aligned = results.setdefault("aligned words", {})
        for a, b in itertools.permutations(names, 2):
            if f"{a} -> {b}" not in aligned and time.monotonic() < end:
                found = aligned_words(tfidf[rows[a]], tfidf[rows[b]], y[rows[a]])
                aligned[f"{a} -> {b}"] = accuracies(found, y[rows[b]])
        write()
        if args.parts == [PARTS[0]]:
            means = {name: np.mean([cells[name] for cells in aligned.values()]) for name in found}
            print_table(["method", "mean of pairs"], [[name, f"{value:.1f}"] for name, value in means.items()])
            return
    folder = args.codes or Path(tempfile.mkdtemp(prefix="sktl-text-"))
    codes = {}
    for name, layer in LAYERS.items():
        model = TextCodesTransformer(layer=layer, cache=folder, verbose=1)
        blocks = []
        for start in range(0, len(texts), 250):
            if time.monotonic() > end:
                raise SystemExit(f"No time is left; {start} of {len(texts)} texts have codes in {folder}.")
            begun = time.process_time()
            blocks.append(model.transform(texts[start : start + 250]))
            print(f"{name} codes of {start + len(blocks[-1])} texts", flush=True)
            taken = time.process_time() - begun
            if taken > 3 or args.quick:  # else they were in the store
                results["seconds"][f"{name} codes of texts {start} and on"] = round(taken, 1)
        codes[name] = np.concatenate(blocks)
    for name in names:
        if time.monotonic() < end and "earlier" not in results["few"].get(name, {}).get(str(SHOTS[0]), {}):
            given = (tfidf[rows[name]], codes["last"][rows[name]], codes["earlier"][rows[name]], y[rows[name]])
            results["few"][name] = few(*given)
            write()
    for a, b in itertools.permutations(names, 2):
        key = f"{a} -> {b}"
        if "earlier" in results["pairs"].get(key, {}) or time.monotonic() > end:
            continue
        begun = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            views = [(values[rows[a]], values[rows[b]]) for values in (tfidf, *codes.values())]
            found = pair(*views, y[rows[a]], args.quick)
            layer = better_layer({name: values[rows[a]] for name, values in codes.items()}, y[rows[a]])
        truth = y[rows[b]]
        results["pairs"][key] = accuracies(found, truth)
        results["chosen"][key] = chosen(found, layer)
        results["seconds"][key] = round(time.process_time() - begun, 1)
        write()
    if "speed" not in results and time.monotonic() < end:
        results["speed"] = speed(texts, args.quick)
        write()
    methods = list(next(iter(results["pairs"].values()), {}))
    means = {m: np.mean([found[m] for found in results["pairs"].values()]) for m in methods}
    if methods:
        means["chosen"] = np.mean([found[results["chosen"][key]] for key, found in results["pairs"].items()])
    print_table(["method", "mean of pairs"], [[name, f"{value:.1f}"] for name, value in means.items()])
    print(json.dumps(results.get("speed"), indent=1))


if __name__ == "__main__":
    main()
