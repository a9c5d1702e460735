"""A device over time: counters begin anew with each executor process, one missing report is no fault."""

from __future__ import annotations

from treadle_agent.cluster.gauge import DeviceGauge
from treadle_agent.executor.statistics import Document, TenantStatistics
from treadle_agent.frontend.scrape import Report, SupervisorCounters


def report(busy: float = 0.0, isolated: dict[str, str] | None = None, **seconds: float) -> Report:
    """What an executor reports: device time in all, and of tenants (``digits=2.5``)."""
    document = Document("host", "space-time", busy_seconds=busy, stretch=1.2)
    for version, (tenant, spent) in enumerate(seconds.items(), 1):
        document.tenants[version] = TenantStatistics(
            f"{tenant}.default", spent, tier="large", correction=1.5, straggling=True, stretch=1.4
        )
    return Report("host", document, SupervisorCounters(0, 0, isolated or {}))


def launched(launches: int, problems: int) -> Report:
    """What an executor reports that has launched so often, for so many kernels of single requests."""
    document = Document("host", "space-time", launches=launches, problems=problems)
    return Report("host", document, SupervisorCounters(0, 0))


SILENCE = Report("host", None, None)


def test_utilisation_is_of_the_last_minute():
    it = DeviceGauge()
    assert it.utilisation == 0.0
    for step in range(13):
        it.add(report(busy=2.5 * step), now=5.0 * step)
    assert abs(it.utilisation - 0.5) < 1e-9
    for step in range(13, 40):
        it.add(report(busy=30.0), now=5.0 * step)
    assert it.utilisation == 0.0


def test_a_new_process_counts_from_zero():
    it = DeviceGauge()
    it.add(report(busy=100.0, digits=10.0), 0.0)
    it.add(report(busy=101.0, digits=11.0), 5.0)
    it.add(report(busy=2.0, digits=2.0), 10.0)
    assert abs(it.utilisation - 0.3) < 1e-9
    assert abs(it.seconds("digits.default") - 13.0) < 1e-9
    assert it.seconds("nobody.default") == 0.0


def test_the_merge_factor_is_of_the_last_minute_and_of_no_launches_there_is_none():
    it = DeviceGauge()
    assert it.merge_factor is None
    it.add(launched(1000, 1000), 0.0)
    assert it.merge_factor is None, "of what was before the first look nobody knows when it was"
    it.add(launched(1010, 1040), 5.0)
    assert it.merge_factor == 4.0
    it.add(launched(10, 20), 10.0)  # a new process
    assert it.merge_factor == 3.0
    for step in range(3, 40):
        it.add(launched(10, 20), 5.0 * step)
    assert it.merge_factor is None


def test_stretch_is_the_executors():
    it = DeviceGauge()
    assert it.stretch == 1.0
    it.add(report(), 0.0)
    assert it.stretch == 1.2
    it.add(SILENCE, 5.0)
    assert it.stretch == 1.2


def test_one_missing_report_is_no_fault_and_two_are():
    it = DeviceGauge()
    it.add(SILENCE, 0.0)
    assert it.fault == ""
    it.add(SILENCE, 5.0)
    assert "does not answer" in it.fault
    it.add(report(), 10.0)
    assert it.fault == ""


def test_versions_and_those_that_are_not_run_any_more():
    it = DeviceGauge()
    it.add(report(digits=1.0, isolated={"7": "it killed the process"}), 0.0)
    found = it.version(1)
    assert (found.tier, found.correction, found.straggling, found.stretch) == ("large", 1.5, True, 1.4)
    assert it.version(2) is None
    assert it.isolated(7) == "it killed the process"
    assert it.isolated(1) == ""


def test_who_has_gone_is_forgotten_also_while_its_version_is_being_unloaded():
    it = DeviceGauge()
    it.add(report(digits=10.0, others=1.0), 0.0)
    it.retain({"others.default"})
    it.add(report(digits=11.0, others=2.0), 5.0)
    it.retain({"others.default"})
    assert it.seconds("digits.default") == 0.0
    assert it.seconds("others.default") == 2.0
    it.add(SILENCE, 10.0)
    it.retain({"others.default"})
    assert it.seconds("others.default") == 2.0, "an executor that does not answer has forgotten nothing"
