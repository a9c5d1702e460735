"""/healthz, /readyz and /metrics; the former tell nothing of tenants, and are open to all."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from treadle_operator.guard import MetricsGuard

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Probes:
    """Answers the kubelet and Prometheus.

    Args:
        faults: what is wrong with this process, so that it should be restarted; nothing when it is well.
        unready: what it still waits for; nothing when it could lead.
        exposition: the metrics.
        guard: whom they are told to; None: everybody.
    """

    def __init__(
        self,
        faults: Callable[[], list[str]],
        unready: Callable[[], list[str]],
        exposition: Callable[[], bytes],
        guard: MetricsGuard | None = None,
    ) -> None:
        self._faults = faults
        self._unready = unready
        self._exposition = exposition
        self._guard = guard
        self._runner: web.AppRunner | None = None

    async def start(self, host: str | None, port: int) -> int:
        """Listen, without a host on all interfaces; the port. Raises OSError where that cannot be."""
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._readiness)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._guard is not None:
            await self._guard.close()

    async def _health(self, _: web.Request) -> web.Response:
        return _verdict(self._faults())

    async def _readiness(self, _: web.Request) -> web.Response:
        return _verdict(self._unready())

    async def _metrics(self, request: web.Request) -> web.Response:
        if self._guard is not None:
            await self._guard.admit(request)
        return web.Response(body=self._exposition(), headers={"Content-Type": _METRICS_TYPE})


def _verdict(objections: list[str]) -> web.Response:
    if objections:
        return web.Response(status=503, text="".join(f"{objection}\n" for objection in objections))
    return web.Response(text="ok\n")
