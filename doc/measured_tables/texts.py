"""Reviews: from domain to domain, with few labels, and how fast codes are computed."""

from __future__ import annotations

import numpy as np

from measured_tables._write import bold_best, read, table

DENOISED = {  # of `aligners_accuracy.py`, over the same pairs
    "words, linear SVM": "words, SVM",
    "words, mSDA with 4 layers, linear SVM": "words, mSDA, layers 1 to 4",
}


def reviews(method: str) -> float:
    """Return a method's mean accuracy over the pairs of domains."""
    found = read("text_adaptation")["results"]
    if method == "chosen":
        return float(np.mean([cells[found["chosen"][pair]] for pair, cells in found["pairs"].items()]))
    return float(np.mean([cells[method] for cells in found["pairs"].values()]))


def n_pairs() -> int:
    """Return how many pairs were run."""
    return len(read("text_adaptation")["results"]["pairs"])


def table_reviews() -> str:
    """Return accuracy by method, over all pairs and by target."""
    found = read("text_adaptation")["results"]["pairs"]
    methods = [*next(iter(found.values())), "chosen"]
    targets = sorted({pair.split(" -> ")[1] for pair in found})
    chosen = read("text_adaptation")["results"]["chosen"]
    rows = []
    means = [reviews(method) for method in methods]
    for method, cell in zip(methods, bold_best([f"{mean:.1f}" for mean in means], means, 1)):
        by_target = [
            np.mean(
                [c[chosen[pair] if method == "chosen" else method] for pair, c in found.items() if pair.endswith(t)]
            )
            for t in targets
        ]
        name = "chosen without target labels" if method == "chosen" else method
        rows.append([name, cell, *(f"{value:.1f}" for value in by_target)])
    for name, key in DENOISED.items():
        pairs = read("aligners_accuracy")["results"]["amazon"][key]
        by_target = [np.mean([value for pair, value in pairs.items() if pair.endswith(t)]) for t in targets]
        rows.append([name, f"{np.mean([*pairs.values()]):.1f}", *(f"{value:.1f}" for value in by_target)])
    return table(["method", f"mean of {len(found)} pairs", *(f"to {target}" for target in targets)], rows)


def aligned_words(method: str) -> float:
    """Return a method's mean accuracy over the pairs of domains, of those that align words."""
    return float(np.mean([cells[method] for cells in read("text_adaptation")["results"]["aligned words"].values()]))


def table_aligned_words() -> str:
    """Return accuracy by method, over all pairs, and in how many of them it is ahead of tf-idf as it is."""
    found = read("text_adaptation")["results"]["aligned words"].values()
    rows = []
    for method in next(iter(found)):
        gains = [cells[method] - cells["tf-idf"] for cells in found]
        ahead = "" if method == "tf-idf" else f"{sum(gain > 0 for gain in gains)} of {len(gains)}"
        rows.append([method, f"{aligned_words(method):.1f}", f"{min(gains):+.1f}", f"{max(gains):+.1f}", ahead])
    return table(["method", f"mean of {len(found)} pairs", "worst change", "best change", "ahead of tf-idf"], rows)


def few_reviews(method: str, n_shots: int) -> float:
    """Return a method's mean accuracy over domains and draws, by labels a class."""
    found = read("text_adaptation")["results"]["few"].values()
    return float(np.mean([cells[str(n_shots)][method] for cells in found]))


def table_few_reviews() -> str:
    """Return accuracy by labels a class."""
    found = read("text_adaptation")["results"]["few"]
    shots = list(next(iter(found.values())))
    methods = list(next(iter(found.values()))[shots[0]])
    rows = [[method, *(f"{few_reviews(method, n):.1f}" for n in shots)] for method in methods]
    return table(["method", *(f"{n} labels a class" for n in shots)], rows)


def words_and_letters(what: str, features: str = "all three") -> float:
    """Return one figure of features of few texts: "gain" on words in points, "least", "most", "p", "sets"."""
    return read("words_and_letters")["results"]["summary"][features][what]


def table_words_and_letters() -> str:
    """Return accuracy of features of few texts, their gains on words, and seconds of a fit."""
    rows = []
    for name, one in read("words_and_letters")["results"]["summary"].items():
        gains = [f"{one['gain']:+.1f}", f"{one['least']:+.1f} to {one['most']:+.1f}", f"{one['p']:.2g}"]
        beside = [None] * 3 if name == "words" else gains
        rows.append([name, f"{one['accuracy']:.1f}", *beside, f"{one['seconds']:.2f}"])
    return table(["tf-idf of", "accuracy", "gain on words", "by data set", "p", "seconds"], rows)


def text_speed(name: str) -> float:
    """Return how many times as fast as sentence-transformers' `encode` an engine is."""
    found = read("text_adaptation")["results"]["speed"]["per_second"]
    return found[name] / found["sentence-transformers"]


def table_text_speed() -> str:
    """Return reviews a second of the processor's time."""
    found = read("text_adaptation")["results"]["speed"]
    rows = [
        [name, f"{rate:.1f}" if rate < 1000 else f"{rate:.0f}", f"{text_speed(name):.2f}", f"{cosine:.4f}"]
        for (name, rate), cosine in zip(found["per_second"].items(), found["smallest_cosine"].values())
    ]
    return table(["what runs", "reviews a second", "times as fast", "smallest cosine to it"], rows)


def n_timed() -> int:
    """Return how many reviews were timed."""
    return read("text_adaptation")["results"]["speed"]["n_reviews"]
