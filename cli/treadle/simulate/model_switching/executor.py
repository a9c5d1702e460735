"""The executor's whole scheduler, for tenants that share one device."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.simulate.model_switching.engine import Asked, Dispatch
from treadle_agent.policy.queues import Tenant
from treadle_agent.policy.scheduling import Launch, SpaceTime


class Executor:
    """`SpaceTime` over a device that runs one request at a time; its models merge with nobody's."""

    def __init__(self, tenants: Sequence[Tenant]) -> None:
        self._tenants = tenants
        self._scheduler = SpaceTime(max_problems=1, quantum=0.0)
        for tenant in tenants:
            self._scheduler.add(tenant)
        self._running: Launch | None = None

    @property
    def switches(self) -> int:
        """See `Dispatcher`."""
        return sum(tenant.ups + tenant.downs for tenant in self._tenants)

    def arrive(self, request: Asked) -> None:
        """See `Dispatcher`."""
        self._scheduler.submit(self._tenants[request.tenant], request)

    def dispatch(self, free: Sequence[int], now: float) -> Dispatch | None:
        """See `Dispatcher`."""
        self._scheduler.shed(now)
        launch = self._scheduler.step(now)
        if launch is None:
            return None
        self._running = launch
        (stream,) = launch.group.streams
        (request,) = stream.requests
        assert isinstance(request, Asked)
        return Dispatch(free[0], request, stream.tier)

    def finished(self, request: Asked, tier: int, seconds: float) -> None:  # noqa: ARG002 - a Dispatcher
        """See `Dispatcher`."""
        assert self._running is not None
        self._scheduler.launched(self._running, seconds)
