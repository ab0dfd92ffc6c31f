"""The folder of an extraction: a Zarr array of codes, a mark for each block that is done, and what it holds."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sktl._forking import ForkSafeLock
from sktl._memory import Remembered, emptied_on_request
from sktl.features._job import Job

FORMAT = 1
DONE, WITH_FAILURES = ".done", ".failures.json"  # how the mark of a finished block ends
BEGUN = "begun"  # the mark of who makes the array
PATIENCE = 50  # tenths of a second that another one is given to make it

_open: Remembered[tuple, Any] = Remembered(4)
_lock = ForkSafeLock()


@emptied_on_request
def _forget() -> None:
    _open.clear()


@dataclass(frozen=True)
class CodesFolder:
    """The folder of an extraction: ``codes``, a Zarr array; ``blocks``, a mark for each that is done; ``job.json``.

    Attributes
    ----------
    root : str
        A path or URL.
    dtype : str
        Of the codes in it.
    options : dict
        For fsspec.
    """

    root: str
    dtype: str
    options: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def codes(self) -> str:
        """Return where the codes are."""
        return f"{self.root.rstrip('/')}/codes"

    def counted(self) -> list[int] | None:
        """Return the lengths of partitions that an earlier run has counted."""
        return (self._noted() or {}).get("lengths")

    def prepare(self, job: Job, n_rows: int, block_size: int, counted: list[int] | None) -> None:
        """Make the folder, or check that it is of the same call.

        Raises
        ------
        ValueError
            If it is of another one, or holds something else.
        """
        noted: dict[str, Any] = {"format": FORMAT, "codes": job.recipe, "rows": n_rows, "features": job.n_features}
        noted |= {"block_size": block_size, "dtype": self.dtype}
        files, path = self._files()
        try:
            earlier = self._noted() or self._begun()
        except OSError as error:
            raise OSError(f"The folder {self.root!r} cannot be written: {error}") from error
        if earlier is not None:
            differing = [name for name in noted if earlier.get(name) != noted[name]]
            if differing:
                named = ", ".join(f"{name} {earlier.get(name)!r}, now {noted[name]!r}" for name in differing)
                raise ValueError(
                    f"The folder {self.root!r} holds codes of another transformer or of other rows: {named}. Give a "
                    "new folder, or the transformer, versions and rows of then."
                )
            if not files.exists(f"{path}/codes/zarr.json"):
                raise ValueError(f"The folder {self.root!r} says what it holds, but its codes are gone; remove it.")
            return
        self._make(n_rows, block_size, job.n_features)
        if counted is not None:
            noted["lengths"] = counted
        files.pipe_file(f"{path}/job.json", json.dumps(noted).encode())  # the last: with it the folder is whole

    def _begun(self) -> dict[str, Any] | None:
        """Claim the folder; of two runs that begin at once, the later one returns what the earlier one has noted.

        Raises
        ------
        ValueError
            If it holds something else.
        """
        files, path = self._files()
        held = set(self._names(""))
        if held - {"codes", "blocks", "job.json"} or ("codes" in held and BEGUN not in self._names("blocks")):
            raise ValueError(f"The folder {self.root!r} holds other files; give a new or an empty folder.")
        files.makedirs(f"{path}/blocks", exist_ok=True)
        for _ in range(PATIENCE):
            try:
                files.pipe_file(f"{path}/blocks/{BEGUN}", b"", mode="create")
                return None
            except FileExistsError:
                time.sleep(0.1)
            except (TypeError, NotImplementedError):  # a file system that knows no such mode
                files.pipe_file(f"{path}/blocks/{BEGUN}", b"")
                return None
            if (noted := self._noted()) is not None:
                return noted
        return None  # the other one was killed before it had noted anything: its work is ours

    def finished(self, *, with_failures: bool) -> set[int]:
        """Return the numbers of the blocks that are done, those with rows of NaN only if asked for."""
        names = self._names("blocks")
        done = {int(name.removesuffix(DONE)) for name in names if name.endswith(DONE)}
        reports = self._reports(names) if with_failures else {}
        return done | {number for number, found in reports.items() if found is not None}

    def known(self, number: int, *, with_failures: bool) -> dict[int, str] | None:
        """Return what is wrong with rows of a block; None where it is not done."""
        files, path = self._files()
        if files.exists(f"{path}/blocks/{number:010d}{DONE}"):
            return {}
        name = f"{number:010d}{WITH_FAILURES}"
        has_report = with_failures and files.exists(f"{path}/blocks/{name}")
        return self._reports([name])[number] if has_report else None

    def failures(self) -> dict[int, str]:
        """Return what is wrong with each row that cannot be read, of all blocks that are done."""
        names = self._names("blocks")
        found: dict[int, str] = {}
        done = self.finished(with_failures=False)  # some of them after their pictures were repaired
        for number, one in self._reports(names).items():
            found |= {} if number in done else one or {}
        return {row: found[row] for row in sorted(found)}

    def write(self, number: int, start: int, codes: np.ndarray, failures: Mapping[int, str]) -> None:
        """Write the codes of a block, and then its mark."""
        largest = float(np.finfo(self.dtype).max)
        with np.errstate(invalid="ignore"):
            stored = np.clip(codes, -largest, largest).astype(self.dtype)
        self._array()[start : start + len(codes)] = stored
        files, path = self._files()
        mark = f"{path}/blocks/{number:010d}{WITH_FAILURES if failures else DONE}"
        files.pipe_file(mark, json.dumps({str(row): reason for row, reason in failures.items()}).encode())

    def _make(self, n_rows: int, block_size: int, n_features: int) -> None:
        import zarr
        from zarr.codecs import Crc32cCodec, ZstdCodec

        zarr.create_array(
            self.codes,
            shape=(n_rows, n_features),
            chunks=(max(1, min(block_size, n_rows)), n_features),
            dtype=self.dtype,
            fill_value=np.nan,
            compressors=[ZstdCodec(level=1), Crc32cCodec()],  # a chunk that was damaged is an error, not codes
            storage_options=self.options or None,
            overwrite=True,
        )

    def _array(self) -> Any:
        """Return the array, opened once a process."""
        import zarr

        with _lock:
            return _open.get_or_make(
                (self.codes, repr(sorted(self.options))),
                lambda: zarr.open_array(self.codes, mode="r+", storage_options=self.options or None),
            )

    def _files(self) -> tuple[Any, str]:
        import fsspec

        files, path = fsspec.core.url_to_fs(self.root, **self.options)
        return files, path.rstrip("/")

    def _names(self, folder: str) -> list[str]:
        files, path = self._files()
        files.invalidate_cache()
        try:
            found = files.ls(f"{path}/{folder}".rstrip("/"), detail=False)
        except FileNotFoundError:
            return []
        return [name.rstrip("/").rpartition("/")[2] for name in found]

    def _noted(self) -> dict[str, Any] | None:
        files, path = self._files()
        try:
            return json.loads(files.cat_file(f"{path}/job.json"))
        except (
            FileNotFoundError,
            NotADirectoryError,
            ValueError,
        ):  # none, or cut short by a process that was killed while it wrote
            return None

    def _reports(self, names: list[str]) -> dict[int, dict[int, str] | None]:
        """Return what is wrong with rows, by block; None where a report was cut short: that block is computed again."""
        files, path = self._files()
        reports: dict[int, dict[int, str] | None] = {}
        for name in names:
            if name.endswith(WITH_FAILURES):
                number = int(name.removesuffix(WITH_FAILURES))
                try:
                    held = json.loads(files.cat_file(f"{path}/blocks/{name}"))
                    reports[number] = {int(row): reason for row, reason in held.items()}
                except ValueError:
                    reports[number] = None
        return reports
