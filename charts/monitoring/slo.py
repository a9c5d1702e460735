"""The two promises of a tenant as service-level objectives, in Sloth's names: requests, and effective accuracy.

Sloth (https://sloth.dev) generates such rules for services whose objectives are constants. Here each tenant has its
own, which its agents tell as metrics, so that objective and budget are series like all else.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitoring.document import Group, Json, Rule

TENANT = "tenant, tenant_namespace"
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
PERIOD_DAYS = 30
PERIOD = f"{PERIOD_DAYS}d"
GAP = "5m"  # that a series may have while one process takes over from another


@dataclass(frozen=True, slots=True)
class Objective:
    """One promise.

    Attributes:
        slo: what Sloth calls it.
        lost: by window, the share of what could be had that was lost; no series while nothing was asked for.
        kept: the share that is to be had.
    """

    slo: str
    lost: str
    kept: str

    @property
    def labels(self) -> dict[str, str]:
        """Sloth's, of every rule of this objective."""
        return {"sloth_id": f"treadle-{self.slo}", "sloth_service": "treadle", "sloth_slo": self.slo}

    @property
    def selector(self) -> str:
        """The same as a selector."""
        return ", ".join(f'{name}="{value}"' for name, value in self.labels.items())


def _highest(metric: str) -> str:
    """Of what all that serve a tenant tell alike; an agent that is replaced tells it again after a scrape or two."""
    return f"max by ({TENANT}) (last_over_time({metric}[{GAP}]))"


def _per_second(metric: str) -> str:
    return f"sum by ({TENANT}) (rate({metric}[WINDOW]))"


_ALL = _per_second("treadle_requests_total")
_NOT_GOOD = _per_second('treadle_requests_total{outcome!="good"}')
_CREDIT = _per_second("treadle_accuracy_credit_total")
_FLOOR = _highest("treadle_promised_accuracy_ratio")
_BEST = _highest("treadle_best_accuracy_ratio")

REQUESTS = Objective(
    slo="requests", lost=f"{_NOT_GOOD} / ({_ALL} > 0)", kept=_highest("treadle_promised_objective_ratio")
)
ACCURACY = Objective(slo="accuracy", lost=f"1 - {_CREDIT} / ({_ALL} > 0) / {_BEST}", kept=f"{_FLOOR} / {_BEST}")
OBJECTIVES = (REQUESTS, ACCURACY)


def recording_groups() -> list[Group]:
    """Sloth's groups: what was lost by window, and what that means."""
    return [
        group
        for objective in OBJECTIVES
        for group in (
            Group(f"sloth-slo-sli-recordings-treadle-{objective.slo}", _lost(objective)),
            Group(f"sloth-slo-meta-recordings-treadle-{objective.slo}", _meaning(objective)),
        )
    ]


def _lost(objective: Objective) -> list[Rule]:
    rules = [
        _record(objective, f"slo:sli_error:ratio_rate{window}", objective.lost.replace("WINDOW", window), window)
        for window in WINDOWS
    ]
    shortest = f"slo:sli_error:ratio_rate{WINDOWS[0]}{{{objective.selector}}}"
    mean = f"avg_over_time({shortest}[{PERIOD}])"  # a rate over the whole period costs too much
    return [*rules, _record(objective, f"slo:sli_error:ratio_rate{PERIOD}", mean, PERIOD)]


def _meaning(objective: Objective) -> list[Rule]:
    budget = f"slo:error_budget:ratio{{{objective.selector}}}"

    def burnt(window: str) -> str:
        lost = f"slo:sli_error:ratio_rate{window}{{{objective.selector}}}"
        return f"{lost} / ignoring (sloth_window) {budget}"

    return [
        _record(objective, "slo:objective:ratio", objective.kept),
        _record(objective, "slo:error_budget:ratio", f"1 - {objective.kept}"),
        _record(objective, "slo:time_period:days", f"vector({PERIOD_DAYS})"),
        _record(objective, "slo:current_burn_rate:ratio", burnt(WINDOWS[0])),
        _record(objective, "slo:period_burn_rate:ratio", burnt(PERIOD)),
        _record(
            objective,
            "slo:period_error_budget_remaining:ratio",
            f"1 - slo:period_burn_rate:ratio{{{objective.selector}}}",
        ),
    ]


def _record(objective: Objective, name: str, expression: str, window: str = "") -> Rule:
    labels: Json = {**objective.labels, **({"sloth_window": window} if window else {})}
    return {"record": name, "expr": expression, "labels": labels}
