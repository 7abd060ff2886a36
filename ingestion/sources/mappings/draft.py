"""A first draft of a mapping for an unknown file, from the names of its columns and its first values."""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from ingestion.landing.area import LandingFile
from ingestion.readers.csv_text import csv_records
from ingestion.readers.layout import SEPARATORS
from ingestion.readers.records import NAMES_BYTES, first_texts
from ingestion.readers.text import open_text
from ingestion.sources.ledger import COUNTS
from ingestion.sources.mappings.expressions import MappingError
from ingestion.sources.mappings.mapping import NAME

ROWS_LOOKED_AT: Final = 200
# The names that columns have in exports, without letter case and punctuation; the most telling ones first.
SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    "id": (
        *("id", "entryid", "transactionid", "requestid", "generationid", "eventid", "recordid", "usageid"),
        *("callid", "chargeid", "uuid", "reference"),
    ),
    "timestamp": (
        *("timestamp", "createdat", "occurredat", "starttime", "startedat", "time", "datetime", "eventtime"),
        *("requestedat", "created", "date", "ts", "usagedate"),
    ),
    "updated_at": ("updatedat", "modifiedat", "endtime", "lastupdated", "updated"),
    "type": ("type", "transactiontype", "entrytype", "kind", "eventtype", "category"),
    "status": ("status", "state"),
    "user": (
        *("user", "userid", "customer", "customerid", "externalcustomerid", "enduser", "account"),
        *("accountid", "client", "clientid", "tenant", "tenantid", "externaluserid", "wallet", "walletid"),
    ),
    "amount": (
        "amount",
        "charged",
        "chargeamount",
        "price",
        "total",
        "totalprice",
        "revenue",
        "credits",
        "value",
    ),
    "provider_cost": (
        *(
            "providercost",
            "cost",
            "costusd",
            "spend",
            "totalcost",
            "costtotal",
            "upstreamcost",
            "cogs",
            "modelcost",
        ),
    ),
    "currency": ("currency", "currencycode", "ccy"),
    "model": ("model", "modelname", "modelid", "modelslug", "llm", "engine", "deployment"),
    "request_id": ("requestid", "traceid", "callid", "correlationid"),
    "prompt_tokens": ("prompttokens", "inputtokens", "tokensin", "tokensprompt", "tokensinput", "input"),
    "completion_tokens": (
        *("completiontokens", "outputtokens", "tokensout", "tokenscompletion", "tokensoutput", "output"),
    ),
    "cached_tokens": ("cachedtokens", "tokenscached", "cachereadtokens", "inputcachedtokens"),
    "reasoning_tokens": ("reasoningtokens", "tokensreasoning"),
    "total_tokens": ("totaltokens", "tokens", "tokenstotal"),
}
# The kinds of entry that the words of a type column usually mean.
TYPES: Final[Mapping[str, str]] = {
    "deposit": r"top.?up|deposit|purchase|payment|inbound|grant|load|credit",
    "refund": r"refund|reversal|chargeback",
    "withdrawal": r"withdraw|payout",
    "adjustment": r"adjust|correct|expir|void|bonus",
    "charge": r"charge|usage|use|debit|consum|request|completion|generation|outbound|spend|call",
}
STATUSES: Final[Mapping[str, str]] = {
    "settled": r"settled|complete|success|succeeded|ok|paid|done|finished|200",
    "pending": r"pending|processing|open|queued",
    "failed": r"fail|error|cancel|reject|declin|timeout",
    "reversed": r"revers|refunded",
}
# What no number needs and nobody should keep: listed as dropped without being looked at.
PRIVATE: Final = re.compile(
    r"prompt(?!.?tokens)|message|completion(?!.?tokens)|response|content|body|e.?mail|phone|address|secret"
    r"|token$|(api|access|private).?key|password|^ip|ip.?addr|name$|question|answer|^(input|output|result|text)$",
    re.IGNORECASE,
)
# Of such a column, numbers are a count, in any language, and no secret.
COUNTS_TOKENS: Final = re.compile(r"tokens?$", re.IGNORECASE)
IN_CENTS: Final = re.compile(r"(?<![a-z])cents?(?![a-z])", re.IGNORECASE)
TIME_FORMATS: Final = (
    *("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d"),
    *("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y"),
    *(
        "%d-%m-%Y %H:%M:%S",
        "%d-%m-%Y %H:%M",
        "%Y%m%dT%H%M%S",
        "%Y%m%d%H%M%S",
        "%b %d, %Y %I:%M:%S %p",
        "%b %d, %Y %I:%M %p",
        "%b %d, %Y %H:%M:%S",
        "%b %d, %Y %H:%M",
        "%d %b %Y %H:%M",
    ),
    *("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%Y-%m-%d %I:%M:%S %p"),
)
PLAIN_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z|UTC|[+-]\d\d(:?\d\d)?))?)?"
)
EPOCH: Final = re.compile(r"1[0-9]{9}(\.[0-9]+)?|1[0-9]{12}(\.[0-9]+)?")
WITH_OFFSET: Final = re.compile(r".*\d( ?(Z|UTC|[+-]\d\d(:?\d\d)?))")
DECIMAL_COMMA: Final = re.compile(r"[+-]?\d{1,3}(\.\d{3})*,\d+|[+-]?\d+,\d+")
NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class _Sample:
    """The columns of a file and its first rows, as texts."""

    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, str]]
    separator: str = ","

    def values(self, column: str) -> list[str]:
        """Return the values of a column that are not empty."""
        return [row[column] for row in self.rows if row.get(column)]


def draft(path: Path) -> tuple[str, str]:
    """Return a name and the YAML text of a mapping for a file. Comments mark what has to be decided.

    Raises `MappingError` if the file has no columns that can be read.
    """
    name = re.sub(r"[^a-z0-9]+", "_", path.name.lower().split(".")[0]).strip("_")
    name = name if NAME.fullmatch(name) else f"export_{name}"[:60].rstrip("_")
    sample = _sample(path)
    return name, "\n".join(_lines(path, sample)) + "\n"


def _sample(path: Path) -> _Sample:
    file = LandingFile("", path.name, str(path), path.stat().st_size, 0, "")
    try:
        if file.format == ".csv":
            return _csv_sample(file, path)
        if file.format == ".parquet":
            return _parquet_sample(path)
        if file.format in (".json", ".jsonl"):
            texts = islice(first_texts(path, file, NAMES_BYTES), ROWS_LOOKED_AT)
            return _record_sample(json.loads(text) for text in texts)
    except (OSError, ValueError, StopIteration, EOFError) as error:
        raise MappingError(f"{path} cannot be read ({error}); export it again") from None
    raise MappingError(
        f"{path} is none of .csv, .jsonl, .json and .parquet; export it in one of these formats"
    )


def _csv_sample(file: LandingFile, path: Path) -> _Sample:
    with open_text(path, file.compression) as stream:
        header = next(csv_records(stream)).raw
    separator = max(SEPARATORS, key=header.count)
    with open_text(path, file.compression) as stream:
        records = csv_records(stream, separator)
        columns = next(records).fields
        rows = [
            dict(zip(columns, record.fields, strict=True))
            for record in islice(records, ROWS_LOOKED_AT)
            if len(record.fields) == len(columns)
        ]
    return _Sample(tuple(columns), rows, separator)


def _parquet_sample(path: Path) -> _Sample:
    with pq.ParquetFile(path) as parquet:
        rows = next(parquet.iter_batches(ROWS_LOOKED_AT)).to_pylist()
        columns = tuple(parquet.schema_arrow.names)
    return _Sample(columns, [{name: _text(value) for name, value in row.items()} for row in rows])


def _record_sample(records: Iterable[Any]) -> _Sample:
    rows = [record for record in records if isinstance(record, dict)]
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    if not columns:
        raise ValueError("it has no objects")
    return _Sample(columns, [{name: _text(value) for name, value in row.items()} for row in rows])


def _text(value: object) -> str:
    if value is None:
        return ""
    return json.dumps(value, default=str) if isinstance(value, dict | list | bool) else str(value)


def _lines(path: Path, sample: _Sample) -> Iterator[str]:
    chosen = _chosen(sample)
    comma = sample.separator != "," and any(
        DECIMAL_COMMA.fullmatch(value) for column in sample.columns for value in sample.values(column)
    )
    yield f"# A draft from the columns and first rows of {path.name}. Decide the lines with TODO."
    yield f"title: {_quoted(path.name.split('.')[0])}"
    yield ""
    if sample.separator != "," or comma:
        yield f"csv: {{separator: {json.dumps(sample.separator)}, decimal_comma: {str(comma).lower()}}}"
        yield ""
    yield "# TODO: if some rows are no usage, say which ones are: rows: {value: kind, in: [chat, embedding]}"
    yield "fields:"
    yield from (f"  {line}" for line in _fields(sample, chosen))
    others = [column for column in sample.columns if column not in chosen.values()]
    private = [column for column in others if _is_private(column, sample.values(column))]
    kept = [column for column in others if column not in private]
    if kept:
        yield ""
        yield "# TODO: keep what helps to find a request again, and move the rest to `drop`."
        yield "metadata:"
        yield from (f"  {_key(column)}: {_quoted(column)}" for column in kept)
    if private:
        yield ""
        yield "# These look like prompts, answers, keys or personal data: their values are never kept."
        yield "drop:"
        yield from (f"  - {_quoted(column)}" for column in private)


def _chosen(sample: _Sample) -> dict[str, str]:
    """Return a column for each field that one of the columns is probably meant for."""
    plain = {
        re.sub(r"[^a-z0-9]", "", IN_CENTS.sub("", column.lower().replace("_", " "))): column
        for column in reversed(sample.columns)
    }
    chosen: dict[str, str] = {}
    for field, names in SYNONYMS.items():
        for name in names:
            column = plain.get(name)
            if column is None or (column in chosen.values() and field != "request_id"):
                continue
            if field in COUNTS and not all(NUMBER.fullmatch(value) for value in sample.values(column)):
                continue
            if field in ("amount", "provider_cost") and not all(map(_is_amount, sample.values(column))):
                continue
            chosen[field] = column
            break
    return _by_values(sample) | chosen


def _by_values(sample: _Sample) -> dict[str, str]:
    """Return the first column of times, and the first one whose words are all different, whichever names they
    have.
    """
    found: dict[str, str] = {}
    for column in sample.columns:
        values = sample.values(column)
        if not values or PRIVATE.search(column):
            continue
        is_epoch = all(EPOCH.fullmatch(value) for value in values)
        if is_epoch or all(PLAIN_TIME.fullmatch(value) for value in values) or _formats(values):
            found.setdefault("timestamp", column)
        elif len(set(values)) == len(sample.rows) and not all(map(_is_amount, values)):
            found.setdefault("id", column)
    return found


def _formats(values: Sequence[str]) -> list[str]:
    """Return the formats that fit all of these times."""
    return [one for one in TIME_FORMATS if all(_parses(value, one) for value in values)]


def _is_private(column: str, values: Sequence[str]) -> bool:
    """Check whether a column looks like prompts, answers, keys or personal data, by name or words."""
    if COUNTS_TOKENS.search(column) and values and all(NUMBER.fullmatch(value) for value in values):
        return False
    return PRIVATE.search(column) is not None or any(
        len(value) > 60 or value.count(" ") > 2 or "@" in value for value in values
    )


def _is_amount(text: str) -> bool:
    return NUMBER.fullmatch(text) is not None or DECIMAL_COMMA.fullmatch(text) is not None


def _fields(sample: _Sample, chosen: Mapping[str, str]) -> Iterator[str]:
    yield _id(chosen)
    yield from _type(sample, chosen)
    yield _time("timestamp", sample, chosen.get("timestamp"))
    if "updated_at" in chosen:
        yield _time("updated_at", sample, chosen["updated_at"])
    if "status" in chosen:
        yield _words("status", sample.values(chosen["status"]), chosen["status"], STATUSES)
    else:
        yield "# TODO: without a line for status, every row is settled"
    if "user" in chosen:
        yield f"user: {{coalesce: [{_quoted(chosen['user'])}, {{constant: unattributed}}]}}"
    else:
        yield "user: {constant: unattributed}  # TODO: the column that says who used it"
    yield "paywall: {constant: main}  # TODO: a name for the product or key whose usage this is"
    for field in ("amount", "provider_cost"):
        if field in chosen:
            yield f"{field}: {_money(sample.values(chosen[field]), chosen[field])}"
    if "amount" not in chosen and "provider_cost" not in chosen:
        yield (
            "amount: TODO_amount  # TODO: the column with the price, or provider_cost for the cost; of cents,"
            " {shift: column, places: -2}"
        )
    if "currency" in chosen:
        yield f"currency: {_quoted(chosen['currency'])}"
    else:
        yield "currency: {constant: usd}  # TODO: the currency of the amounts"
    yield from (
        f"{name}: {_quoted(chosen[name])}" for name in ("model", "request_id", *COUNTS) if name in chosen
    )
    if "model" not in chosen:
        yield "# TODO: model: the column with the model"
    if not set(COUNTS) & set(chosen):
        yield "# TODO: prompt_tokens and completion_tokens: the columns that count tokens"


def _id(chosen: Mapping[str, str]) -> str:
    if "id" in chosen:
        return (
            f"id: {_quoted(chosen['id'])}  # TODO: unique over all sources; put a name before it with concat"
        )
    return "id: TODO_id  # TODO: what identifies a row, such as {concat: [time, user]}; it must never repeat"


def _type(sample: _Sample, chosen: Mapping[str, str]) -> Iterator[str]:
    words = sample.values(chosen["type"]) if "type" in chosen else []
    if words and any(_guess(word, TYPES) for word in words):
        yield _words("type", words, chosen["type"], TYPES)
        return
    yield "type: {constant: charge}"
    yield "billing: {constant: postpaid}  # without deposits; remove the line if users prepay"


def _words(field: str, values: Sequence[str], column: str, known: Mapping[str, str]) -> str:
    """Return a field whose words are translated, one pair for each word that the sample has."""
    words = list(dict.fromkeys(values))[:20]
    guesses = {word: found for word in words if (found := _guess(word, known))}
    if all(word.lower() in known for word in words):
        return f"{field}: {_quoted(column)}"
    if not guesses:
        # Words of another language, for example.
        listed = ", ".join(" ".join(word.split()) for word in words)
        meant = f"words: {{…}}}}: say which of {', '.join(known)} means {listed}"
        return f"{field}: {_quoted(column)}  # TODO: {{translate: {_quoted(column)}, {meant}"
    pairs = ", ".join(f"{_quoted(word)}: {found}" for word, found in guesses.items())
    # A word that is left out is rejected by its name, which is safer than a guess.
    missing = ", ".join(word for word in words if word not in guesses)
    more = f"; add {missing}" if missing else ""
    return f"{field}: {{translate: {_quoted(column)}, words: {{{pairs}}}}}  # TODO: check each word{more}"


def _guess(word: str, known: Mapping[str, str]) -> str | None:
    return next((name for name, pattern in known.items() if re.search(pattern, word, re.IGNORECASE)), None)


def _time(field: str, sample: _Sample, column: str | None) -> str:
    if column is None:
        return f"{field}: {{time: TODO_time, zone: UTC}}  # TODO: the column that says when it happened"
    values = sample.values(column)
    name = _quoted(column)
    if values and all(re.fullmatch(r"\d{9,10}(\.\d+)?", value) for value in values):
        return f"{field}: {{epoch: {name}, unit: s}}"
    if values and all(re.fullmatch(r"\d{12,13}(\.\d+)?", value) for value in values):
        return f"{field}: {{epoch: {name}, unit: ms}}"
    if all(PLAIN_TIME.fullmatch(value) for value in values):
        if values and all(WITH_OFFSET.fullmatch(value) for value in values):
            return f"{field}: {{time: {name}}}"
        return f"{field}: {{time: {name}, zone: UTC}}  # TODO: the time zone of the export"
    if fitting := _formats(values):
        also = f"; {fitting[1]} fits, too" if len(fitting) > 1 else ""
        return f'{field}: {{time: {name}, format: "{fitting[0]}", zone: UTC}}  # TODO: the time zone{also}'
    return f'{field}: {{time: {name}, format: "TODO", zone: UTC}}  # TODO: the format of {values[0][:40]!r}'


def _parses(text: str, pattern: str) -> bool:
    try:
        datetime.strptime(text, pattern)  # noqa: DTZ007  only the form matters
    except ValueError:
        return False
    return True


def _money(values: Sequence[str], column: str) -> str:
    name = _quoted(column)
    if IN_CENTS.search(column.replace("_", " ")):
        return f"{{shift: {name}, places: -2}}  # TODO: are these cents?"
    # A number with an exponent, or of more digits than money has, is a float.
    if any("e" in value.lower() or len(value.partition(".")[2]) > 8 for value in values):
        return f"{{float: {name}}}"
    if any(value.startswith("-") for value in values):
        return f"{{absolute: {name}}}  # TODO: only adjustments are signed"
    return name


def _key(column: str) -> str:
    # Without accents: `Währung` becomes `wahrung`.
    letters = unicodedata.normalize("NFKD", column.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", letters).strip("_") or "column"


def _quoted(text: str) -> str:
    """Return a text as YAML: plain if nothing in it has a meaning of its own, else with quotes."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", text) and text.lower() not in (
        *("yes", "no", "true", "false", "on", "off", "null", "y", "n"),
    ):
        return text
    return json.dumps(text, ensure_ascii=False)
