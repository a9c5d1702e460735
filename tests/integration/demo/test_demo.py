"""`treadle demo`, short, offline and without a terminal: what it leaves behind is looked at, not how fast it was."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import yaml

from treadle_agent.program.binding import bind
from treadle_agent.program.limits import Limits
from treadle_agent.program.lowering import lower
from treadle_agent.program.onnx_import import read_model
from treadle_api.tenant import read_tenant

# The failures that a busy machine may cause; `benchmarks/check_demo.py` judges them where nothing runs beside it.
SLOW = re.compile(r"in the spike |too slow: |\S+ got no answer in time$")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def demo(tmp_path, cache):
    """Start the demo in an empty folder, with its own cache and no package index to reach."""

    def start(*arguments):
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(cache)}
        return subprocess.Popen(
            [sys.executable, "-m", "treadle", "demo", "--no-browser", "--json", "figures.json", *arguments],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    return start


def lowered(model):
    source = read_model(model, Limits())
    return lower(bind(source, source.static(), Limits()))


def test_it_serves_loads_compares_and_reports(demo, tmp_path):
    process = demo("--seconds", "4", "--report", "out/page.html")
    output, _ = process.communicate(timeout=240)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [failure for failure in figures["failures"] if not SLOW.match(failure)] == [], output
    assert process.returncode == (1 if figures["failures"] else 0), output
    assert output.count("FAILED") == len(figures["failures"])

    assert "WITHOUT magika" in output
    (missing,) = figures["missing"]
    assert "magika" in missing
    assert "16 of 17 tenants" in figures["summary"]

    slow = [failure for failure in figures["failures"] if failure.startswith("too slow: ")]
    late = [figures["training_seconds"] > 20, figures["seconds_in_all"] > 90]
    assert len(slow) == sum(late), slow
    assert f"({figures['seconds_in_all']:.0f} s in all" in output
    service = {tier["name"]: tier["service"] for tier in figures["tenants"][0]["tiers"]}
    assert list(service) == ["large", "medium", "small"]
    assert service["large"] >= 0.005
    assert max(service.values()) >= 20 * min(service.values())

    main, *rivals = figures["runs"]
    assert [run["name"] for run in rivals] == [
        "treadle", "treadle-pinned-small", "treadle-pinned-medium", "treadle-pinned-large", "onnxruntime-fifo",
    ]  # fmt: skip
    assert len({run["all"]["sent"] for run in rivals}) == 1, "the same arrivals"
    for run in figures["runs"]:
        total = run["all"]
        assert total["sent"] == sum(total[each] for each in ("good", "late", "shed", "failed", "unanswered")) > 0
        assert total["failed"] == 0
    fifo = rivals[-1]["all"]
    assert fifo["good"] + fifo["late"] == fifo["sent"] - fifo["unanswered"], "it sheds nothing"
    assert fifo["good"] + fifo["late"] > 0
    assert fifo["effective_accuracy"] >= 50 * fifo["good"] / fifo["sent"], "its answers are read, too"
    assert len(main["tiers"]) >= 2
    for tier in ("large", "medium", "small"):
        (pinned,) = (run for run in rivals if run["name"] == f"treadle-pinned-{tier}")
        assert list(pinned["tiers"]) == [tier]
    assert main["merge_factor"] > 1.0
    assert main["all"]["good"] > 0
    for tenant in figures["tenants"]:
        assert tenant["score"]["sent"] > 0, tenant["name"]

    folder = tmp_path / "demo-out"
    manifests = sorted((folder / "tenants").glob("*.yaml"))
    assert len(manifests) == 16
    for path in manifests:
        tenant = read_tenant(yaml.safe_load(path.read_text()))
        assert tenant.pinned is None, "what was pinned to compare is free again"
        for tier in tenant.tiers:
            assert (path.parent / tier.model.uri).is_file()

    for family, tiers in (("pages", ("large", "medium", "small")), ("digits", ("only",))):
        for tier in tiers:
            programs = [lowered(folder / "models" / f"{family}-{number}" / f"{tier}.onnx") for number in range(1, 9)]
            assert len({each.program.architecture for each in programs}) == 1, (family, tier)
            for index, one in enumerate(programs[0].weights):
                others = [each.weights[index] for each in programs[1:]]
                assert not any(np.array_equal(one, other) for other in others), (family, tier, index)

    events = json.loads((folder / "timeline.json").read_text())["traceEvents"]
    assert max(len(event["args"].get("tenants", ())) for event in events) > 1
    page = (tmp_path / "out" / "page.html").read_text()
    assert page.count("<svg") == 4
    assert 'href="../demo-out/timeline.json"' in page


def test_ctrl_c_reports_what_ran_so_far(demo, tmp_path):
    process = demo("--seconds", "60")
    for line in process.stdout:
        if "req/s" in line:
            break
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    figures = json.loads((tmp_path / "figures.json").read_text())
    (run,) = figures["runs"]
    assert run["all"]["good"] > 0
    assert any("Ctrl-C" in failure for failure in figures["failures"])
    assert "Ctrl-C" in (tmp_path / "demo-out" / "report.html").read_text()


@pytest.mark.parametrize("flag", ["--json", "--report"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_run(demo, tmp_path, flag):
    (tmp_path / "taken").write_text("")
    process = demo(flag, "taken/out")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"{flag} taken/out: cannot be written: " in output
    assert len(output.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]


@pytest.mark.parametrize("seconds", ["0", "ten", "1e9"])
def test_a_length_that_cannot_be_is_refused(demo, seconds):
    process = demo("--seconds", seconds)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--seconds" in output
