"""Every kopf decorator. The handlers decide nothing: they tell the mirror what kopf's watches have seen.

Only `on.event` handlers are registered, for which kopf keeps neither finalizers nor annotations on the objects.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import kopf
from kubernetes.aio.client import Configuration

from treadle_operator.kube.client import PAGE, REQUEST_TIMEOUT, Json
from treadle_operator.kube.kinds import Kind
from treadle_operator.kube.views import read_identity
from treadle_operator.mirror import Mirror

_INACTIVE = 70.0  # seconds: the API server sends a bookmark every 60
_BACKOFF = 5.0  # seconds
_STOP = 0.2  # seconds that a handler may still take when stopping: each only assigns


class _NoDiffBase(kopf.DiffBaseStorage):
    """What kopf compares with what it has handled before: nothing, since no handler of ours is about differences.

    Its own makes a deep copy of every object that a watch tells of: a third of the operator's time.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:
        """What matters of an object."""
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """What was handled last."""
        return None

    def store(self, **_: Any) -> None:
        """Remember what is handled now."""


class Listener(Protocol):
    """Who judges the watches: `listing.Listing`."""

    def heard(self, kind: Kind) -> None:
        """A watch has told something."""

    def relisted(self, kind: Kind) -> None:
        """A watch had to begin anew, and tells all objects that there are."""


def _first_attempt(record: logging.LogRecord) -> bool:
    """Whether a log record is worth a line: of a request that is tried again and again, the first is."""
    message = record.getMessage()
    return not message.startswith("Request attempt #") or message.startswith("Request attempt #1 ")


class _Backoffs:
    """Waits between tries of a request, without end: a watch that gives up is never begun again."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1.0, 2.0)
        while True:
            yield _BACKOFF


def _settings(kinds: Iterable[Kind]) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.chunk_size = PAGE
    settings.watching.inactivity_timeout = _INACTIVE
    settings.networking.request_timeout = REQUEST_TIMEOUT
    settings.networking.connect_timeout = REQUEST_TIMEOUT
    settings.networking.error_backoffs = _Backoffs()
    settings.queueing.idle_timeout = 1.0
    settings.queueing.exit_timeout = _STOP
    settings.process.ultimate_exiting_timeout = None
    settings.persistence.finalizer = "treadle.dev/never-written"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="never-written.treadle.dev")
    settings.persistence.diffbase_storage = _NoDiffBase()
    for kind in kinds:
        if kind.selector:
            settings.watching.label_selectors[f"{kind.plural}.{kind.group}" if kind.group else kind.plural] = (
                kind.selector
            )
    return settings


def _registry(
    configuration: Configuration, mirror: Mirror, kinds: Iterable[Kind], listener: Listener
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        """The connection that the writes use; asked again when the API server refuses the credentials."""
        return await _connection(configuration)

    def watch(kind: Kind) -> None:
        @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=f"see-{kind.plural}")
        async def see(event: Json, **_: Any) -> None:
            manifest = event["object"]
            assert isinstance(manifest, dict)
            manifest.setdefault("apiVersion", kind.api_version)
            manifest.setdefault("kind", kind.name)
            match event["type"]:
                case "DELETED":
                    listener.heard(kind)
                    gone = read_identity(manifest)
                    mirror.remove(kind, gone.key, gone.uid, gone.version)
                case None:
                    listener.relisted(kind)
                    mirror.take(kind, manifest)
                case _:
                    listener.heard(kind)
                    mirror.take(kind, manifest)

    for kind in kinds:
        watch(kind)
    return registry


async def _connection(configuration: Configuration) -> kopf.ConnectionInfo:
    credentials = await configuration.get_api_key_with_prefix("BearerToken", "authorization")
    scheme, _, token = (credentials or "").rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )


class Watches:
    """kopf's watches of all kinds, in this process's loop."""

    def __init__(
        self,
        configuration: Configuration,
        mirror: Mirror,
        kinds: tuple[Kind, ...],
        listener: Listener,
    ) -> None:
        self._registry = _registry(configuration, mirror, kinds, listener)
        self._settings = _settings(kinds)
        self._stop = asyncio.Event()

    async def run(self, started: Callable[[], None]) -> None:
        """Watch until `stop`; `started` is called once kopf has taken the signals for itself."""
        logging.getLogger("kopf").setLevel(logging.ERROR)
        logging.getLogger("kopf._cogs.clients.watching").addFilter(_first_attempt)
        others = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=self._registry,
            settings=self._settings,
            standalone=True,
            clusterwide=True,
            stop_flag=self._stop,
        )
        started()
        await kopf.run_tasks(tasks, ignored=others)

    def stop(self) -> None:
        """End the watches; `run` returns."""
        self._stop.set()
