"""Replacing a person's id in texts: records, their metadata, and rejected rows.

An id is replaced where it is a whole JSON text, a whole CSV field or a whole word. As a part of a longer word
it is another id. The names of a record's fields are never replaced, and neither are its keys (`KEYS`). An id
that looks like a number, or is a word of the format such as `charge`, is replaced only in a field whose name
refers to a user. A text on which a number depends is replaced only if the number does not change
(`Person.in_text`).
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence

from ingestion.sources.ledger import ENTRY_TYPES, FIELDS, METADATA_KEYS, STATUSES
from ingestion.sources.payments import FIELDS as PAYMENT_FIELDS, STATUSES as PAYMENT_STATUSES
from ingestion.sources.prices import FIELDS as PRICE_FIELDS
from ingestion.sources.webhooks import ENVELOPE, PATHS

# The path of a value in a record: the names of the members that lead to it.
Path = tuple[str, ...]

JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
# A text, and whether it names a member; a number; the beginning or the end of an object or a list; a comma.
JSON_TOKEN = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*")(?P<names>\s*:)?|(?P<number>(?<![\w.+-])-?[0-9][-+.0-9eE]*)'
    r"|(?P<opens>[{\[])|(?P<closes>[}\]])|(?P<next>,)"
)
NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]*)?([eE][-+]?[0-9]+)?")
NAMES_A_USER = re.compile(r"user|wallet|external_?id|client_reference|customer(?!_facing)", re.IGNORECASE)
# The characters that make a longer id of the one beside them; a point does so only if a character follows it.
BEFORE, AFTER = r"(?<![A-Za-z0-9_.@+-])", r"(?![A-Za-z0-9_@+-]|\.[A-Za-z0-9])"
WORD = re.compile(r"[A-Za-z0-9_.@+:/-]+")
# A shorter id is too often an ordinary word.
SHORTEST_WORD = 4

# Fields that have a column of their own and may contain any text.
FREE_TEXTS = frozenset({"model", "reason", "errorCode", "source"})
METADATA = ("metadata",)
# The wrapper of the webhook guide.
ENVELOPED = ("event",)

_FIELDS: set[Path] = {(name,) for name in (*FIELDS, *ENVELOPE, *PAYMENT_FIELDS, *PRICE_FIELDS)}
_FIELDS |= {tuple(path.removeprefix("$.").split(".")) for path in PATHS.values()}
_FIELDS |= {(*METADATA, key) for keys in METADATA_KEYS.values() for key in keys}
# Ids of entries, requests and payments, and the words that classify an entry: they never are a user, even if
# they look like one.
KEYS = frozenset(path for path in _FIELDS if path[-1] not in FREE_TEXTS and not NAMES_A_USER.search(path[-1]))
# The `source` by which `fct_ledger_entries` recognises that a webhook's deposit was paid with Stripe.
STRIPE = "stripe"
WORDS_OF_THE_FORMAT = frozenset(
    {*(path[-1] for path in _FIELDS), "paid", "promo", "usd", "eur", "null", "true", "false", STRIPE}
    | {
        word
        for words in (ENTRY_TYPES, STATUSES, PAYMENT_STATUSES)
        for synonyms in words.values()
        for word in synonyms
    }
)


class Person:
    """An erased person: the id, and the pseudonym that replaces it."""

    def __init__(self, user: str, pseudonym: str, reasons: Sequence[str] = ()) -> None:
        self.user = user
        self.pseudonym = pseudonym
        self.looks_like_number = NUMBER.fullmatch(user) is not None
        self.is_ambiguous = self.looks_like_number or user in WORDS_OF_THE_FORMAT or user in reasons
        """Whether the id may mean something else in a field whose name does not refer to a user."""
        self.spellings = tuple(dict.fromkeys(_spellings(user)))
        """The ways to write the id in a text, with the escapes of JSON and CSV."""
        self._reasons = frozenset(reasons)
        spelt = "|".join(map(re.escape, sorted(self.spellings, key=len, reverse=True)))
        self._alone = re.compile(f"{BEFORE}(?:{spelt}){AFTER}")

    def may_be_in(self, text: str) -> bool:
        """Return False if the text cannot name the person. JSON may escape any character."""
        return "\\u" in text or any(spelling in text for spelling in self.spellings)

    def is_stated_in(self, text: str) -> bool:
        """Check whether a whole text of a JSON document is the id: then the record is about the person."""
        return self.may_be_in(text) and any(_text_of(token) == self.user for token in JSON_TEXT.findall(text))

    def in_json(self, text: str, *, is_about: bool = False, within: Path = ()) -> str:
        """Return a JSON text without the id.

        `within` is the path of the text in its record, () for the record itself. `is_about` means that the
        record is about the person: then words in its texts are replaced, too.
        """
        if not self.may_be_in(text):
            return text
        is_about |= self.is_stated_in(text)
        places, name = [within], ""
        in_list: list[bool] = []

        def replaced(found: re.Match[str]) -> str:
            nonlocal name
            if found["names"]:
                name = _text_of(found["text"]) or ""
            elif found["opens"]:
                # The outermost object is the text itself. An item of a list has no name.
                places.append((*places[-1], name) if in_list else within)
                in_list.append(found["opens"] == "[")
                name = ""
            elif found["closes"]:
                if in_list:
                    in_list.pop()
                    places.pop()
                name = ""
            elif found["next"]:
                name = ""
            else:
                return self._scalar(found, (*places[-1], name), is_about)
            return found[0]

        return JSON_TOKEN.sub(replaced, text)

    def in_row(self, text: str) -> str:
        """Return a text that is not JSON, such as a rejected row, without the id."""
        return text if self.is_ambiguous else self._alone.sub(self.pseudonym, text)

    def in_field(self, path: Path, value: str) -> str:
        """Return the value of a landed column, or of a member of one, without the id."""
        name = path[-1]
        if value.lstrip().startswith("{"):
            return self.in_json(value, within=path)
        if path in KEYS or (self.is_ambiguous and not NAMES_A_USER.search(name)):
            return value
        if name in FREE_TEXTS:
            return self.in_text(name, value, is_about=True)
        return self.pseudonym if value == self.user else self.in_row(value)

    def in_text(self, name: str, text: str, *, is_about: bool = False) -> str:
        """Return the text of a field without the id, in a record or in a column of its own.

        A model has the same name in all records and in the operator's rates: its words are replaced in all of
        them.
        """
        if self.is_ambiguous and not NAMES_A_USER.search(name):
            return text
        if text == self.user:
            return self._unless_a_number_changes(name, text, self.pseudonym)
        if (is_about or name == "model") and not self.is_ambiguous and len(self.user) >= SHORTEST_WORD:
            return self._unless_a_number_changes(name, text, self._alone.sub(self.pseudonym, text))
        return text

    def _unless_a_number_changes(self, name: str, before: str, after: str) -> str:
        """Return the text with the pseudonym, or the old text if the new one would change how an entry is
        counted or what it costs.
        """
        # The price book takes long to import, and loads import this module.
        from ingestion.model_names import priced_alike  # noqa: PLC0415

        changes = before != after and (
            (name == "model" and not priced_alike(before, after))
            or (name == "reason" and before in self._reasons)
            or (name == "source" and before.lower().startswith(STRIPE) != after.lower().startswith(STRIPE))
        )
        return before if changes else after

    def _scalar(self, found: re.Match[str], path: Path, is_about: bool) -> str:
        """Return the replacement for a text or a number of a JSON document."""
        if (path[1:] if path[:1] == ENVELOPED else path) in KEYS:
            return found[0]
        value = found["number"] if found["number"] else _text_of(found["text"])
        if value is None or (found["number"] and value != self.user):
            return found[0]
        after = self.in_text(path[-1], value, is_about=is_about)
        return found[0] if after == value else json.dumps(after, ensure_ascii="\\u" in found[0])


def words_of(text: str) -> Iterator[str]:
    """Yield the parts of a rejected row that may be an id."""
    yield from texts_of(text)
    for word in WORD.findall(text):
        yield word
        # In `model:id` and `provider/id`, the parts before and after the separators are words, too.
        for at in (found.start() for found in re.finditer("[:/]", word)):
            yield from (word[:at], word[at + 1 :], re.split("[:/]", word[at + 1 :], maxsplit=1)[0])
    yield from (field.strip().strip('"') for field in text.split(","))
    try:
        yield from next(csv.reader([text.replace("\n", " ")]), [])
    except csv.Error:
        return


def texts_of(text: str) -> Iterator[str]:
    """Yield the texts of a JSON document, without their escapes."""
    yield from filter(None, map(_text_of, JSON_TEXT.findall(text)))


def _text_of(token: str) -> str | None:
    """Return a JSON text without its escapes; None if it is not a JSON text."""
    try:
        value = json.loads(token, strict=False)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _spellings(user: str) -> Iterator[str]:
    yield user
    for ascii_only in (True, False):
        written = json.dumps(user, ensure_ascii=ascii_only)[1:-1]
        yield written
        yield written.replace("/", "\\/")
    yield user.replace('"', '""')
