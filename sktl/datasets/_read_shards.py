"""Shards of WebDataset, tar files of samples, as a Dask bag."""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sktl._validation import shorten
from sktl._warn_once import warn_user
from sktl.exceptions import BadImageError, PictureWarning
from sktl.images import picture_suffixes

COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst")
BLOCK = 512  # bytes of a header of tar; a whole archive ends in two such blocks of zeros
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@validate_params(
    {
        "urls": [str, os.PathLike, list, tuple],
        "parts": [Interval(Integral, 1, None, closed="left")],
        "on_bad": [StrOptions({"error", "report"})],
        "storage_options": [Mapping, None],
    },
    prefer_skip_nested_validation=True,
)
def read_shards(
    urls: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    parts: int = 1,
    on_bad: str = "error",
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """Return the samples of WebDataset's shards, tar files, as a Dask bag; nothing is read before it is computed.

    Files that follow each other in a shard and have the same name up to the first dot are one sample.

    Parameters
    ----------
    urls : str, path or sequence of these
        The shards: paths or URLs that fsspec knows (``s3://``, ``http://``, ``memory://``). "*" stands for any
        characters, "{0000..0099}" for a range of numbers.
    parts : int, default=1
        Partitions a shard. A partition is in memory at once; take more where shards are large, for files that can be
        read from the middle and that are not compressed. Start with 1.
    on_bad : {"error", "report"}, default="error"
        What is done about a shard that is cut off or damaged: an error that names the file in it, or a warning that
        does, and the samples before it.
    storage_options : mapping, default=None
        Given to fsspec.

    Returns
    -------
    dask.bag.Bag of dict
        "key", the name up to the first dot; "shard", the URL; "picture", the bytes of the file whose suffix is that of
        a picture, None without one; and the bytes of all other files by their suffix, "cls" or "json" say.
        ``bag.pluck("picture")`` is an X of `CNNCodesTransformer`.

    Raises
    ------
    ImportError
        Without Dask and fsspec: ``pip install 'sktl[cluster]'``.
    FileNotFoundError
        If there is no such shard.
    BadImageError
        When it is computed, with ``on_bad="error"``, if a shard is cut off. Its attribute `failures` says where.

    See Also
    --------
    sktl.features.codes_to_zarr : Codes of such a bag, in a file.

    Examples
    --------
    >>> import io, tarfile, tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktl.datasets import read_shards
    >>> folder = Path(tempfile.mkdtemp())
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (32, 32)).save(file, "PNG")
    >>> with tarfile.open(folder / "shard-0.tar", "w") as tar:
    ...     for name in ("ant.png", "ant.cls", "bee.png", "bee.cls"):
    ...         data = file.getvalue() if "png" in name else name[:1].encode()
    ...         entry = tarfile.TarInfo(name)
    ...         entry.size = len(data)
    ...         tar.addfile(entry, io.BytesIO(data))
    >>> bag = read_shards(str(folder / "*.tar"))
    >>> [(sample["key"], sample["cls"]) for sample in bag.compute(scheduler="sync")]
    [('ant', b'a'), ('bee', b'b')]
    """
    try:
        import dask.bag as db
        import fsspec  # noqa: F401
    except ImportError as error:
        raise ImportError(f"Shards are read by Dask and fsspec: pip install 'sktl[cluster]' ({error}).") from error

    options = dict(storage_options or {})
    found = _expanded([urls] if isinstance(urls, (str, os.PathLike)) else list(urls), options)
    compressed = [url for url in found if url.lower().endswith(COMPRESSED)]
    if parts > 1 and compressed:
        raise ValueError(
            f"parts={parts}, but a compressed shard cannot be read from the middle: {shorten(compressed)}."
        )
    shards = [_Part(url, number, int(parts), on_bad, options) for url in found for number in range(parts)]
    return db.from_sequence(shards, partition_size=1).map_partitions(_samples_of)


@dataclass(frozen=True)
class _Part:
    url: str
    number: int
    of: int
    on_bad: str
    options: dict[str, Any] = field(repr=False)


def _expanded(urls: list[Any], options: dict[str, Any]) -> list[str]:
    import fsspec

    found: list[str] = []
    for url in urls:
        for one in _ranges(os.fspath(url)):
            if not any(sign in one for sign in "*?["):
                found.append(one)
                continue
            files, path = fsspec.core.url_to_fs(one, **options)
            matching = sorted(files.glob(path))
            if not matching:
                raise FileNotFoundError(f"urls={one!r}: there is no such shard.")
            found.extend(files.unstrip_protocol(name) if "://" in one else name for name in matching)
    if not found:
        raise FileNotFoundError("urls is empty: there is no shard.")
    return found


def _ranges(url: str) -> list[str]:
    """Return a URL for each number of its range."""
    place = _RANGE.search(url)
    if place is None:
        return [url]
    first, last = place[1], place[2]
    numbers = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return [done for number in numbers for done in _ranges(url[: place.start()] + number + url[place.end() :])]


class _Watched:
    """A file of which the last bytes that were read are kept: they tell whether an archive is whole."""

    def __init__(self, file: Any):
        self._file = file
        self._last = b""

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._last = (self._last + data)[-BLOCK:] if len(data) < BLOCK else data[-BLOCK:]
        return data

    def is_ended(self) -> bool:
        """Whether the file, read to its end now, ends as an archive does."""
        while self.read(2**20):
            pass
        return self._last == bytes(BLOCK)


def _samples_of(parts: Sequence[_Part]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for part in parts:
        try:
            for sample in _samples(part):
                found.append(sample)
        except BadImageError as error:
            if part.on_bad == "error":
                raise
            said = f"{error.args[0]} The {len(found)} samples before are taken."
            warn_user(PictureWarning(said, error.failures))
    return found


def _samples(part: _Part) -> Iterator[dict[str, Any]]:
    """Yield the samples of a part of a shard, the last one only where it is whole."""
    suffixes = picture_suffixes()
    sample: dict[str, Any] = {}
    try:
        for name, data in _members(part):
            key, suffix = _key(name), name.rpartition("/")[2].partition(".")[2].lower()
            if sample and key != sample["key"]:
                yield sample
                sample = {}
            sample = sample or {"key": key, "shard": part.url, "picture": None}
            sample["picture" if f".{suffix.rpartition('.')[2]}" in suffixes else suffix] = data
    except BadImageError as error:
        (damaged,) = error.failures
        if sample and _key(damaged.rpartition("::")[2]) != sample["key"]:
            yield sample
        raise
    if sample:
        yield sample


def _key(name: str) -> str:
    """Return the name of a file up to the first dot, its folder in front."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _members(part: _Part) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of the files in a part of a shard."""
    import fsspec

    last = "its beginning"
    with fsspec.open(part.url, "rb", **part.options) as file:
        source: Any = _Watched(file) if part.of == 1 else file
        low, high = _bounds(part)
        key_before = None
        inside = low == 0
        try:
            with tarfile.open(fileobj=source, mode="r|*" if part.of == 1 else "r:") as tar:
                for member in tar:
                    last = member.name
                    key = _key(member.name)
                    if key != key_before:  # a sample belongs to the part in which it begins
                        inside = low <= member.offset < high
                        key_before = key
                        if member.offset >= high:
                            return
                    if inside and member.isfile():
                        taken = tar.extractfile(member)
                        assert taken is not None
                        data = taken.read()
                        if len(data) < member.size:
                            raise tarfile.ReadError("unexpected end of data")
                        yield member.name, data
                ended = part.url.lower().endswith(COMPRESSED) or part.of > 1 or source.is_ended()
        except FileNotFoundError:
            raise
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise _cut_off(part.url, last, str(error)) from error
        if not ended:
            raise _cut_off(part.url, last, "the end of the archive is missing")


def _bounds(part: _Part) -> tuple[float, float]:
    """Return between which bytes of a shard the samples of a part begin."""
    if part.of == 1:
        return 0, float("inf")
    import fsspec

    files, path = fsspec.core.url_to_fs(part.url, **part.options)
    size = files.size(path)
    return size * part.number / part.of, size * (part.number + 1) / part.of if part.number + 1 < part.of else float(
        "inf"
    )


def _cut_off(url: str, member: str, why: str) -> BadImageError:
    return BadImageError(
        f"The shard {url!r} is cut off or damaged at {member!r}: {why}. Fetch it again, or pass on_bad='report' to "
        "take what lies before.",
        {f"{url}::{member}": why},
    )
