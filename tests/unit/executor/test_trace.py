"""What is recorded of a launch stays small, however many tenants share it."""

from __future__ import annotations

import json
from pathlib import Path

from treadle.trace.command import Summary, summary
from treadle_agent.executor.trace import DEVICE, TENANTS, TOLD, Recorder


def test_all_tenants_have_rows_and_some_are_named_on_the_kernel(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "timeline.json", "host")
    tenants = [f"tenant-{number:02}" for number in range(64)]
    recorder.launches([("Gemm", 0.001, 1), ("Relu", 0.001, 1)], 10.0, 0, tenants)
    recorder.write()
    timeline = json.loads(recorder.path.read_text())
    events = timeline["traceEvents"]
    kernels = [one for one in events if one["ph"] == "X" and one["pid"] == DEVICE]
    assert [(one["name"], one["args"]["problems"]) for one in kernels] == [("Gemm", 64), ("Relu", 64)]
    assert kernels[0]["args"]["tenants"] == tenants[:TOLD]
    assert len([one for one in events if one["ph"] == "X" and one["pid"] == TENANTS]) == 64
    assert len(recorder.path.read_bytes()) / len(events) < 300
    assert summary(timeline) == Summary(super_kernels=2, merged=2, tenants=64, streams=1, dropped=0)
