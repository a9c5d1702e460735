"""Events about objects: repeated ones add up in one, and no object can cause a storm of them."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass

from treadle_api.units import Seconds
from treadle_operator.clock import Clock
from treadle_operator.kube import kinds
from treadle_operator.kube.client import KubeClient
from treadle_operator.kube.errors import ApiError
from treadle_operator.pace import Pace
from treadle_operator.policy.changes import RecordEvent

CONTROLLER = "treadle.dev/operator"
CLUSTER_NAMESPACE = "default"  # where Events about cluster-scoped objects go
_ACTION = "Reconcile"
_MOST_NOTE = 1024  # characters: the API server's bound
_MOST_INSTANCE = 128

_SERIES_SECONDS = Seconds(600.0)  # the same Event again within this long adds to its series
_SERIES_PAUSE = Seconds(60.0)  # between writes of one series
_REMEMBERED = 4096
_BURST, _PERIOD = 25, Seconds(60.0)  # Events about one object: so many at once, then one a minute

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Series:
    name: str
    count: int
    last: Seconds
    written: Seconds


class EventRecorder:
    """Writes Events; that one cannot be written is logged, and no failure of anything else."""

    def __init__(self, client: KubeClient, clock: Clock, instance: str) -> None:
        self._client = client
        self._clock = clock
        self._instance = instance[:_MOST_INSTANCE]
        self._series: OrderedDict[RecordEvent, _Series] = OrderedDict()
        self._pace: Pace[str] = Pace(_BURST, _PERIOD)

    async def record(self, event: RecordEvent) -> None:
        """Write an Event, or add to the series of the same one."""
        now = self._clock.steady()
        known = self._series.get(event)
        try:
            if known is not None and now - known.last < _SERIES_SECONDS:
                await self._repeat(event, known, now)
            elif self._pace.until(event.uid, now) <= now:
                self._pace.took(event.uid, now)
                await self._create(event, now)
        except ApiError as error:
            _log.warning("Event %s about %s %s cannot be written: %s", event.reason, event.kind, event.name, error)

    async def _create(self, event: RecordEvent, now: Seconds) -> None:
        name = f"{event.name}.{int(self._clock.wall() * 1e6):x}"
        namespace = event.namespace or CLUSTER_NAMESPACE
        regarding = {
            "apiVersion": kinds.BY_NAME[event.kind].api_version,
            "kind": event.kind,
            "name": event.name,
            "uid": event.uid,
        }
        body = {
            "apiVersion": kinds.EVENTS.api_version,
            "kind": kinds.EVENTS.name,
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": self._clock.stamp(),
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "note": event.message[:_MOST_NOTE],
            "action": _ACTION,
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            "regarding": regarding | ({"namespace": event.namespace} if event.namespace else {}),
        }
        await self._client.create(kinds.EVENTS, namespace, body)
        self._series[event] = _Series(name, 1, now, now)
        self._series.move_to_end(event)
        if len(self._series) > _REMEMBERED:
            self._series.popitem(last=False)
            self._pace.forget_idle(now)

    async def _repeat(self, event: RecordEvent, series: _Series, now: Seconds) -> None:
        series.count += 1
        series.last = now
        if now - series.written < _SERIES_PAUSE:
            return
        series.written = now
        body = {"series": {"count": series.count, "lastObservedTime": self._clock.stamp()}}
        await self._client.merge(kinds.EVENTS, event.namespace or CLUSTER_NAMESPACE, series.name, body)
