"""Erasing a person from the lake, and so from everything that the next build makes of it.

A pseudonym replaces the id in every row, so that no sum changes. Each step may be interrupted: the registry
then still holds the id, and the next load finishes the erasure before it reads anything.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ingestion.erasure.landed import Naming, naming, rewrite_file
from ingestion.erasure.parquet_files import ids_in, linked_wallets, named_rows, naming_keys, rewrite
from ingestion.erasure.texts import SHORTEST_WORD, Person
from ingestion.lake.batches import Lake, Manifest
from ingestion.lake.erasures import Registry, ended, read_registry, write_registry
from ingestion.lake.schemas import LAKE_TABLES
from ingestion.landing.area import Landing, LandingFile
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings

DropBuild = Callable[[Home], None]
"""Removes what was built from the lake, so that the next build starts from an empty file."""


class UnknownUserError(Exception):
    """The id of a person that nothing in the lake names."""


@dataclass(frozen=True)
class Erased:
    """The result of an erasure."""

    pseudonym: str
    rows: int
    """The number of rows of the lake that named the person."""
    linked_wallets: list[str] = field(default_factory=list)
    """Wallet ids that webhooks give to the same person. They are separate ids: each needs an erasure of its
    own.
    """
    keys: Mapping[str, int] = field(default_factory=dict)
    """The number of rows whose keys contain the id, by column. Keys are not changed."""


def erase(settings: Settings, user: str, *, drop_build: DropBuild) -> Erased:
    """Replace a person's id in the whole lake. Nothing changes if an earlier erasure has replaced it already.

    `drop_build` is called before the lake is rewritten. Raises `UnknownUserError` if nothing names the id and
    it was never erased.
    """
    # A worker pseudonymises by the registry that it read when it started.
    with settings.home.writing(), settings.home.without_workers():
        lake, registry = Lake(settings.home), read_registry(settings.home)
        lake.remove_orphans()
        known = registry.of(user)
        erasure = known or registry.begun(user)
        with open_duckdb(config=settings.duckdb_config()) as connection:
            person, files = _person(settings, user, erasure.pseudonym), _files(lake, lake.manifests())
            rows = sum(named_rows(connection, file, [person]) for file in files)
            wallets = sorted({wallet for file in files for wallet in linked_wallets(connection, file, user)})
        if not rows and known is None:
            raise UnknownUserError(user)
        if rows or erasure.user is not None:
            # From here on the id is recognised in every file that lands.
            registry = registry.with_erasure(replace(erasure, user=user))
            write_registry(settings.home, registry)
            _finish(settings, lake, registry, drop_build)
        keys = (
            _naming_keys(settings, lake, person)
            if len(user) >= SHORTEST_WORD and not person.is_ambiguous
            else {}
        )
    return Erased(erasure.pseudonym, rows, wallets, keys)


def finish_erasures(settings: Settings, drop_build: DropBuild) -> None:
    """Finish the erasures that were interrupted. The caller holds the writer lock."""
    registry = read_registry(settings.home)
    if registry.unfinished:
        with settings.home.without_workers():
            _finish(settings, Lake(settings.home), registry, drop_build)


def pseudonymise(
    settings: Settings, registry: Registry, files: Iterable[Path], manifest: Manifest
) -> Manifest:
    """Replace the ids of erased persons in the files of a staged batch; return its manifest without them."""
    if not registry.erasures:
        return manifest
    files = list(files)
    pseudonyms = {erasure.recognised_by: erasure.pseudonym for erasure in registry.erasures}
    with open_duckdb(config=settings.duckdb_config()) as connection:
        ids = {one for file in files for one in ids_in(connection, file)}
        named = [
            (one, pseudonyms[digest]) for one in sorted(ids) if (digest := registry.digest(one)) in pseudonyms
        ]
        people = [_person(settings, user, pseudonym) for user, pseudonym in named]
        for file in files if people else []:
            rewrite(connection, file, people)
    return _without(manifest, people)


def files_naming(settings: Settings, files: Iterable[LandingFile], user: str, pseudonym: str) -> list[Naming]:
    """Return the landed files that name the person."""
    return list(naming(Landing.of(settings), files, _person(settings, user, pseudonym)))


def rewrite_landed(settings: Settings, found: Iterable[Naming], user: str, pseudonym: str) -> None:
    """Rewrite landed files without the id. Files that cannot be read stay as they are."""
    landing, lake, person = Landing.of(settings), Lake(settings.home), _person(settings, user, pseudonym)
    with settings.home.writing(), settings.home.without_workers():
        for one in found:
            if one.fault is None:
                rewrite_file(landing, lake, one, person)


def _finish(settings: Settings, lake: Lake, registry: Registry, drop_build: DropBuild) -> None:
    """Drop the build, and rewrite the lake for every erasure that is not finished."""
    # The build goes first: once the lake is rewritten, nothing shows that the build is older. Deleting rows
    # from its file would leave them on free pages, so that the next build must start from an empty file.
    drop_build(settings.home)
    settings.home.published_state_file.unlink(missing_ok=True)
    people = [
        _person(settings, erasure.user, erasure.pseudonym)
        for erasure in registry.unfinished
        if erasure.user is not None
    ]
    manifests = lake.manifests()
    with open_duckdb(config=settings.duckdb_config()) as connection:
        for file in _files(lake, manifests):
            rewrite(connection, file, people)
    changed = [without for manifest in manifests if (without := _without(manifest, people)) != manifest]
    if changed:
        # It repeats every model text of the manifests. The next run resolves them again.
        shutil.rmtree(lake.price_book, ignore_errors=True)
    for without in changed:
        lake.restate(without)
    for erasure in registry.unfinished:
        registry = registry.with_erasure(ended(erasure))
    write_registry(settings.home, registry)


def _naming_keys(settings: Settings, lake: Lake, person: Person) -> Mapping[str, int]:
    manifests, found = lake.manifests(), Counter[str]()
    with open_duckdb(config=settings.duckdb_config()) as connection:
        for file in _files(lake, manifests):
            found += naming_keys(connection, file, person.user)
    return found


def _person(settings: Settings, user: str, pseudonym: str) -> Person:
    return Person(user, pseudonym, (*settings.promo_reasons, *settings.expiry_reasons))


def _without(manifest: Manifest, people: Iterable[Person]) -> Manifest:
    """Return a manifest whose model texts no longer name these people."""
    models = manifest.models
    for person in people:
        models = sorted({person.in_text("model", model) for model in models})
    return replace(manifest, models=models)


def _files(lake: Lake, manifests: Sequence[Manifest]) -> list[Path]:
    return [file for table in LAKE_TABLES for file in lake.parquet_files(table, manifests)]
