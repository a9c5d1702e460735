"""The node agent: makes what is served equal to what is wanted, without a gap.

Level-triggered: `apply` is told all wanted tenants, every time. A changed tenant's new version is loaded beside the old
one; then one assignment in the catalog sends new requests to it, and the old version answers what it accepted and is
unloaded (make-before-break). A version that cannot be loaded leaves the previous one in place.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Awaitable, Callable, Collection, Container, Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from treadle_agent.agreement import difference
from treadle_agent.endings import at_its_end
from treadle_agent.executor.gateway import Gateway, RefusedError, Served
from treadle_agent.executor.protocol import TierSpec, Version
from treadle_agent.frontend.catalog import Catalog, Entry
from treadle_agent.load_turns import LoadTurn, LoadTurns
from treadle_agent.models.errors import FetchError, UnreachableError
from treadle_agent.models.store import Progress
from treadle_agent.node_events import Leaking, Loading, Observer, Refused, Removed, Serving
from treadle_agent.program.artifact import Artifact, read_artifact
from treadle_agent.program.errors import ModelError
from treadle_agent.settings import NodeAgentSettings
from treadle_api.objects import DEFAULT_NAMESPACE
from treadle_api.replica import LoadedReason
from treadle_api.tenant import Model, Tenant, Tier, tier_field

_MEBIBYTE = 1 << 20
_log = logging.getLogger(__name__)


class Store(Protocol):
    """Where models come from: `models.store.ModelStore`."""

    async def fetch(self, model: Model, progress: Progress | None = None, namespace: str = DEFAULT_NAMESPACE) -> Path:
        """The local file of a model of a tenant of `namespace`; raises FetchError."""


class Compiler(Protocol):
    """What makes artifacts of models: `program.loader.Loader`."""

    def compile(self, model: Path, *, unwanted: threading.Event) -> Path:
        """The artifact folder; blocks; raises ModelError, soon after it is `unwanted`."""


class Holder(Protocol):
    """What keeps files there that tenants are made from: `cache.Cache`."""

    async def hold(self, path: Path) -> bool:
        """Whether it is there, and stays so until `release`."""

    def release(self, path: Path) -> None:
        """It may go."""


class _RefusalError(Exception):
    """Raised when a tenant's version cannot be served because of one of its fields."""

    def __init__(self, field: str, cause: LoadedReason, reason: str, *, temporary: bool = False) -> None:
        super().__init__(reason)
        self.field = field
        self.cause = cause
        self.reason = reason
        self.temporary = temporary


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A version in the executor, what its tiers were made from, and the files of these, held until it is retired."""

    served: Served
    artifacts: tuple[Artifact, ...]
    files: ExitStack


@dataclass(slots=True)
class _Resident:
    """A tenant of this device: what is wanted, the task that brings it about, and what is served meanwhile."""

    wanted: Tenant
    task: asyncio.Task[Refused | None]
    loaded: _Loaded | None = None


class NodeAgent:
    """Reconciles wanted tenants with served versions; lives on the front end's event loop and owns the catalog."""

    def __init__(
        self,
        gateway: Gateway,
        store: Store,
        compiler: Compiler,
        cache: Holder,
        catalog: Catalog,
        observer: Observer,
        settings: NodeAgentSettings | None = None,
        versions: Iterator[int] | None = None,
    ) -> None:
        """`versions` numbers what is loaded: the agents of one node share it, so that no number means two things."""
        self._gateway = gateway
        self._store = store
        self._compiler = compiler
        self._cache = cache
        self._catalog = catalog
        self._observe = observer
        self._settings = settings or NodeAgentSettings()
        self._loads = LoadTurns(self._settings.concurrent_loads, self._settings.long_load)
        self._versions = versions or itertools.count(1)
        self._residents: dict[str, _Resident] = {}
        self._fetching: set[asyncio.Task[Any]] = set()  # those whose models are not here yet
        self._background: set[asyncio.Task[None]] = set()

    async def apply(self, tenants: Iterable[Tenant], retry: Container[str] | None = None) -> list[Refused]:
        """Serve exactly these tenants; returns what is refused when each is served or refused, or its model is still
        being fetched after `fetch_patience`: that goes on, and one tenant's slow server keeps no other waiting.

        An unchanged tenant is left alone, unless it was refused: then it is tried again, if its key is in `retry` or
        that is None. May be called while an earlier call is under way; what that one has begun and is still wanted
        goes on.
        """
        wanted = {tenant.key: tenant for tenant in tenants}
        for key in [key for key in self._residents if key not in wanted]:
            self._remove(key)
        for tenant in wanted.values():
            self._want(tenant, again=retry is None or tenant.key in retry)
        tasks = [self._residents[key].task for key in wanted]
        await _ended(tasks, self._settings.fetch_patience)
        await _ended([task for task in tasks if task not in self._fetching])
        self._catalog.mark_reconciled()
        ended = [task for task in tasks if task.done() and not task.cancelled()]
        return [refused for task in ended if (refused := task.result()) is not None]

    async def close(self) -> None:
        """Stop loading; what is served stays so, until the gateway is closed."""
        tasks = [*(resident.task for resident in self._residents.values()), *self._background]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _want(self, tenant: Tenant, *, again: bool) -> None:
        resident = self._residents.get(tenant.key)
        if resident is None:
            self._catalog.put(Entry(tenant, loading=True))
            self._residents[tenant.key] = _Resident(tenant, self._begin(tenant, None))
            return
        if resident.wanted == tenant and not (again and _was_refused(resident.task)):
            return
        resident.task.cancel()
        resident.wanted = tenant
        resident.task = self._begin(tenant, resident.loaded)

    def _begin(self, tenant: Tenant, old: _Loaded | None) -> asyncio.Task[Refused | None]:
        return asyncio.create_task(self._bring_up(tenant, old), name=f"bring up {tenant.key}")

    async def _bring_up(self, tenant: Tenant, old: _Loaded | None) -> Refused | None:
        entry = self._catalog.find(tenant.key) if old else Entry(tenant)
        if old is not None and _same_version(entry.tenant, tenant) and not self._gateway.fault(old.served):
            self._catalog.put(Entry(tenant, old.served))
            self._observe(Serving(tenant, old.served, old.artifacts))
            return None
        previous = old.served if old is not None else None
        self._catalog.put(Entry(entry.tenant, previous, loading=True))
        try:
            with ExitStack() as held:
                files = await self._fetch(tenant, held)
                async with self._loads.turn() as turn:
                    loaded = await self._load(tenant, files, held, turn)
        except Exception as error:  # noqa: BLE001 - one tenant's failure, whatever it is, must not stop the others
            refused = _refused(tenant.key, error, previous=old is not None)
            self._catalog.put(Entry(entry.tenant, previous, refusal=f"{refused.field}: {refused.reason}"))
            self._observe(refused)
            return refused
        self._residents[tenant.key].loaded = loaded
        self._catalog.put(Entry(tenant, loaded.served))
        self._observe(Serving(tenant, loaded.served, loaded.artifacts))
        if old is not None:
            self._in_background(self._retire(tenant.key, old.served, old.files))
        return None

    async def _fetch(self, tenant: Tenant, held: ExitStack) -> list[Path]:
        """The files of all tiers' models; other tenants are loaded meanwhile."""
        task = asyncio.current_task()
        assert task is not None
        self._fetching.add(task)
        try:
            return [await self._fetch_tier(tenant, tier, held) for tier in tenant.served_tiers]
        finally:
            self._fetching.discard(task)

    async def _load(self, tenant: Tenant, files: Sequence[Path], held: ExitStack, turn: LoadTurn) -> _Loaded:
        """What is made of `files`; what is `held` is given up where nothing is."""
        tiers = tenant.served_tiers
        artifacts: list[tuple[Path, Artifact]] = []
        for tier, file in zip(tiers, files, strict=True):
            if artifacts:
                await turn.give_way()
            artifacts.append(await self._compile(tenant, tier, file, held))
            if different := difference(artifacts[0][1], artifacts[-1][1], tiers[0].name):
                cause = LoadedReason.TIERS_DIFFER
                raise _RefusalError(_field(tier, "model"), cause, f"{different}; all tiers must agree")
        self._tell(tenant.key, "loading and measuring")
        version = Version(
            id=next(self._versions),
            tenant=tenant.key,
            deadline=tenant.slo.deadline,
            priority=tenant.priority,
            queue_limit=self._settings.queue_limit,
            tiers=tuple(
                TierSpec(tier.name, tier.accuracy, str(folder), tier.precision)
                for tier, (folder, _) in zip(tiers, artifacts, strict=True)
            ),
            pinned=next((index for index, tier in enumerate(tiers) if tier.name == tenant.pinned), -1),
        )
        loading = asyncio.ensure_future(self._gateway.load(version))
        try:
            served = await asyncio.shield(loading)
        except RefusedError as error:
            field = tier_field(error.tier) if error.tier else "spec.tiers"
            raise _RefusalError(field, error.cause, error.reason) from error
        except asyncio.CancelledError:
            # Nobody wants this version any more, but the executor may have it soon.
            self._in_background(self._abandon(tenant.key, loading, held.pop_all()))
            raise
        return _Loaded(served, tuple(artifact for _, artifact in artifacts), held.pop_all())

    async def _fetch_tier(self, tenant: Tenant, tier: Tier, held: ExitStack) -> Path:
        def progress(done: int, total: int | None) -> None:
            size = f"{done / _MEBIBYTE:.0f}" + (f" of {total / _MEBIBYTE:.0f}" if total else "")
            self._tell(tenant.key, f"fetching tier {tier.name}, {size} MiB")

        try:
            return await self._held(held, lambda: self._store.fetch(tier.model, progress, tenant.namespace))
        except FetchError as error:
            temporary = isinstance(error, UnreachableError)
            field = _field(tier, f"model.{error.field}")
            raise _RefusalError(field, error.cause, str(error), temporary=temporary) from error

    async def _compile(self, tenant: Tenant, tier: Tier, file: Path, held: ExitStack) -> tuple[Path, Artifact]:
        self._tell(tenant.key, f"compiling tier {tier.name}")
        try:
            folder = await self._held(held, lambda: self._compiled(file))
        except ModelError as error:
            cause = LoadedReason.MODEL_UNSUPPORTED if error.unsupported else LoadedReason.MODEL_INVALID
            raise _RefusalError(_field(tier, "model"), cause, str(error)) from error
        artifact = await asyncio.to_thread(read_artifact, folder)
        if tier.model.sha256 not in (None, artifact.model_sha256):
            cause = LoadedReason.DIGEST_MISMATCH
            raise _RefusalError(_field(tier, "model.sha256"), cause, "the file changed while it was loaded")
        return folder, artifact

    async def _compiled(self, file: Path) -> Path:
        """The artifact folder. Whoever does not want it any more waits for the end: what runs is bounded by turns."""
        unwanted = threading.Event()
        compiling = asyncio.ensure_future(asyncio.to_thread(self._compiler.compile, file, unwanted=unwanted))
        return await at_its_end(compiling, unwanted.set)

    async def _held(self, held: ExitStack, obtain: Callable[[], Awaitable[Path]]) -> Path:
        """What is obtained, once more where it was cleared before it could be held."""
        while not await self._cache.hold(path := await obtain()):
            pass
        held.callback(self._cache.release, path)
        return path

    def _tell(self, key: str, step: str) -> None:
        """How far a version is on its way."""
        self._catalog.put(replace(self._catalog.find(key), step=step))
        self._observe(Loading(key, step))

    def _remove(self, key: str) -> None:
        resident = self._residents.pop(key)
        resident.task.cancel()
        self._catalog.remove([key])
        self._observe(Removed(key))
        if resident.loaded is not None:
            self._in_background(self._retire(key, resident.loaded.served, resident.loaded.files))

    async def _retire(self, key: str, served: Served, files: ExitStack) -> None:
        try:
            await self._gateway.retire(served.version.id)
        except Exception as error:  # noqa: BLE001 - whatever it is, the tenants that are served go on
            self._observe(Leaking(key, repr(error)))
        else:
            files.close()

    async def _abandon(self, key: str, loading: asyncio.Future[Served], files: ExitStack) -> None:
        try:
            served = await loading
        except RefusedError:
            files.close()
            return
        await self._retire(key, served, files)

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _ended(tasks: Collection[asyncio.Task[Any]], seconds: float | None = None) -> None:
    """Wait until all have ended, however, or the time is up."""
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)


def _refused(key: str, error: Exception, *, previous: bool) -> Refused:
    if isinstance(error, _RefusalError):
        return Refused(key, error.field, error.cause, error.reason, previous, error.temporary)
    _log.error("%s could not be loaded", key, exc_info=error)
    reason = f"treadle failed: {error!r}"
    return Refused(key, "spec", LoadedReason.INTERNAL_ERROR, reason, previous, temporary=True)


def _was_refused(task: asyncio.Task[Refused | None]) -> bool:
    return task.done() and (task.cancelled() or task.result() is not None)


def _same_version(old: Tenant, new: Tenant) -> bool:
    """Whether a tenant's change does not concern the executor, so that what is loaded serves on."""
    ours, theirs = ((t.served_tiers, t.slo.deadline, t.priority, t.pinned) for t in (old, new))
    return ours == theirs


def _field(tier: Tier, member: str) -> str:
    return f"{tier_field(tier.name)}.{member}"
