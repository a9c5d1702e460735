"""Leader election as a state machine under a clock of ours: two candidates and one Lease, no server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from treadle_api.units import Seconds
from treadle_operator.election import Election, ElectionTiming, LeaderLease, Read, Wait, Write

TIMING = ElectionTiming()


class Server:
    """The Lease as an API server keeps it: a write of another version than the present one is a conflict."""

    def __init__(self) -> None:
        self.lease: LeaderLease | None = None
        self.version = 0

    def write(self, lease: LeaderLease) -> LeaderLease | None:
        if lease.version != (self.lease.version if self.lease is not None else ""):
            return None
        self.version += 1
        self.lease = replace(lease, version=str(self.version))
        return self.lease


class Candidate:
    """A process: its election, and the requests it makes."""

    def __init__(self, name: str, server: Server) -> None:
        self.election = Election(name, TIMING)
        self.server = server
        self.floor = 0

    def run(self, now: float) -> float:
        """All steps until it waits; until when."""
        while True:
            match self.election.step(Seconds(now), f"wall {now}", self.floor):
                case Wait(until):
                    return until
                case Read():
                    self.election.observe(self.server.lease, Seconds(now))
                case Write(lease):
                    if (written := self.server.write(lease)) is None:
                        self.election.conflicted()
                    else:
                        self.election.wrote(written, Seconds(now))

    def run_until(self, begin: float, end: float) -> float | None:
        """Run from `begin`; when it first leads, or None by `end`."""
        now = begin
        while now < end:
            wait = self.run(now)
            if self.election.leads(Seconds(now)):
                return now
            now = wait
        return None


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def one(server: Server) -> Candidate:
    return Candidate("one", server)


@pytest.fixture
def two(server: Server) -> Candidate:
    return Candidate("two", server)


def test_the_first_one_takes_a_lease_that_is_not_there_and_renews_it(one: Candidate, server: Server) -> None:
    assert one.run(100.0) == 100.0 + TIMING.retry_period
    assert one.election.leads(Seconds(100.0))
    assert one.election.epoch == 1
    one.run(102.0)
    assert server.lease is not None
    assert (server.lease.renew_time, server.lease.acquire_time) == ("wall 102.0", "wall 100.0")
    assert one.election.epoch == 1


def test_another_waits_while_it_is_renewed(one: Candidate, two: Candidate) -> None:
    for now in range(100, 160, 2):
        one.run(now)
        two.run(now + 1)
        assert one.election.leads(Seconds(now + 1))
        assert not two.election.leads(Seconds(now + 1))


@pytest.mark.parametrize("killed_after", [0.0, 0.1, 1.0, 1.9])
def test_a_killed_leader_is_followed_within_the_lease_and_one_look(
    one: Candidate, two: Candidate, killed_after: float
) -> None:
    one.run(100.0)
    wait = two.run(100.0 + killed_after)  # its last look before the leader dies; the leader renews no more
    leads_at = two.run_until(wait, 200.0)
    assert leads_at is not None
    # What was seen 'just now' may have been written long ago: the wait begins when it is seen.
    assert leads_at == pytest.approx(100.0 + killed_after + TIMING.lease_duration)
    assert two.election.epoch == 2


def test_a_released_lease_is_taken_at_the_next_look(one: Candidate, two: Candidate, server: Server) -> None:
    one.run(100.0)
    wait = two.run(100.5)
    released = one.election.release(Seconds(101.0), "wall")
    assert released is not None
    assert server.write(released) is not None
    assert not one.election.leads(Seconds(101.0))
    assert two.run_until(wait, 110.0) == wait <= 103.0
    assert two.election.epoch == 2


def test_a_leader_that_slept_may_not_write_and_learns_who_follows(one: Candidate, two: Candidate) -> None:
    one.run(100.0)
    two.run(101.0)
    assert two.run_until(103.0, 200.0) is not None
    assert not one.election.leads(Seconds(140.0))
    one.run(140.0)
    assert not one.election.leads(Seconds(140.0))
    assert one.election.holder == "two"
    assert one.election.epoch == 0


def test_leading_ends_before_another_can_begin(one: Candidate) -> None:
    one.run(100.0)
    assert one.election.leads(Seconds(100.0 + TIMING.renew_deadline - 0.001))
    assert not one.election.leads(Seconds(100.0 + TIMING.renew_deadline))
    assert TIMING.renew_deadline < TIMING.lease_duration


def test_a_leader_that_slept_without_a_rival_leads_in_a_new_epoch(one: Candidate) -> None:
    one.run(100.0)
    one.run(140.0)
    assert one.election.leads(Seconds(140.0))
    assert one.election.epoch == 2


def test_of_two_that_take_an_expired_lease_one_wins(server: Server) -> None:
    dead, one, two = (Candidate(name, server) for name in ("dead", "one", "two"))
    dead.run(0.0)
    one.run(1.0)
    two.run(1.0)
    # Both look at the same moment, then both write.
    now = Seconds(1.0 + TIMING.lease_duration)
    for candidate in (one, two):
        assert candidate.election.step(now, "wall", 0) == Read()
        candidate.election.observe(server.lease, now)
    writes = [candidate.election.step(now, "wall", 0) for candidate in (one, two)]
    for candidate, write in zip((one, two), writes, strict=True):
        assert isinstance(write, Write)
        written = server.write(write.lease)
        if written is None:
            candidate.election.conflicted()
        else:
            candidate.election.wrote(written, now)
    assert [candidate.election.leads(now) for candidate in (one, two)] == [True, False]
    two.run(now)
    assert two.election.holder == "one"


def test_a_deleted_lease_does_not_begin_below_what_replicas_carry(one: Candidate) -> None:
    one.floor = 41
    one.run(100.0)
    assert one.election.epoch == 42


def test_times_scale_together() -> None:
    scaled = ElectionTiming.scaled(Seconds(3.0))
    assert scaled == ElectionTiming(Seconds(3.0), Seconds(2.0), Seconds(0.4))
