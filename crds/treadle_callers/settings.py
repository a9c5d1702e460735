"""How callers are asked about."""

from __future__ import annotations

from dataclasses import dataclass, field

from treadle_callers.answers import AnswerTiming

LONGEST_BELIEF = 86400.0  # seconds


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """How callers are asked about.

    Attributes:
        audience: what the token of a tenant's caller must be for; "" where tenants are not called.
        timing: how long an answer is believed.
        most_answers: answers kept of a kind (who a caller is, what it may): so many that grant, as many that refuse.
        most_asked: questions of a kind asked at a time.
        most_waiting: questions of a kind that are asked or wait; one more is answered 503.
        patience: seconds that one may take.
    """

    audience: str
    timing: AnswerTiming = field(default_factory=AnswerTiming)
    most_answers: int = 4096
    most_asked: int = 16
    most_waiting: int = 256
    patience: float = 3.0


def read_timing(cache: float, outage: float) -> AnswerTiming:
    """How long an answer is believed, from flags of agents and operators; raises ValueError, which names the flag."""
    for flag, seconds in (("--auth-cache-seconds", cache), ("--auth-outage-seconds", outage)):
        if not 0.0 <= seconds <= LONGEST_BELIEF:
            raise ValueError(f"{flag} {seconds:g}: must be 0 to {LONGEST_BELIEF:g} seconds")
    return AnswerTiming(believed=cache, outage=outage)
