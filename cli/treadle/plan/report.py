"""An answer, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator

from treadle.plan.question import Answer, Outcome
from treadle_api.units import format_duration
from treadle_operator.policy.capacity import TierCost
from treadle_operator.policy.plan import Reason
from treadle_operator.tenant_status import CounterOffer

_MEBIBYTE = 1 << 20


def lines(outcome: Outcome) -> Iterator[str]:
    """What a person reads."""
    for answer in outcome.answers:
        yield from _lines(answer)
    for effect in outcome.effects:
        place = f" on {effect.place}" if effect.place else ""
        yield f"then {effect.tenant}{place}: {effect.reason}: {effect.message}"
    if any(answer.feasible for answer in outcome.answers):
        yield "Model files were not looked at: one that is missing, or cannot be loaded, is told once it is applied."


def document(outcome: Outcome) -> dict[str, object]:
    """What a program reads; names are those of the manifests, numbers are plain, seconds and bytes."""
    return {
        "tenants": [_document(answer) for answer in outcome.answers],
        "effects": [
            {"tenant": one.tenant, "place": one.place, "reason": str(one.reason), "message": one.message}
            for one in outcome.effects
        ],
    }


def _lines(answer: Answer) -> Iterator[str]:
    why = answer.why
    yield f"{answer.tenant.key}: {'feasible' if answer.feasible else 'not feasible'}: {why.reason}"
    if why.reason != Reason.PLACED:
        yield f"  {why.message}"
    for placement in answer.placements:
        if not answer.verdict.admitted:  # no forecast is of the load that it asks for
            yield f"  meanwhile on {placement.place} ({answer.models[placement.place]}), as well as can be"
            continue
        forecast, model = answer.devices[placement.place], answer.models[placement.place]
        waits = f", once it is rid of {placement.waits_for}" if placement.waits_for else ""
        yield (
            f"  on {placement.place} ({model}), then {forecast.best:.0%} busy with all at their most accurate tiers,"
            f" {forecast.floor:.0%} at their cheapest{waits}"
        )
    for model, tiers in answer.tiers.items():
        for tier in tiers:
            yield f"  tier {tier.name} on {model}: {_cost(tier)}"


def _document(answer: Answer) -> dict[str, object]:
    return {
        "name": answer.tenant.name,
        "namespace": answer.tenant.namespace,
        "feasible": answer.feasible,
        "exists": answer.known,
        "reason": str(answer.why.reason),
        "message": answer.why.message,
        "counterOffer": _offer(answer.verdict.counter_offer),
        "placements": [
            {
                "nodeName": placement.node,
                "device": placement.device,
                "deviceModel": answer.models[placement.place],
                "cause": str(placement.cause),
                "waitsFor": placement.waits_for,
                "utilisation": round(answer.devices[placement.place].best, 4),
                "leastUtilisation": round(answer.devices[placement.place].floor, 4),
                "memoryBytes": answer.devices[placement.place].memory,
            }
            for placement in answer.placements
        ],
        "tiers": [
            {
                "name": tier.name,
                "deviceModel": model,
                "seconds": tier.seconds,
                "p99": tier.p99,
                "memoryBytes": tier.memory,
                "measured": tier.measured,
            }
            for model, tiers in answer.tiers.items()
            for tier in tiers
        ],
    }


def _cost(tier: TierCost) -> str:
    memory = f"{tier.memory / _MEBIBYTE:.4g} MiB"
    if not tier.measured:
        return f"not measured yet; {tier.seconds * 1e3:.3g} ms a request and {memory} are assumed"
    return f"{tier.seconds * 1e3:.3g} ms a request, p99 {tier.p99 * 1e3:.3g} ms alone, {memory}"


def _offer(offer: CounterOffer | None) -> dict[str, object] | None:
    if offer is None:
        return None
    members: dict[str, object] = {}
    if offer.deadline is not None:
        members["deadline"] = format_duration(offer.deadline)
    if offer.min_accuracy is not None:
        members["minAccuracy"] = offer.min_accuracy
    if offer.requests_per_second is not None:
        members["requestsPerSecond"] = offer.requests_per_second
    return members
