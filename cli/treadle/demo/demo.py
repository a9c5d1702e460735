"""The demo from beginning to end: prepare, serve, load, compare, report."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sysconfig
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

import aiohttp
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from treadle.demo.files import NoFilesError, read_model
from treadle.demo.manifests import write_manifests
from treadle.demo.probe import wait_for_tier
from treadle.demo.runs import Observer, Recording, Run, Unwatched
from treadle.demo.servers import Server, ServerError, plain_onnx_runtime, treadle
from treadle.demo.summary import AUTOMATIC, FIFO, MAIN, PINNED, TIERED
from treadle.demo.table import LiveTable, PlainLines
from treadle.demo.tenants import COPIES, DIGITS, PAGES, Tenant, file_tenant, train_tenants
from treadle.demo.traffic import choose_rates, schedule, targets
from treadle.load.process import GeneratorError
from treadle.wheels import MAGIKA, MAGIKA_CONFIG, MAGIKA_MODEL, WheelUnavailableError, member

READY_SECONDS = 180.0
SWITCH_SECONDS = 30.0
RIVAL_SHARE, RIVAL_LEAST = 0.2, 4.5  # of the main run's length, and seconds: five more runs fit 90 s


class StoppedError(Exception):
    """Raised when work in a thread is to end since nobody waits for it any more."""


@dataclass(slots=True)
class Demo:
    """What the demo has so far; filled in as it goes, so that an interrupted one can report too.

    `folder` gets ``models/``, ``tenants/`` (the manifests), logs, ``timeline.json``.
    """

    folder: Path
    seconds: float
    console: Console
    tenants: tuple[Tenant, ...] = ()
    runs: tuple[Run, ...] = ()
    failures: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # what was left out, without being a failure
    training_seconds: float = float("nan")

    @property
    def timeline(self) -> Path:
        """Where the server leaves the launches of the main run."""
        return self.folder / "timeline.json"

    async def play(self) -> None:
        """All of it; a server or load that fails goes into `failures`, and what would come after it is left out."""
        try:
            await self._prepare()
            async with treadle(self.folder / "tenants", self.folder / "serve.log", self.timeline) as server:
                await self._ready(server)
                await self._main_run(server)
                await self._rival_runs(server)
            self._check_timeline()
            async with plain_onnx_runtime(self.tenants, self.folder / "fifo.log") as server:
                await server.ready(self._names(), READY_SECONDS, lambda _: None)
                await self._rival(FIFO, "plain ONNX Runtime, FIFO", server, counts=False)
        except (ServerError, GeneratorError, aiohttp.ClientError, OSError) as error:
            self.failures = (*self.failures, _words(error))

    async def _prepare(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.timeline.unlink(missing_ok=True)  # an earlier demo's
        count = COPIES * (len(PAGES) + len(DIGITS))
        with _Steps(self.console, "training models on handwritten digits", count) as steps:
            stopping = threading.Event()

            def trained_one(_: str) -> None:
                if stopping.is_set():
                    raise StoppedError
                steps.advance()

            begin = time.monotonic()
            try:
                trained = await asyncio.to_thread(train_tenants, self.folder / "models", trained_one)
            finally:
                stopping.set()  # a Ctrl-C ends this await, not the thread
            self.training_seconds = time.monotonic() - begin
        self.tenants = (*trained, *await self._file_tenant())
        write_manifests(self.folder / "tenants", self.tenants)
        self._say(f"manifests of {len(self.tenants)} tenants: {self.folder / 'tenants'}/ (edit them while this runs)")

    async def _file_tenant(self) -> tuple[Tenant, ...]:
        """Magika's model in a tenant of its own, or none where no package index or no file to ask about is reached."""
        try:
            original = await asyncio.to_thread(member, MAGIKA, MAGIKA_MODEL)
            config = await asyncio.to_thread(member, MAGIKA, MAGIKA_CONFIG)
            path = self.folder / "models" / "files" / "only.onnx"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(original, path)
            model = read_model(path, config.read_bytes())
            return (await asyncio.to_thread(file_tenant, model, (Path(sysconfig.get_path("platlib")),)),)
        except (WheelUnavailableError, NoFilesError) as error:
            self.missing = (f"the tenant of file types is left out: {error}",)
            self._say(f"WITHOUT magika: {self.missing[0]}", style="bold yellow")
            return ()

    async def _ready(self, server: Server) -> None:
        with _Steps(self.console, "loading tenants", len(self.tenants)) as steps:
            await server.ready(self._names(), READY_SECONDS, steps.reach)
        self._say(f"treadle serves at {server.url}; its log: {server.log}")

    async def _main_run(self, server: Server) -> None:
        table = LiveTable(self.tenants, self.seconds)
        live: AbstractContextManager[object]
        if self.console.is_terminal:
            observer: Observer = table
            live = Live(table, console=self.console, refresh_per_second=4)
        else:
            observer, live = PlainLines(table, self.console), nullcontext()
        with live:
            await self._run(MAIN, "treadle, main run", server, self.seconds, observer, counts=True)

    async def _rival_runs(self, server: Server) -> None:
        await self._rival(AUTOMATIC, "treadle choosing the tier", server, counts=True)
        tiered = [tenant for tenant in self.tenants if tenant.family == TIERED]
        try:
            # The least accurate first: idle tenants that choose are answered by the most accurate, as if pinned.
            for tier in reversed(tiered[0].tiers):
                write_manifests(self.folder / "tenants", self.tenants, pinned=tier.name)
                await wait_for_tier(server.url, targets(tiered), tier.name, SWITCH_SECONDS)
                await self._rival(f"{PINNED}{tier.name}", f"treadle, {tier.name} tier only", server, counts=True)
        finally:
            write_manifests(self.folder / "tenants", self.tenants)

    async def _rival(self, name: str, label: str, server: Server, *, counts: bool) -> None:
        seconds = max(RIVAL_LEAST, RIVAL_SHARE * self.seconds)
        self._say(f"the same arrivals for {seconds:.0f} s: {label}")
        await self._run(name, label, server, seconds, Unwatched(), counts=counts)

    async def _run(
        self, name: str, label: str, server: Server, seconds: float, observer: Observer, *, counts: bool
    ) -> None:
        # One seed for all rivals: the arrivals are the same.
        plan = schedule(self.tenants, choose_rates(self.tenants), seconds, seed=int(name == MAIN))
        recording = Recording(name, label, seconds)
        try:
            await recording.record(targets(self.tenants), plan, server.url, observer, counts=counts)
        finally:
            self.runs = (*self.runs, recording.run())

    def _check_timeline(self) -> None:
        if not self.timeline.exists():
            self.failures = (*self.failures, f"the server left no timeline; its log: {self.folder / 'serve.log'}")

    def _names(self) -> list[str]:
        return [tenant.name for tenant in self.tenants]

    def _say(self, text: str, style: str = "") -> None:
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


class _Steps:
    """A progress bar on a terminal; one line otherwise."""

    def __init__(self, console: Console, what: str, total: int) -> None:
        self._console, self._what, self._total = console, what, total
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console,
            disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> Self:
        if not self._console.is_terminal:
            self._console.print(f"{self._what} ({self._total})", highlight=False)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """One more is done."""
        self._bar.advance(self._task)

    def reach(self, done: int) -> None:
        """So many are done."""
        self._bar.update(self._task, completed=done)


def _words(error: Exception) -> str:
    """The error as a line for people; a time limit of the standard library's has no words of its own."""
    return str(error) or f"{type(error).__name__}: a server did not answer in time"


def describe_machine() -> str:
    """Where the figures come from."""
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}, "
        f"NumPy {version('numpy')}, ONNX Runtime {version('onnxruntime')}; no GPU was used; load average before: "
        f"{os.getloadavg()[0]:.1f}"
    )
