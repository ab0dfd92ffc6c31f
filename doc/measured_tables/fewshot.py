"""Few-shot learning: Omniglot, sines, pretrained codes, transductive inference, FiLM, speed."""

from __future__ import annotations

from typing import Any

import numpy as np

from measured_tables._write import interval, minutes, read, table

SETTINGS = ["5w1s", "5w5s", "20w1s", "20w5s"]
DOMAINS = ["photo", "art_painting", "cartoon", "sketch"]


def table_omniglot() -> str:
    """Return accuracy on Omniglot beside the papers'."""
    rows = []
    for name, cell in read("omniglot")["results"].items():
        lake = f"{cell['lake_runs']['mean']:.1f}" if "lake_runs" in cell else None
        papers = " / ".join(f"{value:.1f}" for value in cell.get("published", ())) or None
        cost = f"{cell['n_episodes']:,} in {minutes(cell['seconds'])}" if "seconds" in cell else None
        rows.append([name, *(interval(cell["test"].get(s)) for s in SETTINGS), lake, papers, cost])
    for name in ("mann", "snail", "in context"):
        rows.append(_memory_row(name))
    header = ["", "5 ways, 1 shot", "5 ways, 5 shots", "20 ways, 1 shot", "20 ways, 5 shots", "Lake's runs", "papers",
              "trained on episodes"]  # fmt: skip
    return table(header, rows)


def _memory_row(name: str) -> list[Any]:
    cells = {s: cell for s in SETTINGS if (cell := read("omniglot_memory")["results"].get(f"{name}, {s}"))}
    runs = dict.fromkeys((cell["n_episodes"], cell["seconds"]) for cell in cells.values())
    cost = "; ".join(f"{n:,} in {minutes(seconds)}" for n, seconds in runs)
    title = f"{name} ({cells['5w1s']['ms_per_task']:.0f} ms a task)"
    published = [cell["published"] for cell in cells.values()]
    papers = None
    if any(value is not None for value in published):
        papers = " / ".join(f"{c['published']:.1f}" if (c := cells.get(s)) else "-" for s in SETTINGS)
    return [title, *(interval(cells.get(s)) for s in SETTINGS), None, papers, cost]


def omniglot(learner: str, setting: str) -> float:
    """Return the mean accuracy of a learner on Omniglot."""
    memory = read("omniglot_memory")["results"].get(f"{learner}, {setting}")
    return memory["mean"] if memory else read("omniglot")["results"][learner]["test"][setting]["mean"]


def omniglot_row(learner: str) -> str:
    """Return a learner's four figures."""
    return " / ".join(f"{omniglot(learner, setting):.1f}" for setting in SETTINGS)


def short_of_paper(learner: str, setting: str) -> float:
    """Return by how many points a learner is below its paper."""
    published = read("omniglot")["results"][learner]["published"][SETTINGS.index(setting)]
    return published - omniglot(learner, setting)


def omniglot_minutes(learner: str) -> str:
    """Return how long a learner was meta-trained, in minutes."""
    memory = read("omniglot_memory")["results"].get(f"{learner}, 5w1s")
    seconds = memory["seconds"] if memory else read("omniglot")["results"][learner]["seconds"]
    return f"{seconds / 60:.0f}"


def table_sines() -> str:
    """Return the error on new sines after so many steps."""
    rows = []
    for cell in sorted(read("sinusoid")["results"], key=lambda cell: cell["shots"]):
        steps = [_error(cell, f"_{n}") for n in (0, 1, 5, 10)] if "mse_0" in cell else [None] * 4
        alone = _error(cell, "") if "mse" in cell else None
        rows.append([cell["shots"], cell["method"], *steps, alone, cell["published_1_step"], cell["ms_per_task"],
                     f"{cell['seconds']:.0f}"])  # fmt: skip
    header = ["points", "learner", "0 steps", "1 step", "5 steps", "10 steps", "no steps", "paper, 1 step",
              "a new task, ms", "training, s"]  # fmt: skip
    return table(header, rows, left=2)


def _error(cell: dict[str, Any], steps: str) -> str:
    return "diverges" if cell[f"mse{steps}"] is None else f"{cell[f'mse{steps}']:.2f} ± {cell[f'ci95{steps}']:.2f}"


def sines(method: str, shots: int, value: str, file: str = "sinusoid") -> Any:
    """Return one figure of the regression of sines."""
    return next(c[value] for c in read(file)["results"] if c["method"] == method and c["shots"] == shots)


def table_prototypes() -> str:
    """Return accuracy on codes by head, and what transductive inference gains."""
    found, gains = read("fewshot_codes")["results"], read("transductive")["gains"]
    rows = [
        [head, *(" / ".join(f"{found[d][head][s]['mean']:.1f}" for s in ("5w1s", "5w5s")) for d in DOMAINS)]
        for head in found["photo"]
    ]
    for method in ("BD-CSPN", "LaplacianShot", "TIM", "PT-MAP"):
        cells = [
            " / ".join(f"{gains[f'{d}, {n} shot']['balanced'][method]['gain']['mean']:+.1f}" for n in (1, 5))
            for d in DOMAINS
        ]
        rows.append([f"{method}, gain", *cells])
    return table(["1 shot / 5 shots", *DOMAINS], rows)


def gained(method: str, shots: int, queries: str = "balanced") -> list[float]:
    """Return the points that a transductive method gains, over the domains, in order."""
    gains = read("transductive")["gains"]
    return sorted(gains[f"{domain}, {shots} shot"][queries][method]["gain"]["mean"] for domain in DOMAINS)


def table_easyfsl() -> str:
    """Return accuracy and speed of transductive inference beside easyfsl."""
    found = read("transductive")
    rows = []
    for name, title in (("BDCSPN", "BD-CSPN"), ("LaplacianShot",) * 2, ("TIM",) * 2, ("PTMAP", "PT-MAP")):
        row = [title]
        for difference in ("difference", "default's difference"):
            values = [cells[name][difference]["mean"] for cells in found["against_easyfsl"].values()]
            row.append(f"{min(values):+.1f} to {max(values):+.1f}")
        races = [found["speed"][f"{n} shot"][name] for n in (1, 5)]
        row.append(" / ".join(f"{race['tasks_per_second']['easyfsl']:.0f}" for race in races))
        ours = [f"{race['tasks_per_second']['sktl, defaults']:.0f} "
                f"({race['times_as_fast']['sktl, defaults']['of_medians']:.0f}x)" for race in races]  # fmt: skip
        rows.append([*row, " / ".join(ours)])
    header = ["method", "accuracy less easyfsl's, its settings", "by default", "easyfsl, tasks/s", "sktl, tasks/s"]
    return table(header, rows)


def easyfsl_times() -> list[float]:
    """Return how many times as fast as easyfsl transductive inference is, in order."""
    races = [race for of in read("transductive")["speed"].values() for race in of.values()]
    return sorted(race["times_as_fast"]["sktl, defaults"]["of_medians"] for race in races)


def table_film() -> str:
    """Return accuracy and cost of modulated networks and of readers of codes."""
    rows = []
    for data, cells in read("film_codes")["results"].items():
        one, five = cells["1 shots"], cells["5 shots"]
        for method in one:
            cost = [" / ".join(f"{c[method][k]:.0f}" for c in (one, five)) if k in one[method] else None
                    for k in ("ms_to_learn", "ms_to_answer")]  # fmt: skip
            rows.append([data, method, interval(one[method]), interval(five[method]), *cost])
    return table(["tasks", "method", "1 shot", "5 shots", "to learn, ms", "to answer, ms"], rows, left=2)


def film_times() -> list[float]:
    """Return how many times as fast as fine-tuning CNAPs learns a task, in order."""
    cells = [cells[s] for cells in read("film_codes")["results"].values() for s in ("1 shots", "5 shots")]
    return sorted(cell["fine-tuned"]["ms_to_learn"] / cell["CNAPs"]["ms_to_learn"] for cell in cells)


def reader_gain(data: str, shots: int) -> float:
    """Return by how many points the in-context learner is ahead of prototypes at unit length on the same codes."""
    cells = read("film_codes")["results"][data][f"{shots} shots"]
    return cells["in context, same codes"]["mean"] - cells["prototypes, unit length"]["mean"]


def table_meta_speed() -> str:
    """Return the speed of meta-training beside peers."""
    peers = ["learn2learn", "higher", "easyfsl", "authors' loss"]
    rows = []
    for race, cell in read("meta_speed")["results"].items():
        row = [race, cell["unit"], f"{cell['per_second']['sktl']:.1f}"]
        for peer in peers:
            times = cell["times_as_fast_as"].get(peer)
            row.append(f"{cell['per_second'][peer]:.1f} ({times['of_medians']:.1f}x)" if times else None)
        rows.append(row)
    return table(["race", "unit", "sktl", *peers], rows, left=2)


def film_seconds(method: str) -> list[float]:
    """Return the seconds that a method takes to learn a task, in order."""
    cells = [cells[s] for cells in read("film_codes")["results"].values() for s in ("1 shots", "5 shots")]
    return sorted(cell[method]["ms_to_learn"] / 1000 for cell in cells)


def largest_gain_interval() -> float:
    """Return the widest interval of a transductive gain with balanced queries."""
    gains = read("transductive")["gains"]
    shown = ("BD-CSPN", "LaplacianShot", "TIM", "PT-MAP")
    return max(cells["balanced"][method]["gain"]["ci95"] for cells in gains.values() for method in shown)


def unit_length_prototypes() -> float:
    """Return the most points that prototypes of unit length are ahead of plain ones with one example a class."""
    found = read("fewshot_codes")["results"]
    plain, unit = "prototypes", "prototypes, unit length"
    return max(found[d][unit]["5w1s"]["mean"] - found[d][plain]["5w1s"]["mean"] for d in DOMAINS)


def _numbers(group: str) -> list[dict[str, Any]]:
    return [row for row in read("fewshot_regression")["results"] if row["group"] == group]


def table_numbers() -> str:
    """Return R^2 of few rows with numbers, a row for each group of tables and number of rows."""
    names = {
        "new": "other tables", "new, wide": "the same, 64 columns or more",
        "tried": "tables of the choices", "tried, wide": "the same, 64 columns or more",
    }  # fmt: skip
    rows = []
    for group, title in names.items():
        for n in sorted({row["n"] for row in _numbers(group)}):
            found = [row for row in _numbers(group) if row["n"] == n]
            means = [f"{np.mean([row[name] for row in found]):.2f}" for name in ("default", "ridge", "nearest", "mean")]
            counts = [str(sum(row["verdict"] == word for row in found)) for word in ("win", "tie", "loss")]
            rows.append([title, str(len(found)), str(n), *means, *counts])
    header = ["", "tables", "rows", "default", "ridge regression", "nearest 5", "mean", "wins", "ties", "losses"]
    return table(header, rows)


def lost_numbers() -> str:
    """Return which tables are lost, of all groups, with the rows given and the difference."""
    lost: dict[str, list[str]] = {}
    for row in read("fewshot_regression")["results"]:
        if row["verdict"] == "loss":
            lost.setdefault(row["table"], []).append(f"{row['n']} rows ({row['default'] - row['ridge']:+.2f})")
    return "; ".join(f"{name}, {', '.join(which)}" for name, which in lost.items()) or "none"


def numbers_counted(word: str) -> int:
    """Return how many cases of the other tables, on which nothing was chosen, are won, tied or lost."""
    return sum(row["verdict"] == word for group in ("new", "new, wide") for row in _numbers(group))
