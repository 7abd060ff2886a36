"""A person's id in texts: records as they came, their metadata, rows that were rejected.

An id is replaced where it stands by itself: as a JSON text, a CSV field, a word of a sentence. Within a
longer word it is another id. The names of a record's fields are never replaced, nor are its keys (`KEYS`). An
id that looks like a number, or is a word of the format such as `charge`, is replaced only where a name says
that a user is meant. A text that decides a number is replaced only where the number stays what it is
(`Person.in_text`).
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence

from ingestion.model_names import priced_alike
from ingestion.sources.ledger import ENTRY_TYPES, FIELDS, METADATA_KEYS, STATUSES
from ingestion.sources.payments import FIELDS as PAYMENT_FIELDS
from ingestion.sources.payments import STATUSES as PAYMENT_STATUSES
from ingestion.sources.prices import FIELDS as PRICE_FIELDS
from ingestion.sources.webhooks import ENVELOPE, PATHS

# A place in a record: the names of the members that lead there.
Path = tuple[str, ...]

JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
# A text, and whether it names a member; a number; the begin or the end of an object or a list.
JSON_TOKEN = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*")(?P<names>\s*:)?|(?P<number>(?<![\w.+-])-?[0-9][-+.0-9eE]*)|(?P<opens>[{\[])|(?P<closes>[}\]])|(?P<next>,)'
)
NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]*)?([eE][-+]?[0-9]+)?")
NAMES_A_USER = re.compile(r"user|wallet|external_?id|client_reference|customer(?!_facing)", re.IGNORECASE)
# What makes a longer id of one that stands beside it; a point does only where something follows it.
BEFORE, AFTER = r"(?<![A-Za-z0-9_.@+-])", r"(?![A-Za-z0-9_@+-]|\.[A-Za-z0-9])"
WORD = re.compile(r"[A-Za-z0-9_.@+:/-]+")
# A shorter id is too often a part of what somebody writes.
SHORTEST_WORD = 4

# Fields that have a column of their own, and in which anybody may write anything.
FREE_TEXTS = frozenset({"model", "reason", "errorCode", "source"})
METADATA = ("metadata",)
# The wrapper of the webhook guide.
ENVELOPED = ("event",)

_FIELDS: set[Path] = {(name,) for name in (*FIELDS, *ENVELOPE, *PAYMENT_FIELDS, *PRICE_FIELDS)}
_FIELDS |= {tuple(path.removeprefix("$.").split(".")) for path in PATHS.values()}
_FIELDS |= {(*METADATA, key) for keys in METADATA_KEYS.values() for key in keys}
# Ids of entries, requests and payments, and the words that say what an entry is: no user, whatever they look
# like.
KEYS = frozenset(path for path in _FIELDS if path[-1] not in FREE_TEXTS and not NAMES_A_USER.search(path[-1]))
# How `fct_ledger_entries` knows that a webhook's deposit was paid by Stripe.
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
    """An id, and the pseudonym in its place."""

    def __init__(self, user: str, pseudonym: str, promo_reasons: Sequence[str] = ()) -> None:
        self.user = user
        self.pseudonym = pseudonym
        self.looks_like_number = NUMBER.fullmatch(user) is not None
        self.is_ambiguous = self.looks_like_number or user in WORDS_OF_THE_FORMAT or user in promo_reasons
        """Whether the id means something else where no name says that it is a user."""
        self.spellings = tuple(dict.fromkeys(_spellings(user)))
        """As texts may write the id: escaped as JSON and CSV do."""
        self._promo_reasons = frozenset(promo_reasons)
        spelt = "|".join(map(re.escape, sorted(self.spellings, key=len, reverse=True)))
        self._alone = re.compile(f"{BEFORE}(?:{spelt}){AFTER}")

    def may_be_in(self, text: str) -> bool:
        """False where the text cannot name the person; JSON may escape any character."""
        return "\\u" in text or any(spelling in text for spelling in self.spellings)

    def is_said_in(self, text: str) -> bool:
        """Whether a whole text of a JSON document is the id: then the record is about the person."""
        return self.may_be_in(text) and any(_text_of(token) == self.user for token in JSON_TEXT.findall(text))

    def in_json(self, text: str, *, is_about: bool = False, within: Path = ()) -> str:
        """A JSON text without the id. `within` is the place of the text in its record, () for the record
        itself.

        `is_about` says that the record is the person's own: then words of its texts are replaced too.
        """
        if not self.may_be_in(text):
            return text
        is_about |= self.is_said_in(text)
        places, name = [within], ""
        in_list: list[bool] = []

        def replaced(found: re.Match[str]) -> str:
            nonlocal name
            if found["names"]:
                name = _text_of(found["text"]) or ""
            elif found["opens"]:
                # The outermost object is the text itself; what stands in a list has no name.
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
        """What is no JSON, such as a row that was rejected, without the id."""
        return text if self.is_ambiguous else self._alone.sub(self.pseudonym, text)

    def in_field(self, path: Path, value: str) -> str:
        """The value of a landed column, or of a member of one, without the id."""
        name = path[-1]
        if value.lstrip().startswith("{"):
            return self.in_json(value, within=path)
        if path in KEYS or (self.is_ambiguous and not NAMES_A_USER.search(name)):
            return value
        if name in FREE_TEXTS:
            return self.in_text(name, value, is_about=True)
        return self.pseudonym if value == self.user else self.in_row(value)

    def in_text(self, name: str, text: str, *, is_about: bool = False) -> str:
        """The text of a field with this name without the id, as it stands in the record or in a column of its
        own.

        A model is named alike in everybody's records and in the operator's rates: its words are replaced in
        all of them.
        """
        if self.is_ambiguous and not NAMES_A_USER.search(name):
            return text
        if text == self.user:
            return self._if_its_value_is_kept(name, text, self.pseudonym)
        if (is_about or name == "model") and not self.is_ambiguous and len(self.user) >= SHORTEST_WORD:
            return self._if_its_value_is_kept(name, text, self._alone.sub(self.pseudonym, text))
        return text

    def _if_its_value_is_kept(self, name: str, before: str, after: str) -> str:
        """The text with the pseudonym; the text as it was where that would change what an entry counts as, or
        what it costs.
        """
        changes = before != after and (
            (name == "model" and not priced_alike(before, after))
            or (name == "reason" and before in self._promo_reasons)
            or (name == "source" and before.lower().startswith(STRIPE) != after.lower().startswith(STRIPE))
        )
        return before if changes else after

    def _scalar(self, found: re.Match[str], path: Path, is_about: bool) -> str:
        """A text or a number of a JSON document."""
        if (path[1:] if path[:1] == ENVELOPED else path) in KEYS:
            return found[0]
        said = found["number"] if found["number"] else _text_of(found["text"])
        if said is None or (found["number"] and said != self.user):
            return found[0]
        after = self.in_text(path[-1], said, is_about=is_about)
        return found[0] if after == said else json.dumps(after, ensure_ascii="\\u" in found[0])


def words_of(text: str) -> Iterator[str]:
    """What may be an id in a row that was rejected."""
    yield from texts_of(text)
    for word in WORD.findall(text):
        yield word
        # `model:id`, `provider/id`: what stands before and behind each of them is a word, too.
        for at in (found.start() for found in re.finditer("[:/]", word)):
            yield from (word[:at], word[at + 1 :], re.split("[:/]", word[at + 1 :], maxsplit=1)[0])
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
