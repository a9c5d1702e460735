"""From records to figures, failures and the report."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

import pytest

from treadle.demo.report import render
from treadle.demo.summary import AUTOMATIC, FIFO, MAIN, PINNED, sentence, summarise


@pytest.fixture
def runs(synthetic_run):
    return [
        synthetic_run(MAIN, "treadle", seconds=30.0),
        synthetic_run(AUTOMATIC, "treadle"),
        synthetic_run(PINNED + "large", "large tier only", tier=0, late=0.8),
        synthetic_run(FIFO, "ONNX Runtime, first come first served", tier=0, late=1.0),
    ]


def test_when_all_is_well_there_are_no_failures(tenants, runs):
    assert summarise(tenants, runs, ()).failures == ()


def test_what_is_known_to_have_failed_is_kept(tenants, runs):
    assert summarise(tenants, runs, ("no model of magika's",)).failures == ("no model of magika's",)


def test_a_tenant_without_an_answer_in_time_is_a_failure(tenants, runs):
    main = runs[0].records.copy()
    main["status"][main["target"] == 2] = 503
    (failure,) = summarise(tenants, [dataclasses.replace(runs[0], records=main)], ()).failures
    assert failure == "digits-1 got no answer in time"


@pytest.mark.parametrize(
    ("status", "words"), [(500, "1 × HTTP 500"), (0, "1 × connection lost"), (-1, "never answered")]
)
def test_a_request_that_treadle_fails_or_forgets_is_a_failure(tenants, runs, status, words):
    main = runs[0].records.copy()
    main["status"][5] = status
    (failure,) = summarise(tenants, [dataclasses.replace(runs[0], records=main)], ()).failures
    assert words in failure


def test_requests_that_the_server_did_not_count_are_a_failure(tenants, runs):
    lost = dataclasses.replace(runs[0], records=runs[0].records[:-1])
    (failure,) = summarise(tenants, [lost], ()).failures
    assert "counted by /metrics differ" in failure


def test_a_single_tier_that_beats_choosing_is_a_failure(tenants, runs, synthetic_run):
    better = synthetic_run(PINNED + "medium", "medium tier only", tier=1)
    (failure,) = summarise(tenants, [*runs, better], ()).failures
    assert failure.startswith("in the spike medium tier only reached")


def test_a_difference_that_may_be_chance_is_no_failure(tenants, runs):
    rival = dataclasses.replace(runs[1], name=PINNED + "small", label="small tier only", records=runs[1].records.copy())
    rival.records["correct"][(rival.records["tier"] == 2).nonzero()[0][:3]] = 64
    mine, theirs = (each.tiered_in_spike for each in summarise(tenants, [runs[1], rival], ()).contestants)
    assert theirs.effective_accuracy > mine.effective_accuracy
    assert summarise(tenants, [runs[1], rival], ()).failures == ()


def test_plain_onnx_runtime_may_be_late_but_that_is_no_failure_of_the_demo(tenants, runs):
    summary = summarise(tenants, runs, ())
    fifo = summary.contestants[-1]
    assert fifo.everything.late > 0
    assert fifo.tiered_in_spike.effective_accuracy == 0.0
    assert summary.failures == ()


def test_the_sentence_names_what_was_sent_and_earned(tenants, runs):
    text = sentence(summarise(tenants, runs, ()))
    assert text.startswith("6000 requests to 3 tenants: 100.00% in time")
    assert "plain ONNX Runtime 0.0 %" in text
    assert "\n" not in text


def test_the_sentence_tells_the_comparison_from_the_main_run(tenants, runs):
    main, comparison = sentence(summarise(tenants, runs, ())).split("; in the comparison, runs of 9 s, ")
    assert "accuracy" not in main
    assert comparison.startswith("choosing the tier reached ")
    assert "in time" not in comparison


def test_the_report_is_one_well_formed_file_that_loads_nothing(tenants, runs):
    summary = summarise(tenants, runs, ("something <odd>",))
    text = render(tenants, runs, summary, "timeline.json", "2 cores")
    assert text.count("<svg") == 4
    assert "something &lt;odd&gt;" in text
    for token in ("src=", "<script", "@import", "<link"):
        assert token not in text
    for svg in text.split("<svg")[1:]:
        ET.fromstring("<svg" + svg.split("</svg>")[0] + "</svg>")
    for tenant in tenants:
        assert f"<td>{tenant.name}</td>" in text


def test_a_run_that_was_stopped_early_still_makes_a_report(tenants, runs):
    main = runs[0]
    cut = dataclasses.replace(main, records=main.records[:7], samples=main.samples[:1], complete=False)
    nothing = dataclasses.replace(main, records=main.records[:0], samples=(), complete=False)
    for left in ([cut], [nothing], []):
        summary = summarise(tenants, left, ("stopped",))
        assert summary.failures == ("stopped",)
        assert "stopped" in render(tenants, left, summary, "", "2 cores")
