"""What `treadle serve` does with readings and refusals, beside a node agent that only takes notes."""

from __future__ import annotations

import asyncio
import io

import pytest
from rich.console import Console

from treadle import serve, watch
from treadle.console import ServeConsole
from treadle.serve import MODES, Options, _Session
from treadle_agent.executor.gateway import Served
from treadle_agent.executor.protocol import Mode, TierSpec, Version
from treadle_agent.frontend.catalog import Catalog, Entry
from treadle_agent.node_events import Leaking, Loading, Refused, Removed, Serving
from treadle_agent.program.artifact import TensorSpec
from treadle_api.tenant import Precision


class Agent:
    """Notes what is wanted; refuses it for now as often as told."""

    def __init__(self, catalog: Catalog, refusals: int, *, temporary: bool = True) -> None:
        self.catalog = catalog
        self.refusals = refusals
        self.temporary = temporary
        self.applied: list[list[str]] = []
        self.retried: list[frozenset[str] | None] = []
        self.slow = 0  # calls after which the tenants are still being fetched
        self.third = asyncio.Event()
        self.calls: asyncio.Queue[None] = asyncio.Queue()

    async def apply(self, tenants, retry) -> list[Refused]:
        self.applied.append([tenant.key for tenant in tenants])
        self.retried.append(retry)
        self.slow -= 1
        for tenant in tenants:
            self.catalog.put(Entry(tenant, loading=self.slow >= 0))
        self.catalog.mark_reconciled()
        self.refusals -= 1
        self.calls.put_nowait(None)
        if len(self.applied) == 3:
            self.third.set()
        return [
            Refused("a.default", "spec", "ModelUnreachable", "no route", previous=False, temporary=self.temporary)
        ] * (self.refusals >= 0)

    async def close(self) -> None:
        self.applied.append(["closed"])


MANIFEST = """
apiVersion: treadle.dev/v1alpha1
kind: InferenceTenant
metadata: {name: a}
spec: {slo: {deadline: 1s}, tiers: [{name: only, accuracy: "9", model: {uri: m.onnx}}]}
"""


def test_what_may_come_right_by_itself_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "RETRY_SECONDS", 0.01)
    (tmp_path / "a.yaml").write_text(MANIFEST)
    catalog = Catalog()
    agent = Agent(catalog, refusals=2)
    output = io.StringIO()

    async def run() -> None:
        console = ServeConsole(Console(file=output), catalog, "http://h")
        session = _Session(Options(tmp_path, "", 0, "host", Mode.TIME, None), agent, catalog, console, "http://h")
        stop = asyncio.Event()
        running = asyncio.create_task(session.run(stop))
        async with asyncio.timeout(20):
            await agent.third.wait()
        await asyncio.sleep(0.05)  # five times what a fourth try would take
        stop.set()
        await running

    asyncio.run(run())
    assert agent.applied == [["a.default"]] * 3 + [["closed"]]
    assert agent.retried == [None, {"a.default"}, {"a.default"}], "what will not come right costs nobody anything"
    assert not catalog.ready, "readiness goes off before requests under way are waited for"
    lines = output.getvalue().splitlines()
    assert lines[0] == "listening at http://h; loading 1 tenant", "before anything is loaded"
    assert "ready: 0 of 1 tenants at http://h" in output.getvalue()


def test_a_slow_download_is_looked_after(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "RETRY_SECONDS", 0.01)
    (tmp_path / "a.yaml").write_text(MANIFEST)
    catalog = Catalog()
    agent = Agent(catalog, refusals=0)
    agent.slow = 2

    async def run() -> None:
        console = ServeConsole(Console(file=io.StringIO()), catalog, "http://h")
        session = _Session(Options(tmp_path, "", 0, "host", Mode.TIME, None), agent, catalog, console, "http://h")
        stop = asyncio.Event()
        running = asyncio.create_task(session.run(stop))
        async with asyncio.timeout(20):
            await agent.third.wait()
        await asyncio.sleep(0.05)  # five times what a fourth try would take
        stop.set()
        await running

    asyncio.run(run())
    assert agent.applied == [["a.default"]] * 3 + [["closed"]]
    assert agent.retried == [None, frozenset(), frozenset()], "nothing is begun anew"


def test_a_refused_model_is_tried_again_when_its_file_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(watch, "SETTLE_SECONDS", 0.01)
    (tmp_path / "a.yaml").write_text(MANIFEST)
    catalog = Catalog()
    agent = Agent(catalog, refusals=2, temporary=False)

    async def run() -> None:
        console = ServeConsole(Console(file=io.StringIO()), catalog, "http://h")
        session = _Session(Options(tmp_path, "", 0, "host", Mode.TIME, None), agent, catalog, console, "http://h")
        stop = asyncio.Event()
        running = asyncio.create_task(session.run(stop))

        async def quiet() -> None:
            await asyncio.sleep(0.1)  # several times what another try would take
            assert agent.calls.empty()

        async with asyncio.timeout(20):
            for content in (None, "not a model", "repaired"):
                if content is not None:
                    (tmp_path / "m.onnx").write_text(content)
                await agent.calls.get()
                await quiet()
            (tmp_path / "m.onnx").write_text("of a tenant that is served")
            await quiet()
        stop.set()
        await running

    asyncio.run(run())
    assert agent.applied == [["a.default"]] * 3 + [["closed"]]


def test_the_modes_are_those_of_the_executor():
    assert MODES == {"exclusive": 0, "time": 1, "space": 2, "space-time": 3}


def test_refused_manifests_are_told_once_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(watch, "SETTLE_SECONDS", 0.01)
    wrong = MANIFEST.replace("name: a", "name: b").replace("1s", "2h")
    (tmp_path / "a.yaml").write_text(f"{MANIFEST}\n---\n{wrong}")
    catalog = Catalog()
    agent = Agent(catalog, refusals=0)
    output = io.StringIO()

    async def run() -> None:
        console = ServeConsole(Console(file=output), catalog, "http://h")
        session = _Session(Options(tmp_path, "", 0, "host", Mode.TIME, None), agent, catalog, console, "http://h")
        stop = asyncio.Event()
        running = asyncio.create_task(session.run(stop))

        another = MANIFEST.replace("name: a", "name: c")
        async with asyncio.timeout(20):
            await agent.calls.get()
            (tmp_path / "a.yaml").write_text(f"{another}\n---\n{MANIFEST}\n---\n{wrong}")
            await agent.calls.get()
            (tmp_path / "a.yaml").write_text(f"{MANIFEST}\n---\n{wrong.replace('2h', 'soon')}")
            await agent.calls.get()
        stop.set()
        await running

    asyncio.run(run())
    assert "ready: 0 of 1 tenants +1 manifest refused at http://h" in output.getvalue()
    refused = [line.partition(tmp_path.name)[2] for line in output.getvalue().splitlines() if "refused /" in line]
    assert len(refused) == 2, refused
    assert "document 2" in refused[0]
    assert "'soon'" in refused[1]


@pytest.fixture
def shown(tenant):
    """What the console prints of events; None stands for one of a tenant that is served."""

    def show(*events, shape=(-1, 2), seconds=0.00123) -> str:
        spec = (TensorSpec("x", "float32", shape),)
        catalog, output = Catalog(), io.StringIO()
        catalog.put(Entry(tenant("a")))
        with ServeConsole(Console(file=output, width=40), catalog, "http://h:1") as console:
            for event in events or (None,):
                console.event(event or Serving(tenant("a"), served(spec, seconds), ()))
        return output.getvalue()

    def served(spec, seconds) -> Served:
        version = Version(1, "a.default", 0.25, 5, 8, (TierSpec("best", 97.5, ""),), pinned=0)
        return Served(version, spec, spec, True, ("merged",), (seconds,))

    return show


def test_a_tenant_that_is_served(shown):
    inputs = """{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0, 0]}]}"""
    assert shown().splitlines() == [
        "serving a.default  deadline 0.25 s",
        "  tier best  97.5 %  merged  1.23 ms a row  pinned",
        "  http://h:1/v2/models/a",
        f"  try: curl -s http://h:1/v2/models/a/infer -d '{inputs}'",
    ]


def test_a_tenant_whose_shapes_are_the_clients(shown):
    lines = shown(shape=(-1, 3, -1), seconds=0.0).splitlines()
    assert "measured once a request gives its shapes" in lines[1]
    assert lines[-1] == "  try: curl -s http://h:1/v2/models/a"


def test_large_inputs_are_made_by_a_line_of_python(shown):
    assert "| curl -s http://h:1/v2/models/a/infer -d @-" in shown(shape=(-1, 784))


def test_the_rest(shown):
    found = shown(
        Loading("a.default", "compiling"),
        Refused("a.default", "spec.tiers", "LoadFailed", "full", previous=True, temporary=False),
        Removed("a.default"),
        Leaking("a.default", "why"),
    )
    assert found.splitlines() == [
        "refused a.default: spec.tiers: full; its previous version goes on",
        "removed a.default",
        "warning: an old version of a.default could not be unloaded: why",
    ]


def test_an_edit_that_loads_nothing_does_not_look_like_a_load(shown):
    whole = shown().splitlines()
    assert shown(None, None, Removed("a.default"), None).splitlines() == [
        *whole,
        "updated a.default: nothing had to be loaded for it",
        "removed a.default",
        *whole,
    ]


def test_a_slow_load_is_spoken_of_once():
    output = io.StringIO()
    with ServeConsole(Console(file=output), Catalog(), "http://h") as console:
        console.event(Loading("a.default", "compiling"))
        for now in (10.0, 11.9):
            console.say_slow(now)
        assert output.getvalue() == ""
        for now in (12.0, 12.5):
            console.say_slow(now)
        assert output.getvalue() == "still loading a.default: compiling …\n"
        console.event(Removed("a.default"))
        console.say_slow(13.0)
        console.event(Loading("a.default", "fetching"))
        console.say_slow(14.0)
        assert output.getvalue().count("still loading") == 1, "another load, which is not slow yet"
        console.say_slow(16.0)
    assert "still loading a.default: fetching …" in output.getvalue()


def test_loads_are_looked_at_while_serving(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "LOOK_SECONDS", 0.001)
    (tmp_path / "a.yaml").write_text(MANIFEST)
    catalog = Catalog()

    async def run() -> None:
        console = ServeConsole(Console(file=io.StringIO()), catalog, "http://h")
        looked = asyncio.Event()
        monkeypatch.setattr(console, "say_slow", lambda _: looked.set())
        session = _Session(
            Options(tmp_path, "", 0, "host", Mode.TIME, None), Agent(catalog, 0), catalog, console, "http://h"
        )
        stop = asyncio.Event()
        running = asyncio.create_task(session.run(stop))
        async with asyncio.timeout(20):
            await looked.wait()
        stop.set()
        await running

    asyncio.run(run())


def test_a_tier_below_the_floor_is_said_not_to_be_served(tenant):
    floored = tenant("a", "large.onnx", "small.onnx", minAccuracy="85")
    spec = (TensorSpec("x", "float32", (-1, 2)),)
    large = TierSpec("large", 90.0, "", Precision.FLOAT16)
    version = Version(1, "a.default", 1.0, 5, 8, (large,), pinned=-1)
    catalog, output = Catalog(), io.StringIO()
    catalog.put(Entry(floored))
    with ServeConsole(Console(file=output), catalog, "http://h") as console:
        console.event(Serving(floored, Served(version, spec, spec, True, ("merged",), (1e-3,)), ()))
    assert output.getvalue().splitlines()[1:3] == [
        "  tier large  90 %, Float16  merged  1 ms a row",
        "  tier small  80 %  not served: below minAccuracy 85",
    ]


@pytest.mark.parametrize(("name", "why"), [("", "right inside it that end in .json"), ("a.yaml", "holds no document")])
def test_where_there_is_nothing_it_is_said(tmp_path, name, why):
    (tmp_path / "a.txt").touch()
    if name:
        (tmp_path / name).write_text("# nothing yet\n---\n")
    catalog, output = Catalog(), io.StringIO()
    agent = Agent(catalog, 0)

    async def run() -> None:
        console = ServeConsole(Console(file=output), catalog, "http://h")
        options = Options(tmp_path / name, "", 0, "host", Mode.TIME, None)
        stop = asyncio.Event()
        running = asyncio.create_task(_Session(options, agent, catalog, console, "http://h").run(stop))
        async with asyncio.timeout(20):
            await agent.calls.get()
        stop.set()
        await running

    asyncio.run(run())
    first = output.getvalue().splitlines()[0]
    assert first.startswith(f"warning: {tmp_path / name}: no manifests were found")
    assert why in first


def test_a_refusal_that_comes_again_is_told_once(shown):
    refused = Refused("a.default", "spec.tiers", "LoadFailed", "full", previous=False, temporary=True)
    other = Refused("a.default", "spec.tiers", "LoadFailed", "broken", previous=False, temporary=True)
    lines = shown(refused, Loading("a.default", "compiling"), refused, other, refused, refused).splitlines()
    assert [line.split()[3].rstrip(";") for line in lines] == ["full", "broken", "full"]
    assert shown(refused, Removed("a.default"), refused).count("full") == 2, "another tenant of the same name"
    assert shown(refused, None, refused).count("full") == 2, "it was served in between"
