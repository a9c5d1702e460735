"""`treadle serve`: the tenants of a manifest file or folder, served on this machine without a cluster."""

from __future__ import annotations

import argparse
import asyncio
import errno
import logging
import signal
import sys
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import uvloop
from rich.console import Console

from treadle import watch
from treadle.console import ServeConsole
from treadle.manifests import SUFFIXES, ManifestReader, Manifests, retain
from treadle.news import news
from treadle.watch import Mark, changes, fingerprint, marks
from treadle_agent.cache import CacheError, cache_folder
from treadle_agent.executor.devices import DeviceError, choose_device
from treadle_agent.executor.protocol import Mode
from treadle_agent.frontend.app import FrontEnd
from treadle_agent.frontend.catalog import Catalog
from treadle_agent.models.store import local_path
from treadle_agent.node import ExecutorError, Node, open_node
from treadle_agent.node_agent import NodeAgent
from treadle_api.tenant import Tenant

LOOK_SECONDS = 0.5  # between looks for loads that take long
RETRY_SECONDS = 30.0  # between tries of tenants whose models could not be fetched, or are still being fetched

MODES: Mapping[str, Mode] = {mode.name.lower().replace("_", "-"): mode for mode in Mode}


@dataclass(frozen=True, slots=True)
class Options:
    """What to serve, where and how; `trace`: a timeline of all launches goes there."""

    manifests: Path
    host: str
    port: int
    device: str
    mode: Mode
    trace: Path | None


class UsageError(Exception):
    """Raised when the command line asks for what cannot be (exit code 2)."""


class StartError(Exception):
    """Raised when the server cannot be started (exit code 1)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle serve` takes."""
    parser.add_argument(
        "-f",
        "--filename",
        type=Path,
        required=True,
        metavar="DIR|FILE",
        help="InferenceTenant manifests: a YAML file, or a folder of them; changes are taken up while serving",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on, 0 for any (default %(default)s)")
    parser.add_argument(
        "--device",
        default="auto",
        metavar="auto|host|cuda|simulated:MODEL",
        help="where models run (default auto: a GPU where there is one, else the host)",
    )
    parser.add_argument(
        "--mode",
        choices=sorted(MODES),
        default="space-time",
        help="how tenants share the device (default %(default)s: kernels of different tenants are merged)",
    )
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write a timeline of launches for Perfetto at exit")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal: 0 after a clean stop, 1 when it cannot start, 2 on wrong usage."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        options = _options(arguments)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # half the time of a request on asyncio's
            runner.run(_serve(options))
    except UsageError as error:
        print(f"treadle serve: {error}", file=sys.stderr)
        return 2
    except StartError as error:
        print(f"treadle serve: {error}", file=sys.stderr)
        return 1
    return 0


def _options(arguments: argparse.Namespace) -> Options:
    path: Path = arguments.filename
    if not path.exists():
        raise UsageError(f"-f {path}: there is no such file or folder")
    if not 0 <= arguments.port <= 65535:
        raise UsageError(f"--port {arguments.port}: must be 0 to 65535")
    if arguments.trace is not None and not arguments.trace.resolve().parent.is_dir():
        raise UsageError(f"--trace {arguments.trace}: there is no such folder")
    try:
        device = choose_device(arguments.device)
    except DeviceError as error:
        raise UsageError(str(error)) from error
    return Options(path, arguments.host, arguments.port, device, MODES[arguments.mode], arguments.trace)


async def _serve(options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        async with open_node([options.device], options.mode, cache_folder()) as node:
            await _serve_node(node, options, stop)
    except CacheError as error:
        raise UsageError(str(error)) from error
    except ExecutorError as error:
        raise StartError(str(error)) from error


async def _serve_node(node: Node, options: Options, stop: asyncio.Event) -> None:
    [executor], [site] = node.executors, node.sites
    if options.trace is not None:
        await site.timeline.acquire()
        executor.trace(options.trace.resolve())
    url = await _listen(node.front_end, options)
    try:
        with ServeConsole(Console(), site.catalog, url) as console:
            agent = node.agent(site, console.event)
            await _Session(options, agent, site.catalog, console, url).run(stop)
    finally:
        await node.front_end.stop()
        if options.trace is not None:
            await executor.end_trace()


async def _listen(front_end: FrontEnd, options: Options) -> str:
    """Open the port; the server's URL."""
    try:
        port = await front_end.start(options.host, options.port)
    except OSError as error:
        place = f"{options.host}:{options.port}"
        if error.errno == errno.EADDRINUSE:
            raise StartError(f"{place} is in use by another program: choose another --port, or 0 for any") from error
        raise StartError(f"cannot listen on {place}: {error.strerror or error}") from error
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"http://{host}:{port}"


def _models(tenants: Iterable[Tenant]) -> frozenset[Path]:
    """The files on this machine that the tenants' tiers are made from."""
    paths = (local_path(tier.model.uri) for tenant in tenants for tier in tenant.served_tiers)
    return frozenset(path for path in paths if path is not None)


def _looked_for(path: Path) -> str:
    if path.is_dir():
        return f" in files right inside it that end in {', '.join(sorted(SUFFIXES))}"
    return ": it holds no document"


class _Session:
    """Manifests, reconciled from the first reading to the signal to stop."""

    def __init__(self, options: Options, agent: NodeAgent, catalog: Catalog, console: ServeConsole, url: str) -> None:
        self._path = options.manifests
        self._agent = agent
        self._catalog = catalog
        self._console = console
        self._url = url
        self._reader = ManifestReader()
        self._wanted = Manifests()
        self._applying: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._refused: Mapping[Path, Mark | None] = {}  # model files of refused tenants, as they were when tried

    async def run(self, stop: asyncio.Event) -> None:
        watching = asyncio.create_task(self._watch())
        looking = asyncio.create_task(self._watch_models())
        telling = asyncio.create_task(self._tell_of_slow_loads())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([watching, stopping], return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()  # raises what ended it
        finally:
            self._catalog.mark_stopping()
            self._console.say("stopping: requests under way are answered first")
            for task in (watching, stopping, looking, telling):
                task.cancel()
            if self._retry is not None:
                self._retry.cancel()
            await self._agent.close()
            await asyncio.gather(watching, stopping, looking, telling, *self._applying, return_exceptions=True)

    async def _watch(self) -> None:
        seen = await asyncio.to_thread(fingerprint, self._path)
        await self._read()
        count = len(self._wanted.accepted)
        self._console.say(f"listening at {self._url}; loading {count} {'tenant' if count == 1 else 'tenants'}")
        async for _ in changes(self._path, seen):
            await self._read()

    async def _watch_models(self) -> None:
        """Try refused tenants again when a model file of theirs has changed, and stays as it is for a moment."""
        while True:
            await asyncio.sleep(watch.POLL_SECONDS)
            tried = self._refused
            now = await asyncio.to_thread(marks, tried)
            if now == tried:
                continue
            await asyncio.sleep(watch.SETTLE_SECONDS)
            if tried is self._refused and now == await asyncio.to_thread(marks, tried):
                self._refused = now
                self._apply()

    async def _tell_of_slow_loads(self) -> None:
        while True:
            self._console.say_slow(asyncio.get_running_loop().time())
            await asyncio.sleep(LOOK_SECONDS)

    async def _read(self) -> None:
        try:
            found = await asyncio.to_thread(self._reader.read, self._path, self._wanted)
        except OSError as error:
            self._console.say(f"warning: {self._path}: {error.strerror}; what is served goes on")
            return
        if not found.accepted and not found.refusals:
            self._console.say(f"warning: {self._path}: no manifests were found{_looked_for(self._path)}")
        for line in news(self._wanted, found):
            self._console.say(line)
        self._wanted = retain(self._wanted, found)
        self._console.set_sources({accepted.tenant.key: accepted.source for accepted in self._wanted.accepted})
        self._apply()

    def _apply(self, retry: Container[str] | None = None) -> None:
        """Serve what is wanted now; of what was refused, try all again, or those of `retry`."""
        task = asyncio.create_task(self._reconcile(retry))
        self._applying.add(task)
        task.add_done_callback(self._applying.discard)

    async def _reconcile(self, retry: Container[str] | None) -> None:
        found = await asyncio.to_thread(marks, _models(accepted.tenant for accepted in self._wanted.accepted))
        tenants = [accepted.tenant for accepted in self._wanted.accepted]
        first = not self._catalog.ready
        refused = await self._agent.apply(tenants, retry)
        keys = {one.key for one in refused}
        self._refused = {path: found.get(path) for path in _models(one for one in tenants if one.key in keys)}
        if first and self._catalog.ready:
            served = sum(entry.served is not None for entry in self._catalog.entries())
            count = self._wanted.refused
            refusals = f" +{count} {'manifest' if count == 1 else 'manifests'} refused" if count else ""
            self._console.say(f"ready: {served} of {len(tenants)} tenants{refusals} at {self._url} (Ctrl-C stops)")
        loading = any(entry.loading for entry in self._catalog.entries())  # a slow download, which may yet be refused
        again = frozenset(one.key for one in refused if one.temporary)
        if (loading or again) and self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._try_again, again)

    def _try_again(self, keys: frozenset[str]) -> None:
        self._retry = None
        self._apply(keys)
