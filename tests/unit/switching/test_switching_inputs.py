"""What the simulation is told: rates, arrivals, traces, tiers and flags; every refusal names the flag."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from treadle.__main__ import main
from treadle.simulate.errors import InputError
from treadle.simulate.model_switching.arrivals import (
    PAPER_RATES,
    Rates,
    mmpp_load,
    parse_rates,
    poisson_load,
    read_trace,
    trace_load,
)
from treadle.simulate.model_switching.options import add_arguments, read_options
from treadle.simulate.model_switching.tiers import RESNETS, read_tiers


def test_the_paper_s_rates() -> None:
    rates = parse_rates(PAPER_RATES, 300.0)
    assert rates.spike == 125.0
    assert parse_rates(PAPER_RATES, 100.0).steps == rates.steps[:2], "a shorter run ends before the spike"
    per_second = rates.per_second()
    assert len(per_second) == 300
    assert per_second[[0, 59, 60, 124, 125, 164, 199, 299]].tolist() == [35, 35, 55, 55, 165, 140, 90, 50]


def test_a_rate_that_changes_within_a_second_counts_in_part() -> None:
    assert Rates(((0.0, 10.0), (0.25, 30.0)), 1.0).per_second().tolist() == [25.0]


def test_a_rate_that_never_rises_has_no_spike() -> None:
    assert parse_rates("0:50,10:5", 20.0).spike is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "write SECOND:RATE"),
        ("0=5", "write SECOND:RATE"),
        ("0:5,", "write SECOND:RATE"),
        ("0:1.2.3", "could not convert"),
        ("1:5", "begin at 0"),
        ("0:5,3:6,3:7", "rise"),
        ("0:5,20:6", "below --seconds 20"),
        ("0:0", "above 0"),
    ],
)
def test_rates_that_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=r"^--rates ") as caught:
        parse_rates(text, 20.0)
    assert reason in str(caught.value)


@pytest.mark.parametrize("make", [poisson_load, mmpp_load])
def test_arrivals_are_as_many_as_the_rates_say_and_the_same_for_a_seed(make) -> None:
    rates = parse_rates("0:100,50:300", 200.0)
    counts = [len(make(rates, seed).times) for seed in range(8)]
    assert np.mean(counts) == pytest.approx(50_000, rel=0.1)
    load = make(rates, 3)
    assert load.times.tolist() == make(rates, 3).times.tolist() != make(rates, 4).times.tolist()
    assert load.per_second.sum() == pytest.approx(len(load.times), rel=0.03)
    assert load.seconds == 200.0


def test_modulated_arrivals_are_burstier() -> None:
    rates = parse_rates("0:100", 300.0)
    plain, modulated = (np.histogram(make(rates, 1).times, 300)[0].var() for make in (poisson_load, mmpp_load))
    assert modulated > 5 * plain


def test_a_trace_of_lines_and_of_a_column(tmp_path: Path) -> None:
    lines, table = tmp_path / "trace", tmp_path / "trace.csv"
    lines.write_text("12.5\n10\n\n11.25\n")
    table.write_text("id,at\na,2026-01-01T00:00:10\nb,2026-01-01T00:00:12.5\n")
    assert read_trace(str(lines)).tolist() == [0.0, 1.25, 2.5]
    assert read_trace(f"{table}:at").tolist() == [0.0, 2.5]
    load = trace_load(read_trace(str(lines)))
    assert load.per_second.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("1\ntwo\n", "", "line 2: 'two' is neither"),
        ("1\n", "", "at least two timestamps"),
        ("1\nnan\n", "", "'nan' is not finite"),
        ("a,b\n1,2\n", ":c", "no column 'c'; its columns: a, b"),
    ],
)
def test_traces_that_are_refused(tmp_path: Path, text: str, column: str, reason: str) -> None:
    file = tmp_path / "trace"
    file.write_text(text)
    with pytest.raises(InputError, match=r"^--arrivals trace:") as caught:
        read_trace(f"{file}{column}")
    assert reason in str(caught.value)


def test_a_trace_that_is_not_there() -> None:
    with pytest.raises(InputError, match="No such file"):
        read_trace("/nowhere/trace")


def test_tiers_of_a_file_stand_most_accurate_first(tmp_path: Path) -> None:
    file = tmp_path / "tiers.csv"
    file.write_text("name,accuracy,saturation\nsmall,70,300\nlarge,80.5,50\n")
    assert [(tier.name, tier.accuracy, tier.saturation) for tier in read_tiers(file)] == [
        ("large", 80.5, 50.0), ("small", 70.0, 300.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name,accuracy,saturation\n",
        "name,accuracy\na,1\n",
        "name,accuracy,saturation\na,101,5\n",
        "name,accuracy,saturation\na,50,0\n",
        "name,accuracy,saturation\na,x,5\n",
        "name,accuracy,saturation\na,50,5\na,60,5\n",
    ],
)
def test_tiers_that_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tiers.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=r"^--tiers "):
        read_tiers(file)


def options(*flags: str) -> object:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return read_options(parser.parse_args(flags))


def test_flags_as_the_documentation_writes_them() -> None:
    found = options("--deadline", "700ms,1s", "--profile-error", "1.3", "--switch-cost", "500ms", "--seeds", "3")
    assert (found.deadlines, found.profile_error, found.switch_cost, found.seeds) == ((0.7, 1.0), 1.3, 0.5, 3)
    assert found.tiers == RESNETS


@pytest.mark.parametrize(
    "flags",
    [
        ("--deadline", "0.75"),
        ("--deadline", "0ms"),
        ("--deadline", "1s,"),
        ("--switch-cost", "2h"),
        ("--seeds", "0"),
        ("--servers", "0"),
        ("--seconds", "0"),
        ("--profile-error", "0"),
        ("--paper", "--deadline", "1s"),
        ("--tiers", "/nowhere/tiers.csv"),
    ],
)
def test_flags_that_are_refused_are_named(flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "model-switching", *flags]) == 2
    assert flags[0] in capsys.readouterr().err


@pytest.mark.parametrize("flags", [("--rates", "0:99999999"), ("--rates", "0:0.0001"), ("--arrivals", "uniform")])
def test_what_cannot_be_simulated_is_said_before_it_is_tried(
    flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "model-switching", *flags]) == 2
    assert flags[0] in capsys.readouterr().err
