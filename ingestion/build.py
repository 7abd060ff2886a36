"""What dbt finds in the build file: the lake as schema `raw`, and in schema `build` what earlier builds have already done.

A build recomputes what the batches since the last finished build touched. Where the meaning of loaded records may have
changed (settings, models, rates) it recomputes everything.
"""

import hashlib
from dataclasses import asdict, dataclass

import duckdb
import pyarrow as pa

from ingestion.lake import Lake, Manifest
from ingestion.tables import LAKE_TABLES, typed
from paywall_warehouse.quoting import file_literal, literal
from paywall_warehouse.settings import Settings

# DuckDB 1.5 cannot open a file of 2.0 unless it is created with the older layout; publishing copies this file.
STORAGE_VERSION = "v1.5.0"

# A row of the history of breaks, as published and as noted down beside it.
BREAK = "case_id varchar, break_type varchar, priority integer, opened_at timestamptz, closed_at timestamptz"

STATE = f"""
create schema if not exists raw;
create schema if not exists build;
create table if not exists build.state (
    built_through bigint, full_refresh boolean, meaning varchar, code_version varchar, fingerprint varchar,
    published_fingerprint varchar, published_through bigint
);
insert into build.state select -1, null, null, null, null, null, -1 where not exists (from build.state);
create table if not exists build.published_breaks ({BREAK});
create table if not exists build.touched_keys (entry_date date, user_id varchar, paywall_id varchar, currency varchar);
"""

LOADED_FILES = """
create or replace table raw.loaded_files (
    batch_seq bigint, file_no bigint, source varchar, path varchar, sha256 varchar, bytes bigint, records bigint, accepted bigint,
    rejected bigint, entry_records bigint, loaded_at timestamptz, status varchar,
    report_type varchar, account_id varchar, livemode boolean, covered_from timestamptz, covered_until timestamptz
)
"""


# What a manifest tells of a Stripe file.
FACTS = ("report_type", "account_id", "livemode", "covered_from", "covered_until")


@dataclass(frozen=True)
class Build:
    """What the next build has to do."""

    needed: bool
    """False where the published file already shows all that is loaded, as of the same day, under the same settings."""
    full_refresh: bool
    why: str
    """A sentence for people."""
    through_batch: int
    meaning: str
    code_version: str
    fingerprint: str


def prepare_build(settings: Settings, code_version: str, *, full_refresh: bool = False) -> Build:
    """Bring the schemas `raw` and `build` of the build file up to date, and tell what the build has to do.

    `full_refresh` asks for a rebuild of everything from the lake.
    """
    home = settings.home
    with home.writing():
        home.tmp.mkdir(parents=True, exist_ok=True)
        lake = Lake(home)
        manifests = lake.manifests()
        _create_build_file(settings)
        with duckdb.connect(str(home.build_file), config=settings.duckdb_config()) as connection:
            connection.execute("set TimeZone = 'UTC'")
            connection.execute(STATE)
            _show_lake(connection, lake, manifests)
            _show_settings(connection, settings)
            _show_published_breaks(connection, settings)
            build = _decide(connection, settings, manifests, code_version, full_refresh)
            if build.full_refresh:
                _forget_what_was_built(connection)
            return build


def finish_build(settings: Settings, build: Build) -> None:
    """Remember that every model was built: the next build starts from here."""
    with settings.home.writing(), duckdb.connect(str(settings.home.build_file)) as connection:
        connection.begin()
        connection.execute(
            "update build.state set built_through = ?, full_refresh = ?, meaning = ?, code_version = ?, fingerprint = ?",
            [build.through_batch, build.full_refresh, build.meaning, build.code_version, build.fingerprint],
        )
        connection.execute("delete from build.touched_keys")
        connection.execute("create or replace table build.built_models as select model, model_id from raw.models")
        connection.execute("create or replace table build.built_rates as select * exclude (source) from raw.model_rates")
        connection.commit()


def _forget_what_was_built(connection: duckdb.DuckDBPyConnection) -> None:
    """A rebuild starts from nothing: a killed one must be followed by another, and no table outlives its model."""
    connection.execute("update build.state set built_through = -1, meaning = null, fingerprint = null")
    for schema in ("staging", "intermediate", "marts"):
        connection.execute(f"drop schema if exists {schema} cascade")


def _create_build_file(settings: Settings) -> None:
    if settings.home.build_file.exists():
        return
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(str(settings.home.build_file))} as build_file (storage_version '{STORAGE_VERSION}')")


def _show_lake(connection: duckdb.DuckDBPyConnection, lake: Lake, manifests: list[Manifest]) -> None:
    for table, columns in LAKE_TABLES.items():
        files = ", ".join(file_literal(str(file)) for file in lake.parquet_files(table, manifests))
        nothing = ", ".join(f"null as {name}" for name in columns)
        written = f"read_parquet([{files}], union_by_name = true, hive_partitioning = false)"
        rows = f"from {written}" if files else f"from (select {nothing}) where false"
        name = "rejected_records" if table == "rejects" else table
        connection.execute(f"create or replace view raw.{name} as select {typed(columns)} {rows}")
    for table in ("models", "model_rates"):
        file = file_literal(str(lake.price_book / f"{table}.parquet"))
        connection.execute(f"create or replace view raw.{table} as select * from read_parquet({file})")
    connection.execute(LOADED_FILES)
    loaded = [
        {
            **{name: value for name, value in asdict(file).items() if name not in ("fingerprint", "facts")},
            **{name: (file.facts or {}).get(name) for name in FACTS},
            "batch_seq": manifest.batch_seq,
            "loaded_at": manifest.loaded_at,
        }
        for manifest in manifests
        for file in manifest.files
    ]
    if loaded:
        connection.register("manifests", pa.Table.from_pylist(loaded))
        connection.execute("insert into raw.loaded_files by name select * from manifests")
        connection.unregister("manifests")


def _show_settings(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    as_of = settings.now()
    connection.execute(
        """create or replace table raw.settings as
        select cast(? as timestamptz) as as_of, cast(timezone(?, cast(? as timestamptz)) as date) as today,
            cast(? as varchar) as reporting_timezone, cast(? as varchar) as default_currency,
            cast(? as decimal(38, 12)) as low_balance, cast(? as varchar) as manual_charge_settles_on,
            cast(? as varchar[]) as promo_reasons, cast(? as integer) as recon_grace_days""",
        [
            as_of,
            # DuckDB's own calendar, which the reporting days of the entries come from too.
            settings.reporting_timezone,
            as_of,
            settings.reporting_timezone,
            settings.default_currency,
            str(settings.low_balance),
            settings.manual_charge_settles_on,
            list(settings.promo_reasons),
            settings.recon_grace_days,
        ],
    )


def _show_published_breaks(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """The history of breaks as last published: readers' truth, replaced at once with the cases that it belongs to."""
    connection.execute(f"create or replace table raw.published_breaks ({BREAK})")
    columns = "case_id, break_type, priority, opened_at, closed_at"
    try:
        connection.execute(f"attach {literal(str(settings.home.published_file))} as published (read_only)")
    except duckdb.IOException:
        # It is gone, or somebody has it open for writing, as DuckDB's own shell does unless told otherwise. Publication noted it down too.
        connection.execute(f"insert into raw.published_breaks by name select {columns} from build.published_breaks")
        return
    try:
        known = connection.execute(
            "select 1 from duckdb_tables() where database_name = 'published' and table_name = 'fct_reconciliation_history'"
        ).fetchone()
        if known:
            table = "published.marts.fct_reconciliation_history"
            connection.execute(f"insert into raw.published_breaks by name select {columns} from {table}")
    finally:
        connection.execute("detach published")


def _decide(connection: duckdb.DuckDBPyConnection, settings: Settings, manifests: list[Manifest], code_version: str, asked: bool) -> Build:
    built_through, meaning, built_by, published = connection.execute(
        "select built_through, meaning, code_version, published_fingerprint from build.state"
    ).fetchall()[0]
    through = max((manifest.batch_seq for manifest in manifests), default=-1)
    reason = None
    if asked:
        reason = "a full refresh was asked for"
    elif meaning is None:
        reason = "there is no finished build yet"
    elif meaning != settings.meaning():
        reason = "a setting that changes the meaning of loaded records has changed"
    elif built_by != code_version:
        reason = "the warehouse was built by another version of the code"
    elif _rates_changed(connection):
        reason = "provider rates of known models have changed"
    (today,) = connection.execute("select today from raw.settings").fetchall()[0]
    # normalize: 1 and 1.00 are the same threshold.
    shown = [through, today.isoformat(), settings.meaning(), str(settings.low_balance.normalize()), settings.recon_grace_days, code_version]
    fingerprint = hashlib.sha256(repr(shown).encode()).hexdigest()
    new = sum(manifest.batch_seq > built_through for manifest in manifests)
    return Build(
        needed=reason is not None or published != fingerprint or not settings.home.published_file.exists(),
        full_refresh=reason is not None,
        why=f"full refresh: {reason}" if reason else f"{new} new batches since the last build",
        through_batch=through,
        meaning=settings.meaning(),
        code_version=code_version,
        fingerprint=fingerprint,
    )


def _rates_changed(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether a model text that was built with now means another model or has other rates."""
    row = connection.execute(
        """select exists (
            select 1 from build.built_models as built join raw.models as now using (model) where built.model_id <> now.model_id
        ) or exists (
            select * exclude (source) from raw.model_rates where model_id in (select model_id from build.built_models)
            except select * from build.built_rates
        ) or exists (select * from build.built_rates except select * exclude (source) from raw.model_rates)"""
    ).fetchone()
    return bool(row and row[0])
