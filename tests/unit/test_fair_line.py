"""Owners take turns, whatever they have waiting, and who has most gives way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treadle_callers.fair_line import FairLine


def taken(line: FairLine[str]) -> list[str]:
    found = []
    while (key := line.take()) is not None:
        found.append(key)
    return found


def test_owners_take_turns_and_each_has_its_order():
    line = FairLine[str](10)
    for key in ("a1", "a2", "a3", "b1", "a4", "c1", "b2"):
        assert line.join(key[0], key) == []
    assert taken(line) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_who_has_most_gives_way():
    line = FairLine[str](3)
    for key in ("a1", "a2", "a3"):
        line.join("a", key)
    assert line.join("a", "a4") == ["a4"]
    assert line.join("b", "b1") == ["a3"]
    assert line.join("c", "c1") == ["a2"]
    assert line.join("d", "d1") == ["d1"]
    assert len(line) == 3


def test_what_is_large_counts_as_such():
    line = FairLine[str](10)
    for key, size in (("a1", 1), ("a2", 1), ("a3", 1), ("b1", 6)):
        assert line.join(key[0], key, size) == []
    assert line.join("a", "a4", 2) == ["b1"]
    assert line.join("b", "b2", 11) == ["b2"]
    assert line.join("c", "c1", 9) == ["c1"]
    assert line.join("c", "c2", 4) == []
    assert line.join("a", "a5", 3) == ["a5"]
    assert taken(line) == ["a1", "c2", "a2", "a3", "a4"]


def test_who_leaves_is_not_taken():
    line = FairLine[str](3)
    line.join("a", "a1")
    line.join("a", "a2")
    line.leave("a", "a1")
    line.leave("a", "a1")
    line.leave("b", "b1")
    assert taken(line) == ["a2"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 4)) | st.none(), max_size=60), st.integers(1, 12))
def test_nobody_is_lost_and_nobody_waits_for_more_than_a_turn_of_each(steps, most):
    line, waiting, number = FairLine[tuple[str, int]](most), {}, 0
    for step in steps:
        if step is None:
            key = line.take()
            assert (key is None) == (not waiting)
            if key is not None:
                assert key == min(one for one in waiting if one[0] == key[0]), "an owner's own in order"
                del waiting[key]
            continue
        number += 1
        owner, size = step
        leaving = line.join(owner, (owner, number), size)
        waiting[owner, number] = size
        for one in leaving:
            assert sum(waiting.values()) > most, "no more than have to"
            sizes = {each: sum(size for (name, _), size in waiting.items() if name == each) for each in "abcd"}
            assert sizes[one[0]] == max(sizes.values())
            assert one == max(other for other in waiting if other[0] == one[0]), "the newest"
            del waiting[one]
        assert len(line) == len(waiting)
        assert sum(waiting.values()) <= most
    owners = {one[0] for one in waiting}
    first = [line.take()[0] for _ in owners]
    assert set(first) == owners, "each once before anybody twice"
