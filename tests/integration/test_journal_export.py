"""`paywall-warehouse export journal --format hledger|xero|quickbooks`, and what hledger makes of the file."""

import csv
import gzip
import io
import subprocess
import tracemalloc
from collections import defaultdict
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import duckdb
import pytest

from exports.accounting.accounts import TYPES_OF_ACCOUNTS
from exports.accounting.export import write_journal
from exports.ad_hoc import SliceRequest
from paywall_warehouse.settings import load_settings
from tests.support.command import command_here
from tests.support.journal_files import JournalLine, booked, hledger, hledger_balances, publish_journal, used
from tests.support.shared import in_soak
from warehouse.published import NotPublishedError

D = Decimal

# Worked out by hand, for dollars:
#   2026-10-01 receipts: clearing 20, deferred -20. Usage 1.005: deferred -18.995 -> -19.00 (even), revenue
#              -1.005 -> -1.00. Postings: 1.00 and -1.00.
#   2026-10-02 usage 0.01: deferred -18.985 -> -18.98 (by 0.02), revenue -1.015 -> -1.02 (by -0.02).
#              Provider cost 0.333333333333 -> 0.33.
#   2026-11-01 an adjustment of 3 October, in the closed month: 0.004: deferred -18.981 -> -18.98, revenue
#              -1.019 -> -1.02: nothing moves. Usage 2.5: deferred -16.481 -> -16.48, revenue -3.519 -> -3.52.
#   2026-11-02 an adjustment of 4 October takes back 0.006: revenue -3.513 -> -3.51 (0.01), deferred
#              -16.487 -> -16.49 (-0.01).
USD = [
    *booked("2026-10-01", "receipts", "clearing", "deferred_revenue", "20"),
    *used("2026-10-01", "1.005"),
    *used("2026-10-02", "0.01"),
    *booked("2026-10-02", "cogs", "provider_cost", "accrued_provider_cost", "0.333333333333"),
    *used("2026-11-01", "0.004", relates_to="2026-10-03"),
    *used("2026-11-01", "2.5"),
    *booked("2026-11-02", "usage", "usage_revenue", "deferred_revenue", "0.006", relates_to="2026-10-04"),
]
# Yen: 100.5 -> 100, 0.5 of it used -> 100 and 0, then 1 more -> 99 and 2 (1.5), the rest in `rounding`.
JPY = [
    *booked("2026-10-01", "receipts", "clearing", "deferred_revenue", "100.5", "jpy"),
    *used("2026-10-01", "0.5", "jpy"),
    *used("2026-10-02", "1", "jpy"),
]
KWD = [
    *booked("2026-10-01", "receipts", "clearing", "deferred_revenue", "1234.5675", "kwd"),
    *used("2026-11-01", "0.0015", "kwd"),
]
LINES = [*USD, *JPY, *KWD]
BALANCES = {
    ("clearing", "USD"): D("20.00"),
    ("deferred_revenue", "USD"): D("-16.49"),
    ("usage_revenue", "USD"): D("-3.51"),
    ("provider_cost", "USD"): D("0.33"),
    ("accrued_provider_cost", "USD"): D("-0.33"),
    ("clearing", "JPY"): D("100"),
    ("deferred_revenue", "JPY"): D("-99"),
    ("usage_revenue", "JPY"): D("-2"),
    ("rounding", "JPY"): D("1"),
    ("clearing", "KWD"): D("1234.568"),
    ("deferred_revenue", "KWD"): D("-1234.566"),
    ("usage_revenue", "KWD"): D("-0.002"),
}
CHART = """account,code,name,type
clearing,1000,assets:bank:Stripe,asset
deferred_revenue,2100,liabilities:deferred revenue,liability
usage_revenue,4000,"revenues:usage, net",revenue
provider_cost,5000,expenses:provider cost,expense
accrued_provider_cost,2200,liabilities:accrued,liability
accrued_platform_fees,2200,liabilities:accrued,liability
rounding,8000,expenses:rounding,expense
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return publish_journal(tmp_path / "home", LINES)


def export(home: Path, form: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command_here(home, "export", "journal", "--format", form, *arguments)


def written(home: Path, form: str, *arguments: str) -> str:
    done = export(home, form, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def journal_file(home: Path, *arguments: str, name: str = "all.journal") -> Path:
    file = home.parent / name
    written(home, "hledger", "--output", str(file), *arguments)
    return file


def records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# ---- hledger


def test_hledger_accepts_the_file_strictly_and_finds_the_balances_worked_out_by_hand(home: Path) -> None:
    file = journal_file(home)
    hledger("-f", str(file), "check", "--strict", "ordereddates")
    assert hledger_balances(file) == BALANCES


def test_the_file_is_the_one_worked_out_by_hand(home: Path) -> None:
    assert written(home, "hledger", "--currency", "USD", "--to", "2026-11-02").partition("account ")[2] == (
        """clearing  ; type:A
account deferred_revenue  ; type:L
account accrued_provider_cost  ; type:L
account usage_revenue  ; type:R
account provider_cost  ; type:X
account rounding  ; type:X

2026-10-01 Credit paid for  ; journal:receipts, relates_to:2026-10-01
    clearing                         20.00 USD
    deferred_revenue                -20.00 USD

2026-10-01 Usage  ; journal:usage, relates_to:2026-10-01
    deferred_revenue                  1.00 USD
    usage_revenue                    -1.00 USD

2026-10-02 Provider cost  ; journal:cogs, relates_to:2026-10-02
    provider_cost                     0.33 USD
    accrued_provider_cost            -0.33 USD

2026-10-02 Usage  ; journal:usage, relates_to:2026-10-02
    deferred_revenue                  0.02 USD
    usage_revenue                    -0.02 USD

2026-11-01 Usage  ; journal:usage, relates_to:2026-11-01
    deferred_revenue                  2.50 USD
    usage_revenue                    -2.50 USD
"""
    )


@pytest.mark.parametrize("day", ["2026-10-01", "2026-10-02", "2026-11-01", "2026-11-02"])
def test_after_each_day_each_account_stands_at_its_rounded_balance(home: Path, day: str) -> None:
    exact: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in LINES:
        if line.journal_date <= day:
            exact[line.account, line.currency.upper()] += D(line.debit) - D(line.credit)
    decimals = {"USD": D("0.01"), "JPY": D(1), "KWD": D("0.001")}
    rounded = {key: one.quantize(decimals[key[1]], ROUND_HALF_EVEN) for key, one in exact.items()}
    # hledger's --end is exclusive.
    found = hledger_balances(journal_file(home), "--end", f"{day[:-1]}{int(day[-1]) + 1}")
    assert {key: one for key, one in found.items() if key[0] != "rounding"} == {
        key: one for key, one in rounded.items() if one
    }


def test_the_day_that_an_adjustment_is_about_is_a_tag(home: Path) -> None:
    file = journal_file(home)
    adjusted = {
        ("usage_revenue", "USD"): D("0.01"),
        ("deferred_revenue", "USD"): D("-0.01"),
    }
    assert hledger_balances(file, "tag:relates_to=2026-10-04") == adjusted


def test_monthly_files_add_up_to_the_whole(home: Path) -> None:
    october = journal_file(home, "--to", "2026-11-01", name="october.journal")
    november = journal_file(home, "--from", "2026-11-01", "--to", "2026-12-01", name="november.journal")
    year = home.parent / "year.journal"
    year.write_text(f"include {october}\ninclude {november}\n")
    hledger("-f", str(year), "check", "--strict")
    assert hledger_balances(year) == BALANCES
    # -18.985 -> -16.487 and -1.015 -> -3.513. November by itself would be 2.498, so 2.50 on both sides.
    assert hledger_balances(november, "cur:USD") == {
        ("deferred_revenue", "USD"): D("2.49"),
        ("usage_revenue", "USD"): D("-2.49"),
    }


def test_accounts_have_the_names_codes_and_types_of_the_home(home: Path) -> None:
    # As Excel writes it.
    (home / "accounts.csv").write_text(CHART.replace("\n", "\r\n"), encoding="utf-8-sig")
    file = journal_file(home)
    hledger("-f", str(file), "check", "--strict")
    names = {row["account"]: row["name"] for row in records(CHART)}
    assert hledger_balances(file) == {(names[one], unit): value for (one, unit), value in BALANCES.items()}
    assert "account liabilities:deferred revenue  ; type:L, code:2100\n" in file.read_text()
    assert hledger("-f", str(file), "accounts", "type:L") == (
        "liabilities:deferred revenue\nliabilities:accrued\n"
    )


def test_the_same_journal_gives_the_same_bytes(home: Path, tmp_path: Path) -> None:
    other = publish_journal(tmp_path / "other", reversed(LINES))
    assert written(home, "hledger") == written(other, "hledger")


def test_a_name_that_ends_in_journal_is_hledger(home: Path) -> None:
    file = home.parent / "all.journal"
    assert command_here(home, "export", "journal", "--output", str(file)).returncode == 0
    assert file.read_text() == written(home, "hledger")


def test_an_empty_journal_is_a_valid_file(tmp_path: Path) -> None:
    home = publish_journal(tmp_path / "home", [])
    file = journal_file(home)
    hledger("-f", str(file), "check", "--strict")
    assert hledger_balances(file) == {}
    assert len(written(home, "xero").splitlines()) == 1


# ---- Xero


def test_xeros_file_is_the_one_worked_out_by_hand(home: Path) -> None:
    (home / "accounts.csv").write_text(CHART)
    text = written(home, "xero", "--currency", "jpy")
    assert text == (
        "Narration,Date,Description,AccountCode,TaxRate,Amount,"
        "TrackingName1,TrackingOption1,TrackingName2,TrackingOption2\n"
        """Credit paid for,01 Oct 2026,assets:bank:Stripe,1000,NONE,100,,,,
Credit paid for,01 Oct 2026,liabilities:deferred revenue,2100,NONE,-100,,,,
Usage,02 Oct 2026,liabilities:deferred revenue,2100,NONE,1,,,,
Usage,02 Oct 2026,"revenues:usage, net",4000,NONE,-2,,,,
Usage,02 Oct 2026,expenses:rounding,8000,NONE,1,,,,
"""
    )


def test_lines_of_one_narration_and_date_balance(home: Path) -> None:
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in records(written(home, "xero", "--currency", "usd")):
        sums[row["Narration"], row["Date"]] += D(row["Amount"])
    assert sums == {
        ("Credit paid for", "01 Oct 2026"): 0,
        ("Usage", "01 Oct 2026"): 0,
        ("Provider cost", "02 Oct 2026"): 0,
        ("Usage", "02 Oct 2026"): 0,
        ("Usage", "01 Nov 2026"): 0,
        ("Usage, adjustment of 2026-10-04", "02 Nov 2026"): 0,
    }


def test_without_accounts_the_names_stand_in_place_of_codes_and_a_warning_lists_them(home: Path) -> None:
    done = export(home, "xero", "--currency", "kwd")
    assert [row["AccountCode"] for row in records(done.stdout)][:2] == ["clearing", "deferred_revenue"]
    assert "accounts.csv does not exist" in done.stderr
    assert "for clearing, deferred_revenue, usage_revenue, rounding." in done.stderr


def test_a_file_with_more_lines_than_xero_imports_is_warned_about(tmp_path: Path) -> None:
    days = [f"2026-{month:02}-{day:02}" for month in range(1, 7) for day in range(1, 29)]
    home = publish_journal(tmp_path / "home", [line for day in days for line in used(day, "1")])
    assert "336 lines, and xero imports up to 300" in export(home, "xero").stderr
    assert "Warning: the file" not in export(home, "xero", "--to", "2026-03-01").stderr


# ---- QuickBooks


def test_quickbooks_file_is_the_one_worked_out_by_hand(home: Path) -> None:
    (home / "accounts.csv").write_text(CHART)
    assert written(home, "quickbooks", "--currency", "usd", "--from", "2026-11-01") == (
        """JournalNo,JournalDate,AccountName,Debits,Credits,Description,Name,Currency,Location,Class
261101-usd-usa,11/01/2026,liabilities:deferred revenue,2.50,,Usage,,USD,,
261101-usd-usa,11/01/2026,"revenues:usage, net",,2.50,Usage,,USD,,
261102-usd-usa-261004,11/02/2026,"revenues:usage, net",0.01,,"Usage, adjustment of 2026-10-04",,USD,,
261102-usd-usa-261004,11/02/2026,liabilities:deferred revenue,,0.01,"Usage, adjustment of 2026-10-04",,USD,,
"""
    )


def test_numbers_name_one_entry_each_that_balances_and_fit_into_21_characters(home: Path) -> None:
    rows = records(written(home, "quickbooks", "--currency", "usd"))
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[row["JournalNo"]] += D(row["Debits"] or 0) - D(row["Credits"] or 0)
        assert (row["Debits"] == "") != (row["Credits"] == "")
    assert {*sums.values()} == {0}
    assert len(sums) == 6
    assert max(map(len, sums)) == 21


def test_amounts_beyond_28_digits_are_exact(tmp_path: Path) -> None:
    most = "99999999999999999999999999.99"
    home = publish_journal(
        tmp_path / "home", booked("2026-10-01", "receipts", "clearing", "deferred_revenue", most, "usd")
    )
    rows = records(written(home, "quickbooks"))
    assert [(row["Debits"], row["Credits"]) for row in rows] == [(most, ""), ("", most)]


def test_a_spreadsheet_runs_no_name_as_a_formula(home: Path) -> None:
    evil = CHART.replace("1000,assets:bank:Stripe", "+1000,=HYPERLINK(1)")
    (home / "accounts.csv").write_text(evil)
    assert records(written(home, "quickbooks", "--currency", "jpy"))[0]["AccountName"] == "'=HYPERLINK(1)"
    first, second, *_ = records(written(home, "xero", "--currency", "jpy"))
    assert (first["Description"], first["AccountCode"], second["Amount"]) == (
        "'=HYPERLINK(1)",
        "'+1000",
        "-100",
    )


# ---- what is refused


@pytest.mark.parametrize("form", ["xero", "quickbooks"])
def test_a_journal_of_several_currencies_needs_one(home: Path, form: str) -> None:
    done = export(home, form)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--currency is missing" in done.stderr
    assert "allowed: jpy, kwd, usd" in done.stderr


def test_a_journal_of_one_currency_needs_none(tmp_path: Path) -> None:
    home = publish_journal(tmp_path / "home", KWD)
    assert {row["Currency"] for row in records(written(home, "quickbooks"))} == {"KWD"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("xero", "--currency", "eur"),
            "--currency 'eur': the journal has no lines in it; allowed: jpy, kwd, usd",
        ),
        (("hledger", "--currency", ""), "--currency ''"),
        (("hledger", "--from", "October"), "--from: 'October' is not allowed"),
        (("hledger", "--from", "2026-10-02", "--to", "2026-10-01"), "is after --to 2026-10-01"),
        (("hledger", "--columns", "debit"), "--columns is not allowed with --format hledger"),
        (("xero", "--where", "currency=usd"), "--where is not allowed with --format xero"),
        (("hledger", "--output", "all.csv"), "the ending means csv"),
        (("quickbooks", "--output", "all.xlsx"), "in .csv for xero and quickbooks"),
        (("ledger",), "allowed: parquet, csv, jsonl; for the journal also hledger, xero, quickbooks"),
        (("csv", "--currency", "usd"), "write --where currency=usd"),
    ],
)
def test_a_wrong_call_exits_2_and_names_what_is_allowed(
    home: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = export(home, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_another_dataset_has_no_such_format(home: Path) -> None:
    done = command_here(home, "export", "users", "--format", "xero")
    assert done.returncode == 2
    assert (
        "--format xero is for the dataset journal only; allowed for users: parquet, csv, jsonl" in done.stderr
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", '1: column "account" is missing'),
        ("account;code\nclearing;1\n", '1: column "account" is missing (found: account;code)'),
        ("account,colour\n", '1: column "colour" is not known; the columns are account, code, name, type'),
        ("account,code,code\n", '1: column "code" is there twice'),
        (
            "account,code\nclearing,1\ncash,2\n",
            "3: account: 'cash' is no account of the journal; allowed: clearing,",
        ),
        ("account,code\nclearing,1\n\nclearing,2\n", "4: account: 'clearing' is already in"),
        ("account,code\n,1\n", "2: account: is empty"),
        ("account,code\nclearing\n", "2: has 1 fields, but the header has 2"),
        (
            "account,type\nclearing,debit\n",
            "2: type: 'debit' is not allowed; allowed: asset, liability, equity,",
        ),
        ('account,name\nclearing,"a\nb"\n', "name: 'a\\nb' has characters that are not visible"),
        ('account,name\nclearing,"a" b\n', "2: is not valid CSV"),
        ("account,name\nclearing,bank;1\n", "2: name: hledger does not read 'bank;1' as an account"),
        ("account,name\nclearing,(bank)\n", "2: name: hledger does not read '(bank)'"),
        (
            "account,name\nclearing,provider_cost\n",
            "2: type: 'clearing' and 'provider_cost' have the same name",
        ),
        (
            "account,code,name\nclearing,1,a\nadjustments,1,b\n",
            "name: 'clearing' and 'adjustments' have the same code '1', so they are booked as one account",
        ),
        (
            "account,name\nrounding,provider_cost\n",
            "2: name: 'provider_cost' and 'rounding' have the same name",
        ),
    ],
)
def test_a_mistake_in_accounts_names_line_field_and_remedy(home: Path, content: str, message: str) -> None:
    (home / "accounts.csv").write_text(content)
    done = export(home, "hledger")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{home / 'accounts.csv'}" in done.stderr
    assert message in done.stderr


def test_the_example_in_the_documentation_has_the_default_types_and_is_accepted(home: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "exports.md").read_text(encoding="utf-8")
    example = text.split("### Names of accounts")[1].split("```")[1].lstrip("\n")
    assert {row["account"]: row["type"] for row in records(example)} == TYPES_OF_ACCOUNTS
    (home / "accounts.csv").write_text(example)
    file = journal_file(home)
    hledger("-f", str(file), "check", "--strict")
    assert ("liabilities:deferred revenue", "USD") in hledger_balances(file)


def test_accounts_in_another_encoding_are_named(home: Path) -> None:
    (home / "accounts.csv").write_bytes("account,name\nclearing,Bürokasse\n".encode("latin-1"))
    done = export(home, "hledger")
    assert done.returncode == 2
    assert "accounts.csv is not UTF-8 text; save it as CSV UTF-8" in done.stderr


def test_xero_needs_the_code_of_every_account_once_the_home_states_some(home: Path) -> None:
    (home / "accounts.csv").write_text("account,code\nclearing,1000\nrounding,\ndeferred_revenue,2100\n")
    done = export(home, "xero", "--currency", "jpy")
    assert done.returncode == 2
    assert "accounts.csv:3: code: is missing for usage_revenue, rounding; Xero needs" in done.stderr


def test_without_a_publication_nothing_is_written(tmp_path: Path) -> None:
    done = export(tmp_path / "home", "hledger")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing has been published yet" in done.stderr


def test_an_unbalanced_journal_is_not_exported_and_the_older_file_stays(tmp_path: Path) -> None:
    lines = [
        *used("2026-10-01", "1"),
        JournalLine("2026-10-02", "fees", "clearing", "0.5", "0", "usd", "2026-10-02"),
    ]
    home = publish_journal(tmp_path / "home", lines)
    file = tmp_path / "all.journal"
    file.write_text("older")
    done = export(home, "hledger", "--output", str(file))
    assert done.returncode == 1
    assert "journal 'fees' on 2026-10-02 (usd, relates to 2026-10-02)" in done.stderr
    assert "= 0.5, which must be 0" in done.stderr
    assert file.read_text() == "older"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["all.journal", "home"]


# ---- how it is written


def test_a_compressed_file_has_the_same_text(home: Path) -> None:
    file = home.parent / "jpy.csv.gz"
    written(home, "quickbooks", "--currency", "jpy", "--output", str(file))
    assert gzip.decompress(file.read_bytes()).decode() == written(home, "quickbooks", "--currency", "jpy")


def test_an_account_that_nobody_knows_is_declared_without_a_type(tmp_path: Path) -> None:
    home = publish_journal(tmp_path / "home", booked("2026-10-01", "new", "suspense", "clearing", "1"))
    file = journal_file(home)
    assert "\naccount suspense\n" in file.read_text()
    hledger("-f", str(file), "check", "--strict")


@pytest.mark.parametrize(("transactions", "mebibytes"), [(20_000, 16), *in_soak((100_000, 32))])
def test_a_year_takes_little_memory(tmp_path: Path, transactions: int, mebibytes: int) -> None:
    """What is kept is a balance per account, not a line: the lines would be twice as large."""
    home = publish_journal(tmp_path / "home", [])
    with duckdb.connect(str(home / "published" / "warehouse.duckdb")) as connection:
        connection.execute(
            f"""insert into marts.fct_journal_lines
            select date '2000-01-01' + (n // 10)::integer, 'usage', account,
                if(account = 'deferred_revenue', 1.005, 0), if(account = 'deferred_revenue', 0, 1.005),
                'usd', date '2000-01-01' + (n % 10)::integer
            from range({transactions}) as days(n),
                (values ('deferred_revenue'), ('usage_revenue')) as a(account)"""
        )
    settings = load_settings(_env_file=None, warehouse_home=home)
    tracemalloc.start()
    try:
        rows = write_journal(settings, SliceRequest("journal"), "hledger", tmp_path / "x.journal")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows >= 2 * transactions
    assert peak < mebibytes << 20


def test_a_library_call_without_publication_raises(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, warehouse_home=tmp_path)
    with pytest.raises(NotPublishedError):
        write_journal(settings, SliceRequest("journal"), "xero", tmp_path / "x.csv")
