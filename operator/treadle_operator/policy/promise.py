"""Whether figures keep a promise: a broken one by more than chance, and again kept only where it is kept in full.

One judgement for all who tell of it: a tenant's status, and `treadle top` beside a server.
"""

from __future__ import annotations

import math

from treadle_api.replica import Figures
from treadle_api.tenant import Slo
from treadle_api.units import Percent

_SIGMAS = 2.0  # by how many standard deviations more than allowed must be bad, to say that a promise is broken


def is_late(served: Figures, slo: Slo, *, broken: bool) -> bool:
    """Whether the objective's share of the requests, of which there are some, was not in time.

    `broken`: whether that was so before.
    """
    bad, allowed = served.total - served.good, (1 - slo.objective / 100) * served.total
    return bad > allowed and (broken or bad > allowed + _SIGMAS * math.sqrt(allowed) + 1)


def cause_of_lateness(served: Figures) -> str:
    """What kept most of the requests from being answered in time: a condition's reason."""
    if served.error > max(served.shed, served.late):
        return "RequestsFailed"
    return "RequestsShed" if served.shed > served.late else "RequestsLate"


def effective_accuracy(served: Figures) -> Percent:
    """Accuracy in percent, to the two places that are written; a request that was not answered in time counts 0."""
    return Percent(round(served.accuracy_credit / served.total, 2))


def least_accuracy(slo: Slo) -> float:
    """The effective accuracy, in percent, of the floor for as many requests as the objective asks for."""
    return slo.min_accuracy * slo.objective / 100


def is_inaccurate(served: Figures, slo: Slo, *, broken: bool) -> bool:
    """Whether the floor was not kept by the objective's share of the requests, of which there are some."""
    effective, least = effective_accuracy(served), least_accuracy(slo)
    chance = _SIGMAS * 100 * math.sqrt(1 / served.total) * math.sqrt(1 - slo.objective / 100)
    return effective < least and (broken or effective < least - chance)
