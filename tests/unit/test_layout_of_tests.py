"""Shared helpers are in `tests/support`: no test file imports another."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


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
