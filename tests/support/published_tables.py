"""The published warehouse as plain rows, and how they are compared with those of the oracle."""

import hashlib
import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from hypothesis import HealthCheck, Phase, settings as hypothesis_settings

from tests.support.oracle import (
    Either,
    Row,
    Rows,
)


def few(examples: int) -> hypothesis_settings:
    """No shrinking: a smaller ledger says no more than the seed, and each try is a whole run."""
    return hypothesis_settings(
        max_examples=max(1, examples),
        derandomize="ORACLE_EXAMPLES" not in os.environ,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


class Published:
    """The published warehouse as plain rows: instants in UTC, money as Decimal."""

    def __init__(self, home: Path) -> None:
        self.path = home / "published" / "warehouse.duckdb"

    def rows(self, source: str) -> list[Row]:
        with duckdb.connect(str(self.path), read_only=True) as db:
            shape = db.execute(f"describe select * from {source}").fetchall()
            columns = [
                f'epoch_us("{name}")' if kind == "TIMESTAMP WITH TIME ZONE" else f'"{name}"'
                for name, kind, *_ in shape
            ]
            instants = {name for name, kind, *_ in shape if kind == "TIMESTAMP WITH TIME ZONE"}
            names = [name for name, *_ in shape]
            found = db.execute(f"select {', '.join(columns)} from {source}").fetchall()
        rows = [dict(zip(names, values, strict=True)) for values in found]
        for row in rows:
            for name in instants:
                row[name] = instant_of(row[name])
        return rows

    def table(self, source: str, grain: Sequence[str]) -> Rows:
        rows = self.rows(source)
        by_key = {tuple(row[name] for name in grain): row for row in rows}
        assert len(by_key) == len(rows), (
            f"{source}: {len(rows) - len(by_key)} rows too many for the grain {grain}"
        )
        return by_key

    def marts(self) -> dict[str, list[str]]:
        """Every table of `marts`, each as sorted text: equal means equal row for row."""
        with duckdb.connect(str(self.path), read_only=True) as db:
            names = db.execute(
                "select table_name from information_schema.tables where table_schema = 'marts' order by 1"
            ).fetchall()
        return {name: sorted(map(str, self.rows(f"marts.{name}"))) for (name,) in names}

    def digest(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def instant_of(microseconds: int | None) -> datetime | None:
    return (
        None
        if microseconds is None
        else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    )


# A row in which nothing counts may be there or not.
SPARSE = {"daily_revenue", "user_days", "rpt_models"}


def same(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, Either):
        return any(same(one, found) for one in wanted.values)
    if isinstance(wanted, float) and isinstance(found, float):
        return math.isclose(wanted, found, rel_tol=1e-12, abs_tol=1e-12)
    if (
        isinstance(wanted, float)
        or isinstance(found, float)
        or isinstance(wanted, bool) != isinstance(found, bool)
    ):
        return False
    return bool(wanted == found)


def is_idle(row: Row) -> bool:
    """No count and no sum in the row: its text and dates do not matter."""
    return all(
        v is None or v in (0, 0.0, False) or (isinstance(v, Either) and 0 in v.values) for v in row.values()
    )


def differences(name: str, wanted: Rows, found: Rows, limit: int = 5) -> str:
    """The first differing keys with both values, or nothing."""
    if name in SPARSE and wanted:
        names = next(iter(wanted.values())).keys()
        wanted = {key: row for key, row in wanted.items() if not is_idle(row)}
        found = {
            k: row for k, row in found.items() if k in wanted or not is_idle({n: row.get(n) for n in names})
        }
    lines = []
    for key in sorted(wanted.keys() | found.keys(), key=str):
        if key not in found:
            lines.append(f"  {key}: missing, expected {wanted[key]}")
        elif key not in wanted:
            lines.append(f"  {key}: not expected, published {found[key]}")
        else:
            cells = [
                f"{column}: expected {value!r}, published {found[key].get(column, 'NO SUCH COLUMN')!r}"
                for column, value in wanted[key].items()
                if not same(value, found[key].get(column, "NO SUCH COLUMN"))
            ]
            lines += [f"  {key}\n    " + "\n    ".join(cells)] if cells else []
    if not lines:
        return ""
    rest = f"\n  ... and {len(lines) - limit} more" if len(lines) > limit else ""
    return f"{name}: {len(lines)} of {len(wanted)} rows differ\n" + "\n".join(lines[:limit]) + rest
