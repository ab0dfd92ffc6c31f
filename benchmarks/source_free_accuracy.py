"""Target accuracy without source data: SHOT on digits, AdaBN and TENT on corrupted digits and PACS, gradual adaptation.

Aims: SHOT reaches 97 on MNIST->USPS and 97.5 on USPS->MNIST; AdaBN and TENT cut the error on corrupted digits by a
third; gradual adaptation beats adaptation in one leap on digits that turn by 60 degrees, and on the electricity data.

Protocol: no target label is seen by any method, nor used to settle anything here; the last epoch counts.

- shot: SHOT's LeNet and its recipe on the source (30 epochs, smoothed labels, a bottleneck with batch norm, normed
  classifier, pictures of the source moved by up to four pixels and turned by up to ten degrees), then the target's
  training pictures without labels; accuracy on the target's test pictures.
- corruptions: a LeNet that has learned clean MNIST meets MNIST's test pictures with noise, blur or little contrast, at
  five strengths; it adapts to these very pictures, as at test time, in one go or batch by batch ("online").
- pacs: codes of the embedded EfficientNet-Lite0, and the small MLP with a bottleneck that has batch norm; each domain
  to each other. ``--finetune`` takes the whole pretrained network instead (meant for a GPU).
- electricity: 45,312 rows in twelve periods of time; labels in the first two. Each later period's rows are predicted
  after adaptation up to that period, in one leap from the source, or not at all; learning the step's rows alone, or
  ("all") those of the steps before and of the source too.
- rotation: MNIST that turns from 0 to 60 degrees in twelve steps; labels at 0 to 5 degrees only.

Results are written after each setting; ``--resume`` goes on from the file. Run
``python benchmarks/source_free_accuracy.py``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from _common import WITH_BOTTLENECK, data_path, earlier_results, machine, parser, print_table, write_results
from adaptation_accuracy import DOMAINS, PACS, Digits, lenet
from scipy.ndimage import gaussian_filter
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.adaptation import (
    DomainAdaptedClassifier,
    GradualAdaptedClassifier,
    SourceFreeAdaptedClassifier,
    TestTimeAdaptedClassifier,
)
from sktl.finetuning import FineTunedClassifier

GREY = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
PAPERS = {  # target accuracy: SHOT's table for digits, and Kumar et al. for digits that turn
    "shot mnist->usps": {"source": 79.7, "shot": 97.9},
    "shot usps->mnist": {"source": 88.0, "shot": 98.0},
}
STRENGTHS = {
    "noise": (0.3, 0.4, 0.5, 0.6, 0.7),  # deviation, of the full scale
    "blur": (1.5, 2.0, 2.5, 3.0, 3.5),  # pixels
    "contrast": (0.4, 0.3, 0.2, 0.15, 0.1),  # what is left of it
}
N_PERIODS, N_LABELLED_PERIODS = 12, 2
N_TURNS, LARGEST_TURN = 12, 60.0

Run = tuple[str, str, Callable[[int], dict[str, float]]]  # section, setting, seed -> accuracy of each method


def as_scanned(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return digits moved by up to four pixels and turned by up to ten degrees."""
    n, _, height, _ = pictures.shape
    angle = (2 * torch.rand(n, generator=generator) - 1) * np.pi / 18
    moves = torch.randint(-4, 5, (2, n), generator=generator) * (2 / height)
    return affine(pictures, angle, moves)


def affine(pictures: torch.Tensor, angle: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    cos, sin = angle.cos(), angle.sin()
    maps = torch.stack([torch.stack([cos, -sin, moves[0]], 1), torch.stack([sin, cos, moves[1]], 1)], 1)
    grid = F.affine_grid(maps.float(), list(pictures.shape), align_corners=False).to(pictures.device)
    return F.grid_sample(pictures.float(), grid, align_corners=False)


def turned(X: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    angle = torch.from_numpy(np.deg2rad(degrees))
    rows = affine(torch.from_numpy(X)[:, None], angle, torch.zeros(2, len(X)))
    return rows[:, 0].round().byte().numpy()


def corrupted(X: np.ndarray, kind: str, strength: float) -> np.ndarray:
    scaled = X / 255.0
    if kind == "noise":
        scaled = scaled + np.random.default_rng(0).normal(scale=strength, size=X.shape)
    elif kind == "blur":
        scaled = gaussian_filter(scaled, (0, strength, strength))
    else:
        scaled = 0.5 + strength * (scaled - 0.5)
    return (255 * scaled.clip(0, 1)).round().astype(np.uint8)


def scores(models: dict[str, Any], X: Any, y: np.ndarray) -> dict[str, float]:
    return {name: float(model.score(X, y)) for name, model in models.items()}


def shot_runs(options: Any) -> Iterator[Run]:
    sets = Digits(options.n_rows)
    for pair in ("mnist->usps", "usps->mnist"):
        source_name, target_name = pair.split("->")

        def run(seed: int, source_name: str = source_name, target_name: str = target_name) -> dict[str, float]:
            (Xs, ys, _, _), (Xt, _, X_test, y_test) = sets(source_name), sets(target_name)
            source = DomainAdaptedClassifier(
                lenet(1), loss=None, label_smoothing=0.1, head="weight_norm", preprocessing=GREY, augment=as_scanned,
                max_epochs=options.epochs, random_state=seed,
            ).fit(Xs, ys.astype(int))  # fmt: skip
            shot = SourceFreeAdaptedClassifier(source, weight=0.1, max_epochs=options.shot_epochs, random_state=seed)
            norms = TestTimeAdaptedClassifier(source, random_state=seed)
            models = {"source": source, "adabn": norms.fit(Xt), "shot": shot.fit(Xt)}
            return scores(models, X_test, y_test.astype(int))

        yield "shot", pair, run


def corruption_runs(options: Any) -> Iterator[Run]:
    sets, kept = Digits(options.n_rows), {}

    def source_of(seed: int) -> Any:
        if seed not in kept:
            kept.clear()
            X, y, _, _ = sets("mnist")
            kept[seed] = DomainAdaptedClassifier(
                lenet(1), loss=None, preprocessing=GREY, max_epochs=options.corruption_epochs, random_state=seed
            ).fit(X, y.astype(int))
        return kept[seed]

    for kind, strengths in STRENGTHS.items():
        for strength in strengths[2:3] if options.quick else strengths:

            def run(seed: int, kind: str = kind, strength: float = strength) -> dict[str, float]:
                _, _, X, y = sets("mnist")
                X, y, source = corrupted(X, kind, strength), y.astype(int), source_of(seed)

                def adapted(method: str, **params: Any) -> Any:
                    return TestTimeAdaptedClassifier(source, method=method, random_state=seed, **params)

                found = {"source": source.score(X, y), "adabn": adapted("adabn").fit(X).score(X, y),
                         "tent": adapted("tent").fit(X).score(X, y)}  # fmt: skip
                for method in ("adabn", "tent"):
                    found[f"{method}, online"] = adapted(method, online=True).reset().score(X, y)
                return {name: float(value) for name, value in found.items()}

            yield "corruptions", f"{kind} {strength:g}", run


def pacs_runs(options: Any) -> Iterator[Run]:
    pictures = PACS(options.finetune, 10 if options.quick else None)
    pairs = [(s, t) for s in DOMAINS for t in DOMAINS if s != t]
    for source_name, target_name in pairs[:1] if options.quick else pairs:

        def run(seed: int, source_name: str = source_name, target_name: str = target_name) -> dict[str, float]:
            (Xs, ys), (Xt, yt) = pictures(source_name), pictures(target_name)
            if options.finetune:
                source: Any = FineTunedClassifier(image_size=160, freeze_bn=False, random_state=seed)
            else:
                source = DomainAdaptedClassifier(loss=None, label_smoothing=0.1, random_state=seed, **WITH_BOTTLENECK)
            source.fit(Xs, ys)
            models = {
                "source": source,
                "adabn": TestTimeAdaptedClassifier(source).fit(Xt),
                "tent": TestTimeAdaptedClassifier(source, method="tent", random_state=seed).fit(Xt),
                "shot": SourceFreeAdaptedClassifier(source, random_state=seed).fit(Xt),
            }
            return scores(models, Xt, yt)

        yield "pacs", f"{source_name}->{target_name}", run


def electricity_runs(options: Any) -> Iterator[Run]:
    held = np.load(data_path("electricity/electricity.npz"))
    X, y = held["X"][:, 1:].astype(float), held["y"].astype(int)  # the date itself is left out
    if options.quick:
        X, y = X[::10], y[::10]
    period = np.arange(len(X)) * N_PERIODS // len(X)
    classifiers: dict[str, Any] = {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
        "gradient boosting": HistGradientBoostingClassifier(max_iter=100),
        "network": DomainAdaptedClassifier(loss=None, **WITH_BOTTLENECK),
    }
    for name, classifier in classifiers.items():

        def run(seed: int, classifier: Any = classifier) -> dict[str, float]:
            params = {"random_state": seed} if "random_state" in classifier.get_params() else {}
            source = (
                clone(classifier)
                .set_params(**params)
                .fit(X[period < N_LABELLED_PERIODS], y[period < N_LABELLED_PERIODS])
            )
            rows = period >= N_LABELLED_PERIODS
            found = {"source": float(source.score(X[rows], y[rows]))}
            marked = np.where(rows, -1, y)
            ways = {"direct": {"order": None}, "gradual": {}, "direct, all": {"order": None, "keep": "all"},
                    "gradual, all": {"keep": "all"}}  # fmt: skip
            for way, how in ways.items():
                model = GradualAdaptedClassifier(clone(classifier).set_params(**params), random_state=seed, **how)
                model.fit(X, marked, sample_domain=period)
                found[way] = float((model.predict(X[rows], sample_domain=period[rows]) == y[rows]).mean())
            return found

        yield "electricity", name, run


def rotation_runs(options: Any) -> Iterator[Run]:
    sets = Digits(options.n_rows)

    def run(seed: int) -> dict[str, float]:
        X, y, X_test, y_test = (part[: options.n_turned] for part in sets("mnist"))
        rng = np.random.default_rng(seed)
        n_source = len(X) // 3
        degrees = np.r_[rng.uniform(0, 5, n_source), np.linspace(5, LARGEST_TURN, len(X) - n_source)]
        step = np.minimum((degrees / (LARGEST_TURN / N_TURNS)).astype(int), N_TURNS - 1)
        X, marked = turned(X, degrees), np.where(np.arange(len(X)) < n_source, y.astype(int), -1)
        X_test = turned(X_test, np.full(len(X_test), LARGEST_TURN))
        source = DomainAdaptedClassifier(
            lenet(1), loss=None, label_smoothing=0.1, preprocessing=GREY, max_epochs=options.turn_epochs,
            random_state=seed,
        ).fit(X[:n_source], y[:n_source].astype(int))  # fmt: skip
        rest, last = np.arange(len(X)) >= n_source, (step == N_TURNS - 1) & (marked == -1)
        gradual = GradualAdaptedClassifier(FrozenEstimator(source), random_state=seed)
        models = {
            "source": source,
            "direct": clone(gradual).set_params(n_steps=1).fit(X[last]),
            "direct, all rows": clone(gradual).set_params(n_steps=1).fit(X[rest]),
            "direct, shot": SourceFreeAdaptedClassifier(FrozenEstimator(source), random_state=seed).fit(X[last]),
            "gradual": gradual.fit(X[rest], sample_domain=step[rest]),
        }
        return scores(models, X_test, y_test.astype(int))

    yield "rotation", f"0 to {LARGEST_TURN:g} degrees", run


SECTIONS: dict[str, Callable[[Any], Iterator[Run]]] = {
    "shot": shot_runs,
    "corruptions": corruption_runs,
    "pacs": pacs_runs,
    "electricity": electricity_runs,
    "rotation": rotation_runs,
}


def measure(options: Any, results: dict[str, Any], save: Callable[[], None]) -> None:
    for section in options.only:
        runs = list(SECTIONS[section](options))
        for seed in range(options.seeds):
            for _, setting, run in runs:
                cell = results.setdefault(section, {}).setdefault(setting, {})
                if str(seed) in cell:
                    continue
                start = time.perf_counter()
                cell[str(seed)] = {**run(seed), "seconds": time.perf_counter() - start}
                told = ", ".join(f"{name} {value:.4f}" for name, value in cell[str(seed)].items())
                print(f"{section:12} {setting:22} seed {seed}: {told}", flush=True)
                save()


def report(results: dict[str, Any]) -> None:
    for section, settings in results.items():
        print(f"\n{section}: target accuracy, mean and spread over seeds\n")
        methods = [name for name in next(iter(next(iter(settings.values())).values())) if name != "seconds"]
        rows = []
        for setting, cells in settings.items():
            of = {m: 100 * np.array([cell[m] for cell in cells.values()]) for m in methods}
            shown = [f"{values.mean():.1f} +- {values.std():.1f}" for values in of.values()]
            paper = PAPERS.get(f"{section} {setting}", {}).get("shot")
            rows.append([setting, *shown, *([paper] if section == "shot" else [])])
        print_table(["setting", *methods, *(["paper, SHOT"] if section == "shot" else [])], rows)
        if section == "corruptions":
            cut(settings, methods)


def cut(settings: dict[str, Any], methods: list[str]) -> None:
    """Print by how much each method cuts the error, over all corruptions, and of each kind."""
    errors = {
        m: {s: 1 - np.mean([cell[m] for cell in cells.values()]) for s, cells in settings.items()} for m in methods
    }
    print("\ncut of the error against no adaptation\n")
    rows = []
    for method in methods[1:]:
        row: list[Any] = [method]
        for kind in ("", *STRENGTHS):
            own = [s for s in settings if s.startswith(kind)]
            before, after = (np.mean([errors[m][s] for s in own]) for m in ("source", method))
            row.append(f"{100 * (1 - after / before):.0f} %" if own else None)
        rows.append(row)
    print_table(["method", "all", *STRENGTHS], rows)


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--only", nargs="+", default=[*SECTIONS], choices=[*SECTIONS])
    options.add_argument("--seeds", type=int, default=3, help="runs of each setting (default: %(default)s)")
    options.add_argument("--epochs", type=int, default=30, help="on the source of SHOT (default: %(default)s)")
    options.add_argument("--threads", type=int, default=None, help="torch's threads (default: torch's own choice)")
    options.add_argument("--finetune", action="store_true", help="PACS by the whole pretrained network")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    args.n_rows, args.n_turned, args.shot_epochs, args.corruption_epochs, args.turn_epochs = None, 36_000, 15, 10, 10
    if args.quick:
        args.seeds, args.epochs, args.n_rows, args.n_turned = 1, 3, 1500, 1500
        args.shot_epochs, args.corruption_epochs, args.turn_epochs = 3, 3, 3
    results = earlier_results("source_free_accuracy", args)
    described = machine()

    def save() -> None:
        if args.output or not args.quick:
            content = {"machine": described, "epochs": args.epochs, "papers": PAPERS, "results": results}
            write_results("source_free_accuracy", content, args)

    measure(args, results, save)
    report(results)


if __name__ == "__main__":
    main()
