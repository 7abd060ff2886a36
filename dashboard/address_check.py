"""A check of the address of a page: values that do not exist are reported, not dropped without a word."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

# More would fill the page.
NAMED = 5
CHARACTERS = 60
DAYS_INSTEAD = "the last 30 days are shown"


@dataclass
class AddressCheck:
    """The problems of an address. `requested` has its parameters as they came."""

    requested: Mapping[str, Sequence[str]]
    problems: list[str] = field(default_factory=list)

    def check(self, parameter: str, label: str, allowed: Iterable[str], instead: str) -> None:
        """Report the values of a parameter that are not allowed. `instead` says what is shown."""
        known = set(allowed)
        unknown = [value for value in self.requested.get(parameter, ()) if value not in known]
        if unknown:
            more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
            listed = ", ".join(map(_quoted, unknown[:NAMED]))
            does = "does" if len(unknown) == 1 else "do"
            self.problems.append(f"{label} {listed}{more} {does} not exist; {instead}.")

    def check_days(self, parameter: str, first: date, last: date) -> None:
        """Report a value that is not a day, or a day that is outside the data."""
        for value in self.requested.get(parameter, ()):
            try:
                day = date.fromisoformat(value)
            except ValueError:
                self.problems.append(f"{_quoted(value)} is not a day such as {last}; {DAYS_INSTEAD}.")
                return
            if not first <= day <= last:
                self.problems.append(
                    f"{day} is outside the data, which are from {first} to {last}; {DAYS_INSTEAD}."
                )
                return


def _quoted(value: str) -> str:
    return f"“{value[:CHARACTERS]}{'…' if len(value) > CHARACTERS else ''}”"
