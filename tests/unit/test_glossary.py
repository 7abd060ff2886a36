"""The language of the code base: one word for one thing, and docstrings that start with a verb.

CONTRIBUTING.md has the glossary. Each failure names file, line and remedy.
"""

import ast
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = (
    "paywall_warehouse",
    "ingestion",
    "warehouse",
    "exports",
    "dashboard",
    "orchestration",
    "sample_data",
)
OTHERS = ("dbt_project", "benchmarks", "deploy", "docs", "tests")
ENDINGS = (".py", ".md", ".sql", ".yml")
# Made by tools, or written by those whose words are recorded there.
LEFT_OUT = {
    "__pycache__",
    "data",
    "target",
    "logs",
    "dbt_packages",
    "spark-warehouse",
    "metastore_db",
    "dist",
}
FILES_LEFT_OUT = {"CHANGELOG.md", "test_glossary.py"}

# Also as a part of a name, such as `is_told`.
WORDS = re.compile(r"(?<![A-Za-z])(told|tells?|aside)(?![A-Za-z])", re.IGNORECASE)
REMEDIES = {
    "told": "message, report, progress, shown: what it is",
    "tell": "report, name, state, show: what it does",
    "tells": "reports, names, states, shows: what it does",
    "aside": "staged, staging_dir",
}
QUOTATION = re.compile(r'"[^"\n]*"|“[^”\n]*”')
NAMES = {
    "Books": "Queries",
    "Brought": "ImportResult",
    "Done": "ExportRecord",
    "Made": "StagedBatch",
    "ShownBuild": "PromotedBuild",
    "bring": "import_marts",
    "bring_in": "import_marts",
    "judge": "validate",
    "judged": "validated",
    "writing_aside": "staging_dir",
}
# The sample business and the payments that tests make up have books.
NAMES_ALLOWED = {("sample_data", "Books"), ("tests", "Books")}
MODULES = {
    "arrival": "import_marts",
    "contents": "fingerprints",
    "families": "reports",
    "groups": "parallel_load",
    "into": "duckdb_tables",
    "news": "unloaded_files",
    "parts": "partition_files",
    "streams": "text_readers",
}

# A function's docstring starts with a verb: "Return ...", "Write ...", "Check whether ...". Not verbs:
NO_VERBS = set(
    """
    A Actual After All Also Among An Another Any As At Authorization Bank Bare Batch Before Behind
    Beside Beyond Both By Customer Dagster Data Day Each Either Empty Everybody Everyone Everything
    Exactly False Few File First For From Further Half He Header Here How Iceberg If In Inside Instead
    Into It Its JSON Just Last Later Like Long Many Metadata Model Money More Most Much Negative Neither
    New Next No Nobody None Nor Not Nothing Now Number Of Off Often On Once One Only Opening Or Other
    Our Out Outside Over Own Paid Parquet Pending Plain Positive Python Raw Revenue SQL Same Second She
    Since Six Size So Some Somebody Something Spark Stripe Such Text That The Their Them Then There
    These They Third Those Three Time Today True Twice Two Under Until Up Usage User Verdict Very We
    Webhook Weekly Were What Whatever When Whenever Where Wherever Whether Which Whichever While Who
    Whoever Whole Whom Whose Why Wider With Within Without Word Yesterday You Your Zero
    """.split()  # noqa: SIM905
)
# Ends like a plural, a third person or a participle, and is a verb in its plain form.
VERBS = set(
    """
    Access Address Bypass Compress Cross Discuss Embed Feed Focus Guess Miss Need Parse Pass Press Proceed
    Process Seed Shed Speed Suppress Toss
    """.split()  # noqa: SIM905
)
ATTRIBUTES = {"property", "cached_property", "setter"}
# Dagster shows the docstring of an asset as the description of the data.
DESCRIPTIONS = {"asset", "multi_asset", "graph_asset", "observable_source_asset"}


def files_below(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in LEFT_OUT)
        for name in sorted(names):
            if name.endswith(ENDINGS) and name not in FILES_LEFT_OUT:
                yield Path(root) / name


def files_of(room: str) -> list[Path]:
    """Return the files of a room, or those beside the rooms for an empty name."""
    if room:
        return list(files_below(ROOT / room))
    return [
        file
        for file in sorted(ROOT.iterdir())
        if file.name.endswith(ENDINGS) and file.name not in FILES_LEFT_OUT
    ]


def fail_with(problems: list[str]) -> None:
    if problems:
        pytest.fail(f"{len(problems)} to be reworded:\n" + "\n".join(problems), pytrace=False)


def at(file: Path, line: int) -> str:
    return f"{file.relative_to(ROOT)}:{line}"


@pytest.mark.parametrize("room", [*ROOMS, *OTHERS, ""])
def test_words_of_the_private_vocabulary_are_gone(room: str) -> None:
    problems = []
    for file in files_of(room):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            read = QUOTATION.sub("", line) if file.suffix == ".md" else line
            problems += [
                f'{at(file, number)}: "{found[0]}"; write {REMEDIES[found[0].lower()]}'
                for found in WORDS.finditer(read)
            ]
    fail_with(problems)


@pytest.mark.parametrize("room", [*ROOMS, "benchmarks", "tests"])
def test_names_are_those_of_the_glossary(room: str) -> None:
    problems = []
    for file in files_of(room):
        if file.suffix != ".py":
            continue
        if file.stem.removeprefix("test_") in MODULES:
            problems.append(f"{at(file, 1)}: call the module {MODULES[file.stem.removeprefix('test_')]}")
        problems += [
            f"{at(file, line)}: {name}; call it {NAMES[name]}"
            for name, line in names_in(parsed(file))
            if name in NAMES and (room, name) not in NAMES_ALLOWED
        ]
    fail_with(problems)


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_of_functions_start_with_a_verb(room: str) -> None:
    """Properties, Dagster's assets and `__init__` are exempt: their docstrings say what something is."""
    problems = []
    for file in files_of(room):
        if file.suffix != ".py":
            continue
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not says_what_it_is(node):
                text = ast.get_docstring(node)
                if text and not starts_with_a_verb(text):
                    problems.append(
                        f'{at(file, node.body[0].lineno)}: "{text.splitlines()[0]}"; start with a verb,'
                        ' such as "Return" or "Check whether"'
                    )
    fail_with(problems)


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def names_in(module: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield every name of a module with its line."""
    for node in ast.walk(module):
        for field in ("id", "attr", "arg", "name", "asname"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                yield name, getattr(node, "lineno", 1)


def says_what_it_is(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    called = [one.func if isinstance(one, ast.Call) else one for one in node.decorator_list]
    names = {one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", "") for one in called}
    return node.name == "__init__" or bool(names & (ATTRIBUTES | DESCRIPTIONS))


def starts_with_a_verb(text: str) -> bool:
    first = text.split(maxsplit=1)[0].rstrip(".:,;")
    if first in VERBS:
        return True
    return (
        re.fullmatch(r"[A-Z][a-z]+(-[a-z]+)?", first) is not None
        and first not in NO_VERBS
        and not first.endswith(("ed", "s"))
    )


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ("Return the rows.", True),
        ("Check whether it is new.", True),
        ("Compress a file.", True),
        ("Re-read the file.", True),
        ("The rows.", False),
        ("Whether it is new.", False),
        ("Rows of a file.", False),
        ("Returns the rows.", False),
        ("Validated batches.", False),
        ("`put` for a text.", False),
        ("SQL: the rows.", False),
        ("dbt's selection.", False),
    ],
)
def test_verbs_are_recognised(text: str, verb: bool) -> None:
    assert starts_with_a_verb(text) is verb
