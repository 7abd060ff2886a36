"""The plan of a build: which batches are new, and whether everything is rebuilt.

A build recomputes only what the batches since the last finished build touched. It recomputes everything if
the meaning of loaded records may have changed through settings, models or rates.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from ingestion.lake.batches import Lake, Manifest
from ingestion.lake.period_acts import Act, check_published_acts, read_acts
from ingestion.lake.recount import apply_limits
from ingestion.pulls.failures import failed_pulls
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import Settings
from warehouse.alerts.state import transitions_digest
from warehouse.build_file import (
    IMPORTED_SNAPSHOTS,
    ON_CLUSTER,
    PublishedState,
    base_file,
    drop_build_file,
    drop_copy_ahead,
    is_held,
    known_published_through,
    prepare_build_file,
    published_state,
)
from warehouse.build_inputs import reporting_today, write_build_inputs
from warehouse.price_book import price_book_relation, resolved_batches


@dataclass(frozen=True)
class Build:
    """The plan of the next build."""

    needed: bool
    """False if the published file already shows everything that is loaded, as of the same day and under the
    same settings.
    """
    full_refresh: bool
    why: str
    """A sentence for people."""
    through_batch: int
    semantics_digest: str
    code_version: str
    fingerprint: str


@dataclass(frozen=True)
class _BuildState:
    """The state of the last finished build in the file that the next build starts from."""

    through_batch: int = -1
    semantics_digest: str | None = None
    code_version: str | None = None
    rates_changed: bool = False
    """Whether one of its model texts now belongs to another model or has other rates."""


def prepare_build(
    settings: Settings,
    code_version: str,
    *,
    full_refresh: bool = False,
    always: bool = False,
    keep_tables: bool = False,
) -> Build:
    """Plan the next build; if it is needed, update the schemas `raw` and `build` of the build file.

    `full_refresh` requests a rebuild of everything from the lake. `always` requests the build file even if
    nothing has to be built. `keep_tables` keeps the tables of earlier builds, also for a full refresh.
    Raises `DamagedActError` if a closed month is not in the lake as it was booked.
    """
    home = settings.home
    with home.writing():
        lake = Lake(home)
        manifests = apply_limits(settings, lake, resolved_batches(lake))
        # An unpublished build may come from the same batches under other rates, so it has to be repeated.
        has_unpublished_build = home.build_file.exists()
        published, copied, state = _find_base(settings, lake, published_state(home))
        acts = read_acts(home)
        check_published_acts(home, acts, _published_acts(base_file(home, published)))
        today = reporting_today(settings)
        plan = _plan(
            settings,
            today,
            manifests,
            state,
            published,
            acts,
            code_version,
            full_refresh,
            has_unpublished_build,
        )
        if not (plan.needed or always):
            drop_copy_ahead(home)
            return plan
        published_through = known_published_through(home)
        copied |= prepare_build_file(home, published)
        with open_duckdb(home.build_file, config=settings.duckdb_config()) as connection:
            write_build_inputs(
                connection,
                settings,
                lake,
                manifests,
                today,
                published_through,
                acts,
                is_published_copy=copied,
            )
            if settings.warehouse_target == "duckdb":
                # DuckDB changes the marts, so they no longer match the snapshots of the cluster.
                connection.execute(f"drop table if exists {IMPORTED_SNAPSHOTS}")
            if plan.full_refresh and not keep_tables:
                _drop_built_tables(connection)
        return plan


def finish_build(settings: Settings, build: Build) -> None:
    """Record that every model was built, so that the next build starts from here."""
    with settings.home.writing(), open_duckdb(settings.home.build_file) as connection:
        connection.begin()
        connection.execute(
            """update ops.build_state
            set built_through = ?, full_refresh = ?, meaning = ?, code_version = ?, fingerprint = ?""",
            [
                build.through_batch,
                build.full_refresh,
                build.semantics_digest,
                build.code_version,
                build.fingerprint,
            ],
        )
        connection.execute("delete from build.touched_keys")
        connection.execute(
            "create or replace table ops.built_models as select model, model_id from raw.models"
        )
        connection.execute(
            "create or replace table ops.built_rates as select * exclude (source) from raw.model_rates"
        )
        connection.execute("create or replace table ops.built_markups as from raw.markups")
        connection.commit()


def require_full_refresh(settings: Settings) -> None:
    """Make the next build rebuild everything, because the content of the build file is no longer known."""
    with settings.home.writing(), open_duckdb(settings.home.build_file) as connection:
        connection.execute("update ops.build_state set meaning = null, fingerprint = null")


def _drop_built_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop all built tables and the state of their build.

    If this rebuild is killed, the next build is a rebuild too. No table outlives its model.
    """
    connection.execute("update ops.build_state set built_through = -1, meaning = null, fingerprint = null")
    for schema in ("staging", "intermediate", "marts", "checks", ON_CLUSTER):
        connection.execute(f"drop schema if exists {schema} cascade")


def _find_base(
    settings: Settings, lake: Lake, published: PublishedState | None
) -> tuple[PublishedState | None, bool, _BuildState]:
    """Return the published state that the next build may start from, and the state of the build in its file.

    The second value is whether the published file had to be copied to be read.
    """
    home = settings.home
    try:
        return published, False, _read_state(base_file(home, published), lake, settings)
    except duckdb.Error:
        # A process has the published file open for writing, which is the default of DuckDB's shell. Its bytes
        # can still be copied.
        copied = prepare_build_file(home, published)
    try:
        return published, copied, _read_state(home.build_file, lake, settings)
    except duckdb.Error as error:
        if is_held(error):
            raise
        # The build file is damaged. Start from the published file, or from the lake if this was its copy.
        drop_build_file(home)
        return _find_base(settings, lake, None if copied else published)


def _read_state(file: Path | None, lake: Lake, settings: Settings) -> _BuildState:
    if file is None:
        return _BuildState()
    try:
        with open_duckdb(file, config=settings.duckdb_config(), read_only=True) as connection:
            if settings.warehouse_target == "duckdb" and _has_marts_on_cluster(connection):
                # DuckDB cannot add to marts that are not in the file.
                return _BuildState()
            built_through, semantics_digest, code_version = connection.execute(
                "select built_through, meaning, code_version from ops.build_state"
            ).fetchall()[0]
            rates_changed = _rates_changed(connection, lake)
            return _BuildState(built_through, semantics_digest, code_version, rates_changed)
    except duckdb.CatalogException:  # written by an earlier version, or by a first build that did not finish
        return _BuildState()


def _published_acts(file: Path | None) -> list[tuple[int, str, str]]:
    """Return number, month and digest of the acts that the file of the next build lists."""
    if file is None:
        return []
    try:
        with open_duckdb(file, read_only=True) as connection:
            return connection.execute(
                "select act_no, strftime(month_start, '%Y-%m'), digest from ops.period_events order by act_no"
            ).fetchall()
    except duckdb.CatalogException:  # an earlier version wrote the file
        return []


def _has_marts_on_cluster(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute(
        """from information_schema.schemata
        where catalog_name = current_database() and schema_name = ?""",
        [ON_CLUSTER],
    ).fetchall()
    return bool(found)


def _plan(
    settings: Settings,
    today: date,
    manifests: list[Manifest],
    state: _BuildState,
    published: PublishedState | None,
    acts: Sequence[Act],
    code_version: str,
    full_refresh: bool,
    has_unpublished_build: bool,
) -> Build:
    through_batch = max((manifest.batch_seq for manifest in manifests), default=-1)
    semantics_digest = _semantics_digest(settings, manifests)
    known = [manifest for manifest in manifests if manifest.batch_seq <= state.through_batch]
    reason = None
    if full_refresh:
        reason = "a full refresh was asked for"
    elif state.semantics_digest is None:
        reason = "there is no finished build yet"
    elif state.semantics_digest.partition("/")[0] != settings.semantics_digest():
        reason = "a setting that changes the meaning of loaded records has changed"
    elif state.semantics_digest != _semantics_digest(settings, known):
        reason = "records were made again, because a mapping has changed or a late grant has landed"
    elif state.code_version != code_version:
        reason = "the warehouse was built by another version of the code"
    elif state.rates_changed:
        reason = "provider rates of known models, or markups, have changed"
    published_inputs = [
        through_batch,
        today.isoformat(),
        semantics_digest,
        # normalize: 1 and 1.00 are the same threshold.
        str(settings.low_balance.normalize()),
        settings.recon_grace_days,
        str(settings.cost_tolerance_abs.normalize()),
        str(settings.cost_tolerance_rel.normalize()),
        settings.cost_grace_days,
        code_version,
        settings.warehouse_target,
        settings.focus_provider_name,
        # The published file lists the sources whose pull failed, so it changes when a pull fails or recovers.
        *(failure.source for failure in failed_pulls(settings.home)),
        *((act.number, act.action, act.digest) for act in acts),
        # `ops.alerts` lists what has opened, resolved and been sent.
        *filter(None, [transitions_digest(settings.home)]),
    ]
    fingerprint = hashlib.sha256(repr(published_inputs).encode()).hexdigest()
    new = sum(manifest.batch_seq > state.through_batch for manifest in manifests)
    return Build(
        needed=(
            reason is not None
            or has_unpublished_build
            or published is None
            or published.fingerprint != fingerprint
        ),
        full_refresh=reason is not None,
        why=f"full refresh: {reason}" if reason else f"{new} new batches since the last build",
        through_batch=through_batch,
        semantics_digest=semantics_digest,
        code_version=code_version,
        fingerprint=fingerprint,
    )


def _semantics_digest(settings: Settings, manifests: Iterable[Manifest]) -> str:
    """Return a text that changes when the meaning of the records in these batches does: the digest of the
    settings, and that of the batches whose rows were made again.
    """
    restated = [(manifest.batch_seq, manifest.restated) for manifest in manifests if manifest.restated]
    suffix = f"/{hashlib.sha256(repr(restated).encode()).hexdigest()}" if restated else ""
    return settings.semantics_digest() + suffix


def _rates_changed(connection: duckdb.DuckDBPyConnection, lake: Lake) -> bool:
    models = price_book_relation(lake, "models")
    rates = f"(select * exclude (source) from {price_book_relation(lake, 'model_rates')})"
    markups = price_book_relation(lake, "markups")
    row = connection.execute(
        f"""select exists (
            select 1 from ops.built_models as built
            join {models} as now using (model)
            where built.model_id <> now.model_id
        ) or exists (
            select * from {rates} where model_id in (select model_id from ops.built_models)
            except
            select * from ops.built_rates
        ) or exists (
            select * from ops.built_rates
            except
            select * from {rates}
        ) or exists (
            (from {markups} except from ops.built_markups)
            union all
            (from ops.built_markups except from {markups})
        )"""
    ).fetchone()
    return bool(row and row[0])
