"""What fails the operator's liveness, where it can be asked for it, and which clock it plans by."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import aiohttp
import pytest
from kubernetes.aio.client import Configuration

from treadle_api.units import Seconds
from treadle_operator import application, planner
from treadle_operator.__main__ import _parser, _settings
from treadle_operator.probes import Probes


def test_a_planner_that_is_stuck_fails_liveness_once_there_is_something_to_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        operator = application.Operator(Configuration(), _settings(_parser().parse_args([])))
        try:
            assert operator._faults() == []
            monkeypatch.setattr(planner, "_SILENT", -1.0)
            assert operator._faults() == [], "what has not begun is not stuck"
            operator._unready.clear()
            assert operator._faults() == ["the planner is stuck"]
        finally:
            await operator._client.close()

    asyncio.run(body())


def test_probes_are_answered_on_ipv4_and_ipv6_unless_a_host_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def answered(listen: str) -> list[str]:
        probes = Probes(list, list, bytes)
        await probes.start(*_settings(_parser().parse_args(["--listen", listen])).listen)
        found = []
        async with aiohttp.ClientSession() as session:
            for host in ("127.0.0.1", "[::1]"):
                with suppress(aiohttp.ClientConnectorError):
                    async with session.get(f"http://{host}:{port}/healthz") as response:
                        assert response.status == 200
                        found.append(host)
        await probes.stop()
        return found

    assert asyncio.run(answered(f":{port}")) == ["127.0.0.1", "[::1]"]
    assert asyncio.run(answered(f"[::1]:{port}")) == ["[::1]"]
    assert asyncio.run(answered(f"127.0.0.1:{port}")) == ["127.0.0.1"]


def test_plans_are_made_by_the_clock_that_stamps_the_objects() -> None:
    async def body() -> None:
        operator = application.Operator(Configuration(), _settings(_parser().parse_args([])))
        operator._client.ahead = Seconds(600.0)
        try:
            assert operator._planner._clock.wall() - operator._clock.wall() == pytest.approx(600.0, abs=5.0)
        finally:
            await operator._client.close()

    asyncio.run(body())
