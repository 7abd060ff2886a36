"""Shared helpers are in `tests/support`: no test file imports another."""

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@cache
def imported_modules(file: Path) -> set[str]:
    """Return the dotted names that a file imports, with the names taken from packages."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return modules


@pytest.mark.parametrize("file", sorted(TESTS.rglob("*.py")), ids=lambda file: str(file.relative_to(TESTS)))
def test_no_file_imports_a_test_file(file: Path) -> None:
    parts = [(module, module.split(".")) for module in imported_modules(file)]
    imported = [module for module, names in parts if names[0] == "tests" and any(map(is_test, names))]
    assert imported == [], "move what is shared to tests/support"


def is_test(name: str) -> bool:
    return name.startswith("test_")


# Whole runs, servers, browsers, and the command as a process.
NOT_FOR_UNIT_TESTS = (
    "browser",
    "command",
    "crash_drill",
    "export_homes",
    "harness",
    "postgres",
    "stripe_server",
    "warm_start",
)


@pytest.mark.parametrize("file", sorted((TESTS / "unit").glob("*.py")), ids=lambda file: file.name)
def test_unit_tests_start_nothing_large(file: Path) -> None:
    parts = {module: module.split(".") for module in imported_modules(file)}
    large = [
        one
        for one, names in parts.items()
        if names[:2] == ["tests", "support"] and {*names} & {*NOT_FOR_UNIT_TESTS}
    ]
    assert large == [], "move the test to tests/integration or tests/e2e"
