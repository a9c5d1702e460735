"""Stands in for cuBLAS: the products that the cuda device asks for, on the stand-in's streams, with NumPy."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

import numpy as np
from strict_world import CUDARuntimeError, Operation, RefusedError, World, granules


class Cublas:
    """`computed`: in which precision each product was. A handle's mode holds until it is set again, as in cuBLAS."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.calls = {"stride": 0, "pointer": 0}
        self.computed: list[str] = []
        self._modes: dict[int, int] = {}

    def handle(self) -> int:
        thread = threading.get_ident()
        return self._world.handles.setdefault(thread, 0x1000 + len(self._world.handles))

    def setMathMode(self, handle: int, mode: int) -> None:  # noqa: N802 - cuBLAS's
        assert mode in {0, 3}, "cuBLAS's default, or TF32"
        self._own(handle)
        self._modes[handle] = mode

    def _own(self, handle: int) -> None:
        if self._world.handles.get(threading.get_ident()) != handle:
            raise RefusedError("wrong thread: a cuBLAS handle belongs to the thread that it was made for")

    def gemmStridedBatchedEx(  # noqa: N802 - cuBLAS's
        self, handle: int, transa: int, transb: int, m: int, n: int, k: int, alpha: int, a: int, a_type: int, lda: int,
        a_step: int, b: int, b_type: int, ldb: int, b_step: int, beta: int, c: int, c_type: int, ldc: int, c_step: int,
        count: int, compute: int, algorithm: int,
    ) -> None:  # fmt: skip
        assert (a_type, b_type, c_type, algorithm) == (0, 0, 0, -1), "float32 operands"
        assert compute in {68, 77}, "float32, or with TF32"
        self.calls["stride"] += 1
        problems = [tuple(base + 4 * step * index for base, step in ((a, a_step), (b, b_step), (c, c_step)))
                    for index in range(count)]  # fmt: skip
        self._multiply(handle, (transa, transb), (m, n, k), (alpha, beta), lambda _: problems, (lda, ldb, ldc),
                       tf32=compute == 77)  # fmt: skip

    def sgemmBatched(  # noqa: N802 - cuBLAS's
        self, handle: int, transa: int, transb: int, m: int, n: int, k: int, alpha: int, a: int, lda: int, b: int,
        ldb: int, beta: int, c: int, ldc: int, count: int,
    ) -> None:  # fmt: skip
        self.calls["pointer"] += 1

        def problems(operation: Operation) -> list[tuple[int, ...]]:
            columns = []
            for table in (a, b, c):
                self._world.inside(table, 8 * count, pinned=False)
                self._world.access(operation, granules(table, 8 * count), write=False)
                columns.append(np.ctypeslib.as_array((ctypes.c_uint64 * count).from_address(table)).tolist())
            return list(zip(*columns, strict=True))

        self._multiply(handle, (transa, transb), (m, n, k), (alpha, beta), problems, (lda, ldb, ldc))

    def _multiply(
        self, handle: int, transposed: tuple[int, int], extents: tuple[int, int, int], scalars: tuple[int, int],
        problems: Callable[[Operation], list[tuple[int, ...]]], leading: tuple[int, int, int], *, tf32: bool = False,
    ) -> None:  # fmt: skip
        world = self._world
        self._own(handle)
        tf32 = tf32 or self._modes.get(handle) == 3
        if tf32 and world.capability < (8, 0):
            raise RefusedError("TF32 on a GPU that has none: cuBLAS computes float32, and nobody is told")
        self.computed.append("tf32" if tf32 else "float32")
        m, n, k = extents
        alpha, beta = (ctypes.c_float.from_address(one).value for one in scalars)  # read by the host, at once
        shapes = ((k, m) if transposed[0] else (m, k), (n, k) if transposed[1] else (k, n), (m, n))
        for (rows, _), step in zip(shapes, leading, strict=True):
            if step < rows:
                raise CUDARuntimeError("CUBLAS_STATUS_INVALID_VALUE: a leading dimension is less than the rows")

        def run(operation: Operation) -> None:
            for addresses in problems(operation):
                views = []
                for number, (address, (rows, columns), step) in enumerate(zip(addresses, shapes, leading, strict=True)):
                    nbytes = 4 * ((columns - 1) * step + rows)
                    world.inside(address, nbytes, pinned=False)
                    world.access(operation, granules(address, nbytes), write=number == 2)
                    flat = np.ctypeslib.as_array((ctypes.c_float * (nbytes // 4)).from_address(address))
                    views.append(np.lib.stride_tricks.as_strided(flat, (rows, columns), (4, 4 * step)))
                a, b, c = (_to_tf32(views[0]), _to_tf32(views[1]), views[2]) if tf32 else views
                product = alpha * ((a.T if transposed[0] else a) @ (b.T if transposed[1] else b))
                c[...] = product if beta == 0 else product + beta * c

        world.enqueue(run, world.stream())


def _to_tf32(values: np.ndarray) -> np.ndarray:
    """Rounded to the nearest float with 10 bits of mantissa, ties away from zero."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x1000) & ~np.uint32(0x1FFF)).view(np.float32)
