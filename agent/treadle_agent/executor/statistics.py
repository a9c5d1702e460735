"""What an executor counts: launches, merge factors, latencies by signature, device time by tenant (`Document`)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import msgspec

BOUNDS: tuple[float, ...] = tuple(1e-6 * 10 ** (step / 5) for step in range(36))  # 1 µs to 10 s, five a decade


SIGNATURES = 2000  # told apart: clients of a model with free dimensions choose its kernels' shapes
OTHER = "other"  # the signature that later ones are counted under


class Histogram(msgspec.Struct):
    """Latencies in seconds: `counts[i]` of them are at most `BOUNDS[i]`, the last ones longer; not cumulative."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """Number of observations."""
        return sum(self.counts)

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


class SignatureStatistics(msgspec.Struct):
    """One kernel signature: `launches` of it computed `problems` problems; `latency` is of all problems that ran
    together, however many launches they took.
    """

    launches: int = 0
    problems: int = 0
    latency: Histogram = msgspec.field(default_factory=Histogram)


class TenantStatistics(msgspec.Struct):
    """One version of a tenant. `switches` by direction and reason (`down/backlog`: `policy.switches`); `correction`:
    observed / profiled duration.

    `straggling`: whether it is slower than its kernels should be, None where nothing judges that; `stretch`: what its
    launches lately took over what they usually take, which is the others' too where they are merged.
    """

    tenant: str
    device_seconds: float = 0.0
    waiting: int = 0
    tier: str = ""
    switches: dict[str, int] = msgspec.field(default_factory=dict)
    correction: float = 1.0
    answered: dict[str, int] = msgspec.field(default_factory=dict)  # requests by tier
    straggling: bool | None = None
    stretch: float = 1.0
    implementations: dict[str, str] = msgspec.field(default_factory=dict)  # by tier


class Lookups(msgspec.Struct):
    """How often a cache had what was asked for, and how often it had to be made."""

    hits: int = 0
    misses: int = 0


class Document(msgspec.Struct):
    """Counters since the process began.

    `launches`: kernels launched; `problems`: kernels those would have been without merging, so that
    `problems / launches` is the mean merge factor; `sizes[r]`: launches with r problems; `busy_seconds`: device time;
    `stretch`, `straggling`: the device's own, as for tenants; `tuning`: look-ups of measurements
    kept in files; `plans`: of launches bound to their problems.
    """

    device: str
    mode: str
    launches: int = 0
    problems: int = 0
    busy_seconds: float = 0.0
    weight_bytes: int = 0
    stretch: float = 1.0
    straggling: bool = False
    tuning: Lookups = msgspec.field(default_factory=Lookups)
    plans: Lookups = msgspec.field(default_factory=Lookups)
    sizes: dict[int, int] = msgspec.field(default_factory=dict)
    signatures: dict[str, SignatureStatistics] = msgspec.field(default_factory=dict)
    tenants: dict[int, TenantStatistics] = msgspec.field(default_factory=dict)  # by version

    @property
    def merge_factor(self) -> float:
        """Mean problems a launch; 0.0 before the first."""
        return self.problems / self.launches if self.launches else 0.0

    def launched(self, kernels: Sequence[tuple[str, float, int]], problems: int) -> None:
        """Count kernels (signature, seconds, launches), each of `problems` problems.

        Problems that are no neighbours in memory may take several launches; they count as spread evenly over these.
        """
        for signature, seconds, launches in kernels:
            entry = self.signatures.get(signature)
            if entry is None:
                name = signature if len(self.signatures) < SIGNATURES else OTHER
                entry = self.signatures.setdefault(name, SignatureStatistics())
            entry.launches += launches
            entry.problems += problems
            entry.latency.observe(seconds)
            self.busy_seconds += seconds
            self.launches += launches
            least, more = divmod(problems, launches)
            for size, count in ((least, launches - more), (least + 1, more)):
                if count:
                    self.sizes[size] = self.sizes.get(size, 0) + count
        self.problems += len(kernels) * problems
