"""The automatic road beside single strategies, and how it keeps its time."""

from __future__ import annotations

import numpy as np

from measured_tables._write import bold_best, read, table

COLUMNS = {"automatic": "automatic", "simple": "codes, last layer", "all layers": "codes, all layers",
           "SVM": "SVM, last layer", "always trained": "always trained"}  # fmt: skip


def automatic_cases() -> dict:
    """Return what each case gave."""
    return read("auto_transfer")["results"]["cases"]


def automatic_mean(other: str) -> float:
    """Return the mean gain of the automatic road over another, in points, where both were run."""
    cells = [cell["accuracy"] for cell in automatic_cases().values() if other in cell["accuracy"]]
    return 100 * float(np.mean([cell["automatic"] - cell[other] for cell in cells]))


def automatic_ahead(other: str) -> str:
    """Return on how many cases it is at or above another, and how many there are."""
    cells = [cell["accuracy"] for cell in automatic_cases().values() if other in cell["accuracy"]]
    return f"{sum(cell['automatic'] >= cell[other] for cell in cells)} of {len(cells)}"


def table_automatic() -> str:
    """Return accuracies by case, in per cent."""
    rows = []
    for case, cell in automatic_cases().items():
        values = [cell["accuracy"].get(name) for name in COLUMNS]
        texts = bold_best([None if v is None else f"{100 * v:.1f}" for v in values], values, 3)
        rows.append([case, str(cell["rows"]), str(cell["tested"]), *texts, cell["taken"]])
    return table(["data", "rows", "tested", *COLUMNS.values(), "taken"], rows)


def fastai_cases(budget: int = 60) -> dict:
    """Return what each case run beside fastai gave, with so many seconds."""
    return read("auto_transfer")["results"].get("fastai" if budget == 60 else f"fastai, {budget} s", {})


def fastai_version() -> str:
    """Return fastai's version."""
    return next(iter(fastai_cases().values()))["fastai"]["fastai"]


def fastai_ahead(other: str = "fastai", budget: int = 60) -> str:
    """Return on how many of these cases the automatic road is at or above another, and how many there are."""
    cells = [cell["accuracy"] for cell in fastai_cases(budget).values()]
    return f"{sum(cell['automatic'] >= cell[other] for cell in cells)} of {len(cells)}"


def table_fastai(budget: int = 60) -> str:
    """Return accuracies in per cent and seconds of fitting, by case."""
    names = {"automatic": "automatic", "always trained": "always trained", "fastai": "fastai"}
    rows = []
    for case, cell in fastai_cases(budget).items():
        values = [cell["accuracy"][name] for name in names]
        texts = bold_best([f"{100 * value:.1f}" for value in values], values, 3)
        seconds = [f"{cell['seconds'][name]:.0f}" for name in names]
        rows.append([case, str(cell["rows"]), str(cell["tested"]), *texts, *seconds, str(cell["fastai"]["epochs"])])
    return table(
        ["data", "rows", "tested", *names.values(), *(f"{name}, s" for name in names.values()), "fastai's epochs"], rows
    )


HELD_OUT = {"automatic": "automatic", "codes": "codes alone", "always trained": "always trained"}


def held_out_cases(kind: str | None = None) -> list[dict]:
    """Return what sets gave that the rules were not chosen by, all of them or those of one kind."""
    cells = read("auto_transfer_held_out")["results"].values()
    return [cell for cell in cells if kind in (None, cell["kind"])]


def held_out_budget() -> float:
    """Return the seconds that each had there."""
    return read("auto_transfer_held_out")["machine"]["budget"]


def held_out_leads(other: str, kind: str | None = None) -> np.ndarray:
    """Return the lead of the automatic road over another on each of these sets, in points."""
    return 100 * np.array([cell["accuracy"]["automatic"] - cell["accuracy"][other] for cell in held_out_cases(kind)])


def held_out_ahead(other: str, kind: str | None = None) -> str:
    """Return on how many of these sets the automatic road is at or above another, and how many there are."""
    leads = held_out_leads(other, kind)
    return f"{(leads > -1e-9).sum()} of {len(leads)}"


def held_out_mean(other: str, kind: str | None = None) -> str:
    """Return the mean lead on these sets, in points, with its standard error over sets."""
    leads = held_out_leads(other, kind)
    return f"{leads.mean():+.1f} ± {leads.std(ddof=1) / np.sqrt(len(leads)):.1f}"


def table_held_out() -> str:
    """Return accuracies in per cent and seconds of fitting on sets that the rules were not chosen by."""
    rows = []
    for case, cell in read("auto_transfer_held_out")["results"].items():
        values = [cell["accuracy"][name] for name in HELD_OUT]
        texts = bold_best([f"{100 * value:.1f}" for value in values], values, 3)
        seconds = [f"{cell['seconds'][name]:.0f}" for name in HELD_OUT]
        rows.append([case, cell["kind"], str(cell["classes"]), str(cell["rows"]), *texts, *seconds, cell["taken"]])
    titles = [*HELD_OUT.values(), *(f"{name}, s" for name in HELD_OUT.values())]
    return table(["data", "kind", "classes", "rows", *titles, "taken"], rows)


def table_training_means() -> str:
    """Return accuracy and log-loss of codes, trainings and means of them, and the gain over codes, over draws."""
    cells = list(read("training_means")["results"].values())
    rows = []
    for name in cells[0]:
        accuracy, loss = np.array([cell[name] for cell in cells]).T
        gains = 100 * (accuracy - [cell["codes"][0] for cell in cells])
        error = gains.std(ddof=1) / np.sqrt(len(gains))
        gain = "" if name == "codes" else f"{gains.mean():+.1f} ± {error:.1f}"
        rows.append([name, f"{100 * accuracy.mean():.1f}", gain, f"{loss.mean():.2f}"])
    return table(["what", "accuracy", "over codes", "log-loss"], rows)


def onnx_mean(name: str) -> float:
    """Return the mean accuracy over folds of the ONNX file, of the estimator or of the peer, in per cent."""
    return 100 * float(np.mean([cell["accuracy"][name] for cell in read("folder_to_onnx")["results"].values()]))


def onnx_seconds() -> float:
    """Return the seconds of the slowest fold, from paths to the written file."""
    return max(cell["seconds"]["both"] for cell in read("folder_to_onnx")["results"].values())


def table_folder_to_onnx() -> str:
    """Return accuracies in per cent, seconds and size of the file, by fold."""
    names = {"ONNX": "the file", "estimator": "the estimator", "peer": "timm + logistic regression"}
    rows = []
    for fold, cell in read("folder_to_onnx")["results"].items():
        accuracies = [f"{100 * cell['accuracy'][name]:.1f}" for name in names]
        rows.append([fold, str(cell["rows"]), str(cell["tested"]), *accuracies, f"{cell['seconds']['both']:.0f}",
                     f"{cell['file_mib']:.0f}", cell["taken"]])  # fmt: skip
    return table(["fold", "rows", "tested", *names.values(), "s in all", "MiB", "taken"], rows)


def autogluon_cases(budget: int = 60) -> dict:
    """Return what each case run beside AutoGluon gave, with so many seconds."""
    return read("auto_transfer")["results"].get("autogluon" if budget == 60 else f"autogluon, {budget} s", {})


def autogluon_version() -> str:
    """Return AutoGluon's version."""
    return next(iter(autogluon_cases().values()))["autogluon"]["autogluon"]


def table_multimodal() -> str:
    """Return accuracies in per cent, seconds of fitting and AutoGluon's steps, by case and time."""
    names = {"automatic": "automatic", "simple": "codes, last layer", "autogluon": "MultiModal"}
    rows = []
    for title, cases in read("auto_transfer")["results"].items():
        for case, cell in cases.items() if title.split(",")[0] == "multimodal" else ():
            budget = title.partition(", ")[2] or "60 s"
            values = [cell["accuracy"][name] for name in names]
            texts = bold_best([f"{100 * value:.1f}" for value in values], values, 3)
            seconds = [f"{cell['seconds'][name]:.0f}" for name in names]
            steps = str(cell["autogluon"]["steps"])
            rows.append([case, budget, str(cell["rows"]), str(cell["tested"]), *texts, *seconds, steps])
    return table(
        ["data", "time", "rows", "tested", *names.values(), *(f"{name}, s" for name in names.values()), "its steps"],
        rows,
    )


def table_autogluon(budget: int = 60) -> str:
    """Return accuracies in per cent and seconds of fitting, by case."""
    names = {"automatic": "automatic", "simple": "logistic regression", "autogluon": "AutoGluon"}
    rows = []
    for case, cell in autogluon_cases(budget).items():
        values = [cell["accuracy"][name] for name in names]
        texts = bold_best([f"{100 * value:.1f}" for value in values], values, 3)
        seconds = [f"{cell['seconds'][name]:.0f}" for name in names]
        taken = cell["autogluon"].get("taken", "")
        rows.append([case, str(cell["rows"]), str(cell["tested"]), *texts, *seconds, taken])
    return table(
        ["data", "rows", "tested", *names.values(), *(f"{name}, s" for name in names.values()), "AutoGluon's choice"],
        rows,
    )


def table_forests() -> str:
    """Return what a random forest and rules for the ensemble change for feature rows: points, log-loss."""
    results = read("forests_on_rows")["results"]
    rows = []
    for size in ("100 a class", "20 a class"):
        cells = [(name.split(", ")[0], cell["contenders"]) for name, cell in results.items() if size in name]
        for title in ("no forest", "no forest, always", "beyond noise", "now", "always"):
            gains: dict[str, list[tuple[float, float]]] = {}
            for name, found in cells:
                own, before = found[title], found["no forest, beyond noise"]
                gains.setdefault(name, []).append((100 * (own[0] - before[0]), own[1] - before[1]))
            means = np.array([np.mean(of, axis=0) for of in gains.values()])
            error = means.std(axis=0, ddof=1) / np.sqrt(len(means))
            points, loss = (
                f"{mean:+.{digits}f} ± {e:.{digits}f}" for mean, e, digits in zip(means.mean(0), error, (2, 3))
            )
            ahead = f"{(means[:, 0] > 0).sum()} / {(means[:, 0] < 0).sum()}"
            rows.append([size, title, str(len(means)), str(len(cells)), points, loss, ahead])
    return table(["rows", "what", "tables", "draws", "points", "log-loss", "tables ahead / behind"], rows)


def table_linear_and_forest() -> str:
    """Return what a forest, a machine and means gain over the linear classifier of feature rows, over tables."""
    results = read("linear_and_forest")["results"]
    rows = []
    for size in (8, 24, 50, 100):
        gains: dict[str, list[dict]] = {}
        for name, found in results.items():
            if f", {size} a class" in name:
                gains.setdefault(name.split(", ")[0], []).append(found)
        for title in ("forest", "SVM", "linear + forest", "linear + SVM", "linear + SVM + forest"):
            means = np.array([
                np.mean([np.subtract(one[title], one["linear"]) for one in of], axis=0) for of in gains.values()
            ])  # fmt: skip
            error = means.std(axis=0, ddof=1) / np.sqrt(len(means))
            points, loss = (
                f"{scale * mean:+.{digits}f} ± {scale * e:.{digits}f}"
                for mean, e, digits, scale in zip(means.mean(0), error, (2, 3), (100, 1))
            )
            ahead = f"{(means[:, 0] > 0.005).sum()} / {(means[:, 0] < -0.005).sum()}"
            n_draws = sum(map(len, gains.values()))
            rows.append([str(size), title, str(len(means)), str(n_draws), points, loss, ahead])
    titles = ["rows a class", "what", "tables", "draws", "points", "log-loss", "tables ahead / behind by 0.5"]
    return table(titles, rows)


def overruns() -> list[dict]:
    """Return all runs of the second part."""
    return list(read("auto_transfer")["results"]["overruns"].values())


def worst_overrun(*, pictures: bool) -> float:
    """Return the largest overrun of pictures, or of rows and texts, in seconds; what ends early has none."""
    return max(0.0, *(run["overrun"] for run in overruns() if bool(run["one pass"]) == pictures))


def kept_budgets() -> str:
    """Return how many runs kept the rule, and how many there are."""
    kept = sum(run["overrun"] <= max(2.0, run["one pass"]) for run in overruns())
    return f"{kept} of {len(overruns())}"


def n_budgets() -> str:
    """Return the smallest and the largest budget."""
    found = sorted({_budget(name) for name in read("auto_transfer")["results"]["overruns"]})
    return f"{found[0]:g} to {found[-1]:g}"


def _budget(name: str) -> float:
    return float(name.split(", ")[1].removesuffix(" s"))


def table_overruns() -> str:
    """Return seconds and overruns by kind of data and budget; an overrun is negative where searches ended early."""
    groups: dict[tuple[str, float], list[dict]] = {}
    for name, run in read("auto_transfer")["results"]["overruns"].items():
        groups.setdefault((name.split(", ")[0], _budget(name)), []).append(run)
    rows = []
    for (data, budget), runs in sorted(groups.items()):
        passes = [run["one pass"] for run in runs if run["one pass"]]
        rows.append([
            data, f"{budget:g}", str(len(runs)), f"{np.mean([run['seconds'] for run in runs]):.1f}",
            f"{max(run['overrun'] for run in runs):+.1f}", f"{np.mean(passes):.1f}" if passes else "",
            f"{np.mean([run['tried'] for run in runs]):.0f}",
        ])  # fmt: skip
    return table(["data", "budget, s", "runs", "seconds", "largest overrun", "one pass", "candidates scored"], rows)
