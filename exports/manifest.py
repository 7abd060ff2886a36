"""Manifests and catalogs: a dataset's partitions with their files and sums, and the list of all datasets.

They are written last and read first. The JSON Schemas in `exports/schemas/` are generated from these classes.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from datetime import date
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from warehouse.published_tables import Column

VERSION: Literal[1] = 1
# The layout of an export.
ROOT, CATALOG, MANIFEST = "v1", "catalog.json", "manifest.json"
Format = Literal["parquet", "csv"]
SUFFIXES: dict[Format, str] = {"parquet": "parquet", "csv": "csv.gz"}
# A manifest may come from elsewhere. A path that leads out of its folder must not be followed.
FILE_PATH = r"^(parquet|csv)/(date=\d{4}-\d{2}-\d{2}/)?part-\d{5,}\.(parquet|csv\.gz)$"
NAME = r"^[a-z][a-z0-9_]*$"
SHA256 = r"^[0-9a-f]{64}$"
# A type goes into SQL on the consumer's side.
SQL_TYPE = r"^[A-Z][A-Z ]*(\(\d+,\s?\d+\))?(\[\])?$"
EXACT_DECIMAL = r"^-?\d+(\.\d+)?$"


class ManifestError(Exception):
    """A manifest or catalog cannot be used. The message says which one, and why."""


class _Document(BaseModel):
    """A part of a manifest or catalog. Fields of later versions are ignored."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", serialize_by_alias=True, validate_by_name=True, validate_by_alias=True
    )


class File(_Document):
    """One file of a partition."""

    path: Annotated[
        str,
        Field(
            pattern=FILE_PATH,
            description="Relative to the folder of the manifest. A path is never reused for other rows.",
        ),
    ]
    format: Format
    bytes: Annotated[int, Field(ge=0)]
    rows: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=SHA256)]


class Partition(_Document):
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
                "The sum of every money column by currency, as exact decimal text. A column without a value"
                " in any row of the currency is left out."
            )
        ),
    ]
    files: list[File]
    next_part: Annotated[
        int, Field(ge=0, description="The number of the next part. Smaller numbers have been used.")
    ]
    fingerprint: Annotated[str, Field(description="Changes with the rows. It has no other meaning.")]

    def files_in(self, encoding: Format) -> list[File]:
        """Return the files in one format, in the order of their rows."""
        return [file for file in self.files if file.format == encoding]

    def narrowed(self, formats: Collection[str]) -> "Partition":
        """Return the partition with its files in some formats only."""
        return self.model_copy(update={"files": [file for file in self.files if file.format in formats]})


class ManifestColumn(_Document):
    """A column of every file of the dataset."""

    name: str
    type: Annotated[
        str, Field(pattern=SQL_TYPE, description="The name of the type in SQL, such as DECIMAL(38,12).")
    ]
    description: str


class Schema(_Document):
    """The columns, in the order of the files."""

    version: Annotated[
        int,
        Field(
            ge=1, description="Raised by one when the names, the types or the order of the columns change."
        ),
    ]
    fingerprint: Annotated[str, Field(pattern=SHA256, description="A digest of names, types and order.")]
    columns: list[ManifestColumn]


class Operation(_Document):
    """An operation on the data as a whole."""

    kind: Annotated[
        Literal["erasure"],
        Field(
            description=(
                "A person's id was replaced by a pseudonym, and no sum changed. Delete older copies of"
                " these partitions."
            )
        ),
    ]
    at: AwareDatetime
    partitions: Annotated[
        list[date | None],
        Field(description=("The partitions that its export restated; null for a snapshot. May be empty.")),
    ]


class Manifest(_Document):
    """One dataset of a published warehouse.

    `run_id`, `published_at` and `as_of` are those of the run that last changed the dataset.
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
        Field(description="The columns that identify a row. The rows of a partition are ordered by them."),
    ]
    columns_schema: Annotated[Schema, Field(alias="schema")]
    partitions: list[Partition]
    operations: Annotated[
        list[Operation], Field(description="The operations on the data as a whole, the latest last.")
    ] = []
    retired: Annotated[
        int,
        Field(
            ge=0,
            description=(
                "The highest part number and revision of days that were removed. Days that are added later"
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
        """The partitions by reporting day; None for a snapshot."""
        return {partition.date: partition for partition in self.partitions}

    @property
    def formats(self) -> tuple[Format, ...]:
        """The formats that have files."""
        return tuple(
            encoding
            for encoding in SUFFIXES
            if any(partition.files_in(encoding) for partition in self.partitions)
        )


class CatalogDataset(_Document):
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
            description="Manifests with these digests come from the same published warehouse.",
        ),
    ]
    schema_version: Annotated[int, Field(ge=1)]
    schema_fingerprint: Annotated[str, Field(pattern=SHA256)]
    partitioned_by: str | None


class Catalog(_Document):
    """All datasets. It is written after every manifest that it names."""

    catalog_version: Literal[1]
    formats: list[Format]
    datasets: list[CatalogDataset]


def schema_fingerprint(columns: Sequence[Column]) -> str:
    """Return a digest of names, types and order."""
    return hashlib.sha256(json.dumps([[column.name, column.type] for column in columns]).encode()).hexdigest()


def schema_after(previous: Schema | None, columns: Sequence[Column]) -> Schema:
    """Return the schema of `columns`. Its version follows that of the previous manifest."""
    fingerprint = schema_fingerprint(columns)
    version = 1 if previous is None else previous.version + (previous.fingerprint != fingerprint)
    described = [
        ManifestColumn(name=column.name, type=column.type, description=column.description)
        for column in columns
    ]
    return Schema(version=version, fingerprint=fingerprint, columns=described)


def to_bytes(document: Manifest | Catalog) -> bytes:
    """Return the JSON text, which is the same for the same content."""
    return (json.dumps(document.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode()


def read_manifest(text: bytes, location: str) -> Manifest:
    """Parse a manifest. Raises `ManifestError`, which names `location` and the first wrong field."""
    return _read(Manifest, text, location)


def read_catalog(text: bytes, location: str) -> Catalog:
    """Parse a catalog. Raises `ManifestError`, which names `location` and the first wrong field."""
    return _read(Catalog, text, location)


Document = TypeVar("Document", Manifest, Catalog)


def _read(kind: type[Document], text: bytes, location: str) -> Document:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the text"
        raise ManifestError(f"{location}: {where}: {first['msg']}") from None


def json_schema(kind: type[Manifest] | type[Catalog]) -> dict[str, Any]:
    """Return the JSON Schema that is shipped in `exports/schemas/`."""
    schema = kind.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
