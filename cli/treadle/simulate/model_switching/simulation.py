"""What one command simulates: the scenarios that were asked for, or all that the targets and figures need."""

from __future__ import annotations

import math

import msgspec

from treadle.bench.progress import Progress
from treadle.simulate.errors import InputError
from treadle.simulate.model_switching.arrivals import Load, mmpp_load, parse_rates, poisson_load, read_trace, trace_load
from treadle.simulate.model_switching.checks import (
    BASE_MS,
    PAPER_DEADLINES_MS,
    STALE,
    SWITCH_COST_MS,
    TIGHT_MS,
    checks,
)
from treadle.simulate.model_switching.contenders import Device, Scenario, variants
from treadle.simulate.model_switching.figures import figures, parallel
from treadle.simulate.model_switching.neighbours import BURST, neighbour
from treadle.simulate.model_switching.options import Options
from treadle.simulate.model_switching.report import Neighbour, Report, Tier
from treadle.simulate.model_switching.study import Study

MOST_REQUESTS = 2_000_000  # in one run: a gigabyte of memory
_TRACE = "trace:"
_BASE = Scenario(BASE_MS / 1e3)


def simulate(options: Options, *, command: str, date: str, progress: Progress) -> Report:
    """Run all scenarios; raises InputError for rates, arrivals or a trace that cannot be used."""
    study = _study(options)
    scenarios = _scenarios(options)
    progress.begin(len(scenarios) + (4 if options.paper else 0))
    rows = [row for scenario in scenarios for row in study.rows(scenario, progress.step)]
    report = Report(
        fluid_bound=study.bound(scenarios[0]),
        rows=tuple(rows),
        command=command,
        date=date,
        seeds=options.seeds,
        servers=options.servers,
        seconds=study.loads[0].seconds,
        arrivals=options.arrivals,
        rates=options.rates,
        tiers=tuple(Tier(tier.name, tier.accuracy, tier.saturation) for tier in options.tiers),
    )
    if options.paper:
        report = _further(report, study, progress)
    if options.paper or options.plots:
        progress.step("figures")
        report = msgspec.structs.replace(report, figures=figures(study, scenarios[0]))
    return msgspec.structs.replace(report, checks=checks(report))


def _further(report: Report, study: Study, progress: Progress) -> Report:
    """What is no scenario of one tenant."""
    progress.step("what Algorithm 1 leaves open")
    rows = study.rows(_BASE, lambda _: None, variants(study.device, _BASE))
    progress.step("a neighbour's burst")
    neighbours: list[Neighbour] = [
        neighbour(study.device, deadline / 1e3, burst, report.seeds)
        for deadline in (BASE_MS, TIGHT_MS)
        for burst in (1.0, BURST)
    ]
    progress.step("⟨R, T⟩ searched out")
    searched = parallel(study.device, _BASE.deadline)
    return msgspec.structs.replace(
        report, rows=(*report.rows, *rows), neighbours=tuple(neighbours), parallel=tuple(searched)
    )


def _scenarios(options: Options) -> list[Scenario]:
    if not options.paper:
        return [Scenario(deadline, options.profile_error, options.switch_cost) for deadline in options.deadlines]
    others = sorted({*PAPER_DEADLINES_MS, TIGHT_MS} - {BASE_MS})
    return [
        _BASE,
        *(Scenario(deadline / 1e3) for deadline in others),
        *(Scenario(_BASE.deadline, profile_error=error) for error in STALE),
        Scenario(_BASE.deadline, switch_cost=SWITCH_COST_MS / 1e3),
    ]


def _study(options: Options) -> Study:
    device = Device(options.tiers, options.servers)
    if options.arrivals.startswith(_TRACE):
        load = trace_load(read_trace(options.arrivals.removeprefix(_TRACE)))
        _bound("the trace", len(load.times))
        return Study(device, [load] * options.seeds, None)
    rates = parse_rates(options.rates, options.seconds)
    _bound("--rates", math.ceil(sum(phase.seconds * phase.rate for phase in rates.phases)))
    makers = {"poisson": poisson_load, "mmpp": mmpp_load}
    if options.arrivals not in makers:
        raise InputError(f"--arrivals {options.arrivals}: must be poisson, mmpp or trace:FILE[:COLUMN]")
    loads: list[Load] = [makers[options.arrivals](rates, seed) for seed in range(options.seeds)]
    if not all(len(load.times) for load in loads):
        raise InputError(f"--rates {options.rates}: so few requests that a run has none")
    return Study(device, loads, rates.spike)


def _bound(source: str, requests: int) -> None:
    if requests > MOST_REQUESTS:
        raise InputError(f"{source}: {requests:,} requests in a run, more than the {MOST_REQUESTS:,} that fit")
