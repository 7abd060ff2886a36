"""The start and the end of a build: its inputs are prepared as its plan says, and its state is recorded.

A build recomputes only what the batches since the last finished build touched. It recomputes everything if
the meaning of loaded records may have changed through settings, models or rates.
"""

import duckdb

from ingestion.lake.batches import Lake
from ingestion.lake.period_acts import check_published_acts, read_acts
from ingestion.lake.recount import apply_limits
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import Settings
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
from warehouse.build_inputs import write_build_inputs
from warehouse.plan import Build, BuildState, plan_of, published_acts, read_build_state, reporting_today
from warehouse.price_book import resolved_batches


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
        check_published_acts(home, acts, published_acts(base_file(home, published)))
        today = reporting_today(settings)
        plan = plan_of(
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
) -> tuple[PublishedState | None, bool, BuildState]:
    """Return the published state that the next build may start from, and the state of the build in its file.

    The second value is whether the published file had to be copied to be read.
    """
    home = settings.home
    try:
        return published, False, read_build_state(base_file(home, published), lake, settings)
    except duckdb.Error:
        # A process has the published file open for writing, which is the default of DuckDB's shell. Its bytes
        # can still be copied.
        copied = prepare_build_file(home, published)
    try:
        return published, copied, read_build_state(home.build_file, lake, settings)
    except duckdb.Error as error:
        if is_held(error):
            raise
        # The build file is damaged. Start from the published file, or from the lake if this was its copy.
        drop_build_file(home)
        return _find_base(settings, lake, None if copied else published)
