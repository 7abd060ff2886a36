"""What dbt finds in the build file: the lake as schema `raw`, and in schema `build` what earlier builds have
already done.

A build recomputes what the batches since the last finished build touched. Where the meaning of loaded records
may have changed (settings, models, rates) it recomputes everything.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ingestion.lake.batches import FileRecord, Lake, Manifest
from ingestion.lake.erasures import read_registry
from ingestion.lake.recount import apply_limits
from ingestion.lake.row_limits import RowLimits
from ingestion.lake.schemas import (
    BREAKS,
    FAILED_PULLS,
    LAKE_TABLES,
    LOADED_FILES,
    SETTINGS,
    TOUCHED_KEYS,
    defined,
    shown_name,
    typed,
)
from ingestion.landed_now import LandedNow
from ingestion.sources.stripe.coverage import named_currency
from ingestion.stripe_pull.failures import failed_pulls
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.home import Home
from paywall_warehouse.quoting import file_literal, literal
from paywall_warehouse.settings import Settings
from warehouse.build_file import (
    ARRIVED,
    ON_CLUSTER,
    PublishedState,
    base_file,
    drop_build_file,
    drop_copy_ahead,
    is_held,
    noted_through,
    prepare_build_file,
    published_state,
    published_through,
)
from warehouse.price_book import resolved_batches

# What a file was built from goes with it wherever it goes, hence in `ops`; the schema `build` is not
# published.
STATE = f"""
create schema if not exists raw;
create schema if not exists build;
create schema if not exists ops;
create table if not exists ops.build_state (
    built_through bigint, full_refresh boolean, meaning varchar, code_version varchar, fingerprint varchar
);
insert into ops.build_state select -1, null, null, null, null where not exists (from ops.build_state);
create table if not exists build.published_breaks ({defined(BREAKS)});
create table if not exists build.touched_keys ({defined(TOUCHED_KEYS)});
"""

# What a manifest tells of a Stripe file.
FACTS = ("report_type", "account_id", "livemode", "covered_from", "covered_until")


@dataclass(frozen=True)
class Build:
    """What the next build has to do."""

    needed: bool
    """False where the published file already shows all that is loaded, as of the same day, under the same
    settings.
    """
    full_refresh: bool
    why: str
    """A sentence for people."""
    through_batch: int
    meaning: str
    code_version: str
    fingerprint: str


def prepare_build(
    settings: Settings,
    code_version: str,
    *,
    full_refresh: bool = False,
    always: bool = False,
    keep_tables: bool = False,
) -> Build:
    """Tell what the next build has to do; where it has anything to do, bring the build file with its schemas
    `raw` and `build` up to date.

    `full_refresh` asks for a rebuild of everything from the lake, `always` for the build file even where
    nothing is to be built.
    """
    home = settings.home
    with home.writing():
        lake = Lake(home)
        manifests = apply_limits(settings, lake, resolved_batches(lake))
        # A build that did not become what is published, perhaps of the same batches under other rates, is to
        # be done again.
        is_left = home.build_file.exists()
        published, copied, built = _base(settings, lake, published_state(home))
        today = reporting_today(settings)
        build = _decide(settings, today, manifests, built, published, code_version, full_refresh, is_left)
        if not (build.needed or always):
            drop_copy_ahead(home)
        else:
            shown_through = shown_to_readers(home)
            copied |= prepare_build_file(home, published)
            with open_duckdb(home.build_file, config=settings.duckdb_config()) as connection:
                connection.execute(STATE)
                if settings.warehouse_target == "duckdb":
                    # From here on marts are no longer as they came from a cluster.
                    connection.execute(f"drop table if exists {ARRIVED}")
                connection.execute(
                    f"create or replace table build.published as select {shown_through} as through"
                )
                if copied:
                    connection.execute(
                        "insert into build.published_breaks by name from marts.fct_reconciliation_history"
                    )
                _show_lake(connection, settings, lake, manifests, shown_through, RowLimits.of(settings))
                _show_settings(connection, settings, today)
                _show_erasures(connection, settings)
                _show_failed_pulls(connection, settings)
                _show_published_breaks(connection, settings)
                if build.full_refresh and not keep_tables:
                    _forget_what_was_built(connection)
        return build


def shown_to_readers(home: Home) -> int:
    """Return the last batch that readers have seen, as far as that can be told."""
    try:
        return published_through(home)
    except duckdb.Error:  # held by somebody, damaged, or of an earlier version
        return noted_through(home)


def finish_build(settings: Settings, build: Build) -> None:
    """Remember that every model was built: the next build starts from here."""
    with settings.home.writing(), open_duckdb(settings.home.build_file) as connection:
        connection.begin()
        connection.execute(
            "update ops.build_state set built_through = ?, full_refresh = ?, meaning = ?, code_version = ?,"
            " fingerprint = ?",
            [build.through_batch, build.full_refresh, build.meaning, build.code_version, build.fingerprint],
        )
        connection.execute("delete from build.touched_keys")
        connection.execute(
            "create or replace table ops.built_models as select model, model_id from raw.models"
        )
        connection.execute(
            "create or replace table ops.built_rates as select * exclude (source) from raw.model_rates"
        )
        connection.commit()


def require_full_refresh(settings: Settings) -> None:
    """Make the next build start from nothing, because the build file may hold anything now."""
    with settings.home.writing(), open_duckdb(settings.home.build_file) as connection:
        connection.execute("update ops.build_state set meaning = null, fingerprint = null")


def _forget_what_was_built(connection: duckdb.DuckDBPyConnection) -> None:
    """A rebuild starts from nothing: a killed one must be followed by another, and no table outlives its
    model.
    """
    connection.execute("update ops.build_state set built_through = -1, meaning = null, fingerprint = null")
    for schema in ("staging", "intermediate", "marts", ON_CLUSTER):
        connection.execute(f"drop schema if exists {schema} cascade")


def _show_lake(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    lake: Lake,
    manifests: list[Manifest],
    published_through: int,
    limits: RowLimits,
) -> None:
    for table, columns in LAKE_TABLES.items():
        limited = [
            manifest
            for manifest in manifests
            if table == manifest.table and manifest.has_rows_outside(limits.digest)
        ]
        inside = [manifest for manifest in manifests if manifest not in limited]
        nothing = (
            f"select {typed(columns)} from (select {', '.join(f'null as {name}' for name in columns)}) where"
            " false"
        )
        selects = [
            f"select {typed(columns)} from read_parquet([{files}], union_by_name = true, hive_partitioning ="
            f" false){where}"
            for batches, where in ((inside, ""), (limited, f" where not ({limits.broken(table)})"))
            if (files := ", ".join(file_literal(str(file)) for file in lake.parquet_files(table, batches)))
        ]
        connection.execute(
            f"create or replace view raw.{shown_name(table)} as {' union all '.join(selects or [nothing])}"
        )
    for table in ("models", "model_rates"):
        connection.execute(f"create or replace view raw.{table} as select * from {_price_book(lake, table)}")
    connection.execute(f"create or replace table raw.loaded_files ({defined(LOADED_FILES)})")
    if loaded := loaded_files(settings, manifests, published_through):
        connection.register("manifests", pa.Table.from_pylist(loaded))
        connection.execute("insert into raw.loaded_files by name select * from manifests")
        connection.unregister("manifests")


def loaded_files(
    settings: Settings, manifests: Iterable[Manifest], published_through: int
) -> list[dict[str, Any]]:
    """Return the files that the batches were made of, as `raw.loaded_files` shows them.

    Batches behind `published_through` are seen by no reader yet: of their files with rejects it is told where
    they lie now.
    """
    manifests = list(manifests)
    now = LandedNow(settings, manifests)
    return [
        {
            **{name: value for name, value in asdict(file).items() if name not in ("fingerprint", "facts")},
            **{name: (file.facts or {}).get(name) for name in FACTS},
            # Batches of earlier versions do not have it among their facts.
            "covered_currency": (
                file.facts.get("covered_currency", named_currency(file.path)) if file.facts else None
            ),
            "standing_path": _standing_path(now, file) if manifest.batch_seq > published_through else None,
            "batch_seq": manifest.batch_seq,
            "loaded_at": manifest.loaded_at,
        }
        for manifest in manifests
        for file in manifest.files
    ]


def _standing_path(now: LandedNow, file: FileRecord) -> str | None:
    """Where a file with rejects lies as it was landed; to look for the others would be work for nothing."""
    place = next(now.places(file), None) if file.rejected else None
    return place.path if place else None


def _price_book(lake: Lake, table: str) -> str:
    return f"read_parquet({file_literal(str(lake.price_book / f'{table}.parquet'))})"


def reporting_today(settings: Settings) -> date:
    """The reporting day of `AS_OF`, in DuckDB's own calendar, which the reporting days of the entries come
    from too.
    """
    with open_duckdb() as connection:
        today: date
        (today,) = connection.execute(
            "select cast(timezone(?, cast(? as timestamptz)) as date)",
            [settings.reporting_timezone, settings.now()],
        ).fetchall()[0]
    return today


def settings_row(settings: Settings, today: date) -> dict[str, Any]:
    """What a run was started with, as `raw.settings` shows it."""
    return {
        "as_of": settings.now(),
        "today": today,
        "reporting_timezone": settings.reporting_timezone,
        "default_currency": settings.default_currency,
        "low_balance": str(settings.low_balance),
        "manual_charge_settles_on": settings.manual_charge_settles_on,
        "promo_reasons": list(settings.promo_reasons),
        "recon_grace_days": settings.recon_grace_days,
    }


def _show_settings(connection: duckdb.DuckDBPyConnection, settings: Settings, today: date) -> None:
    row = settings_row(settings, today)
    given = ", ".join(f"cast(? as {kind}) as {name}" for name, kind in SETTINGS.items())
    connection.execute(
        f"create or replace table raw.settings as select {given}", [row[name] for name in SETTINGS]
    )


def _show_erasures(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Which pseudonyms stand for erased persons, and since when; who they were is known nowhere."""
    connection.execute("create or replace table raw.erasures (pseudonym varchar, erased_at timestamptz)")
    for erasure in read_registry(settings.home).erasures:
        if erasure.erased_at is not None:
            connection.execute(
                "insert into raw.erasures values (?, ?)", [erasure.pseudonym, erasure.erased_at]
            )


def _show_failed_pulls(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    connection.execute(f"create or replace table raw.failed_pulls ({defined(FAILED_PULLS)})")
    for failure in failed_pulls(settings.home):
        connection.execute(
            "insert into raw.failed_pulls values (?, ?, ?)",
            [failure.source, failure.failed_at, failure.reason],
        )


def _show_published_breaks(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """The history of breaks as last published: readers' truth, replaced at once with the cases that it
    belongs to.
    """
    connection.execute(f"create or replace table raw.published_breaks ({defined(BREAKS)})")
    columns = "case_id, break_type, priority, opened_at, closed_at"
    try:
        connection.execute(f"attach {literal(str(settings.home.published_file))} as published (read_only)")
    except duckdb.IOException:
        # It is gone, or somebody has it open for writing. It was noted down when the build file was copied.
        connection.execute(
            f"insert into raw.published_breaks by name select {columns} from build.published_breaks"
        )
        return
    try:
        known = connection.execute(
            "select 1 from duckdb_tables() where database_name = 'published' and table_name ="
            " 'fct_reconciliation_history'"
        ).fetchone()
        if known:
            table = "published.marts.fct_reconciliation_history"
            connection.execute(f"insert into raw.published_breaks by name select {columns} from {table}")
    finally:
        connection.execute("detach published")


@dataclass(frozen=True)
class _Built:
    """What the file that a build starts from was built from."""

    through_batch: int = -1
    meaning: str | None = None
    code_version: str | None = None
    rates_changed: bool = False
    """Whether a model text that it was built with now means another model or has other rates."""


def _base(
    settings: Settings, lake: Lake, published: PublishedState | None
) -> tuple[PublishedState | None, bool, _Built]:
    """What the next build starts from: the published state, whether its file had to be copied to be read, and
    what was built so far.
    """
    home = settings.home
    try:
        return published, False, _what_was_built(base_file(home, published), lake, settings)
    except duckdb.Error:
        # Somebody has the published file open for writing, as DuckDB's own shell does unless told otherwise;
        # its bytes can be copied.
        copied = prepare_build_file(home, published)
    try:
        return published, copied, _what_was_built(home.build_file, lake, settings)
    except duckdb.Error as error:
        if is_held(error):
            raise
        # Damaged: what is published is whole, or, where that was copied, the lake has everything.
        drop_build_file(home)
        return _base(settings, lake, None if copied else published)


def _what_was_built(file: Path | None, lake: Lake, settings: Settings) -> _Built:
    if file is None:
        return _Built()
    try:
        with open_duckdb(file, config=settings.duckdb_config(), read_only=True) as connection:
            if (
                settings.warehouse_target == "duckdb"
                and connection.execute(
                    "from information_schema.schemata where catalog_name = current_database() and"
                    " schema_name = ?",
                    [ON_CLUSTER],
                ).fetchall()
            ):
                # There is nothing here to add to.
                return _Built()
            built_through, meaning, code_version = connection.execute(
                "select built_through, meaning, code_version from ops.build_state"
            ).fetchall()[0]
            return _Built(built_through, meaning, code_version, _rates_changed(connection, lake))
    except duckdb.CatalogException:  # of an earlier version, or its first build has not ended
        return _Built()


def _decide(
    settings: Settings,
    today: date,
    manifests: list[Manifest],
    built: _Built,
    published: PublishedState | None,
    code_version: str,
    asked: bool,
    is_left: bool,
) -> Build:
    through = max((manifest.batch_seq for manifest in manifests), default=-1)
    reason = None
    if asked:
        reason = "a full refresh was asked for"
    elif built.meaning is None:
        reason = "there is no finished build yet"
    elif built.meaning != settings.meaning():
        reason = "a setting that changes the meaning of loaded records has changed"
    elif built.code_version != code_version:
        reason = "the warehouse was built by another version of the code"
    elif built.rates_changed:
        reason = "provider rates of known models have changed"
    # normalize: 1 and 1.00 are the same threshold.
    shown = [
        through,
        today.isoformat(),
        settings.meaning(),
        str(settings.low_balance.normalize()),
        settings.recon_grace_days,
        code_version,
        settings.warehouse_target,
        # Readers hear of a source that could not be pulled, and that it was pulled again.
        *(failure.source for failure in failed_pulls(settings.home)),
    ]
    fingerprint = hashlib.sha256(repr(shown).encode()).hexdigest()
    new = sum(manifest.batch_seq > built.through_batch for manifest in manifests)
    return Build(
        needed=reason is not None or is_left or published is None or published.fingerprint != fingerprint,
        full_refresh=reason is not None,
        why=f"full refresh: {reason}" if reason else f"{new} new batches since the last build",
        through_batch=through,
        meaning=settings.meaning(),
        code_version=code_version,
        fingerprint=fingerprint,
    )


def _rates_changed(connection: duckdb.DuckDBPyConnection, lake: Lake) -> bool:
    models, rates = (
        _price_book(lake, "models"),
        f"(select * exclude (source) from {_price_book(lake, 'model_rates')})",
    )
    row = connection.execute(f"""select exists (
            select 1 from ops.built_models as built join {models} as now using (model)
                where built.model_id <> now.model_id
        ) or exists (
            select * from {rates} where model_id in (select model_id from ops.built_models) except select *
                from ops.built_rates
        ) or exists (select * from ops.built_rates except select * from {rates})""").fetchone()
    return bool(row and row[0])
