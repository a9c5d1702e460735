"""What the agent learns of a GPU through pynvml, from a loadable library that fails on demand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import kernels_on_host
import pytest

# In a process of its own: pynvml keeps the library that it found first, for good.
SCRIPT = """
import json, sys
from pathlib import Path
from treadle_agent.cluster.nvml import Nvml, NvmlError
state, nvml, told = Path(sys.argv[1]), Nvml(), []
for lines in json.loads(sys.argv[2]):
    state.write_text(lines)
    try:
        gpu = nvml.gpu("")
        told.append([gpu.uuid, gpu.model, gpu.memory, nvml.fault(gpu.uuid), gpu.tf32])
    except NvmlError as error:
        told.append([str(error)])
told.append([nvml.fault("GPU-unknown")])
nvml.close()
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(kernels_on_host.__file__).with_name("fake_nvml.c")
    command = [*kernels_on_host.compiler(), "-x", "c", "-shared", "-fPIC"]
    subprocess.run(
        [*command, "-Wl,-soname,libnvidia-ml.so.1", "-o", str(folder / "libnvidia-ml.so.1"), str(source)],
        check=True, timeout=120,
    )  # fmt: skip
    return folder


def told(library: Path, states: list[str]) -> list[list]:
    state = library / "state"
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "TREADLE_FAKE_NVML": str(state)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(state), json.dumps(states)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_facts_and_failures(library: Path) -> None:
    uuid = "GPU-00000000-0000-4000-8000-000000000001"
    healthy, consumer, failing, lost, unknown = told(
        library, ["memory 17179869184\n", "ecc -1\nmajor 7\nminor 5\n", "ecc 3\n", "lost 1\n"]
    )
    assert healthy == [uuid, "NVIDIA Fake-1", 1 << 34, "", True]
    assert consumer[3:] == ["", False]
    assert failing[3] == "3 uncorrected ECC errors since the driver was loaded"
    assert "GPU is lost" in lost[0]
    assert "NVML" in unknown[0]
