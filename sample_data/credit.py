"""Credit that expires, an overdraft that a later deposit settles, and a correction that states its funding.

All of it is in euro: the euro ledger states everything, so that the balance of a wallet is known here.
Nothing is drawn, so that the rest of the sample does not depend on it.
"""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from sample_data.payments import SEPA, Payment, moment_before
from sample_data.statements import DAY, HOUR, LEDGER_DAYS, SIGNUP_BONUS, Statements
from sample_data.world import EURO, Wallet, key

IDLE_DAYS = 30
"""Credit expires after so many days without a request."""
CORRECTED = Decimal("0.30")
"""More than a sign-up bonus, so that the correction overdraws the wallet."""
TRANSFERRED = Decimal("1.00")
MOVED = Decimal("0.50")


@dataclass(frozen=True, slots=True)
class Rest:
    """A wallet whose user left, and what is left in it."""

    wallet: Wallet
    balance: Decimal
    paid: Decimal
    """All paid deposits."""

    def after(self, days: int) -> int:
        """Return an instant so many days after the last request."""
        return self.wallet.requests[-1][0] + days * DAY + HOUR

    @property
    def is_promo(self) -> bool:
        """Whether nobody ever paid for this credit, of which a part is left."""
        return self.paid == 0 and 0 < self.balance < SIGNUP_BONUS

    @property
    def is_paid(self) -> bool:
        """Whether a part of the paid credit is left, and nothing of the bonus."""
        return Decimal("0.2") < self.balance <= self.paid


def change_credit(statements: Statements, wallets: list[Wallet]) -> list[Payment]:
    """Add the statements, and return the bank transfer behind the deposit.

    Of few wallets, as with some last days, there may be fewer statements.
    """
    rests = rests_of(statements, wallets)
    promo, paid = [rest for rest in rests if rest.is_promo], [rest for rest in rests if rest.is_paid]
    for rest, more in [*((one, {}) for one in promo[:1]), *((one, {"funding": "paid"}) for one in paid[:1])]:
        metadata = {"reason": "expired"} | more
        statements.entry(rest.wallet, "adjustment", rest.after(IDLE_DAYS), -rest.balance, metadata=metadata)
    for rest in promo[2:3]:
        metadata = {"reason": "moved_from_pw_prototype", "funding": "paid"}
        statements.entry(rest.wallet, "adjustment", rest.after(3), MOVED, metadata=metadata)
    return [overdraw(statements, rest) for rest in promo[1:2]]


def overdraw(statements: Statements, rest: Rest) -> Payment:
    """Correct the metering by more than the wallet holds, and let a transfer settle the overdraft a week
    later.
    """
    wallet, at = rest.wallet, rest.after(9)
    reason = {"reason": "metering_correction"}
    statements.entry(wallet, "adjustment", rest.after(2), -CORRECTED, metadata=reason)
    number = key("settles an overdraft", wallet.wallet_id)
    metadata = {"rail": SEPA, "payment_id": f"sepa_{number}"}
    statements.entry(wallet, "deposit", at, TRANSFERRED, metadata=metadata)
    return Payment(SEPA, number, moment_before(at, number, SEPA), TRANSFERRED, EURO.currency, wallet.user)


def rests_of(statements: Statements, wallets: list[Wallet]) -> list[Rest]:
    """Return the wallets in euro whose last request is so old that credit has expired since, in an order of
    their own.
    """
    calendar = statements.calendar
    balances, paid = sums_of(statements)
    left = [
        Rest(wallet, balances[wallet.user], paid[wallet.user])
        for wallet in wallets
        if wallet.paywall is EURO
        and wallet.requests
        and calendar.number(wallet.requests[-1][0]) < LEDGER_DAYS - IDLE_DAYS
    ]
    return sorted(left, key=lambda rest: key("rest", rest.wallet.wallet_id))


def sums_of(statements: Statements) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Return balance and paid deposits by user of the wallets in euro, from the latest version of each
    entry.
    """
    stated = [
        *statements.euro_ledger,
        *(entry for entry in statements.late_ledger if entry["currency"] == EURO.currency),
    ]
    latest = {entry["id"]: entry for entry in sorted(stated, key=lambda entry: entry["updated_at"])}
    balances: defaultdict[str, Decimal] = defaultdict(Decimal)
    paid: defaultdict[str, Decimal] = defaultdict(Decimal)
    for entry in latest.values():
        if entry["status"] != "settled" or entry["user"] is None:
            continue
        about = latest.get(entry.get("related_id", ""))
        takes = entry["type"] in ("charge", "withdrawal") or (
            entry["type"] == "refund" and about is not None and about["type"] == "deposit"
        )
        balances[entry["user"]] += -entry["amount"] if takes else entry["amount"]
        if entry["type"] == "deposit" and entry.get("metadata", {}).get("reason") != "signup_bonus":
            paid[entry["user"]] += entry["amount"]
    return balances, paid
