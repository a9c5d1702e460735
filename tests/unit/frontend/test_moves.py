"""Tenants that leave, by every name that a client may call them, until their time is over."""

from __future__ import annotations

import pytest

from treadle_agent.frontend.moves import Moves


@pytest.fixture
def moves() -> Moves:
    """Of a tenant `a` in two namespaces, and of `b`."""
    made = Moves()
    for key in ("a.one", "a.two", "b.one"):
        made.begin(key, ("10.0.0.8:8000",), 1.0)
    return made


def test_by_name(moves):
    assert list(moves.match("a")) == ["a.one", "a.two"]
    assert list(moves.match("a.two")) == ["a.two"]
    assert list(moves.match("b")) == ["b.one"]
    assert list(moves.match("one")) == []
    moves.begin("b.one", ("10.0.0.9:8000",), 1.0)
    assert list(moves.match("b")) == ["b.one"], "once, however often its successors change"
    assert moves.get("b.one").successors == ("10.0.0.9:8000",)


def test_those_that_drain_stay_and_those_that_are_gone_are_forgotten_in_time(moves):
    assert moves.next_end is None
    moves.end("a.one", 10.0)
    moves.end("b.one", 20.0)
    moves.end("nobody.one", 5.0)
    assert moves.next_end == 10.0
    moves.forget_ended(9.9)
    assert "a.one" in moves
    moves.forget_ended(10.0)
    assert "a.one" not in moves
    assert list(moves.match("a")) == ["a.two"]
    assert moves.next_end == 20.0
    moves.forget_ended(20.0)
    assert list(moves.match("b")) == []
    moves.forget("a.two")
    moves.forget("a.two")
    assert not moves


def test_one_that_drains_again_is_not_over(moves):
    moves.end("b.one", 10.0)
    moves.begin("b.one", (), 1.0)
    moves.forget_ended(11.0)
    assert "b.one" in moves
