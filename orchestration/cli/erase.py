"""The subcommand `erase`: replace a person's id in the lake, then publish and export."""

import logging
from collections.abc import Callable

from ingestion.erasure.erase import Erased, UnknownUserError, erase, files_naming, rewrite_landed
from ingestion.erasure.landed import Naming
from ingestion.landing.area import Landing
from ingestion.receiver.segments import seal_local
from ingestion.sources.registry import landed_files, sources
from orchestration.cli.run import GOOD, NOT_PUBLISHED, run_once
from orchestration.instance import open_instance
from orchestration.run_lock import exclusive
from paywall_warehouse.settings import Settings
from warehouse.build_file import drop_build_file
from warehouse.engines import copies_with_erased_people, forget_exchanged_files


def erase_user(
    settings: Settings, user: str, *, rewrite_landing: bool, progress: Callable[[str], None]
) -> int:
    """Erase a person and publish; return the exit code. A second call finds nothing left to do."""
    home = settings.home
    with open_instance(home) as instance:
        # A run reads the lake for as long as it works, so wait for its end.
        with exclusive(home, "erase", instance, logging.getLogger(__name__)):
            try:
                erased = erase(settings, user, drop_build=drop_build_file)
            except UnknownUserError:
                progress(
                    f"No loaded record names {user!r}. Pass a `user_id` of marts.dim_users. Nothing was"
                    " changed."
                )
                return NOT_PUBLISHED
            progress(f"{erased.rows:,} rows of the lake now name {erased.pseudonym} instead.")
            if erased.keys:
                columns = ", ".join(f"{name} ({rows:,} rows)" for name, rows in erased.keys.items())
                progress(
                    "Keys that contain the id are not changed, and neither are the tables and exports with"
                    f" these keys: {columns}."
                )
            forget_exchanged_files(settings)
            _handle_landed(settings, user, erased, rewrite_landing, progress)
        code = run_once(settings, instance)
    if code != GOOD:
        progress(
            f"{home.published_file} and the exports still name the person. Fix the cause of the failed run,"
            " then run again."
        )
    for message in copies_with_erased_people(home):
        progress(message)
    return code


def _handle_landed(
    settings: Settings, user: str, erased: Erased, rewrite_landing: bool, progress: Callable[[str], None]
) -> None:
    landing = Landing.of(settings)
    seal_local(landing)
    found = files_naming(settings, landed_files(landing, sources(settings.home)), user, erased.pseudonym)
    if rewrite_landing:
        rewrite_landed(settings, found, user, erased.pseudonym)
    for one in found:
        progress(_describe(one, settings.landing_shown, rewritten=rewrite_landing))
    if found and not rewrite_landing:
        progress(
            "These landed files still name the person. `--landing` rewrites them. Files that land later are"
            " pseudonymised when they are loaded."
        )
    for wallet in erased.linked_wallets:
        progress(
            f"Webhooks link the person to the wallet {wallet!r}; `erase {wallet}` replaces that id as well."
        )


def _describe(one: Naming, landing: str, *, rewritten: bool) -> str:
    if one.fault is not None:
        return f"  {landing}/{one.file.path}: {one.fault}"
    return f"  {landing}/{one.file.path}: {one.records:,} records{' rewritten' if rewritten else ''}"
