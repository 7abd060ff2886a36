"""The page of the connection to Paywalls.ai: the receiver, refused and rejected deliveries, and one user."""

from datetime import UTC, datetime

import streamlit as st

from dashboard import connection_checks as checking, formats
from dashboard.connection_checks import Check, ConnectionFacts
from dashboard.context import Context, link_to
from dashboard.download_panel import download_panel
from dashboard.error_help import error_columns, meaning
from dashboard.queries import connection as connection_queries, users as users_queries
from dashboard.receiver_help import REFUSALS
from dashboard.snapshot import Row
from dashboard.tables import Column, count_column, fields, instant_column, table, text_column
from dashboard.tiles import Tile, tiles
from ingestion.receiver.report import ReceiverState, read_state

ERRORS = 20


def show(context: Context) -> None:
    """Draw the page."""
    user_id = st.text_input(
        "User id",
        key="user",
        bind="query-params",
        placeholder="The complete id of a user, to check this user too",
    ).strip()
    user = users_queries.user(context.snapshot, user_id) if user_id else None
    if user_id and user is None:
        st.info(
            "No user of the ledger or of a webhook has this id. Search for a part of it on the users page.",
            icon=":material/search_off:",
        )
        link_to("users", "Users", q=user_id)
    if user is not None:
        # The checks are about this user, also if the filters about users leave the user out.
        context = context.without_user_filters()
    facts = facts_of(context, user)
    st.subheader("Checks", anchor=False)
    _checks(checking.checks(facts))
    if user is not None:
        _user(context, user)
    _receiver(facts)
    _errors(context, user)
    _rejected(context, facts)
    _settings(context, facts)


def facts_of(context: Context, user: Row | None) -> ConnectionFacts:
    """Return what is known about webhooks, and about the user if one is given."""
    state, fault = _state(context)
    settings = context.settings
    links = {"AUTHORIZATION_LINK": settings.authorization_link, "TOP_UP_LINK": settings.top_up_link}
    errors: list[Row] = []
    balances = {}
    if user is not None:
        user_id = user["user_id"]
        errors = connection_queries.errors_by_code(context.snapshot, context.filters, ERRORS, user_id)
        reports = users_queries.user_reports(context.snapshot, user_id)
        balances = {report["currency"]: report["balance"] for report in reports}
    return ConnectionFacts(
        now=datetime.now(UTC),
        timezone=context.timezone,
        state=state,
        state_fault=fault,
        has_secret=settings.paywalls_webhook_secret is not None,
        missing_links=[name for name, link in links.items() if not link],
        loaded=connection_queries.loaded_events(context.snapshot),
        rejected=connection_queries.rejected_events(context.snapshot),
        user=user,
        balances=balances,
        errors=sum(row["errors"] for row in errors),
    )


def _state(context: Context) -> tuple[ReceiverState | None, str | None]:
    try:
        return read_state(context.settings.home.receiver_file), None
    except PermissionError:
        return None, "The dashboard may not read the receiver's state in the home (state/receiver.json)."
    except (OSError, ValueError):
        return None, "The receiver's state in the home (state/receiver.json) cannot be read: it is damaged."


def user_facts(context: Context, user: Row) -> list[tuple[str, str]]:
    """Return the facts about a user's authorization and events."""

    # A file of an earlier version lacks the events until the next run.
    def at(name: str) -> str:
        instant = user.get(name)
        return (
            f"{formats.instant(instant, context.timezone)} {context.timezone}" if instant else formats.NOTHING
        )

    return [
        ("Authorization", formats.text(user["status"])),
        ("Since", at("status_at")),
        ("By the event", formats.text(user.get("status_event"))),
        ("Last webhook event", formats.text(user.get("last_event_type"))),
        ("Its time", at("last_event_at")),
    ]


def _user(context: Context, user: Row) -> None:
    st.subheader("User", anchor=False)
    fields(user_facts(context, user), alt="Connection of the user")
    link_to("user", f"User {user['user_id']}", user=user["user_id"])


def _receiver(facts: ConnectionFacts) -> None:
    st.subheader("Webhook receiver", anchor=False)
    word, sentence = checking.health(facts)
    state = facts.state
    if state is None:
        st.info(sentence, icon=":material/info:")
        return
    signatures = [
        state.refused[reason].count for reason in ("wrong_signature", "unsigned") if reason in state.refused
    ]
    tiles(
        (
            Tile("Receiver", word.capitalize(), sentence),
            Tile(
                "Last delivery",
                formats.instant(state.last_delivery_at, facts.timezone),
                f"When it was acknowledged, in {facts.timezone}.",
            ),
            Tile(
                "Deliveries",
                formats.whole(state.stored),
                f"Stored since the start. Repeated ones, acknowledged again: {formats.whole(state.repeated)}."
                f" Not stored, so that they come again: {formats.whole(state.failed)}.",
            ),
            Tile(
                "Refused signatures", formats.whole(sum(signatures)), "Wrong or missing ones since the start."
            ),
        )
    )
    if state.last_event_type:
        st.markdown(f"Last delivery: {formats.plain(state.last_event_type)}")
    st.caption(f"{sentence} Counts begin with its start. They were written at {facts.at(state.written_at)}.")
    rows = [
        {
            "reason": reason,
            "count": one.count,
            "last_at": one.last_at,
            "what": REFUSALS[reason][0],
            "do": REFUSALS[reason][1],
        }
        for reason, one in state.refused.items()
    ]
    if rows:
        st.markdown("**Refused requests**")
        columns = [
            text_column("reason", "Reason"),
            count_column("count", "Requests"),
            instant_column("last_at", "Last", facts.timezone),
            text_column("what", "What it means"),
            text_column("do", "What to do"),
        ]
        table(rows, columns, alt="Refused requests")


def _errors(context: Context, user: Row | None) -> None:
    st.subheader("Errors in the period", anchor=False)
    snapshot, filters, zone = context.snapshot, context.filters, context.timezone
    user_id = None if user is None else user["user_id"]
    columns = [
        text_column("error_kind", "Event"),
        text_column("error_code", "Code"),
        Column("meaning", "What it means", meaning),
        count_column("errors", "Errors"),
        *([count_column("users", "Users")] if user is None else []),
        instant_column("last_at", "Last", zone),
    ]
    errors = connection_queries.errors_by_code(snapshot, filters, ERRORS, user_id)
    table(errors, columns, alt="Errors by code")
    if user_id is not None and errors:
        st.markdown("**The latest**")
        latest = users_queries.user_errors(snapshot, user_id, filters, ERRORS)
        table(latest, error_columns(context, latest), alt="Recent errors")
    if errors:
        more: dict[str, str | list[str]] = {} if user_id is None else {"user": user_id}
        download_panel(context, "usage_errors", "Each of these errors, with its request.", **more)


def _rejected(context: Context, facts: ConnectionFacts) -> None:
    st.subheader("Rejected event records", anchor=False)
    zone = context.timezone
    columns = [
        text_column("reason_code", "Reason"),
        count_column("records", "Records"),
        instant_column("first_seen_at", "First", zone),
        instant_column("last_seen_at", "Last", zone),
    ]
    table(facts.rejected, columns, alt="Rejected event records")
    if facts.rejected:
        link_to("runs", "File, line and text of each record")
    last = connection_queries.last_event(context.snapshot)
    if last is not None:
        st.caption(
            f"The last loaded event about a user is {formats.plain(last['last_event_type'])}, of"
            f" {facts.at(last['last_event_at'])}."
        )


def _settings(context: Context, facts: ConnectionFacts) -> None:
    st.subheader("Settings", anchor=False)
    links = {
        "AUTHORIZATION_LINK": context.settings.authorization_link,
        "TOP_UP_LINK": context.settings.top_up_link,
    }
    fields(
        [
            ("PAYWALLS_WEBHOOK_SECRET", "set" if facts.has_secret else "not set"),
            *((name, link or "not set") for name, link in links.items()),
        ],
        alt="Settings",
    )
    st.caption("As the dashboard sees them. The receiver may run with other ones.")


def _checks(checks: list[Check]) -> None:
    bad = sum(not check.is_ok for check in checks)
    if bad:
        verb = "needs" if bad == 1 else "need"
        st.warning(
            f"{bad} of {formats.counted(len(checks), 'check')} {verb} a look.", icon=":material/warning:"
        )
    else:
        st.success(f"All {len(checks)} checks are OK.", icon=":material/check_circle:")
    rows = [
        {
            "verdict": one.verdict,
            "name": one.name,
            "finding": one.finding,
            "remedy": one.remedy or formats.NOTHING,
        }
        for one in sorted(checks, key=lambda check: check.is_ok)
    ]
    columns = [
        text_column("verdict", "Verdict"),
        text_column("name", "Check"),
        text_column("finding", "What was found"),
        text_column("remedy", "What to do"),
    ]
    table(rows, columns, alt="Checks of the connection")
