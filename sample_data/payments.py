"""The payments behind the sample's deposits, and the money that was returned."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Literal

from sample_data.statements import MINUTE, SECOND, Statements
from sample_data.world import Wallet, key

STRIPE, SEPA = "stripe", "sepa"
CENT = Decimal("0.01")
KEYS = {"payment_intent": "pi_", "charge": "ch_", "checkout_session": "cs_test_", "payment_id": "sepa_"}
"""The ids by which a deposit may name its payment: metadata key and prefix. The rest is the same in all."""

Movement = Literal["refund", "refund_failure", "dispute", "dispute_reversal"]


@dataclass(frozen=True, slots=True)
class Return:
    """Money that went back to the customer, or came in again: `amount` is positive, `kind` is the
    direction.
    """

    kind: Movement
    at: int
    """Milliseconds since 1970, like every instant of the sample."""
    amount: Decimal
    """In the payment's currency."""

    @property
    def signed(self) -> Decimal:
        """The amount, negative if the money leaves the account."""
        return -self.amount if self.kind in ("refund", "dispute") else self.amount


@dataclass(slots=True)
class Payment:
    """One payment of one customer, in the currency that they paid in."""

    rail: str
    number: str
    """The common part of all its ids."""
    paid_at: int
    amount: Decimal
    currency: str
    user: str
    has_session: bool = False
    """Whether it was paid in Stripe Checkout."""
    failed: bool = False
    returns: list[Return] = field(default_factory=list)

    @property
    def case_id(self) -> str:
        """The id of its case in the reconciliation (docs/contract.md#51-cases-and-rails)."""
        return f"stripe:pi_{self.number}" if self.rail == STRIPE else f"{self.rail}:{self.rail}_{self.number}"


@dataclass(frozen=True, slots=True)
class Deposit:
    """A settled deposit of the statements, and the payment behind it."""

    entry_id: str
    at: int
    amount: Decimal
    paywall_id: str
    payment: Payment


def paid_deposits(statements: Statements, wallets: list[Wallet]) -> list[Deposit]:
    """Return every settled deposit that names a payment, from the ledger or else from webhooks, in
    order of time.
    """
    deposits = {deposit.entry_id: deposit for deposit in webhook_deposits(statements, wallets)}
    deposits |= {deposit.entry_id: deposit for deposit in ledger_deposits(statements)}
    give_back(statements, deposits)
    return sorted(deposits.values(), key=lambda deposit: (deposit.at, deposit.entry_id))


def ledger_deposits(statements: Statements) -> Iterator[Deposit]:
    """Yield the deposits of the ledger, each with the payment that its keys name."""
    for entry in [*statements.ledger, *statements.euro_ledger]:
        metadata = entry.get("metadata", {})
        numbers = [metadata[name].removeprefix(prefix) for name, prefix in KEYS.items() if name in metadata]
        if (entry["type"], entry["status"]) != ("deposit", "settled") or not numbers:
            continue
        instant, amount, rail = (
            entry["timestamp"],
            entry["amount"],
            SEPA if "payment_id" in metadata else STRIPE,
        )
        paid_at = moment_before(instant, numbers[0], rail)
        payment = Payment(
            rail,
            numbers[0],
            paid_at,
            amount,
            entry["currency"],
            entry["user"],
            "checkout_session" in metadata,
        )
        yield Deposit(entry["id"], instant, amount, entry["paywall"], payment)


def webhook_deposits(statements: Statements, wallets: list[Wallet]) -> Iterator[Deposit]:
    """Yield the deposits of webhooks, all of which were paid in Stripe Checkout."""
    users = {wallet.wallet_id: wallet.user for wallet in wallets}
    for event in statements.events:
        if not event["type"].endswith("balance.deposit.created"):
            continue
        data, instant = event["data"], event["at"]
        number = event["metadata"]["paymentIntent"].removeprefix(KEYS["payment_intent"])
        paid_at, user = moment_before(instant, number, STRIPE), users[data["walletUserId"]]
        payment = Payment(
            STRIPE, number, paid_at, data["amount"], data["currency"].lower(), user, has_session=True
        )
        yield Deposit(data["activityId"], instant, data["amount"], event["paywall"].id, payment)


def moment_before(instant: int, number: str, rail: str) -> int:
    """Return the time of a payment, in whole seconds: a card is charged seconds before the deposit,
    after the last declined attempt, and a transfer arrives minutes before it.
    """
    draw = int(key("moment", number, size=4), 16)
    ahead = (4 + draw % 50) * SECOND if rail == STRIPE else (2 + draw % 25) * MINUTE
    return (instant - ahead) // SECOND * SECOND


def give_back(statements: Statements, deposits: dict[str, Deposit]) -> None:
    """Refund payments some minutes before the ledger takes their deposits back.

    The ledger may take back fractions of a cent, which no card network can move: the refund is rounded
    down.
    """
    for refund in [*statements.ledger, *statements.euro_ledger]:
        if refund["type"] != "refund" or refund["related_id"] not in deposits:
            continue
        payment = deposits[refund["related_id"]].payment
        amount = min(refund["amount"], payment.amount).quantize(CENT, ROUND_DOWN)
        if amount > 0:
            draw = int(key("refund", payment.number, size=4), 16)
            at = (refund["timestamp"] - (3 + draw % 15) * MINUTE) // SECOND * SECOND
            payment.returns.append(Return("refund", at, amount))


def cents(amount: Decimal) -> Decimal:
    """Round to two decimals, half up, as dollar, euro and pound have."""
    return amount.quantize(CENT, ROUND_HALF_UP)
