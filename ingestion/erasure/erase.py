"""Erasing a person from the lake, and from all that is made of it by the next build.

The id gives way to a pseudonym in every row, so that no sum changes. Each step may be interrupted: the
registry then still holds the id, and the next load takes the erasure up again before it reads anything.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from ingestion.erasure.landed import Naming, naming, write_anew
from ingestion.erasure.parquet_files import ids_in, linked_wallets, named_rows, naming_keys, rewrite
from ingestion.erasure.texts import SHORTEST_WORD, Person
from ingestion.lake.batches import Lake, Manifest
from ingestion.lake.erasures import Registry, ended, read_registry, write_registry
from ingestion.lake.schemas import LAKE_TABLES
from ingestion.landing.area import Landing, LandingFile
from paywall_warehouse.settings import Settings
from warehouse.build_file import drop_build_file


class UnknownUserError(Exception):
    """Nothing in the lake names the person."""


@dataclass(frozen=True)
class Erased:
    """What an erasure found."""

    pseudonym: str
    rows: int
    """Of the lake, that named the person."""
    linked_wallets: list[str] = field(default_factory=list)
    """Wallet ids that webhooks give to the same person: ids of their own, which an erasure of theirs
    replaces.
    """
    keys: Mapping[str, int] = field(default_factory=dict)
    """Rows of the lake whose keys contain the id, by column: they stay as they are."""


def erase(settings: Settings, user: str) -> Erased:
    """Replace a person's id in the whole lake; where it is nowhere any more nothing changes.

    What was built from the lake is forgotten, so that the next build starts from an empty file. Raises
    `UnknownUserError` where the id is nowhere and never was.
    """
    # Workers pseudonymise by the registry of their beginning.
    with settings.home.writing(), settings.home.without_workers():
        lake, registry = Lake(settings.home), read_registry(settings.home)
        lake.remove_orphans()
        known = registry.of(user)
        erasure = known or registry.begun(user)
        with duckdb.connect(config=settings.duckdb_config()) as connection:
            person, files = _person(settings, user, erasure.pseudonym), _files(lake, lake.manifests())
            rows = sum(named_rows(connection, file, [person]) for file in files)
            wallets = sorted({wallet for file in files for wallet in linked_wallets(connection, file, user)})
        if not rows and known is None:
            raise UnknownUserError(user)
        if rows or erasure.user is not None:
            # From here on the id is recognised wherever it comes from.
            registry = registry.with_erasure(replace(erasure, user=user))
            write_registry(settings.home, registry)
            _finish(settings, lake, registry)
        keys = (
            _naming_keys(settings, lake, person)
            if len(user) >= SHORTEST_WORD and not person.is_ambiguous
            else {}
        )
    return Erased(erasure.pseudonym, rows, wallets, keys)


def finish_erasures(settings: Settings) -> Registry:
    """Take up what was interrupted; returns the registry. The caller holds the writer lock."""
    registry = read_registry(settings.home)
    if registry.unfinished:
        with settings.home.without_workers():
            _finish(settings, Lake(settings.home), registry)
    return registry


def pseudonymise(
    settings: Settings, registry: Registry, files: Iterable[Path], manifest: Manifest
) -> Manifest:
    """Replace the ids of erased persons that have come back in the files of a batch that is not in the lake
    yet.
    """
    if not registry.erasures:
        return manifest
    files = list(files)
    pseudonyms = {erasure.recognised_by: erasure.pseudonym for erasure in registry.erasures}
    with duckdb.connect(config=settings.duckdb_config()) as connection:
        ids = {one for file in files for one in ids_in(connection, file)}
        named = [
            (one, pseudonyms[digest]) for one in sorted(ids) if (digest := registry.digest(one)) in pseudonyms
        ]
        people = [_person(settings, user, pseudonym) for user, pseudonym in named]
        for file in files if people else []:
            rewrite(connection, file, people)
    return _without(manifest, people)


def files_naming(settings: Settings, files: Iterable[LandingFile], user: str, pseudonym: str) -> list[Naming]:
    """The landed files that name the person."""
    return list(naming(Landing.of(settings), files, _person(settings, user, pseudonym)))


def rewrite_landed(settings: Settings, found: Iterable[Naming], user: str, pseudonym: str) -> None:
    """Write landed files anew, without the id; those that cannot be read stay."""
    landing, lake, person = Landing.of(settings), Lake(settings.home), _person(settings, user, pseudonym)
    with settings.home.writing(), settings.home.without_workers():
        for one in found:
            if one.fault is None:
                write_anew(landing, lake, one, person)


def _finish(settings: Settings, lake: Lake, registry: Registry) -> None:
    """Forget what was built from the lake, and rewrite it for every erasure that is under way."""
    # First: of a lake that was rewritten nobody can tell whether the build is older. A file from which rows
    # were deleted still has them on its free pages, so that the next one starts empty.
    drop_build_file(settings.home)
    settings.home.published_state_file.unlink(missing_ok=True)
    people = [
        _person(settings, erasure.user, erasure.pseudonym)
        for erasure in registry.unfinished
        if erasure.user is not None
    ]
    manifests = lake.manifests()
    with duckdb.connect(config=settings.duckdb_config()) as connection:
        for file in _files(lake, manifests):
            rewrite(connection, file, people)
    changed = [without for manifest in manifests if (without := _without(manifest, people)) != manifest]
    if changed:
        # It repeats every model text of the manifests; the next run resolves them anew.
        shutil.rmtree(lake.price_book, ignore_errors=True)
    for without in changed:
        lake.restate(without)
    for erasure in registry.unfinished:
        registry = registry.with_erasure(ended(erasure))
    write_registry(settings.home, registry)


def _naming_keys(settings: Settings, lake: Lake, person: Person) -> Mapping[str, int]:
    manifests, found = lake.manifests(), Counter[str]()
    with duckdb.connect(config=settings.duckdb_config()) as connection:
        for file in _files(lake, manifests):
            found += naming_keys(connection, file, person.user)
    return found


def _person(settings: Settings, user: str, pseudonym: str) -> Person:
    return Person(user, pseudonym, settings.promo_reasons)


def _without(manifest: Manifest, people: Iterable[Person]) -> Manifest:
    """A manifest whose model texts are those of its files."""
    models = manifest.models
    for person in people:
        models = sorted({person.in_text("model", model) for model in models})
    return replace(manifest, models=models)


def _files(lake: Lake, manifests: Sequence[Manifest]) -> list[Path]:
    return [file for table in LAKE_TABLES for file in lake.parquet_files(table, manifests)]
