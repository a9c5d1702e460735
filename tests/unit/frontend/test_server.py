"""How many connections a process can hold."""

from __future__ import annotations

from treadle_agent.frontend.server import RESERVED_FILES, connection_limit


def test_connections_leave_descriptors_for_the_rest():
    assert connection_limit(4096, -1) == 4096
    assert connection_limit(4096, 100_000) == 4096
    assert connection_limit(4096, 1024) == 1024 - RESERVED_FILES
    assert connection_limit(4096, 64) == 1
