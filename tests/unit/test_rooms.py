"""The order of the rooms: no import from a lower room to a higher one, and no import circle.

The rules are in pyproject.toml, under `tool.importlinter`.
"""

import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
ROOMS = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["tool"]["importlinter"]["root_packages"]


def test_rooms_import_lower_rooms_only() -> None:
    """The output of a failure names each import with its line."""
    assert lint_imports(config_filename=str(PYPROJECT), no_cache=True) == EXIT_STATUS_SUCCESS


def test_no_module_imports_itself_through_others() -> None:
    """The rule above is about modules beside each other; this one includes packages and their modules."""
    graph = grimp.build_graph(*ROOMS, cache_dir=None, exclude_type_checking_imports=True)
    # Raises CycleError with the modules of the circle.
    list(
        TopologicalSorter(
            {one: graph.find_modules_directly_imported_by(one) for one in graph.modules}
        ).static_order()
    )


def test_every_package_of_the_product_has_a_rule() -> None:
    wheel = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"]} - {"dbt_project"} == {*ROOMS}
