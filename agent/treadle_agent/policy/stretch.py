"""How much longer a launch took than it should have: observed over expected, 1 where all is as it always was.

Expected is not what the scheduler predicts, which follows any change within some twenty launches, but the profile
times what the same executable with about as many problems has usually shown on this device.
"""

from __future__ import annotations

from treadle_agent.policy.latency import Executable

KNOWN = 5  # launches whose median is the first reference: few, so that tenants tried apart are soon compared
FOLLOWING = 0.01  # least weight of one more launch, if it looks usual
USUAL = 1.10  # what takes longer than this is none of the usual: it must not become the reference


class _Reference:
    __slots__ = ("_first", "count", "ratio")

    def __init__(self) -> None:
        self.count = 0
        self.ratio = 0.0
        self._first: list[float] = []

    @property
    def known(self) -> bool:
        return self.count >= KNOWN

    def learn(self, ratio: float) -> None:
        if not self.known:
            self._first.append(ratio)
            self.count += 1
            self.ratio = sorted(self._first)[self.count // 2]
        elif ratio <= USUAL * self.ratio:
            self.count += 1
            self.ratio += max(1.0 / self.count, FOLLOWING) * (ratio - self.ratio)


class Stretches:
    """References of all executables on a device."""

    def __init__(self) -> None:
        self._references: dict[tuple[Executable, int], _Reference] = {}

    def observe(self, executable: Executable, problems: int, share: float, seconds: float) -> float | None:
        """The stretch of a launch that covered `share` (0–1) of an executable; None while there is no reference.

        Numbers of problems are told apart by powers of two: a profile is a line through two of them.
        """
        profiled = executable.cost.profiled(problems) * share
        if profiled <= 0.0:
            return None
        ratio = seconds / profiled
        own = self._reference(executable, problems.bit_length())
        reference = own if own.known else self._reference(executable, 0)
        stretch = ratio / reference.ratio if reference.known else None
        own.learn(ratio)
        self._reference(executable, 0).learn(ratio)
        return stretch

    def forget(self, keep: set[Executable]) -> None:
        """Keep only what is known of these executables."""
        self._references = {key: one for key, one in self._references.items() if key[0] in keep}

    def _reference(self, executable: Executable, size: int) -> _Reference:
        """By the number of binary digits of the number of problems; 0: whatever their number."""
        found = self._references.get((executable, size))
        if found is None:
            found = self._references[executable, size] = _Reference()
        return found
