"""Tokens of the pull API: their scope, their expiry, and the file of the home that keeps their hashes.

The text of a token is shown once. It has 256 random bits, so that a plain SHA-256 of it cannot be reversed.
"""

import hashlib
import hmac
import json
import re
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from exports.datasets import DATASETS
from paywall_warehouse.files import private, replace_file
from paywall_warehouse.home import Home

LOCK_SECONDS = 10
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
TOKEN = re.compile(r"pwt_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
USER_PREFIX = "user_prefix"
# Compared with if no token has the id, so that the answer takes the same time.
NOBODY = "0" * 64


class TokenError(Exception):
    """Tokens cannot be read or changed as requested. The message says why and what is allowed."""


@dataclass(frozen=True)
class Token:
    """A token as it is stored."""

    name: str
    id: str
    sha256: str
    """The hash of the token's text."""
    created_at: str
    datasets: tuple[str, ...] | None = None
    """The datasets that it may see; None for all."""
    columns: tuple[str, ...] | None = None
    """The columns that it may see, in any dataset; None for all."""
    where: tuple[tuple[str, str], ...] = ()
    """Text columns and the value that each of them must have."""
    user_prefix: str | None = None
    """How the ids of the users begin whose rows it may see."""
    expires: str | None = None
    """The last UTC day on which it is valid."""

    def has_expired(self, today: date) -> bool:
        """Check whether the last day is over."""
        return self.expires is not None and today > date.fromisoformat(self.expires)

    @property
    def has_row_limit(self) -> bool:
        """Whether it may see some rows only."""
        return bool(self.where) or self.user_prefix is not None

    @property
    def scope_digest(self) -> str:
        """A digest of what the token may see. Tokens with the same scope have the same one."""
        scope = [self.datasets, self.columns, sorted(self.where), self.user_prefix]
        return hashlib.sha256(json.dumps(scope).encode()).hexdigest()


@dataclass(frozen=True)
class Scope:
    """The scope of a new token, as texts of the command line."""

    datasets: Sequence[str] = ()
    columns: str | None = None
    where: Sequence[str] = ()
    expires: str | None = None


@dataclass(frozen=True)
class Tokens:
    """The content of the file."""

    tokens: Mapping[str, Token] = field(default_factory=dict)
    """By id."""
    cursor_key: bytes = b""
    """The key that signs cursors."""

    def find(self, text: str) -> Token | None:
        """Return the token with this text, compared in constant time; None if there is none."""
        parts = TOKEN.fullmatch(text)
        token = self.tokens.get(parts[1]) if parts else None
        is_right = hmac.compare_digest(_hash(text), token.sha256 if token else NOBODY)
        return token if is_right else None


def new_token(name: str, scope: Scope, now: datetime) -> tuple[Token, str]:
    """Return a new token, which is not stored yet, and its text. Raises `TokenError`."""
    if not NAME.fullmatch(name):
        raise TokenError(
            f"the name {name!r} is not allowed; allowed: up to 64 letters, digits, '.', '_', '-'"
        )
    where, user_prefix = _conditions(scope.where)
    token_id = secrets.token_hex(8)
    text = f"pwt_{token_id}_{secrets.token_urlsafe(32)}"
    token = Token(
        name,
        token_id,
        _hash(text),
        now.astimezone(UTC).isoformat(timespec="seconds"),
        _datasets(scope.datasets),
        _columns(scope.columns),
        where,
        user_prefix,
        _expiry(scope.expires, now),
    )
    return token, text


def store_token(home: Home, token: Token) -> None:
    """Store a token with a new name. Raises `TokenError` if there is one of that name."""
    with _locked(home):
        before = read_tokens(home)
        if any(other.name == token.name for other in before.tokens.values()):
            raise TokenError(
                f"there is a token {token.name!r} already; revoke it first, or choose another name"
            )
        key = before.cursor_key or secrets.token_bytes(32)
        _write(home.tokens_file, Tokens({**before.tokens, token.id: token}, key))


def revoke_token(home: Home, name: str) -> None:
    """Remove a token. Raises `TokenError` if there is none of that name."""
    with _locked(home):
        before = read_tokens(home)
        left = {token.id: token for token in before.tokens.values() if token.name != name}
        if len(left) == len(before.tokens):
            names = ", ".join(sorted(token.name for token in before.tokens.values())) or "none"
            raise TokenError(f"there is no token {name!r}; there are: {names}")
        _write(home.tokens_file, Tokens(left, before.cursor_key))


def read_tokens(home: Home) -> Tokens:
    """Return the stored tokens. Raises `TokenError` if the file is damaged."""
    try:
        content = json.loads(home.tokens_file.read_text(encoding="utf-8"))
        tokens = [_token(entry) for entry in content["tokens"]]
        return Tokens({token.id: token for token in tokens}, bytes.fromhex(content["cursor_key"]))
    except FileNotFoundError:
        return Tokens()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TokenError(
            f"{home.tokens_file} is damaged. Remove it, and add the tokens again: none is valid any more."
        ) from error


class CurrentTokens:
    """The tokens as a server reads them, again whenever the file has changed: a revocation counts at once."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._version: tuple[int, int, int] | None = None
        self._tokens = Tokens()

    def read(self) -> Tokens:
        """Return the tokens. Raises `TokenError`."""
        with self._lock:
            version = _version(self._home.tokens_file)
            if version is None or version != self._version:
                self._tokens, self._version = read_tokens(self._home), version
            return self._tokens


def _version(file: Path) -> tuple[int, int, int] | None:
    try:
        now = file.stat()
    except FileNotFoundError:
        return None
    return now.st_ino, now.st_size, now.st_mtime_ns


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _datasets(names: Sequence[str]) -> tuple[str, ...] | None:
    if unknown := [name for name in names if name not in DATASETS]:
        raise TokenError(f"--dataset: there is no dataset {unknown[0]!r}; allowed: {', '.join(DATASETS)}")
    return tuple(dict.fromkeys(names)) or None


def _columns(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if wrong := [name for name in names if not COLUMN.fullmatch(name)]:
        raise TokenError(f"--columns: {wrong[0]!r} is no name of a column; allowed: names, comma-separated")
    return tuple(dict.fromkeys(names))


def _conditions(texts: Sequence[str]) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Return the conditions on columns, and the prefix of user ids."""
    conditions: dict[str, str] = {}
    for text in texts:
        name, operator, value = text.partition("=")
        # As in `export --where`: in `column = value` the space after the operator belongs to it.
        value = value.removeprefix(" ") if name.endswith(" ") else value
        name = name.strip()
        if not operator or not COLUMN.fullmatch(name):
            raise TokenError(
                f"--where {text!r} is not understood; allowed: column=value with a text column, and"
                f" {USER_PREFIX}=text"
            )
        if name in conditions:
            raise TokenError(f"--where: {name} is stated twice, and no row has two values; state it once")
        if not value.isprintable():
            raise TokenError(f"--where: the value of {name} has unprintable characters")
        conditions[name] = value
    prefix = conditions.pop(USER_PREFIX, None)
    if prefix == "":
        raise TokenError(
            f"--where {USER_PREFIX}= is empty, so that every user would be visible; leave it out"
        )
    return tuple(conditions.items()), prefix


def _expiry(text: str | None, now: datetime) -> str | None:
    if text is None:
        return None
    try:
        day = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) else None
    except ValueError:
        day = None
    if day is None or day < now.astimezone(UTC).date():
        raise TokenError(
            f"--expires {text!r} is not allowed; allowed: the last day on which the token is valid, such as"
            " 2027-12-31, and not one in the past"
        )
    return day.isoformat()


def _token(entry: dict[str, Any]) -> Token:
    token = Token(
        **{
            **entry,
            "datasets": tuple(entry["datasets"]) if entry["datasets"] is not None else None,
            "columns": tuple(entry["columns"]) if entry["columns"] is not None else None,
            "where": tuple((str(name), str(value)) for name, value in entry["where"]),
        }
    )
    if not re.fullmatch(r"[0-9a-f]{64}", token.sha256):
        raise ValueError(token.name)
    token.has_expired(date.min)  # raises for a day that cannot be read
    return token


def _locked(home: Home) -> FileLock:
    home.make()
    return FileLock(home.tokens_file.with_name(f"{home.tokens_file.name}.lock"), timeout=LOCK_SECONDS)


def _write(file: Path, tokens: Tokens) -> None:
    content = {
        "cursor_key": tokens.cursor_key.hex(),
        "tokens": [asdict(token) for token in tokens.tokens.values()],
    }
    text = json.dumps(content, indent=1) + "\n"

    def write(partial: Path) -> None:
        with open(partial, "w", encoding="utf-8", opener=private) as opened:
            opened.write(text)

    replace_file(file, write)
