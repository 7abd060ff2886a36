"""The evaluation of all rules: on what is about to be published, on what is published, or by the clock alone.

No fault of an alert fails a run. A rule that cannot be evaluated keeps its alerts as they are, and `status`
shows the reason.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import duckdb

from paywall_warehouse.errors import first_line
from paywall_warehouse.home import Home
from paywall_warehouse.settings import Settings
from warehouse.alerts.definitions import (
    BALANCES,
    BREAKS,
    CHANGE,
    CHECKS,
    ENTRIES,
    INCOMPLETE,
    REJECTS,
    RUN_FAILED,
    SILENCE,
    THRESHOLD,
    AlertsFile,
    AlertsFileError,
    Rule,
    read_home,
)
from warehouse.alerts.findings import Evaluation, Finding
from warehouse.alerts.metrics import over_limit, unusual_changes
from warehouse.alerts.operations import (
    failed_runs,
    incomplete,
    low_balances,
    many_rejects,
    open_breaks,
    warning_checks,
)
from warehouse.alerts.silence import silent_sources
from warehouse.alerts.state import State, changing, evaluated, read_state, write_state, write_table
from warehouse.published import NotPublishedError, published_warehouse
from warehouse.runs import Run, read_runs

log = logging.getLogger(__name__)

EVALUATORS: Final[Mapping[str, Callable[[Evaluation, Rule], Iterator[Finding]]]] = {
    THRESHOLD: over_limit,
    CHANGE: unusual_changes,
    RUN_FAILED: failed_runs,
    REJECTS: many_rejects,
    CHECKS: warning_checks,
    BREAKS: open_breaks,
    INCOMPLETE: incomplete,
    BALANCES: low_balances,
    SILENCE: silent_sources,
}


def evaluate_publication(
    connection: duckdb.DuckDBPyConnection, settings: Settings, runs: Sequence[Run]
) -> None:
    """Evaluate every rule on a build that is about to be published, and write its table `ops.alerts`.

    The messages are written down before readers see the build, and sent after. `runs` includes the run that
    publishes. Never raises because of an alert.
    """
    home = settings.home
    state = State()
    try:
        if home.alerts_file.exists() or home.alerts_state_file.exists():
            alerts_file = read_home(home)
            state = (
                _evaluate(home, alerts_file, Evaluation(home, settings.now(), runs, connection))
                if alerts_file is not None
                else read_state(home)
            )
    except Exception as error:  # whatever is wrong with alerts, the numbers are right
        log.warning("Alerts are not evaluated: %s", first_line(error))
        state = read_state(home)
    write_table(connection, state.alerts)


def evaluate_published(settings: Settings) -> None:
    """Evaluate every rule on the published file. Without `alerts.yml`, do nothing.

    Never raises because of an alert.
    """
    try:
        alerts_file = read_home(settings.home)
        if alerts_file is None:
            return
        runs = read_runs(settings.home)
        try:
            with published_warehouse(settings) as connection:
                evaluation = Evaluation(settings.home, settings.now(), runs, connection)
                _evaluate(settings.home, alerts_file, evaluation)
        except NotPublishedError:
            _evaluate(settings.home, alerts_file, Evaluation(settings.home, settings.now(), runs))
    except (AlertsFileError, OSError) as error:
        log.warning("Alerts are not evaluated: %s", first_line(error))


def evaluate_clock(settings: Settings) -> None:
    """Evaluate the rules that need no published file: failed runs, and silence of files.

    Without `alerts.yml`, do nothing. Never raises because of an alert.
    """
    try:
        alerts_file = read_home(settings.home)
        if alerts_file is not None:
            evaluation = Evaluation(settings.home, settings.now(), read_runs(settings.home))
            _evaluate(settings.home, alerts_file, evaluation)
    except (AlertsFileError, OSError) as error:
        log.warning("Alerts are not evaluated: %s", first_line(error))


def _evaluate(home: Home, alerts_file: AlertsFile, evaluation: Evaluation) -> State:
    """Evaluate the rules that this evaluation allows, and return the new state, which is written."""
    found: dict[str, Sequence[Finding]] = {}
    problems: dict[str, str] = {}
    for rule in alerts_file.rules:
        if evaluation.connection is None and needs_publication(rule):
            continue
        try:
            found[rule.name] = list(EVALUATORS[rule.kind](evaluation, rule))
        except Exception as error:  # a table of an earlier version, one on a cluster, or a mistake
            problems[rule.name] = first_line(error)
            log.warning("The rule %s could not be evaluated: %s", rule.name, first_line(error))
    with changing(home):
        before = read_state(home)
        state = evaluated(before, alerts_file.rules, found, problems, evaluation.now)
        if state != before:
            write_state(home, state)
    return state


def needs_publication(rule: Rule) -> bool:
    """Check whether a rule looks into the published file."""
    if rule.kind in (RUN_FAILED, REJECTS):
        return False
    return rule.kind != SILENCE or rule.options["of"] == ENTRIES
