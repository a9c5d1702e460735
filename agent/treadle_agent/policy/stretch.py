"""How much longer a launch took than it should have: observed over expected, 1 where all is as it always was.

Expected is not what the scheduler predicts, which follows any change within some twenty launches, but the profile
times what the same executable with about as many problems has usually shown on this device.
"""

from __future__ import annotations

from treadle_agent.policy.latency import Executable

KNOWN = 5  # launches from which there is a reference; soon, so that tenants tried alone are compared with each other
LEARNING = 20  # launches over which it is the mean of all
FOLLOWING = 0.01  # weight of one launch that looks usual, after that
USUAL = 1.10  # what takes longer than this is none of the usual: it must not become the reference


class _Reference:
    __slots__ = ("count", "ratio")

    def __init__(self) -> None:
        self.count = 0
        self.ratio = 0.0

    def learn(self, ratio: float) -> None:
        self.count += 1
        if self.count <= LEARNING:
            self.ratio += (ratio - self.ratio) / self.count
        elif ratio <= USUAL * self.ratio:
            self.ratio += FOLLOWING * (ratio - self.ratio)


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
        known = own if own.count >= KNOWN else self._reference(executable, 0)
        stretch = ratio / known.ratio if known.count >= LEARNING or known is own else None
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
