"""A front end on a port of its own, in front of a double of the executor that computes in NumPy."""

from __future__ import annotations

import asyncio
import concurrent.futures
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from treadle_agent.executor.gateway import FullError, GoneError, OversizeError, RefusedError, Served
from treadle_agent.executor.protocol import Done, Outcome, TierSpec, Version
from treadle_agent.executor.statistics import Document
from treadle_agent.frontend.app import FrontEnd
from treadle_agent.frontend.catalog import Catalog, Entry
from treadle_agent.frontend.settings import FrontEndSettings
from treadle_agent.frontend.site import Site as DeviceSite
from treadle_agent.program.artifact import TensorSpec
from treadle_agent.program.model import Shape
from treadle_agent.program.ops.registry import Array
from treadle_api.tenant import read_tenant

WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3) / 8


def _linear(x: Array) -> tuple[Array, ...]:
    return (x @ WEIGHTS,)


def _plumbing(number: Array, flag: Array, byte: Array, small: Array) -> tuple[Array, ...]:
    total = number + byte.sum(axis=1, keepdims=True, dtype=np.int64) + small
    return total, flag ^ (number > 0), byte[:, ::-1], small * -1


def _column_means(x: Array) -> tuple[Array, ...]:
    return (x.mean(axis=0, dtype=np.float32),)


def _scalar(x: Array) -> tuple[Array, ...]:
    return (x * np.float32(2),)


def _widen(x: Array) -> tuple[Array, ...]:
    return (np.repeat(x, 300_000, axis=1),)


@dataclass(frozen=True)
class Model:
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    compute: Callable[..., tuple[Array, ...]]
    batchable: bool = True


MODELS = {
    "linear": Model((TensorSpec("x", "float32", (-1, 4)),), (TensorSpec("y", "float32", (-1, 3)),), _linear),
    "plumbing": Model(
        (
            TensorSpec("number", "int64", (-1, 1)),
            TensorSpec("flag", "bool", (-1, 1)),
            TensorSpec("byte", "uint8", (-1, 3)),
            TensorSpec("small", "int32", (-1, 1)),
        ),
        (
            TensorSpec("total", "int64", (-1, 1)),
            TensorSpec("xor", "bool", (-1, 1)),
            TensorSpec("reversed", "uint8", (-1, 3)),
            TensorSpec("negative", "int32", (-1, 1)),
        ),
        _plumbing,
    ),
    "means": Model(
        (TensorSpec("x", "float32", (-1, -1)),), (TensorSpec("mean", "float32", (-1,)),), _column_means, batchable=False
    ),
    "scalar": Model((TensorSpec("x", "float32", ()),), (TensorSpec("y", "float32", ()),), _scalar, batchable=False),
    "wide": Model((TensorSpec("x", "float32", (-1, 2)),), (TensorSpec("y", "float32", (-1, 600_000)),), _widen),
}


class FakeCall:
    """Blocks of plain memory, poisoned when they are given back."""

    def __init__(self, gateway: FakeGateway, served: Served, inputs: tuple[Array, ...]) -> None:
        self.gateway = gateway
        self.served = served
        self._inputs = inputs
        self._outputs: tuple[Array, ...] | None = None
        self.released = False

    @property
    def inputs(self) -> tuple[Array, ...]:
        assert not self.released
        return self._inputs

    @property
    def outputs(self) -> tuple[Array, ...]:
        assert not self.released
        assert self._outputs is not None, "outputs are read before the answer"
        return self._outputs

    def compute(self) -> None:
        model = MODELS[self.served.version.tenant.partition(".")[0]]
        results = model.compute(*self._inputs)
        for result, spec in zip(results, self.served.outputs, strict=True):
            assert result.dtype == np.dtype(spec.dtype), spec
        self._outputs = tuple(np.ascontiguousarray(result).reshape(result.shape) for result in results)

    def release(self) -> None:
        assert not self.released, "released twice"
        self.released = True
        self.gateway.open_calls -= 1
        for array in (*self._inputs, *(self._outputs or ())):
            array[...] = 1 if array.dtype == bool else 123


@dataclass
class FakeGateway:
    """A strict double of `Gateway`: it computes on the arrays it is given, and refuses what the contract forbids."""

    open_calls: int = 0
    answered: int = 0
    gone: set[int] = field(default_factory=set)
    full: bool = False
    oversize: bool = False
    done: Done = field(default_factory=lambda: Done(0, Outcome.DONE, 0))
    gate: asyncio.Event | None = None  # answers wait for it
    bind_gate: asyncio.Event | None = None
    bind_refusal: str = ""
    waiting: int = 0
    cancelled: int = 0
    deadlines: list[float] = field(default_factory=list)
    priorities: list[int] = field(default_factory=list)
    wishes: list[tuple[int, int]] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    document: Document | None = field(default_factory=lambda: Document("host", "space-time"))
    reports_without_executor: bool = False
    supervisor: Mapping[str, Any] = field(default_factory=lambda: {"restarts": 2, "replays": 5, "pending": 0})
    faults: dict[int, str] = field(default_factory=dict)
    recording: Path | None = None
    timeline: bytes | None = b"{}"  # what `end_trace` leaves; None: the process has ended meanwhile
    _bindings: set[tuple[int, tuple[Shape, ...]]] = field(default_factory=set)

    def _key(self, served: Served, shapes: tuple[Shape, ...]) -> tuple[int, tuple[Shape, ...]]:
        assert isinstance(shapes, tuple)
        assert all(isinstance(shape, tuple) for shape in shapes)
        return served.version.id, tuple(shape[1:] for shape in shapes) if served.batchable else shapes

    def fault(self, served: Served) -> str:
        return self.faults.get(served.version.id, "")

    def bound(self, served: Served, shapes: tuple[Shape, ...]) -> bool:
        free = any(-1 in (spec.shape[1:] if served.batchable else spec.shape) for spec in served.inputs)
        return not free or self._key(served, shapes) in self._bindings

    async def bind(self, served: Served, shapes: tuple[Shape, ...]) -> None:
        compiling = asyncio.create_task(self._compile(served, shapes))
        compiling.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(compiling)

    async def _compile(self, served: Served, shapes: tuple[Shape, ...]) -> None:
        if self.bind_gate is not None:
            await self.bind_gate.wait()
        if served.version.id in self.gone:
            raise GoneError
        if self.bind_refusal:
            raise RefusedError(self.bind_refusal)
        self._bindings.add(self._key(served, shapes))

    def open(self, served: Served, shapes: tuple[Shape, ...]) -> FakeCall:
        if served.version.id in self.gone:
            raise GoneError
        if self.full:
            raise FullError("no memory for more requests")
        if self.oversize:
            raise OversizeError("more than there is")
        if not self.bound(served, shapes):
            raise KeyError(shapes)
        for spec, shape in zip(served.inputs, shapes, strict=True):
            assert len(spec.shape) == len(shape)
            assert all(size >= 1 and want in (-1, size) for want, size in zip(spec.shape, shape, strict=True))
        self.open_calls += 1
        inputs = tuple(np.empty(shape, spec.dtype) for spec, shape in zip(served.inputs, shapes, strict=True))
        return FakeCall(self, served, inputs)

    async def answer(
        self, call: FakeCall, deadline: float, priority: int = 0, tier: int = -1, forbidden: int = 0
    ) -> Done:
        assert not call.released
        self.wishes.append((tier, forbidden))
        self.deadlines.append(deadline)
        self.priorities.append(priority)
        self.waiting += 1
        try:
            await (asyncio.sleep(0) if self.gate is None else self.gate.wait())
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1
        if self.done.outcome == Outcome.DONE:
            call.compute()
        self.answered += 1
        return msgspec.structs.replace(self.done, finished=self.clock())

    def under_way(self, served: Served) -> int:
        assert served.version.id not in self.gone
        return self.open_calls

    async def statistics(self) -> Mapping[str, Any]:
        if self.document is None:
            if not self.reports_without_executor:
                await asyncio.Event().wait()
            return {"supervisor": self.supervisor}
        return {**msgspec.json.decode(msgspec.json.encode(self.document)), "supervisor": self.supervisor}

    def trace(self, path: Path) -> None:
        assert self.recording is None
        self.recording = path

    async def end_trace(self) -> None:
        path, self.recording = self.recording, None
        assert path is not None
        if self.timeline is not None:
            await asyncio.to_thread(path.write_bytes, self.timeline)

    async def load(self, version: Version) -> Served:
        raise NotImplementedError

    async def retire(self, version: int) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


def make_served(name: str, version: int, deadline: float = 5.0) -> Served:
    model = MODELS[name]
    tiers = (TierSpec("large", 97.5, ""), TierSpec("small", 90.0, ""))
    spec = Version(version, f"{name}.default", deadline, 1, 100, tiers)
    return Served(spec, model.inputs, model.outputs, model.batchable, ("merged", "merged"), (0.001, 0.0001))


def make_entry(name: str, served: Served | None, namespace: str = "default", **kwargs: Any) -> Entry:
    tenant = read_tenant(
        {
            "apiVersion": "treadle.dev/v1alpha1",
            "kind": "InferenceTenant",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "slo": {"deadline": "5s", "objective": "99", "minAccuracy": "50"},
                "tiers": [
                    {"name": "large", "accuracy": "97.5", "model": {"uri": "large.onnx"}},
                    {"name": "small", "accuracy": "90", "model": {"uri": "small.onnx"}},
                ],
            },
        }
    )
    return Entry(tenant, served, **kwargs)


class Site:
    """A front end on an event loop of its own thread; `gateway` and `catalog` are its first device's."""

    def __init__(self, settings: FrontEndSettings, devices: int) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.devices = [DeviceSite(f"device-{index}", FakeGateway(), Catalog()) for index in range(devices)]
        self.gateway, self.catalog = self.devices[0].gateway, self.devices[0].catalog
        for version, name in enumerate(MODELS, start=1):
            self.catalog.put(make_entry(name, make_served(name, version)))
        for device in self.devices:
            device.catalog.mark_reconciled()
        self.settings = settings
        self.now: float | None = None  # what the front end's clock says, if not the time
        self.front_end = FrontEnd(self.devices, settings, self._clock)
        self.port = self.run(self.front_end.start("127.0.0.1", 0))

    def _clock(self) -> float:
        return time.monotonic() if self.now is None else self.now

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def run(self, awaitable: Any, timeout: float = 20.0) -> Any:
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(awaitable, self.loop).result(timeout)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function on the server's loop."""

        async def run() -> Any:
            return function()

        return self.run(run())

    def request(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None = None, headers: Mapping[str, str] = {}
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request on a connection of its own: status, header fields in lower case, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return response.status, fields, response.read()
        finally:
            connection.close()

    def infer(self, document: Any, binary: bytes = b"", model: str = "linear", **headers: str) -> tuple[int, Any]:
        """POST a request; status and decoded answer."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        if binary:
            headers["Inference-Header-Content-Length"] = str(len(body))
        status, _, answer = self.request("POST", f"/v2/models/{model}/infer", body + binary, headers)
        return status, json.loads(answer)

    def outcomes(self, tenant: str = "linear", namespace: str = "default") -> dict[tuple[str, str], float]:
        """The non-zero samples of `treadle_requests_total` of a tenant, by (tier, outcome)."""
        _, _, text = self.request("GET", "/metrics")
        return {
            (sample.labels["tier"], sample.labels["outcome"]): sample.value
            for family in text_string_to_metric_families(text.decode())
            for sample in family.samples
            if sample.name == "treadle_requests_total"
            and (sample.labels["tenant"], sample.labels["tenant_namespace"]) == (tenant, namespace)
            and sample.value
        }

    def wait_for(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Poll until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "the condition did not come about"
            time.sleep(0.005)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def close(self) -> None:
        self.run(self.front_end.stop())

        async def cancel_rest() -> int:
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            return len(rest)

        self.run(cancel_rest())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture
def make_site() -> Iterator[Callable[..., Site]]:
    """Start front ends with given settings; all calls must have been released at the end."""
    sites: list[Site] = []

    def make(devices: int = 1, **settings: Any) -> Site:
        site = Site(FrontEndSettings(**settings), devices)
        sites.append(site)
        return site

    yield make
    for site in sites:
        site.close()
        assert not any(device.gateway.open_calls for device in site.devices), "a call was not released"


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


@pytest.fixture
def entry() -> Callable[..., Entry]:
    """Make catalog entries: ``entry(name, served, namespace=…, loading=…, refusal=…)``."""
    return make_entry


@pytest.fixture
def served() -> Callable[..., Served]:
    """Make a loaded version: ``served(name, version, deadline)``."""
    return make_served


@pytest.fixture
def weights() -> Array:
    return WEIGHTS


class Gate:
    """An event of the server's loop, and requests in threads that wait for it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.event: asyncio.Event = site.call(asyncio.Event)

    def open(self) -> None:
        self._site.call(self.event.set)

    def in_background(self, function: Callable[[], Any]) -> concurrent.futures.Future[Any]:
        """Run a function in a thread until it has begun to wait for the gate."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - the waiting test raises it
                future.set_exception(error)

        waiting = self.waiters()
        threading.Thread(target=run, daemon=True).start()
        self._site.wait_for(lambda: self.waiters() > waiting)
        return future

    def waiters(self) -> int:
        return len(self.event._waiters)


@pytest.fixture
def make_gate() -> Callable[[Site], Gate]:
    return Gate
