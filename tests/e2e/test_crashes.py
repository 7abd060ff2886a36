"""A run that is killed at any moment loses nothing, doubles nothing and shows nothing half; the next one goes
on.

`CRASHES` sets how many kills `make soak` tries; each costs some 6 s.
"""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.support.command import command_here
from tests.support.crash_drill import (
    AS_OF,
    STAGES,
    Drill,
    Figures,
    differences,
    faults_of_readers,
    left_overs,
    outcome,
    undisturbed,
)
from tests.support.export_homes import BY_DEFAULT, export, finish
from tests.support.harness import publish_home, run_pipeline
from tests.support.replayed_dbt import replayed_builds
from tests.support.stripe_account import FROM, KEY, UNTIL, books
from tests.support.stripe_server import Options, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

CRASHES = int(os.environ.get("CRASHES", "100"))
KILLS_A_COMPARISON = 15
# The last stages take a whole run to reach.
WEIGHTS = {
    "start": 1,
    "pull": 2,
    "ingest": 4,
    "plan": 2,
    "build": 4,
    "check": 2,
    "publish": 4,
    "export": 3,
    "catalog": 1,
    "end": 1,
}


@contextmanager
def stripe(*, polls: int = 0) -> Iterator[dict[str, str]]:
    """A Stripe on loopback, and the settings by which a run finds it."""
    with running(books(), KEY, Options(available_from=FROM, available_until=UNTIL, polls=polls)) as server:
        yield {"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": server.url}


def kill(drill: Drill, stage: str, delay: float, *, warm: bool = False, **variables: str) -> None:
    """Run until killed; readers must not notice."""
    code = drill.run(stage, delay, warm=warm, **variables)
    assert code in (None, 0), drill.output
    drill.figures.ends += code == 0
    assert not faults_of_readers(drill.home), f"killed in {stage}: {faults_of_readers(drill.home)}"


def finish_and_compare(drill: Drill, place: Path, *, replayed: bool = False, **variables: str) -> list[str]:
    """Let a run come to its end, and hold the home against one in which nothing was ever killed.

    A `replayed` run is the command in this process, with dbt's statements repeated. The other home is then
    loaded, built and exported without Dagster.
    """
    if replayed:
        with replayed_builds():
            done = command_here(drill.home.root, "run", AS_OF=AS_OF, MAX_REJECT_RATIO="1", **variables)
        assert done.returncode == 0, done.stderr
    else:
        assert drill.run(warm=True, **variables) == 0, drill.output
    drill.figures.ends += 1
    assert not left_overs(drill.home)
    assert not faults_of_readers(drill.home)
    other = undisturbed(drill.home, place)
    settings = {name.lower(): value for name, value in variables.items()}
    if replayed:
        publish_home(other.root, as_of=AS_OF, max_reject_ratio="1", **settings)
        export(other.root, BY_DEFAULT, export_focus=False, **settings)
        finish(other.root, export_focus=False, **settings)
    else:
        with stripe() as unkilled:
            if "STRIPE_API_KEY" in variables:
                settings |= {name.lower(): value for name, value in unkilled.items()}
            result = run_pipeline(other.root, exports=True, as_of=AS_OF, max_reject_ratio="1", **settings)
        assert result.exit_code == 0, result
    found = differences(outcome(other), outcome(drill.home))
    drill.figures.comparisons += 1
    drill.figures.differences += len(found)
    return found


def test_a_run_killed_while_it_builds_loses_nothing(tmp_path: Path) -> None:
    """Kills while it pulls: `test_killed_at_any_point…` of `test_stripe_pull` and `test_bill_pull`."""
    drill = Drill(tmp_path, 1, Figures())
    drill.ledger.more()
    # The others of `make soak` write CSV as well.
    kill(drill, "build", 1.5, warm=True, EXPORT_FORMATS="parquet")
    drill.ledger.more()
    found = finish_and_compare(drill, tmp_path / "undisturbed", replayed=True, EXPORT_FORMATS="parquet")
    assert found == []
    assert drill.figures.kills.total() == 1, drill.figures.table()


@pytest.mark.soak
def test_hundreds_of_kills_lose_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance, figures, found = random.Random(os.environ.get("CRASH_SEED", "0")), Figures(), []
    for home_no in count():
        drill = Drill(tmp_path / str(home_no), home_no, figures)
        drill.home.root.mkdir(parents=True)
        with stripe(polls=1) as server:
            pulling = server if home_no % 2 else {}
            for comparison in range(3):
                until = figures.kills.total() + KILLS_A_COMPARISON
                while figures.kills.total() < until:
                    if chance.random() < 0.85:
                        drill.ledger.more()
                    stages = [stage for stage in STAGES if stage != "pull" or pulling]
                    (stage,) = chance.choices(stages, [WEIGHTS[one] for one in stages])
                    # Every seventh is the command from its first instruction on.
                    kill(
                        drill, stage, chance.uniform(0, STAGES[stage]), warm=chance.random() < 0.85, **pulling
                    )
                found += finish_and_compare(drill, tmp_path / f"{home_no}-{comparison}", **pulling)
                with capsys.disabled():
                    print(
                        f"\nhome {home_no}, comparison {comparison}\n{figures.table()}",
                        *found,
                        sep="\n",
                        flush=True,
                    )
                if figures.kills.total() >= CRASHES:
                    assert found == []
                    return
