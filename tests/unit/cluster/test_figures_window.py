"""Figures of the last minute, out of counters that only rise."""

from __future__ import annotations

from treadle_agent.cluster.window import Totals, Window, read_totals
from treadle_agent.metrics import RequestOutcome, TenantRequests, TenantSeries
from treadle_api import histogram


def counted(**requests: int) -> TenantRequests:
    it = TenantRequests(TenantSeries("digits", "default", ("large", "small")))
    for _ in range(requests.get("good", 0)):
        it.answered("large", 0.9, 0.02, in_time=True)
    for _ in range(requests.get("late", 0)):
        it.answered("small", 0.8, 3.0, in_time=False)
    for _ in range(requests.get("shed", 0)):
        it.count(RequestOutcome.SHED)
    for _ in range(requests.get("error", 0)):
        it.count(RequestOutcome.ERROR)
    return it


def test_counters_are_read_whole():
    totals = read_totals(counted(good=3, late=2, shed=4, error=1), 1.5)
    assert (totals.good, totals.late, totals.shed, totals.error) == (3, 2, 4, 1)
    assert abs(totals.accuracy_credit - 270.0) < 1e-9
    assert totals.answered == {"large": 3, "small": 2}
    assert sum(totals.latency_counts) == 5
    assert 0.015 < histogram.quantile(totals.latency_counts, 0.5) < 0.03
    assert 2.0 < histogram.quantile(totals.latency_counts, 0.99) < 4.0


def test_one_look_tells_nothing_yet():
    it = Window()
    assert it.figures.window == 0
    it.add(read_totals(counted(good=5), 1.0), 0.0)
    assert it.figures.window == 0
    assert it.figures.total == 0


def test_what_came_since_the_first_look_and_no_more():
    it = Window()
    it.add(read_totals(counted(good=5), 1.0), 0.0)
    it.add(read_totals(counted(good=8, shed=1), 1.25), 5.0)
    figures = it.figures
    assert (figures.window, figures.good, figures.shed, figures.device_seconds) == (5.0, 3, 1, 0.25)
    assert sum(figures.latency_counts) == 3
    assert len(figures.latency_counts) == 32


def test_what_is_older_than_a_minute_is_left_out():
    it = Window()
    for step in range(100):
        it.add(Totals(good=10 * step), 5.0 * step)
    assert it.figures.window == 60.0
    assert it.figures.good == 120
    for step in range(100, 120):
        it.add(Totals(good=990), 5.0 * step)
    assert it.figures.good == 0


def test_counters_that_begin_anew():
    it = Window()
    it.add(Totals(good=100, device_seconds=9.0), 0.0)
    it.add(Totals(good=2), 5.0)
    it.add(Totals(good=6), 10.0)
    assert it.figures.good == 4
    assert it.figures.device_seconds == 0.0


def test_the_active_tier_is_the_one_that_answered_most_of_late():
    it = Window()
    assert it.active_tier is None
    it.add(Totals(answered={"large": 100, "small": 0}), 0.0)
    assert it.active_tier is None
    it.add(Totals(answered={"large": 101, "small": 3}), 5.0)
    assert it.active_tier == "small"
    it.add(Totals(answered={"large": 101, "small": 3}), 500.0)
    assert it.active_tier == "small", "nothing has answered since"


def test_answers_count_for_the_tiers_that_there_were():
    it = Window()
    it.serve(("large", "small"), Totals())
    it.add(Totals(answered={"large": 9}), 0.0)
    it.add(Totals(answered={"large": 19}), 5.0)
    it.serve(("large", "small"), Totals(answered={"large": 19}))
    assert it.active_tier == "large", "the same serve on, in another version"
    it.serve(("small",), Totals(answered={"large": 19}))
    assert it.active_tier is None
    it.add(Totals(answered={"large": 19, "small": 0}), 10.0)
    assert it.active_tier is None
    it.add(Totals(answered={"large": 19, "small": 4}), 15.0)
    assert it.active_tier == "small"
    it.serve(("large", "small"), Totals(answered={"large": 19, "small": 4}))
    it.add(Totals(answered={"large": 19, "small": 4}), 20.0)
    assert it.active_tier is None, "small was the only one then"
    it.add(Totals(answered={"large": 20, "small": 4}), 25.0)
    assert it.active_tier == "large"


def test_answers_of_counters_that_begin_anew_count():
    it = Window()
    it.serve(("large", "small"), Totals(good=9, answered={"large": 9}))
    it.add(Totals(good=9, answered={"large": 9}), 0.0)
    it.add(Totals(), 5.0)
    it.add(Totals(good=3, answered={"large": 2, "small": 1}), 10.0)
    assert it.active_tier == "large"
