"""Which nodes are taken for lost, by what looks at their Leases have shown."""

from __future__ import annotations

import pytest

from treadle_api.units import Seconds
from treadle_operator.heartbeats import Heartbeats, NodeLease

WALL = 1_800_000_000.0  # by the operator's clock, at 0 of the steady one


class Cluster:
    """Agents that renew their Leases; each has a clock that may be wrong."""

    def __init__(self) -> None:
        self.heartbeats = Heartbeats(Seconds(6.0))
        self.leases: dict[str, NodeLease] = {}

    def renew(self, node: str, at: float, skew: float = 0.0) -> None:
        renewed = Seconds(WALL + at + skew)
        self.leases[node] = NodeLease(node, Seconds(15.0), renewed, str(renewed), WALL + 7.0 + at)

    def look(self, at: float) -> frozenset[str]:
        self.heartbeats.look(self.leases.values(), Seconds(at), Seconds(WALL + at))
        return self.heartbeats.alive()


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def looks(cluster: Cluster, begin: float, end: float, every: float = 2.0) -> float | None:
    """Look from `begin` to `end`; when node "a" was first taken for lost."""
    at = begin
    while at <= end:
        if "a" not in cluster.look(at):
            return at
        at += every
    return None


@pytest.mark.parametrize("skew", [0.0, -3600.0, 3600.0])
def test_a_node_that_renews_lives_whatever_its_clock_says(cluster: Cluster, skew: float) -> None:
    for at in range(0, 120, 5):
        cluster.renew("a", at, skew)
        assert looks(cluster, at, at + 4) is None


def test_a_silent_node_is_lost_when_its_lease_expires(cluster: Cluster) -> None:
    cluster.renew("a", 0.0)
    cluster.look(1.0)
    cluster.renew("a", 1.5)
    cluster.look(3.0)
    assert cluster.heartbeats.next_expiry == pytest.approx(16.5)  # of the renewal, not of the look that saw it
    assert cluster.look(6.0) == cluster.look(11.0) == cluster.look(16.4) == {"a"}
    assert cluster.look(16.5) == frozenset()
    assert cluster.heartbeats.next_expiry is None


def test_a_wrong_clock_shifts_that_by_one_look_at_most(cluster: Cluster) -> None:
    for skew in (-3600.0, 3600.0):
        cluster = Cluster()
        cluster.renew("a", 0.0, skew)
        cluster.look(1.0)
        cluster.renew("a", 1.5, skew)
        lost = looks(cluster, 3.0, 40.0, every=0.5)
        assert lost is not None
        assert 16.0 <= lost <= 18.5


def test_it_comes_back_with_its_next_renewal(cluster: Cluster) -> None:
    cluster.renew("a", 0.0)
    assert looks(cluster, 0.0, 40.0) is not None
    cluster.renew("a", 41.0)
    assert cluster.look(42.0) == {"a"}


def test_after_an_outage_of_the_api_server_every_agent_gets_its_time(cluster: Cluster) -> None:
    cluster.renew("a", 0.0)
    looks(cluster, 0.0, 10.0)
    # Nobody could renew or look for five minutes.
    assert cluster.look(310.0) == {"a"}
    assert looks(cluster, 312.0, 324.0) is None
    assert looks(cluster, 325.0, 326.0) == 325.0


def test_a_node_without_a_lease_does_not_live(cluster: Cluster) -> None:
    cluster.renew("a", 0.0)
    assert cluster.look(0.0) == {"a"}
    del cluster.leases["a"]
    assert cluster.look(2.0) == frozenset()


def test_before_the_first_look_nothing_is_known() -> None:
    assert Heartbeats(Seconds(6.0)).alive() == frozenset()


def run(cluster: Cluster, begin: float, end: float, *renewing: str) -> None:
    """Look every two seconds, while some agents renew every five."""
    for at in range(int(begin), int(end)):
        for number, node in enumerate(renewing):
            if (at + number) % 5 == 0:
                cluster.renew(node, at)
        if at % 2 == 0:
            cluster.look(at)


def test_one_silent_agent_is_no_hush(cluster: Cluster) -> None:
    run(cluster, 0, 30, "a", "b")
    run(cluster, 30, 60, "b")
    assert cluster.heartbeats.alive() == {"b"}
    assert not cluster.heartbeats.hushed


def test_before_the_first_of_all_is_taken_for_lost_it_is_a_hush(cluster: Cluster) -> None:
    names = ("a", "b", "c", "d", "e")
    run(cluster, 0, 30, *names)
    for at in range(30, 60):
        alive = cluster.look(at)
        if alive != set(names):
            assert cluster.heartbeats.hushed, f"{set(names) - alive} were lost first"
            break
    else:
        pytest.fail("nobody was lost")


def test_when_a_hush_is_over_every_agent_gets_its_time(cluster: Cluster) -> None:
    names = {"a", "b", "c"}
    run(cluster, 0, 30, *names)
    run(cluster, 30, 120)
    assert cluster.heartbeats.hushed
    assert cluster.heartbeats.alive() == frozenset()
    cluster.renew("b", 121.0)
    assert cluster.look(122.0) == names
    assert not cluster.heartbeats.hushed
    run(cluster, 123, 145, "b")
    assert cluster.heartbeats.alive() == {"b"}, "those who are dead are found out"


def test_who_was_lost_before_a_hush_is_not_alive_after_it(cluster: Cluster) -> None:
    for node in ("a", "dead"):
        cluster.renew(node, 0.0)
    for at in range(0, 40, 5):
        cluster.renew("a", at)
        looks(cluster, at, at + 4)
    assert cluster.look(40.0) == {"a"}
    for at in range(42, 50, 2):
        cluster.look(at)
    assert cluster.heartbeats.hushed
    cluster.renew("a", 50.0)
    assert cluster.look(50.5) == {"a"}


def test_who_was_lost_is_not_alive_because_nobody_looked_for_a_while(cluster: Cluster) -> None:
    cluster.renew("dead", 0.0)
    run(cluster, 0, 60, "a")
    assert cluster.look(60.0) == {"a"}
    assert cluster.look(67.0) == {"a"}
    assert cluster.look(300.0) == {"a"}, "it gets the time to renew, and only it"
    cluster.renew("dead", 301.0)
    assert cluster.look(302.0) == {"a", "dead"}


@pytest.mark.parametrize("skew", [0.0, -3600.0, 3600.0])
def test_a_new_operator_does_not_take_the_long_dead_for_alive(cluster: Cluster, skew: float) -> None:
    cluster.renew("dead", 0.0)
    cluster.renew("outage", 900.0)
    cluster.renew("a", 1000.0, skew)
    assert cluster.look(1001.0) == {"a", "outage"}
    cluster.renew("dead", 1002.0)
    assert cluster.look(1003.0) == {"a", "dead", "outage"}


def test_after_a_long_outage_a_new_operator_takes_all_for_alive(cluster: Cluster) -> None:
    cluster.renew("a", 0.0)
    cluster.renew("b", 3.0)
    assert cluster.look(5000.0) == {"a", "b"}


def test_where_there_is_no_agent_there_is_no_hush(cluster: Cluster) -> None:
    cluster.look(0.0)
    assert not cluster.heartbeats.hushed
