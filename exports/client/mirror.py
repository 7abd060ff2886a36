"""The consumer's side: a folder that is kept like an export elsewhere.

    from exports.client.mirror import pull
    for pulled in pull("s3://bucket/exports", "mirror", datasets=["ledger"], formats=["parquet"]):
        print(pulled.dataset, pulled.changed)

Only files that are not there as the manifest says are fetched; size, SHA-256 and rows of each are verified
before it gets its name; the manifest follows when all of its files are there. What was fetched before an
interruption is not fetched again. The source may be damaged or hostile: nothing is read beyond what it
states, nor waited for without end.
"""

import errno
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, get_args

import duckdb
from filelock import FileLock, Timeout

from exports.client import transfer
from exports.client.transfer import StalledError, TooLargeError
from exports.encoding import reader
from exports.manifest import (
    CATALOG,
    FILE_PATH,
    MANIFEST,
    ROOT,
    Catalog,
    CatalogDataset,
    File,
    Format,
    Manifest,
    ManifestColumn,
    ManifestError,
    Partition,
    read_catalog,
    read_manifest,
    to_bytes,
)
from paywall_warehouse.files import put_in_place, replace_bytes, sha256, sha256_of
from paywall_warehouse.sizes import size
from paywall_warehouse.uris import open_filesystem, shown_uri
from warehouse.published_tables import Column

# An export of a day's changes takes seconds between its first manifest and its catalog.
ROUNDS, SECONDS_BETWEEN_ROUNDS = 6, 2.0
TRIES, FIRST_WAIT_SECONDS = 3, 1.0
DAYS_SHOWN = 5
DOWNLOADS_AT_ONCE = 8
DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
Result = TypeVar("Result")
# A dataset takes 500 bytes of the catalog, a day in two formats 1 to 2 kB of a manifest: these are thousands,
# and a century.
CATALOG_BYTES, MANIFEST_BYTES = 4 << 20, 64 << 20
NOT_UNDERSTOOD = "It was written by a later version (update this program), or is damaged."


class PullError(Exception):
    """The mirror could not be brought up to date; what was complete is kept. The text says what is wrong and
    what to do.
    """

    def __init__(self, words: str, *, is_wrong_usage: bool = False) -> None:
        super().__init__(words)
        self.is_wrong_usage = is_wrong_usage
        self.pulled: list[Pulled] = []
        """What had been brought up to date before: the next pull finds it unchanged."""


class _DatasetError(PullError):
    """One dataset cannot be had as it is; the others can."""


class _ChangedError(Exception):
    """A file is not what the manifest says: it is another manifest's by now, or spoiled."""


@dataclass(frozen=True)
class Pulled:
    """What a pull changed of one dataset."""

    dataset: str
    changed: tuple[Partition, ...]
    """Partitions that are new or have another revision."""
    gone: tuple[date | None, ...]
    """Partitions that the export does not know any more."""
    files: int
    bytes: int


@dataclass(frozen=True)
class _Source:
    """An export as it can be read: by names, nothing is listed."""

    uri: str
    filesystem: Any = field(repr=False)
    root: str

    @classmethod
    def of(cls, uri: str) -> "_Source":
        if not uri:
            raise PullError("no URI is given: name the place of an export", is_wrong_usage=True)
        try:
            filesystem, root = open_filesystem(uri)
        except (ValueError, ImportError) as error:
            raise PullError(f"{shown_uri(uri)} cannot be opened: {error}", is_wrong_usage=True) from error
        return cls(uri, filesystem, root if root.endswith(f"/{ROOT}") else f"{root}/{ROOT}")

    def place(self, path: str) -> str:
        """For people."""
        return f"{shown_uri(self.uri).rstrip('/').removesuffix(f'/{ROOT}')}/{ROOT}/{path}"

    def read(self, path: str, limit: int) -> bytes:
        """Return a small file. Raises `FileNotFoundError`, `TooLargeError`, and `PullError` where the store
        cannot be read.
        """
        return self._tried(path, lambda: transfer.read_bytes(self.filesystem, f"{self.root}/{path}", limit))

    def fetch(self, path: str, partial: Path, length: int) -> None:
        """Complete what an interrupted pull left in `partial`, or fetch all of a file that has so many
        bytes.
        """
        self._tried(path, lambda: self._fetch(path, partial, length))

    def _fetch(self, path: str, partial: Path, length: int) -> None:
        if partial.exists():
            try:
                self._continue(path, partial, length)
                return
            except (ValueError, NotImplementedError):  # a web server without ranges, for one
                partial.unlink()
        transfer.fetch(self.filesystem, f"{self.root}/{path}", partial, length)

    def _continue(self, path: str, partial: Path, length: int) -> None:
        transfer.fetch(self.filesystem, f"{self.root}/{path}", partial, length)

    def _tried(self, path: str, do: Callable[[], Result]) -> Result:
        tries = 0
        while True:
            try:
                return do()
            except (FileNotFoundError, TooLargeError):
                raise
            except (
                Exception
            ) as error:  # every store has errors of its own; their words are all that can be said of them
                tries += 1
                if isinstance(error, OSError) and error.errno in DISK_FAULTS:
                    raise
                if tries == TRIES or isinstance(error, PermissionError):
                    kind = "" if isinstance(error, StalledError) else f"{type(error).__name__}: "
                    raise PullError(
                        f"{self.place(path)} cannot be read: {kind}{error}. Pull again."
                    ) from error
                time.sleep(FIRST_WAIT_SECONDS * 3 ** (tries - 1))


def pull(
    uri: str,
    folder: str | Path,
    *,
    datasets: Sequence[str] | None = None,
    formats: Sequence[str] | None = None,
    trust_sizes: bool = False,
    progress: Callable[[str], None] = lambda words: None,
) -> list[Pulled]:
    """Bring `folder` up to what the export at `uri` (a path or any fsspec URL) says; returns what changed, a
    line a dataset.

    `datasets` and `formats` narrow the mirror down; None or nothing means all. The mirror has the layout of
    an export and can be pulled from. Files of the mirror are verified by their SHA-256; `trust_sizes` looks
    at the sizes of those that its manifest names. `progress` hears of progress. Raises `PullError`.
    """
    if "://" in str(folder):
        raise PullError(
            f"{shown_uri(str(folder))} is no folder on this machine, which a mirror is", is_wrong_usage=True
        )
    source, mirror = _Source.of(uri), Path(folder) / ROOT
    options = _Options(formats or None, trust_sizes, progress)
    done: dict[str, Pulled] = {}
    try:
        with _written(folder, mirror, progress):
            _follow(source, mirror, datasets, options, done)
    except PullError as error:
        error.pulled = list(done.values())
        raise
    return list(done.values())


@dataclass(frozen=True)
class _Options:
    """How somebody wants to pull."""

    formats: Sequence[str] | None
    trust_sizes: bool
    progress: Callable[[str], None]


def _follow(
    source: _Source, mirror: Path, datasets: Sequence[str] | None, options: _Options, done: dict[str, Pulled]
) -> None:
    """Mirror until the catalog names the manifests that are there; gives up when it waits and nothing comes
    any more.
    """
    waits = 0
    while waits < ROUNDS:
        if waits:
            options.progress("the export is being written; looking again")
            time.sleep(SECONDS_BETWEEN_ROUNDS)
        fetched = sum(one.files for one in done.values())
        catalog = _read_catalog(source)
        wanted = _wanted(catalog, datasets, options.formats)
        settled, faults = [], []
        for one in wanted:
            try:
                settled.append(_pull_dataset(source, mirror, one, options, done))
            except _DatasetError as error:
                faults.append(error)
        if faults:
            raise faults[0]
        if all(settled):
            _place(mirror / CATALOG, _own_catalog(catalog, mirror, wanted, options.formats))
            return
        waits = 1 if sum(one.files for one in done.values()) > fetched else waits + 1
    raise PullError(
        f"{source.place(CATALOG)} does not name the manifests that are there: an export is being written, or"
        " was cut short. What was complete has been pulled; pull again."
    )


def describe(pulled: Pulled) -> str:
    """What a pull changed, in a line."""
    if not pulled.changed and not pulled.gone:
        return f"{pulled.dataset}: unchanged"
    fetched = f"{pulled.files:,} {'file' if pulled.files == 1 else 'files'}, {size(pulled.bytes)}"
    if any(partition.date is None for partition in pulled.changed):
        return (
            f"{pulled.dataset}: revision {pulled.changed[-1].revision}, {pulled.changed[-1].rows:,} rows;"
            f" {fetched}"
        )
    latest = sorted(pulled.changed, key=lambda one: one.date or date.min, reverse=True)
    shown = ", ".join(f"{one.date} (revision {one.revision})" for one in latest[:DAYS_SHOWN])
    more = f" and {len(latest) - DAYS_SHOWN:,} more" if len(latest) > DAYS_SHOWN else ""
    changed = [f"{_days(latest)} changed: {shown}{more}"] if latest else []
    gone = [f"{_days(pulled.gone)} gone"] if pulled.gone else []
    return f"{pulled.dataset}: {'; '.join([*changed, *gone, fetched])}"


def _days(days: Sequence[object]) -> str:
    return f"{len(days):,} {'day' if len(days) == 1 else 'days'}"


def local_manifest(folder: Path, dataset: str) -> Manifest | None:
    """The manifest of a dataset in a mirror, None where there is none that can be read."""
    place = folder / ROOT / dataset / MANIFEST
    try:
        return read_manifest(place.read_bytes(), str(place))
    except (FileNotFoundError, ManifestError):
        return None


@contextmanager
def _written(folder: str | Path, mirror: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """A mirror that nobody else writes meanwhile. Faults of the source are told where they happen; all others
    are the mirror's.
    """
    try:
        mirror.mkdir(parents=True, exist_ok=True)
        lock = FileLock(mirror / ".pull.lock")
        try:
            held = lock.acquire(blocking=False)
        except Timeout:
            progress(f"another pull is at work on {folder}; waiting for its end")
            held = lock.acquire()
        with held:
            yield
    except OSError as error:
        words = f"{folder} cannot be written: {error}. Make room or way for it, or choose another folder."
        raise PullError(
            words, is_wrong_usage=isinstance(error, FileExistsError | NotADirectoryError | PermissionError)
        ) from error


def _read_catalog(source: _Source) -> Catalog:
    try:
        return read_catalog(source.read(CATALOG, CATALOG_BYTES), source.place(CATALOG))
    except FileNotFoundError:
        raise PullError(
            f"{source.place(CATALOG)} does not exist: nothing has been exported there yet, or the URI is not"
            " what EXPORT_URI names there.",
            is_wrong_usage=True,
        ) from None
    except TooLargeError as error:
        raise PullError(f"{source.place(CATALOG)} {error}, which no catalog has. {NOT_UNDERSTOOD}") from None
    except ManifestError as error:
        raise PullError(f"{error}. {NOT_UNDERSTOOD}") from error


def _wanted(
    catalog: Catalog, datasets: Sequence[str] | None, formats: Sequence[str] | None
) -> list[CatalogDataset]:
    known = {one.name: one for one in catalog.datasets}
    for asked, there, what in (
        (datasets, list(known), "dataset"),
        (formats, list(catalog.formats), "format"),
    ):
        if unknown := [name for name in asked or () if name not in there]:
            raise PullError(
                f"the export has no {what} {unknown[0]!r}; it has: {', '.join(there)}", is_wrong_usage=True
            )
    return [known[name] for name in dict.fromkeys(datasets)] if datasets else catalog.datasets


def _pull_dataset(
    source: _Source, mirror: Path, stated: CatalogDataset, options: _Options, done: dict[str, Pulled]
) -> bool:
    """Mirror one dataset as its manifest says now; whether that is the manifest that the catalog means."""
    content = _manifest_bytes(source, stated)
    for _ in range(ROUNDS):
        manifest = _understood(content, source.place(stated.manifest), stated)
        try:
            pulled = _mirror(source, mirror / stated.name, manifest, content, options)
        except _ChangedError as error:
            before, content = content, _manifest_bytes(source, stated)
            if content == before:
                if isinstance(error.__cause__, PullError):
                    raise error.__cause__ from None
                raise _DatasetError(
                    f"{error}. The export is damaged: remove that file there; the next run puts it back."
                ) from None
            options.progress(f"{stated.name}: the manifest has changed meanwhile; reading it again")
            continue
        earlier = done.get(stated.name)
        done[stated.name] = _together(earlier, pulled) if earlier else pulled
        return sha256_of(content) == stated.manifest_sha256
    return False


def _manifest_bytes(source: _Source, stated: CatalogDataset) -> bytes:
    try:
        return source.read(stated.manifest, MANIFEST_BYTES)
    except TooLargeError as error:
        raise _DatasetError(
            f"{source.place(stated.manifest)} {error}, which no manifest has. {NOT_UNDERSTOOD}"
        ) from None
    except FileNotFoundError:
        raise _DatasetError(
            f"{source.place(stated.manifest)} does not exist, though the catalog names it. Pull again."
        ) from None


def _understood(content: bytes, place: str, stated: CatalogDataset) -> Manifest:
    try:
        manifest = read_manifest(content, place)
    except ManifestError as error:
        raise _DatasetError(f"{error}. {NOT_UNDERSTOOD}") from error
    if not manifest.dataset == stated.name == stated.manifest.removesuffix(f"/{MANIFEST}"):
        raise _DatasetError(
            f"{place}: dataset: is {manifest.dataset!r}, which the catalog calls {stated.name!r}."
            f" {NOT_UNDERSTOOD}"
        )
    days: list[Hashable] = [partition.date for partition in manifest.partitions]
    paths: list[Hashable] = [file.path for file in manifest.files]
    if twice := [name for name, times in Counter(days + paths).items() if times > 1]:
        raise _DatasetError(f"{place}: partitions: {twice[0]} is there twice. {NOT_UNDERSTOOD}")
    return manifest


def _mirror(source: _Source, folder: Path, manifest: Manifest, content: bytes, options: _Options) -> Pulled:
    """Fetch what is missing of a manifest's files, then let the manifest and nothing else remain."""
    before = local_manifest(folder.parents[1], folder.name)
    own = _narrowed(manifest, options.formats)
    trusted = {file.path: file.sha256 for file in before.files} if before and options.trust_sizes else {}
    progress = _Progress(manifest.dataset, options.progress)
    # A store takes its time for each file, however small; digests take a processor each.
    with duckdb.connect() as connection, ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        try:
            there = [
                pool.submit(_is_there, folder / file.path, file, trusted.get(file.path)) for file in own.files
            ]
            missing = [
                file
                for file, is_there in zip(
                    own.files, progress.watch(there, own.files, "verified"), strict=True
                )
                if not is_there
            ]
            _check_room(folder, missing)
            fetched = [
                pool.submit(_fetch, source, folder, manifest, file, connection.cursor()) for file in missing
            ]
            list(progress.watch(fetched, missing, "fetched"))
        finally:
            pool.shutdown(cancel_futures=True)
    total = sum(file.bytes for file in missing)
    _place(folder / MANIFEST, content if own is manifest else to_bytes(own))
    _remove_superseded(folder, {file.path for file in own.files})
    known, stated = before.by_date if before else {}, own.by_date
    changed = tuple(one for day, one in stated.items() if day not in known or _has_changed(known[day], one))
    gone = tuple(day for day in known if day not in stated)
    return Pulled(manifest.dataset, changed, gone, len(missing), total)


@dataclass
class _Progress:
    """How far the files of a dataset are, reported now and then."""

    dataset: str
    progress: Callable[[str], None]
    reported_at: float = field(default_factory=time.monotonic)

    def watch(self, futures: Sequence[Future[Result]], files: Sequence[File], what: str) -> Iterator[Result]:
        """Yield the results of some futures, one for each file."""
        total, come = sum(file.bytes for file in files), 0
        for number, (done, file) in enumerate(zip(futures, files, strict=True), start=1):
            yield done.result()
            come += file.bytes
            if time.monotonic() > self.reported_at + SECONDS_BETWEEN_ROUNDS:
                self.reported_at = time.monotonic()
                self.progress(
                    f"{self.dataset}: {number:,} of {len(files):,} files, {size(come)} of {size(total)}"
                    f" {what}"
                )


def _check_room(folder: Path, missing: Sequence[File]) -> None:
    """Raise `_DatasetError` where the disk cannot hold what the manifest states."""
    folder.mkdir(parents=True, exist_ok=True)
    begun = sum(one.stat().st_size for file in missing if (one := _partial(folder, file)).exists())
    wanted, free = sum(file.bytes for file in missing) - begun, shutil.disk_usage(folder).free
    if wanted > free:
        raise _DatasetError(
            f"{folder} needs {size(wanted)}, and the disk has {size(free)} left. Make room, or choose another"
            " folder."
        )


def _has_changed(before: Partition, now: Partition) -> bool:
    """Whether there is anything new; a format that is not mirrored any more is no news."""
    return before.revision != now.revision or any(file not in before.files for file in now.files)


def _narrowed(manifest: Manifest, formats: Sequence[str] | None) -> Manifest:
    """The manifest with files of some formats only; itself where that is all of them."""
    if formats is None or set(manifest.formats) <= set(formats):
        return manifest
    return manifest.model_copy(update={"partitions": [one.narrowed(formats) for one in manifest.partitions]})


def _is_there(place: Path, file: File, trusted: str | None) -> bool:
    """Return whether a file of the mirror is the one that the manifest means; `trusted` is a digest that is
    taken for granted.
    """
    try:
        if place.stat().st_size != file.bytes:
            return False
    except FileNotFoundError:
        return False
    return trusted == file.sha256 or sha256(place) == file.sha256


def _partial(folder: Path, file: File) -> Path:
    """Return where a file grows. The digest in the name: what is left of another revision is never
    continued.
    """
    target = folder / file.path
    return target.with_name(f".{target.name}.{file.sha256[:16]}.partial")


def _fetch(
    source: _Source, folder: Path, manifest: Manifest, file: File, connection: duckdb.DuckDBPyConnection
) -> None:
    """Fetch a file, verify it, and only then give it its name."""
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(folder, file)
    path = f"{manifest.dataset}/{file.path}"
    for attempt in range(2):
        try:
            source.fetch(path, partial, file.bytes)
        except TooLargeError as error:
            partial.unlink(missing_ok=True)
            raise _ChangedError(f"{source.place(path)} {error}") from None
        except FileNotFoundError:
            raise _ChangedError(
                f"{source.place(path)} does not exist, though the manifest names it"
            ) from None
        except PullError as error:
            # A store that does not let this consumer list says "forbidden" of what is not there.
            if isinstance(error.__cause__, PermissionError):
                raise _ChangedError(f"{source.place(path)} is not there, or may not be read") from error
            raise
        fault = _fault(partial, file, manifest.columns_schema.columns, connection)
        if fault is None:
            put_in_place(partial, target)
            return
        partial.unlink()
        if attempt:
            raise _ChangedError(f"{source.place(path)} {fault}")


def _fault(
    partial: Path, file: File, columns: Sequence[ManifestColumn], connection: duckdb.DuckDBPyConnection
) -> str | None:
    """What is wrong with a file that has been fetched."""
    if (length := partial.stat().st_size) != file.bytes:
        return f"has {length:,} bytes instead of {file.bytes:,}"
    if (digest := sha256(partial)) != file.sha256:
        return f"has the SHA-256 {digest} instead of {file.sha256}"
    try:
        rows = _rows(partial, file.format, columns, connection)
    except duckdb.Error as error:
        return f"is no {file.format} with the columns of the manifest: {str(error).splitlines()[0]}"
    return None if rows == file.rows else f"has {rows:,} rows instead of {file.rows:,}"


def _rows(
    file: Path, encoding: Format, columns: Sequence[ManifestColumn], connection: duckdb.DuckDBPyConnection
) -> int:
    named = [Column(column.name, column.type, column.description) for column in columns]
    query = f"select count(*) from {reader([file], encoding, named, compressed=True)}"
    return int(connection.execute(query).fetchall()[0][0])


def _remove_superseded(folder: Path, named: set[str]) -> None:
    """Files of earlier revisions, and what is left of interrupted pulls; files of other people stay."""
    for encoding in get_args(Format):
        for file in (folder / encoding).rglob("*"):
            path = file.relative_to(folder).as_posix()
            if path not in named and (
                re.fullmatch(FILE_PATH, path)
                or (file.name.startswith(".part-") and file.suffix == ".partial")
            ):
                file.unlink()


def _own_catalog(
    catalog: Catalog, mirror: Path, wanted: Sequence[CatalogDataset], formats: Sequence[str] | None
) -> bytes:
    """The catalog of what is mirrored: what this pull was about, and what earlier ones left."""
    now = {one.name for one in wanted}
    try:
        before = read_catalog((mirror / CATALOG).read_bytes(), str(mirror / CATALOG))
    except (FileNotFoundError, ManifestError):
        before = Catalog(catalog_version=1, formats=[], datasets=[])
    others = [one for one in before.datasets if one.name not in now and (mirror / one.manifest).exists()]
    own = [one.model_copy(update={"manifest_sha256": sha256(mirror / one.manifest)}) for one in wanted]
    kept = set(before.formats) if others else set()
    stated = [
        one
        for one in get_args(Format)
        if one in kept or (one in catalog.formats and (formats is None or one in formats))
    ]
    return to_bytes(catalog.model_copy(update={"formats": stated, "datasets": [*own, *others]}))


def _place(place: Path, content: bytes) -> None:
    """Put a small file in place, unless it is there already."""
    if not place.exists() or place.read_bytes() != content:
        replace_bytes(place, content)


def _together(earlier: Pulled, later: Pulled) -> Pulled:
    """Two rounds over one dataset in one pull."""
    changed = {one.date: one for one in (*earlier.changed, *later.changed)}
    gone = dict.fromkeys((*earlier.gone, *later.gone))
    return Pulled(
        later.dataset,
        tuple(changed.values()),
        tuple(gone),
        earlier.files + later.files,
        earlier.bytes + later.bytes,
    )
