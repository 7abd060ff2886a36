"""The public Python API: `from paywall_warehouse import pull, load_into`."""

import subprocess
import sys

import pytest

import paywall_warehouse
from exports.client import duckdb_tables, mirror


def test_the_functions_of_the_public_api_are_those_of_the_client() -> None:
    assert paywall_warehouse.__all__ == ["load_into", "pull"]
    assert paywall_warehouse.pull is mirror.pull
    assert paywall_warehouse.load_into is duckdb_tables.load_into
    assert {"load_into", "pull", "__all__"} <= set(dir(paywall_warehouse))


def test_importing_the_package_imports_nothing_that_is_large() -> None:
    script = (
        "import sys, paywall_warehouse\n"
        "rooms = ('exports', 'warehouse', 'ingestion', 'dashboard', 'orchestration')\n"
        "large = ('duckdb', 'fsspec', 'pydantic', 'dagster', *rooms)\n"
        "print([name for name in large if name in sys.modules])\n"
        "from paywall_warehouse import pull, load_into\n"
        "print('duckdb' in sys.modules, pull.__module__, load_into.__module__)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "True exports.client.mirror exports.client.duckdb_tables"]


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'paywall_warehouse' has no attribute 'push'"):
        paywall_warehouse.push  # noqa: B018
