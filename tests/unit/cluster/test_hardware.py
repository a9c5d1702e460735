"""What devices are: the host from /proc and its cgroup, GPUs from NVML."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest

from treadle_agent.cluster import nvml
from treadle_agent.cluster.hardware import describe, host_memory, processor_name
from treadle_agent.cluster.nvml import Nvml, NvmlError

CPUINFO = "processor\t: 0\nmodel name\t: Some(R) CPU  @ 2.00GHz\nflags\t\t: fpu\n"
MEMINFO = "MemTotal:       16384000 kB\nMemFree:         1000 kB\n"


@pytest.fixture
def machine(tmp_path):
    """/proc and a cgroup, with a limit in bytes, or "max"."""

    def make(limit: str | None = None, file: str = "memory.max"):
        (tmp_path / "cpuinfo").write_text(CPUINFO)
        (tmp_path / "meminfo").write_text(MEMINFO)
        if limit is not None:
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).write_text(f"{limit}\n")
        return tmp_path

    return make


def test_the_host(machine):
    assert processor_name(machine()) == "Some(R) CPU  @ 2.00GHz"
    found = describe("host", Nvml())
    assert found.id == "host"
    assert found.model
    assert found.memory > 1 << 28


def test_a_container_has_what_its_cgroup_allows(machine):
    whole = 16384000 * 1024
    for limit, expected in ((None, whole), ("max", whole), ("1073741824", 1 << 30), ("9" * 18, whole)):
        folder = machine(limit)
        assert host_memory(folder, folder) == expected, limit


def test_a_container_under_cgroups_of_version_1_has_its_share_too(machine):
    for limit, expected in ((str(1 << 63), 16384000 * 1024), ("1073741824", 1 << 30)):  # without a limit: a huge one
        folder = machine(limit, "memory/memory.limit_in_bytes")
        assert host_memory(folder, folder) == expected, limit


def test_a_simulated_gpu_says_that_it_is():
    found = describe("simulated:V100", Nvml())
    assert (found.id, found.model) == ("simulated:V100", "simulated V100")
    assert found.memory >= 16e9


class Library:
    """NVML with one GPU, as far as it is asked."""

    def __init__(self, errors: int = 0, *, mig: int = 0, instances: tuple[int, ...] = ()) -> None:
        self.errors = errors
        self.mig = mig
        self.instances = instances
        self.uuid, self.capability = "GPU-1234", [9, 0]
        self.asked: list[object] = []
        self.running = 0

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's names, here and below
        self.running += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.running -= 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        self.asked.append(index)
        return "handle"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        self.asked.append(uuid)
        if uuid == "GPU-lost":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return "handle"

    def nvmlDeviceGetMemoryInfo(self, _: str) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=80 << 30)

    def nvmlDeviceGetUUID(self, _: str) -> str:  # noqa: N802
        return self.uuid

    def nvmlDeviceGetCudaComputeCapability(self, _: str) -> list[int]:  # noqa: N802
        if not self.capability:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return self.capability

    def nvmlDeviceGetName(self, _: str) -> str:  # noqa: N802
        return "NVIDIA H100  80GB"

    def nvmlDeviceGetTotalEccErrors(self, *_: object) -> int:  # noqa: N802
        if self.errors < 0:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return self.errors

    def nvmlDeviceGetMigMode(self, _: str) -> tuple[int, int]:  # noqa: N802
        if self.mig < 0:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return self.mig, self.mig

    def nvmlDeviceGetMaxMigDeviceCount(self, _: str) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, _: str, index: int) -> str:  # noqa: N802
        if index not in self.instances:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return "an instance"


@pytest.fixture
def library(monkeypatch):
    def use(made: Library) -> Library:
        for name in (one for one in dir(made) if one.startswith("nvml")):
            monkeypatch.setattr(nvml.pynvml, name, getattr(made, name))
        return made

    return use


@pytest.mark.parametrize(
    ("visible", "asked"), [("", 0), ("2,3", 2), ("GPU-abcd,GPU-ef", "GPU-abcd"), ("MIG-abcd", "MIG-abcd"), ("all", 0)]
)
def test_the_gpu_that_cuda_sees_first(library, monkeypatch, visible, asked):
    made = library(Library())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    it = Nvml()
    found = describe("cuda", it)
    assert (found.id, found.model, found.memory) == ("GPU-1234", "NVIDIA H100 80GB", 80 << 30)
    assert made.asked == [asked]
    it.close()
    assert made.running == 0


@pytest.mark.parametrize(
    ("uuid", "capability", "tf32"),
    [("GPU-1", [7, 5], False), ("GPU-1", [8, 0], True), ("GPU-1", [12, 0], True), ("MIG-1", [], True)],
)
def test_gpus_compute_float16_and_those_since_ampere_tf32(library, uuid, capability, tf32):
    made = library(Library())
    made.uuid, made.capability = uuid, capability
    found = describe("cuda", Nvml()).precisions
    assert found == (("Float32", "TF32", "Float16") if tf32 else ("Float32", "Float16"))
    assert describe("simulated:A100", Nvml()).precisions == describe("host", Nvml()).precisions == ("Float32",)


@pytest.mark.parametrize(("errors", "said"), [(0, ""), (3, "3 uncorrected ECC errors"), (-1, "")])
def test_memory_errors_are_a_fault(library, errors, said):
    library(Library(errors))
    assert Nvml().fault("GPU-1234").startswith(said)
    assert bool(Nvml().fault("GPU-1234")) is bool(said)


def test_a_gpu_that_is_lost_is_a_fault(library):
    library(Library())
    assert "lost" in Nvml().fault("GPU-lost").lower()


@pytest.mark.parametrize(
    ("mig", "instances", "empty"), [(1, (), True), (1, (3,), False), (0, (), False), (-1, (), False)]
)
def test_a_gpu_to_be_used_in_parts_that_has_none(library, mig, instances, empty):
    library(Library(mig=mig, instances=instances))
    assert Nvml().mig_is_empty("") is empty


def test_without_a_driver_it_says_what_to_do(monkeypatch):
    def none() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(nvml.pynvml, "nvmlInit", none)
    it = Nvml()
    with pytest.raises(NvmlError, match="nvidia-smi"):
        it.gpu("")
    assert not it.mig_is_empty("")
    it.close()
