"""The invented business: users, their paywalls and times, and the real requests that are assigned to them."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from hashlib import blake2b
from itertools import accumulate
from random import Random

from sample_data.pricing import OWN_MODEL, UNKNOWN_MODEL
from sample_data.requests import Request

DAYS = 120
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OPENS, CLOSES = 6.5, 23.5
"""The hours of the day over which the hour of the trace is stretched: the nights are quiet."""
SO_FAR = 6.0
"""The hour at which the last day ends, because it is not over yet."""
EURO_EVERY = 7
"""One in seven chat requests goes to the paywall in euro."""
GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Paywall:
    """One product with its currency, its markup and its users."""

    id: str
    currency: str
    markup: Decimal
    per_usd: Decimal
    """Units of the paywall's currency for one US dollar of provider cost: a fixed, invented rate."""
    fee_share: Decimal | None
    users: int
    week: tuple[float, ...]
    """Relative traffic from Monday to Sunday."""
    models: tuple[tuple[str, float], ...]


CHAT_MODELS = (
    ("openai/gpt-4o-mini", 0.20),
    ("openai/gpt-5-mini", 0.15),
    ("anthropic/claude-sonnet-4-5", 0.17),
    ("google/gemini-2.5-flash", 0.14),
    ("openai/gpt-4.1", 0.12),
    ("anthropic/claude-haiku-4-5", 0.09),
    ("mistral/mistral-small-latest", 0.06),
    ("anthropic/claude-opus-4-5", 0.04),
    (OWN_MODEL, 0.02),
    (UNKNOWN_MODEL, 0.01),
)
CODE_MODELS = (
    ("anthropic/claude-sonnet-4-5", 0.38),
    ("openai/gpt-4.1", 0.20),
    ("anthropic/claude-opus-4-5", 0.12),
    ("openai/gpt-5-mini", 0.14),
    ("google/gemini-2.5-flash", 0.10),
    ("anthropic/claude-haiku-4-5", 0.06),
)
EURO_MODELS = (
    ("mistral/mistral-small-latest", 0.35),
    ("openai/gpt-4.1", 0.25),
    ("anthropic/claude-sonnet-4-5", 0.20),
    ("google/gemini-2.5-flash", 0.20),
)

CHAT = Paywall(
    id="pw_assistant",
    currency="usd",
    markup=Decimal("1.2"),
    per_usd=Decimal(1),
    fee_share=Decimal("0.01"),
    users=215,
    week=(1.0, 1.05, 1.08, 1.02, 0.9, 0.7, 0.74),
    models=CHAT_MODELS,
)
CODE = Paywall(
    id="pw_codepilot",
    currency="usd",
    markup=Decimal("1.25"),
    per_usd=Decimal(1),
    fee_share=None,
    users=90,
    week=(1.0, 1.1, 1.12, 1.08, 0.88, 0.3, 0.26),
    models=CODE_MODELS,
)
EURO = Paywall(
    id="pw_assistant_eu",
    currency="eur",
    markup=Decimal("1.2"),
    per_usd=Decimal("0.9"),
    fee_share=None,
    users=60,
    week=(1.0, 1.02, 1.05, 1.0, 0.82, 0.55, 0.6),
    models=EURO_MODELS,
)
PAYWALLS = (CHAT, CODE, EURO)


def key(*parts: object, size: int = 8) -> str:
    """Return a stable id that looks like a real one."""
    return blake2b(":".join(map(str, parts)).encode(), digest_size=size).hexdigest()


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days of the sample, in reporting time. Instants are milliseconds since 1970."""

    last_day: date
    zone: tzinfo = UTC

    @property
    def first_day(self) -> date:
        """Day 0."""
        return self.last_day - timedelta(days=DAYS - 1)

    def day(self, number: int) -> date:
        """Return the date of day `number`."""
        return self.first_day + timedelta(days=number)

    def starts(self, number: int) -> int:
        """Return the instant at which day `number` begins."""
        midnight = datetime.combine(self.day(number), time(), tzinfo=self.zone)
        return int(midnight.timestamp()) * 1000

    def number(self, instant: int) -> int:
        """Return the number of the day of an instant."""
        day = datetime.fromtimestamp(instant // 1000, self.zone).date()
        return (day - self.first_day).days

    @property
    def ends(self) -> int:
        """The last instant of the sample."""
        return self.starts(DAYS - 1) + int(SO_FAR * 3_600_000)


@dataclass(slots=True)
class Wallet:
    """One user at one paywall."""

    paywall: Paywall
    user: str
    wallet_id: str
    """The user's id in webhooks."""
    first_day: int
    last_day: int
    weight: float
    model: str
    named: bool = True
    """Whether webhooks state the user of the wallet id."""
    requests: list[tuple[int, Request]] = field(default_factory=list)


def pick(models: Iterable[tuple[str, float]], draw: float) -> str:
    """Return the model at `draw` of the summed shares."""
    names = list(models)
    sums = list(accumulate(share for _, share in names))
    return names[min(bisect_right(sums, draw * sums[-1]), len(names) - 1)][0]


AWKWARD_USERS = ("zoë-müller", 'o"brien, k.', "acme:日本-7")
"""Ids that need quotes in CSV or are not ASCII, as in real ledgers."""


def make_wallets(random: Random) -> list[Wallet]:
    """Return the wallets. Users sign up all the time; a third leaves within ten days, and some later. A
    few do most of the work.
    """
    wallets: list[Wallet] = []
    for paywall in PAYWALLS:
        for number in range(paywall.users):
            established, moment = random.random() < 0.2, random.random()
            first = int(8 * moment) if established else int((DAYS - 1) * moment**0.8)
            fate, length = random.random(), random.random()
            stays = int(1 + 9 * length) if fate < 0.33 else int(15 + 60 * length) if fate < 0.65 else DAYS
            weight = min((1 - random.random()) ** -0.75, 30.0)
            draw, shared = random.random(), random.random()
            user = f"usr_{key(paywall.id, 'user', number, size=4)}"
            if paywall is CHAT and number < len(AWKWARD_USERS):
                user = AWKWARD_USERS[number]
            elif paywall is CODE and shared < 0.3:
                user = wallets[int(shared / 0.3 * CHAT.users)].user
            elif paywall is CODE and shared < 0.5:
                user = f"acme:{number:03d}"
            last = min(first + stays, DAYS - 1)
            wallet_id = f"wal_{key('wallet', user, size=6)}"
            wallets.append(Wallet(paywall, user, wallet_id, first, last, weight, pick(paywall.models, draw)))
    for number in range(3):
        wallet_id = f"wal_{key('unnamed', number, size=6)}"
        first_day = DAYS - 4 + number
        wallets.append(
            Wallet(CHAT, wallet_id, wallet_id, first_day, DAYS - 1, 0.8, "openai/gpt-4o-mini", named=False)
        )
    return wallets


def spread(
    requests: list[Request], paywall: Paywall, wallets: list[Wallet], calendar: Calendar, random: Random
) -> None:
    """Give every request a day, a time of that day and a wallet.

    The number of requests of a day depends on the weights of the users of that day and on the weekday. Steps
    of the golden ratio through the days give each day requests from the whole trace. The time of day is the
    request's relative time in it.
    """
    own = [wallet for wallet in wallets if wallet.paywall is paywall]
    present: list[list[Wallet]] = []
    traffic: list[float] = []
    for number in range(DAYS):
        here = [wallet for wallet in own if wallet.first_day <= number <= wallet.last_day]
        active = [wallet for wallet in here if random.random() < 0.6] or here
        present.append(active)
        noise = 0.85 + 0.3 * random.random()
        rhythm = paywall.week[calendar.day(number).weekday()] * (SO_FAR / 24 if number == DAYS - 1 else 1)
        traffic.append(sum(wallet.weight for wallet in active) ** 0.8 * rhythm * noise)
    shares = list(accumulate(traffic))
    weights = [list(accumulate(wallet.weight for wallet in active)) for active in present]
    opens = [calendar.starts(number) + int(OPENS * 3_600_000) for number in range(DAYS)]
    length = [int((CLOSES - OPENS) * 3_600_000)] * DAYS
    opens[-1], length[-1] = calendar.starts(DAYS - 1), int(SO_FAR * 3_600_000)
    for step, request in enumerate(requests):
        number = min(bisect_right(shares, step * GOLDEN % 1 * shares[-1]), DAYS - 1)
        who = bisect_right(weights[number], random.random() * weights[number][-1])
        wallet = present[number][min(who, len(present[number]) - 1)]
        wallet.requests.append((opens[number] + int(request.place * length[number]), request))


def make_world(traces: dict[str, list[Request]], calendar: Calendar, random: Random) -> list[Wallet]:
    """Return every wallet with its requests in order of time."""
    wallets = make_wallets(random)
    conv = traces["conv"]
    spread([r for r in conv if r.number % EURO_EVERY], CHAT, wallets, calendar, random)
    spread(traces["code"], CODE, wallets, calendar, random)
    spread([r for r in conv if not r.number % EURO_EVERY], EURO, wallets, calendar, random)
    for wallet in wallets:
        wallet.requests.sort(key=lambda item: (item[0], item[1].source, item[1].number))
    return wallets
