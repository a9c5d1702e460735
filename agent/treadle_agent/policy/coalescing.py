"""Who shares a launch: kernels of one signature, of different tenants, in one super-kernel (Jain et al. 2019, §5).

Problems of an executable have its number of rows; those that bring fewer are padded. An architecture's executables for
1, 2, 4… rows are a cluster of shapes: a problem may ride in a larger one than its own while at most a quarter of the
super-kernel is padding.
"""

from __future__ import annotations

from treadle_agent.policy.arrivals import EventWindow
from treadle_agent.policy.latency import Executable
from treadle_agent.policy.queues import FOREVER, Request, Tenant

PADDING_LIMIT = 0.25  # share of a super-kernel's rows that may be padding (DESIGN §4)
EXPECTED = 0.25  # problems that must be expected while a launch is held back; in simulation 1 held back too few


class Signature:
    """What can merge: the tenants whose next requests one architecture's executables could run.

    `known`: tenants that have waited for it lately; `held_since`: when a launch of it was first held back for more
    company, None while none is.
    """

    __slots__ = ("arrivals", "fresh", "held_since", "known", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[int, Tenant] = {}
        self.known: set[int] = set()
        self.arrivals = EventWindow()
        self.held_since: float | None = None
        self.fresh = True  # requests came since the last look

    def join(self, tenant: Tenant) -> None:
        """A tenant's head could be run so."""
        self.waiting[tenant.id] = tenant
        self.known.add(tenant.id)

    def look(self) -> bool:
        """Whether anybody waits or has come since the last look; forgets who has not."""
        used = bool(self.waiting) or self.fresh
        self.fresh = False
        self.known = set(self.waiting)
        return used


class Formation:
    """A launch as it forms: what it may still take.

    Nobody is taken who would come too late in it, or make one come too late who is in it already. `finish`: when it
    would end with one more problem. `full`: one more has no place, or would make one of those here too late.
    """

    __slots__ = ("deadline", "executable", "finish", "full", "now", "padding", "problems", "room")

    def __init__(self, executable: Executable, room: int, now: float) -> None:
        self.executable = executable
        self.room = room
        self.now = now
        self.problems = 0
        self.padding = 0
        self.deadline = FOREVER
        self.full = False
        self.finish = now + executable.cost.expected(1)

    def admits(self, head: Request, waiting_rows: int) -> bool:
        """Whether a problem with `head` and what waits behind it, `waiting_rows` in all, would fit and be in time.

        Not where too much of the launch would be padding.
        """
        wide = self.executable.rows
        if head.deadline < self.finish or head.rows > wide:
            return False
        padding = self.padding + wide - waiting_rows if waiting_rows < wide else self.padding
        return padding <= PADDING_LIMIT * wide * (self.problems + 1)

    def take(self, rows: int, deadline: float) -> None:
        """One problem more: of `rows` rows, to be answered by `deadline`."""
        executable = self.executable
        self.problems = problems = self.problems + 1
        self.padding += executable.rows - rows
        if deadline < self.deadline:
            self.deadline = deadline
        self.finish = finish = self.now + executable.cost.expected(problems + 1)
        self.full = problems >= self.room or finish > self.deadline


def patience(executable: Executable, rate: float) -> float:
    """Seconds that a launch with room may be held back for more problems, `rate` requests a second being expected.

    No longer than one more problem saves the device, which is a launch's fixed cost: so waiting in vain never costs
    more than was to be won (the rent-or-buy rule). Not at all where a problem is hardly to be expected so soon.
    """
    saved = 2.0 * executable.cost.expected(1) - executable.cost.expected(2)
    return saved if rate * saved >= EXPECTED else 0.0
