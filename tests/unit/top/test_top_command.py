"""What `treadle top` prints, how it ends, and what it says where there is nothing to show."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from treadle.__main__ import main
from treadle.top import command
from treadle.top.columns import TENANTS
from treadle.top.sources import SourceError
from treadle.top.table import Tables
from treadle.top.view import DeviceRow, Note, TenantRow, View

TITLES = {column.title for column in TENANTS}
KEPT = TenantRow(namespace="shop", name="a", deadline=0.75, p99=0.0421, min_accuracy=75.0, effective_accuracy=97.53)
BROKEN = TenantRow(namespace="shop", name="z", slo_met="False", notes=(Note("SLO met", "RequestsLate"),))
DEVICE = DeviceRow(node="n", device="host", healthy=True, busy=0.42, merge_factor=3.5, tenants=2)
VIEW = View(source="here", seconds=60.0, tenants=(KEPT, BROKEN), devices=(DEVICE,))


def text(view: View, width: int = 200, trouble: str = "") -> list[str]:
    """As it is read without colours."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(Tables(view, trouble))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_row_that_breaks_its_promise_is_first_and_marked_without_colours() -> None:
    lines = text(VIEW)
    assert lines[0] == "here, over 60 s: 2 tenants, 1 with a promise that is not kept"
    rows = [line for line in lines if " shop " in line]
    assert re.match(r"! +shop +z .*False.* SLO met: RequestsLate$", rows[0])
    assert re.match(r" +shop +a .* 750ms +43ms .* 75 +97\.53 ", rows[1])
    assert any(re.match(r" +n/host +True +42% +3\.5 +2 ", line) for line in lines)


def test_a_narrow_terminal_shows_what_matters() -> None:
    head = next(line for line in text(VIEW, width=120) if "Tenant" in line)
    assert "Objective" not in head
    assert {"Deadline", "P99", "Floor", "Accuracy", "Tier", "Devices"} <= set(head.split())


@pytest.mark.parametrize("width", [80, 100, 150, 250])
def test_no_terminal_is_too_narrow_for_words(width: int) -> None:
    """A name, a number or a title that is cut in two tells nothing: whole columns are left out instead."""
    busy = TenantRow(
        namespace="shop", name="under-load", deadline=0.75, p99=0.0421, objective=99.5, slo_met="False",
        min_accuracy=75.0, effective_accuracy=97.53, accuracy_met="Unknown", requests_per_second=1248.5,
        active_tier="medium", tiers={"medium": 0.75, "large": 0.25}, admitted="True", ready="True", replicas=2,
        straggling="False", devices=("node-a/host", "node-b/host"), notes=(Note("Admitted", "InsufficientCapacity"),),
    )  # fmt: skip
    lines = text(View(source="here", tenants=(KEPT, busy), devices=(DEVICE,)), width)
    head = next(number for number, line in enumerate(lines) if "Tenant" in line)
    assert set(lines[head + 1]) == {"─"}, "one line of titles"
    titles = re.split(r" (?! |met)", " ".join(lines[head].split()))
    assert {"Namespace", "Tenant", "Deadline", "P99", "SLO met", "Ready", "Why"} <= set(titles) <= set(TITLES)
    assert (width < 200) == ("Straggling" not in titles)
    [row] = [line for line in lines if "under-load" in line]
    assert {"shop", "750ms", "43ms", "False", "True"} <= set(row.split())
    assert "InsufficientCapacity" in " ".join(lines).split()


def test_names_that_look_like_markup_are_shown_as_they_are() -> None:
    assert any(
        "[bold]" in line for line in text(View(source="here", tenants=(TenantRow(namespace="[bold]", name="a"),)))
    )


def test_what_is_not_fresh_is_said() -> None:
    assert "! not fresh: no server answers" in text(VIEW, trouble="no server answers")


class Told:
    """A source that tells what it is given, and is interrupted after the last."""

    def __init__(self, *told: View | SourceError) -> None:
        self._told = iter(told)

    def look(self) -> View:
        found = next(self._told, None)
        if found is None:
            raise KeyboardInterrupt
        if isinstance(found, SourceError):
            raise found
        return found


@pytest.mark.parametrize(("tenants", "code"), [((KEPT,), 0), ((KEPT, BROKEN), 1)])
def test_the_exit_code_tells_whether_promises_are_kept(
    tenants: tuple[TenantRow, ...], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "ServerSource", lambda *_: Told(View(source="here", tenants=tenants)))
    assert main(["top"]) == code, "without a terminal it prints once"
    assert capsys.readouterr().out.startswith("here: ")


def test_it_goes_on_when_its_source_is_away_and_ends_with_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "ServerSource", lambda *_: Told(VIEW, SourceError("it restarts"), VIEW))
    monkeypatch.setattr(command, "page_console", lambda _: Console(force_terminal=True, width=200))
    monkeypatch.setattr(command, "REFRESH", 0.0)
    assert main(["top"]) == 0
    assert "not fresh: it restarts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--url", "http://127.0.0.1:1"], "no server answers at http://127.0.0.1:1: .*; start one with: treadle serve"),
        (["--url", "ftp://x"], "--url ftp://x: must be like http://127.0.0.1:8080"),
        (["--url", "http://127.0.0.1:99999"], "--url http://127.0.0.1:99999: must be like http://127.0.0.1:8080"),
        (["--url", "http://127.0.0.1:1", "-A"], "give one or the other"),
        (["-A", "--kubeconfig", "/nowhere"], "kubeconfig /nowhere, which --kubeconfig names, cannot be used: there is"),
    ],
)
def test_nothing_to_show(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", *arguments]) == 2
    assert re.search(f"^treadle top: .*{said}", capsys.readouterr().err)
