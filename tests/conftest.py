"""How tests are spread over processes; and a run for each object of tests/objects.

A test that asks for an `object_case` (and one `object_rule` or `object_transition` of it) or for a `wrong_object` runs
once for each.
"""

from __future__ import annotations

import signal
from typing import Any

import celpy
import pytest
from api_objects import Case, cases, dotted, wrong_objects
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# The first one in a process raises Python's recursion limit; Hypothesis objects where that happens during a test.
celpy.Environment()

# How long an example takes says how busy the machine is: timings are the benchmarks' matter.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


class RoomScheduling(LoadScopeScheduling):
    """With `pytest -n N`: tests that share what takes long to make run in one process; others stay together by file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        planes = ("tests/cluster/agent/", "tests/cluster/chart/", "tests/cluster/")  # each with a control plane
        # Also ONNX's own cases, and a server that is attacked.
        rooms = (*planes, "tests/conformance/test_node", "tests/limits/")
        return next((room for room in rooms if file.startswith(room)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> RoomScheduling:
    return RoomScheduling(config, log)


@pytest.fixture(autouse=True)
def _interruptible() -> None:
    """Programs that a test starts inherit whether Ctrl-C is ignored: it is not, whatever ran here before."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def object_cases() -> dict[str, Case]:
    """The kinds of objects by name: tenant, replica, node, profile."""
    return {case.name: case for case in cases()}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One run for each object that a test asks for."""
    asked = set(metafunc.fixturenames)
    if "wrong_object" in asked:
        found = [wrong for case in cases() for wrong in wrong_objects(case)]
        metafunc.parametrize("wrong_object", found, ids=[f"{one.case.name}:{dotted(one.steps)}" for one in found])
    elif asked & {"object_rule", "object_transition"}:
        name = "object_rule" if "object_rule" in asked else "object_transition"
        pairs = [(case, rule) for case in cases() for rule in getattr(case, f"{name.removeprefix('object_')}s")]
        ids = [f"{case.name}:{rule.field}:{number}" for number, (case, rule) in enumerate(pairs)]
        metafunc.parametrize(("object_case", name), pairs, ids=ids)
    elif "object_case" in asked:
        metafunc.parametrize("object_case", cases(), ids=[case.name for case in cases()])
