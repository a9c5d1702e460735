from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from treadle_agent.executor.flight_record import FlightRecord
from treadle_agent.executor.library import Library
from treadle_agent.executor.loading import LoadingThread
from treadle_agent.executor.protocol import FLIGHT_RECORD_BYTES, Refused, TierSpec, Version
from treadle_agent.executor.tuner import HostTuner
from treadle_agent.program.artifact import ARTIFACT_VERSION, Artifact, TensorSpec
from treadle_api.replica import LoadedReason
from treadle_api.tenant import Precision


def test_a_fault_of_our_own_ends_the_executor_and_not_the_loading_thread_alone() -> None:
    def forget(_: Any) -> None:
        raise KeyError("a digest that no row has")

    woken = threading.Event()
    record = FlightRecord(memoryview(bytearray(FLIGHT_RECORD_BYTES)))
    library: Any = SimpleNamespace(begin=lambda: None, forget=forget)
    loading = LoadingThread(library, record, woken.set)
    loaded: Any = SimpleNamespace(id=1, loaded_tiers=[object()])
    loading.unload(loaded)
    assert woken.wait(10.0)
    with pytest.raises(KeyError, match="a digest"):
        loading.collect()


def test_a_precision_that_the_device_has_not_is_a_refusal_of_its_own_before_anything_is_loaded(tmp_path: Path) -> None:
    spec = (TensorSpec("x", "float32", (4, 4)),)
    artifact = Artifact(ARTIFACT_VERSION, "m", "", spec, spec, False, (), 0, (), "", {}, {})
    (tmp_path / "artifact.json").write_bytes(msgspec.json.encode(artifact))
    woken = threading.Event()
    record = FlightRecord(memoryview(bytearray(FLIGHT_RECORD_BYTES)))
    loading = LoadingThread(Library(HostTuner(), max_problems=4), record, woken.set)
    tier = TierSpec("half", 90.0, str(tmp_path), Precision.FLOAT16)
    loading.load(Version(7, "digits", 1.0, 5, 8, (tier,)), lambda _: pytest.fail("it is not to be installed"))
    assert woken.wait(10.0)
    [refused] = loading.collect()
    assert isinstance(refused, Refused)
    assert (refused.version, refused.cause, refused.tier) == (7, LoadedReason.PRECISION_UNSUPPORTED, "half")
    assert refused.reason.startswith("precision: this device computes float32 only: set precision Float32")
