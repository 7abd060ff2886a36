"""The collector while modules are imported."""

import gc

import pytest

from paywall_warehouse.imports import kept_from_collector


def test_what_is_imported_is_left_out_of_later_collections() -> None:
    before = gc.get_freeze_count()
    try:
        with kept_from_collector():
            assert not gc.isenabled()
            modules = [[number] for number in range(1_000)]
        assert gc.isenabled()
        assert gc.get_freeze_count() - before > len(modules)
    finally:
        gc.unfreeze()


def test_a_failed_import_leaves_the_collector_at_work() -> None:
    with pytest.raises(ImportError), kept_from_collector():
        raise ImportError
    assert gc.isenabled()
