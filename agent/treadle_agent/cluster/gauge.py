"""One device over time, from what its executor reports every few seconds. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from treadle_agent.cluster.window import WINDOW
from treadle_agent.executor.statistics import TenantStatistics
from treadle_agent.frontend.scrape import Report
from treadle_agent.policy.stragglers import LIMIT

SILENT_LOOKS = 2  # reports missing in a row until a device is called unhealthy: a restart costs one at most


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """A loaded version: the tier that answers now, and observed over profiled kernel time.

    `straggling` is the executor's verdict, None where it gives none; `stretch`: observed over usual kernel time;
    `implementations`: how its tiers (by name) run by now.
    """

    tier: str
    correction: float
    straggling: bool | None
    stretch: float
    implementations: Mapping[str, str]

    @property
    def usual(self) -> bool:
        """Whether it takes what it always takes here; where nothing judges that, so it is taken to be."""
        return not self.straggling and self.stretch < LIMIT


@dataclass(frozen=True, slots=True)
class _Work:
    """What a device has done since some moment: seconds busy, launches, and the kernels of single requests in these."""

    busy: float = 0.0
    launches: int = 0
    problems: int = 0

    def since(self, before: _Work) -> _Work:
        """What came on top; counters that fell began anew."""
        if self.busy < before.busy or self.launches < before.launches:
            return self
        return _Work(self.busy - before.busy, self.launches - before.launches, self.problems - before.problems)

    def __add__(self, more: _Work) -> _Work:
        return _Work(self.busy + more.busy, self.launches + more.launches, self.problems + more.problems)


class DeviceGauge:
    """What adds up over reports, whose counters begin anew with each executor process."""

    def __init__(self) -> None:
        self._versions: dict[int, TenantStatistics] = {}
        self._isolated: dict[int, str] = {}
        self._seconds: dict[str, float] = {}  # device time by tenant
        self._counted = _Work()  # by the executor process of the last report
        self._done = _Work()  # by all of them
        self._looks: deque[tuple[float, _Work]] = deque()
        self._silent = 0
        self._stretch = 1.0

    def add(self, report: Report, now: float) -> None:
        """Take a report in; `now` in seconds of any clock."""
        if report.supervisor is not None:
            self._isolated = {int(version): reason for version, reason in report.supervisor.isolated.items()}
        document = report.executor
        if document is None:
            self._silent += 1
            return
        self._silent = 0
        counted = _Work(document.busy_seconds, document.launches, document.problems)
        self._done += counted.since(self._counted)
        self._counted = counted
        self._looks.append((now, self._done))
        while len(self._looks) > 1 and self._looks[1][0] <= now - WINDOW:
            self._looks.popleft()
        self._stretch = document.stretch
        for version, tenant in document.tenants.items():
            known = self._versions.get(version)
            seconds = _risen(known.device_seconds if known else 0.0, tenant.device_seconds)
            self._seconds[tenant.tenant] = self._seconds.get(tenant.tenant, 0.0) + seconds
        self._versions = document.tenants

    def retain(self, tenants: Collection[str]) -> None:
        """Forget the device time of all other tenants (their keys): they have gone."""
        self._seconds = {key: seconds for key, seconds in self._seconds.items() if key in tenants}

    def version(self, number: int) -> VersionFigures | None:
        """What was reported of a version last."""
        tenant = self._versions.get(number)
        if tenant is None:
            return None
        return VersionFigures(tenant.tier, tenant.correction, tenant.straggling, tenant.stretch, tenant.implementations)

    def isolated(self, number: int) -> str:
        """Why the executor is not given a version any more; "" where it is."""
        return self._isolated.get(number, "")

    def seconds(self, key: str) -> float:
        """Device time spent on a tenant."""
        return self._seconds.get(key, 0.0)

    @property
    def utilisation(self) -> float:
        """Share (0–1) of the last minute that the device was busy."""
        seconds, work = self._window
        return min(work.busy / seconds, 1.0) if seconds > 0 else 0.0

    @property
    def merge_factor(self) -> float | None:
        """Kernels of single requests a launch, over the last minute; None where it launched none."""
        _, work = self._window
        return work.problems / work.launches if work.launches else None

    @property
    def stretch(self) -> float:
        """Observed over usual kernel time, over all tenants, lately."""
        return self._stretch

    @property
    def usual(self) -> bool:
        """Whether the device works at its usual pace."""
        return self._stretch < LIMIT

    @property
    def fault(self) -> str:
        """Why the device serves nothing; "" where it does."""
        return "its executor process does not answer" if self._silent >= SILENT_LOOKS else ""

    @property
    def _window(self) -> tuple[float, _Work]:
        """The seconds that figures are of, at most a minute, and what was done in them."""
        if not self._looks:
            return 0.0, _Work()
        (start, before), (end, after) = self._looks[0], self._looks[-1]
        return end - start, after.since(before)


def _risen(before: float, after: float) -> float:
    """By how much a counter has risen; one that fell began anew."""
    return after - before if after >= before else after
