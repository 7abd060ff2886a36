"""A warning check: deposits whose metadata hold an id of Stripe's under a key that nothing reads.

Such a deposit finds no payment and becomes `ledger_only`, or stays pending, although somebody took care to
name its payment.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ingestion.sources.ledger import METADATA_KEYS
from warehouse.checks.invariant import WARN, Invariant, Queries, invariant

NAME: Final = "deposit_keys_are_read"
READ_KEYS: Final = [
    key for name in ("payment_intent_id", "charge_id", "checkout_session_id") for key in METADATA_KEYS[name]
]
WORDS: Final = (
    "No deposit without a payment key has an id of Stripe's under a metadata key that nothing reads. State a"
    " later version of the deposit with the id at the top level of metadata under one of"
    f" {', '.join(READ_KEYS)}."
)
KEYS_SHOWN: Final = 20

# By the key before the first id of a payment intent, a charge (two forms) or a Checkout Session; '' for an id
# in a list.
UNREAD_KEYS: Final = """
select regexp_extract(metadata, '"([^"]*)" *: *"(pi|ch|py|cs)_[A-Za-z0-9_]+"', 1) as metadata_key,
    count(*) as deposits
from marts.fct_ledger_entries
where entry_id in (select entry_id from intermediate.int_deposits where not has_key)
    and regexp_matches(metadata, '"(pi|ch|py|cs)_[A-Za-z0-9_]+"')
group by metadata_key
order by deposits desc, metadata_key
"""


def check_deposit_keys(queries: Queries) -> Iterator[Invariant]:
    """Yield a failed warning check for each unread key, the most frequent first, or one that holds where
    there is none.

    `scope` names the key, `actual` is the number of deposits.
    """
    query = " ".join(UNREAD_KEYS.split())
    unread = queries.execute(UNREAD_KEYS).fetchall()
    for key, deposits in unread[:KEYS_SHOWN]:
        yield replace(
            invariant(NAME, f"metadata key {key}" if key else "a list in metadata", 0, deposits, query),
            severity=WARN,
        )
    if not unread:
        yield replace(invariant(NAME, "all", 0, 0, query), severity=WARN)
