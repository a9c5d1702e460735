"""The targets that the serving benchmark holds treadle to, as ratios within one run. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from treadle.bench.serving.deployment import MLSERVER, PLAIN, SPACE_TIME, TIME
from treadle.bench.serving.report import Check, Memory, Report, Row, Saturation
from treadle.bench.serving.suites import LOW_LOAD, MERGING, OVERLOAD

# Where HTTP takes most of the time, and where the models do.
_OVERLOADED = tuple((suite, PLAIN) for suite in ("mlp-binary", "mlp-json", "magika", "rapidocr-cls"))
AT_LEAST, AT_MOST = "at least", "at most"
_FLOOR_RPS = 1.0  # a server that answers nothing in time still divides


def checks(report: Report) -> tuple[Check, ...]:
    """All targets against `report`."""
    return tuple(_checks(_Figures(report)))


def _checks(figures: _Figures) -> Iterable[Check]:
    for suite in ("magika", "rapidocr-cls"):
        mine, theirs = (figures.p50(suite, server, LOW_LOAD) for server in (SPACE_TIME, PLAIN))
        what = f"{suite}: median latency at {LOW_LOAD:g}× load, over (a)'s"
        yield _check(f"latency-{suite}", what, AT_MOST, 1.3, _ratio(mine, theirs))
    for encoding in ("binary", "json"):
        mine, theirs = (figures.rps(f"mlp-{encoding}", server) for server in (SPACE_TIME, PLAIN))
        what = f"small MLPs, {encoding}: saturation throughput, over (a)'s"
        yield _check(f"throughput-{encoding}", what, AT_LEAST, 1.1, _ratio(mine, theirs))
    what = "small MLPs, json: saturation throughput, over MLServer's"
    mine, theirs = (figures.rps("mlp-json", server) for server in (SPACE_TIME, MLSERVER))
    yield _check("throughput-mlserver", what, AT_LEAST, 3.0, _ratio(mine, theirs))
    for suite, server in (*_OVERLOADED, ("mlp-json", MLSERVER)):
        mine, theirs = (figures.goodput(suite, one, OVERLOAD) for one in (SPACE_TIME, server))
        what = f"{suite}: goodput at {OVERLOAD:g}× load, over {server}'s"
        ratio = None if mine is None or theirs is None else mine / max(theirs, _FLOOR_RPS)
        yield _check(f"overload-{suite}-{server}", what, AT_LEAST, 3.0, ratio)
    mine, theirs = (figures.rps(MERGING, server) for server in (SPACE_TIME, TIME))
    what = "8 small MLP tenants in the executor alone: requests answered, over those of mode `time`"
    yield _check("merging-requests", what, AT_LEAST, 3.0, _ratio(mine, theirs))
    what = "8 small MLP tenants in the executor alone: mean merge factor"
    yield _check("merging-factor", what, AT_LEAST, 4.0, figures.merge_factor(MERGING, SPACE_TIME))
    merged = figures.memory("embedding", SPACE_TIME)
    what = "merged kernels: memory of the other tenants of one architecture, over their weights"
    ratio = _ratio(merged.growth_mb, merged.weights_mb) if merged else None
    yield _check("memory-merged", what, AT_MOST, 1.1, ratio)
    ours, plain = figures.memory("conv", SPACE_TIME), figures.memory("conv", PLAIN)
    what = "segments: memory of the other tenants of one architecture, over (a)'s"
    ratio = _ratio(ours.growth_mb, plain.growth_mb) if ours and plain else None
    yield _check("memory-segments", what, AT_MOST, 0.6, ratio)


def _check(name: str, what: str, relation: str, target: float, measured: float | None) -> Check:
    reached = None if measured is None else measured >= target if relation == AT_LEAST else measured <= target
    return Check(name, what, relation, target, measured, reached)


def _ratio(mine: float | None, theirs: float | None) -> float | None:
    return mine / theirs if mine is not None and theirs else None


class _Figures:
    """A report's figures by what they are of; None where there is none."""

    def __init__(self, report: Report) -> None:
        self._saturation: dict[tuple[str, str], Saturation] = {
            (one.suite, one.server): one for one in report.saturation
        }
        self._rows: dict[tuple[str, str, float], Row] = {(row.suite, row.server, row.load): row for row in report.rows}
        self._memory: dict[tuple[str, str], Memory] = {(one.suite, one.server): one for one in report.memory}

    def rps(self, suite: str, server: str) -> float | None:
        found = self._saturation.get((suite, server))
        return found.rps if found else None

    def p50(self, suite: str, server: str, load: float) -> float | None:
        row = self._rows.get((suite, server, load))
        return row.p50_ms if row else None

    def goodput(self, suite: str, server: str, load: float) -> float | None:
        row = self._rows.get((suite, server, load))
        return row.goodput_rps if row else None

    def merge_factor(self, suite: str, server: str) -> float | None:
        found = self._saturation.get((suite, server))
        return found.merge_factor if found else None

    def memory(self, suite: str, server: str) -> Memory | None:
        return self._memory.get((suite, server))
