"""The plan of a build: whether anything has to be built, and whether everything is.

Imports neither dbt nor pyarrow: a run with nothing new ends with its plan.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from ingestion.lake.batches import Lake, Manifest
from ingestion.lake.period_acts import Act, check_published_acts, read_acts
from ingestion.lake.row_limits import RowLimits
from ingestion.pulls.failures import failed_pulls
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import Settings
from warehouse.alerts.state import transitions_digest
from warehouse.build_file import ON_CLUSTER, PublishedState, published_state
from warehouse.price_book_files import is_resolved, price_book_relation


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
class BuildState:
    """The state of the last finished build in the file that the next build starts from."""

    through_batch: int = -1
    semantics_digest: str | None = None
    code_version: str | None = None
    rates_changed: bool = False
    """Whether one of its model texts now belongs to another model or has other rates."""


def is_build_needed(settings: Settings, manifests: list[Manifest], code_version: str) -> bool:
    """Check whether `prepare_build` would find anything to build, without changing a file.

    `manifests` are those of all batches. In doubt, return True: the price book or the counts of rows may be
    outdated, or a build was left. The caller holds the run lock, and no landed file is left to load. Raises
    `DamagedActError`, and `duckdb.Error` if the published file cannot be read.
    """
    home, lake = settings.home, Lake(settings.home)
    published = published_state(home)
    if published is None or home.build_file.exists() or home.unfinished_build.exists():
        return True
    limits = RowLimits.of(settings).digest
    if any(manifest.limits != limits for manifest in manifests) or not is_resolved(settings, lake, manifests):
        return True
    state = read_build_state(home.published_file, lake, settings)
    acts = read_acts(home)
    check_published_acts(home, acts, published_acts(home.published_file))
    today = reporting_today(settings)
    return plan_of(settings, today, manifests, state, published, acts, code_version, False, False).needed


def plan_of(
    settings: Settings,
    today: date,
    manifests: list[Manifest],
    state: BuildState,
    published: PublishedState | None,
    acts: Sequence[Act],
    code_version: str,
    full_refresh: bool,
    has_unpublished_build: bool,
) -> Build:
    """Return the plan of a build that starts from `state` and reads `manifests`."""
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


def read_build_state(file: Path | None, lake: Lake, settings: Settings) -> BuildState:
    """Return the state of the build in a warehouse file; the initial state if DuckDB cannot add to it."""
    if file is None:
        return BuildState()
    try:
        with open_duckdb(file, config=settings.duckdb_config(), read_only=True) as connection:
            if settings.warehouse_target == "duckdb" and _has_marts_on_cluster(connection):
                # DuckDB cannot add to marts that are not in the file.
                return BuildState()
            built_through, semantics_digest, code_version = connection.execute(
                "select built_through, meaning, code_version from ops.build_state"
            ).fetchall()[0]
            rates_changed = _rates_changed(connection, lake)
            return BuildState(built_through, semantics_digest, code_version, rates_changed)
    except duckdb.CatalogException:  # written by an earlier version, or by a first build that did not finish
        return BuildState()


def published_acts(file: Path | None) -> list[tuple[int, str, str]]:
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


def reporting_today(settings: Settings) -> date:
    """Return the reporting day of `AS_OF` in DuckDB's calendar, as for the reporting days of the entries."""
    with open_duckdb() as connection:
        today: date
        (today,) = connection.execute(
            "select cast(timezone(?, cast(? as timestamptz)) as date)",
            [settings.reporting_timezone, settings.now()],
        ).fetchall()[0]
    return today
