"""What goes wrong at Stripe: the faults of requests, and how report runs end."""

from dataclasses import dataclass, field

from tests.support.loopback import faults
from tests.support.loopback.faults import Fault, Rule, one_less


@dataclass
class RunFate:
    """How the next `times` runs of a report type end: failed with this text, or, where there is none, pending
    for ever.
    """

    report_type: str
    error: str | None
    times: int | None


@dataclass
class Faults(faults.Faults):
    """All methods may be called from any thread. `times=None` means until `clear`."""

    _fates: list[RunFate] = field(default_factory=list)
    _ends: dict[str | None, str] = field(default_factory=dict)

    def cut_download(self, times: int | None = 1, *, keep: int | None = None) -> None:
        """`cut` for the contents of files."""
        self._add(Rule(Fault("cut", keep=keep, executed=True), "/v1/files/", times, "GET", "/contents"))

    def fail_run(self, report_type: str, error: str, times: int | None = 1) -> None:
        """The next runs created of this report type end as `failed` with this text."""
        with self._lock:
            self._fates.append(RunFate(report_type, error, times))

    def stall_run(self, report_type: str, times: int | None = 1) -> None:
        """The next runs created of this report type stay `pending` for ever."""
        with self._lock:
            self._fates.append(RunFate(report_type, None, times))

    def available_until(self, end: str | None, report_type: str | None = None) -> None:
        """Move `data_available_end` to this date or time in UTC, of one report type or of all; None: as the
        options say.
        """
        with self._lock:
            if end is None:
                self._ends.pop(report_type, None)
            else:
                self._ends[report_type] = end

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        super().clear()
        with self._lock:
            self._fates.clear()
            self._ends.clear()

    @property
    def waiting(self) -> int:
        """Rules that have not met all their requests or runs yet."""
        return super().waiting + len(self._fates)

    def take_fate(self, report_type: str) -> RunFate | None:
        """For the server: how the run that is being created ends, if not well."""
        with self._lock:
            for fate in self._fates:
                if fate.report_type == report_type:
                    fate.times = one_less(fate.times)
                    self._fates = [fate for fate in self._fates if fate.times != 0]
                    return fate
        return None

    def end_of_data(self, report_type: str) -> str | None:
        """For the server: where `available_until` moved the end of this report type's data."""
        with self._lock:
            return self._ends.get(report_type, self._ends.get(None))
