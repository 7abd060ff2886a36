"""The connection to a Postgres server: the DSN, one read-only transaction, and errors without secrets.

Messages of the driver and of the server are never shown. They may contain the host, the user, parts of a
malformed DSN, and values of rows. An error is recognised by its SQLSTATE, and by a few phrases where a failed
connection has none.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from paywall_warehouse import env_file
from paywall_warehouse.quoting import quoted
from paywall_warehouse.settings import ENV_FILE

# Parameters in URLs for Prisma, which LiteLLM uses: libpq refuses a URL that contains them. `schema` is used.
PRISMAS = {
    "connection_limit",
    "pgbouncer",
    "pool_timeout",
    "schema",
    "socket_timeout",
    "sslaccept",
    "sslidentity",
    "statement_cache_size",
}
# Without keepalives, a pull would wait for two hours for a server that has vanished.
DEFAULTS: Final = {
    "connect_timeout": "15",
    "keepalives_idle": "60",
    "keepalives_interval": "10",
    "keepalives_count": "6",
    "application_name": "paywall-warehouse",
    "client_encoding": "UTF8",
}
URL = re.compile(r"(?P<scheme>postgres(?:ql)?)(?:\+\w+)?://(?:(?P<user>[^@/]*)@)?(?P<rest>.*)", re.DOTALL)
KEYWORD = re.compile(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S*)")
PLACE = ("host", "hostaddr", "port", "dbname", "service")
OLDEST_VERSION = 120_000
# The text of values must not depend on the settings of the role. The first statement has to be the first of
# the transaction. A long pull is not a mistake; a table that stays locked is.
SESSION: Final = (
    "set transaction isolation level repeatable read read only",
    "set local timezone = 'UTC'",
    "set local datestyle = 'ISO, YMD'",
    "set local intervalstyle = 'iso_8601'",
    "set local bytea_output = 'hex'",
    "set local extra_float_digits = 1",
    "set local standard_conforming_strings = on",
    "set local statement_timeout = 0",
    "set local lock_timeout = '60s'",
)


class PostgresRefusedError(Exception):
    """A pull that Postgres refuses, or that does not fit the table; a retry does not help."""


class PostgresUnavailableError(ConnectionError):
    """A failure to reach Postgres, or a lost connection. The next try may help."""


@dataclass(frozen=True)
class Dsn:
    """A DSN in the form that libpq reads, and the name of its variable for messages."""

    variable: str
    text: str = field(repr=False)
    schema: str | None
    """The schema of Prisma's parameter; None for the role's own search path."""
    place: str
    """A digest of host, port and database: the same after a password was changed."""


def dsn_text(variable: str) -> str | None:
    """Return the text of a variable from the environment or `.env`; None if it is not set or empty."""
    return env_file.variable_text(variable, Path(ENV_FILE))


def read_dsn(variable: str) -> Dsn:
    """Return the DSN of a variable. Raises `PostgresRefusedError` if it is not set or not a DSN."""
    text = dsn_text(variable)
    if text is None:
        raise PostgresRefusedError(
            f"{variable} is not set. Set it, in the environment or in {ENV_FILE}, to the DSN of the database,"
            " such as postgresql://user:password@host:5432/database"
        )
    found = URL.fullmatch(text)
    if found is not None:
        return _from_url(variable, found)
    keywords = dict(KEYWORD.findall(text))
    if not keywords or KEYWORD.sub("", text).strip():
        raise _malformed(variable)
    added = [f"{name}='{value}'" for name, value in DEFAULTS.items() if name not in keywords]
    place = repr([keywords.get(name) for name in PLACE])
    return Dsn(variable, " ".join([text, *added]), None, _digest(place))


def _from_url(variable: str, found: re.Match[str]) -> Dsn:
    location, _, query = found["rest"].partition("?")
    parameters = [one.partition("=")[::2] for one in query.split("&") if one]
    kept = [(name, value) for name, value in parameters if name not in PRISMAS]
    names = {name for name, _ in kept}
    kept += [(name, value) for name, value in DEFAULTS.items() if name not in names]
    user = f"{found['user']}@" if found["user"] is not None else ""
    options = "&".join(f"{name}={value}" for name, value in kept)
    place = repr([location, *((name, value) for name, value in kept if name in PLACE)])
    return Dsn(
        variable,
        f"postgresql://{user}{location}?{options}",
        unquote(dict(parameters).get("schema", "")) or None,
        _digest(place),
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def reading(dsn: Dsn) -> Iterator["Reading"]:
    """Yield one read-only transaction, in which every query sees the same rows.

    Raises `PostgresUnavailableError` and `PostgresRefusedError`, also for errors within the block.
    """
    # The driver takes a tenth of a second to load, which runs without a pull do not need.
    import adbc_driver_manager  # noqa: PLC0415
    import adbc_driver_postgresql.dbapi as adbc  # noqa: PLC0415

    try:
        connection = adbc.connect(dsn.text)
    except adbc_driver_manager.Error as error:
        raise _explain_connection(dsn.variable, str(error)) from None
    try:
        # Without the driver's own close, an abandoned result would keep the query running on the server.
        with connection, connection.cursor() as cursor:
            session = [*SESSION, *([f"set local search_path to {quoted(dsn.schema)}"] if dsn.schema else [])]
            for statement in session:
                cursor.execute(statement)
            transaction = Reading(cursor)
            if int(transaction.row("select current_setting('server_version_num')")[0]) < OLDEST_VERSION:
                raise PostgresRefusedError(
                    f"{dsn.variable}: the server is older than Postgres 12, the oldest that is supported"
                )
            yield transaction
    except Exception as error:
        # A result that breaks off is an OSError of pyarrow, with the same text.
        found = re.search(r"SQLSTATE:? ?\(?([0-9A-Z]{5})", str(error))
        state = getattr(error, "sqlstate", None) or (found[1] if found else None)
        if isinstance(error, adbc_driver_manager.Error) or state or "libpq" in str(error):
            raise _explain_query(dsn.variable, state) from None
        raise


class Reading:
    """One transaction on the server."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return all rows of a small result."""
        self._cursor.execute(query)
        return list(self._cursor.fetchall())

    def row(self, query: str) -> tuple[Any, ...]:
        """Return the only row of a result."""
        return self.rows(query)[0]

    def batches(self, query: str) -> Iterator[Any]:
        """Yield a result as Arrow record batches of about 16 MB, while the server sends it."""
        self._cursor.execute(query)
        yield from self._cursor.fetch_record_batch()


# What libpq and the server write about failed connections, in lower case.
REFUSED = {
    "certificate": "the server's certificate could not be verified",
    "password authentication failed": "Postgres refuses the user or the password",
    "no password supplied": "the DSN has no password, and Postgres requires one",
    "authentication failed": "Postgres refuses the user",
    "no pg_hba.conf entry": "Postgres does not accept this user from this machine (pg_hba.conf)",
    "fatal:  role": "Postgres does not accept the role of the DSN",
    "does not exist": "the database of the DSN does not exist",
    "permission denied for database": "the user may not connect to the database",
    "does not support ssl": "the server does not support SSL, which the DSN requires",
}
MALFORMED = ("invalid", "missing", "unterminated", "unexpected", "definition of service")
UNAVAILABLE = {
    "connection refused": "no server accepts connections at the address of the DSN",
    "could not translate host name": "the host of the DSN is not known",
    "timeout": "the server did not answer in time",
    "timed out": "the server did not answer in time",
    "no such file or directory": "no server has its socket where the DSN says",
    "starting up": "the server is starting up",
    "shutting down": "the server is shutting down",
    "too many": "the server has no free connection",
    "remaining connection slots": "the server has no free connection",
}


def _explain_connection(variable: str, message: str) -> Exception:
    message = message.partition("Failed to connect:")[2].strip().lower() or message.lower()
    if message.startswith(MALFORMED):
        return _malformed(variable)
    for phrase, reason in UNAVAILABLE.items():
        if phrase in message:
            return PostgresUnavailableError(
                f"{variable}: Postgres cannot be reached: {reason}. Start the server, or correct the DSN"
            )
    for phrase, reason in REFUSED.items():
        if phrase in message:
            return PostgresRefusedError(f"{variable}: {reason}. Correct the DSN in {variable}")
    return PostgresUnavailableError(
        f"{variable}: Postgres cannot be reached. Try the DSN in {variable} with psql, which gives the reason"
    )


def _malformed(variable: str) -> PostgresRefusedError:
    return PostgresRefusedError(
        f"{variable} is not a DSN that Postgres accepts. Write postgresql://user:password@host:5432/database,"
        " with special characters in the password percent-encoded (@ as %40)"
    )


# Classes of SQLSTATE after which another try may help, and single states.
TRANSIENT = ("08", "53", "57", "58", "25P03", "40", "55P03")
STATES = {
    "42501": "the role of the DSN may not read it. Grant it usage on the schema and select on the table",
    "42P01": "the table does not exist any more. Correct the table in the mapping",
    "42703": "a column does not exist any more. Run again, or correct the mapping",
    "57014": "the query was canceled on the server",
    "55P03": "the table was locked for a minute. A migration may be running",
}


def _explain_query(variable: str, state: str | None) -> Exception:
    if state is None:
        return PostgresUnavailableError(f"{variable}: the connection to Postgres was lost")
    reason = STATES.get(state, "the server's log has the message")
    text = f"{variable}: Postgres reports error {state}: {reason}"
    return PostgresUnavailableError(text) if state.startswith(TRANSIENT) else PostgresRefusedError(text)
