"""The expressions of a mapping, which say what a field of the ledger entry is made of, as SQL.

An expression is the name of a column, or an object with one function, such as `{lower: status}`.
docs/mappings.md lists the functions.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import duckdb

from ingestion.validation.fields import json_path
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.quoting import literal
from paywall_warehouse.settings import SettingsError, known_timezones

MAX_DEPTH: Final = 20
STEP: Final = re.compile(r"\bs_[0-9]+\b")
EPOCH_UNITS: Final = ("s", "ms")


class MappingError(SettingsError):
    """A mapping that cannot be used. The message names the file, the place in it, and the remedy."""


@dataclass(frozen=True)
class Value:
    """What an expression yields, as SQL over the texts of a record."""

    text: str
    """The text as the record states it; NULL if it states nothing."""
    typed: str | None = None
    """The instant or the amount, where the text alone does not say it; NULL if the text is none."""
    is_rounded: str = "false"
    """Whether the amount was rounded."""
    columns: frozenset[str] = frozenset()
    """The columns that it is made of, without those that conditions compare."""


@dataclass
class Columns:
    """The columns that a mapping reads, and the names that their texts have in SQL."""

    scalars: dict[str, str] = field(default_factory=dict)
    """The names of columns that are read as a whole."""
    objects: dict[str, str] = field(default_factory=dict)
    """The names of columns of whose JSON parts are read."""
    stated: set[str] = field(default_factory=set)
    """The columns that become part of an entry. The others are only compared."""
    parts: dict[tuple[str, str], str] = field(default_factory=dict)
    """SQL for each part of a JSON column that becomes part of an entry."""

    steps: dict[str, str] = field(default_factory=dict)
    """SQL for values that are computed once and used by name, with their names. Without them a nested mapping
    would become a query that takes seconds to plan.
    """

    def step(self, sql: str) -> str:
        """Return the name of a value that is computed once."""
        return self.steps.setdefault(sql, f"s_{len(self.steps)}")

    def layers(self) -> list[list[str]]:
        """Return the steps in layers: those of one use only the columns and the layers before."""
        depth: dict[str, int] = {}
        for sql, name in self.steps.items():
            depth[name] = 1 + max((depth.get(used, -1) for used in STEP.findall(sql)), default=-1)
        layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
        for sql, name in self.steps.items():
            layers[depth[name]].append(f"{sql} as {name}")
        return layers

    def text(self, column: str) -> str:
        """Return SQL for the text of a column."""
        return f"f_{self.scalars.setdefault(column, f'c{len(self.scalars)}')}"

    def object_text(self, column: str) -> str:
        """Return SQL for the JSON text of a column."""
        return f"j_{self.objects.setdefault(column, f'o{len(self.objects)}')}"

    @property
    def all(self) -> tuple[str, ...]:
        """Return every column that is read, in the order of the mapping."""
        return tuple(dict.fromkeys([*self.scalars, *self.objects]))


class Compiler:
    """Turns the expressions of one mapping into SQL, and collects the columns that they read."""

    def __init__(self) -> None:
        self.columns = Columns()
        self._places: list[str] = []
        self._compares = False
        self._functions: dict[str, Callable[[Any, Mapping[str, Any]], Value]] = {
            "column": self._column,
            "constant": self._constant,
            "coalesce": self._coalesce,
            "concat": self._concat,
            "lower": self._lower,
            "case": self._case,
            "translate": self._translate,
            "time": self._time,
            "epoch": self._epoch,
            "sum": self._sum,
            "float": self._float,
            "negate": self._negate,
            "absolute": self._absolute,
            "shift": self._shift,
            "minor_units": self._minor_units,
        }
        self._companions = {
            "column": {"path"},
            "translate": {"words", "else"},
            "case": {"else"},
            "time": {"zone", "format"},
            "epoch": {"unit"},
            "shift": {"places"},
            "minor_units": {"currency"},
        }

    @contextmanager
    def at(self, place: str | int) -> Iterator[None]:
        """Name the place in the mapping for the errors of what is read inside."""
        self._places.append(
            f"[{place}]" if isinstance(place, int) else f".{place}" * bool(self._places) or str(place)
        )
        try:
            yield
        finally:
            self._places.pop()

    def fault(self, message: str) -> MappingError:
        """Return an error at the current place."""
        return MappingError(f"{''.join(self._places)}: {message}")

    def value(self, node: object) -> Value:
        """Return the SQL of an expression. Raises `MappingError`."""
        if len(self._places) > MAX_DEPTH:
            raise self.fault(f"expressions are nested more than {MAX_DEPTH} deep; simplify them")
        if isinstance(node, str):
            return self._column(node, {})
        if not isinstance(node, dict) or not node:
            raise self.fault(
                f"{shown(node)} is not an expression: write the name of a column, or a function such as"
                " {lower: status}; a fixed text is {constant: text}"
            )
        names = [name for name in node if name in self._functions]
        if len(names) != 1:
            raise self.fault(self._not_one_function(node, names))
        [name] = names
        more = {key: value for key, value in node.items() if key != name}
        for key in more:
            if key not in self._companions.get(name, ()):
                raise self.fault(f"{shown(key)} does not belong to the function {name}")
        with self.at(name):
            return self._functions[name](node[name], more)

    def condition(self, node: object) -> str:
        """Return SQL for a condition, which is never NULL. Raises `MappingError`."""
        if not isinstance(node, dict):
            raise self.fault(f"{shown(node)} is not a condition such as {{value: type, is: charge}}")
        if len(self._places) > MAX_DEPTH:
            raise self.fault(f"conditions are nested more than {MAX_DEPTH} deep; simplify them")
        for word, joined in (("all", " and "), ("any", " or ")):
            if word in node:
                self._only(node, word)
                with self.at(word):
                    parts = self._list(node[word])
                    return f"({joined.join(self._each(parts, self.condition))})"
        if "not" in node:
            self._only(node, "not")
            with self.at("not"):
                return f"(not {self.condition(node['not'])})"
        if "value" not in node:
            raise self.fault("a condition needs `value`, `all`, `any` or `not`")
        compares, self._compares = self._compares, True
        try:
            with self.at("value"):
                text = self.value(node["value"]).text
        finally:
            self._compares = compares
        tests = [key for key in node if key != "value"]
        if len(tests) != 1 or tests[0] not in _TESTS:
            raise self.fault(f"a condition with `value` has exactly one of {', '.join(_TESTS)}")
        with self.at(tests[0]):
            return self._test(text, tests[0], node[tests[0]])

    def _test(self, text: str, test: str, wanted: object) -> str:
        if test == "in":
            listed = ", ".join(literal(self._word(one)) for one in self._list(wanted))
            return f"coalesce({text} in ({listed}), false)"
        if test == "is":
            return f"coalesce({text} = {literal(self._word(wanted))}, false)"
        if test == "contains":
            return f"coalesce(contains({text}, {literal(self._word(wanted))}), false)"
        if test == "starts_with":
            return f"coalesce(starts_with({text}, {literal(self._word(wanted))}), false)"
        if test == "empty":
            if not isinstance(wanted, bool):
                raise self.fault(f"{shown(wanted)} is neither true nor false")
            return f"({text} is {'' if wanted else 'not '}null)"
        if isinstance(wanted, bool) or not isinstance(wanted, int | str) or not _is_decimal(str(wanted)):
            raise self.fault(f"{shown(wanted)} is not a number; put decimals into quotes, such as '0.5'")
        sign = ">" if test == "above" else "<"
        bound = f"{literal(str(wanted))}::decimal(38, 18)"
        return f"coalesce(is_amount({text}) and coarser({text}) {sign} {bound}, false)"

    def _column(self, name: object, more: Mapping[str, Any]) -> Value:
        name = self._name(name)
        if "path" in more:
            path = more["path"]
            if not isinstance(path, str) or not path:
                raise self.fault(f"{shown(path)} is not a path such as input or amount.value")
            whole = "$" + "".join(json_path(step)[1:] for step in path.split("."))
            sql = self.columns.step(f"json_part({self.columns.object_text(name)}, {literal(whole)})")
            if not self._compares:
                self.columns.parts[name, path] = sql
        else:
            sql = self.columns.text(name)
            if not self._compares:
                self.columns.stated.add(name)
        return Value(sql, columns=frozenset({name}))

    def _constant(self, text: object, more: Mapping[str, Any]) -> Value:
        return Value(literal(self._word(text)))

    def _coalesce(self, nodes: object, more: Mapping[str, Any]) -> Value:
        values = list(self._each(self._list(nodes), self.value))
        return self._first_of([(f"{value.text} is not null", value) for value in values], None)

    def _concat(self, nodes: object, more: Mapping[str, Any]) -> Value:
        values = list(self._each(self._list(nodes), self._plain))
        return Value(f"({' || '.join(value.text for value in values)})", columns=_columns(values))

    def _lower(self, node: object, more: Mapping[str, Any]) -> Value:
        value = self._plain(node)
        return Value(f"lower({value.text})", columns=value.columns)

    def _case(self, branches: object, more: Mapping[str, Any]) -> Value:
        chosen = []
        for number, branch in enumerate(self._list(branches)):
            with self.at(number):
                if not isinstance(branch, dict) or set(branch) != {"when", "then"}:
                    raise self.fault("a branch is {when: condition, then: expression}")
                with self.at("when"):
                    condition = self.condition(branch["when"])
                with self.at("then"):
                    chosen.append((condition, self.value(branch["then"])))
        with self.at("else"):
            return self._first_of(chosen, self.value(more["else"]) if "else" in more else None)

    def _translate(self, node: object, more: Mapping[str, Any]) -> Value:
        value = self._plain(node)
        words = more.get("words")
        if not isinstance(words, dict) or not words:
            raise self.fault("translate needs `words`, such as {Paid: settled}")
        branches = " ".join(
            f"when {literal(self._word(key))} then {literal(self._word(word))}" for key, word in words.items()
        )
        # A word that is not listed stays as it is, so that the rules of the ledger reject it by its name.
        with self.at("else"):
            other = self._plain(more["else"]) if "else" in more else value
        return Value(
            f"(case {value.text} {branches} else {other.text} end)", columns=value.columns | other.columns
        )

    def _time(self, node: object, more: Mapping[str, Any]) -> Value:
        value = self._plain(node)
        zone = more.get("zone", "UTC")
        if not isinstance(zone, str) or zone not in known_timezones():
            near = difflib.get_close_matches(str(zone), known_timezones(), 1)
            raise self.fault(
                f"{shown(zone)} is not a time zone" + (f"; did you mean {near[0]}?" if near else "")
            )
        if "format" not in more:
            return Value(value.text, f"zoned_time({value.text}, {literal(zone)})", columns=value.columns)
        pattern = self._word(more["format"])
        if not _is_time_format(pattern):
            raise self.fault(
                f"format {shown(pattern)} is none that DuckDB's strptime reads, such as %d.%m.%Y %H:%M"
            )
        parsed = f"try_strptime({value.text}, {literal(pattern)})"
        typed = f"({parsed})::timestamptz" if "%z" in pattern else f"timezone({literal(zone)}, {parsed})"
        return Value(value.text, typed, columns=value.columns)

    def _epoch(self, node: object, more: Mapping[str, Any]) -> Value:
        value = self._plain(node)
        unit = more.get("unit", "s")
        if not isinstance(unit, str) or unit not in EPOCH_UNITS:
            raise self.fault(f"unit {shown(unit)} is none of {', '.join(EPOCH_UNITS)}")
        return Value(value.text, f"epoch_time({value.text}, {literal(unit)})", columns=value.columns)

    def _sum(self, nodes: object, more: Mapping[str, Any]) -> Value:
        values = list(self._each(self._list(nodes), self._plain))
        texts = [value.text for value in values]
        # A term that is no number is the result, so that the rule of the field names it.
        bad = " ".join(f"when {text} is not null and not is_amount({text}) then {text}" for text in texts)
        nothing = " and ".join(f"{text} is null" for text in texts)
        plain = " and ".join(f"coalesce(is_plain_decimal({text}), true)" for text in texts)
        short = " + ".join(f"coalesce(cast({text} as decimal(38, 12)), 0)" for text in texts)
        small = " and ".join(f"abs(finest(coalesce({text}, '0'))) < 100000000" for text in texts)
        # Only a sum has more digits than these columns of decimals: with one term, it is the text itself.
        alone = " ".join(
            f"when {' and '.join(f'is_zero({other})' for other in texts if other != text)} then {text}"
            for text in dict.fromkeys(texts)
            if set(texts) != {text}
        )
        fine, coarse = (
            " + ".join(f"{kind}(coalesce({text}, '0'))" for text in texts) for kind in ("finest", "coarser")
        )
        total = self.columns.step(
            f"case when {nothing} then null when {plain} then plain_text({short}) {bad} {alone}"
            f" when {small} then plain_text({fine}) else plain_text({coarse}) end"
        )
        return Value(total, columns=_columns(values))

    def _float(self, node: object, more: Mapping[str, Any]) -> Value:
        value = self._plain(node)
        plain = self.columns.step(f"float_text({value.text})")
        return Value(
            value.text, f"float_money({plain})", f"coalesce(is_rounded({plain}), false)", value.columns
        )

    def _negate(self, node: object, more: Mapping[str, Any]) -> Value:
        return self._changed(node, "negated({})")

    def _absolute(self, node: object, more: Mapping[str, Any]) -> Value:
        return self._changed(node, "ltrim({}, '+-')")

    def _shift(self, node: object, more: Mapping[str, Any]) -> Value:
        places = more.get("places")
        if isinstance(places, bool) or not isinstance(places, int) or not -18 <= places <= 18:
            raise self.fault("shift needs `places`, a whole number from -18 to 18; -2 makes 12.34 of 1234")
        return self._shifted(node, str(places))

    def _minor_units(self, node: object, more: Mapping[str, Any]) -> Value:
        if "currency" not in more:
            raise self.fault(
                "minor_units needs `currency`, an expression such as currency or {constant: usd}"
            )
        with self.at("currency"):
            currency = self._plain(more["currency"])
        return self._shifted(node, self.columns.step(f"-minor_unit_places({currency.text})"))

    def _shifted(self, node: object, places: str) -> Value:
        value = self._plain(node)
        moved = self.columns.step(f"with_exponent({value.text}, {places})")
        return Value(self.columns.step(f"without_exponent({moved})"), columns=value.columns)

    def _changed(self, node: object, sql: str) -> Value:
        """Return a function of the text of an amount."""
        value = self._plain(node)
        return Value(self.columns.step(sql.format(value.text)), columns=value.columns)

    def _plain(self, node: object) -> Value:
        """Return the value of an expression whose text says all, for a function of that text."""
        value = self.value(node)
        if value.typed is not None:
            raise self.fault(
                "`time`, `epoch` and `float` belong around other functions, such as {float: {negate: cost}}"
            )
        return value

    def _first_of(self, branches: Sequence[tuple[str, Value]], other: Value | None) -> Value:
        """Return the value of the first branch whose condition holds."""

        def chosen(parts: Callable[[Value], str], nothing: str) -> str:
            cases = " ".join(f"when {condition} then {parts(value)}" for condition, value in branches)
            return f"(case {cases} else {parts(other) if other else nothing} end)"

        values = [value for _, value in branches] + ([other] if other else [])
        typed = None
        if any(value.typed is not None for value in values):
            if any(value.typed is None for value in values):
                raise self.fault(
                    "either all of the alternatives are `time`, `epoch` or `float`, or none of them"
                )
            typed = chosen(lambda value: value.typed or "null", "null")
        rounded = (
            chosen(lambda value: value.is_rounded, "false")
            if any(value.is_rounded != "false" for value in values)
            else "false"
        )
        text = self.columns.step(chosen(lambda value: value.text, "null"))
        return Value(text, typed, rounded, _columns(values))

    def _each(self, nodes: Sequence[object], read: Callable[[object], Any]) -> Iterator[Any]:
        for number, node in enumerate(nodes):
            with self.at(number):
                yield read(node)

    def _list(self, node: object) -> list[object]:
        if not isinstance(node, list) or not node:
            raise self.fault(f"{shown(node)} is not a list; write one such as [first, second]")
        return node

    def _name(self, node: object) -> str:
        if not isinstance(node, str) or not node or '"' in node or "\x00" in node:
            raise self.fault(f"{shown(node)} is not the name of a column")
        return node

    def _word(self, node: object) -> str:
        """Return a fixed text. YAML reads an unquoted yes, 1 or 2026-01-01 as another type."""
        if not isinstance(node, str) or "\x00" in node:
            raise self.fault(f"{shown(node)} is not a text; put it into quotes")
        return node

    def _only(self, node: Mapping[str, Any], word: str) -> None:
        if len(node) != 1:
            raise self.fault(f"beside `{word}` nothing else is allowed in a condition")

    def _not_one_function(self, node: Mapping[str, Any], found: Sequence[str]) -> str:
        if found:
            return f"one expression has one function, not {' and '.join(found)}; nest them"
        name = str(next(iter(node)))
        near = difflib.get_close_matches(name, self._functions, 1)
        return f"{shown(name)} is not a function" + (
            f"; did you mean {near[0]}?" if near else f"; the functions are {', '.join(self._functions)}"
        )


_TESTS: Final = ("is", "in", "contains", "starts_with", "empty", "above", "below")


def _columns(values: Sequence[Value]) -> frozenset[str]:
    return frozenset().union(*(value.columns for value in values))


@cache
def _is_time_format(pattern: str) -> bool:
    """Check whether DuckDB can read times of this format."""
    if "%" not in pattern.replace("%%", ""):
        return False
    try:
        with open_duckdb() as connection:
            connection.execute("select try_strptime('', ?)", [pattern])
    except duckdb.Error:
        return False
    return True


def _is_decimal(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,10}(\.[0-9]{1,12})?", text) is not None


def shown(node: object) -> str:
    """Return a short text of a part of a mapping, for messages."""
    text = node if isinstance(node, str) else json.dumps(node, default=str)
    return f"'{text[:60]}…'" if len(text) > 60 else f"'{text}'"
