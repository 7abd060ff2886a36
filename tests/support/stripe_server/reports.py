"""The CSV file of a report run, computed from the books."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal, Inexact
from functools import reduce
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.stripe_server.books import PRIVATE, Books, Row, as_datetime, unix_seconds
from tests.support.stripe_server.report_types import ACTIVITY, PAYOUTS, PRIVATE_COLUMNS, ReportType

TIMES = ("created", "available_on", "charge_created", "effective_at", "automatic_payout_effective_at")
DATED_BY = {report.source: report.dated_by for report in (ACTIVITY, PAYOUTS)}
# Wide enough for any sum of any book; a sum that is not exact is an error, not a rounded number.
EXACT = Context(prec=100, traps=[Inexact])


def report_csv(
    report_type: ReportType,
    parameters: Mapping[str, Any],
    books: Books,
    *,
    bom: bool = False,
    crlf: bool = False,
    details: bool = False,
) -> bytes:
    """The file: a header with the requested columns (else the default ones) in the requested order, and the
    rows of the interval.
    """
    columns = parameters.get("columns") or list(report_type.default_columns)
    if report_type.source:
        zone = ZoneInfo(parameters.get("timezone", "Etc/UTC"))
        lines = [
            [_cell(row, column, zone) for column in columns] for row in _rows(report_type, parameters, books)
        ]
    else:
        lines = [
            [row[column] for column in columns] for row in balance_summary(parameters, books, details=details)
        ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n" if crlf else "\n").writerows([columns, *lines])
    return text.getvalue().encode("utf-8-sig" if bom else "utf-8")


def balance_summary(parameters: Mapping[str, Any], books: Books, *, details: bool = False) -> Iterator[Row]:
    """Opening balance, net activity, payouts and closing balance of the interval, a block a currency."""
    start, end = parameters["interval_start"], parameters["interval_end"]
    for currency in _currencies(books):
        if parameters.get("currency", currency) != currency:
            continue
        opening = Decimal(books.opening_balances.get(currency, "0"))
        before = _sum(
            [
                opening,
                *_amounts(books, "activity", currency, None, start),
                *_amounts(books, "payouts", currency, None, start),
            ]
        )
        total = {
            (source, name): _sum(_amounts(books, source, currency, start, end, name))
            for source in ("activity", "payouts")
            for name in ("gross", "fee", "net")
        }
        activity, payouts = total["activity", "net"], total["payouts", "net"]
        blocks = [
            ("starting_balance", f"Starting balance ({_day(start)})", before),
            ("activity_gross", "Activity, gross", total["activity", "gross"]),
            ("activity_fee", "Activity, fees", total["activity", "fee"]),
            ("activity", "Activity", activity),
            ("payouts_gross", "Payouts, gross", total["payouts", "gross"]),
            ("payouts_fee", "Payouts, fees", total["payouts", "fee"]),
            ("payouts", "Total payouts", payouts),
            ("ending_balance", f"Ending balance ({_day(end)})", _sum([before, activity, payouts])),
        ]
        for category, description, amount in blocks:
            if details or not category.endswith(("_gross", "_fee")):
                yield {
                    "category": category,
                    "description": description,
                    "net_amount": f"{amount:f}",
                    "currency": currency,
                }


def _rows(report_type: ReportType, parameters: Mapping[str, Any], books: Books) -> Iterator[Row]:
    for row in getattr(books, report_type.source):
        filters = {
            name: parameters[name] for name in ("currency", "reporting_category") if name in parameters
        }
        inside = _within(row, report_type.dated_by, parameters["interval_start"], parameters["interval_end"])
        if inside and all(row.get(name) == wanted for name, wanted in filters.items()):
            yield row


def _within(row: Row, dated_by: str, start: int | None, end: int) -> bool:
    """Start inclusive, end exclusive, as Stripe's intervals are."""
    text = _time(row, dated_by)
    return bool(text) and (start is None or start <= unix_seconds(text)) and unix_seconds(text) < end


def _amounts(
    books: Books, source: str, currency: str, start: int | None, end: int, name: str = "net"
) -> Iterator[Decimal]:
    for row in getattr(books, source):
        if row.get("currency") == currency and _within(row, DATED_BY[source], start, end):
            yield Decimal(row[name])


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return reduce(EXACT.add, amounts, Decimal(0))


def _currencies(books: Books) -> list[str]:
    return sorted({*books.opening_balances, *(row["currency"] for row in [*books.activity, *books.payouts])})


def _cell(row: Row, column: str, zone: ZoneInfo) -> str:
    base = column.removesuffix("_utc")
    if base in TIMES:
        text = _time(row, base)
        shown = UTC if column.endswith("_utc") else zone
        return f"{as_datetime(text).astimezone(shown):%Y-%m-%d %H:%M:%S}" if text else ""
    return row.get(column, PRIVATE if column in PRIVATE_COLUMNS else "")


def _time(row: Row, base: str) -> str:
    return row.get(f"{base}_utc") or row.get(base) or ""


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
