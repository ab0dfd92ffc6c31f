"""How long to fine-tune on few pictures: 10 epochs, 3, or none, and whether the head's errors can tell.

Fine-tuning starts from a solved head, whose leave-one-out error e over n pictures costs nothing more. Where training
could take away a quarter of e, and that is less than e's standard error, `FineTunedClassifier` trains 3 epochs instead
of 10. Here stand the head, 3 and 10 epochs side by side on the same pictures of 96 pixels, with what the rule decides.

Results are written after each case; ``--resume`` goes on from the file and ``--minutes`` bounds the run. Run
``python benchmarks/tuning_length.py --resume``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from _common import earlier_results, machine, parser, print_table, write_results
from defaults import TUNED_ON, few, held_pictures
from sklearn.metrics import log_loss
from sklearn.preprocessing import normalize

from sktl import CNNCodesTransformer, FineTunedClassifier
from sktl.features import LogisticRegressionLOO
from sktl.finetuning._budget import SHORT_EPOCHS, is_within_noise

SIZE, LONG_EPOCHS = 96, 10
DRAWS = {2: 2, 5: 2, 20: 2, 40: 2}  # of so many pictures a class
EASY = "photographs of guitars and houses"  # a set that the head has no trouble with, 40 a class
MOST = 200  # pictures to learn from
LENGTHS: dict[str, dict[str, Any]] = {
    "head": {"strategy": "head"}, "short": {"max_epochs": SHORT_EPOCHS}, "long": {"max_epochs": LONG_EPOCHS},
}  # fmt: skip


def rows_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures and labels of a set."""
    X, y = held_pictures()["pacs_photo" if name == EASY else name]
    kept = np.isin(y, ["guitar", "house"]) if name == EASY else np.ones(len(y), dtype=bool)
    return X[kept], y[kept]


def one_draw(name: str, n_shots: int, draw: int) -> dict[str, Any]:
    """Return the head's error with rows left out, and of each length accuracy, log-loss and seconds of processor."""
    (X, y), (X_test, y_test) = few(rows_of(name), n_shots, draw)
    X, X_test = (list(part) if part.dtype == object else part for part in (X, X_test))
    codes = normalize(CNNCodesTransformer(image_size=SIZE).fit_transform(X))
    error = LogisticRegressionLOO().fit(codes, y).loo_error_
    found: dict[str, Any] = {"rows": len(y), "error": round(float(error), 4)}
    for length, options in LENGTHS.items():
        start = time.process_time()
        model = FineTunedClassifier(image_size=SIZE, random_state=0, **options).fit(X, y)
        seconds = time.process_time() - start
        p = model.predict_proba(X_test)
        found[length] = {
            "accuracy": round(float((model.classes_[p.argmax(1)] == y_test).mean()), 4),
            "log_loss": round(float(log_loss(y_test, p, labels=model.classes_)), 4), "seconds": round(seconds, 2),
        }  # fmt: skip
    return found


def decided(results: dict[str, list]) -> dict[str, list]:
    """Return the cases that have draws, with what today's rule decides for each."""
    return {
        case: [draw | {"is_short": is_within_noise(draw["error"], draw["rows"])} for draw in draws]
        for case, draws in results.items()
        if draws
    }


def report(results: dict[str, Any]) -> None:
    """Print the means of the cases that the rule shortens, and of the others."""
    for is_short in (True, False):
        rows = []
        for case, draws in results.items():
            kept = [draw for draw in draws if draw["is_short"] == is_short]
            if kept:
                means = {
                    length: [np.mean([draw[length][what] for draw in kept]) for what in ("accuracy", "log_loss")]
                    for length in LENGTHS
                }
                cells = [f"{100 * a:.1f} / {loss:.3f}" for a, loss in means.values()]
                rows.append([case, len(kept), f"{100 * np.mean([draw['error'] for draw in kept]):.0f}", *cells])
        print_table([f"{'short' if is_short else 'long'}", "draws", "error left out, %", *LENGTHS], rows)


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--minutes", type=float, default=30.0, help="no case is begun later (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    start, results, described = time.monotonic(), earlier_results("tuning_length", args), machine()
    draws = {2: 1} if args.quick else DRAWS
    names = TUNED_ON[:1] if args.quick else (*TUNED_ON, EASY)
    for draw in range(max(draws.values())):
        for n_shots, n_draws in draws.items():
            for name in names:
                kept = results.setdefault(f"{name}, {n_shots} a class", [])
                n_classes = len(np.unique(rows_of(name)[1]))
                is_late = time.monotonic() - start > 60 * args.minutes
                is_asked = (n_shots == 40) == (name == EASY) and n_shots * n_classes <= MOST
                if is_late or draw >= n_draws or len(kept) > draw or not is_asked:
                    continue
                kept.append(one_draw(name, n_shots, draw))
                write_results("tuning_length", {"machine": described, "results": decided(results)}, args)
    report(decided(results))


if __name__ == "__main__":
    main()
