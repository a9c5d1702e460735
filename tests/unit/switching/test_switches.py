"""Changes of tier are counted from zero, by direction and reason."""

from treadle_agent.policy.switches import Direction, Reason, Switches


def test_each_that_a_tenants_policy_can_leave_begins_at_zero() -> None:
    kinds = ("down/backlog", "down/room", "down/slack", "up/backlog", "up/room", "up/slack")
    assert Switches().by_name() == dict.fromkeys(kinds, 0)


def test_one_counts_for_the_reason_that_was_left() -> None:
    switches = Switches()
    before = switches.by_name()
    for reason, direction in ((Reason.ROOM, Direction.UP), (Reason.SLACK, Direction.DOWN), (Reason.RATE, Direction.UP)):
        switches.reason = reason
        switches.count(direction)
    assert switches.by_name() == before | {"up/room": 1, "down/slack": 1, "up/rate": 1}
    assert (switches.total(Direction.UP), switches.total(Direction.DOWN)) == (2, 1)
