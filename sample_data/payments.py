"""Who paid for which deposit: the payments behind the sample's deposits, and what went back of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Literal

from sample_data.books import MINUTE, SECOND, Books
from sample_data.world import Wallet, key

STRIPE, SEPA = "stripe", "sepa"
CENT = Decimal("0.01")
KEYS = {"payment_intent": "pi_", "charge": "ch_", "checkout_session": "cs_test_", "payment_id": "sepa_"}
"""What a deposit may call its payment: metadata key and prefix. All ids of one payment share the rest."""

Movement = Literal["refund", "refund_failure", "dispute", "dispute_reversal"]


@dataclass(frozen=True, slots=True)
class Return:
    """Money that went back to the customer, or came in again: `amount` is positive, `kind` tells the
    direction.
    """

    kind: Movement
    at: int
    """Milliseconds since 1970, like every instant of the sample."""
    amount: Decimal
    """In the payment's currency."""

    @property
    def signed(self) -> Decimal:
        """Negative where the money leaves the account."""
        return -self.amount if self.kind in ("refund", "dispute") else self.amount


@dataclass(slots=True)
class Payment:
    """One payment of one customer, in the currency that they paid in."""

    rail: str
    number: str
    """What all its ids have in common."""
    paid_at: int
    amount: Decimal
    currency: str
    user: str
    has_session: bool = False
    """Paid in Stripe Checkout."""
    failed: bool = False
    returns: list[Return] = field(default_factory=list)

    @property
    def case_id(self) -> str:
        """Its case in the reconciliation (contract 5)."""
        return f"stripe:pi_{self.number}" if self.rail == STRIPE else f"{self.rail}:{self.rail}_{self.number}"


@dataclass(frozen=True, slots=True)
class Deposit:
    """A settled, paid deposit of the books, and the payment behind it."""

    entry_id: str
    at: int
    amount: Decimal
    paywall_id: str
    payment: Payment


def paid_deposits(books: Books, wallets: list[Wallet]) -> list[Deposit]:
    """Every settled deposit that names a payment, from the ledger or else from webhooks, in order of time."""
    deposits = {deposit.entry_id: deposit for deposit in webhook_deposits(books, wallets)}
    deposits |= {deposit.entry_id: deposit for deposit in ledger_deposits(books)}
    give_back(books, deposits)
    return sorted(deposits.values(), key=lambda deposit: (deposit.at, deposit.entry_id))


def ledger_deposits(books: Books) -> Iterator[Deposit]:
    """The ledger's, each with the payment that its keys name."""
    for entry in [*books.ledger, *books.euro_ledger]:
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


def webhook_deposits(books: Books, wallets: list[Wallet]) -> Iterator[Deposit]:
    """Those that webhooks tell of: all were paid in Stripe Checkout."""
    users = {wallet.wallet_id: wallet.user for wallet in wallets}
    for event in books.events:
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
    """A card is charged seconds before the deposit, after the last declined attempt; a transfer arrives
    minutes before. Whole seconds.
    """
    draw = int(key("moment", number, size=4), 16)
    ahead = (4 + draw % 50) * SECOND if rail == STRIPE else (2 + draw % 25) * MINUTE
    return (instant - ahead) // SECOND * SECOND


def give_back(books: Books, deposits: dict[str, Deposit]) -> None:
    """The payment is refunded some minutes before the ledger takes the deposit back.

    The ledger may take back fractions of a cent, which no card network can move: the refund is rounded down.
    """
    for refund in [*books.ledger, *books.euro_ledger]:
        if refund["type"] != "refund" or refund["related_id"] not in deposits:
            continue
        payment = deposits[refund["related_id"]].payment
        amount = min(refund["amount"], payment.amount).quantize(CENT, ROUND_DOWN)
        if amount > 0:
            draw = int(key("refund", payment.number, size=4), 16)
            at = (refund["timestamp"] - (3 + draw % 15) * MINUTE) // SECOND * SECOND
            payment.returns.append(Return("refund", at, amount))


def cents(amount: Decimal) -> Decimal:
    """Rounded to two decimals, half up: dollar, euro and pound all have two."""
    return amount.quantize(CENT, ROUND_HALF_UP)
