"""What the doctor concludes from a machine's facts, and that it sees them."""

from __future__ import annotations

import json
import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from treadle.__main__ import main
from treadle.doctor.finding import Finding, Verdict, lines
from treadle.doctor.looking import NVIDIA, look
from treadle.doctor.machine import LEAST_MEMORY, Machine, judge
from treadle_api.units import Bytes

NO_DRIVER = "there is no NVIDIA driver; install it"
HOST = Machine(
    gpus=0, cuda=NO_DRIVER, barred=(), mig_is_empty=False, mps="", memory=Bytes(1 << 34), shared_memory="", cache="",
    open_files=1 << 20,
)  # fmt: skip
WITH_GPU = replace(HOST, gpus=1)


def found(machine: Machine) -> dict[str, Finding]:
    return {finding.subject: finding for finding in judge(machine)}


@pytest.mark.parametrize("machine", [HOST, replace(WITH_GPU, cuda=""), replace(HOST, open_files=-1)])
def test_a_machine_that_lacks_nothing(machine: Machine) -> None:
    assert {finding.verdict for finding in judge(machine)} == {Verdict.OK}
    assert not any(finding.fix for finding in judge(machine))


@pytest.mark.parametrize(
    ("machine", "subject", "verdict", "says", "fix"),
    [
        (WITH_GPU, "GPU", Verdict.NOTE, "there is no NVIDIA driver", "install it"),
        (replace(WITH_GPU, barred=("/dev/nvidia0",)), "GPU", Verdict.NOTE, "may not open /dev/nvidia0", "--gpus all"),
        (replace(WITH_GPU, mig_is_empty=True), "GPU", Verdict.NOTE, "MIG instances", "nvidia-smi mig -cgi"),
        (replace(HOST, mps="/tmp/mps"), "MPS", Verdict.LACKS, "/tmp/mps", "unset CUDA_MPS_PIPE_DIRECTORY"),
        (replace(HOST, memory=Bytes(LEAST_MEMORY - 1)), "memory", Verdict.NOTE, "1023 MiB", "1024 MiB"),
        (replace(HOST, shared_memory="memfd; allow"), "shared memory", Verdict.LACKS, "memfd", "allow"),
        (replace(HOST, cache="/c cannot be written; do"), "cache folder", Verdict.LACKS, "/c cannot be", "do"),
        (replace(HOST, open_files=1024), "open files", Verdict.NOTE, "may have 1024", "ulimit -n 4096"),
    ],
)
def test_what_is_lacking_is_told_with_its_fix(
    machine: Machine, subject: str, verdict: Verdict, says: str, fix: str
) -> None:
    finding = found(machine)[subject]
    assert finding.verdict is verdict
    assert says in finding.says
    assert fix in finding.fix
    assert [one for one in judge(machine) if one.fix] == [finding]


def test_how_it_reads() -> None:
    assert list(
        lines([Finding("GPU", Verdict.NOTE, "so it is", "do this"), Finding("memory", Verdict.OK, "enough")])
    ) == [
        "note   GPU            so it is",
        "                      fix: do this",
        "ok     memory         enough",
    ]


def plug_in(pci: Path, name: str, vendor: str, kind: str) -> None:
    (pci / name).mkdir(parents=True)
    (pci / name / "vendor").write_text(f"{vendor}\n")
    (pci / name / "class").write_text(f"{kind}\n")


def test_gpus_on_the_bus_are_seen_without_a_driver(tmp_path: Path) -> None:
    plug_in(tmp_path, "0", NVIDIA, "0x030200")
    plug_in(tmp_path, "1", NVIDIA, "0x040300")  # its sound
    plug_in(tmp_path, "2", "0x8086", "0x030000")
    assert look(pci=tmp_path).gpus == 1
    assert look(pci=tmp_path / "none").gpus == 0


def test_device_files_that_may_not_be_opened_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nvidia0", "nvidiactl", "null"):
        (tmp_path / name).touch()
    (tmp_path / "nvidia-caps").mkdir()
    monkeypatch.setattr(os, "access", lambda path, _: path.name != "nvidia0")
    assert look(devices=tmp_path).barred == (f"{tmp_path}/nvidia0",)


def test_a_daemon_that_cuda_would_not_find_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look().mps == ""
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    assert look().mps == str(tmp_path)
    (tmp_path / "control").touch()
    assert look().mps == ""


def test_shared_memory_that_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", refused)
    assert look().shared_memory.startswith("memfd_create: Operation not permitted; ")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "treadle"


def test_the_command_tells_and_its_exit_code_says_whether_it_can_serve(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor"]) == 0
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    printed = capsys.readouterr().out
    assert "ok     cache folder   it can be written\n" in printed
    assert f"a process may have {limit}" in printed
    assert list((cache / "users").iterdir()) == []

    shutil.rmtree(cache)
    cache.touch()
    assert main(["doctor", "--json"]) == 1
    told = {one["subject"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert told["cache folder"]["verdict"] == "lacks"
    assert told["cache folder"]["says"].startswith(f"the cache folder {cache} cannot be written: ")
    assert "XDG_CACHE_HOME" in told["cache folder"]["fix"]
