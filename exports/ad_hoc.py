"""Ad-hoc slices: some columns, days and rows of one dataset, in one file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from exports.compression import Compression, compress_in_place
from exports.datasets import DATASETS, Dataset
from exports.encoding import Encoding, copy_statement, select_list
from exports.filters import Filter, WrongSliceError, all_of, missing_values, parse_filter, typed_value
from paywall_warehouse.files import replace_file
from paywall_warehouse.quoting import quoted
from paywall_warehouse.settings import Settings
from warehouse.published import published_warehouse
from warehouse.published_tables import Column, table_with_rows


@dataclass(frozen=True)
class SliceRequest:
    """A request for a slice, as texts that are not validated yet."""

    dataset: str
    columns: Sequence[str] | None = None
    """The columns in this order; None for all columns."""
    since: str | None = None
    """The first reporting day."""
    until: str | None = None
    """The reporting day after the last."""
    where: Sequence[str] = ()
    """Conditions for `parse_filter`. Rows must meet all of them."""
    filters: Sequence[Filter] = ()
    """More conditions, composed by the caller. Their SQL is trusted."""


def write_slice(
    settings: Settings,
    request: SliceRequest,
    encoding: Encoding,
    file: Path,
    *,
    compression: Compression | None = None,
    spill: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> int:
    """Write a slice of the published file to `file`, and return the number of rows.

    The file is replaced atomically. Rows are in the dataset's order. DuckDB spills to `spill`, or to the home
    if none is given. `progress` receives warnings about values in conditions that no row has. Raises
    `NotPublishedError`, and `WrongSliceError` before anything is written if the request is not valid.
    """
    dataset = known_dataset(request.dataset)
    with published_warehouse(settings, spill) as connection:
        return write_rows(
            connection, dataset, request, encoding, file, compression=compression, progress=progress
        )


def write_rows(
    connection: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    request: SliceRequest,
    encoding: Encoding,
    file: Path,
    *,
    compression: Compression | None = None,
    progress: Callable[[str], None] | None = None,
) -> int:
    """Write a slice as `write_slice` does, from a published file that is open. `dataset` may be any table."""
    table = table_with_rows(connection, dataset.mart, dataset.schema)
    columns = {column.name: column for column in table.columns}
    query, values = slice_query(dataset, columns, request, encoding)
    if progress is not None:
        conditions = [parse_filter(text, columns) for text in request.where]
        for warning in missing_values(connection, dataset.relation, conditions):
            progress(f"Warning: --where: {warning}.")
    rows = 0

    def write(partial: Path) -> None:
        nonlocal rows
        rows = connection.execute(copy_statement(query, str(partial), encoding), values).fetchall()[0][0]
        if compression is not None:
            compress_in_place(partial, compression)

    replace_file(file, write)
    return rows


def known_dataset(name: str) -> Dataset:
    """Return the dataset of that name. Raises `WrongSliceError`, which lists the valid names."""
    if name not in DATASETS:
        raise WrongSliceError(f"there is no dataset {name!r}; allowed: {', '.join(DATASETS)}")
    return DATASETS[name]


def slice_query(
    dataset: Dataset, columns: Mapping[str, Column], request: SliceRequest, encoding: Encoding
) -> tuple[str, list[object]]:
    """Return the query of a slice, with `?` for each value, and the values. Raises `WrongSliceError`."""
    where, values = all_of(
        [*_days(dataset, request), *(parse_filter(text, columns) for text in request.where), *request.filters]
    )
    # Qualified, because the bare name would be that of the encoded column.
    order = ", ".join(f"slice.{quoted(name)}" for name in dataset.order)
    columns_sql = select_list(
        _requested_columns(request.columns, columns), encoding, whole_seconds=dataset.whole_seconds
    )
    query = (
        f"select {columns_sql} from (select * from {dataset.relation} where {where}) as slice"
        f" order by {order}"
    )
    return query, values


def requested_days(request: SliceRequest) -> dict[str, date]:
    """Return the days of `--from` and `--to`, as far as they are stated. Raises `WrongSliceError`."""
    days: dict[str, date] = {
        option: typed_value(text, Column(option, "DATE", "")) for option, text in _day_texts(request).items()
    }
    if len(days) > 1 and days["--from"] > days["--to"]:
        raise WrongSliceError(
            f"--from {days['--from']} is after --to {days['--to']}; --to is the day after the last"
        )
    return days


def _day_texts(request: SliceRequest) -> dict[str, str]:
    stated = {"--from": request.since, "--to": request.until}
    return {option: text for option, text in stated.items() if text is not None}


def _requested_columns(names: Sequence[str] | None, columns: Mapping[str, Column]) -> list[Column]:
    if names is None:
        return list(columns.values())
    unknown = [name for name in names if name not in columns]
    if unknown or not names:
        fault = f"there is no column {unknown[0]!r}" if unknown else "no column is named"
        raise WrongSliceError(f"--columns: {fault}; allowed: {', '.join(columns)}")
    if len(set(names)) < len(names):
        raise WrongSliceError("--columns: a column is named twice; name each once")
    return [columns[name] for name in names]


def _days(dataset: Dataset, request: SliceRequest) -> list[Filter]:
    """Return the conditions on the half-open range of reporting days."""
    texts = _day_texts(request)
    if texts and dataset.day is None:
        by_day = ", ".join(name for name, one in DATASETS.items() if one.day)
        raise WrongSliceError(
            f"{next(iter(texts))}: {dataset.name} is a snapshot without days; use --where. Datasets by day:"
            f" {by_day}"
        )
    days = requested_days(request)
    operators = {"--from": ">=", "--to": "<"}
    return [
        Filter(f"{quoted(dataset.day or '')} {operators[option]} ?", (day,)) for option, day in days.items()
    ]
