"""Agendas against a dictionary that is sorted when asked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.policy.agenda import Agenda
from treadle_agent.policy.queues import FOREVER

MOMENTS = st.floats(0, 10) | st.sampled_from([1.0, 2.0, FOREVER])
CHANGES = st.lists(st.tuples(st.integers(0, 5), st.none() | MOMENTS), max_size=40)


@given(CHANGES, MOMENTS)
def test_an_agenda_is_a_sorted_dictionary(changes: list[tuple[int, float | None]], now: float) -> None:
    agenda, plain = Agenda(), {}
    for tenant, moment in changes:
        if moment is None:
            agenda.drop(tenant)
            plain.pop(tenant, None)
        else:
            agenda.put(tenant, moment)
            plain[tenant] = moment
    entries = sorted((moment, tenant) for tenant, moment in plain.items())
    assert len(agenda) == len(entries)
    assert agenda.first == (entries[0][0] if entries else FOREVER)
    assert agenda.soonest() == (entries[0] if entries else None)
    assert agenda.before(now) == [entry for entry in entries if entry[0] < now]
    if now < FOREVER:
        assert agenda.until(now) == [tenant for moment, tenant in entries if moment <= now]
    assert [agenda.moment(tenant) for tenant in range(6)] == [plain.get(tenant, FOREVER) for tenant in range(6)]
