"""A pretrained network, modulated for each task by what it sees in the support set, against leaving it as it is.

Claims: with the backbone frozen, a learner that emits factors and shifts of the backbone's channels and a linear
classifier from the support set (in the manner of CNAPs) learns new tasks better than prototypes of the same backbone's
codes, at a cost of milliseconds, where fine-tuning all of the network on as many pictures takes seconds; a transformer
that reads the codes of support and queries does so too, where it has learned from many classes like the new ones.

Protocol: EfficientNet-Lite0 of published weights. "PACS": meta-trained on seven classes in three domains, tested on the
same classes in the domain left out (`--domain`), 5 ways. "PACS, new classes": four classes in three domains to train
on, and the other three in the domain left out, 3 ways. "Omniglot": tested on characters of alphabets' split by Vinyals
et al., 5 ways. 1 and 5 shots, 15 queries a class; meta-trained on one to five shots, on nothing of the test classes'
rows. The in-context learner, which is made for codes of many kinds of tasks, learns from those of 150 of Omniglot's
training characters as well. All methods see the same test episodes, of which fine-tuning sees the first `--finetuned`.
Milliseconds are the median time of one task from pictures: to learn it (support), and to name its queries.
Run ``python benchmarks/film_codes.py``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from _common import data_path, machine, parser, print_table, write_results
from omniglot import characters
from PIL import Image
from sklearn.frozen import FrozenEstimator

from sktl.features import CNNCodesTransformer
from sktl.fewshot import CNAPsLearner, FewShotClassifier, InContextLearner, ProtoNetClassifier
from sktl.finetuning import FineTunedClassifier
from sktl.model_selection import EpisodeScores, EpisodeSplit, episode_scores

BACKBONE = "efficientnet_lite0"
DOMAINS = ("photo", "art_painting", "cartoon", "sketch")
OLD_CLASSES = ("dog", "elephant", "giraffe", "guitar")


def pacs(size: int, n_each: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return PACS as uint8 pictures (n, size, size, 3), classes and domains; some pictures of each."""
    pictures, classes, domains = [], [], []
    for domain in DOMAINS:
        for folder in sorted(path for path in data_path(f"pacs/{domain}").iterdir() if path.is_dir()):
            for path in sorted(folder.glob("*.jpg"))[:n_each]:
                with Image.open(path) as picture:
                    pictures.append(np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)))
                classes.append(folder.name)
                domains.append(domain)
    return np.stack(pictures), np.array(classes), np.array(domains)


def settings(args: Any) -> dict[str, dict[str, Any]]:
    """Return what is trained and tested on, by name: X, y and groups of either part, and ways."""
    X, y, domain = pacs(args.image_size, 24 if args.quick else args.pictures)
    is_new, is_old = domain == args.domain, np.isin(y, OLD_CLASSES)
    drawn, labels = characters("train", "val")
    new, new_labels = characters("test")
    n = 20 * (40 if args.quick else 400)
    split = {
        "PACS": (X[~is_new], y[~is_new], domain[~is_new], X[is_new], y[is_new], 5),
        "PACS, new classes": (
            X[~is_new & is_old], y[~is_new & is_old], domain[~is_new & is_old], X[is_new & ~is_old],
            y[is_new & ~is_old], 3,
        ),
        "Omniglot": (enlarged(drawn[:n]), labels[:n], None, enlarged(new[:n]), new_labels[:n], 5),
    }  # fmt: skip
    return {name: dict(zip(("X", "y", "groups", "X_new", "y_new", "n_way"), parts)) for name, parts in split.items()}


def with_characters(coder: Any, codes: np.ndarray, y: np.ndarray, domain: Any, quick: bool) -> tuple:
    """Return codes, classes and groups to learn from: to a few domains of a few classes come codes of characters."""
    if domain is None:
        return codes, y
    drawn, labels = characters("train", "val")
    some = np.isin(labels, np.random.default_rng(0).choice(np.unique(labels), 20 if quick else 150, replace=False))
    more = coder.transform(enlarged(drawn[some]))
    return (
        np.concatenate([codes, more]), np.array([*y, *map(str, labels[some])]),
        np.array([*domain, *["characters"] * len(more)]),
    )  # fmt: skip


def enlarged(pictures: np.ndarray) -> np.ndarray:
    """Return ink on white paper at twice the size, in colour."""
    return 255 - np.repeat(pictures.repeat(2, 1).repeat(2, 2)[..., None], 3, axis=3)


def milliseconds(model: Any, X: np.ndarray, y: np.ndarray, split: EpisodeSplit, n: int) -> dict[str, float]:
    """Return the median times to learn a task and to answer its queries, from pictures."""
    seconds = []
    for number, (support, query) in enumerate(split.split(X, y)):
        if number > n:
            break
        began = time.perf_counter()
        model.fit(X[support], y[support])
        learned = time.perf_counter()
        model.predict(X[query])
        seconds.append((learned - began, time.perf_counter() - learned))
    learn, answer = 1000 * np.median(seconds[1:], axis=0)
    return {"ms_to_learn": round(float(learn), 1), "ms_to_answer": round(float(answer), 1)}


def row(scores: EpisodeScores, **more: Any) -> dict[str, Any]:
    return {"mean": round(100 * scores.mean, 2), "ci95": round(100 * scores.ci95, 2), **more}


def measured(name: str, s: dict[str, Any], args: Any) -> dict[str, Any]:
    size = s["X"].shape[1]
    coder = CNNCodesTransformer(BACKBONE, image_size=size)
    codes, codes_new = coder.fit_transform(s["X"]), coder.fit_transform(s["X_new"])
    ways, quick = s["n_way"], args.quick
    common: dict[str, Any] = {"n_way": ways, "n_shot": (1, 5), "random_state": 0}
    began = time.perf_counter()
    reader = InContextLearner(**common, n_query=5, n_episodes=16 if quick else 8000)
    reader.fit(*with_characters(coder, codes, s["y"], s["groups"], quick))
    middle = time.perf_counter()
    film = CNAPsLearner(
        BACKBONE, **common, n_query=3, n_episodes=4 if quick else args.episodes, meta_batch_size=2, image_size=size
    ).fit(s["X"], s["y"], groups=s["groups"])
    training = {"in context": middle - began, "CNAPs": time.perf_counter() - middle}
    finetuned = FineTunedClassifier(BACKBONE, image_size=size, random_state=0)
    frozen = FrozenEstimator(film)
    found: dict[str, Any] = {"training_s": {k: round(v, 1) for k, v in training.items()}}
    for shots in (1, 5):
        tasks: dict[str, Any] = {"n_way": ways, "n_shot": shots, "n_query": 15}
        n = 5 if quick else 600
        split = EpisodeSplit(**tasks, n_episodes=n)
        pictures, labels = s["X_new"], s["y_new"]
        plain = ProtoNetClassifier(BACKBONE, image_size=size, normalize=None)
        found[f"{shots} shots"] = {
            "prototypes": row(
                episode_scores(ProtoNetClassifier(normalize=None), codes_new, labels, **tasks, n_episodes=n),
                **milliseconds(plain, pictures, labels, split, 8),
            ),
            "prototypes, unit length": row(
                episode_scores(ProtoNetClassifier(normalize="l2"), codes_new, labels, **tasks, n_episodes=n)
            ),
            "in context, same codes": row(episode_scores(reader, codes_new, labels, **tasks, n_episodes=n)),
            "CNAPs": row(
                episode_scores(film, pictures, labels, **tasks, n_episodes=min(n, args.modulated)),
                **milliseconds(FewShotClassifier(frozen), pictures, labels, split, 8),
            ),
            "fine-tuned": row(
                episode_scores(finetuned, pictures, labels, **tasks, n_episodes=1 if quick else args.finetuned),
                **milliseconds(finetuned, pictures, labels, split, 1 if quick else 3),
            ),
        }
        print(name, shots, found[f"{shots} shots"], flush=True)
    return found


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--image-size", type=int, default=96, help="pixels a side of PACS (default: %(default)s)")
    options.add_argument("--pictures", type=int, default=100, help="of a class in a domain (default: %(default)s)")
    options.add_argument("--domain", choices=DOMAINS, default="sketch", help="left out (default: %(default)s)")
    options.add_argument("--episodes", type=int, default=800, help="of CNAPs' meta-training (default: %(default)s)")
    options.add_argument("--modulated", type=int, default=200, help="test episodes of CNAPs (default: %(default)s)")
    options.add_argument(
        "--finetuned", type=int, default=20, help="test episodes of fine-tuning (default: %(default)s)"
    )
    options.add_argument(
        "--settings", nargs="+", choices=("PACS", "PACS, new classes", "Omniglot"), help="default: all"
    )
    args = options.parse_args()
    if args.quick:
        args.image_size = 32
    start, described = time.perf_counter(), machine()
    wanted = {name: s for name, s in settings(args).items() if args.settings is None or name in args.settings}
    results = {name: measured(name, s, args) for name, s in wanted.items()}
    print()
    rows = []
    for name, found in results.items():
        for shots in ("1 shots", "5 shots"):
            for method, r in found[shots].items():
                accuracy = f"{r['mean']:.1f} +- {r['ci95']:.1f}"
                rows.append([name, shots[0], method, accuracy, r.get("ms_to_learn"), r.get("ms_to_answer")])
    print_table(["", "shots", "method", "accuracy", "to learn, ms", "to answer, ms"], rows)
    seconds = round(time.perf_counter() - start, 1)
    content = {"machine": described, "seconds": seconds, "image_size": args.image_size, "results": results}
    write_results("film_codes", content, args)


if __name__ == "__main__":
    main()
