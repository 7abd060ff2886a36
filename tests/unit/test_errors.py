"""Errors are said in words, without Python's names for them."""

import sys

import duckdb
import pytest
from botocore.exceptions import EndpointConnectionError
from dagster._utils.error import serializable_error_info_from_exc_info

from exports.manifest import ManifestError
from orchestration.cli import main as cli
from orchestration.cli.run import _first_cause
from paywall_warehouse.errors import first_line, without_class, words_of

STORE = "http://127.0.0.1:9/bucket"
ERRORS = [
    (duckdb.IOException("IO Error: No space left on device"), "IO Error: No space left on device"),
    (EndpointConnectionError(endpoint_url=STORE), f'Could not connect to the endpoint URL: "{STORE}"'),
    (ManifestError("manifest.json: rows: is negative"), "manifest.json: rows: is negative"),
    (ConnectionResetError("reset by peer"), "reset by peer"),
    (OSError(28, "No space left on device", "/data/x"), "[Errno 28] No space left on device: '/data/x'"),
    (duckdb.IOException(), "IOException"),
    (TimeoutError(), "TimeoutError"),
    # Its words are the name of a key: they say nothing by themselves.
    (KeyError("amount"), "KeyError: 'amount'"),
    (RuntimeError("http://127.0.0.1:9: no answer"), "http://127.0.0.1:9: no answer"),
]


@pytest.mark.parametrize(("error", "words"), ERRORS, ids=lambda one: type(one).__name__)
def test_an_error_begins_with_what_it_says(error: Exception, words: str) -> None:
    assert words_of(error) == words
    # As a run reports the step that failed.
    try:
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("the step failed") from cause
    except RuntimeError:
        assert _first_cause(serializable_error_info_from_exc_info(sys.exc_info())) == words


@pytest.mark.parametrize(
    "words",
    ["", "ledger: no file", "a.b: c", "1.5: too much", "Warning: low", "s3://a.b/c: gone", "fct_x.y is NULL"],
)
def test_words_stay_as_they_are(words: str) -> None:
    assert without_class(words) == (words if words != "a.b: c" else "c")


def test_a_line_is_the_first_one() -> None:
    assert first_line(duckdb.Error("first\nLINE 1: select secret")) == "first"


@pytest.mark.parametrize(("error", "words"), ERRORS[:5], ids=lambda one: type(one).__name__)
def test_a_command_ends_with_a_reason_where_the_machine_or_a_store_fails(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fails)
    if isinstance(error, ManifestError):
        # A mistake of the program: its traceback is needed.
        with pytest.raises(ManifestError):
            cli.main()
        return
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert capsys.readouterr().err == f"{words}\n"
