"""The flags of `treadle simulate model-switching`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from treadle.simulate.errors import InputError
from treadle.simulate.model_switching.arrivals import PAPER_RATES, PAPER_SECONDS
from treadle.simulate.model_switching.tiers import RESNET_SERVERS, RESNETS, SimulatedTier, read_tiers
from treadle_api.units import Seconds, UnitError, parse_duration

_DEADLINE, _NO_COST = "750ms", "0ms"
_MOST_SEEDS, _MOST_SERVERS, _MOST_SECONDS, _MOST_COST = 100, 1024, 86_400.0, 3600.0
_LEAST_ERROR, _MOST_ERROR = 0.1, 10.0


@dataclass(frozen=True, slots=True)
class Options:
    """What is to be simulated; durations in seconds."""

    deadlines: tuple[float, ...]
    profile_error: float
    switch_cost: float
    seeds: int
    servers: int
    seconds: float
    rates: str
    arrivals: str
    tiers: tuple[SimulatedTier, ...]
    paper: bool
    json: Path | None
    plots: Path | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle simulate model-switching` takes."""
    add = parser.add_argument
    add("--deadline", default=_DEADLINE, metavar="D[,D…]", help="of a request, like 700ms,1s (default %(default)s)")
    add("--seeds", type=int, default=5, metavar="N", help="runs, each with arrivals of its own (default %(default)s)")
    add("--rates", default=PAPER_RATES, metavar="S:R,…", help="from second S on R requests/s (default %(default)s)")
    add("--seconds", type=float, default=PAPER_SECONDS, metavar="S", help="length of a run (default %(default)g)")
    add(
        "--arrivals",
        default="poisson",
        metavar="poisson|mmpp|trace:FILE[:COLUMN]",
        help="Poisson, Markov-modulated, or timestamps of a file, one a line or a CSV column (default %(default)s)",
    )
    add("--tiers", type=Path, metavar="FILE", help="CSV of name, accuracy (%%), saturation (requests/s of all servers)")
    add("--servers", type=int, default=RESNET_SERVERS, metavar="N", help="one request each (default %(default)s)")
    add(
        "--profile-error", type=float, default=1.0, metavar="X", help="true service time over the profile's (default 1)"
    )
    add("--switch-cost", default=_NO_COST, metavar="T", help="in which a server changes tier (default %(default)s)")
    add("--paper", action="store_true", help="all that the targets and the paper's figures need: some two minutes")
    add("--json", type=Path, metavar="FILE", help="write the result here")
    add("--plots", type=Path, metavar="DIR", help="draw the paper's figures here, as SVG")


def read_options(arguments: argparse.Namespace) -> Options:
    """Parse what argparse leaves as text; raises InputError."""
    own = (arguments.deadline, arguments.profile_error, arguments.switch_cost)
    if arguments.paper and own != (_DEADLINE, 1.0, _NO_COST):
        raise InputError("--paper has its own deadlines, profile errors and switch costs: leave those flags out")
    for flag, value, least, most in (
        ("seeds", arguments.seeds, 1, _MOST_SEEDS),
        ("servers", arguments.servers, 1, _MOST_SERVERS),
        ("seconds", arguments.seconds, 1, _MOST_SECONDS),
        ("profile-error", arguments.profile_error, _LEAST_ERROR, _MOST_ERROR),
    ):
        if not least <= value <= most:
            raise InputError(f"--{flag} {value:g}: must be {least:g} to {most:g}")
    switch_cost = _duration("--switch-cost", arguments.switch_cost)
    if switch_cost > _MOST_COST:
        raise InputError(f"--switch-cost {arguments.switch_cost}: must be at most 1h")
    deadlines = tuple(dict.fromkeys(_duration("--deadline", part) for part in arguments.deadline.split(",")))
    if min(deadlines) <= 0:
        raise InputError(f"--deadline {arguments.deadline}: must be longer than zero")
    return Options(
        deadlines=deadlines,
        profile_error=arguments.profile_error,
        switch_cost=switch_cost,
        seeds=arguments.seeds,
        servers=arguments.servers,
        seconds=arguments.seconds,
        rates=arguments.rates,
        arrivals=arguments.arrivals,
        tiers=read_tiers(arguments.tiers) if arguments.tiers else RESNETS,
        paper=arguments.paper,
        json=arguments.json,
        plots=arguments.plots,
    )


def _duration(flag: str, text: str) -> Seconds:
    try:
        return parse_duration(text)
    except UnitError as error:
        raise InputError(f"{flag} {error}") from error
