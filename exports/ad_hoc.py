"""An ad-hoc slice of one dataset: some columns, some days, some rows, in one file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from exports.compression import Compression, compress_in_place
from exports.datasets import DATASETS, Dataset
from exports.encoding import Encoding, copy_statement, encoded
from exports.filters import Filter, WrongSliceError, joined, missing_values, parse_filter, typed_value
from paywall_warehouse.files import replace_file
from paywall_warehouse.quoting import quoted
from paywall_warehouse.settings import Settings
from warehouse.published import published_warehouse
from warehouse.published_tables import Column, table_with_rows


@dataclass(frozen=True)
class SliceRequest:
    """A slice as somebody asks for it, in words that nobody has looked at yet."""

    dataset: str
    columns: Sequence[str] | None = None
    """None: all of them, in the dataset's order."""
    since: str | None = None
    """The first reporting day."""
    until: str | None = None
    """The reporting day after the last."""
    where: Sequence[str] = ()
    """Conditions that all have to hold, as `parse_filter` takes them."""
    also: Sequence[Filter] = ()
    """More of them, composed by the caller; their SQL is trusted."""


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
    """Write a slice of the published warehouse to a file, which appears whole; returns the number of rows.

    Rows come in the order of the dataset. What DuckDB cannot keep in memory goes to `spill`, else into the
    home. `progress` hears of values in conditions that occur nowhere, where it is given. Raises `WrongSliceError`
    for what cannot be asked for, before anything is written, and `NotPublishedError`.
    """
    dataset = known_dataset(request.dataset)
    with published_warehouse(settings, spill) as connection:
        columns = {column.name: column for column in table_with_rows(connection, dataset.mart).columns}
        query, values = slice_query(dataset, columns, request, encoding)
        if progress is not None:
            asked = [parse_filter(text, columns) for text in request.where]
            for warning in missing_values(connection, f"marts.{dataset.mart}", asked):
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
    """A dataset by its name; raises `WrongSliceError` with the names that there are."""
    if name not in DATASETS:
        raise WrongSliceError(f"there is no dataset {name!r}; allowed: {', '.join(DATASETS)}")
    return DATASETS[name]


def slice_query(
    dataset: Dataset, columns: Mapping[str, Column], request: SliceRequest, encoding: Encoding
) -> tuple[str, list[object]]:
    """The query of a slice, with `?` for each value, and the values; raises `WrongSliceError`."""
    where, values = joined(
        [*_days(dataset, request), *(parse_filter(text, columns) for text in request.where), *request.also]
    )
    # Qualified: the bare name would be the text that a column is written as.
    order = ", ".join(f"asked.{quoted(name)}" for name in dataset.order)
    chosen = encoded(_chosen(request.columns, columns), encoding)
    query = (
        f"select {chosen} from (select * from marts.{dataset.mart} where {where}) as asked order by {order}"
    )
    return query, values


def _chosen(names: Sequence[str] | None, columns: Mapping[str, Column]) -> list[Column]:
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
    """The half-open range of reporting days."""
    asked = {
        option: text
        for option, text in (("--from", request.since), ("--to", request.until))
        if text is not None
    }
    if asked and dataset.day is None:
        by_day = ", ".join(name for name, one in DATASETS.items() if one.day)
        raise WrongSliceError(
            f"{next(iter(asked))}: {dataset.name} is a snapshot without days; use --where. By day are:"
            f" {by_day}"
        )
    days: dict[str, date] = {
        option: typed_value(text, Column(option, "DATE", "")) for option, text in asked.items()
    }
    if len(days) > 1 and days["--from"] > days["--to"]:
        raise WrongSliceError(
            f"--from {days['--from']} is after --to {days['--to']}; --to is the day after the last"
        )
    operators = {"--from": ">=", "--to": "<"}
    return [
        Filter(f"{quoted(dataset.day or '')} {operators[option]} ?", (day,)) for option, day in days.items()
    ]
