"""The two paces of a ticket apart, over days: 3 times the budget over 1d and 2h, and its own over 3d and 6h.

With as many requests at all times whatever burns at the faster pace does so at the slower one, too. That is for tenants
whose days differ: of a calm day behind two busy ones three days' requests do not tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

STEP = 4  # minutes between samples, and between looks at the rules, which look back five at what others recorded
HOURS = 72
LABELS = {"tenant": "digits", "tenant_namespace": "team"}
SOURCE = 'job="treadle-agent", instance="10.0.0.7:8000", node="node-a", tenant="digits", tenant_namespace="team"'
TICKET = {
    **LABELS, "severity": "warning", "sloth_severity": "ticket",
    "sloth_id": "treadle-requests", "sloth_service": "treadle", "sloth_slo": "requests",
}  # fmt: skip
CALM, BUSY = 600, 6000  # requests a minute


@dataclass(frozen=True, slots=True)
class Span:
    """So many hours with so many requests a minute, of which a share is late."""

    hours: float
    requests: int
    late: float


def growing(spans: list[Span], share: Callable[[Span], float]) -> str:
    """A counter of a share of the requests, as promtool takes it."""
    parts, count = [], 0.0
    for span in spans:
        each, steps = span.requests * share(span) * STEP, round(span.hours * 60 / STEP)
        parts.append(f"{count + each:.6f}+{each:.6f}x{steps - 1}")
        count += each * steps
    return " ".join(parts)


def series(spans: list[Span]) -> dict[str, str]:
    assert sum(span.hours for span in spans) == HOURS
    steady = f"x{HOURS * 60 // STEP}"
    return {
        f'treadle_requests_total{{{SOURCE}, tier="best", outcome="good"}}': growing(spans, lambda one: 1 - one.late),
        f'treadle_requests_total{{{SOURCE}, tier="best", outcome="late"}}': growing(spans, lambda one: one.late),
        f"treadle_promised_objective_ratio{{{SOURCE}}}": f"0.99{steady}",
        'treadle_operator_leader{job="treadle-operator", instance="10.0.0.8:8081"}': f"1{steady}",
    }


@pytest.mark.parametrize(
    ("spans", "ticket"),
    [
        pytest.param([Span(72, CALM, 0.012)], True, id="for days a little above the slower pace"),
        pytest.param([Span(72, CALM, 0.009)], False, id="a little below it"),
        pytest.param([Span(30, CALM, 0), Span(42, CALM, 0.018)], True, id="above it in three days, at the end"),
        pytest.param([Span(36, CALM, 0), Span(36, CALM, 0.018)], False, id="below it in three days, above at the end"),
        pytest.param([Span(66, CALM, 0.02), Span(6, CALM, 0)], False, id="above it, but not in the last six hours"),
        pytest.param([Span(68, CALM, 0.02), Span(4, CALM, 0)], False, id="above it, but hardly in the last six hours"),
        pytest.param([Span(70, CALM, 0.02), Span(2, CALM, 0)], True, id="above it, less the last two hours"),
        pytest.param([Span(48, BUSY, 0), Span(24, CALM, 0.034)], True, id="a calm day above the faster pace"),
        pytest.param([Span(48, BUSY, 0), Span(24, CALM, 0.027)], False, id="a calm day a little below it"),
        pytest.param(
            [Span(48, BUSY, 0), Span(12, CALM, 0), Span(12, CALM, 0.05)], False,
            id="half a calm day above it: below in all of it",
        ),
        pytest.param(
            [Span(48, BUSY, 0), Span(22, CALM, 0.05), Span(2, CALM, 0)], False,
            id="a calm day above it, but not in the last two hours",
        ),
        pytest.param(
            [Span(48, BUSY, 0), Span(23.6, CALM, 0.05), Span(0.4, CALM, 0)], True,
            id="a calm day above it, less the last twenty minutes",
        ),
    ],
)  # fmt: skip
def test_what_burns_for_days_is_a_ticket(fires: Callable[..., None], spans: list[Span], ticket: bool) -> None:
    expected = [("TreadleErrorBudgetBurn", TICKET)] if ticket else []
    fires(series(spans), expected, HOURS * 60, interval=STEP, evaluation=STEP)
