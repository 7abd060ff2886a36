"""Every model of a cluster has a form for Spark that is one statement of Spark's SQL.

`make test` knows no more about Spark, which takes minutes: whether the form says the same as DuckDB's,
`make test-spark` tests in `test_cluster.py`.
"""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
import sqlglot
from sqlglot import exp

from warehouse.dbt_runner import PROJECT

# Views that the published file has and a cluster has not (`describe_marts`).
OF_THE_FILE = {"rpt_focus"}
MODELS = sorted(model for model in (PROJECT / "models").rglob("*.sql") if model.stem not in OF_THE_FILE)
MACRO = re.compile(r"\{%-?\s*macro\s+(\w+).*?\{%-?\s*endmacro\s*-?%\}", re.DOTALL)
# Functions of Spark 3.5 that sqlglot does not know as such.
OF_SPARK = {"xxhash64"}


class ReturnedError(Exception):
    """What dbt's `return` does: it ends a macro, whose value need not be a text."""

    def __init__(self, value: Any) -> None:
        self.value = value


def give_back(value: Any) -> None:
    raise ReturnedError(value)


def macro_of(environment: jinja2.Environment, name: str, text: str) -> Callable[..., Any]:
    """A macro that finds all others when it is called."""

    def called(*arguments: Any, **named: Any) -> Any:
        try:
            return getattr(environment.from_string(text).make_module(), name)(*arguments, **named)
        except ReturnedError as returned:
            return returned.value

    return called


class Adapter:
    """What models and macros ask dbt's adapter of."""

    def __init__(self, macros: dict[str, Any], *, has_tables: bool) -> None:
        self._macros, self._has_tables = macros, has_tables

    def dispatch(self, name: str, _: str) -> Any:
        """The form for Spark, or the one for every engine."""
        found = [form for prefix in ("spark", "default") if (form := self._macros.get(f"{prefix}__{name}"))]
        assert found, f"the macro {name} has no form for Spark"
        return found[0]

    def get_relation(self, **_: str) -> object | None:
        return object() if self._has_tables else None


def rendered(model: Path, *, incremental: bool) -> str:
    """The text of a model as dbt sends it to a cluster that has no table yet, or all of them."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, extensions=["jinja2.ext.do"])
    macros = environment.globals
    macros |= {
        "adapter": Adapter(macros, has_tables=incremental),
        "config": lambda **_: "",
        "env_var": lambda _, default: default,
        "execute": True,
        "flags": SimpleNamespace(WHICH="build", FULL_REFRESH=not incremental),
        "is_incremental": lambda: incremental,
        "ref": lambda name: f"marts.{name}",
        "return": give_back,
        "source": lambda schema, table: f"{schema}.{table}",
        "target": SimpleNamespace(database=None, schema="marts"),
        "this": f"marts.{model.stem}",
    }
    for file in (PROJECT / "macros").rglob("*.sql"):
        for found in MACRO.finditer(file.read_text(encoding="utf-8")):
            macros[found[1]] = macro_of(environment, found[1], found[0])
    return environment.from_string(model.read_text(encoding="utf-8")).render()


@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.stem)
def test_a_model_is_a_query_of_spark(model: Path, incremental: bool) -> None:
    [query] = sqlglot.parse(rendered(model, incremental=incremental), dialect="spark")
    assert isinstance(query, exp.Query)
    unknown = {function.name.lower() for function in query.find_all(exp.Anonymous)}
    assert unknown <= OF_SPARK
