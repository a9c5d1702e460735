"""A GPU that refuses: the whole cuda device on the stand-in for CuPy, its kernels computed on this processor."""

import os
from typing import Any, NoReturn

import numpy as np
import pytest
from nvrtc_compiler import Compile, Nvrtc
from strict_cupy import modules
from strict_world import World

from treadle_agent.executor.cuda.gpu import Gpu, open_gpu


class LostError(BaseException):
    """Raised where an executor's process would end."""


def lose(reason: str) -> NoReturn:
    raise LostError(reason)


@pytest.fixture
def lost() -> type[LostError]:
    return LostError


REAL = "TREADLE_REAL_GPU"  # set by `make gpu`: the same tests on the machine's GPU; what needs the stand-in is skipped


@pytest.fixture
def world() -> World:
    if os.environ.get(REAL):
        pytest.skip("looks into the stand-in")
    return World()


@pytest.fixture
def cupy_and_cublas(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return modules(request.getfixturevalue("world"))


@pytest.fixture
def gpu(request: pytest.FixtureRequest) -> Gpu:
    if os.environ.get(REAL):
        return open_gpu()
    return Gpu(*request.getfixturevalue("cupy_and_cublas"), lose)


class Slot:
    """Reads and writes values in the slots of a program on the GPU, through copies as the device makes them."""

    def __init__(self, gpu: Gpu, body) -> None:
        self.gpu, self.body = gpu, body

    def write(self, slot: int, value: int, array: np.ndarray) -> None:
        offset = slot * self.body.stride + self.body.program.offsets[value]
        with self.gpu.stream() as stream:
            pinned, view = self.gpu.pinned(array.nbytes)
            view[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            (self.body.memory + offset).copy_from_host_async(pinned.ptr, array.nbytes, stream)
            stream.synchronize()

    def read(self, slot: int, value: int) -> np.ndarray:
        type_ = self.body.program.values[value]
        offset = slot * self.body.stride + self.body.program.offsets[value]
        with self.gpu.stream() as stream:
            pinned, view = self.gpu.pinned(type_.nbytes)
            (self.body.memory + offset).copy_to_host_async(pinned.ptr, type_.nbytes, stream)
            stream.synchronize()
        return view.copy().view(type_.dtype).reshape(type_.shape)


@pytest.fixture
def slot_of():
    return Slot


@pytest.fixture(scope="session")
def nvrtc() -> Compile:
    return Nvrtc()
