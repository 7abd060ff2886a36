"""A person's id in texts: records as they came, their metadata, rows that were rejected.

An id is replaced where it stands by itself: as a JSON text, a CSV field, a word of a sentence. Within a longer word it is another id. One
that looks like a number is replaced only where a name says that a user is meant: elsewhere it is an amount or a count.
"""

import json
import re
from collections.abc import Iterator

JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
JSON_MEMBER = re.compile(r'("(?:[^"\\]|\\.)*"\s*:\s*)(-?[0-9][-+.0-9eE]*)(?=\s*[,}])')
NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]*)?([eE][-+]?[0-9]+)?")
NAMES_A_USER = re.compile(r"user|wallet|external|customer|client_reference", re.IGNORECASE)
# What makes a longer id of one that stands beside it; a point does only where something follows it.
BEFORE, AFTER = r"(?<![A-Za-z0-9_.@+-])", r"(?![A-Za-z0-9_@+-]|\.[A-Za-z0-9])"
WORD = re.compile(r"[A-Za-z0-9_.@+:/-]+")
LONGEST_NAME = 200
# A shorter id is too often a part of what somebody writes.
SHORTEST_WORD = 4


class Person:
    """An id, and the pseudonym in its place."""

    def __init__(self, user: str, pseudonym: str) -> None:
        self.user = user
        self.pseudonym = pseudonym
        self.looks_like_number = NUMBER.fullmatch(user) is not None
        self.spellings = tuple(dict.fromkeys(_spellings(user)))
        """As texts may write the id: escaped as JSON and CSV do."""
        spelt = "|".join(map(re.escape, sorted(self.spellings, key=len, reverse=True)))
        self._alone = re.compile(f"{BEFORE}(?:{spelt}){AFTER}")

    def may_be_in(self, text: str) -> bool:
        """False where the text cannot name the person."""
        return any(spelling in text for spelling in self.spellings) or "\\u" in text

    def in_json(self, text: str, *, is_about: bool = False) -> str:
        """A JSON text without the id. `is_about` says that the record is the person's own: then words of its texts are replaced too."""
        if not self.may_be_in(text) and not is_about:
            return text
        is_about |= any(_text_of(token) == self.user for token in JSON_TEXT.findall(text))
        named = JSON_MEMBER.sub(self._number, text) if self.looks_like_number else text
        return JSON_TEXT.sub(lambda token: self._token(token[0], named, token, is_about), named)

    def in_row(self, text: str) -> str:
        """What is no JSON, such as a row that was rejected, without the id."""
        return text if self.looks_like_number else self._alone.sub(self.pseudonym, text)

    def in_field(self, name: str, value: str) -> str:
        """The value of a CSV column without the id."""
        if value.lstrip().startswith("{"):
            return self.in_json(value)
        if value == self.user:
            return self.pseudonym if not self.looks_like_number or NAMES_A_USER.search(name) else value
        return self.in_row(value)

    def _number(self, member: re.Match[str]) -> str:
        is_user = member[2] == self.user and NAMES_A_USER.search(member[1])
        return f"{member[1]}{json.dumps(self.pseudonym)}" if is_user else member[0]

    def _token(self, token: str, text: str, found: re.Match[str], is_about: bool) -> str:
        """One text of a JSON document."""
        if _text_of(token) == self.user:
            if not self.looks_like_number or self._names_a_user(text[: found.start()]):
                return json.dumps(self.pseudonym)
            return token
        if is_about and not self.looks_like_number and len(self.user) >= SHORTEST_WORD:
            return self._alone.sub(self.pseudonym, token)
        return token

    def _names_a_user(self, before: str) -> bool:
        """Whether the text that ends here ends with a member's name that means a user."""
        name = re.search(r'"((?:[^"\\]|\\.)*)"\s*:\s*$', before[-LONGEST_NAME:])
        return name is not None and NAMES_A_USER.search(name[1]) is not None


def words_of(text: str) -> Iterator[str]:
    """What may be an id in a row that was rejected."""
    yield from filter(None, map(_text_of, JSON_TEXT.findall(text)))
    yield from WORD.findall(text)
    yield from (field.strip().strip('"') for field in text.split(","))


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
