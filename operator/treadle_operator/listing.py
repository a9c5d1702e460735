"""All objects, listed: at the start, on taking office, and now and then to check what the watches have told.

kopf does not say which objects have gone while a watch was interrupted, and a watch of its that ends is not begun again
(https://github.com/nolar/kopf/issues/1276). So the watches are judged by what they miss.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from treadle_api.units import Seconds
from treadle_operator.kube.client import Json, KubeClient
from treadle_operator.kube.errors import ApiError, ExpiredError, NotFoundError
from treadle_operator.kube.kinds import Kind
from treadle_operator.kube.views import Identity, read_identity
from treadle_operator.metrics import OperatorMetrics
from treadle_operator.mirror import Mirror

_DEAD_AFTER = 2  # audits that found a watch to have missed something, while it told nothing at all
_AGAIN = Seconds(10.0)  # after a miss
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Differences:
    """What a list has, and the mirror not: later states, and objects that are gone."""

    later: tuple[tuple[Identity, Json], ...]
    gone: tuple[Identity, ...]
    version: int


class Listing:
    """Lists kinds into the mirror.

    Args:
        client: the API server.
        mirror: what the watches and our own writes have told.
        kinds: all that are watched.
        every: between audits.
        grace: how long a watch may be behind a list.
        metrics: misses are counted.
    """

    def __init__(
        self,
        client: KubeClient,
        mirror: Mirror,
        kinds: Iterable[Kind],
        every: Seconds,
        grace: Seconds,
        metrics: OperatorMetrics,
    ) -> None:
        self._client = client
        self._mirror = mirror
        self._kinds = tuple(kinds)
        self._every = every
        self._grace = grace
        self._metrics = metrics
        self._misses = dict.fromkeys(self._kinds, 0)
        self._relisted: set[Kind] = set()
        self._wanted = asyncio.Event()

    @property
    def dead(self) -> tuple[str, ...]:
        """The kinds whose watch tells nothing any more."""
        return tuple(kind.plural for kind, misses in self._misses.items() if misses >= _DEAD_AFTER)

    async def list_all(self) -> None:
        """Bring the mirror up to date with what is there now; raises ApiError."""
        for kind in self._kinds:
            self._correct(kind, await self._compare(kind))

    def heard(self, kind: Kind) -> None:
        """A watch has told something: it lives."""
        self._misses[kind] = 0

    def relisted(self, kind: Kind) -> None:
        """A watch had to begin anew, so it lives: what went meanwhile, it does not tell, and has not missed."""
        self._misses[kind] = 0
        self._relisted.add(kind)
        self._wanted.set()

    async def run(self) -> None:
        """Audit now and then; returns never.

        Raises:
            NotFoundError: a kind is not served any more.
        """
        wait = self._every
        while True:
            try:
                await asyncio.wait_for(self._wanted.wait(), wait)
            except TimeoutError:
                kinds = self._kinds
            else:
                kinds = tuple(self._relisted)
            self._wanted.clear()
            try:
                await self._audit(kinds)
            except NotFoundError:
                raise
            except ApiError as error:
                _log.warning("the audit of the watches is put off: %s", error)
            wait = _AGAIN if self._relisted or any(self._misses.values()) else self._every

    async def _audit(self, kinds: Iterable[Kind]) -> None:
        for kind in kinds:
            differences = await self._compare(kind)
            relisted = kind in self._relisted
            self._relisted.discard(kind)
            if differences.later or differences.gone:
                await asyncio.sleep(self._grace)
            missed = self._correct(kind, differences)
            if missed and not relisted:
                self._misses[kind] += 1
                self._metrics.missed.labels(kind.plural).inc(missed)
                _log.warning("the watch of %s has missed %d changes", kind.plural, missed)

    async def _compare(self, kind: Kind) -> _Differences:
        before = self._mirror.identities(kind)
        listed: set[str] = set()
        later: list[tuple[Identity, Json]] = []
        version = 0
        while True:
            try:
                async for page in self._client.pages(kind):
                    version = page.version
                    for item in page.items:
                        identity = read_identity(item)
                        listed.add(identity.uid)
                        if self._mirror.is_behind(kind, identity):
                            later.append((identity, item))
            except ExpiredError:
                listed.clear()
                later.clear()
                continue
            break
        gone = (known for known in before if known.uid not in listed and known.version <= version)
        return _Differences(tuple(later), tuple(gone), version)

    def _correct(self, kind: Kind, differences: _Differences) -> int:
        """Make up for what the mirror still has not; how much that was."""
        missed = 0
        for identity, item in differences.later:
            if self._mirror.is_behind(kind, identity):
                missed += 1
                self._mirror.take(kind, item)
        for identity in differences.gone:
            if self._mirror.uid(kind, identity.key) == identity.uid:
                missed += self._mirror.is_watched(kind, identity.key)
                self._mirror.remove(kind, identity.key, identity.uid, differences.version)
        return missed
