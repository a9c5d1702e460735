"""Queues: order, bounds, doom."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.policy.latency import CostModel, Executable
from treadle_agent.policy.queues import ANSWER_SHARE, Tenant, Tier


@dataclass(frozen=True)
class Asked:
    request: int
    deadline: float = 1.0
    rows: int = 1
    binding: int = 0
    priority: int = 0
    tier: int = -1
    forbidden: int = 0
    arrival: float = 0.0


def tenant(*services: float, limit: int = 100) -> Tenant:
    tiers = [Tier(f"t{index}", service) for index, service in enumerate(services or (0.1,))]
    return Tenant(1, deadline=1.0, queue_limit=limit, tiers=tiers)


def executable(rows: int) -> Executable:
    return Executable(f"rows-{rows}", rows, (0.0, 1.0), mergeable=True, cost=CostModel.line(0.0, 0.01))


def test_priority_goes_before_deadline_and_deadline_before_arrival() -> None:
    queue = tenant()
    for request in (Asked(1, 3.0), Asked(2, 2.0), Asked(3, 9.0, priority=1), Asked(4, 2.0), Asked(5, 1.0, priority=2)):
        assert queue.push(request)
    assert [queue.pop().request for _ in range(5)] == [3, 5, 2, 4, 1]


def test_a_full_queue_refuses_and_keeps_what_it_has() -> None:
    queue = tenant(limit=2)
    assert queue.push(Asked(1))
    assert queue.push(Asked(2))
    assert not queue.push(Asked(3))
    assert [each.request for each in queue] == [1, 2]


def test_doom_is_judged_by_the_fastest_tier() -> None:
    queue = tenant(0.5, 0.1)
    queue.push(Asked(1, deadline=10.0))
    queue.push(Asked(2, deadline=10.2))
    assert queue.take_doomed(9.85) == []
    assert [each.request for each in queue.take_doomed(9.95)] == [1]
    assert len(queue) == 1
    assert queue.rows == 1


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 4), st.integers(0, 3)), max_size=30), st.floats(0, 10))
def test_nothing_is_lost_whatever_leaves(entries: list[tuple[float, int, int]], now: float) -> None:
    queue = tenant(0.1)
    for index, (deadline, rows, priority) in enumerate(entries):
        queue.push(Asked(index, deadline, rows, priority=priority))
    limit = now + 0.1 + ANSWER_SHARE * queue.deadline
    doomed = {each.request for each in queue.take_doomed(now)}
    assert doomed == {index for index, (deadline, _, _) in enumerate(entries) if deadline < limit}
    removed = queue.remove(0)
    assert (removed is not None) == (bool(entries) and 0 not in doomed)
    taken: set[int] = set()
    while len(queue):
        batch = queue.take(8)
        assert sum(each.rows for each in batch) <= 8
        taken |= {each.request for each in batch}
    assert queue.rows == 0
    assert taken | doomed | ({0} if removed else set()) == set(range(len(entries)))


def test_a_batch_shares_binding_and_pinned_tier() -> None:
    queue = tenant()
    for request in (Asked(1), Asked(2), Asked(3, binding=1), Asked(4)):
        queue.push(request)
    assert [each.request for each in queue.take(8)] == [1, 2]
    assert [each.request for each in queue.take(8)] == [3]


@pytest.mark.parametrize(
    ("waiting", "least", "expected"),
    [(1, 1, 1), (3, 1, 2), (4, 1, 4), (9, 1, 4), (3, 3, 4), (5, 5, None), (2, 2, 2)],
)
def test_a_bucket_is_filled_but_holds_its_first_request(waiting: int, least: int, expected: int | None) -> None:
    tier = Tier("only", 0.1)
    tier.buckets[0] = [executable(rows) for rows in (1, 2, 4)]
    found = tier.bucket(0, waiting, least)
    assert (found and found.rows) == expected


def test_an_unknown_binding_has_no_bucket() -> None:
    assert Tier("only", 0.1).bucket(7, 1, 1) is None
