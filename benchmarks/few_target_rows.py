"""From how many target rows on adaptation pays: accuracy over the number of target rows that are there to adapt to.

Protocol: PACS, codes of the embedded EfficientNet-Lite0; all pictures of the source domain with labels, and so many of
the target's, drawn at random, without. What is learned of them is tested on all of the target's other pictures. The
network without adaptation and logistic regression on standardised codes of the source stand beside; they see no target
row. Default settings, last epoch.

Results are written after each pair; ``--resume`` goes on from the file. Run
``python benchmarks/few_target_rows.py``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from _common import WITH_BOTTLENECK, earlier_results, machine, parser, print_table, write_results
from adaptation_accuracy import DOMAINS, PACS
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktl.adaptation import DomainAdaptedClassifier, stack_domains

PAIRS = tuple(f"{a}->{b}" for a, b in itertools.permutations(DOMAINS, 2))
SIZES = (8, 16, 32, 64, 128, 256, 512)
LOSSES = ("cdan+e", "mcc")


def one_pair(pictures: PACS, pair: str, seed: int, options: Any) -> dict[str, Any]:
    """Return the accuracies of a pair: of each loss by the number of rows, and of what sees none."""
    (Xs, ys), (Xt, yt) = (pictures(name) for name in pair.split("->"))
    order = np.random.default_rng(seed).permutation(len(Xt))
    tested = order[max(options.sizes) :]
    plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(Xs, ys)
    alone = DomainAdaptedClassifier(loss=None, random_state=seed, **WITH_BOTTLENECK).fit(Xs, ys)
    found: dict[str, Any] = {
        "logistic regression": float(plain.score(Xt[tested], yt[tested])),
        "none": float(alone.score(Xt[tested], yt[tested])),
    }
    for loss in options.losses:
        found[loss] = {}
        for size in options.sizes:
            X, y, _ = stack_domains(Xs, ys, Xt[order[:size]])
            model = DomainAdaptedClassifier(loss=loss, random_state=seed, **WITH_BOTTLENECK).fit(X, y)
            found[loss][str(size)] = float(model.score(Xt[tested], yt[tested]))
    return found


def report(results: dict[str, Any], options: Any) -> None:
    """Print the mean accuracies, and on how many of the pairs a loss is ahead of logistic regression."""
    cells = [cell for seeds in results.values() for cell in seeds.values()]
    linear = np.array([cell["logistic regression"] for cell in cells])
    print(f"\nlogistic regression {100 * linear.mean():.1f}, network {100 * np.mean([c['none'] for c in cells]):.1f}\n")
    rows = []
    for loss, size in itertools.product(options.losses, map(str, options.sizes)):
        own = np.array([cell[loss][size] for cell in cells])
        gain = own - linear
        rows.append(
            [loss, size, f"{100 * own.mean():.1f}", f"{100 * gain.mean():+.1f}", f"{(gain > 0).sum()}/{len(own)}"]
        )
    print_table(["loss", "target rows", "accuracy", "gain over logistic regression", "pairs ahead"], rows)


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--pairs", nargs="+", default=list(PAIRS), choices=PAIRS)
    options.add_argument("--losses", nargs="+", default=list(LOSSES))
    options.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    options.add_argument("--seeds", type=int, default=1, help="draws of target rows (default: %(default)s)")
    options.add_argument("--threads", type=int, default=None, help="torch's threads (default: torch's own choice)")
    options.add_argument("--resume", action="store_true", help="keep what the output file holds, and do the rest")
    args = options.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.quick:
        args.pairs, args.sizes, args.seeds = args.pairs[:1], [8, 32], 1
    results, described = earlier_results("few_target_rows", args), machine()
    pictures = PACS(finetune=False, n_each=20 if args.quick else None)
    for seed, pair in itertools.product(range(args.seeds), args.pairs):
        cells = results.setdefault(pair, {})
        if str(seed) in cells:
            continue
        cells[str(seed)] = one_pair(pictures, pair, seed, args)
        print(pair, seed, cells[str(seed)], flush=True)
        write_results("few_target_rows", {"machine": described, "sizes": args.sizes, "results": results}, args)
    report(results, args)


if __name__ == "__main__":
    main()
