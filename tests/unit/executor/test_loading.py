from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from treadle_agent.executor.flight_record import FlightRecord
from treadle_agent.executor.loading import LoadingThread
from treadle_agent.executor.protocol import FLIGHT_RECORD_BYTES


def test_a_fault_of_our_own_ends_the_executor_and_not_the_loading_thread_alone() -> None:
    def forget(_: Any) -> None:
        raise KeyError("a digest that no row has")

    woken = threading.Event()
    record = FlightRecord(memoryview(bytearray(FLIGHT_RECORD_BYTES)))
    library: Any = SimpleNamespace(forget=forget)
    loading = LoadingThread(library, record, woken.set)
    loaded: Any = SimpleNamespace(id=1, loaded_tiers=[object()])
    loading.unload(loaded)
    assert woken.wait(10.0)
    with pytest.raises(KeyError, match="a digest"):
        loading.collect()
