"""The committed page says what the committed results say, simulated results are today's, and ranges are enforced."""

from pathlib import Path

import pytest

import check_papers as check
import papers_figures as papers
import papers_page as page
import ranges
from treadle.bench.kernels import simulated
from treadle.bench.kernels.checks import checks
from treadle.simulate.goodput import study as goodput
from treadle.simulate.multiplexing import plots
from treadle.simulate.multiplexing.study import study
from treadle_agent.executor.gpu_model import GPUS, GpuModel

ROOT = Path(__file__).parents[3]


RESULTS = papers.read()
RANGES = ranges.read(check.EXPECTED)


def test_the_committed_page_is_fresh():
    assert page.PAGE.read_text() == page.render(RESULTS), "run: python benchmarks/papers_page.py"


def test_the_committed_table_is_what_the_model_says_today():
    report = RESULTS.kernels
    assert report.rows == tuple(simulated.table(GpuModel(GPUS["V100"]))), "run: make papers"
    assert report.ablations == tuple(simulated.ablations(GPUS["V100"]))
    assert report.checks == tuple(checks(report.rows))


def test_the_committed_study_is_what_the_model_says_today():
    report = RESULTS.multiplexing
    today = study(GPUS["V100"], 1, command=report.command, date=report.date)
    assert report == today, "run: make papers"


@pytest.mark.parametrize("way", ["space-time", "dynamic batching"])
def test_a_committed_load_is_what_the_policies_carry_today(way):
    """Two of the 175; all of them take minutes."""
    report, name = RESULTS.goodput, "ResNet-18"
    tenants = 4 * goodput.settings(GPUS["V100"])[name]
    (committed,) = (row for row in report.rows if (row.models, row.tenants, row.way) == (name, 4, way))
    assert goodput.row(name, tenants, way, report.requests, 1) == committed, "run: make papers"


def test_the_page_shows_every_plot():
    text = page.PAGE.read_text()
    for name in plots.ALL:
        assert f"(papers/{name})" in text
        assert RESULTS.multiplexing.device in (ROOT / "docs" / "papers" / name).read_text()


def test_every_figure_lies_in_its_committed_range():
    assert ranges.outside(papers.figures(RESULTS), RANGES, "") == []


@pytest.mark.parametrize("value", [0.0, 1e9])
def test_too_good_is_as_wrong_as_too_bad(value):
    figures = papers.figures(RESULTS)
    for name in figures:
        (line,) = ranges.outside({**figures, name: value}, RANGES, "")
        assert line.startswith(f"{name}: {value:.3g} lies outside")


def test_figures_and_ranges_name_each_other():
    figures = papers.figures(RESULTS)
    assert len(ranges.outside(figures, {}, "")) == len(figures)
    assert len(ranges.outside({}, RANGES, "")) == len(RANGES)


def test_the_page_says_that_nothing_ran_on_a_gpu():
    text = page.PAGE.read_text()
    assert "No GPU code has run" in text
    assert text.count("Simulated") >= 3
