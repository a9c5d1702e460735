"""docs/cluster.md does what it says: its commands are run one after another, as they stand."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bed import page
from bed.cluster import TREE
from bed.program import Program

PAGE = TREE / "docs" / "cluster.md"
COMMAND = "make cluster"
PAGES = [TREE / "README.md", *sorted(TREE.glob("docs/*.md")), *sorted(TREE.glob("docs/runbooks/*.md"))]
EXPORT, README_SAYS = "export PATH=$PWD/.venv/bin:$PATH", "README.md#a-first-tenant"


@pytest.fixture
def bed(binaries: Path, tmp_path: Path) -> Iterator[Program]:
    """What `make cluster` runs, once Make has seen to the environment and the binaries."""
    environment = {**os.environ, "PYTHONPATH": str(TREE / "tests" / "cluster"), "PYTHONUNBUFFERED": "1"}
    program = Program("make cluster", [sys.executable, "-m", "bed"], environment, tmp_path / "log", TREE)
    program.start()
    yield program
    program.kill()


def shell_lines(path: Path) -> list[str]:
    """The lines of all shell blocks of a page."""
    return [line for block in page.blocks(path, "sh|console") for line in page.lines(block)]


def test_the_readme_says_what_the_page_says() -> None:
    readme = (TREE / "README.md").read_text().partition("## In a cluster")[2].partition("\n## ")[0]
    promised = [
        line.partition(" #")[0].strip() for line in re.findall(r"^(?:make|kubectl|python)\b.*$", readme, re.MULTILINE)
    ]
    assert promised[0] == COMMAND
    assert len(promised) >= 5
    rest = iter(shell_lines(PAGE))
    assert [line for line in promised if line not in rest] == [], "in the README, and not on the page in this order"


def test_the_readme_installs_what_the_page_installs() -> None:
    """On a node with real Pods tests/e2e types it."""
    readme = (TREE / "README.md").read_text().partition("\n## Install\n")[2]
    [typed] = re.findall(r"\A.*?^```sh\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert page.lines(typed) == page.lines(page.blocks(TREE / "docs" / "install.md", "sh|console")[0])


@pytest.mark.parametrize("name", ["operator", "agent", "cluster"])
def test_roles_are_applied_where_their_namespace_exists(name: str) -> None:
    lines = shell_lines(TREE / "docs" / f"{name}.md")
    [roles] = [number for number, line in enumerate(lines) if "charts/treadle/rbac" in line]
    assert "kubectl create namespace treadle-system" in lines[:roles]


def test_the_commands_of_the_page_work_in_turn(bed: Program, eventually) -> None:
    first, *blocks = page.blocks(PAGE, "sh")
    assert first.strip() == COMMAND
    export = bed.wait_for(r"^export KUBECONFIG=\S+ PATH=.*$", seconds=90).group()

    def shell(*typed: str) -> subprocess.CompletedProcess[str]:
        return page.in_a_shell(export, *typed, folder=TREE)

    alive = shell("""kubectl get inode -o jsonpath='{.items[*].status.conditions[?(@.type=="Alive")].status}'""")
    assert alive.stdout == "True True", "else the first tenants are refused"
    other = "kubectl apply -f examples/minimal.yaml\nkubectl wait it/minimal --for=condition=Ready --timeout=120s"
    done = shell(blocks[0], other, *blocks[1:], "kubectl delete it minimal")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}\n{bed.output}"
    assert re.search(r"^under-load +100ms +True +True", done.stdout, re.MULTILINE)
    assert "answered by medium" in done.stdout
    eventually(lambda: "No resources found" in shell("kubectl get it,ir").stderr, seconds=15)

    processes = [int(process) for process in re.findall(r"process (\d+)", bed.output)]
    assert len(processes) == 3
    bed.signal(signal.SIGINT)
    assert bed.wait(60) == 0
    eventually(lambda: not any(Path(f"/proc/{process}").exists() for process in processes))
    folder = Path(export.split("KUBECONFIG=")[1].split()[0]).parents[1]
    eventually(lambda: not folder.exists())


def test_interrupted_while_it_starts_it_does_not_say_that_it_is_up(bed: Program) -> None:
    bed.wait_for("starting a control plane")
    bed.signal(signal.SIGINT)
    assert bed.wait(90) == 0
    assert "export" not in bed.output
    assert "up:" not in bed.output


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_programs_are_called_by_name_and_the_page_says_by_which_path(path: Path) -> None:
    """One rule on all pages: the PATH has the virtual environment, as the README says once."""
    text = path.read_text()
    assert ".venv/bin/" not in text.replace(EXPORT, "")
    if any(re.match(r"(treadle|python examples)\b", line) for line in shell_lines(path)):
        assert any(words in text for words in (EXPORT, README_SAYS, "prints an `export` line"))
