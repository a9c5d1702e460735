"""The demo's figures as a JSON document: `--json FILE`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from treadle.demo.scoring import Score
from treadle.demo.summary import Contestant, Summary, sentence
from treadle.demo.tenants import Tenant
from treadle.demo.timings import Timings


def write_figures(path: Path, tenants: Sequence[Tenant], summary: Summary, timings: Timings, machine: str) -> None:
    """Write everything the report shows in numbers; accuracies in percent, times in seconds, null where unknown."""
    document = {
        "machine": machine,
        "summary": sentence(summary),
        "failures": summary.failures,
        "missing": summary.missing,
        "training_seconds": _number(timings.training),
        "seconds_in_all": timings.in_all,
        "runs": [_contestant(contestant) for contestant in summary.contestants],
        "tenants": [
            {
                "name": tenant.name,
                "deadline": tenant.deadline,
                "tiers": [
                    {"name": tier.name, "accuracy": tier.accuracy, "service": tier.service} for tier in tenant.tiers
                ],
                "score": _score(summary.tenants[tenant.name]) if tenant.name in summary.tenants else None,
            }
            for tenant in tenants
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def _contestant(each: Contestant) -> dict[str, object]:
    return {
        "name": each.name,
        "label": each.label,
        "seconds": each.seconds,
        "launches": each.launches,
        "kernels": each.problems,
        "merge_factor": _number(each.merge_factor),
        "tiers": each.tiers,
        "all": _score(each.everything),
        "pages": _score(each.tiered),
        "pages_in_spike": _score(each.tiered_in_spike),
    }


def _score(score: Score) -> dict[str, object]:
    return {
        "sent": score.sent,
        "good": score.good,
        "late": score.late,
        "shed": score.shed,
        "failed": score.failed,
        "unanswered": score.unanswered,
        "effective_accuracy": _number(score.effective_accuracy),
        "p50": _number(score.p50),
        "p99": _number(score.p99),
    }


def _number(value: float | None) -> float | None:
    """JSON knows no nan."""
    return None if value is None or math.isnan(value) else value
