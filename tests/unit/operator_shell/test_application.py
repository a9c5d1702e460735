"""What fails the operator's liveness."""

from __future__ import annotations

import asyncio

import pytest
from kubernetes.aio.client import Configuration

from treadle_operator import application, planner
from treadle_operator.__main__ import _parser, _settings


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
