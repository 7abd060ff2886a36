"""What an address asks for and does not exist: it is said on the page, never dropped without a word."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

# More would fill the page.
NAMED = 5
CHARACTERS = 60
DAYS_INSTEAD = "the last 30 days are shown"


@dataclass
class AddressCheck:
    """The values of an address that the filters could not take. `requested` is the address as it came."""

    requested: Mapping[str, Sequence[str]]
    problems: list[str] = field(default_factory=list)

    def check(self, parameter: str, label: str, allowed: Iterable[str], default: str) -> None:
        """Note the values of a parameter that are not allowed. `default` says what is shown instead."""
        known = set(allowed)
        unknown = [value for value in self.requested.get(parameter, ()) if value not in known]
        if unknown:
            shown = [
                value if len(value) <= CHARACTERS else f"{value[:CHARACTERS]}…" for value in unknown[:NAMED]
            ]
            more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
            listed = ", ".join(f"“{value}”" for value in shown)
            self.problems.append(f"{label} {listed}{more} does not exist; {default}.")

    def check_days(self, parameter: str, first: date, last: date) -> None:
        """Note days that are not dates or lie outside the data."""
        for value in self.requested.get(parameter, ()):
            try:
                day = date.fromisoformat(value)
            except ValueError:
                self.problems.append(
                    f"“{value[:CHARACTERS]}” is not a day such as {last}; the last 30 days are shown."
                )
                return
            if not first <= day <= last:
                self.problems.append(
                    f"{day} is outside the data, which reach from {first} to {last}; the last 30 days are shown."
                )
                return
