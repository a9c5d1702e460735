"""The images for nodes with GPUs, on a machine without one: CuPy finds its libraries, and their compiler our kernels.

No kernel runs. `make cuda-images` builds them and runs this.
"""

from __future__ import annotations

import json
import subprocess

import pytest

from images import container
from images.recipe import Image

pytestmark = pytest.mark.cuda_images

WRITABLE = ("/tmp:mode=1777", "/var/cache/treadle:mode=1777")
LIBRARIES = """
import ctypes, json
import cupy
from cupy_backends.cuda.libs import cublas, nvrtc
from treadle_agent.executor.cuda.variants import ARCHITECTURES, OPTIONS, variants
known = sorted(set(nvrtc.getSupportedArchs()) & set(ARCHITECTURES))
for variant in variants():
    for architecture in known:
        program = nvrtc.createProgram(variant.source, "kernels.cu", [], [])
        nvrtc.compileProgram(program, [f"--gpu-architecture=sm_{architecture}", *OPTIONS])
        assert nvrtc.getCUBIN(program).startswith(b"\\x7fELF")
        nvrtc.destroyProgram(program)
with open("/proc/self/maps") as maps:
    loaded = {line.split("/")[-1].split(".so")[0] for line in maps if ".so" in line}
print(json.dumps([nvrtc.getVersion()[0], known, sorted(loaded & {"libcublas", "libcublasLt", "libnvrtc"})]))
"""


def run(image: Image, *words: str, entrypoint: str) -> subprocess.CompletedProcess[str]:
    command = container.run(image, f"treadle-{image.name}-test", *words, entrypoint=entrypoint, writable=WRITABLE)
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=600)


def test_cupy_finds_its_libraries_and_every_kernel_is_compiled_for_every_gpu_they_know(cuda_image: Image) -> None:
    done = run(cuda_image, "-c", LIBRARIES, entrypoint="python")
    assert done.returncode == 0, done.stderr
    version, known, loaded = json.loads(done.stdout)
    assert f"CUDA={version}" in cuda_image.arguments
    assert known == ([70] if version == 12 else []) + [80, 90, 100, 120]  # CUDA 13 has left Volta behind
    assert loaded == ["libcublas", "libcublasLt", "libnvrtc"]


def test_where_there_is_no_driver_it_says_so_and_how_to_go_on(cuda_image: Image) -> None:
    done = run(cuda_image, "serve", "--device", "cuda", "-f", "/tmp", entrypoint="treadle")
    assert done.returncode == 2
    assert "there is no NVIDIA driver" in done.stderr
    assert "--device host" in done.stderr
