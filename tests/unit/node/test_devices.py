"""Devices are taken only where they can be used, and the message says what is missing."""

from __future__ import annotations

import ctypes

import pytest

from treadle_agent.executor import devices
from treadle_agent.executor.devices import DeviceError, choose_device


class Driver:
    """libcuda as far as it is asked."""

    def __init__(self, status: int = 0, count: int = 1) -> None:
        self.status, self.count = status, count

    def cuInit(self, _: int) -> int:  # noqa: N802 - CUDA's name
        return self.status

    def cuDeviceGetCount(self, count) -> int:  # noqa: N802 - CUDA's name
        count._obj.value = self.count
        return 0


@pytest.fixture
def machine(monkeypatch):
    """A machine with these modules and this driver."""

    def make(*modules: str, driver: Driver | None = None) -> None:
        def load(_: str) -> Driver:
            if driver is None:
                raise OSError
            return driver

        monkeypatch.setattr(devices, "find_spec", lambda name: object() if name in modules else None)
        monkeypatch.setattr(ctypes, "CDLL", load)

    return make


CUDA = ("treadle_agent.executor.cuda", "cupy")


def test_a_machine_with_a_gpu(machine):
    machine(*CUDA, driver=Driver())
    assert choose_device("auto") == choose_device("cuda") == "cuda"
    assert choose_device("host") == "host"


@pytest.mark.parametrize(
    ("modules", "driver", "message"),
    [
        ((), Driver(), "cannot serve on a GPU yet"),
        (CUDA[:1], Driver(), r"CuPy is not installed: pip install 'treadle.* agent\.image\.tag"),
        (CUDA, None, "no NVIDIA driver"),
        (CUDA, Driver(status=100), "cuInit returns 100"),
        (CUDA, Driver(count=0), "sees no GPU"),
    ],
)
def test_a_machine_without_one(machine, modules, driver, message):
    machine(*modules, driver=driver)
    assert choose_device("auto") == "host"
    with pytest.raises(DeviceError, match=message) as caught:
        choose_device("cuda")
    assert "--device host" in str(caught.value)


def test_simulated_gpus(machine):
    machine()
    assert choose_device("simulated:H100") == "simulated:H100"
    for asked in ("simulated:X", "simulated:", "simulated"):
        with pytest.raises(DeviceError, match=r"the simulated GPUs are .*H100"):
            choose_device(asked)


@pytest.mark.parametrize("asked", ["", "gpu", "cuda:0"])
def test_no_such_device(machine, asked):
    machine(*CUDA, driver=Driver())
    with pytest.raises(DeviceError, match="must be auto, host, cuda or simulated:MODEL"):
        choose_device(asked)
