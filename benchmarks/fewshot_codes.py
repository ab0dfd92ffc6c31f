"""Few-shot learning on a pretrained network's codes, without meta-training: which head, on PACS' seven classes.

Claim: from one to five pictures a class, heads on the codes of the embedded EfficientNet-Lite0 learn classes such as
"guitar" or "person" that it was not trained on as such; the further the domain is from photographs, the less well.

Protocol: 5 ways, 1 and 5 shots, 15 queries a class; 1,000 episodes in each of the four domains, the same for all
heads, which run on the same codes of all classes. Nothing is tuned. Codes at `--image-size` pixels.
Run ``python benchmarks/fewshot_codes.py``; `SKTL_DATA` names the folder of the data.
"""

from __future__ import annotations

import time

import numpy as np
from _common import data_path, machine, parser, print_table, write_results

from sktl.features import CNNCodesTransformer
from sktl.fewshot import FewShotClassifier, ProtoNetClassifier
from sktl.model_selection import episode_scores

DOMAINS = ("photo", "art_painting", "cartoon", "sketch")
HEADS = {
    "prototypes": ProtoNetClassifier(normalize=None),
    "prototypes, unit length": ProtoNetClassifier(normalize="l2"),
    "SimpleShot": ProtoNetClassifier(normalize="center-l2"),
    "cosine": ProtoNetClassifier(distance="cosine"),
    "ridge": FewShotClassifier("ridge"),
    "logistic regression": FewShotClassifier("logistic"),
    "nearest neighbour": FewShotClassifier("nearest"),
}


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--image-size", type=int, default=160, help="pixels a side (default: %(default)s)")
    args = options.parse_args()
    n_episodes, size = (20, 32) if args.quick else (1000, args.image_size)
    start, described, results, rows = time.perf_counter(), machine(), {}, []
    for domain in DOMAINS[::3] if args.quick else DOMAINS:
        folders = sorted(path for path in data_path(f"pacs/{domain}").iterdir() if path.is_dir())
        paths = [path for folder in folders for path in sorted(folder.glob("*.jpg"))[: 25 if args.quick else None]]
        y = np.array([path.parent.name for path in paths])
        codes = CNNCodesTransformer(image_size=size).fit_transform(paths)
        for name, model in HEADS.items():
            for shots in (1, 5):
                began = time.perf_counter()
                scores = episode_scores(model, codes, y, n_way=5, n_shot=shots, n_query=15, n_episodes=n_episodes)
                results.setdefault(domain, {}).setdefault(name, {})[f"5w{shots}s"] = {
                    "mean": round(100 * scores.mean, 2), "ci95": round(100 * scores.ci95, 2),
                    "ms_per_task": round(1000 * (time.perf_counter() - began) / n_episodes, 2),
                }  # fmt: skip
        print(domain, results[domain], flush=True)
    for name in HEADS:
        cells = [results[domain][name][f"5w{shots}s"] for domain in results for shots in (1, 5)]
        rows.append([name, *(f"{cell['mean']:.1f} +- {cell['ci95']:.1f}" for cell in cells)])
    print()
    print_table(["", *(f"{domain}, {shots} shot" for domain in results for shots in (1, 5))], rows)
    seconds = round(time.perf_counter() - start, 1)
    content = {
        "machine": described,
        "seconds": seconds,
        "image_size": size,
        "n_episodes": n_episodes,
        "results": results,
    }
    write_results("fewshot_codes", content, args)


if __name__ == "__main__":
    main()
