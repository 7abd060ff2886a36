"""All benchmarks in one go: `make bench`.

    python -m benchmarks.bench [--entries 1000000 10000000] [--histories 10000000 30000000] [--peers 200000 1000000]
                               [--exports 1000000] [--deliveries 500] [--dashboard 1000000 10000000] [--repeat 3]
                               [--results benchmarks/results]

First runs beside hand-written SQL, nights on histories, peers, exports, webhooks, the dashboard. Each writes
its own file to the results; `promised.md` is all that was promised beside what was measured. `--histories 0`,
`--peers 0 0`, `--exports 0`, `--deliveries 0` or `--dashboard 0` leave one out.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import dashboard, exports, full, growth, receive
from benchmarks.ledgers import DAYS
from benchmarks.peers import compare
from benchmarks.tables import RESULTS, Target, head, target_table, write

# A history of 30 M entries lands 12 GB of files, which nothing else reads.
KEPT_LANDING = 10_000_000


def main() -> None:
    """Measure everything and write the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--histories", type=int, nargs="+", default=[10_000_000, 30_000_000])
    parser.add_argument("--peers", type=int, nargs=2, default=[200_000, 1_000_000], metavar=("ALL", "LARGE"))
    parser.add_argument("--exports", type=int, default=1_000_000)
    parser.add_argument("--deliveries", type=int, default=receive.RATE, help="webhooks a second")
    parser.add_argument("--dashboard", type=int, nargs="+", default=list(dashboard.PROMISED))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--same",
        type=int,
        default=growth.SAME,
        help="entries of the nights that are the same on all histories",
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    if any(asked.peers):
        # What is missing is said before an hour has passed.
        compare.peer_versions()
    targets: list[Target] = []
    for entries in filter(None, asked.entries):
        targets += full.benchmark(entries, asked.repeat, asked.results)
    if histories := list(filter(None, asked.histories)):
        nights = growth.Asked(same=asked.same, repeat=asked.repeat)
        targets += growth.benchmark(histories, DAYS, nights, asked.results, discard_above=KEPT_LANDING)
    if any(asked.peers):
        everything, large = asked.peers
        targets += compare.benchmark(everything, large, asked.repeat, asked.results)
    if asked.exports:
        exports.benchmark(asked.exports, asked.repeat, None, asked.results)
    if asked.deliveries:
        receive.benchmark(receive.SENDERS, receive.SECONDS, asked.deliveries, asked.results)
    for entries in filter(None, asked.dashboard):
        targets += dashboard.benchmark(entries, None, asked.results)
    write(asked.results, "promised", summary(targets))


def summary(targets: Sequence[Target]) -> list[str]:
    """All targets, and how many of them are met."""
    met = sum(one.is_met for one in targets)
    return [*head("What was promised"), f"{met} of {len(targets)} met.", *target_table(targets)]


if __name__ == "__main__":
    main()
