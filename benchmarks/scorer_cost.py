"""What a score without target labels costs, in predictions of the same rows.

One network for pictures is trained for a moment and scored by the default scorer, and by a table of all scorers that
train nothing, together (`MultipleScorers`) and one after another without anything kept between and within them, as
each asks for its outputs by itself. The rows of one prediction are all that the scorers see. Values are asserted to be
the same. What a score costs beyond the network is the density ratio: a logistic regression of the domains' codes.

Aims: the default scorer within 1.3 of one prediction; the table in a third of the time that it takes apart.

    python benchmarks/scorer_cost.py [--quick]
"""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
from _common import data_path, interleaved, machine, parser, print_table, ratio, write_results
from PIL import Image

from sktl.adaptation import DomainAdaptedClassifier
from sktl.metrics import DOMAIN_SCORERS, MultipleScorers, get_domain_scorer

NAMES = tuple(name for name in DOMAIN_SCORERS if name not in ("domain_default", "reverse_validation"))
CASES = {"efficientnet_lite0, 160 px": 160}


def pictures(n: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n photographs with labels, then n sketches without."""
    found, labels = [], []
    for style in ("photo", "sketch"):
        paths = sorted(data_path(f"pacs/{style}").glob("*/*.jpg"))
        paths = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))[:n]]
        found += [np.asarray(Image.open(path).convert("RGB").resize((size, size))) for path in paths]
        labels += [path.parent.name if style == "photo" else None for path in paths]
    return np.stack(found), np.array(labels, dtype=object)


def apart(model: Any, X: np.ndarray, y: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    """Return scores for which each output is asked for anew."""
    scorers = {name: get_domain_scorer(name) for name in names}
    return {name: float(scorer._score(model, scorer._rows(X, y))) for name, scorer in scorers.items()}


def measure(size: int, options: Any) -> dict[str, Any]:
    n = 12 if options.quick else options.pictures
    X, y = pictures(n, size)
    model = DomainAdaptedClassifier(
        image_size=size, max_epochs=1, steps_per_epoch=1, batch_size=8, random_state=0, loss="mcc"
    ).fit(X, y)
    together, default = MultipleScorers(NAMES), get_domain_scorer()
    assert together(model, X, y) == apart(model, X, y, NAMES)
    assert default(model, X, y) == apart(model, X, y, ("source_target",))["source_target"]
    contenders = {
        "one prediction": lambda: model.predict_proba(X).sum() * 0 or None,
        "default scorer": lambda: default(model, X, y) * 0 or None,
        "default scorer, apart": lambda: apart(model, X, y, ("source_target",)),
        "all scorers": lambda: together(model, X, y),
        "all scorers, apart": lambda: apart(model, X, y, NAMES),
    }
    seconds = interleaved(contenders, 1 if options.quick else options.rounds)
    once = seconds["one prediction"]
    return {
        "rows": len(X),
        "seconds": {name: [round(value, 3) for value in each] for name, each in seconds.items()},
        "predictions": {name: ratio(each, once) for name, each in seconds.items()},
        "all_together_is_faster": ratio(seconds["all scorers, apart"], seconds["all scorers"]),
    }


def main() -> None:
    options = parser(__doc__, rounds=3)
    options.add_argument("--pictures", type=int, default=100, help="of each domain (default: %(default)s)")
    args = options.parse_args()
    described = machine()
    results = {name: measure(size, args) for name, size in CASES.items()}
    rows = [
        [case, name, round(statistics.median(cell["seconds"][name]), 2), f"{found['of_medians']:.2f}"]
        for case, cell in results.items()
        for name, found in cell["predictions"].items()
    ]
    print_table(["network", "", "seconds", "predictions"], rows)
    write_results("scorer_cost", {"machine": described, "results": results}, args)


if __name__ == "__main__":
    main()
