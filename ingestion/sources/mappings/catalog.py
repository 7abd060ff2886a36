"""The mappings that there are: those in the package, and those in the home's folder `mappings/`."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from ingestion.sources.mappings.expressions import MappingError
from ingestion.sources.mappings.mapping import MAX_BYTES, SHIPPED, MappingFile, read_mapping
from paywall_warehouse.home import Home

ENDINGS: Final = (".yml", ".yaml")


def mappings(home: Home | None, taken: frozenset[str]) -> Mapping[str, MappingFile]:
    """Return every mapping by name, in the order of the names; those of the home replace shipped ones.

    `taken` are folder names that no mapping may have. Raises `MappingError` for the first one that cannot be
    used.
    """
    found = dict(shipped_mappings())
    if home is not None:
        for file in _files(home.mappings):
            if file.stem in taken:
                raise MappingError(
                    f"{file}: {file.stem} is the name of another source; give the mapping another name"
                )
            found[file.stem] = _read_file(file)
    return dict(sorted(found.items()))


@lru_cache(maxsize=1)
def shipped_mappings() -> Mapping[str, MappingFile]:
    """Return the mappings in the package."""
    folder = files(__package__).joinpath(SHIPPED)
    texts = {
        file.name.removesuffix(".yml"): file.read_text("utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".yml")
    }
    return {name: read_mapping(name, text, SHIPPED) for name, text in sorted(texts.items())}


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of the folder that are mappings, by name. Raises `MappingError` for two of one name."""
    try:
        found = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return
    names: set[str] = set()
    for file in found:
        if file.suffix not in ENDINGS or not file.is_file():
            continue
        if file.stem in names:
            raise MappingError(f"{file}: there is another file for {file.stem}; remove one of them")
        names.add(file.stem)
        yield file


def _read_file(file: Path) -> MappingFile:
    try:
        about = file.stat()
        if about.st_size > MAX_BYTES:
            raise MappingError(f"{file}: it has more than 1 MiB")
        return _parsed(file, about.st_mtime_ns, file.read_text("utf-8"))
    except UnicodeDecodeError:
        raise MappingError(f"{file}: it is not UTF-8 text") from None
    except OSError as error:
        raise MappingError(f"{file}: it cannot be read ({error.strerror})") from None


@lru_cache(maxsize=64)
def _parsed(file: Path, changed_at: int, text: str) -> MappingFile:
    return read_mapping(file.stem, text, str(file))
