"""A node without a cluster: an executor a device, and one front end before them all.

`treadle serve` and `treadle_agent` differ in who says which tenants are served, and stand on this.
"""

from __future__ import annotations

import gc
import itertools
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from treadle_agent import heap
from treadle_agent.cache import Cache, open_cache
from treadle_agent.executor import entry
from treadle_agent.executor.protocol import Mode
from treadle_agent.executor.supervisor import Supervisor
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.frontend.app import FrontEnd
from treadle_agent.frontend.settings import FrontEndSettings
from treadle_agent.frontend.site import Site
from treadle_agent.models.secrets import Secrets
from treadle_agent.models.sources import Sources
from treadle_agent.models.store import ModelStore
from treadle_agent.node_agent import NodeAgent
from treadle_agent.node_events import Observer
from treadle_agent.program.loader import Loader
from treadle_agent.settings import CacheSettings, NodeAgentSettings

MIDDLE_COLLECTIONS = 100  # of the objects that have lived for a while, before all are looked through; Python's: 10


class ExecutorError(Exception):
    """Raised when a device's executor process cannot be started."""


class Node:
    """Made by `open_node`. `executors` and `sites` are in the order of the devices."""

    def __init__(
        self, executors: Sequence[Supervisor], sites: Sequence[Site], loader: Loader, store: ModelStore,
        cache: Cache, settings: FrontEndSettings,
    ) -> None:  # fmt: skip
        self.executors = executors
        self.sites = sites
        self.front_end = FrontEnd(sites, settings)
        self._loader = loader
        self._store = store
        self._cache = cache
        self._versions = itertools.count(1)

    def agent(self, site: Site, observer: Observer, settings: NodeAgentSettings | None = None) -> NodeAgent:
        """What makes a device serve what is wanted; one a site."""
        return NodeAgent(
            site.gateway, self._store, self._loader, self._cache, site.catalog, observer, settings, self._versions
        )

    def mark_stopping(self) -> None:
        """The process was asked to stop: readiness goes off, requests that still come are answered."""
        for site in self.sites:
            site.catalog.mark_stopping()


def collect_seldom() -> None:
    """Have Python look through all objects of this process for cycles less often: nobody is answered meanwhile.

    What was imported stays, and is not looked through any more: that would be a tenth of a second. Nor are thousands of
    connections, 30 ms, while only thousands more have come: what cycles hold is kept for longer, up to 100 MiB or so.
    """
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, MIDDLE_COLLECTIONS)


@asynccontextmanager
async def open_node(
    devices: Sequence[str],
    mode: Mode,
    folder: Path,
    settings: FrontEndSettings | None = None,
    identify: Callable[[str], str] = str,
    cache_settings: CacheSettings | None = None,
    sources: Sources | None = None,
    secrets: Secrets | None = None,
    model_trust: ssl.SSLContext | None = None,
) -> AsyncIterator[Node]:
    """Start the devices' executors; nothing listens yet. What is under way when the context ends is shed.

    Args:
        devices: names of `executor.devices`, each once.
        mode: how tenants share a device.
        folder: where models are kept; other processes may share it.
        settings: of the front end.
        identify: from a device's name to its id on the node.
        cache_settings: how much that folder may hold.
        sources: where models may come from; from anywhere if not given.
        secrets: what tenants name to be let in there; none if not given.
        model_trust: whom to trust there; whom the system trusts if not given.

    Raises:
        CacheError: `folder` cannot be written.
        ExecutorError: an executor process cannot be started.
    """
    heap.keep_freed()  # before there are threads: each that comes earlier has a heap of its own
    async with AsyncExitStack() as stack:
        cache = await stack.enter_async_context(open_cache(folder, cache_settings))
        loader = Loader(cache.artifacts, alone=cache.models)
        executors = []
        for device in devices:
            worker_settings = WorkerSettings(device=device, mode=mode, tuning=str(cache.tuning))
            try:
                executor = await Supervisor.start(entry.main, worker_settings, loader.bind)
            except (OSError, EOFError) as error:
                raise ExecutorError(f"the executor process of {device} cannot be started: {error}") from error
            stack.push_async_callback(executor.close)
            executors.append(executor)
        stack.callback(loader.close)  # what still compiles is for nobody, and a thread waits for it
        heap.small_pages()  # here only: the fork server runs, which starts the others
        collect_seldom()
        sites = [Site(identify(device), executor) for device, executor in zip(devices, executors, strict=True)]
        store = ModelStore(cache.models, None, model_trust, sources, secrets)
        yield Node(executors, sites, loader, store, cache, settings or FrontEndSettings())
