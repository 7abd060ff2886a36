"""What has been exported from which publication, and to where: by this a run knows whether anything is left
to export.
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
    """The publication that a dataset was last exported from, and the manifest that this left."""

    run_id: str
    manifest_sha256: str


@dataclass(frozen=True)
class ExportState:
    """How far the export to one place in some formats has come."""

    target: str
    datasets: Mapping[str, ExportRecord] = field(default_factory=dict)
    run_id: str | None = None
    """The publication that all datasets were exported from, once the catalog is there."""


def target_of(settings: Settings) -> str:
    """Place and formats as a digest, for a URL may hold a password; a home that is moved takes its own
    exports with it.
    """
    return hashlib.sha256(
        json.dumps([settings.export_uri, sorted(settings.export_formats)]).encode()
    ).hexdigest()


def read_state(settings: Settings) -> ExportState:
    """How far the export has come; nowhere, where place or formats have changed or the file cannot be
    read.
    """
    nothing = ExportState(target_of(settings))
    try:
        stated = json.loads(settings.home.exported_file.read_text(encoding="utf-8"))
        datasets = {name: ExportRecord(**done) for name, done in stated["datasets"].items()}
        state = ExportState(stated["target"], datasets, stated["run_id"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return nothing
    return state if state.target == nothing.target else nothing


def note_dataset(settings: Settings, name: str, done: ExportRecord) -> None:
    """A dataset has been exported."""
    state = read_state(settings)
    _write(settings.home, replace(state, datasets={**state.datasets, name: done}, run_id=None))


def note_catalog(settings: Settings, run_id: str) -> None:
    """All datasets have been exported from one publication, and the catalog says so."""
    _write(settings.home, replace(read_state(settings), run_id=run_id))


def is_exported(settings: Settings) -> bool:
    """Whether what is published now has been exported whole to where the settings say; looks at this machine
    only.

    The published file itself says which run made it: a run that was killed may not have come to log itself.
    """
    published = published_run(settings)
    return published is not None and read_state(settings).run_id == published


def _write(home: Home, state: ExportState) -> None:
    replace_text(home.exported_file, json.dumps(asdict(state), indent=1))
