"""A person's id in texts: records as they came, their metadata, rows that were rejected.

An id is replaced where it stands by itself: as a JSON text, a CSV field, a word of a sentence. Within a longer word it is another id.
What names the fields of a record is never replaced, nor is the value of a field that means no user. An id that looks like a number, or is a
word of the format such as `charge`, is replaced only where a name says that a user is meant.
"""

import csv
import json
import re
from collections.abc import Iterator

from ingestion.events import ENVELOPE, PATHS
from ingestion.ledger import ENTRY_TYPES, FIELDS, METADATA_KEYS, STATUSES
from ingestion.payments import FIELDS as PAYMENT_FIELDS
from ingestion.payments import STATUSES as PAYMENT_STATUSES

JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
# A text, and whether it names a member; or a number.
JSON_SCALAR = re.compile(r'(?P<text>"(?:[^"\\]|\\.)*")(?P<names>\s*:)?|(?P<number>(?<![\w.+-])-?[0-9][-+.0-9eE]*)')
NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]*)?([eE][-+]?[0-9]+)?")
NAMES_A_USER = re.compile(r"user|wallet|external_?id|client_reference|customer(?!_facing)", re.IGNORECASE)
# What makes a longer id of one that stands beside it; a point does only where something follows it.
BEFORE, AFTER = r"(?<![A-Za-z0-9_.@+-])", r"(?![A-Za-z0-9_@+-]|\.[A-Za-z0-9])"
WORD = re.compile(r"[A-Za-z0-9_.@+:/-]+")
# A shorter id is too often a part of what somebody writes.
SHORTEST_WORD = 4

_NAMES = {*FIELDS, *ENVELOPE, *PAYMENT_FIELDS, *(path.rpartition(".")[2] for path in PATHS.values())}
_NAMES |= {key for keys in METADATA_KEYS.values() for key in keys} - {"metadata"}
# Fields whose value is no user, whatever it looks like. Within metadata an `id` may be anybody's.
NO_USER = frozenset(name for name in _NAMES if not NAMES_A_USER.search(name)) - {"id", "reason"}
WORDS_OF_THE_FORMAT = frozenset(
    {*_NAMES, "paid", "promo", "usd", "eur", "null", "true", "false"}
    | {word for words in (ENTRY_TYPES, STATUSES, PAYMENT_STATUSES) for synonyms in words.values() for word in synonyms}
)


class Person:
    """An id, and the pseudonym in its place."""

    def __init__(self, user: str, pseudonym: str) -> None:
        self.user = user
        self.pseudonym = pseudonym
        self.looks_like_number = NUMBER.fullmatch(user) is not None
        self.is_ambiguous = self.looks_like_number or user in WORDS_OF_THE_FORMAT
        """Whether the id means something else where no name says that it is a user."""
        self.spellings = tuple(dict.fromkeys(_spellings(user)))
        """As texts may write the id: escaped as JSON and CSV do."""
        spelt = "|".join(map(re.escape, sorted(self.spellings, key=len, reverse=True)))
        self._alone = re.compile(f"{BEFORE}(?:{spelt}){AFTER}")

    def may_be_in(self, text: str) -> bool:
        """False where the text cannot name the person; JSON may escape any character."""
        return "\\u" in text or any(spelling in text for spelling in self.spellings)

    def in_json(self, text: str, *, is_about: bool = False) -> str:
        """A JSON text without the id. `is_about` says that the record is the person's own: then words of its texts are replaced too."""
        if not self.may_be_in(text):
            return text
        is_about |= any(_text_of(token) == self.user for token in JSON_TEXT.findall(text))
        named_at, name = -1, ""

        def replaced(found: re.Match[str]) -> str:
            nonlocal named_at, name
            if found["names"]:
                named_at, name = found.end(), _text_of(found["text"]) or ""
                return found[0]
            # A value follows its name; what else follows stands in a list.
            of = name if not text[named_at : found.start()].strip() and named_at >= 0 else ""
            return self._value(found, of, is_about)

        return JSON_SCALAR.sub(replaced, text)

    def in_row(self, text: str) -> str:
        """What is no JSON, such as a row that was rejected, without the id."""
        return text if self.is_ambiguous else self._alone.sub(self.pseudonym, text)

    def in_field(self, name: str, value: str) -> str:
        """The value of a column, or of a member, without the id."""
        if value.lstrip().startswith("{"):
            return self.in_json(value)
        if name in NO_USER or name == "id" or (self.is_ambiguous and not NAMES_A_USER.search(name)):
            return value
        return self.pseudonym if value == self.user else self.in_row(value)

    def _value(self, found: re.Match[str], name: str, is_about: bool) -> str:
        """A text or a number of a JSON document."""
        if name in NO_USER or (self.is_ambiguous and not NAMES_A_USER.search(name)):
            return found[0]
        if found["number"] == self.user or (found["text"] and _text_of(found["text"]) == self.user):
            # A reason that is the id as a whole may decide what a deposit is.
            return found[0] if name == "reason" else json.dumps(self.pseudonym)
        if found["text"] and is_about and name != "id" and not self.is_ambiguous and len(self.user) >= SHORTEST_WORD:
            return self._alone.sub(self.pseudonym, found[0])
        return found[0]


def words_of(text: str) -> Iterator[str]:
    """What may be an id in a row that was rejected."""
    yield from texts_of(text)
    yield from WORD.findall(text)
    yield from (field.strip().strip('"') for field in text.split(","))
    try:
        yield from next(csv.reader([text.replace("\n", " ")]), [])
    except csv.Error:
        return


def texts_of(text: str) -> Iterator[str]:
    """What the texts of a JSON document say."""
    yield from filter(None, map(_text_of, JSON_TEXT.findall(text)))


def _text_of(token: str) -> str | None:
    """What a JSON text says; None where it is none."""
    try:
        said = json.loads(token, strict=False)
    except ValueError:
        return None
    return said if isinstance(said, str) else None


def _spellings(user: str) -> Iterator[str]:
    yield user
    for ascii_only in (True, False):
        written = json.dumps(user, ensure_ascii=ascii_only)[1:-1]
        yield written
        yield written.replace("/", "\\/")
    yield user.replace('"', '""')
