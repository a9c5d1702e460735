"""One device over time, from what its executor reports every few seconds. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from treadle_agent.cluster.window import WINDOW
from treadle_agent.executor.statistics import TenantStatistics
from treadle_agent.frontend.scrape import Report
from treadle_agent.policy.stragglers import LIMIT

SILENT_LOOKS = 2  # reports missing in a row until a device is called unhealthy: a restart costs one at most


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """A loaded version: the tier that answers now, and observed over profiled kernel time.

    `straggling` is the executor's verdict, None where it gives none; `stretch`: observed over usual kernel time.
    """

    tier: str
    correction: float
    straggling: bool | None
    stretch: float

    @property
    def usual(self) -> bool:
        """Whether it takes what it always takes here; where nothing judges that, so it is taken to be."""
        return not self.straggling and self.stretch < LIMIT


class DeviceGauge:
    """What adds up over reports, whose counters begin anew with each executor process."""

    def __init__(self) -> None:
        self._versions: dict[int, TenantStatistics] = {}
        self._isolated: dict[int, str] = {}
        self._seconds: dict[str, float] = {}  # device time by tenant
        self._busy_seconds = 0.0  # at the last report
        self._busy = 0.0
        self._looks: deque[tuple[float, float]] = deque()
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
        self._busy += _risen(self._busy_seconds, document.busy_seconds)
        self._busy_seconds = document.busy_seconds
        self._looks.append((now, self._busy))
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
        return VersionFigures(tenant.tier, tenant.correction, tenant.straggling, tenant.stretch)

    def isolated(self, number: int) -> str:
        """Why the executor is not given a version any more; "" where it is."""
        return self._isolated.get(number, "")

    def seconds(self, key: str) -> float:
        """Device time spent on a tenant."""
        return self._seconds.get(key, 0.0)

    @property
    def utilisation(self) -> float:
        """Share (0–1) of the last minute that the device was busy."""
        if len(self._looks) < 2:
            return 0.0
        (start, before), (end, busy) = self._looks[0], self._looks[-1]
        return min((busy - before) / (end - start), 1.0) if end > start else 0.0

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


def _risen(before: float, after: float) -> float:
    """By how much a counter has risen; one that fell began anew."""
    return after - before if after >= before else after
