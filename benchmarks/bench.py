"""All benchmarks: `make bench`.

    python -m benchmarks.bench [--entries 1000000 10000000] [--histories 10000000 30000000]
                               [--peers 200000 1000000] [--exports 1000000] [--deliveries 500]
                               [--dashboard 1000000 10000000] [--repeat 3] [--results benchmarks/results]

They are first runs compared with hand-written SQL, nights on histories, peers, exports, webhooks and the
dashboard. Each writes its own file to the results. `promised.md` compares all promises with the measurements.
`--histories 0`, `--peers 0 0`, `--exports 0`, `--deliveries 0` or `--dashboard 0` skip a benchmark.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import dashboard, exports, full, growth, receive
from benchmarks.ledgers import DAYS
from benchmarks.peers import compare
from benchmarks.tables import RESULTS, Target, head, target_table, write

# The landed files of larger histories are deleted: 30 M entries are 12 GB, which nothing else reads.
MAX_KEPT_LANDING = 10_000_000


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
        help="entries of the nights that have the same size on all histories",
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if any(arguments.peers):
        # Reports missing peers now, not after an hour.
        compare.peer_versions()
    targets: list[Target] = []
    for entries in filter(None, arguments.entries):
        targets += full.benchmark(entries, arguments.repeat, arguments.results)
    if histories := list(filter(None, arguments.histories)):
        nights = growth.GrowthOptions(same=arguments.same, repeat=arguments.repeat)
        targets += growth.benchmark(
            histories, DAYS, nights, arguments.results, discard_above=MAX_KEPT_LANDING
        )
    if any(arguments.peers):
        everything, large = arguments.peers
        targets += compare.benchmark(everything, large, arguments.repeat, arguments.results)
    if arguments.exports:
        exports.benchmark(arguments.exports, arguments.repeat, None, arguments.results)
    if arguments.deliveries:
        receive.benchmark(receive.SENDERS, receive.SECONDS, arguments.deliveries, arguments.results)
    for entries in filter(None, arguments.dashboard):
        targets += dashboard.benchmark(entries, None, arguments.results)
    write(arguments.results, "promised", summary(targets))


def summary(targets: Sequence[Target]) -> list[str]:
    """Return the lines about all targets, with the number of those that are met."""
    met = sum(one.is_met for one in targets)
    return [*head("What was promised"), f"{met} of {len(targets)} met.", *target_table(targets)]


if __name__ == "__main__":
    main()
