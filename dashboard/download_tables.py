"""The tables that can be downloaded, and the conditions on their rows that an address can state."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dashboard.break_help import BREAKS
from dashboard.cost_break_help import BREAKS as COST_BREAKS
from dashboard.filters import Filters, any_of, entry_conditions, id_contains, of_chosen_users, user_conditions
from dashboard.queries import costs as cost_queries
from dashboard.queries.costs import CostSearch
from dashboard.queries.growth import MOVEMENTS, PERIOD_KINDS
from dashboard.queries.reconciliation import STATUSES, CaseSearch, case_conditions, payout_conditions
from exports.datasets import DATASETS, Dataset
from exports.filters import Filter

Parameters = Mapping[str, Sequence[str]]
ALL_CURRENCIES, OF_PERIOD = "all_currencies", "of_period"
# The parameters with few values, and their values.
ALLOWED: Mapping[str, Sequence[str]] = {
    ALL_CURRENCIES: ("true",),
    OF_PERIOD: ("true",),
    "case_status": STATUSES,
    "break_type": tuple(BREAKS),
    "cost_status": cost_queries.STATUSES,
    "cost_break": tuple(COST_BREAKS),
    "period_kind": PERIOD_KINDS,
    "movement": MOVEMENTS,
}


@dataclass(frozen=True)
class Downloadable:
    """A table that can be downloaded."""

    dataset: Dataset
    rows: str
    """Which rows a file has, as a sentence."""
    conditions: Callable[[Filters, Parameters], list[Filter]]
    parameters: tuple[str, ...] = ()
    """The parameters besides the filters of the page."""
    days: bool = True
    """Whether the days of the page limit the rows."""
    is_in_currency: bool = True
    """Whether the currency of the page limits the rows."""
    filters: tuple[str, ...] = ()
    """The lists of `Filters` that limit the rows. Others do not."""


USER_LISTS = ("user_statuses", "balance_bands", "payer_types")


def _limited(
    dataset: Dataset,
    rows: str,
    *filters: str,
    day: str | None = None,
    user: bool = False,
    currency: bool = True,
) -> Downloadable:
    """Return a table that the page limits by its columns.

    `filters` are the lists of `Filters` whose columns it has, and `day` is the column with the day.
    """
    columns = {"paywalls": "paywall_id", "models": "model_id"}

    def conditions(filters_of_page: Filters, parameters: Parameters) -> list[Filter]:
        chosen = filters_of_page
        found = [] if day is None else [Filter(f"{day} >= ? and {day} < ?", (chosen.since, chosen.until))]
        if currency and ALL_CURRENCIES not in parameters:
            found.append(Filter("currency = ?", (chosen.currency,)))
        for name, column in columns.items():
            if name in filters and (values := getattr(chosen, name)):
                found.append(any_of(column, values))
        if USER_LISTS[0] in filters:
            found += of_chosen_users(chosen)
        if "user" in parameters:
            found.append(any_of("user_id", parameters["user"]))
        return found

    parameters = (*(("user",) if user else ()), *((ALL_CURRENCIES,) if currency else ()))
    return Downloadable(dataset, rows, conditions, parameters, day is not None, currency, filters)


def _ledger(filters: Filters, parameters: Parameters) -> list[Filter]:
    columns = {"user": "user_id", "entry_status": "status"}
    chosen = [any_of(column, parameters[name]) for name, column in columns.items() if name in parameters]
    return [*entry_conditions(filters), *chosen]


def _users(filters: Filters, parameters: Parameters) -> list[Filter]:
    return [*user_conditions(filters), *(id_contains(text) for text in parameters.get("search", ()))]


def _cases(filters: Filters, parameters: Parameters) -> list[Filter]:
    search = CaseSearch(
        tuple(parameters.get("case_status", ())),
        tuple(parameters.get("break_type", ())),
        in_period=OF_PERIOD in parameters,
        all_currencies=ALL_CURRENCIES in parameters,
    )
    return case_conditions(filters, search)


def _cost_cases(filters: Filters, parameters: Parameters) -> list[Filter]:
    search = CostSearch(
        tuple(parameters.get("provider", ())),
        tuple(parameters.get("month", ())),
        tuple(parameters.get("cost_status", ())),
        tuple(parameters.get("cost_break", ())),
        in_period=OF_PERIOD in parameters,
        all_currencies=ALL_CURRENCIES in parameters,
    )
    return cost_queries.case_conditions(filters, search)


def _cost_months(_: Filters, parameters: Parameters) -> list[Filter]:
    return [any_of("provider", parameters["provider"])] if "provider" in parameters else []


def _user_movements(filters: Filters, parameters: Parameters) -> list[Filter]:
    columns = {
        "period_kind": "period_kind",
        # Of any text, so that one that is no day matches nothing.
        "period_start": "cast(period_start as varchar)",
        "movement": "movement",
    }
    return [
        Filter("currency = ?", (filters.currency,)),
        *(
            Filter(f"{column} in ({', '.join('?' for _ in parameters[name])})", tuple(parameters[name]))
            for name, column in columns.items()
            if name in parameters
        ),
    ]


def _journal(filters: Filters, parameters: Parameters) -> list[Filter]:
    currency = Filter("currency = ?", (filters.currency,))
    if "journal_month" not in parameters:
        return [currency]
    marks = ", ".join("?" for _ in parameters["journal_month"])
    return [
        currency,
        Filter(f"strftime(journal_date, '%Y-%m') in ({marks})", tuple(parameters["journal_month"])),
    ]


def _payouts(filters: Filters, parameters: Parameters) -> list[Filter]:
    currency, *others = payout_conditions(filters)
    return others if ALL_CURRENCIES in parameters else [currency, *others]


def _rejects(_: Filters, parameters: Parameters) -> list[Filter]:
    return [any_of("reason_code", parameters["reason"])] if "reason" in parameters else []


OF_PAYWALLS = ("paywalls", *USER_LISTS)
OPERATIONS = {
    dataset.name: dataset
    for dataset in (
        Dataset("runs", "runs", ("started_at", "run_id"), schema="ops"),
        Dataset("checks", "invariants", ("checked_at", "name", "scope"), schema="ops"),
        Dataset("loaded_files", "loaded_files", ("loaded_at", "path", "sha256"), schema="ops"),
        Dataset("rejected_records", "rejected_records", ("first_seen_at", "path", "line"), schema="ops"),
    )
}
STRIPE_BALANCES = Dataset(
    "stripe_balances", "fct_stripe_balances", ("account_id", "currency", "covered_until", "path")
)
HISTORY = Dataset(
    "reconciliation_history",
    "fct_reconciliation_history",
    ("case_id", "opened_at", "break_type"),
    currency=(),
)
COST_MONTHS = Dataset(
    "cost_months", "rpt_cost_reconciliation_months", ("provider", "month_start", "currency")
)
USER_MOVEMENTS = Dataset(
    "user_movements", "fct_user_movements", ("period_kind", "period_start", "currency", "user_id")
)
COST_HISTORY = Dataset(
    "cost_reconciliation_history",
    "fct_cost_reconciliation_history",
    ("case_id", "opened_at", "break_type"),
    currency=(),
)

TABLES: Mapping[str, Downloadable] = {
    table.dataset.name: table
    for table in (
        Downloadable(
            DATASETS["ledger"],
            "The entries of the period.",
            _ledger,
            ("user", "entry_status"),
            filters=("paywalls", "models", "entry_types", *USER_LISTS),
        ),
        Downloadable(
            DATASETS["users"],
            "One row per user, as of the publication.",
            _users,
            ("search",),
            days=False,
            filters=USER_LISTS,
        ),
        _limited(
            DATASETS["user_days"],
            "One row per user, paywall and day with activity in the period.",
            *OF_PAYWALLS,
            day="date_day",
            user=True,
        ),
        _limited(
            DATASETS["wallet_days"],
            "One row per wallet and day of the period on which the wallet moved.",
            *OF_PAYWALLS,
            day="date_day",
            user=True,
        ),
        _limited(
            DATASETS["daily_revenue"],
            "Revenue, cost and profit by day, paywall and model in the period.",
            "paywalls",
            "models",
            day="date_day",
        ),
        _limited(
            DATASETS["balance_rollforward"],
            "The balances owed to all users and their movements, by day of the period.",
            day="date_day",
        ),
        _limited(
            DATASETS["usage_errors"],
            "The failed requests of the period.",
            *OF_PAYWALLS,
            "models",
            day="error_date",
            user=True,
            currency=False,
        ),
        _limited(DATASETS["models"], "One row per model and named period, such as last_30_days.", "models"),
        _limited(DATASETS["cohorts"], "Every cohort of payers, month by month since the first payment."),
        _limited(DATASETS["period_kpis"], "The figures of every named period, such as last_30_days."),
        _limited(DATASETS["growth"], "Every week, month and block of 28 days."),
        Downloadable(
            USER_MOVEMENTS,
            "The users behind the bar, with their revenue in the period and in the one before.",
            _user_movements,
            ("period_kind", "period_start", "movement"),
            days=False,
        ),
        _limited(DATASETS["deferred_revenue"], "Every day."),
        Downloadable(
            DATASETS["journal"],
            "The lines of the month chosen above.",
            _journal,
            ("journal_month",),
            days=False,
        ),
        _limited(
            DATASETS["credit_days"],
            "Paid and promo credit and overdrafts of each wallet, by day of the period on which it moved.",
            *OF_PAYWALLS,
            day="date_day",
            user=True,
        ),
        Downloadable(
            DATASETS["reconciliation"],
            "The cases within the filters above, with both sides, in full.",
            _cases,
            ("case_status", "break_type", OF_PERIOD, ALL_CURRENCIES),
            days=False,
            filters=OF_PAYWALLS,
        ),
        Downloadable(
            DATASETS["payouts"],
            "The payouts that arrive in the period, and those without an arrival date.",
            _payouts,
            (ALL_CURRENCIES,),
        ),
        Downloadable(
            DATASETS["cost_reconciliation"],
            "The cases within the filters above, with both sides, in full.",
            _cost_cases,
            ("provider", "month", "cost_status", "cost_break", OF_PERIOD, ALL_CURRENCIES),
            days=False,
            filters=("models",),
        ),
        Downloadable(
            COST_MONTHS,
            "The months above, in every currency.",
            _cost_months,
            ("provider",),
            days=False,
            is_in_currency=False,
        ),
        _limited(
            DATASETS["bill_lines"],
            "The bill lines of the UTC days of the period that count, also those that are not compared.",
            "models",
            day="usage_date",
        ),
        _limited(STRIPE_BALANCES, "Stripe's balance summaries and the sums of the itemised rows."),
        *(
            _limited(dataset, rows, currency=False)
            for dataset, rows in (
                (OPERATIONS["runs"], "Every run up to the one that published these numbers."),
                (OPERATIONS["checks"], "The checks before every publication, with their results."),
                (OPERATIONS["loaded_files"], "Every file that was loaded."),
            )
        ),
        Downloadable(
            OPERATIONS["rejected_records"],
            "Every rejected record, with the reason and its raw text.",
            _rejects,
            ("reason",),
            days=False,
            is_in_currency=False,
        ),
    )
}
