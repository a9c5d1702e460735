"""After an executor died: which requests run again, which run alone because they may have killed it, and who is to
blame. Pure policy; `supervisor` carries it out.

Inputs outlive the executor, so nothing is lost and the question is only what would kill it again. The flight record
names the requests that were on the device: the suspects. They run again one at a time with nothing beside them; the
one that kills the executor then is found, after two faults in all, and its version is isolated. A suspect that nobody
waits for any more is run all the same: otherwise a request that hangs longer than its deadline would never be found.

A process killed from outside (SIGKILL by the kernel's memory killer or by a person) says less about its requests than
one that crashed, so it takes two such deaths while alone. The same holds for loads: a version whose loading ends the
executor twice (four times from outside) is refused, and one is isolated whose input shapes do so when they are tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

FIRST_BACKOFF = 0.05  # seconds
SOLO_STRIKES = 1.0
LOAD_STRIKES = 2.0
PRESENT_AT = 2  # deaths between launches that make a request a suspect


class End(Enum):
    """How an executor process ended."""

    CRASHED = "crashed"  # by its own fault: a fatal signal, an exception, an exit
    HUNG = "hung"  # by our watchdog
    KILLED = "killed"  # SIGKILL or SIGTERM, not by us


@dataclass(frozen=True, slots=True)
class Crash:
    """One death. `reason` is for people.

    `launched`: requests on the device, as the flight record names them (of a hang: those that hang); `complete` is
    False where it could not name all. `loading`: the version being loaded, `binding`: the one whose input shapes were
    being tried, or None. `served`: whether this process had answered a request or loaded a new version.
    """

    end: End
    reason: str
    launched: frozenset[int]
    complete: bool
    loading: int | None
    served: bool
    binding: int | None = None

    @property
    def names_nobody(self) -> bool:
        """Whether nothing was under way on the device."""
        return not self.launched and self.complete and self.loading is None and self.binding is None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request that the dead executor had, or was about to get. `awaited`: somebody still waits for its answer.

    `posted`: the dead executor had it; `suspect`: it is to run alone; `alone`: that is what it did at the end.
    """

    request: int
    version: int
    deadline: float
    awaited: bool
    posted: bool = True
    suspect: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with the unanswered requests, and when to start again.

    Each is named once: in `resubmit` or `solo`, in the order to run; in `drop`, not to run; or it belongs to a version
    in `isolate` (with the reason), and fails. `overdue`: those of `solo` and `drop` to be answered as shed at once.
    `delay` in seconds.
    """

    resubmit: tuple[int, ...]
    solo: tuple[int, ...]
    drop: tuple[int, ...]
    overdue: tuple[int, ...]
    isolate: dict[int, str]
    delay: float


@dataclass(slots=True)
class ReplayPolicy:
    """Remembers the crashes that matter for the next decision. `slowest_backoff` in seconds."""

    slowest_backoff: float
    _fruitless: int = 0  # crashes in a row with nothing served before them
    _solo_strikes: dict[int, float] = field(default_factory=dict)  # by request
    _present: dict[int, int] = field(default_factory=dict)  # deaths between launches, by request that was there
    _load_strikes: dict[int, float] = field(default_factory=dict)  # by version
    _bind_strikes: dict[int, float] = field(default_factory=dict)  # by version: it is loaded before shapes are tried

    def loaded(self, version: int) -> None:
        """A version was loaded: earlier crashes were not its loading's fault."""
        self._load_strikes.pop(version, None)

    def decide(self, crash: Crash, unanswered: Iterable[Unanswered], now: float) -> Decision:
        """What to do after `crash`, at `now` (seconds of CLOCK_MONOTONIC)."""
        requests = list(unanswered)
        self._fruitless = 0 if crash.served else self._fruitless + 1
        isolate = self._blamed(crash, requests)
        self._forget_all_but(requests)
        suspects = self._suspects(crash, requests, found=bool(isolate))
        resubmit: list[int] = []
        alive: list[int] = []
        dead: list[int] = []
        drop: list[int] = []
        overdue: list[int] = []
        for one in sorted(requests, key=lambda one: one.deadline):
            if one.version in isolate:
                continue
            in_time = one.deadline > now
            if one.awaited and not in_time:
                overdue.append(one.request)
            if one.awaited and in_time:
                (alive if one.request in suspects else resubmit).append(one.request)
            elif one.request in suspects and crash.end is not End.KILLED:
                dead.append(one.request)
            else:
                drop.append(one.request)
        solo = (*alive, *dead)
        return Decision(tuple(resubmit), solo, tuple(drop), tuple(overdue), isolate, self._delay())

    def _suspects(self, crash: Crash, requests: list[Unanswered], *, found: bool) -> set[int]:
        if not crash.complete:
            return {one.request for one in requests}
        suspects = {one.request for one in requests if one.request in crash.launched}
        if not found:  # once the culprit is found, those that only stood beside it are cleared
            suspects |= {one.request for one in requests if one.suspect}
        if crash.names_nobody and crash.end is not End.KILLED:
            # It died between launches: of a request's mere presence, perhaps. Once can be chance.
            for one in requests:
                if one.posted:
                    self._present[one.request] = self._present.get(one.request, 0) + 1
            suspects |= {request for request, deaths in self._present.items() if deaths >= PRESENT_AT}
        return suspects

    def _blamed(self, crash: Crash, requests: list[Unanswered]) -> dict[int, str]:
        weight = 0.5 if crash.end is End.KILLED else 1.0
        if crash.launched and not (crash.loading is None and crash.binding is None):
            weight /= 2.0  # it was the launch, or what the loading thread did
        isolate = {}
        for one in requests:
            if not one.alone:
                continue
            if crash.launched == {one.request}:
                strikes = weight
            elif crash.names_nobody:
                strikes = 0.5  # between launches, so perhaps of something else
            else:
                continue
            strikes = self._solo_strikes[one.request] = self._solo_strikes.get(one.request, 0.0) + strikes
            if strikes >= SOLO_STRIKES:
                isolate[one.version] = f"a request ended the executor process, and again when run alone: {crash.reason}"
        for version, all_strikes, what in (
            (crash.loading, self._load_strikes, "loading it"),
            (crash.binding, self._bind_strikes, "trying input shapes that requests asked for"),
        ):
            if version is None:
                continue
            all_strikes[version] = all_strikes.get(version, 0.0) + weight
            if all_strikes[version] >= LOAD_STRIKES:
                del all_strikes[version]
                isolate[version] = f"{what} ended the executor process repeatedly: {crash.reason}"
        return isolate

    def _forget_all_but(self, requests: list[Unanswered]) -> None:
        known = {one.request for one in requests}
        self._solo_strikes = {request: count for request, count in self._solo_strikes.items() if request in known}
        self._present = {request: count for request, count in self._present.items() if request in known}

    def _delay(self) -> float:
        if self._fruitless < 2:
            return 0.0
        return float(min(FIRST_BACKOFF * 2.0 ** min(self._fruitless - 2, 30), self.slowest_backoff))
