"""Which of several sources to learn from, when the target has no labels: `SourceSelector` beside simpler choices.

Aim: at least two points above all sources together on average, and no harmful source kept in nine of ten cases.

Each domain in turn is the target, without labels; all others are sources.

- pacs: four kinds of pictures, codes of the embedded backbone; logistic regression on 64 principal components.
- amazon: reviews of four kinds of goods, tf-idf, logistic regression.
- omniglot: which way up a character stands (of four), 50 alphabets of which 4 are targets; pixels, ridge. Each shows
  four drawers of up to 15 characters; accuracies are of all characters of the target by the other drawers.
- fonts: capitals in the fonts that come with matplotlib; 4 targets; pixels, ridge. Fonts that have no capitals show one
  and the same sign for all letters: they are among the sources, for they may do harm, but no targets. Each shows six of
  each letter; accuracies are of 40 others.

"as they are" takes the labels that there are. In "a quarter is mislabelled" a quarter of the sources, at least one, has
its classes exchanged among each other. Compared are all sources together, the nearest one, a random half (mean of five)
and the oracle, which leaves out sources as long as the accuracy in the target grows. A source is harmful in a set if
the accuracy in the target is better without it, by more than a point and by more than two standard errors of that
difference: "harmful" are those of all sources, "harmful_in_chosen" those of the set that was chosen.

Results are written after each case, and ``--resume`` goes on from them. Run
``python benchmarks/source_selection.py --minutes 10``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import json
import lzma
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import data_path, earlier_results, machine, parser, print_table, write_results
from PIL import Image, ImageDraw, ImageFont
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl import CNNCodesTransformer, SourceSelector
from sktl.metrics.transferability import knn_leave_one_out

VARIANTS = ("as they are", "a quarter is mislabelled")
HARM, ERRORS = 0.01, 2.0  # accuracy; standard errors
ALPHA = 500.0
RIDGE = make_pipeline(StandardScaler(), RidgeClassifier(alpha=ALPHA))
LOGISTIC = make_pipeline(StandardScaler(), PCA(64, random_state=0), LogisticRegression(C=0.01, max_iter=300))
LOGISTIC_OF_TEXT = LogisticRegression(C=10, max_iter=300)
SHOWN_IN_PART = ("omniglot", "fonts")  # whose target has other rows to be tested on
N_TARGETS = {"pacs": 4, "amazon": 4, "omniglot": 4, "fonts": 4}
Data = tuple[Any, np.ndarray, np.ndarray]


def pacs(quick: bool) -> Data:
    """Return codes, labels and domains."""
    paths = sorted(data_path("pacs").glob("*/*/*.jpg"))[:: 20 if quick else 1]
    X = CNNCodesTransformer(image_size=160).fit_transform(paths)
    return X, np.array([path.parent.name for path in paths]), np.array([path.parent.parent.name for path in paths])


def amazon(quick: bool) -> Data:
    """Return tf-idf rows, labels and domains."""
    with lzma.open(data_path("amazon_reviews/reviews.jsonl.xz"), "rt", encoding="utf8") as lines:
        reviews = [json.loads(line) for line in lines][:: 10 if quick else 1]
    words = TfidfVectorizer(max_features=5000, ngram_range=(1, 2), sublinear_tf=True)
    X = words.fit_transform([f"{review['title']} {review['text']}" for review in reviews])
    return X, np.array([review["label"] for review in reviews]), np.array([review["domain"] for review in reviews])


def omniglot(quick: bool, target: str | None = None) -> Data:
    """Return pixels of 14 x 14, turns (0 to 3) and alphabets: up to 15 characters of each, 4 drawers of each.

    Of a target all characters, by the drawers that it does not show.
    """
    found, rng = np.load(data_path("omniglot/omniglot_28.npz")), np.random.default_rng(0)
    images, alphabets = found["images"], found["alphabet"]  # each look into the file would unpack it anew
    pictures, turns, domains = [], [], []
    for alphabet in np.unique(alphabets)[:: 8 if quick else 1]:
        characters = rng.permutation(np.flatnonzero(alphabets == alphabet))
        shown = {character: rng.permutation(20)[:4] for character in characters[:15]}
        if target is not None:
            every = np.arange(20)
            shown = {character: np.setdiff1d(every, shown.get(character, [])) for character in characters}
        for character, drawers in shown.items() if target in (None, alphabet) else ():
            for drawer in drawers:
                pictures += [np.rot90(images[character, drawer], turn) for turn in range(4)]
                turns += [0, 1, 2, 3]
                domains += 4 * [str(alphabet)]
    pixels = np.array(pictures, float).reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) / 255
    return pixels.reshape(-1, 196), np.array(turns), np.array(domains)


def fonts(quick: bool, target: str | None = None) -> Data:
    """Return pixels of 16 x 16, letters and fonts: 26 capitals, six of each, moved, turned and with noise.

    Of a target 40 of each.
    """
    import matplotlib

    files = sorted((Path(matplotlib.get_data_path()) / "fonts" / "ttf").glob("*.ttf"))[:: 6 if quick else 1]
    files = [file for file in files if target in (None, file.stem)]
    rng = np.random.default_rng(0 if target is None else 1)
    X, y, domains = [], [], []
    for file in files:
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            for _ in range(6 if target is None else 40):
                font, picture = ImageFont.truetype(str(file), int(rng.integers(20, 27))), Image.new("L", (32, 32))
                left, top, right, bottom = ImageDraw.Draw(picture).textbbox((0, 0), letter, font=font)
                dx, dy = rng.uniform(-2, 2, 2)
                place = 16 - (left + right) / 2 + dx, 16 - (top + bottom) / 2 + dy
                ImageDraw.Draw(picture).text(place, letter, fill=255, font=font)
                turned = picture.rotate(rng.uniform(-8, 8), resample=Image.Resampling.BILINEAR)
                small = np.asarray(turned.resize((16, 16), Image.Resampling.BOX), float).ravel() / 255
                X.append(small + rng.normal(scale=0.1, size=256))
                y.append(letter)
                domains.append(file.stem)
    return np.array(X), np.array(y), np.array(domains)


def has_letters(data: Data, font: str) -> bool:
    """Whether a font's own pictures tell its letters apart: half of them by the nearest of the others."""
    rows = data[2] == font
    return float(np.mean(knn_leave_one_out(data[0][rows], data[1][rows], n_neighbors=1) == data[1][rows])) > 0.5


SECTIONS = {
    "pacs": (pacs, LOGISTIC), "amazon": (amazon, LOGISTIC_OF_TEXT), "omniglot": (omniglot, RIDGE),
    "fonts": (fonts, RIDGE),
}  # fmt: skip


class Case:
    """A target, and sources with their labels, some of which may be wrong."""

    def __init__(self, data: Data, test: Data | None, target: str, variant: str, model: Any, seed: int):
        self.X, self.truth, self.domain = data
        self.model = model
        self.is_target = self.domain == target
        self.asked, self.answers = (self.X[self.is_target], self.truth[self.is_target]) if test is None else test[:2]
        self.sources = [str(name) for name in np.unique(self.domain) if name != target]
        rng = np.random.default_rng(seed)
        self.wrong, self.y = [], self.truth.copy()
        if variant != VARIANTS[0]:
            self.wrong = sorted(rng.permutation(self.sources)[: max(1, len(self.sources) // 4)].tolist())
        classes = np.unique(self.truth)
        for name in self.wrong:
            order = rng.permutation(len(classes))
            moved = np.empty_like(classes)
            moved[order] = classes[np.roll(order, 1)]  # no class keeps its name
            rows = self.domain == name
            self.y[rows] = moved[np.searchsorted(classes, self.truth[rows])]
        self.sums = self._sums(classes) if model is RIDGE else {}
        self.random = [rng.permutation(self.sources)[: max(1, len(self.sources) // 2)].tolist() for _ in range(5)]

    def _sums(self, classes: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return what each source adds to the normal equations of a ridge classifier, for many fits in no time."""
        scaler = StandardScaler().fit(self.X)
        codes = np.column_stack([scaler.transform(self.X), np.ones(len(self.truth))])
        self.codes = np.column_stack([scaler.transform(self.asked), np.ones(len(self.answers))])
        self.penalty = np.diag(np.append(np.full(codes.shape[1] - 1, ALPHA), 1e-6))
        targets = (self.y[:, None] == classes).astype(float) * 2 - 1
        rows = {name: np.flatnonzero(self.domain == name) for name in self.sources}
        return {name: (codes[own].T @ codes[own], codes[own].T @ targets[own]) for name, own in rows.items()}

    def accuracy(self, sources: Sequence[str]) -> float:
        """Return the accuracy in the target of the model fitted to these sources."""
        return float(self.right(sources).mean())

    def right(self, sources: Sequence[str]) -> np.ndarray:
        """Return at which rows of the target the model fitted to these sources is right."""
        if self.sums:
            gram, product = (sum(self.sums[name][part] for name in sources) for part in (0, 1))
            weights = np.linalg.solve(gram + self.penalty, product)
            return np.unique(self.truth)[(self.codes @ weights).argmax(axis=1)] == self.answers
        rows = np.flatnonzero(np.isin(self.domain, sources))
        model = clone(self.model).fit(self.X[rows], self.y[rows])
        return model.predict(self.asked) == self.answers

    def right_without_each(self, sources: Sequence[str]) -> dict[str, np.ndarray]:
        """Return at which rows of the target the model is right without each of the sources."""
        return {name: self.right([other for other in sources if other != name]) for name in sources}

    def without_each(self, sources: Sequence[str]) -> dict[str, float]:
        """Return the accuracy in the target without each of the sources."""
        return {name: float(right.mean()) for name, right in self.right_without_each(sources).items()}

    def selected(self) -> SourceSelector:
        """Return the fitted selector."""
        numbers = np.unique(self.y, return_inverse=True)[1]
        marked = np.where(self.is_target, -1, numbers)
        return SourceSelector(self.model, random_state=0).fit(self.X, marked, sample_domain=self.domain)


def harms(with_it: np.ndarray, without: np.ndarray) -> bool:
    """Whether the accuracy is better without a source: by more than a point, and by more than what may be chance."""
    gains = without.astype(float) - with_it
    return bool(gains.mean() > max(HARM, ERRORS * gains.std() / np.sqrt(len(gains))))


def measured(case: Case) -> dict[str, Any]:
    """Return the accuracies of one case, and what was chosen."""
    with_all, right = case.right(case.sources), case.right_without_each(case.sources)
    everything, without = float(with_all.mean()), {name: float(found.mean()) for name, found in right.items()}
    harmful = sorted(name for name, found in right.items() if harms(with_all, found))
    start = time.perf_counter()
    selector = case.selected()
    seconds = time.perf_counter() - start
    ranked = [str(name) for name in selector.source_ranking_["source"]]
    kept, best = list(case.sources), everything
    while len(kept) > 1 and max(without.values()) > best:
        left_out = max(without, key=lambda name: without[name])
        best = without[left_out]
        kept.remove(left_out)
        without = case.without_each(kept) if len(kept) > 1 else {}
        if not without:
            break
    chosen = selector.sources_.tolist()
    kept_right = case.right(chosen)
    without_one = case.right_without_each(chosen) if len(chosen) > 1 else {}
    left = sorted(name for name, found in without_one.items() if harms(kept_right, found))
    accuracies = {
        "all": everything, "selected": float(kept_right.mean()), "nearest": case.accuracy(ranked[:1]),
        "random half": float(np.mean([case.accuracy(half) for half in case.random])), "oracle": best,
    }  # fmt: skip
    return {
        "accuracy": {name: round(found, 4) for name, found in accuracies.items()},
        "n_sources": len(case.sources), "tested": len(case.answers), "chosen": chosen, "harmful": harmful,
        "wrong": case.wrong, "harmful_in_chosen": left,
        "harmful_kept": sorted(set(harmful) & set(chosen)), "wrong_kept": sorted(set(case.wrong) & set(chosen)),
        "seconds": round(seconds, 2),
    }  # fmt: skip


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """Return means over cases, by section and variant, and over all sections."""
    groups: dict[str, list] = {}
    for section, cases in results.items():
        for name, case in cases.items():
            groups.setdefault(f"{section}: {name.partition(' / ')[0]}", []).append(case)
    found: dict[str, Any] = {}
    for group, cases in groups.items():
        names = cases[0]["accuracy"]
        entry = {name: round(100 * float(np.mean([case["accuracy"][name] for case in cases])), 1) for name in names}
        changes = [100 * (case["accuracy"]["selected"] - case["accuracy"]["all"]) for case in cases]
        with_harm = [case for case in cases if case["harmful"]]
        found[group] = entry | {
            "cases": len(cases), "gain": round(float(np.mean(changes)), 2), "worst_change": round(min(changes), 2),
            "cases_with_harm": len(with_harm), "no_harmful_kept": sum(not case["harmful_kept"] for case in with_harm),
            "none_harmful_in_chosen": sum(not case.get("harmful_in_chosen", True) for case in cases),
            "wrong": sum(len(case["wrong"]) for case in cases),
            "wrong_kept": sum(len(case["wrong_kept"]) for case in cases),
        }  # fmt: skip
    return found


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--only", nargs="+", default=[*SECTIONS], choices=[*SECTIONS])
    options.add_argument("--minutes", type=float, default=20, help="after which no case begins (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="go on from the results that are there")
    args = options.parse_args()
    end = time.monotonic() + 60 * args.minutes
    described, results = machine(), {"cases": {}, **(earlier_results("source_selection", args) or {})}
    for section in args.only:
        read, model = SECTIONS[section]
        cases = results["cases"].setdefault(section, {})
        data = read(args.quick)
        names = [name for name in np.unique(data[2]) if section != "fonts" or has_letters(data, name)]
        targets = np.random.default_rng(0).permutation(names)[: 2 if args.quick else N_TARGETS[section]]
        for seed, target in enumerate(targets.tolist()):
            for variant in VARIANTS:
                name = f"{variant} / {target}"
                if name in cases:
                    continue
                if time.monotonic() > end:
                    print(f"No time is left for {section}, {name}.")
                    continue
                test = read(args.quick, target) if section in SHOWN_IN_PART else None
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    cases[name] = measured(Case(data, test, target, variant, model, seed))
                results["summary"] = summary(results["cases"])
                write_results("source_selection", {"machine": described, "results": results}, args)
    rows = [[group, *entry.values()] for group, entry in results.get("summary", {}).items()]
    if rows:
        print_table(["", *next(iter(results["summary"].values()))], rows)


if __name__ == "__main__":
    main()
