"""What the API server has stamped is compared with its own clock, not with ours."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from treadle_api.units import Seconds
from treadle_operator.clock import Clock, ServerClock, ahead_by
from treadle_operator.kube import kinds
from treadle_operator.kube.client import KubeClient
from treadle_operator.kube.errors import ApiError


class NoCount:
    def requested(self, verb: str, code: int) -> None:
        """See `kube.client.Counter`."""


@pytest.mark.parametrize(
    ("date", "asked", "answered", "known", "found"),
    [
        (100.0, 100.2, 100.3, 0.0, 0.0),
        (100.0, 99.9, 101.9, 0.0, 0.0),  # whole seconds
        (100.0, 101.6, 101.7, 0.0, 0.0),  # a second more or less is nobody's fault
        (100.0, 85.0, 115.0, 0.0, 0.0),  # a slow answer says little, and contradicts nothing
        (160.0, 100.0, 100.0, 0.0, 60.5),
        (160.4, 100.0, 100.0, 60.5, 60.5),
        (40.0, 100.0, 101.0, 0.0, -60.0),
        (100.0, 100.0, 100.0, 60.5, 0.5),  # somebody has set a clock right
    ],
)
def test_what_is_known_stays_while_it_may_be_right(date, asked, answered, known, found) -> None:
    assert ahead_by(date, asked, answered, known) == found


def test_plans_go_by_the_clock_of_the_api_server() -> None:
    answers = iter([({"code": 503}, 503, 900.0), ({"items": []}, 200, -600.0), ({"items": []}, 200, None)])

    async def answer(_: web.Request) -> web.Response:
        body, status, ahead = next(answers)
        date = "some day" if ahead is None else formatdate(Clock().wall() + ahead, usegmt=True)
        return web.json_response(body, status=status, headers={"Date": date})

    async def body() -> None:
        application = web.Application()
        application.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        client = KubeClient(Configuration(host=f"http://{host}:{port}"), NoCount(), Seconds(5.0))
        clock = ServerClock(lambda: client.ahead)
        try:
            with pytest.raises(ApiError):
                await client.get(kinds.TENANTS, "default", "digits")
            assert client.ahead == 0.0, "it may be that of a proxy"
            for _ in range(2):
                await client.get(kinds.TENANTS, "default", "digits")
                assert client.ahead == pytest.approx(-600.0, abs=2.0)
                assert clock.wall() - Clock().wall() == pytest.approx(-600.0, abs=2.0)
            assert clock.steady() == pytest.approx(Clock().steady(), abs=2.0)
        finally:
            await client.close()
            await runner.cleanup()

    asyncio.run(body())
