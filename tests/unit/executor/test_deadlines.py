from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.executor.deadlines import BUCKET, Deadlines

TIMES = st.floats(0, 100)


@given(st.lists(TIMES, max_size=50), st.lists(TIMES, max_size=10))
def test_each_is_named_once_never_early_and_at_most_a_bucket_late(deadlines: list[float], looks: list[float]) -> None:
    wheel = Deadlines()
    for request, deadline in enumerate(deadlines):
        wheel.add(request, deadline)
    named: list[int] = []
    for now in sorted([*looks, 200.0]):
        found = wheel.due(now)
        assert all(deadlines[request] <= now for request in found)
        named += found
        late = [one for one, deadline in enumerate(deadlines) if deadline <= now - 2 * BUCKET and one not in named]
        assert late == []
    assert sorted(named) == list(range(len(deadlines)))
    assert wheel.due(1e9) == []
