"""The kernels' own text compiled for this processor, behind checks that a GPU does not make."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

SHIM = Path(__file__).parent / "shim.hpp"
CACHE = Path(tempfile.gettempdir()) / f"treadle-kernels-{os.getuid()}"
# Hidden: what is inline in one library must not be taken for that of another.
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-Wno-attributes", "-ffp-contract=off", "-fvisibility=hidden")


class KernelFaultError(Exception):
    """Raised when a kernel does what a GPU would not survive, or answer at random; the message says which thread."""


def compiler() -> list[str]:
    """g++, or the compiler inside the wheel `ziglang`; raises AssertionError where there is neither."""
    if found := shutil.which("g++"):
        return [found]
    assert find_spec("ziglang"), "install g++, or: pip install -e '.[zig]', whose first use takes minutes"
    return [sys.executable, "-m", "ziglang", "c++"]


def shared_library(source: str, *flags: str) -> ctypes.CDLL:
    """Compile and load, once for each text; a file of its own each time, since libraries keep state."""
    CACHE.mkdir(mode=0o700, exist_ok=True)
    key = hashlib.sha256("\0".join((source, SHIM.read_text(), *flags, *compiler())).encode()).hexdigest()
    path = CACHE / f"{key}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            text, built = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
            text.write_text(source)
            done = subprocess.run(
                [*compiler(), *flags, f"-I{SHIM.parent}", "-o", str(built), str(text)],
                capture_output=True, text=True, check=False, timeout=240,
            )  # fmt: skip
            if done.returncode:
                raise KernelFaultError(f"does not compile:\n{done.stderr[:4000]}")
            built.rename(path)
    return ctypes.CDLL(str(path))


class HostKernels:
    """Kernels `names` of a CUDA text."""

    def __init__(self, source: str, names: Sequence[str]) -> None:
        exported = "".join(
            f'extern "C" __attribute__((visibility("default"))) const char* run_{name}'
            "(const unsigned* shape, void** arguments, unsigned count)"
            f" {{ return shim::launch({name}, shape, arguments, count); }}\n"
            for name in names
        )
        self._library = shared_library(f'#include "{SHIM.name}"\n{source}\n{exported}', *FLAGS)
        for name in names:
            getattr(self._library, f"run_{name}").restype = ctypes.c_char_p

    def launch(
        self,
        name: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: Sequence[np.generic],
        ranges: Sequence[tuple[int, int]],
    ) -> None:
        """Run a kernel that may touch `ranges`, (start, end) addresses, alone.

        Raises:
            KernelFaultError: it touched something else, or its threads parted at a barrier.
        """
        pairs = np.array(sorted(ranges), np.uint64).reshape(-1, 2)
        self._library.shim_ranges(ctypes.c_void_p(pairs.ctypes.data), ctypes.c_size_t(len(pairs)))
        whole = (*grid, *(1,) * (3 - len(grid)), *block, *(1,) * (3 - len(block)))
        held = [np.asarray(one) for one in arguments]
        pointers = (ctypes.c_void_p * len(held))(*(one.ctypes.data for one in held))
        wrong = getattr(self._library, f"run_{name}")((ctypes.c_uint * 6)(*whole), pointers, len(held))
        if wrong is not None:
            raise KernelFaultError(f"{name}: {wrong.decode()}")

    def launch_recorded(
        self,
        name: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: Sequence[np.generic],
        ranges: Sequence[tuple[int, int]],
    ) -> tuple[list[int], list[int]]:
        """The same; returns which granules of 256 bytes it read, and which it wrote."""
        self._library.shim_record(ctypes.c_bool(True))
        try:
            self.launch(name, grid, block, arguments, ranges)
            return self._touched(writable=False), self._touched(writable=True)
        finally:
            self._library.shim_record(ctypes.c_bool(False))

    def _touched(self, *, writable: bool) -> list[int]:
        count = self._library.shim_touched
        count.restype = ctypes.c_size_t
        granules = np.empty(count(ctypes.c_bool(writable), None), np.uint64)
        count(ctypes.c_bool(writable), ctypes.c_void_p(granules.ctypes.data))
        found: list[int] = granules.tolist()
        return found
