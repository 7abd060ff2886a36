"""The record of exports: which publication each dataset was exported from, and to which destination.

A run reads it to find out whether anything is left to export.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from paywall_warehouse.files import replace_text
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings
from warehouse.published import published_run


@dataclass(frozen=True)
class ExportRecord:
    """The publication that a dataset was last exported from, and the manifest that was written."""

    run_id: str
    manifest_sha256: str


@dataclass(frozen=True)
class ExportState:
    """The state of the exports to one destination, of some formats and datasets."""

    target: str
    datasets: Mapping[str, ExportRecord] = field(default_factory=dict)
    run_id: str | None = None
    """The publication that all datasets were exported from, once the catalog is written."""


def target_digest(settings: Settings) -> str:
    """Return a digest of destination, formats and optional datasets.

    A digest, because a URL may hold a password. The setting counts, not the path: exports inside a home move
    with it.
    """
    target = [settings.export_uri, sorted(settings.export_formats), *(["focus"] * settings.export_focus)]
    return hashlib.sha256(json.dumps(target).encode()).hexdigest()


def read_state(settings: Settings) -> ExportState:
    """Return the state of the exports.

    It is empty if the destination, the formats or the optional datasets have changed, or if the record cannot
    be read.
    """
    empty = ExportState(target_digest(settings))
    try:
        recorded = json.loads(settings.home.exported_file.read_text(encoding="utf-8"))
        datasets = {name: ExportRecord(**record) for name, record in recorded["datasets"].items()}
        state = ExportState(recorded["target"], datasets, recorded["run_id"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return empty
    return state if state.target == empty.target else empty


def record_dataset(settings: Settings, name: str, record: ExportRecord) -> None:
    """Record that a dataset has been exported."""
    state = read_state(settings)
    _write(settings.home, replace(state, datasets={**state.datasets, name: record}, run_id=None))


def record_catalog(settings: Settings, run_id: str) -> None:
    """Record that all datasets have been exported from one publication, and that the catalog is written."""
    _write(settings.home, replace(read_state(settings), run_id=run_id))


def is_exported(settings: Settings) -> bool:
    """Check whether the current publication has been exported completely, by the records on this machine.

    The published file names its run, because a killed run may not have recorded itself.
    """
    published = published_run(settings)
    return published is not None and read_state(settings).run_id == published


def _write(home: Home, state: ExportState) -> None:
    replace_text(home.exported_file, json.dumps(asdict(state), indent=1))
