"""A GPU that refuses: the whole cuda device on the stand-in for CuPy, its kernels computed on this processor."""

from typing import NoReturn

import numpy as np
import pytest
from strict_cupy import World, modules

from treadle_agent.executor.cuda.gpu import Gpu


class LostError(BaseException):
    """Raised where an executor's process would end."""


def lose(reason: str) -> NoReturn:
    raise LostError(reason)


@pytest.fixture
def lost() -> type[LostError]:
    return LostError


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def gpu(world: World) -> Gpu:
    cupy, cublas = modules(world)
    made = Gpu(cupy, cublas, lose)
    made.strict_cublas = cublas
    return made


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
