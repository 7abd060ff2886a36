"""Checks of the file `.env`, and of the names of variables, before their values are used.

The library that reads the file ignores malformed lines, unknown names and files that are not text. The
setting would then have its default, and numbers would be wrong without any warning.
"""

import codecs
import io
import os
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

ENCODING = "utf-8-sig"
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Too many other names differ from a shorter one in a single letter.
SHORTEST_NAME = 7
NEAR = 0.6


class EnvFileError(Exception):
    """A file that cannot be read. The text names file and lines, and shows no value."""


def read_env_file(path: Path) -> dict[str, int]:
    """Return the names in a file, in upper case, with their lines; nothing for a missing file.

    Raises `EnvFileError`.
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


def variable_text(name: str, path: Path) -> str | None:
    """Return the text of a variable from the environment or a file; None if it is not set or empty."""
    text = os.environ.get(name, "").strip()
    if not text and path.is_file():
        text = (dotenv_values(path, encoding=ENCODING).get(name) or "").strip()
    return text or None


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise EnvFileError(f"{path} cannot be read: {error.strerror}. Correct that, or remove it.") from None
    if content.startswith(UTF_16_MARKS) or b"\0" in content:
        raise EnvFileError(
            f"{path} is UTF-16, which some editors call Unicode, or not text: save it as UTF-8."
        )
    try:
        return content.decode(ENCODING)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise EnvFileError(f"{path}, line {line}: it is not UTF-8 text. Save the file as UTF-8.") from None


def _blank_lines(text: str) -> int:
    """Return the number of empty lines at the start of a statement, which the parser includes."""
    return len(text[: len(text) - len(text.lstrip())].splitlines())


def unknown_names(path: Path, stated: Mapping[str, int], known: Collection[str]) -> Iterator[str]:
    """Yield a warning for each name in a file that is not a setting, with the closest setting.

    Dagster also reads the file, so that its variables are allowed.
    """
    for name, line in stated.items():
        is_dagsters = name.startswith("DAGSTER_") and not any(_is_one_slip(name, one) for one in known)
        if name not in known and not is_dagsters:
            near = get_close_matches(name, known, 1, NEAR)
            hint = f" Did you mean {near[0]}?" if near else " docs/operations.md lists all settings."
            yield f"{path}, line {line}: {name} is not a setting and is ignored.{hint}"


def misspelt_variables(known: Collection[str]) -> Iterator[str]:
    """Yield a warning for each environment variable whose name is one typing error away from a setting.

    Other variables may belong to any program.
    """
    names = {name.upper() for name in os.environ}
    for name in sorted(names - set(known)):
        for near in known:
            if len(near) >= SHORTEST_NAME and near not in names and _is_one_slip(name, near):
                yield (
                    f"The environment variable {name} is not a setting and is ignored. Did you mean {near}?"
                )


def _is_one_slip(one: str, other: str) -> bool:
    """Check whether a letter is missing, added, replaced, or swapped with the next."""
    if one == other or abs(len(one) - len(other)) > 1:
        return False
    start = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    rest, others_rest = one[start:], other[start:]
    swapped = rest[:2] == others_rest[1::-1] and len(rest) > 1 and rest[2:] == others_rest[2:]
    return swapped or rest[1:] == others_rest[1:] or rest == others_rest[1:] or rest[1:] == others_rest
