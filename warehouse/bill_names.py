"""The names in provider bills: which provider, scope and model each one means.

They are specified in docs/contract.md#29-provider-bills. The models that charges name decide in the build
(`int_bills__models`) which of them a billed name is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from ingestion.lake.batches import Lake
from ingestion.model_names import book_model
from ingestion.sources.bills.names import provider_aliases
from paywall_warehouse.duckdb_connections import open_duckdb
from warehouse.last_file import rows_of_last_file

BILL_PROVIDERS_SCHEMA = pa.schema([("name", pa.string()), ("provider", pa.string())])
BILL_SCOPES_SCHEMA = pa.schema(
    [
        ("provider", pa.string()),
        ("project", pa.string()),
        ("key", pa.string()),
        ("scope", pa.string()),
        ("place", pa.int64()),
    ]
)
BILLED_MODELS_SCHEMA = pa.schema(
    [
        ("provider", pa.string()),
        ("model_as_billed", pa.string()),
        ("stated_model_id", pa.string()),
        ("book_model", pa.string()),
    ]
)


@dataclass(frozen=True)
class BillProvider:
    """A name of a provider, in lower case, and the provider that it means."""

    name: str
    provider: str


@dataclass(frozen=True)
class BillScope:
    """Whether bill lines are of usage that is sold. None means any; `place` is the row of the file."""

    provider: str | None
    project: str | None
    key: str | None
    scope: str
    place: int


@dataclass(frozen=True)
class BilledModel:
    """A model name on the bills of a provider.

    `stated_model_id` is what `bills/models.csv` says, `book_model` what the price book does.
    """

    provider: str
    model_as_billed: str
    stated_model_id: str | None
    book_model: str | None


def bill_providers(lake: Lake) -> list[BillProvider]:
    """Return every known name of a provider: the shipped ones, replaced and extended by
    `bills/providers.csv`.
    """
    stated = rows_of_last_file(lake, "bills/providers", "bill_providers", ("name", "provider"))
    names = provider_aliases() | dict(stated)
    return [BillProvider(name, provider) for name, provider in sorted(names.items())]


def bill_scopes(lake: Lake, providers: Iterable[BillProvider]) -> list[BillScope]:
    """Return the rows of `bills/scope.csv`, in their order."""
    names = _by_name(providers)
    stated = rows_of_last_file(lake, "bills/scope", "bill_scopes", ("provider", "project", "key", "scope"))
    return [
        BillScope(_provider(names, provider) if provider else None, project, key, scope, place)
        for place, (provider, project, key, scope) in enumerate(stated)
    ]


def billed_models(lake: Lake, providers: Iterable[BillProvider]) -> list[BilledModel]:
    """Return every model name on landed bills, and what is known of it."""
    names = _by_name(providers)
    stated = {
        (_provider(names, provider), name.lower()): model_id
        for provider, name, model_id in rows_of_last_file(
            lake, "bills/models", "bill_models", ("provider", "model_as_billed", "model_id")
        )
    }
    billed = {(_provider(names, provider), name) for provider, name in _names_on_bills(lake)}
    return [
        BilledModel(provider, name, stated.get((provider, name.lower())), _book_model(provider, name))
        for provider, name in sorted(billed)
    ]


def _names_on_bills(lake: Lake) -> list[tuple[str, str]]:
    batches = [manifest for manifest in lake.manifests() if manifest.table == "bill_lines"]
    files = [str(file) for file in lake.parquet_files("bill_lines", batches)]
    if not files:
        return []
    query = """select distinct provider_as_billed, model_as_billed
        from read_parquet($files, hive_partitioning = false) where model_as_billed is not null"""
    with open_duckdb() as connection:
        return connection.execute(query, {"files": files}).fetchall()


def _book_model(provider: str, name: str) -> str | None:
    """Return the model of the price book. A reseller's name begins with the provider of the model."""
    own, slash, rest = name.strip().lower().removeprefix("openrouter/").partition("/")
    return (book_model(own, rest) if slash else None) or book_model(provider, name)


def _by_name(providers: Iterable[BillProvider]) -> dict[str, str]:
    return {one.name: one.provider for one in providers}


def _provider(names: dict[str, str], name: str) -> str:
    return names.get(name.strip().lower(), name.strip().lower())
