"""One real control plane for all tests here, and the ways they use it. The harness itself is in `bed/`."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bed.addresses import free_port, own_address
from bed.cluster import Cluster
from bed.eventually import eventually
from bed.program import Program
from bed.proxy import Proxy
from controlplane import cache

SKIPPED = "no control plane"
PROGRAMS = pytest.StashKey[list[Program]]()


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The folder that `make controlplane` fills. Without it: skipped, or a failure where a cluster is required."""
    absent = cache.missing()
    if absent:
        reason = f"{SKIPPED}: {', '.join(absent)} not built in {cache.folder()}; run `make controlplane`"
        if os.environ.get("TREADLE_REQUIRE_CLUSTER") == "1":
            pytest.fail(f"TREADLE_REQUIRE_CLUSTER=1, but {reason}", pytrace=False)
        pytest.skip(reason)
    return cache.folder()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say loudly what was not tested."""
    reasons = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", ()) if _is_ours(report)]
    if reasons:
        line = f"tests/cluster: {len(reasons)} TESTS SKIPPED, {reasons[0].removeprefix('Skipped: ')}"
        terminalreporter.write_line(line, red=True, bold=True)


def _is_ours(report: Any) -> bool:
    return isinstance(report.longrepr, tuple) and report.longrepr[2].startswith(f"Skipped: {SKIPPED}")


@pytest.fixture(scope="session")
def cluster(binaries: Path) -> Iterator[Cluster]:
    """The one control plane, with our kinds defined and RBAC on."""
    with Cluster.running(binaries) as running:
        yield running


@pytest.fixture
def clean_cluster(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with no object of our kinds in it, before and after."""
    cluster.wipe()
    yield cluster
    cluster.wipe()


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh namespace; it goes with all that is in it, in its own time."""
    word = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40].strip("-")
    name = f"{word}-{secrets.token_hex(3)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def started(request: pytest.FixtureRequest) -> Iterator[Callable[[Program], Program]]:
    """Starts a program, shows its output if the test fails, and ends it with the test."""
    programs: list[Program] = []
    request.node.stash[PROGRAMS] = programs

    def start(program: Program) -> Program:
        programs.append(program)
        program.start()
        return program

    yield start
    for program in reversed(programs):
        program.kill()


@pytest.fixture
def program(cluster: Cluster, started: Callable[[Program], Program]) -> Callable[..., Program]:
    """Makes programs as `Cluster.program` does, started."""
    return lambda name, *command, **options: started(cluster.program(name, *command, **options))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.when == "call" and report.failed:
        report.sections += [(made.name, made.tail(200)) for made in item.stash.get(PROGRAMS, [])]
    return report


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Callable[[], Proxy]]:
    """Makes proxies to the API server, each of which can be cut, blackholed and restored."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(cluster.proxy())


@pytest.fixture(scope="session")
def address() -> str:
    """This machine's own address that is not loopback."""
    return own_address()


@pytest.fixture
def port(address: str) -> Callable[[], int]:
    """Free ports of that address."""
    return lambda: free_port(address)


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Any]:
    """`eventually(check, seconds)`."""
    return eventually
