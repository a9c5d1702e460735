"""Runs for each object of tests/objects.

A test that asks for an `object_case` (and one `object_rule` or `object_transition` of it) or for a `wrong_object` runs
once for each.
"""

from __future__ import annotations

from typing import Any

import pytest
from api_objects import Case, cases, dotted, wrong_objects

NO_CLUSTER = "no control plane: "  # so a skip of tests/cluster begins


@pytest.fixture(scope="session")
def object_cases() -> dict[str, Case]:
    """The kinds of objects by name: tenant, replica, node, profile."""
    return {case.name: case for case in cases()}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say loudly that the tests of tests/cluster were skipped."""
    skipped = [report.longrepr for report in terminalreporter.stats.get("skipped", ())]
    reasons = [found[2] for found in skipped if isinstance(found, tuple) and NO_CLUSTER in found[2]]
    if reasons:
        line = f"tests/cluster: {len(reasons)} TESTS SKIPPED, {reasons[0].removeprefix('Skipped: ')}"
        terminalreporter.write_line(line, red=True, bold=True)


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
