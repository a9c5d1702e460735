"""When requests arrive: Poisson through a curve of rates, Markov-modulated, or as a trace recorded them."""

from __future__ import annotations

import csv
import datetime as dt
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from treadle.load.schedule import Phase, poisson
from treadle.simulate.errors import InputError

PAPER_RATES = "0:35,60:55,125:165,140:140,165:90,200:50"
PAPER_SECONDS = 300.0

# Markov-modulated: each rate of the curve is taken this many times, in turn, for exponential stretches of this mean.
MMPP_FACTORS = (0.5, 1.5)
MMPP_MEAN_SECONDS = 5.0

Times = npt.NDArray[np.float64]
_RATES = re.compile(r"[0-9.]+:[0-9.]+(,[0-9.]+:[0-9.]+)*")


@dataclass(frozen=True, slots=True)
class Load:
    """One seed's arrivals: (N,) ascending seconds, and the true rate of each whole second of the run."""

    times: Times
    per_second: Times

    @property
    def seconds(self) -> float:
        """Length of the run."""
        return float(len(self.per_second))


@dataclass(frozen=True, slots=True)
class Rates:
    """A curve of rates: each (begin, requests a second) holds until the next one begins, the last until `seconds`."""

    steps: tuple[tuple[float, float], ...]
    seconds: float

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The curve as stretches."""
        ends = [begin for begin, _ in self.steps[1:]] + [self.seconds]
        return tuple(Phase(end - begin, rate) for (begin, rate), end in zip(self.steps, ends, strict=True))

    @property
    def spike(self) -> float | None:
        """When the rate rises most; None where it never rises."""
        rises = [(after[1] - before[1], after[0]) for before, after in pairwise(self.steps)]
        rise, begin = max(rises, default=(0.0, 0.0))
        return begin if rise > 0.0 else None

    def per_second(self) -> Times:
        """The mean rate of each second."""
        edges = np.arange(math.ceil(self.seconds) + 1, dtype=np.float64)
        begins = np.array([begin for begin, _ in self.steps])
        rates = np.array([rate for _, rate in self.steps])
        lengths = np.array([phase.seconds for phase in self.phases])
        expected = np.concatenate([[0.0], np.cumsum(lengths * rates)])
        cumulative = np.interp(edges, [*begins, self.seconds], expected)
        return np.diff(cumulative)


def parse_rates(text: str, seconds: float) -> Rates:
    """A curve such as ``0:35,60:55``: seconds, a colon, requests a second. The paper's ends where a shorter run does.

    Raises:
        InputError: it is not such a curve, does not begin at 0, or does not ascend within `seconds`.
    """
    if not _RATES.fullmatch(text):
        raise InputError(f"--rates {text!r}: write SECOND:RATE,SECOND:RATE, like {PAPER_RATES}")
    try:
        steps = [(float(begin), float(rate)) for begin, rate in (step.split(":") for step in text.split(","))]
    except ValueError as error:
        raise InputError(f"--rates {text!r}: {error}") from error
    if text == PAPER_RATES:  # nobody asked for it: as far as the run goes
        steps = [step for step in steps if step[0] < seconds]
    begins = [begin for begin, _ in steps] + [seconds]
    if begins[0] != 0.0 or any(after <= before for before, after in pairwise(begins)):
        raise InputError(f"--rates {text!r}: seconds must begin at 0 and rise, the last below --seconds {seconds:g}")
    if not any(rate for _, rate in steps):
        raise InputError(f"--rates {text!r}: one rate must be above 0")
    return Rates(tuple(steps), seconds)


def poisson_load(rates: Rates, seed: int) -> Load:
    """Poisson arrivals through the curve."""
    return Load(poisson(rates.phases, seed=seed).times, rates.per_second())


def mmpp_load(rates: Rates, seed: int) -> Load:
    """Markov-modulated Poisson arrivals: the curve's rates, times a factor that jumps between two."""
    random = np.random.default_rng(seed)
    cuts, state = [0.0], int(random.integers(2))
    while cuts[-1] < rates.seconds:
        cuts.append(cuts[-1] + float(random.exponential(MMPP_MEAN_SECONDS)))
    steps: list[tuple[float, float]] = []
    for begin in sorted({*cuts[:-1], *(begin for begin, _ in rates.steps)}):
        base = [rate for start, rate in rates.steps if start <= begin][-1]
        stretch = sum(cut <= begin for cut in cuts) - 1
        steps.append((begin, base * MMPP_FACTORS[(state + stretch) % 2]))
    return poisson_load(Rates(tuple(steps), rates.seconds), seed)


def trace_load(times: Times) -> Load:
    """A recorded trace, each second's rate as counted."""
    seconds = max(1, math.ceil(float(times[-1])))
    counts, _ = np.histogram(times, np.arange(seconds + 1))
    return Load(times, counts.astype(np.float64))


def read_trace(source: str) -> Times:
    """Timestamps of ``FILE``, one a line, or of ``FILE:COLUMN``, a CSV file with column names; from the first one on.

    A timestamp is a number of seconds, or a date and time of ISO 8601.

    Raises:
        InputError: the file cannot be read, has no such column, or a line holds no timestamp.
    """
    path, colon, column = source.rpartition(":")
    if not colon or Path(source).exists():
        path, column = source, ""
    flag = f"--arrivals trace:{source}"
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{flag}: {error}") from error
    lines = _column(text, column, flag) if column else text.splitlines()
    times = [_timestamp(line, f"{flag}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if len(times) < 2:
        raise InputError(f"{flag}: needs at least two timestamps")
    return np.sort(np.array(times, np.float64)) - min(times)


def _column(text: str, column: str, flag: str) -> Sequence[str]:
    rows = list(csv.DictReader(text.splitlines()))
    if not rows or column not in rows[0]:
        named = ", ".join(rows[0]) if rows else "none"
        raise InputError(f"{flag}: there is no column {column!r}; its columns: {named}")
    return [row[column] or "" for row in rows]


def _timestamp(text: str, place: str) -> float:
    text = text.strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = dt.datetime.fromisoformat(text).timestamp()
        except ValueError as error:
            raise InputError(f"{place}: {text!r} is neither a number of seconds nor an ISO 8601 time") from error
    if not math.isfinite(seconds):
        raise InputError(f"{place}: {text!r} is not finite")
    return seconds
