"""`treadle simulate model-switching` with every flag: what it prints, writes and draws."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from treadle.__main__ import main
from treadle.simulate.model_switching.tiers import RESNETS


def test_the_result_is_as_it_is_documented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "folder" / "result.json"
    flags = [
        "--deadline", "750ms", "--seeds", "2", "--profile-error", "1.3", "--switch-cost", "500ms", "--servers", "4",
        "--rates", "0:35,20:165", "--seconds", "40", "--arrivals", "mmpp", "--json", str(target),
    ]  # fmt: skip
    assert main(["simulate", "model-switching", *flags]) == 0
    result = json.loads(target.read_text())
    assert list(result)[:2] == ["fluid_bound", "rows"]
    assert max(tier.accuracy for tier in RESNETS) > result["fluid_bound"] > 60.0
    singles = [f"single:{tier.name}" for tier in RESNETS]
    rows = {row["policy"]: row for row in result["rows"]}
    assert rows.keys() >= {*singles, "algorithm1", "slack-buckets", "placement", "sticky-slack"}
    for row in rows.values():
        assert (row["deadline_ms"], row["profile_error"], row["switch_cost_ms"]) == (750.0, 1.3, 500.0)
        assert len(row["effective_accuracy_by_seed"]) == 2
        assert 0.0 <= row["violation_ratio"] <= 1.0
        assert row["switches_per_request"] >= 0.0
        best = row["accuracy_of_answered"] or 0.0
        assert row["effective_accuracy"] == pytest.approx(best * (1.0 - row["violation_ratio"]), abs=0.2)
    assert rows["sticky-slack"]["first_degradation_s"] is not None
    assert (result["arrivals"], result["simulated"]) == ("mmpp", True)
    text = capsys.readouterr().out
    assert "Simulated, not measured" in text
    assert f"{rows['sticky-slack']['effective_accuracy']:.2f}" in text


def test_a_trace_is_replayed_with_tiers_of_a_file_and_drawn(tmp_path: Path) -> None:
    times = np.random.default_rng(1).uniform(1000.0, 1030.0, 1500)
    trace, tiers = tmp_path / "trace.csv", tmp_path / "tiers.csv"
    trace.write_text("id,at\n" + "".join(f"{number},{time}\n" for number, time in enumerate(times.tolist())))
    tiers.write_text("name,accuracy,saturation\nlarge,90,30\nsmall,80,100\n")
    target, plots = tmp_path / "result.json", tmp_path / "plots"
    flags = [
        "--arrivals", f"trace:{trace}:at", "--tiers", str(tiers), "--servers", "2", "--deadline", "1s,2s",
        "--seeds", "1", "--json", str(target), "--plots", str(plots),
    ]  # fmt: skip
    assert main(["simulate", "model-switching", *flags]) == 0
    result = json.loads(target.read_text())
    assert [tier["name"] for tier in result["tiers"]] == ["large", "small"]
    assert {row["deadline_ms"] for row in result["rows"]} == {1000.0, 2000.0}
    # Of 50 requests a second the large tier takes 150/7, the small one 200/7: both fill the servers.
    assert result["fluid_bound"] == pytest.approx(90 * 3 / 7 + 80 * 4 / 7, abs=0.3)
    found = {row["policy"]: row for row in result["rows"] if row["deadline_ms"] == 1000.0}
    assert found["sticky-slack"]["effective_accuracy"] == pytest.approx(result["fluid_bound"], abs=1.0)
    names = ["deadlines", "latency", "load-accuracy", "tails", "timeline"]
    assert sorted(path.stem for path in plots.iterdir()) == names
    drawn = {path.stem: path.read_text() for path in plots.iterdir()}
    for name, figure in (
        ("load-accuracy", 2),
        ("tails", 3),
        ("timeline", "4a"),
        ("latency", "4b"),
        ("deadlines", "4c"),
    ):
        assert f"after Fig. {figure}" in drawn[name]


def test_all_that_the_page_shows_is_judged(tmp_path: Path) -> None:
    """Some seconds of it: too few for all targets, so that the exit code tells of a missed one."""
    target = tmp_path / "result.json"
    flags = ["--paper", "--seeds", "1", "--rates", "0:35,8:165", "--seconds", "20", "--json", str(target)]
    code = main(["simulate", "model-switching", *flags])
    result = json.loads(target.read_text())
    assert len(result["checks"]) == 25
    assert all(check["measured"] is not None for check in result["checks"])
    assert code == int(not all(check["reached"] for check in result["checks"]))
    assert {row["deadline_ms"] for row in result["rows"]} >= {250.0, 700.0, 750.0, 900.0, 1100.0, 1300.0, 1500.0}
    assert {row["profile_error"] for row in result["rows"]} == {1.0, 1.3, 1.6}
    assert {row["switch_cost_ms"] for row in result["rows"]} == {0.0, 500.0}
