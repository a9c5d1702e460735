"""A strict executor in memory, models that are names, and tenants to want."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from treadle_agent.executor.gateway import RefusedError, Served
from treadle_agent.executor.protocol import Version
from treadle_agent.frontend.catalog import Catalog
from treadle_agent.models.errors import NotFoundError, UnreachableError
from treadle_agent.node_agent import NodeAgent
from treadle_agent.node_events import Event
from treadle_agent.program.artifact import ARTIFACT_VERSION, Artifact, TensorSpec
from treadle_agent.program.errors import ModelError
from treadle_agent.settings import NodeAgentSettings
from treadle_api.replica import LoadedReason
from treadle_api.tenant import Model, Tenant, read_tenant


class FakeGateway:
    """Loads and retires versions, and objects to what a node agent must not do."""

    def __init__(self) -> None:
        self.live: dict[int, Version] = {}
        self.loaded: list[Version] = []
        self.retired: list[int] = []
        self.refuse: dict[str, str] = {}  # tenant key to reason
        self.cause = LoadedReason.LOAD_FAILED
        self.faults: dict[int, str] = {}  # of versions that are not run any more
        self.hold: asyncio.Event | None = None
        self.loading = 0
        self.most_loading = 0

    async def load(self, version: Version) -> Served:
        assert version.id not in {one.id for one in self.loaded}, "version ids are not used twice"
        assert version.tiers, "a version has tiers"
        assert [tier.accuracy for tier in version.tiers] == sorted((t.accuracy for t in version.tiers), reverse=True)
        self.loaded.append(version)
        self.loading += 1
        self.most_loading = max(self.most_loading, self.loading)
        try:
            await asyncio.sleep(0)
            if self.hold is not None:
                await self.hold.wait()
        finally:
            self.loading -= 1
        if version.tenant in self.refuse:
            raise RefusedError(self.refuse[version.tenant], self.cause)
        self.live[version.id] = version
        spec = (TensorSpec("x", "float32", (-1, 4)),)
        count = len(version.tiers)
        return Served(version, spec, spec, True, ("merged",) * count, (1e-3,) * count)

    def fault(self, served: Served) -> str:
        return self.faults.get(served.version.id, "")

    async def retire(self, version: int) -> None:
        assert version in self.live, "only what is served is retired, and once"
        self.retired.append(version)
        await asyncio.sleep(0)
        del self.live[version]


class FakeStore:
    """Models by name; a file's name says what is wrong with it."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.namespaces: list[str] = []

    async def fetch(
        self, model: Model, progress: Callable[[int, int | None], None] | None = None, namespace: str = ""
    ) -> Path:
        await asyncio.sleep(0)
        self.namespaces.append(namespace)
        if "slow" in model.uri:
            await self.arrived.wait()
        if "missing" in model.uri:
            raise NotFoundError(f"there is no file {model.uri}")
        if "offline" in model.uri:
            raise UnreachableError(f"{model.uri}: no route")
        if progress:
            progress(1 << 20, None)
        return Path(model.uri)


class FakeCompiler:
    """Artifacts in a folder; `wide` models take another input, `broken` ones do not compile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compiled: list[str] = []
        self.compiling = self.most_compiling = 0
        self._lock = threading.Lock()

    def compile(self, model: Path, *, unwanted: threading.Event) -> Path:
        with self._lock:
            self.compiled.append(model.name)
            self.compiling += 1
            self.most_compiling = max(self.most_compiling, self.compiling)
        try:
            return self._compile(model, unwanted)
        finally:
            with self._lock:
                self.compiling -= 1

    def _compile(self, model: Path, unwanted: threading.Event) -> Path:
        if "endless" in model.name:
            assert unwanted.wait(30)
            raise ModelError("nobody wants it")
        time.sleep(0.005)  # the loop has its turns meanwhile, as with a real one
        if "broken" in model.name:
            raise ModelError("the model uses what treadle does not execute: Foo")
        if "bug" in model.name:
            raise ZeroDivisionError
        width = 5 if "wide" in model.name else 4
        artifact = Artifact(
            version=ARTIFACT_VERSION,
            model_sha256="ab" * 32,
            architecture="",
            inputs=(TensorSpec("x", "float32", (-1, width)),),
            outputs=(TensorSpec("z" if "renamed" in model.name else "y", "float32", (-1, 3)),),
            batchable=True,
            weights=(),
            weight_bytes=0,
            segments=(),
            kernels_refused="",
            external={},
            checksums={},
        )
        folder = self.folder / model.name
        folder.mkdir(exist_ok=True)
        written = folder / f"{threading.get_ident()}"
        written.write_bytes(msgspec.json.encode(artifact))
        written.replace(folder / "artifact.json")
        return folder


class FakeCache:
    """Files that are held, as often as they are; those to be cleared are, once, before they can be held."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self.to_clear: set[str] = set()

    async def hold(self, path: Path) -> bool:
        await asyncio.sleep(0)
        if path.name in self.to_clear:
            self.to_clear.remove(path.name)
            return False
        self.held[path.name] += 1
        return True

    def release(self, path: Path) -> None:
        assert self.held[path.name] > 0, "only what is held is released"
        self.held[path.name] -= 1


class Node:
    """A node agent and everything around it."""

    def __init__(self, folder: Path, fetch_patience: float, long_load: float) -> None:
        self.gateway = FakeGateway()
        self.store = FakeStore()
        self.compiler = FakeCompiler(folder)
        self.cache = FakeCache()
        self.catalog = Catalog()
        self.events: list[Event] = []
        self.agent = NodeAgent(
            self.gateway,  # type: ignore[arg-type]
            self.store,
            self.compiler,
            self.cache,
            self.catalog,
            self.events.append,
            NodeAgentSettings(2, long_load, fetch_patience, queue_limit=7),
        )

    def answering(self) -> dict[str, int]:
        """The version that answers each tenant."""
        return {one.key: one.served.version.id for one in self.catalog.entries() if one.served}


@pytest.fixture
def node(tmp_path) -> Callable[..., Node]:
    return lambda fetch_patience=60.0, long_load=60.0: Node(tmp_path, fetch_patience, long_load)


@pytest.fixture
def tenant() -> Callable[..., Tenant]:
    """A tenant by name; models by tier name, accuracies falling from 90 by tens."""

    def make(name: str, *models: str, namespace: str = "default", **spec: object) -> Tenant:
        in_slo = {"deadline", "minAccuracy", "objective"} & spec.keys()
        slo = {"deadline": "1s"} | {key: spec.pop(key) for key in in_slo}
        tiers = [
            {"name": model.partition(".")[0], "accuracy": str(90 - 10 * index), "model": {"uri": model}}
            for index, model in enumerate(models or ("m.onnx",))
        ]
        return read_tenant(
            {
                "apiVersion": "treadle.dev/v1alpha1",
                "kind": "InferenceTenant",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"slo": slo, "tiers": tiers, **spec},
            }
        )

    return make
