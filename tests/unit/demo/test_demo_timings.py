"""The demo's own clock, files that cannot be written, and what goes wrong on the way: told in a line."""

from __future__ import annotations

import argparse
import asyncio
import math

import msgspec
import pytest
from rich.console import Console

from treadle.demo import command, demo
from treadle.demo.demo import Demo
from treadle.demo.figures import write_figures
from treadle.demo.files import NoFilesError
from treadle.demo.summary import summarise
from treadle.demo.timings import Timings, too_slow
from treadle.results import unwritable


@pytest.mark.parametrize(
    ("training", "in_all", "seconds", "words"),
    [
        (19.9, 89.9, 25.0, []),
        (math.nan, 5.0, 25.0, []),
        (20.1, 89.9, 25.0, ["training took 20.1 s"]),
        (5.0, 90.1, 25.0, ["90.1 s in all"]),
        (5.0, 90.1, 4.0, ["90.1 s in all"]),
        (5.0, 400.0, 300.0, []),
        (21.0, 91.0, 12.0, ["training took 21.0 s", "91.0 s in all"]),
    ],
)
def test_what_takes_longer_than_promised_is_named(training, in_all, seconds, words):
    found = too_slow(Timings(training, in_all), seconds)
    assert len(found) == len(words)
    for failure, part in zip(found, words, strict=True):
        assert failure.startswith("too slow: ")
        assert part in failure


@pytest.mark.parametrize(("training", "known"), [(3.5, 3.5), (math.nan, None)])
def test_the_figures_hold_the_seconds(tmp_path, tenants, training, known):
    write_figures(tmp_path / "figures.json", tenants, summarise(tenants, [], ()), Timings(training, 61.25), "2 cores")
    document = msgspec.json.decode((tmp_path / "figures.json").read_bytes())
    assert (document["training_seconds"], document["seconds_in_all"]) == (known, 61.25)


def test_a_demo_that_is_too_slow_fails_and_its_report_says_so(tmp_path, monkeypatch):
    async def nothing(_):
        pass

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Demo, "play", nothing)
    monkeypatch.setattr(command, "too_slow", lambda _, seconds: [f"too slow: a length of {seconds:g} s"])
    options = ["--no-browser", "--seconds", "7", "--json", "figures.json"]
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(options)) == 1
    assert b"too slow: a length of 7 s" in (tmp_path / "figures.json").read_bytes()
    assert "too slow: a length of 7 s" in (tmp_path / "demo-out" / "report.html").read_text()


def test_a_file_is_tried_without_a_trace(tmp_path):
    assert unwritable(tmp_path / "new" / "file") == ""
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "old").write_text("kept")
    assert unwritable(tmp_path / "old") == ""
    assert (tmp_path / "old").read_text() == "kept"
    assert "directory" in unwritable(tmp_path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied", "demo-out"), "Permission denied: 'demo-out'"),
        (TimeoutError(), "in time"),
    ],
)
def test_what_the_system_refuses_is_a_failure_in_words(tmp_path, monkeypatch, error, words):
    def fail(*_):
        raise error

    monkeypatch.setattr(demo, "train_tenants", fail)
    played = Demo(tmp_path, 4.0, Console(quiet=True))
    asyncio.run(played.play())
    (failure,) = played.failures
    assert words in failure
    assert math.isnan(played.training_seconds)


def test_where_there_are_no_files_to_ask_about_their_tenant_is_left_out(tmp_path, monkeypatch):
    def nothing(*_):
        raise NoFilesError("no file under /nowhere")

    monkeypatch.setattr(demo, "member", nothing)
    played = Demo(tmp_path, 4.0, Console(quiet=True))
    assert asyncio.run(played._file_tenant()) == ()
    (missing,) = played.missing
    assert "no file under /nowhere" in missing
