"""The statements of the invented business about the requests: ledger entries and webhook events."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import cache
from random import Random
from typing import Any

from sample_data.pricing import OWN_RATES, Rates, rates, times
from sample_data.requests import Request
from sample_data.world import CHAT, CODE, DAYS, EPOCH, EURO, Calendar, Paywall, Wallet, key, pick

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
OWNER = "user_owner_01"

LEDGER_DAYS = DAYS - 5
"""The ledger export in US dollar ends on this day. Later activity is stated only by webhooks."""
BOTH_FROM = LEDGER_DAYS - 1
"""The first day whose charges and deposits are sent as webhooks: both ledger and webhooks state this day."""
RENAMED = DAYS - 30
"""From this day the event names have no `paywall.` prefix."""

KNOWN_AT_THE_END = ("completion_tokens", "total_tokens", "reasoning_tokens", "provider_cost", "platform_fees")
FAILURES = ("provider_timeout", "provider_overloaded", "content_filter", "stream_interrupted")
SIGNUP_BONUS = Decimal("0.1")
Statement = dict[str, Any]
"""A ledger entry version or a webhook event; money is Decimal, instants are milliseconds."""


@dataclass(slots=True)
class Statements:
    """All statements, not in order yet."""

    calendar: Calendar
    random: Random
    ledger: list[Statement] = field(default_factory=list)
    euro_ledger: list[Statement] = field(default_factory=list)
    late_ledger: list[Statement] = field(default_factory=list)
    """Statements that land after newer ones."""
    events: list[Statement] = field(default_factory=list)
    ledger_until: int = 0
    both_from: int = 0
    renamed_at: int = 0

    def __post_init__(self) -> None:
        self.ledger_until = self.calendar.starts(LEDGER_DAYS)
        self.both_from = self.calendar.starts(BOTH_FROM)
        self.renamed_at = self.calendar.starts(RENAMED)

    def chance(self, share: float) -> bool:
        """Return True in `share` of all cases."""
        return self.random.random() < share

    def in_ledger(self, paywall: Paywall, instant: int) -> bool:
        """Check whether the ledger covers this instant."""
        return paywall is EURO or instant < self.ledger_until

    def in_events(self, paywall: Paywall, instant: int) -> bool:
        """Check whether webhooks state charges and deposits at this instant."""
        return paywall is not EURO and instant >= self.both_from

    # ---- statements

    def entry(
        self, wallet: Wallet | None, kind: str, instant: int, amount: Decimal, **more: Any
    ) -> Statement:
        """Add a ledger entry; `at` is the time of this version of it."""
        paywall = wallet.paywall if wallet else more.pop("paywall")
        number = key(kind, instant, wallet.wallet_id if wallet else "operator", paywall.id)
        statement: Statement = {
            "id": f"act_{number}",
            "timestamp": instant,
            "updated_at": more.pop("at", instant),
            "type": kind,
            "status": "settled",
            "user": wallet.user if wallet else None,
            "paywall": paywall.id,
            "amount": amount,
            "currency": paywall.currency,
        } | more
        self.post(paywall, statement)
        return statement

    def post(self, paywall: Paywall, statement: Statement) -> None:
        """Add a statement to the paywall's ledger."""
        (self.euro_ledger if paywall is EURO else self.ledger).append(statement)

    def event(
        self, paywall: Paywall, kind: str, instant: int, metadata: dict[str, str] | None = None, **data: Any
    ) -> Statement:
        """Add a webhook delivery with the fields that the catalog defines for its type."""
        event: Statement = {
            "id": f"evt_{key(kind, instant, paywall.id, sorted(data.items()))}",
            "paywall": paywall,
            "type": kind if instant >= self.renamed_at else f"paywall.{kind}",
            "at": instant,
            "attempts": 1,
            "data": {"paywallId": paywall.id, "ownerUserId": OWNER} | data,
            "metadata": metadata,
        }
        self.events.append(event)
        return event

    # ---- the life of a wallet

    def add_wallet(self, wallet: Wallet) -> None:
        """Add the whole life of a wallet in order of time: sign-up, bonus, top-ups, requests, the end."""
        if not wallet.requests:
            self.sign_up(wallet, self.calendar.starts(wallet.first_day) + 9 * HOUR, requests=False)
            return
        prices = [self.price(wallet, instant, request) for instant, request in wallet.requests]
        spend = sum((amount for _, _, _, amount in prices), Decimal(0))
        balance = self.sign_up(wallet, wallet.requests[0][0] - 5 * MINUTE)
        pays = wallet.named and spend > balance
        top_up = self.usual_top_up(spend)
        last_deposit: Statement | None = None
        before = wallet.requests[0][0] - 2 * MINUTE
        for place, ((instant, request), priced) in enumerate(zip(wallet.requests, prices, strict=True)):
            amount = priced[3]
            left = len(prices) - place
            short = balance < amount
            if short and pays and (left > 2 or self.chance(0.5)):
                if self.chance(0.25):
                    self.run_dry(wallet, before, instant, amount, balance)
                last_deposit = self.deposit(
                    wallet, (before + instant) // 2, max(top_up, Decimal(int(amount) + 1))
                )
                balance += last_deposit["amount"]
            elif short and self.chance(0.12):
                self.run_dry(wallet, before, instant, amount, balance)
            elif pays and balance < top_up and self.chance(0.006):
                last_deposit = self.deposit(wallet, (before + instant) // 2, top_up)
                balance += last_deposit["amount"]
            balance += self.charge(wallet, instant, request, *priced)
            balance += self.other_activity(wallet, instant, balance)
            before = instant
        self.leave(wallet, before, balance, last_deposit)

    def usual_top_up(self, spend: Decimal) -> Decimal:
        """Return the amount that a user pays in at a time: half a unit to 5, not much more than they use."""
        draw = self.random.random()
        if spend < Decimal("0.6"):
            return Decimal("0.5") if draw < 0.4 else Decimal(1)
        if spend < 3:
            return Decimal(1) if draw < 0.6 else Decimal(2)
        return Decimal("2.5") if draw < 0.7 else Decimal(5)

    def sign_up(self, wallet: Wallet, instant: int, requests: bool = True) -> Decimal:
        """Add the authorization and a bonus (chat: a deposit by the operator, code: a trial), and
        return the bonus.
        """
        ids: dict[str, Any] = {"walletUserId": wallet.wallet_id, "externalUserId": wallet.user}
        if wallet.named:
            if self.chance(0.2 if requests else 0.8):
                asked = f"req_auth_{key('auth', wallet.wallet_id, wallet.paywall.id, size=5)}"
                link = f"https://paywalls.ai/connect/{asked}"
                self.event(
                    wallet.paywall,
                    "authorization.requested",
                    instant - MINUTE,
                    **ids,
                    requestId=asked,
                    approvalUrl=link,
                    mode="live",
                )
                if not requests and self.chance(0.6):
                    self.event(
                        wallet.paywall,
                        "authorization.declined",
                        instant,
                        **ids,
                        requestId=asked,
                        reason="User prefers not to share data",
                    )
                    return Decimal(0)
            self.event(
                wallet.paywall,
                "authorization.completed",
                instant,
                **ids,
                connectionId=f"conn_{key(*ids.values(), wallet.paywall.id, size=5)}",
            )
        instant += SECOND
        if wallet.paywall is CODE or not wallet.named:
            trial = f"act_{key('trial', wallet.wallet_id, wallet.paywall.id)}"
            self.event(
                wallet.paywall,
                "balance.trial.granted",
                instant,
                walletUserId=wallet.wallet_id,
                credits=SIGNUP_BONUS,
                activityId=trial,
            )
            return SIGNUP_BONUS
        if self.chance(0.8) and instant < self.ledger_until:
            self.entry(
                wallet,
                "deposit",
                instant,
                SIGNUP_BONUS,
                metadata={"reason": "signup_bonus", "campaign": "launch"},
            )
            return SIGNUP_BONUS
        return Decimal(0)

    def deposit(self, wallet: Wallet, instant: int, amount: Decimal) -> Statement:
        """Add a top-up: mostly Stripe Checkout, in euro sometimes a bank transfer that is pending at
        first.
        """
        paywall, number = wallet.paywall, key("payment", wallet.wallet_id, instant)
        session, intent = f"cs_test_{number}", f"pi_{number}"
        style = self.random.random()
        metadata: dict[str, Any] = {"payment_intent": intent, "checkout_session": session, "rail": "stripe"}
        if paywall is EURO and style < 0.2:
            metadata = {"rail": "sepa", "payment_id": f"sepa_{number}"}
        elif style < 0.3:
            metadata = {"payment_intent": intent}
        elif style < 0.4:
            metadata = {"checkout_session": session, "rail": "stripe"}
        elif style < 0.43:
            metadata = {"charge": f"ch_{number}"}
        if self.in_ledger(paywall, instant):
            if self.chance(0.03):
                self.entry(
                    wallet,
                    "deposit",
                    instant - 90 * SECOND,
                    amount,
                    status="pending",
                    metadata={"rail": "stripe", "payment_intent": f"{intent}a"},
                )
                failed = {"rail": "stripe", "payment_intent": f"{intent}a", "reason": "card_declined"}
                self.entry(
                    wallet,
                    "deposit",
                    instant - 90 * SECOND,
                    amount,
                    status="failed",
                    at=instant - 60 * SECOND,
                    metadata=failed,
                )
            if "payment_id" in metadata:
                self.entry(wallet, "deposit", instant, amount, status="pending", metadata=metadata)
                stated = self.entry(
                    wallet, "deposit", instant, amount, at=instant + 40 * MINUTE, metadata=metadata
                )
            else:
                stated = self.entry(wallet, "deposit", instant, amount, metadata=metadata)
        else:
            stated = {
                "id": f"act_{key('deposit', instant, wallet.wallet_id, paywall.id)}",
                "amount": amount,
                "timestamp": instant,
            }
        if "checkout_session" in metadata or not self.in_ledger(paywall, instant):
            if self.chance(0.2):
                self.event(
                    paywall,
                    "balance.topup.link.created",
                    instant - 80 * SECOND,
                    walletUserId=wallet.wallet_id,
                    redirectUrl=f"https://paywalls.ai/top-up/{session}",
                    checkoutSessionId=session,
                )
            self.event(
                paywall,
                "stripe.checkout.session.completed",
                instant - 2 * SECOND,
                checkoutSessionId=session,
                amount=amount,
                currency=paywall.currency.upper(),
                walletUserId=wallet.wallet_id,
            )
        if self.in_events(paywall, instant):
            self.event(
                paywall,
                "balance.deposit.created",
                instant,
                metadata={"paymentIntent": intent},
                walletUserId=wallet.wallet_id,
                externalUserId=wallet.user,
                amount=amount,
                currency="USD",
                source="stripe.checkout",
                activityId=stated["id"],
            )
        return stated

    def price(self, wallet: Wallet, instant: int, request: Request) -> tuple[str, int, Decimal, Decimal]:
        """Return the model, the cached tokens, the provider cost and the user's price, in the paywall's
        currency.
        """
        draw = self.random.random()
        model = wallet.model if draw < 0.65 else pick(wallet.paywall.models, (draw - 0.65) / 0.35)
        rate = self.rate(model, instant)
        cached = 0
        if (
            rate.cached_prompt is not None
            and not self.in_events(wallet.paywall, instant)
            and self.chance(0.12)
        ):
            cached = request.context_tokens * (1 + int(self.random.random() * 3)) // 4
        cost = times(
            rate.cost(request.context_tokens, request.generated_tokens, cached), wallet.paywall.per_usd
        )
        return model, cached, cost, times(cost, wallet.paywall.markup)

    def rate(self, model: str, instant: int) -> Rates:
        """Return the model's rates on that day."""
        return rates(model, (EPOCH + timedelta(milliseconds=instant)).date())

    def charge(
        self,
        wallet: Wallet,
        instant: int,
        request: Request,
        model: str,
        cached: int,
        cost: Decimal,
        amount: Decimal,
    ) -> Decimal:
        """Add one real request as a usage charge, and return the change of the balance."""
        paywall = wallet.paywall
        request_id = f"req_{request.source}_{request.number:05d}"
        activity = f"act_{key(request.source, request.number)}"
        if self.in_events(paywall, instant):
            self.usage_event(wallet, instant, activity, request_id, model, request, amount)
        if not self.in_ledger(paywall, instant):
            return -amount
        statement: Statement = {
            "id": activity,
            "timestamp": instant,
            "updated_at": instant,
            "type": "charge",
            "status": "settled",
            "user": wallet.user,
            "paywall": paywall.id,
            "amount": amount,
            "currency": paywall.currency,
            "request_id": request_id,
            "model": model,
            "prompt_tokens": request.context_tokens,
            "completion_tokens": request.generated_tokens,
            "total_tokens": request.context_tokens + request.generated_tokens,
        }
        if cached:
            statement["cached_tokens"] = cached
        if model == "openai/gpt-5-mini":
            statement["reasoning_tokens"] = request.generated_tokens * int(self.random.random() * 4) // 5
        if model not in OWN_RATES and not self.chance(0.02 if paywall is EURO else 0.06):
            statement["provider_cost"] = cost
        if paywall.fee_share is not None:
            statement["platform_fees"] = times(amount, paywall.fee_share)
        in_one_source = not self.in_events(paywall, instant)
        fate = self.random.random() if in_one_source else 1.0
        if fate < 0.011:
            return self.failed_call(wallet, statement)
        if fate < 0.013:
            return self.reversed_charge(wallet, statement)
        if fate < 0.045:
            return self.streamed(wallet, statement)
        self.post(paywall, statement)
        if fate < 0.048:
            return self.refunded(wallet, statement) - amount
        return -amount

    def usage_event(
        self,
        wallet: Wallet,
        instant: int,
        activity: str,
        request_id: str,
        model: str,
        request: Request,
        amount: Decimal,
    ) -> None:
        """Add the same charge as a webhook; some of them are announced as deferred."""
        bare = self.bare(model)
        if self.chance(0.02):
            self.event(
                wallet.paywall,
                "usage.charge.deferred",
                instant - 9 * SECOND,
                deferredRequestId=request_id,
                model=bare,
            )
        self.event(
            wallet.paywall,
            "usage.charge.created",
            instant,
            metadata={"requestId": request_id},
            walletUserId=wallet.wallet_id,
            activityId=activity,
            model=bare,
            promptTokens=request.context_tokens,
            completionTokens=request.generated_tokens,
            cost=amount,
        )

    def failed_call(self, wallet: Wallet, statement: Statement) -> Decimal:
        """Add a call for which the provider was paid, but not the user charged."""
        code = FAILURES[int(self.random.random() * 4)]
        self.post(wallet.paywall, statement | {"status": "failed", "metadata": {"reason": code}})
        self.event(
            wallet.paywall,
            "proxy.request.failed",
            statement["timestamp"] + SECOND,
            requestId=statement["request_id"],
            walletUserId=wallet.wallet_id,
            model=self.bare(statement["model"]),
            errorCode=code,
        )
        return Decimal(0)

    def reversed_charge(self, wallet: Wallet, statement: Statement) -> Decimal:
        """Add a settled charge that a later version of the same entry reverses."""
        self.post(wallet.paywall, statement)
        later = min(statement["timestamp"] + int((2 + 40 * self.random.random()) * HOUR), self.calendar.ends)
        back = statement | {
            "status": "reversed",
            "updated_at": later,
            "metadata": {"reason": "duplicate_request"},
        }
        self.late_ledger.append(back)
        return Decimal(0)

    def streamed(self, wallet: Wallet, statement: Statement) -> Decimal:
        """Add a charge that is pending at half the price while it streams, and settled under the same
        id, sometimes only the next morning.
        """
        begun = statement["timestamp"]
        amount: Decimal = statement["amount"]
        estimate = times(amount, Decimal("0.5"))
        pending = {name: value for name, value in statement.items() if name not in KNOWN_AT_THE_END}
        pending |= {"status": "pending", "amount": estimate, "metadata": {"stream": True}}
        open_still = wallet.paywall is EURO and begun > self.calendar.starts(DAYS - 1)
        if open_still:
            self.post(wallet.paywall, statement | {"status": "pending", "metadata": {"stream": True}})
            return Decimal(0)
        seconds = 5 + int(self.random.random() * 60) if self.chance(0.85) else 12 * 3600
        seconds = min(seconds, (self.calendar.ends - begun) // SECOND)
        settled = statement | {"updated_at": begun + seconds * SECOND, "metadata": {"stream": True}}
        if self.chance(0.02):
            self.late_ledger.append(pending)
        else:
            self.post(wallet.paywall, pending)
        self.post(wallet.paywall, settled)
        return -amount

    def refunded(self, wallet: Wallet, statement: Statement) -> Decimal:
        """Refund the charge as usage, in full or by half. Half of the refunds name the model themselves."""
        later = statement["timestamp"] + int((1 + 30 * self.random.random()) * HOUR)
        if later > (self.calendar.ends if wallet.paywall is EURO else self.ledger_until):
            return Decimal(0)
        amount = statement["amount"] if self.chance(0.7) else times(statement["amount"], Decimal("0.5"))
        more = {"model": statement["model"]} if self.chance(0.5) else {}
        self.entry(
            wallet,
            "refund",
            later,
            amount,
            related_id=statement["id"],
            metadata={"reason": "bad_answer"},
            **more,
        )
        return Decimal(amount)

    def other_activity(self, wallet: Wallet, instant: int, balance: Decimal) -> Decimal:
        """Add occasional activity beside a request: manual charges, corrections, errors.

        Return the change of the balance.
        """
        draw = self.random.random()
        paywall = wallet.paywall
        ids: dict[str, Any] = {"walletUserId": wallet.wallet_id}
        after = instant + 7 * SECOND
        number = key("besides", wallet.wallet_id, paywall.id, instant)
        if paywall is not EURO and wallet.named and draw < 0.0025:
            fee = Decimal("0.02") if draw < 0.0015 else Decimal("0.05")
            if draw < 0.0004 or balance < fee:
                self.event(
                    paywall,
                    "balance.charge.failed",
                    after,
                    **ids,
                    activityId=f"act_{number}",
                    amount=fee,
                    errorCode="insufficient_funds",
                )
                return Decimal(0)
            self.event(
                paywall,
                "balance.charge.created",
                after,
                **ids,
                activityId=f"act_{number}",
                amount=fee,
                processingFeeAmount=Decimal("0.001"),
            )
            self.event(
                paywall,
                "balance.charge.completed",
                after + 4 * SECOND,
                **ids,
                activityId=f"act_{number}",
                settlementReference=f"settlement_{number}",
            )
            return -fee
        if draw < 0.0032 and wallet.named and self.in_ledger(paywall, after):
            goodwill = draw < 0.0029
            amount = Decimal("0.05") if goodwill else Decimal("-0.015")
            self.entry(
                wallet,
                "adjustment",
                after,
                amount,
                metadata={"reason": "goodwill" if goodwill else "metering_correction"},
            )
            return amount
        if draw < 0.0052:
            model = self.bare(wallet.model)
            day = self.calendar.day(self.calendar.number(instant)).isoformat()
            self.event(paywall, "usage.rate.limited", after, limit=200, date=day, model=model, **ids)
        elif draw < 0.0072:
            self.event(
                paywall, "request.blocked", after, **ids, reason="policy_violation", requestId=f"req_{number}"
            )
        elif draw < 0.0080:
            self.event(
                paywall,
                "proxy.request.blocked",
                after,
                requestId=f"req_{number}",
                **ids,
                reason="policy_violation",
            )
        elif draw < 0.0090:
            self.event(
                paywall,
                "proxy.request.canceled",
                after,
                requestId=f"req_{number}",
                **ids,
                model=self.bare(wallet.model),
            )
        elif draw < 0.0110:
            for kind, moment in (("started", after), ("completed", after + 3 * SECOND)):
                self.event(
                    paywall,
                    f"proxy.request.{kind}",
                    moment,
                    requestId=f"req_{number}",
                    **ids,
                    model=self.bare(wallet.model),
                )
        return Decimal(0)

    @staticmethod
    @cache
    def bare(model: str) -> str:
        """Return the name of a model without its provider, as webhooks have it."""
        return model.split("/", 1)[1] if model not in OWN_RATES else model

    def run_dry(self, wallet: Wallet, before: int, instant: int, amount: Decimal, balance: Decimal) -> None:
        """Add the events of a request that the balance could not pay."""
        moment = before + (instant - before) // 4
        ids: dict[str, Any] = {"walletUserId": wallet.wallet_id}
        self.event(
            wallet.paywall,
            "balance.depleted",
            moment,
            **ids,
            requestedAmount=amount,
            availableBalance=balance,
        )
        asked = f"req_{key('dry', wallet.wallet_id, moment)}"
        self.event(
            wallet.paywall,
            "request.blocked",
            moment + SECOND,
            **ids,
            reason="insufficient_balance",
            requestId=asked,
        )

    def leave(self, wallet: Wallet, last: int, balance: Decimal, deposit: Statement | None) -> None:
        """Add the end of a wallet: some users withdraw their money, and some revoke the connection."""
        gone = last + 3 * DAY + 2 * HOUR
        if gone > self.ledger_until or not wallet.named:
            return
        if deposit is not None and balance > Decimal("0.2") and self.chance(0.3):
            if balance <= deposit["amount"] and self.chance(0.6):
                self.entry(
                    wallet,
                    "refund",
                    gone,
                    balance,
                    related_id=deposit["id"],
                    metadata={"reason": "requested_by_customer"},
                )
            else:
                self.entry(wallet, "withdrawal", gone, balance, metadata={"reason": "account_closed"})
        if self.chance(0.3):
            ids: dict[str, Any] = {"walletUserId": wallet.wallet_id, "externalUserId": wallet.user}
            self.event(wallet.paywall, "authorization.revoked", gone + HOUR, **ids)

    # -- the operator
    # ---------------------------------------------------------------------------------------------

    def operate(self) -> None:
        """Add the actions of the operator: withdrawn earnings, changed settings, repeated deliveries."""
        for number in range(28, LEDGER_DAYS, 28):
            self.entry(
                None,
                "withdrawal",
                self.calendar.starts(number) + 10 * HOUR,
                Decimal(2),
                paywall=CHAT,
                metadata={"reason": "earnings"},
            )
        start = self.calendar.starts(0) + 8 * HOUR
        actor = "usr_admin_01"
        changed = ["pricing.markup"]
        self.event(CHAT, "updated", start, changedFields=changed, summarySections=["Markup set to 20 %"])
        self.event(
            CODE, "updated", start + HOUR, changedFields=changed, summarySections=["Markup set to 25 %"]
        )
        self.event(CHAT, "integration.connected", start + 2 * HOUR, integrationKey="posthog", enabledBy=actor)
        self.event(
            CHAT, "integration.disconnected", start + 9 * DAY, integrationKey="posthog", disabledBy=actor
        )
        self.event(
            CODE, "secret.rotated", start + 60 * DAY, secretLastFour="8f3c", actorId=actor, actorType="user"
        )
        url = "https://hooks.example.com/paywalls"
        self.event(
            CHAT,
            "integration.stripe.webhook.rotated",
            start + 61 * DAY,
            webhookId="wh_stripe_01",
            url=url,
            secretSuffix="42fa",
        )
        old = Paywall("pw_prototype", "usd", Decimal(1), Decimal(1), None, 0, (), ())
        self.event(old, "archived", start + DAY, reason="Replaced by pw_assistant")
        for event in self.events[:: len(self.events) // 12]:
            self.events.append(event | {"attempts": 2})


def make_statements(wallets: list[Wallet], calendar: Calendar, random: Random) -> Statements:
    """Return the statements about every wallet and about the operator."""
    statements = Statements(calendar, random)
    for wallet in wallets:
        statements.add_wallet(wallet)
    statements.operate()
    return statements
