"""Only the leader's changes are taken; what was taken stays until the leader has written."""

from __future__ import annotations

from treadle_agent.cluster.assignments import Assignments, key_of


def accepted(assignments, replica):
    return assignments.get(key_of(replica)).accepted


def test_the_first_list_is_taken_as_it_is(replica):
    it = Assignments()
    it.lead(7)
    old = replica(epoch=2)
    it.listed([old])
    assert accepted(it, old) is old
    assert it.known


def test_a_change_below_the_epoch_is_not_taken_and_what_was_is_kept(replica):
    it = Assignments()
    it.listed([replica(epoch=3)])
    it.lead(4)
    late = replica(epoch=3, generation=2, draining=True)
    assert it.changed(late)
    [(_, assignment)] = it
    assert assignment.stale
    assert assignment.latest is late
    assert not assignment.accepted.draining


def test_a_new_replica_below_the_epoch_is_not_taken_at_all(replica):
    it = Assignments()
    it.listed([])
    it.lead(4)
    it.changed(replica(epoch=3))
    assert accepted(it, replica()) is None


def test_the_same_in_a_later_list(replica):
    it = Assignments()
    it.listed([replica()])
    it.lead(2)
    it.listed([replica(generation=2), replica("new")])
    assert accepted(it, replica()).generation == 1
    assert accepted(it, replica("new")) is None


def test_the_leaders_own_changes_are_taken(replica):
    it = Assignments()
    it.lead(4)
    it.listed([])
    for epoch in (4, 5):
        new = replica(epoch=epoch, generation=epoch)
        it.changed(new)
        assert accepted(it, new) is new


def test_a_leader_that_rises_does_not_take_back_what_it_finds(replica):
    it = Assignments()
    it.listed([replica(epoch=1)])
    it.lead(9)
    assert accepted(it, replica()).epoch == 1
    assert not it.changed(replica(epoch=1)), "its status has changed, no more"
    assert accepted(it, replica()).epoch == 1


def test_a_lease_that_begins_anew_is_believed(replica):
    """Somebody has deleted the leader's Lease: epochs count from 0 again, and what was refused may be right."""
    it = Assignments()
    it.listed([])
    it.lead(8)
    it.changed(replica(epoch=0))
    assert accepted(it, replica()) is None
    it.lead(0)
    assert accepted(it, replica()).epoch == 0


def test_what_is_gone_is_forgotten(replica):
    it = Assignments()
    it.listed([replica(), replica("other")])
    it.removed(key_of(replica()))
    assert len(list(it)) == 1
    it.listed([])
    assert not list(it)


def test_one_made_again_under_its_name_is_judged_for_itself(replica):
    """Both have generation 1, and no watch told of what was in between."""
    it = Assignments()
    it.listed([replica(uid="old", epoch=1)])
    it.lead(2)
    it.listed([replica(uid="new", epoch=1)])
    assert it.get(key_of(replica())).stale
    assert accepted(it, replica()) is None, "neither an old leader's, nor what is deleted"
    assert it.changed(replica(uid="newest", epoch=2)), "also where it comes as a change"
    assert accepted(it, replica()).uid == "newest"


def test_one_made_again_by_an_old_leader_takes_nothing_over(replica):
    it = Assignments()
    it.listed([replica(uid="old", epoch=2, generation=5)])
    it.lead(2)
    assert it.changed(replica(uid="new", epoch=1, generation=5))
    assert accepted(it, replica()) is None
