"""What the switching benchmark sends, how it reads the server's counters, and how it judges."""

import msgspec
import pytest

from treadle.bench.serving.report import Machine
from treadle.bench.switching.checks import checks
from treadle.bench.switching.counters import Counters, parse
from treadle.bench.switching.decisions import measure_decisions
from treadle.bench.switching.report import SWITCHING, Decisions, Report, Row, Tier
from treadle.bench.switching.run import in_all, scaled_load

METRICS = """\
# HELP treadle_requests_total requests
# TYPE treadle_requests_total counter
treadle_requests_total{tenant="a-100",tenant_namespace="default",tier="large",outcome="good"} 7.0
treadle_requests_total{tenant="a-100",tenant_namespace="default",tier="",outcome="shed"} 3.0
treadle_requests_total{tenant="b-100",tenant_namespace="default",tier="large",outcome="good"} 9.0
# HELP treadle_accuracy_credit_total credit
# TYPE treadle_accuracy_credit_total counter
treadle_accuracy_credit_total{tenant="a-100",tenant_namespace="default"} 6.5
# HELP treadle_tier_switches_total switches
# TYPE treadle_tier_switches_total counter
treadle_tier_switches_total{tenant="a-100",tenant_namespace="default",device="host",direction="up"} 2.0
treadle_tier_switches_total{tenant="a-100",tenant_namespace="default",device="host",direction="down"} 3.0
"""


def row(contestant: str, deadline: float, accuracy: float) -> Row:
    return Row(
        contestant=contestant, deadline_ms=deadline, sent=100, effective_accuracy=accuracy, declared_accuracy=accuracy,
        scraped_accuracy=accuracy + 0.05, counted_of_sent=1.0, violation_ratio=0.0, shed_ratio=0.0, p99_ms=10.0,
        switches_per_request=0.0, share_by_tier={},
    )  # fmt: skip


def report(*rows: Row) -> Report:
    return Report(
        Machine("p", 2, 8.0, "Linux"), {}, "treadle bench switching", "2026-01-01", True, 1, 10.0, ((0.0, 1.0),),
        (Tier("large", 99.0, 50.0),), Decisions(3.0, 8.0, 16, 256), rows,
    )  # fmt: skip


def test_a_tenant_s_counters_are_read_from_the_scrape() -> None:
    found = parse(METRICS, "a-100")
    assert found == Counters(10, 6.5, 5)
    assert found.since(Counters(4, 2.5, 1)) == Counters(6, 4.0, 4)
    assert parse(METRICS, "nobody") == Counters(0, 0.0, 0)


def test_the_load_is_the_paper_s_shape_on_this_machine() -> None:
    load = scaled_load(best_rate=124.0, seconds=30.0)
    assert load[0] == pytest.approx((0.0, 70.0))
    assert load[2] == pytest.approx((12.5, 330.0))
    assert load[-1] == pytest.approx((20.0, 100.0))


def judged(*rows: Row) -> dict[str, bool | None]:
    return {check.name: check.reached for check in checks(report(*rows))}


def test_switching_must_beat_each_tier_over_the_sweep_and_lose_little_anywhere() -> None:
    singles = [row("large", 100, 80.0), row("small", 100, 90.0), row("large", 200, 95.0), row("small", 200, 90.0)]
    assert all(judged(row(SWITCHING, 100, 91.0), row(SWITCHING, 200, 96.0), *singles).values())
    found = judged(row(SWITCHING, 100, 89.5), row(SWITCHING, 200, 97.0), *singles)
    assert (found["sweep"], found["any-deadline"]) == (True, False)
    found = judged(row(SWITCHING, 100, 80.0), row(SWITCHING, 200, 95.0), *singles)
    assert (found["sweep"], found["any-deadline"]) == (False, False)


def test_requests_that_were_not_counted_and_scrapes_that_differ_are_seen() -> None:
    single = row("large", 100, 80.0)
    mine = row(SWITCHING, 100, 91.0)
    assert not judged(msgspec.structs.replace(mine, counted_of_sent=0.999), single)["counters"]
    assert not judged(msgspec.structs.replace(mine, counted_of_sent=1.001), single)["counters"]
    assert not judged(msgspec.structs.replace(mine, scraped_accuracy=90.8), single)["scraped"]


def test_one_bad_round_of_three_is_seen() -> None:
    good, single = row(SWITCHING, 100, 91.0), row("large", 100, 80.0)
    lost = msgspec.structs.replace(good, counted_of_sent=0.99, effective_accuracy=70.0)
    mistold = msgspec.structs.replace(good, scraped_accuracy=89.0)
    assert all(judged(in_all([good, good, good]), single).values())
    assert in_all([good, lost, good]).effective_accuracy == 91.0
    assert not judged(in_all([good, lost, good]), single)["counters"]
    assert not judged(in_all([mistold, good, good]), single)["scraped"]


def test_a_decision_costs_microseconds() -> None:
    found = measure_decisions()
    assert 0.0 < found.p50_us <= found.p99_us
    assert found.p50_us < 100.0  # the median, which a busy machine does not disturb
