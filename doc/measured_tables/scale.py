"""Tables of codes on a cluster: speed, memory and cost as pictures grow, forms of storage, kills."""

from __future__ import annotations

import statistics

from measured_tables._write import read, table

SIZES = (10_000, 100_000, 1_000_000)
SECONDS_AN_HOUR = 3600


def table_cluster_speed() -> str:
    """Return pictures a second of the plain road and of clusters of one worker and two."""
    found = read("scale")["speed"]
    rows = [
        [
            name if name != "plain" else "plain, in this process",
            f"{found['pictures_a_second'][name]:.1f}",
            f"{found['pictures_a_processor_second'][name]:.1f}",
            f"{100 * found['overhead'][name]:+.1f} %" if name in found["overhead"] else None,
        ]
        for name in found["pictures_a_second"]
    ]
    return table(["one thread each", "pictures a second", "a second of processor", "the engine's share"], rows)


def table_arenas() -> str:
    """Return what the C library's arenas cost on workers."""
    found = read("scale")["arenas"]
    rows = [
        [name, f"{rate:.1f}", f"{statistics.median(found['found'][name]['fresh_pages']):,.0f}"]
        for name, rate in found["pictures_a_processor_second"].items()
    ]
    return table(["workers", "pictures a second of processor", "fresh pages of memory"], rows)


def arenas(name: str) -> float:
    """Return one number of the part on the C library's arenas."""
    return read("scale")["arenas"][name]


def table_growth() -> str:
    """Return seconds and memory as pictures grow, and what the smallest number lets expect."""
    cells = _growth()
    first = cells[0]
    rows = [
        [
            f"{cell['pictures']:,}",
            f"{cell['seconds']:.0f}",
            f"{cell['processor_seconds']:.0f}",
            f"{first['processor_seconds'] * cell['pictures'] / first['pictures']:.0f}",
            cell["memory_mib"]["client and scheduler"],
            cell["memory_mib"]["worker"],
        ]
        for cell in cells
    ]
    header = ["pictures of 32 pixels", "seconds", "seconds of processor", "expected", "client, MiB", "a worker, MiB"]
    return table(header, rows)


def table_storage() -> str:
    """Return accuracy and terabytes a billion of codes kept in several forms."""
    forms = read("scale")["storage"]["forms"]
    rows = [
        [name, cell["bytes"], f"{cell['bytes'] / 1000:.2f}", f"{100 * cell['accuracy']:.1f}"]
        for name, cell in forms.items()
    ]
    return table(["kept as", "bytes a code", "terabytes a billion", "accuracy, %"], rows)


def cluster(name: str, of: str | None = None) -> float:
    """Return one number of the part on speed."""
    found = read("scale")["speed"][name]
    return found if of is None else found[of]


def growth(n: int, name: str) -> float:
    """Return one number of the part on growth."""
    return read("scale")[f"growth_{n}"][name]


def largest_memory() -> float:
    """Return the largest memory of a process, in GB, over all numbers of pictures."""
    return max(max(cell["memory_mib"].values()) for cell in _growth()) * 2**20 / 1e9


def predicted(n: int) -> float:
    """Return by how many percent n pictures cost more processor time than the smallest number lets expect."""
    first, cell = _growth()[0], read("scale")[f"growth_{n}"]
    expected = first["processor_seconds"] * cell["pictures"] / first["pictures"]
    return 100 * (cell["processor_seconds"] / expected - 1)


def killed(what: str) -> int:
    """Return how often a worker, or the run, was killed."""
    return read("scale")["kills"]["kills"][what]


def kill_part(name: str) -> int:
    """Return one number of the part on kills."""
    return read("scale")["kills"][name]


def core_hours(pictures: float, road: str = "1 worker") -> float:
    """Return the hours of one core for so many pictures of 224 pixels, by the measured processor time."""
    return pictures / read("scale")["speed"]["pictures_a_processor_second"][road] / SECONDS_AN_HOUR


def storage_of(name: str, what: str) -> float:
    """Return bytes, or the accuracy in percent, of a form of storage."""
    cell = read("scale")["storage"]["forms"][name]
    return 100 * cell[what] if what == "accuracy" else cell[what]


def _growth() -> list[dict]:
    found = read("scale")
    return [found[f"growth_{n}"] for n in SIZES if f"growth_{n}" in found]
