"""The price book: the provider and the rates of each model, from `genai-prices` and the operator's own rates.

The operator's rates override the built-in ones. The result is a snapshot: `models` and `model_rates` for
every model text in the lake, `markups`, and the names in provider bills (`warehouse/bill_names.py`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from itertools import takewhile
from pathlib import Path
from typing import Any

import genai_prices
import pyarrow as pa
import pyarrow.parquet as pq
from genai_prices import types as genai

from ingestion.lake.batches import Lake, Manifest
from ingestion.lake.row_limits import RowLimits
from ingestion.model_names import book_model, look_up, model_identity
from ingestion.sources.bills.names import provider_aliases
from ingestion.sources.prices import MAX_RATE_DECIMALS
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.files import replace_file
from paywall_warehouse.settings import Settings
from warehouse.bill_names import (
    BILL_PROVIDERS_SCHEMA,
    BILL_SCOPES_SCHEMA,
    BILLED_MODELS_SCHEMA,
    BilledModel,
    BillProvider,
    BillScope,
    bill_providers,
    bill_scopes,
    billed_models,
)
from warehouse.markups import Markup, landed_markups, resolve_markups
from warehouse.price_book_files import inputs_digest, noted_inputs

MILLION_PLACES = 6
RATE_QUANTUM = Decimal(1).scaleb(-(MAX_RATE_DECIMALS + MILLION_PLACES))
FEE_QUANTUM = Decimal(1).scaleb(-12)
# Prices of some models depend on the hour. The price book has one rate a day: that of the hour in which
# providers' day rates apply.
PRICED_AT = time(12, tzinfo=UTC)

RATE = pa.decimal128(18, 15)
MODELS_SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("model_id", pa.string()),
        ("provider", pa.string()),
        ("model_name", pa.string()),
        ("in_price_book", pa.bool_()),
        ("book_model", pa.string()),
    ]
)
MARKUPS_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("model_id", pa.string()),
        ("effective_from", pa.date32()),
        ("effective_to", pa.date32()),
        ("multiplier", pa.decimal128(38, 12)),
        ("per_request", pa.decimal128(38, 12)),
    ]
)
RATES_SCHEMA = pa.schema(
    [
        ("model_id", pa.string()),
        ("effective_from", pa.date32()),
        ("effective_to", pa.date32()),
        ("min_prompt_tokens", pa.int64()),
        ("max_prompt_tokens", pa.int64()),
        ("prompt_rate", RATE),
        ("completion_rate", RATE),
        ("cached_prompt_rate", RATE),
        ("request_fee", pa.decimal128(18, 12)),
        ("currency", pa.string()),
        ("source", pa.string()),
    ]
)


@dataclass(frozen=True)
class Model:
    """A model text of the ledger and the model that it names."""

    model: str
    model_id: str
    provider: str | None
    model_name: str
    in_price_book: bool
    book_model: str | None
    """The model of the built-in price book, by which names of one model are known as such."""


@dataclass(frozen=True)
class Rate:
    """The rates per token and the fee per request of one model in one currency.

    They apply to the reporting days `[effective_from, effective_to)` and to a range of prompt tokens. A
    missing bound is open. A rate of None is unknown, never 0. Cached tokens without a rate of their own cost
    `prompt_rate`, because they are part of the prompt.
    """

    model_id: str
    effective_from: date | None
    effective_to: date | None
    min_prompt_tokens: int
    max_prompt_tokens: int | None
    prompt_rate: Decimal | None
    completion_rate: Decimal | None
    cached_prompt_rate: Decimal | None
    request_fee: Decimal
    currency: str
    source: str


@dataclass(frozen=True)
class PriceBook:
    """The number of resolved model texts, and of those that have rates."""

    models: int
    priced: int


def resolve_price_book(settings: Settings) -> PriceBook:
    """Resolve every model text of the lake and write the snapshot. Unchanged files are not rewritten."""
    with settings.home.writing():
        lake = Lake(settings.home)
        manifests = lake.manifests()
        texts = sorted({text for manifest in manifests for text in manifest.models})
        overrides = _overrides(lake, settings)
        models, rates = resolve(texts, overrides)
        lake.price_book.mkdir(parents=True, exist_ok=True)
        providers = bill_providers(lake)
        tables: Iterable[tuple[str, list[Any], type[Any], pa.Schema]] = (
            ("models", models, Model, MODELS_SCHEMA),
            ("model_rates", rates, Rate, RATES_SCHEMA),
            ("markups", resolve_markups(landed_markups(lake)), Markup, MARKUPS_SCHEMA),
            ("bill_providers", providers, BillProvider, BILL_PROVIDERS_SCHEMA),
            ("bill_scopes", bill_scopes(lake, providers), BillScope, BILL_SCOPES_SCHEMA),
            ("billed_models", billed_models(lake, providers), BilledModel, BILLED_MODELS_SCHEMA),
        )
        with noted_inputs(lake, inputs_digest(settings, manifests)):
            for table, rows, kind, schema in tables:
                _write(lake.price_book / f"{table}.parquet", rows, kind, schema)
    return PriceBook(models=len(models), priced=sum(model.in_price_book for model in models))


def resolved_batches(lake: Lake) -> list[Manifest]:
    """Return the batches before the first one with a model text that is missing in the price book.

    Workers committed that batch after the price book was resolved.
    """
    known = set(pq.read_table(lake.price_book / "models.parquet", columns=["model"])["model"].to_pylist())
    return list(takewhile(lambda manifest: known.issuperset(manifest.models), lake.manifests()))


def resolve(texts: Iterable[str], overrides: list[Rate]) -> tuple[list[Model], list[Rate]]:
    """Return the model of each text, and the rates of each of these models.

    Rates of one model and currency do not overlap.
    """
    models, rates, aliases = [], {}, provider_aliases()
    for text in texts:
        model_id, provider, name = model_identity(text)
        if model_id not in rates:
            own = [override for override in overrides if override.model_id.lower() == model_id.lower()]
            rates[model_id] = _merge_by_currency(model_id, own, list(_built_in_rates(model_id, text)))
        book = book_model(aliases.get(provider, provider), name) if provider else None
        models.append(Model(text, model_id, provider, name, bool(rates[model_id]), book))
    return models, [rate for model_id in sorted(rates) for rate in rates[model_id]]


def _built_in_rates(model_id: str, text: str) -> Iterator[Rate]:
    found = look_up(text)
    if found is None:
        return
    prices = found[1].prices
    dated = prices if isinstance(prices, list) else [genai.ConditionalPrice(prices=prices)]
    starts = sorted(
        {
            price.constraint.start_date
            for price in dated
            if isinstance(price.constraint, genai.StartDateConstraint)
        }
    )
    # Before the first dated change the undated price applies. `get_prices` chooses the price of a day.
    for start, end in zip([None, *starts], [*starts, None], strict=True):
        day = start or date.min
        price = found[1].get_prices(datetime.combine(day, PRICED_AT))
        yield from _rates_of(price, model_id, start, end)


def _rates_of(price: genai.ModelPrice, model_id: str, start: date | None, end: date | None) -> Iterator[Rate]:
    priced = (price.input_mtok, price.output_mtok, price.cache_read_mtok, price.requests_kcount)
    if all(value is None for value in priced):
        return
    tiers = sorted(
        {tier.start for value in priced if isinstance(value, genai.TieredPrices) for tier in value.tiers}
    )
    # A tier applies to prompts of more than `start` tokens, and then to all their tokens.
    bounds = [0, *(tier + 1 for tier in tiers)]
    for low, high in zip(bounds, [*bounds[1:], None], strict=True):
        prompt, completion, cached, requests = (_price_at(value, low) for value in priced)
        yield Rate(
            model_id=model_id,
            effective_from=start,
            effective_to=end,
            min_prompt_tokens=low,
            max_prompt_tokens=high,
            prompt_rate=_per_token_or_none(prompt),
            completion_rate=_per_token_or_none(completion),
            cached_prompt_rate=_per_token_or_none(cached),
            request_fee=((requests or Decimal(0)) / 1000).quantize(FEE_QUANTUM, ROUND_HALF_UP),
            currency="usd",
            source=f"genai-prices {genai_prices.__version__}",
        )


def _price_at(value: Any, prompt_tokens: int) -> Decimal | None:
    if not isinstance(value, genai.TieredPrices):
        return value  # type: ignore[no-any-return]
    reached = [tier.price for tier in value.tiers if prompt_tokens > tier.start]
    return reached[-1] if reached else value.base


def per_token(per_million: Decimal) -> Decimal:
    """Convert a rate per million tokens to a rate per token, rounded to 15 decimals."""
    return per_million.scaleb(-MILLION_PLACES).quantize(RATE_QUANTUM, ROUND_HALF_UP)


def _per_token_or_none(per_million: Decimal | None) -> Decimal | None:
    return None if per_million is None else per_token(per_million)


def _overrides(lake: Lake, settings: Settings) -> list[Rate]:
    files = lake.parquet_files("provider_rates", lake.manifests())
    if not files:
        return []
    query = f"""select
            model, effective_from, effective_to,
            prompt_per_million, completion_per_million, cached_prompt_per_million, per_request,
            currency
        from read_parquet($files, hive_partitioning = false)
        where not ({RowLimits.of(settings).broken("provider_rates")})
        order by effective_from, batch_seq, file_no, line"""
    with open_duckdb() as connection:
        rows = connection.execute(query, {"files": [str(file) for file in files]}).fetchall()
    return [_override(settings.default_currency, *row) for row in rows]


def _override(
    default_currency: str,
    model: str,
    effective_from: date,
    effective_to: date | None,
    prompt: Decimal | None,
    completion: Decimal | None,
    cached: Decimal | None,
    request: Decimal | None,
    currency: str | None,
) -> Rate:
    return Rate(
        model_id=model_identity(model)[0],
        effective_from=effective_from,
        effective_to=effective_to,
        min_prompt_tokens=0,
        max_prompt_tokens=None,
        prompt_rate=_per_token_or_none(prompt),
        completion_rate=_per_token_or_none(completion),
        cached_prompt_rate=_per_token_or_none(cached),
        request_fee=request or Decimal(0),
        currency=currency or default_currency,
        source="prices/",
    )


def _merge_by_currency(model_id: str, overrides: list[Rate], built_in: list[Rate]) -> list[Rate]:
    """Return the rates of one model. An override replaces only rates in its own currency."""
    merged = []
    for currency in sorted({rate.currency for rate in (*overrides, *built_in)}):
        own, known = (
            [rate for rate in rates if rate.currency == currency] for rates in (overrides, built_in)
        )
        merged += _merge(model_id, own, known)
    return merged


def _merge(model_id: str, overrides: list[Rate], built_in: list[Rate]) -> list[Rate]:
    """Return the rates of one model and currency: the built-in rates, except on days with an override.

    If several overrides cover a day, the one with the latest start applies. If they start on the same day,
    the one that landed last applies.
    """
    bounds: set[date | None] = {None}
    for rate in (*overrides, *built_in):
        bounds |= {rate.effective_from, rate.effective_to}
    edges = sorted(bound for bound in bounds if bound is not None)
    merged = []
    for start, end in zip([None, *edges], [*edges, None], strict=True):
        own = [rate for rate in overrides if _covers(rate, start)]
        chosen = own[-1:] or [rate for rate in built_in if _covers(rate, start)]
        merged += [
            replace(rate, model_id=model_id, effective_from=start, effective_to=end) for rate in chosen
        ]
    return merged


def _covers(rate: Rate, start: date | None) -> bool:
    """Check whether the rate applies from `start` (None: the beginning) to the next edge."""
    if start is None:
        return rate.effective_from is None
    begun = rate.effective_from is None or rate.effective_from <= start
    return begun and (rate.effective_to is None or start < rate.effective_to)


def _write(path: Path, rows: list[Any], kind: type[Any], schema: pa.Schema) -> None:
    columns = zip(*(astuple(row) for row in rows), strict=True) if rows else [[] for _ in fields(kind)]
    table = pa.table(
        [pa.array(list(values), schema.field(place).type) for place, values in enumerate(columns)],
        schema=schema,
    )
    if path.exists() and pq.read_table(path).equals(table):
        return
    replace_file(path, lambda partial: pq.write_table(table, partial))
