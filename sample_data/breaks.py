"""The planted breaks between ledger and payments: a few cases of every type, and some that only look
like one.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sample_data.payments import CENT, SEPA, STRIPE, Deposit, Movement, Payment, Return, paid_deposits
from sample_data.statements import DAY, HOUR, LEDGER_DAYS, MINUTE, SECOND, Statements
from sample_data.stripe_account import EURO_BALANCE_FROM
from sample_data.world import CHAT, DAYS, EURO, Wallet, key

DISPUTED = ((12, 24), (36, 46), (56, 66), (76, 88))
"""Days whose deposits are disputed. They are far apart, because a dispute costs the account more than a week
of this small business earns.
"""
SETTLED_IN_DOLLAR = (10, EURO_BALANCE_FROM - 1)
"""Days on which a payment in euro is converted."""
ANY_DAY = (10, LEDGER_DAYS - 12)
"""Days that are late enough to be of interest, and so early that all consequences are out of the grace
period.
"""
TRANSFER_FEE = Decimal("0.10")


@dataclass(slots=True)
class Money:
    """All payments, and the cases that are breaks on purpose."""

    payments: list[Payment]
    planted: dict[str, tuple[str, ...]]
    """Case ids by break type (docs/contract.md#53-breaks)."""


@dataclass(slots=True)
class Planting:
    """Plants faults. Deposits are taken from a shuffled pile, so that no deposit has two faults."""

    statements: Statements
    wallets: list[Wallet]
    payments: list[Payment]
    pile: list[Deposit]
    planted: dict[str, list[str]] = field(default_factory=dict)

    def take(
        self, count: int, days: tuple[int, int] = ANY_DAY, currency: str = "usd", rail: str = STRIPE
    ) -> list[Deposit]:
        """Take up to `count` deposits of whole payments on these days; with another last day there may
        be fewer.
        """
        day = self.statements.calendar.number
        fitting = [
            deposit
            for deposit in self.pile
            if days[0] <= day(deposit.at) <= days[1]
            and (deposit.payment.currency, deposit.payment.rail) == (currency, rail)
            and deposit.amount >= 1
            and not deposit.payment.returns
        ]
        taken = fitting[:count]
        self.pile = [deposit for deposit in self.pile if deposit not in taken]
        return taken

    def plant(self, break_type: str, case_id: str) -> None:
        """Record a break that is there on purpose."""
        self.planted.setdefault(break_type, []).append(case_id)

    def state(self, deposit: Deposit, kind: str, instant: int, amount: Decimal, **more: Any) -> None:
        """Add a ledger entry for the deposit's wallet. It is stated late, so that earlier exports stay
        as they are.
        """
        wallet = self.wallet_of(deposit)
        stated_at = self.statements.ledger_until + HOUR if wallet.paywall is not EURO else instant
        self.statements.entry(wallet, kind, instant, amount, at=stated_at, **more)

    def wallet_of(self, deposit: Deposit) -> Wallet:
        """Return the wallet of a deposit."""
        whose = (deposit.payment.user, deposit.paywall_id)
        return next(wallet for wallet in self.wallets if (wallet.user, wallet.paywall.id) == whose)

    def return_money(self, deposit: Deposit, kind: Movement, days: int, share: Decimal = Decimal(1)) -> int:
        """Return a share of the payment to the customer, or take it in again, `days` later; return the
        instant.
        """
        at = deposit.payment.paid_at + days * DAY + 2 * HOUR
        deposit.payment.returns.append(Return(kind, at, (deposit.payment.amount * share).quantize(CENT)))
        return at

    def lone_payment(self, user: str, at: int, amount: Decimal) -> Payment:
        """Add a card payment that no deposit names."""
        payment = Payment(STRIPE, key("lone payment", user, at), at // SECOND * SECOND, amount, "usd", user)
        self.payments.append(payment)
        return payment

    # ---- the faults

    def never_credited(self) -> None:
        """Plant payments whose webhook, which would have credited them, was lost."""
        for deposit, amount in zip(self.take(2), (Decimal("2.00"), Decimal("1.00")), strict=False):
            payment = self.lone_payment(deposit.payment.user, deposit.at + DAY + 3 * HOUR, amount)
            self.plant("processor_only", payment.case_id)

    def credited_by_hand(self) -> None:
        """Plant a payment that was credited by hand without a key: only user, amount and time match."""
        for deposit in self.take(1):
            payment = self.lone_payment(deposit.payment.user, deposit.at + 5 * HOUR, Decimal("3.00"))
            self.state(
                deposit,
                "deposit",
                payment.paid_at + 4 * MINUTE,
                payment.amount,
                metadata={"reason": "credited_by_hand"},
            )
            self.plant("processor_only", payment.case_id)

    def never_paid(self) -> None:
        """Plant deposits without a payment at Stripe."""
        for deposit in self.take(2):
            self.payments.remove(deposit.payment)
            self.plant("ledger_only", f"deposit:{deposit.entry_id}")

    def credited_twice(self) -> None:
        """Plant deposits whose webhook was answered too late and delivered again."""
        for deposit in self.take(2):
            metadata = {
                "payment_intent": f"pi_{deposit.payment.number}",
                "rail": "stripe",
                "reason": "webhook_retry",
            }
            self.state(deposit, "deposit", deposit.at + 31 * SECOND, deposit.amount, metadata=metadata)
            self.plant("duplicate_deposit", deposit.payment.case_id)

    def other_currency(self) -> None:
        """Plant a payment in pounds that was credited as if it were in dollars."""
        for deposit in self.take(1):
            deposit.payment.currency = "gbp"
            self.plant("currency_mismatch", deposit.payment.case_id)

    def other_amount(self) -> None:
        """Plant a payment with a coupon, and one with a tip, that the ledger does not know."""
        for deposit, more in zip(self.take(2), (Decimal("-0.10"), Decimal("0.25")), strict=False):
            deposit.payment.amount += more
            self.plant("amount_mismatch", deposit.payment.case_id)

    def disputed(self) -> None:
        """Plant a lost dispute and an open one, both with the credit left. Another one is won, and
        another is lost and clawed back.
        """
        lost, won, clawed_back, still_open = (self.take(1, days) for days in DISPUTED)
        for deposit in [*lost, *still_open]:
            self.return_money(deposit, "dispute", days=9)
            self.plant("dispute_not_clawed_back", deposit.payment.case_id)
        for deposit in won:
            self.return_money(deposit, "dispute", days=6)
            self.return_money(deposit, "dispute_reversal", days=19)
        for deposit in clawed_back:
            at = self.return_money(deposit, "dispute", days=8)
            metadata = {"reason": "dispute_lost"}
            self.state(
                deposit,
                "adjustment",
                at + HOUR,
                -deposit.amount,
                related_id=deposit.entry_id,
                metadata=metadata,
            )

    def refunded(self) -> None:
        """Plant refunds from Stripe's Dashboard that the ledger does not know: a whole one and a
        partial one, the latter of a payment in euro if there is one. Another refund bounced, so that no
        money went back.
        """
        whole, bounced = self.take(1), self.take(1)
        part = self.take(1, SETTLED_IN_DOLLAR, currency="eur") or self.take(1)
        for deposit, share in [
            *((one, Decimal(1)) for one in whole),
            *((one, Decimal("0.4")) for one in part),
        ]:
            self.return_money(deposit, "refund", days=4, share=share)
            self.plant("refund_not_clawed_back", deposit.payment.case_id)
        for deposit in bounced:
            self.return_money(deposit, "refund", days=3)
            self.return_money(deposit, "refund_failure", days=7)

    def transferred(self) -> None:
        """Plant a bank transfer that was sent back with the credit left. Another one failed and was
        never credited.
        """
        for deposit in self.take(1, (0, LEDGER_DAYS), currency="eur", rail=SEPA):  # there are few
            self.return_money(deposit, "refund", days=2)
            self.plant("refund_not_clawed_back", deposit.payment.case_id)
        at = self.statements.calendar.starts(LEDGER_DAYS // 2) + 11 * HOUR
        wallet = next(wallet for wallet in self.wallets if wallet.paywall is EURO)
        self.payments.append(
            Payment(SEPA, key("failed transfer", at), at, Decimal("5.00"), "eur", wallet.user, failed=True)
        )


def move_money(statements: Statements, wallets: list[Wallet]) -> Money:
    """Return the payments behind the statements, with the planted faults.

    The statements that the faults need are added, and so are this morning's deposits.
    """
    deposits = paid_deposits(statements, wallets)
    pile = sorted(deposits, key=lambda deposit: key("pile", deposit.entry_id))
    planting = Planting(statements, wallets, [deposit.payment for deposit in deposits], pile)
    planting.disputed()
    planting.refunded()
    planting.transferred()
    planting.never_credited()
    planting.credited_by_hand()
    planting.never_paid()
    planting.credited_twice()
    planting.other_currency()
    planting.other_amount()
    top_up_this_morning(statements, wallets)
    planted = {break_type: tuple(cases) for break_type, cases in sorted(planting.planted.items())}
    return Money(planting.payments, planted)


def top_up_this_morning(statements: Statements, wallets: list[Wallet]) -> None:
    """Add two deposits after the end of Stripe's data: it is not known yet whether they were paid."""
    for paywall in (CHAT, EURO):
        present = [
            wallet for wallet in wallets if wallet.paywall is paywall and wallet.named and wallet.requests
        ]
        active = [wallet for wallet in present if wallet.last_day == DAYS - 1]
        for wallet in sorted(active, key=lambda wallet: key("this morning", wallet.wallet_id))[:1]:
            # A transfer is settled 40 minutes later, which must be before the sample ends.
            statements.deposit(wallet, statements.calendar.ends - 50 * MINUTE, Decimal(1))
