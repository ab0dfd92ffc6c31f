"""Domain adaptation: accuracy by loss and pair, beside peers, by target rows; speed; without source rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from measured_tables._write import bold_best, read, spread, table

SHORT = {"photo": "photo", "art_painting": "art", "cartoon": "cartoon", "sketch": "sketch"}
PACS_PAIRS = ["photo->art_painting", "photo->cartoon", "photo->sketch", "others->photo", "others->art_painting",
              "others->cartoon", "others->sketch"]  # fmt: skip
LOSSES = ["none", "mmd", "jan", "coral", "cmd", "dsan", "deepjdot", "dann", "dann, weight 0.1", "cdan", "cdan+e",
          "adda", "mcd", "mdd", "entropy", "mcc", "mcc, shift", "bnm", "afn", "bsp", "pseudo_labels", "fixmatch",
          "mean_teacher", "irm", "group_dro", "coral_sources", "cdan+e, mcc", "cdan+e, mean_teacher",
          "cdan, bsp"]  # fmt: skip
BESIDE_PEERS = ["none", "coral", "skada coral", "tllib coral", "dann", "dann, weight 0.1", "skada dann", "tllib dann",
                "cdan+e", "tllib cdan+e", "mcc", "skada mcc", "tllib mcc", "mdd", "deepjdot"]  # fmt: skip
DIGITS = {"usps->mnist": "USPS to MNIST", "mnist->usps": "MNIST to USPS", "usps filled->mnist": "USPS filled to MNIST",
          "mnist->usps filled": "MNIST to USPS filled", "mnist->mnistm": "MNIST to MNIST-M"}  # fmt: skip


def _seeds(pair: str, loss: str) -> list[dict[str, Any]]:
    return list(read("adaptation_accuracy")["results"].get(pair, {}).get(loss, {}).values())


def adapted(pair: str, loss: str) -> str | None:
    """Return the target accuracy of a loss on a pair, last epoch, mean and spread over seeds."""
    cells = _seeds(pair, loss)
    return spread(cell["last"] for cell in cells) if cells else None


def _mean(pair: str, loss: str) -> float | None:
    cells = _seeds(pair, loss)
    return 100 * float(np.mean([cell["last"] for cell in cells])) if cells else None


def _with_oracle(pair: str, loss: str) -> str | None:
    """Return the accuracy and, for the digits' own pairs, that of the epoch that only an oracle could name."""
    text = adapted(pair, loss)
    if text is None or pair not in ("usps->mnist", "mnist->usps", "mnist->mnistm"):
        return text
    return f"{text} ({100 * np.mean([cell['oracle'] for cell in _seeds(pair, loss)]):.1f})"


def _title(loss: str) -> str:
    if loss == "none":
        return "source only"
    if loss == "dann, weight 0.1":
        return "`DANN(weight=0.1)`"
    if loss == "mcc, shift":
        return "`mcc`, pictures shifted"
    for peer in ("skada", "tllib"):
        if loss.startswith(peer):
            return loss.replace(peer, f"{peer}'s")
    if ", " in loss:
        return "`[" + ", ".join(f'"{part}"' for part in loss.split(", ")) + "]`"
    return f"`{loss}`"


def _papers(loss: str) -> str | None:
    papers = read("adaptation_accuracy")["papers"]
    found = [papers[pair].get(loss) for pair in ("usps->mnist", "mnist->usps")]
    return None if None in found else " / ".join(f"{value:.1f}" for value in found)


def table_losses() -> str:
    """Return target accuracy by loss, on digits and two pairs of PACS."""
    pairs = [*DIGITS, "photo->sketch", "others->sketch"]
    columns = {}
    for pair in pairs:
        texts, values = [_with_oracle(pair, loss) for loss in LOSSES], [_mean(pair, loss) for loss in LOSSES]
        columns[pair] = bold_best(texts, values, 1 if "filled" not in pair else 2)
    rows = [
        [_title(loss), columns["usps->mnist"][i], columns["mnist->usps"][i], _papers(loss),
         *(columns[pair][i] for pair in pairs[2:])]
        for i, loss in enumerate(LOSSES)
    ]  # fmt: skip
    header = ["loss", *list(DIGITS.values())[:2], "papers (both)", *list(DIGITS.values())[2:],
              "PACS codes, photo to sketch", "PACS codes, others to sketch"]  # fmt: skip
    return table(header, rows)


def table_beside_peers() -> str:
    """Return target accuracy on PACS' seven pairs beside skada and tllib."""
    columns = [
        bold_best([adapted(pair, loss) for loss in BESIDE_PEERS], [_mean(pair, loss) for loss in BESIDE_PEERS], 1)
        for pair in PACS_PAIRS
    ]
    rows = [[_title(loss), *(column[i] for column in columns), f"{pacs_mean(loss):.1f}"]
            for i, loss in enumerate(BESIDE_PEERS)]  # fmt: skip
    names = [" to ".join(SHORT.get(part, part) for part in pair.split("->")) for pair in PACS_PAIRS]
    return table(["PACS codes", *names, "mean"], rows)


def pacs_mean(loss: str) -> float:
    """Return the mean target accuracy over PACS' seven pairs."""
    return float(np.mean([_mean(pair, loss) for pair in PACS_PAIRS]))


def table_few_rows() -> str:
    """Return accuracy by the number of target rows to adapt to, and on how many pairs that beats plain regression."""
    found = read("few_target_rows")
    cells = [cell for seeds in found["results"].values() for cell in seeds.values()]
    linear = np.array([cell["logistic regression"] for cell in cells])
    rows = []
    for loss in ("cdan+e", "mcc"):
        row = [f"`{loss}`"]
        for size in found["sizes"]:
            own = np.array([cell[loss][str(size)] for cell in cells])
            row.append(f"{100 * own.mean():.1f} ({(own > linear).sum()})")
        rows.append(row)
    return table(["target rows", *found["sizes"]], rows)


def few_rows(method: str, size: int | None = None) -> float:
    """Return the mean accuracy of a method, for a loss with so many target rows."""
    cells = [cell for seeds in read("few_target_rows")["results"].values() for cell in seeds.values()]
    return 100 * float(np.mean([cell[method] if size is None else cell[method][str(size)] for cell in cells]))


def table_adaptation_speed() -> str:
    """Return training steps a second."""
    titles = {"digits, LeNet": "LeNet, digits", "codes, MLP": "MLP 320-128, codes"}
    names = {"coral": "DeepCORAL", "mcc": "MCC", "dann": "DANN", "cdan": "CDAN"}
    rows = []
    for network, cells in read("adaptation_speed")["results"].items():
        alone = cells["products alone"][""]["steps_per_second"]
        for loss, title in names.items():
            peers = [_steps(cells[loss].get(who)) for who in ("plain loop", "skada")]
            rows.append([titles[network], title, _steps(cells[loss]["sktl"]), *peers, _rate(alone)])
    return table(["network", "loss", "sktl", "plain loop", "skada", "its matrix products alone"], rows, left=2)


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _steps(cell: dict[str, Any] | None) -> str | None:
    if cell is None:
        return None
    times = cell.get("sktl_is_faster")
    return _rate(cell["steps_per_second"]) + (f" ({times['of_medians']:.1f}x)" if times else "")


def skada_times() -> list[float]:
    """Return how many times as fast as skada's the steps are, over networks and losses."""
    found = [cell["skada"]["sktl_is_faster"]["of_medians"] for cells in read("adaptation_speed")["results"].values()
             for cell in cells.values() if "skada" in cell]  # fmt: skip
    return sorted(found)


def table_aligners() -> str:
    """Return accuracy of each aligner over Office-Caltech's twelve pairs, with the paper's figure."""
    found = read("aligners_accuracy")
    titles = {"1nn": "nearest neighbour, standardised", "sa": "`SubspaceAligner`, nearest neighbour",
              "gfk": "`GeodesicFlowKernel`, nearest neighbour", "tca": "`TransferComponentAnalysis`, nearest neighbour",
              "jda": "`JointDistributionAligner(regularization=0.01)`, nearest neighbour",
              "svm": "linear SVM, standardised", "coral": "`CORALAligner`, linear SVM",
              "tkl": "`TransferKernelLearning`, SVM"}  # fmt: skip
    pairs = list(found["results"]["office"]["1nn"])
    rows = [
        [title, *(f"{found['results']['office'][name][pair]:.1f}" for pair in pairs), f"{office(name):.1f}",
         found["papers"]["office"].get(name)]
        for name, title in titles.items()
    ]  # fmt: skip
    short = [" to ".join(part[0].upper() for part in pair.split(" -> ")) for pair in pairs]
    return table(["before", *short, "mean of 12", "paper"], rows)


def office(name: str) -> float:
    """Return the mean accuracy over Office-Caltech's twelve pairs."""
    return float(np.mean(list(read("aligners_accuracy")["results"]["office"][name].values())))


REVIEWS = {
    "none": "tf-idf, logistic regression",
    "scl": "tf-idf, `StructuralCorrespondence(regularization=1)`, logistic regression",
    "tf-idf, SVM": "tf-idf, linear SVM",
    "tf-idf, mSDA, layers 1 to 1": "tf-idf, `MarginalizedDenoiser()`, linear SVM",
    "tf-idf, mSDA, layers 1 to 4": "tf-idf, `MarginalizedDenoiser(n_layers=4)`, linear SVM",
    "words, SVM": "words, linear SVM",
    "words, mSDA, layers 1 to 1": "words, `MarginalizedDenoiser()`, linear SVM",
    "words, mSDA, layers 1 to 2": "words, `MarginalizedDenoiser(n_layers=2)`, linear SVM",
    "words, mSDA, layers 1 to 3": "words, `MarginalizedDenoiser(n_layers=3)`, linear SVM",
    "words, mSDA, layers 1 to 4": "words, `MarginalizedDenoiser(n_layers=4)`, linear SVM",
}


def table_amazon() -> str:
    """Return accuracy on the pairs of Amazon's reviews, by target and over all."""
    found = read("aligners_accuracy")
    by_method, papers = found["results"]["amazon"], found["papers"]["amazon"]
    names = [name for name in REVIEWS if by_method.get(name)]
    targets = sorted({pair.split(" -> ")[1] for pair in by_method["none"]})
    means = [amazon_reviews(name) for name in names]
    rows = []
    for name, mean in zip(names, bold_best([f"{mean:.1f}" for mean in means], means, 1)):
        to = [np.mean([v for pair, v in by_method[name].items() if pair.endswith(target)]) for target in targets]
        rows.append([REVIEWS[name], *(f"{value:.1f}" for value in to), mean, papers.get(name)])
    return table(["before", *(f"to {target}" for target in targets), "mean of 12", "paper"], rows)


def amazon_reviews(name: str) -> float:
    """Return the mean accuracy over the pairs of Amazon's reviews that were measured."""
    return float(np.mean(list(read("aligners_accuracy")["results"]["amazon"][name].values())))


ALIGNED_DIGITS = {
    "none": "logistic regression on codes",
    "DomainStandardizer": "`DomainStandardizer`",
    "CORALAligner": "`CORALAligner`",
    "SubspaceAligner": "`SubspaceAligner(50)`",
    "TransferComponentAnalysis": "`TransferComponentAnalysis(50)`",
    "JointDistributionAligner": "`JointDistributionAligner(50)`",
    "OptimalTransportAligner": "`OptimalTransportAligner`",
    "DomainAdaptedClassifier": "`DomainAdaptedClassifier` on codes",
    "the network, cdan+e": 'the network itself, `loss="cdan+e"`',
    "the network, mcc": 'the network itself, `loss="mcc"`',
}


def table_aligned_digits() -> str:
    """Return the accuracy of aligners on codes of a network, and of the network adapted as a whole."""
    found = read("aligners_accuracy")["results"]["digits"]
    columns = []
    for pair in found["none"]:
        values = [found[name].get(pair) for name in ALIGNED_DIGITS]
        columns.append(bold_best([None if v is None else f"{v:.1f}" for v in values], values, 1))
    titles = [pair.replace("mnist", "MNIST").replace("usps", "USPS").replace("->", "to") for pair in found["none"]]
    return table(["before", *titles], [list(row) for row in zip(ALIGNED_DIGITS.values(), *columns)])


def table_aligners_speed() -> str:
    """Return processor seconds and memory of aligners, beside peers, by number of rows and columns."""
    found = read("aligners_speed")
    rows = []
    for case, cells in found["results"].items():
        method, _, size = case.rpartition(", ")
        mine = cells["sktl"]
        row = [f"`{method}`" if method.isidentifier() and not method.isupper() else method, size, _took(mine)]
        for who in ("skada", "POT"):
            cell = cells.get(who)
            row.append(None if cell is None else _beside(cell))
        rows.append(row)
    return table(["method", "rows x columns", "sktl", "skada", "POT"], rows, left=2)


def _took(cell: dict[str, Any]) -> str:
    if "median_seconds" not in cell:
        return cell["failed"]
    return f"{cell['median_seconds']:.2g} s, {max(cell['peak_mib']):,.0f} MiB"


def _beside(cell: dict[str, Any]) -> str:
    """Return a peer's time and memory, and how many times as fast sktl is; other answers are marked."""
    if "median_seconds" not in cell:
        times = cell.get("sktl_is_faster_at_least")
        failed = cell["failed"].partition(":")[0].replace("more than", "above")
        return f"{failed} (over {times:.1f}x)" if times else failed
    is_other = cell["difference"] is None or cell["difference"] > 1e-3
    return f"{_took(cell)} ({cell['sktl_is_faster']['of_medians']:.1f}x{', other answer' if is_other else ''})"


def share_of_products() -> float:
    """Return the share of the rate that a LeNet's products allow at which DeepCORAL's steps run."""
    cells = read("adaptation_speed")["results"]["digits, LeNet"]
    return cells["coral"]["sktl"]["steps_per_second"] / cells["products alone"][""]["steps_per_second"]
