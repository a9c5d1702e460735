"""NVRTC without a driver: source in, cubin and the assembler's account of registers, shared memory and spills out."""

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from treadle_agent.executor.cuda.variants import OPTIONS


@dataclass(frozen=True)
class Used:
    """What one kernel takes, as the assembler tells it."""

    registers: int
    shared: int
    stack: int
    spilled: int


Compile = Callable[[str, int], dict[str, Used]]

_KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)


class Nvrtc:
    def __init__(self) -> None:
        spec = find_spec("nvidia.cuda_nvrtc")
        assert spec is not None, "install the test extra: pip install -e '.[test]'"
        assert spec.submodule_search_locations
        folder = Path(next(iter(spec.submodule_search_locations))) / "lib"
        self._library = ctypes.CDLL(str(folder / "libnvrtc.so.12"))

    def __call__(self, source: str, architecture: int) -> dict[str, Used]:
        library, program = self._library, ctypes.c_void_p()
        assert library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
        options = (f"--gpu-architecture=sm_{architecture}", "--ptxas-options=-v", *OPTIONS)
        given = (ctypes.c_char_p * len(options))(*(one.encode() for one in options))
        try:
            code = library.nvrtcCompileProgram(program, len(options), given)
            log = self._bytes(program, "nvrtcGetProgramLog").decode()
            assert code == 0, log
            cubin = self._bytes(program, "nvrtcGetCUBIN")
            assert cubin.startswith(b"\x7fELF")
        finally:
            library.nvrtcDestroyProgram(ctypes.byref(program))
        return {match["name"]: _used(match) for match in _KERNEL.finditer(log)}

    def _bytes(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        assert getattr(self._library, f"{what}Size")(program, ctypes.byref(size)) == 0
        buffer = ctypes.create_string_buffer(size.value)
        assert getattr(self._library, what)(program, buffer) == 0
        return buffer.raw.rstrip(b"\0") if what.endswith("Log") else buffer.raw


def _used(match: re.Match[str]) -> Used:
    shared = re.search(r"(\d+) bytes smem", match["rest"])
    spilled = int(match["stores"]) + int(match["loads"])
    return Used(int(match["registers"]), int(shared[1]) if shared else 0, int(match["stack"]), spilled)
