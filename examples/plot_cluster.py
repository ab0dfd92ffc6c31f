"""
========================
Pictures on many workers
========================

More pictures than one machine takes go to a cluster. Here it is a small one, two worker processes of this machine, but
the lines are the same for a hundred machines: Dask runs them.

The pictures lie in tar shards, as large sets do. ``read_shards`` makes a Dask bag of them, ``transform`` makes its
codes, a lazy array of one task a block, and ``GridSearchCV`` runs its fits on the same workers.

The figure shows who did what and when: a bar is a task, a row is a worker; and what the search has found.
"""

# %%
# Characters of many scripts, in twelve styles each, in shards: a picture and its label are two files of one name.

from __future__ import annotations

import argparse
import io
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import matplotlib

if "--show" not in sys.argv:
    matplotlib.use("Agg")

import joblib
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client, LocalCluster
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sktl import CNNCodesTransformer
from sktl.datasets import GLYPHS, make_glyphs, read_shards

COLOURS = {"pictures read": "#aaaaaa", "codes": "#2166ac", "fits of the search": "#ef8a62"}


def write_shards(folder: Path, characters: str, n_shards: int) -> None:
    pictures, labels = make_glyphs(characters, size=32, random_state=0)
    order = np.random.default_rng(0).permutation(len(pictures))
    pictures, labels, n = pictures[order], labels[order], len(pictures)
    for shard in range(n_shards):
        with tarfile.open(folder / f"characters-{shard:03}.tar", "w") as tar:
            for i in range(shard * n // n_shards, (shard + 1) * n // n_shards):
                file = io.BytesIO()
                Image.fromarray(pictures[i]).save(file, "PNG")
                for suffix, data in (("png", file.getvalue()), ("cls", str(labels[i]).encode())):
                    entry = tarfile.TarInfo(f"{i:05}.{suffix}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))


# %%
# Codes are computed where the pictures are read, and stay there; labels are small and come here. Each picture goes
# through the network once, however many settings the search tries.


def extract_and_search(client: Client, shards: str, image_size: int, Cs: list[float]) -> tuple[GridSearchCV, int]:
    samples = read_shards(shards)
    transformer = CNNCodesTransformer(image_size=image_size, engine="torch")
    codes = transformer.transform(samples.pluck("picture")).persist()
    labels = np.array([label.decode() for label in samples.pluck("cls").compute()])
    rows = codes.compute()
    model = make_pipeline(Normalizer(), LogisticRegression(max_iter=300))
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    search = GridSearchCV(model, {"logisticregression__C": Cs}, cv=folds)
    with joblib.parallel_config("dask"):
        search.fit(rows, labels)
    return search, len(rows)


# %%
# Dask notes when each task began and ended, and on which worker.


def kind_of(key: Any) -> str:
    name = str(key)
    if "sktl-codes" in name:
        return "codes"
    return "fits of the search" if "batch" in name.lower() or "fit" in name.lower() else "pictures read"


def draw(stream: list[dict[str, Any]], search: GridSearchCV, n: int) -> plt.Figure:
    fig, (left, right) = plt.subplots(1, 2, figsize=(13, 4.8), width_ratios=[1.7, 1], layout="constrained")
    spans = [
        (task["worker"], kind_of(task["key"]), span["start"], span["stop"])
        for task in stream
        for span in task["startstops"]
        if span["action"] == "compute"
    ]
    workers = sorted({span[0] for span in spans})
    first = min(span[2] for span in spans)
    for kind, colour in COLOURS.items():
        for row, worker in enumerate(workers):
            bars = [(start - first, stop - start) for who, what, start, stop in spans if (who, what) == (worker, kind)]
            left.broken_barh(bars, (row - 0.4, 0.8), color=colour, edgecolor="white", linewidth=0.6)
        left.bar(0, 0, color=colour, label=kind)
    left.set(yticks=range(len(workers)), yticklabels=[f"worker {row + 1}" for row in range(len(workers))])
    left.set(xlabel="seconds", title="Who did what, and when")
    left.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    values = search.cv_results_["param_logisticregression__C"].astype(float)
    means, spread = search.cv_results_["mean_test_score"], search.cv_results_["std_test_score"]
    right.errorbar(values, means, spread, color="#b2182b", marker="o", capsize=3)
    chance = 1 / len(search.classes_)
    right.axhline(chance, color="#aaaaaa", linestyle=":")
    right.text(values.max(), chance + 0.015, "chance", color="#777777", ha="right")
    right.set(xscale="log", ylim=(0, 1.02), xlabel="C, inverse strength of the penalty", ylabel="accuracy, four folds")
    right.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    right.set_title("What the search has found")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    fig.suptitle(
        f"{n} pictures through the network once, {len(values) * 4} fits, on {len(workers)} workers: "
        f"{search.best_score_:.0%} of {len(search.classes_)} characters told right",
        fontsize=14, fontweight="bold",
    )  # fmt: skip
    return fig


def main() -> None:
    parser = argparse.ArgumentParser(description="Extracts codes and searches on a cluster of two processes.")
    parser.add_argument("--output", type=Path, default=Path("cluster.png"), help="where the figure goes")
    parser.add_argument("--show", action="store_true", help="open a window too")
    parser.add_argument("--quick", action="store_true", help="few and small pictures")
    args = parser.parse_args()

    characters, image_size = (GLYPHS[:8], 48) if args.quick else (GLYPHS[:50], 64)
    Cs = [1.0, 100.0] if args.quick else [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        write_shards(Path(folder), characters, n_shards=4 if args.quick else 12)
        client.get_task_stream()  # begins to note
        search, n_rows = extract_and_search(client, f"{folder}/characters-*.tar", image_size, Cs)
        stream = client.get_task_stream()
    print(f"best C {search.best_params_['logisticregression__C']}, accuracy {search.best_score_:.3f}")
    figure = draw(list(stream), search, n_rows)
    figure.savefig(args.output, dpi=110)
    print(f"The figure is in {args.output}.")
    if args.show:
        plt.show()


if __name__ == "__main__":
    main()
