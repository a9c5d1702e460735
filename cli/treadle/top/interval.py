"""What happened at a server from one look at its /metrics to the next. Pure.

Counters that fell began anew in between: all that they show then is what was counted since.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from itertools import chain

from treadle.top.scrape import DeviceScrape, Key, Scrape, TenantScrape
from treadle.top.view import FALSE, TRUE, UNKNOWN, DeviceRow, Note, TenantRow, View
from treadle_agent.metrics import RequestOutcome
from treadle_api.histogram import quantile
from treadle_api.replica import Figures
from treadle_api.tenant import Slo
from treadle_api.units import Percent, Seconds
from treadle_operator.policy.promise import cause_of_lateness, effective_accuracy, is_inaccurate, is_late

_WINDOW = Seconds(0.0)  # of the objective: not told here, and no matter for what happened just now


def compare(before: Scrape, after: Scrape, source: str) -> View:
    """The view of what is between two looks."""
    seconds = Seconds(after.at - before.at)
    rows = (
        _tenant(key, before.tenants.get(key, TenantScrape()), tenant, seconds) for key, tenant in after.tenants.items()
    )
    loaded = Counter(chain.from_iterable(tenant.devices for tenant in after.tenants.values()))
    devices = (
        _device(name, before.devices.get(name, DeviceScrape()), device, seconds, loaded[name])
        for name, device in sorted(after.devices.items())
    )
    return View(source=source, seconds=round(seconds, 3), tenants=tuple(rows), devices=tuple(devices))


def _tenant(key: Key, before: TenantScrape, after: TenantScrape, seconds: Seconds) -> TenantRow:
    answers = _risen(before.answers, after.answers)
    figures = _figures(answers, _grown(before.credit, after.credit), seconds)
    slo = _slo(after)
    late, inaccurate = _judged(figures, slo)
    notes = []
    if not after.devices:
        notes.append(Note("Ready", "NotServed"))
    if late == FALSE:
        notes.append(Note("SLO met", cause_of_lateness(figures)))
    if inaccurate == FALSE:
        notes.append(Note("Accuracy met", "BelowFloor"))
    answered: Counter[str] = Counter()
    for (tier, outcome), count in answers.items():
        if count and outcome in {RequestOutcome.GOOD, RequestOutcome.LATE}:
            answered[tier] += count
    namespace, name = key
    return TenantRow(
        namespace=namespace,
        name=name,
        deadline=after.deadline,
        p99=_p99(before.buckets, after.buckets),
        objective=slo.objective if slo is not None else None,
        slo_met=late,
        min_accuracy=slo.min_accuracy if slo is not None else None,
        effective_accuracy=effective_accuracy(figures) if figures.total else None,
        accuracy_met=inaccurate,
        requests_per_second=float(f"{figures.total / seconds:.3g}"),
        requests={str(outcome): getattr(figures, outcome) for outcome in RequestOutcome},
        active_tier=max(answered, key=answered.__getitem__, default=""),
        tiers={tier: round(count / answered.total(), 4) for tier, count in answered.most_common()},
        ready=TRUE if after.devices else FALSE,
        replicas=len(after.devices),
        devices=tuple(sorted(after.devices)),
        notes=tuple(notes),
    )


def _figures(answers: Mapping[tuple[str, str], int], credit: float, seconds: Seconds) -> Figures:
    counts: Counter[str] = Counter()
    for (_, outcome), count in answers.items():
        counts[outcome] += count
    good, late, shed, error = (counts[outcome] for outcome in RequestOutcome)
    return Figures(seconds, good, late, shed, error, accuracy_credit=100 * credit)


def _slo(tenant: TenantScrape) -> Slo | None:
    """The promise; None where the server, being older, does not tell it."""
    if tenant.deadline is None or tenant.objective is None:
        return None
    objective, floor = round(100 * tenant.objective, 4), round(100 * (tenant.floor or 0.0), 4)
    return Slo(Seconds(tenant.deadline), Percent(objective), _WINDOW, Percent(floor))


def _judged(figures: Figures, slo: Slo | None) -> tuple[str, str]:
    """Whether the objective and the floor were kept."""
    if slo is None or not figures.total:
        return UNKNOWN, UNKNOWN
    late, inaccurate = is_late(figures, slo, broken=False), is_inaccurate(figures, slo, broken=False)
    return FALSE if late else TRUE, FALSE if inaccurate else TRUE


def _p99(before: Mapping[float, int], after: Mapping[float, int]) -> float | None:
    """From cumulative buckets, interpolated; None where nothing was answered."""
    bounds = sorted(after)
    if bounds[-1:] != [math.inf]:
        return None
    earlier = before if before and after[math.inf] >= before.get(math.inf, 0) else {}
    cumulative = [after[bound] - earlier.get(bound, 0) for bound in bounds]
    counts = [count - below for below, count in zip([0, *cumulative], cumulative, strict=False)]
    return quantile(counts, 0.99, bounds[:-1])


def _device(name: str, before: DeviceScrape, after: DeviceScrape, seconds: Seconds, tenants: int) -> DeviceRow:
    launches, problems = _grown(before.launches, after.launches), _grown(before.problems, after.problems)
    return DeviceRow(
        device=name,
        healthy=after.up,
        busy=round(min(_grown(before.busy, after.busy) / seconds, 1.0), 3) if after.up else None,
        merge_factor=round(problems / launches, 2) if launches else None,
        tenants=tenants,
        reason="" if after.up else "its executor process does not answer",
    )


def _risen(before: Mapping[tuple[str, str], int], after: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return {key: int(_grown(before.get(key, 0), count)) for key, count in after.items()}


def _grown(before: float, after: float) -> float:
    return after - before if after >= before else after
