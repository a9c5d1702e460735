"""The GPU as this package sees it: the few calls of CuPy that are made, in one place.

CuPy's current stream and its cuBLAS handle belong to a thread, and its pools keep freed memory by stream: so each
thread that uses the GPU has a stream of its own here, and one for copies to the host; what crosses streams waits for
an event, or for the host.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from treadle_agent.executor.cuda.variants import OPTIONS
from treadle_agent.executor.protocol import GPU_LOST

Bytes = npt.NDArray[np.uint8]

MEMORY_SHARE = 0.9  # of what is free at the start; the rest is the context's, cuBLAS's and the module loader's
URGENT, PATIENT = -1, 0  # priorities of streams: a launch goes before the copies of a model that is being loaded
_FLOAT32, _DEFAULT_ALGORITHM = 0, -1  # CUDA_R_32F, CUBLAS_GEMM_DEFAULT
_COMPUTE_FLOAT32, _COMPUTE_TF32 = 68, 77  # CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32
_DEFAULT_MATH, _TF32_MATH = 0, 3  # CUBLAS_DEFAULT_MATH, CUBLAS_TF32_TENSOR_OP_MATH


class Gpu:
    """Device 0 of what CUDA sees.

    `cupy` and `cublas`: the modules. `end`: called with the reason when CUDA reports an error; its context is lost
    then, on every thread, so this process must end: its successor replays what is unanswered.
    """

    def __init__(self, cupy: Any, cublas: Any, end: Callable[[str], NoReturn]) -> None:
        self._end = end
        self._cupy, self._cublas = cupy, cublas
        cupy.cuda.Device(0).use()
        free, _ = cupy.cuda.runtime.memGetInfo()
        self.limit = int(free * MEMORY_SHARE)
        self._pool = cupy.cuda.MemoryPool()
        self._pool.set_limit(size=self.limit)
        self._threads = threading.local()
        self._modules: dict[str, Any] = {}
        self._lost = (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError)

    @property
    def identity(self) -> tuple[str, ...]:
        """The device's name, its driver, and the version of CuPy, which brings cuBLAS and the compiler."""
        runtime = self._cupy.cuda.runtime
        name = runtime.getDeviceProperties(0)["name"].decode()
        return name, f"driver {runtime.driverGetVersion()}", f"cupy {self._cupy.__version__}"

    @property
    def capability(self) -> tuple[int, int]:
        """The device's compute capability."""
        properties = self._cupy.cuda.runtime.getDeviceProperties(0)
        return int(properties["major"]), int(properties["minor"])

    @property
    def used(self) -> int:
        """Bytes allocated."""
        return int(self._pool.used_bytes())

    def be_patient(self) -> None:
        """Let other threads' work go before the calling thread's, which has used no stream yet."""
        assert not hasattr(self._threads, "stream"), "a stream keeps its priority"
        self._threads.priority = PATIENT

    @contextmanager
    def stream(self) -> Iterator[Any]:
        """The calling thread's stream, made current."""
        try:
            stream = getattr(self._threads, "stream", None)
            if stream is None:
                self._cupy.cuda.Device(0).use()
                priority = getattr(self._threads, "priority", URGENT)
                stream = self._threads.stream = self._cupy.cuda.Stream(non_blocking=True, priority=priority)
            with stream:
                yield stream
        except self._lost as error:
            self._end(str(error))

    def outlet(self) -> Any:
        """The calling thread's stream for copies to the host, which run beside its launches. Call inside `stream`."""
        stream = getattr(self._threads, "outlet", None)
        if stream is None:
            stream = self._threads.outlet = self._cupy.cuda.Stream(non_blocking=True, priority=URGENT)
        return stream

    def another_stream(self) -> Any:
        """One more stream of the calling thread, beside its own."""
        return self._cupy.cuda.Stream(non_blocking=True, priority=PATIENT)

    def allocate(self, nbytes: int) -> Any:
        """Memory of the device; raises CuPy's OutOfMemoryError beyond the limit. Call inside `stream`."""
        return self._pool.malloc(max(nbytes, 1))

    def pinned(self, nbytes: int) -> tuple[Any, Bytes]:
        """Host memory that copies can run from and to beside the host: its pointer, and a view."""
        memory = self._cupy.cuda.alloc_pinned_memory(max(nbytes, 1))
        return memory, np.frombuffer(memory, np.uint8, nbytes)

    def upload(self, data: bytes | Bytes, stream: Any) -> Any:
        """A copy of `data` in device memory, complete when this returns."""
        memory = self.allocate(len(data))
        pinned, view = self.pinned(len(data))
        view[:] = np.frombuffer(data, np.uint8)
        memory.copy_from_host_async(pinned.ptr, len(data), stream)
        stream.synchronize()
        return memory

    def event(self, *, timing: bool) -> Any:
        """An event of the device; raises where there is none left."""
        return self._cupy.cuda.Event(disable_timing=not timing)

    def seconds(self, begin: Any, end: Any) -> float:
        """Time between two events that have happened."""
        return float(self._cupy.cuda.get_elapsed_time(begin, end)) / 1e3

    def function(self, source: str, name: str) -> Any:
        """A kernel of a text; compiled once, and kept by CuPy across processes."""
        module = self._modules.get(source)
        if module is None:
            module = self._modules[source] = self.compile(source)
        return module.get_function(name)

    def compile(self, source: str) -> Any:
        """A module of its own, for a text that goes with its program."""
        module = self._cupy.RawModule(code=source, options=OPTIONS)
        module.compile()  # now, rather than at the first launch
        return module

    def record(self, launches: Iterable[Callable[[], None]]) -> Any:
        """A graph of these launches of kernels, which may be launched on any stream; nothing runs now.

        Capture is relaxed, which is CuPy's default: in any other mode it would forbid other threads to allocate.
        """
        stream = getattr(self._threads, "recording", None)
        if stream is None:
            self._cupy.cuda.Device(0).use()
            # Kernels of a graph have the priority of the stream that they were captured on.
            stream = self._threads.recording = self._cupy.cuda.Stream(non_blocking=True, priority=URGENT)
        with stream:
            stream.begin_capture()
            try:
                for launch in launches:
                    launch()
            finally:
                graph = stream.end_capture()
            graph.upload(stream)
            stream.synchronize()
        return graph

    def multiply_by_stride(
        self, transposed: tuple[bool, bool], extents: tuple[int, int, int], alpha: float, beta: float,
        left: tuple[int, int, int], right: tuple[int, int, int], result: tuple[int, int, int], count: int,
        *, tf32: bool = False,
    ) -> None:  # fmt: skip
        """CuBLAS in float32, column-major: each operand is (address, leading dimension, elements to the next).

        `tf32`: the factors may be rounded to TF32; otherwise they are not, since the handle's mode is the default.
        """
        factor, rest = np.array(alpha, np.float32), np.array(beta, np.float32)
        self._cublas.gemmStridedBatchedEx(
            self._handle(), *map(int, transposed), *extents, factor.ctypes.data,
            left[0], _FLOAT32, left[1], left[2], right[0], _FLOAT32, right[1], right[2], rest.ctypes.data,
            result[0], _FLOAT32, result[1], result[2], count,
            _COMPUTE_TF32 if tf32 else _COMPUTE_FLOAT32, _DEFAULT_ALGORITHM,
        )  # fmt: skip

    def multiply_by_pointer(
        self, transposed: tuple[bool, bool], extents: tuple[int, int, int], alpha: float, beta: float,
        left: tuple[int, int], right: tuple[int, int], result: tuple[int, int], count: int, *, tf32: bool = False,
    ) -> None:  # fmt: skip
        """The same through device arrays of addresses: each operand is (address of the array, leading dimension).

        Here the handle's mode allows TF32; it is the thread's, and the next product's, so it is set back at once.
        """
        factor, rest, handle = np.array(alpha, np.float32), np.array(beta, np.float32), self._handle()
        if tf32:
            self._cublas.setMathMode(handle, _TF32_MATH)
        try:
            self._cublas.sgemmBatched(
                handle, *map(int, transposed), *extents, factor.ctypes.data, *left, *right, rest.ctypes.data,
                *result, count,
            )  # fmt: skip
        finally:
            if tf32:
                self._cublas.setMathMode(handle, _DEFAULT_MATH)

    def _handle(self) -> int:
        return int(self._cupy.cuda.device.get_cublas_handle())


def open_gpu() -> Gpu:
    """The real one; raises ImportError, or CuPy's error where there is no device."""
    import cupy
    from cupy_backends.cuda.libs import cublas

    return Gpu(cupy, cublas, _end_process)


def _end_process(reason: str) -> NoReturn:
    sys.stderr.write(f"the GPU is lost: {reason}\n")
    sys.stderr.flush()
    os._exit(GPU_LOST)


def copy_in(memory: Any, offset: int, pinned: Any, start: int, nbytes: int, stream: Any) -> None:
    """Begin a copy of `nbytes` from pinned memory to device memory."""
    (memory + offset).copy_from_host_async(ctypes.c_void_p(pinned.ptr + start), nbytes, stream)


def copy_out(memory: Any, offset: int, pinned: Any, start: int, nbytes: int, stream: Any) -> None:
    """Begin a copy of `nbytes` from device memory to pinned memory."""
    (memory + offset).copy_to_host_async(ctypes.c_void_p(pinned.ptr + start), nbytes, stream)
