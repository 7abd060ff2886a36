"""A look at the file `.env`, and at names of variables, before their values count.

What reads the file passes over a line that it does not understand, a name that it does not know and a file
that is no text: the setting then has its default, and numbers are wrong without a word.
"""

import codecs
import io
import os
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from dotenv.parser import parse_stream

ENCODING = "utf-8-sig"
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Of a short name too many others differ in one letter.
SHORTEST_NAME = 7
NEAR = 0.6


class EnvFileError(Exception):
    """A file that cannot be read as it stands; the text names file and lines, and shows no value."""


def read_env_file(path: Path) -> dict[str, int]:
    """Return the names that a file states, in upper case, with their lines; raises `EnvFileError`.

    A file that is not there states nothing.
    """
    stated: dict[str, int] = {}
    faults = []
    for binding in parse_stream(io.StringIO(_text(path))):
        line = binding.original.line + _blank_lines(binding.original.string)
        if binding.error:
            faults.append(
                f"{path}, line {line}: it cannot be read. Write NAME=value, values with spaces or # in double"
                " quotes."
            )
        elif binding.key is not None and binding.value is None:
            faults.append(
                f"{path}, line {line}: {binding.key.upper()} has no value. Write {binding.key.upper()}=value,"
                " or delete the line."
            )
        elif binding.key is not None:
            stated[binding.key.upper()] = line
    if faults:
        raise EnvFileError("\n".join(faults))
    return stated


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise EnvFileError(
            f"{path} cannot be read: {error.strerror}. Put that right, or remove it."
        ) from None
    if content.startswith(UTF_16_MARKS) or b"\0" in content:
        raise EnvFileError(
            f"{path} is UTF-16, which some editors call Unicode, or no text: save it as UTF-8."
        )
    try:
        return content.decode(ENCODING)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise EnvFileError(f"{path}, line {line}: it is not UTF-8 text. Save the file as UTF-8.") from None


def _blank_lines(text: str) -> int:
    """The empty lines with which a statement begins for the parser."""
    return len(text[: len(text) - len(text.lstrip())].splitlines())


def unknown_names(path: Path, stated: Mapping[str, int], known: Collection[str]) -> Iterator[str]:
    """Yield a warning for each name of a file that is no setting, with the nearest that is; Dagster reads the
    file for its own, too.
    """
    for name, line in stated.items():
        is_dagsters = name.startswith("DAGSTER_") and not any(_is_one_slip(name, one) for one in known)
        if name not in known and not is_dagsters:
            near = get_close_matches(name, known, 1, NEAR)
            hint = f" Did you mean {near[0]}?" if near else " docs/operations.md lists all settings."
            yield f"{path}, line {line}: {name} is no setting and is passed over.{hint}"


def misspelt_variables(known: Collection[str]) -> Iterator[str]:
    """Yield a warning for each environment variable whose name is one slip of the keyboard away from a
    setting's.

    Whose any other variable is cannot be told.
    """
    names = {name.upper() for name in os.environ}
    for name in sorted(names - set(known)):
        for near in known:
            if len(near) >= SHORTEST_NAME and near not in names and _is_one_slip(name, near):
                yield (
                    f"The environment variable {name} is no setting and is passed over. Did you mean {near}?"
                )


def _is_one_slip(one: str, other: str) -> bool:
    """Whether a letter is missing, too many, another, or has changed places with the next."""
    if one == other or abs(len(one) - len(other)) > 1:
        return False
    start = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    rest, others_rest = one[start:], other[start:]
    swapped = rest[:2] == others_rest[1::-1] and len(rest) > 1 and rest[2:] == others_rest[2:]
    return swapped or rest[1:] == others_rest[1:] or rest == others_rest[1:] or rest[1:] == others_rest
