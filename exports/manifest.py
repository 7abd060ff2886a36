"""What a manifest says: the partitions of a dataset, their files, their sums; written last, read first.

The JSON Schemas in `exports/schemas/` are these classes'.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from datetime import date
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from warehouse.published_tables import Column

VERSION: Literal[1] = 1
# Where things are in an export.
ROOT, CATALOG, MANIFEST = "v1", "catalog.json", "manifest.json"
Format = Literal["parquet", "csv"]
SUFFIXES: dict[Format, str] = {"parquet": "parquet", "csv": "csv.gz"}
# A manifest comes from elsewhere: a path that leads out of its folder must not be followed.
FILE_PATH = r"^(parquet|csv)/(date=\d{4}-\d{2}-\d{2}/)?part-\d{5,}\.(parquet|csv\.gz)$"
NAME = r"^[a-z][a-z0-9_]*$"
SHA256 = r"^[0-9a-f]{64}$"
# It goes into SQL on the consumer's side.
SQL_TYPE = r"^[A-Z][A-Z ]*(\(\d+,\s?\d+\))?(\[\])?$"
EXACT_DECIMAL = r"^-?\d+(\.\d+)?$"


class ManifestError(Exception):
    """A manifest or catalog cannot be used; the text says which, and why."""


class _Stated(BaseModel):
    """Frozen; fields of later versions are passed over."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", serialize_by_alias=True, validate_by_name=True, validate_by_alias=True
    )


class File(_Stated):
    """One file of a partition."""

    path: Annotated[
        str,
        Field(
            pattern=FILE_PATH,
            description="Relative to the folder of the manifest. A path is never used for other rows.",
        ),
    ]
    format: Format
    bytes: Annotated[int, Field(ge=0)]
    rows: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=SHA256)]


class Partition(_Stated):
    """The rows of one reporting day, or all rows of a snapshot."""

    date: Annotated[date | None, Field(description="The reporting day; null for a snapshot.")]
    revision: Annotated[int, Field(ge=1, description="Raised by one each time the rows change.")]
    changed_at: Annotated[
        AwareDatetime, Field(description="When the warehouse that changed the rows was published.")
    ]
    rows: Annotated[int, Field(ge=0)]
    totals: Annotated[
        dict[str, dict[str, Annotated[str, Field(pattern=EXACT_DECIMAL)]]],
        Field(
            description=(
                "For each currency the sum of every column with money that any of its rows states, as exact"
                " decimal text."
            )
        ),
    ]
    files: list[File]
    next_part: Annotated[
        int, Field(ge=0, description="The number of the next part; smaller ones have been used.")
    ]
    fingerprint: Annotated[str, Field(description="Changes with the rows. Says nothing else.")]

    def files_in(self, encoding: Format) -> list[File]:
        """The files in one format, in the order of their rows."""
        return [file for file in self.files if file.format == encoding]

    def narrowed(self, formats: Collection[str]) -> "Partition":
        """The partition with its files in some formats only."""
        return self.model_copy(update={"files": [file for file in self.files if file.format in formats]})


class ManifestColumn(_Stated):
    """A column of every file of the dataset."""

    name: str
    type: Annotated[str, Field(pattern=SQL_TYPE, description="In SQL's words, such as DECIMAL(38,12).")]
    description: str


class Schema(_Stated):
    """The columns, in the order of the files."""

    version: Annotated[
        int,
        Field(
            ge=1, description="Raised by one when the names, the types or the order of the columns change."
        ),
    ]
    fingerprint: Annotated[str, Field(pattern=SHA256, description="A digest of names, types and order.")]
    columns: list[ManifestColumn]


class Operation(_Stated):
    """Something that was done to the data as a whole."""

    kind: Annotated[
        Literal["erasure"],
        Field(
            description=(
                "A person's id gave way to a pseudonym, with no change of any sum. Delete older copies of"
                " these partitions."
            )
        ),
    ]
    at: AwareDatetime
    partitions: Annotated[
        list[date | None],
        Field(
            description=(
                "The partitions that were restated when it was exported; null for a snapshot. May be empty."
            )
        ),
    ]


class Manifest(_Stated):
    """A dataset as one published warehouse has it. `run_id`, `published_at` and `as_of` are of the run that
    last changed it.
    """

    manifest_version: Literal[1]
    dataset: Annotated[str, Field(pattern=NAME)]
    run_id: str
    published_at: AwareDatetime
    as_of: AwareDatetime
    reporting_timezone: str
    partitioned_by: Annotated[
        str | None, Field(description="The column with the partition's date; null for a snapshot.")
    ]
    ordered_by: Annotated[
        list[str],
        Field(
            description="The columns that identify a row, and by which the rows of a partition are ordered."
        ),
    ]
    columns_schema: Annotated[Schema, Field(alias="schema")]
    partitions: list[Partition]
    operations: Annotated[
        list[Operation], Field(description="What was done to the data as a whole, the latest last.")
    ] = []
    retired: Annotated[
        int,
        Field(
            ge=0,
            description=(
                "The highest part number and revision of days that went. Days that come later, or come back,"
                " start above it."
            ),
        ),
    ] = 0

    @property
    def files(self) -> list[File]:
        """The files of all partitions."""
        return [file for partition in self.partitions for file in partition.files]

    @property
    def by_date(self) -> dict[date | None, Partition]:
        """The partitions by their reporting day; a snapshot's is None."""
        return {partition.date: partition for partition in self.partitions}

    @property
    def formats(self) -> tuple[Format, ...]:
        """The formats in which there are files."""
        return tuple(
            encoding
            for encoding in SUFFIXES
            if any(partition.files_in(encoding) for partition in self.partitions)
        )


class CatalogDataset(_Stated):
    """A dataset in the catalog."""

    name: Annotated[str, Field(pattern=NAME)]
    description: str
    manifest: Annotated[
        str,
        Field(
            pattern=r"^[a-z][a-z0-9_]*/manifest\.json$", description="Relative to the folder of the catalog."
        ),
    ]
    manifest_sha256: Annotated[
        str,
        Field(
            pattern=SHA256,
            description="The manifests that have these digests are of one and the same published warehouse.",
        ),
    ]
    schema_version: Annotated[int, Field(ge=1)]
    schema_fingerprint: Annotated[str, Field(pattern=SHA256)]
    partitioned_by: str | None


class Catalog(_Stated):
    """All datasets; written after every manifest that it names."""

    catalog_version: Literal[1]
    formats: list[Format]
    datasets: list[CatalogDataset]


def schema_fingerprint(columns: Sequence[Column]) -> str:
    """A digest of names, types and order."""
    return hashlib.sha256(json.dumps([[column.name, column.type] for column in columns]).encode()).hexdigest()


def schema_after(previous: Schema | None, columns: Sequence[Column]) -> Schema:
    """The schema of these columns; its version follows that of the manifest before."""
    fingerprint = schema_fingerprint(columns)
    version = 1 if previous is None else previous.version + (previous.fingerprint != fingerprint)
    stated = [
        ManifestColumn(name=column.name, type=column.type, description=column.description)
        for column in columns
    ]
    return Schema(version=version, fingerprint=fingerprint, columns=stated)


def to_bytes(stated: Manifest | Catalog) -> bytes:
    """The JSON text; the same for the same content."""
    return (json.dumps(stated.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode()


def read_manifest(text: bytes, place: str) -> Manifest:
    """A manifest from its JSON text; raises `ManifestError` with `place` and the first field that is
    wrong.
    """
    return _read(Manifest, text, place)


def read_catalog(text: bytes, place: str) -> Catalog:
    """A catalog from its JSON text; raises `ManifestError` with `place` and the first field that is wrong."""
    return _read(Catalog, text, place)


Document = TypeVar("Document", Manifest, Catalog)


def _read(kind: type[Document], text: bytes, place: str) -> Document:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the text"
        raise ManifestError(f"{place}: {where}: {first['msg']}") from None


def json_schema(kind: type[Manifest] | type[Catalog]) -> dict[str, Any]:
    """The JSON Schema that is shipped in `exports/schemas/`."""
    schema = kind.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
