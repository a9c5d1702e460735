"""Whether the front end takes a request on, or refuses it while that is still cheap.

A request passes the front end's event loop several times: its head, its body, the executor's answer, the response. When
a turn of the loop takes long, because more requests arrive than one core can carry, each of them is late before its
model runs, and all of them are if all are taken on. So a share is refused at once, growing with the length of a turn.
"""

from __future__ import annotations

BEGIN_SHARE = 0.08  # of the deadline that a turn takes: refuse nobody up to here
END_SHARE = 0.2  # refuse everybody from here: most of the deadline would pass in turns
ORDINARY_TURN = 0.002  # seconds: no overload


class Admission:
    """One tenant's. Refuses evenly: of each hundred requests as many as the share says, none by chance."""

    def __init__(self) -> None:
        self._owed = 0.0

    def admit(self, turn: float, deadline: float) -> bool:
        """Whether to take on a request that has `deadline` seconds, when a turn of the loop takes `turn` seconds."""
        begin = max(BEGIN_SHARE * deadline, ORDINARY_TURN)
        if turn <= begin:
            return True
        share = (turn - begin) / (max(END_SHARE * deadline, 2.0 * begin) - begin)
        self._owed += min(share, 1.0)
        if self._owed < 1.0:
            return True
        self._owed -= 1.0
        return False
