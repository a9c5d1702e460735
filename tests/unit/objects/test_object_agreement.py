"""The definitions (schema and CEL) and treadle_api accept the same objects, and read the same defaults."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from api_objects import JUNK, LABELS, edges
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from treadle_api.fields import FieldError
from treadle_api.node import read_node
from treadle_api.profile import read_profile
from treadle_api.replica import read_replica
from treadle_api.tenant import read_tenant

READERS = {"tenant": read_tenant, "replica": read_replica, "node": read_node, "profile": read_profile}
Strategy = st.SearchStrategy[Any]


def read(name: str, manifest: Mapping[str, Any]) -> object:
    """What a reader makes of a manifest; None where it refuses it."""
    try:
        return READERS[name](manifest)
    except FieldError:
        return None


def assert_agreement(case, manifest):
    if case.name == "tenant":  # nobody reads its status as a whole
        manifest = {key: value for key, value in manifest.items() if key != "status"}
    problems = case.problems(manifest)
    found = read(case.name, manifest)
    assert (found is None) == bool(problems), (problems, manifest)
    if found is not None:
        assert READERS[case.name](case.completed(manifest)) == found, "their defaults differ"
    return found is not None


def test_both_draw_the_same_line(object_case):
    """Objects that are right but for one value, on either side of what is allowed."""
    case = object_case
    for steps, schema, value in case.fields():
        if (case.name, steps[0]) == ("tenant", "status") or steps[:2] == ("spec", "template"):
            continue  # nobody reads the one as a whole; the other is held equal to the tenant's spec
        base = {"spec.switching": {}} if steps[:2] == ("spec", "slo") and case.name == "tenant" else {}
        values = [*edges(schema, value), *JUNK]
        verdicts = {assert_agreement(case, case.changed({**base, steps: wrong})) for wrong in values}
        assert verdicts == {True, False}, f"no value of {steps} was on the other side"


@pytest.mark.parametrize("member", ["name", "namespace"])
def test_both_take_the_same_names(object_case, member):
    case = object_case
    verdicts = set()
    for value in [*LABELS, *JUNK]:
        if member == "name" or "namespace" in case.whole["metadata"]:
            verdicts.add(assert_agreement(case, case.changed({("metadata", member): value})))
    assert verdicts == ({True, False} if member == "name" or "namespace" in case.whole["metadata"] else set())


# What an API server returns is never 1.0: it has made that 1.
fractions = st.floats().filter(lambda number: not number.is_integer())


def values_of(schema: Mapping[str, Any], value: Any) -> Strategy:
    """Values for one field: mostly near the border of what is allowed."""
    near = st.sampled_from(edges(schema, value) or [value])
    junk = st.sampled_from(JUNK) | st.text(max_size=8) | fractions | st.integers()
    own = st.from_regex(schema["pattern"]) if "pattern" in schema else st.just(value)
    return st.one_of(near, own, own, st.just(value), junk)


@st.composite
def manifests(draw: st.DrawFn, case: Any) -> Any:
    """The whole manifest with up to three other values, or fields left out."""
    manifest = copy.deepcopy(case.whole)
    fields = list(case.fields())
    for _ in range(draw(st.integers(0, 3))):
        steps, schema, value = draw(st.sampled_from(fields))
        place: Any = manifest
        for step in steps[:-1]:
            inside = isinstance(place, list) and isinstance(step, int) and step < len(place)
            place = place[step] if inside else place.get(step) if isinstance(place, dict) else None
        if isinstance(place, dict):
            if draw(st.integers(0, 3)):
                place[steps[-1]] = copy.deepcopy(draw(values_of(schema, value)))
            else:
                place.pop(steps[-1], None)
        elif isinstance(place, list) and place:
            place[0] = copy.deepcopy(draw(values_of(schema, value)))
    return manifest


def test_both_accept_the_same_objects(object_case):
    case = object_case
    verdicts = []

    @settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
    @given(manifests(case))
    @example({})
    @example({"apiVersion": "v1", "kind": "Pod"})
    def judge(manifest):
        verdicts.append(assert_agreement(case, manifest))

    judge()
    assert verdicts.count(True) > 5
    assert verdicts.count(False) > 5


seconds = st.sampled_from(["0", "0.1", "0.10", "0.2", "1"])
percent = st.sampled_from(["0", "50", "90", "99.5", "99.50"])
some_tiers = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abc"), "accuracy": percent, "model": st.just({"uri": "m.onnx"})}),
    min_size=1,
    max_size=4,
)
switching = st.fixed_dictionaries(
    {}, optional={"mode": st.sampled_from(["Automatic", "Pinned"]), "tier": st.sampled_from("abc")}
)
count = st.integers(1, 3)
rows = st.fixed_dictionaries({"rows": count, "p50": seconds, "p99": seconds})
rates = st.fixed_dictionaries({"requestsPerSecond": seconds, "p50": seconds, "p99": seconds})
cordoned = st.fixed_dictionaries({"id": st.sampled_from("ab"), "reason": st.just("slow")})
# Well-formed values of fields that rules compare with each other.
COMPARED: dict[str, dict[str, Strategy]] = {
    "tenant": {
        "spec.slo.minAccuracy": percent,
        "spec.tiers": some_tiers,
        "spec.switching": switching,
        "spec.replicas": st.fixed_dictionaries({}, optional={"min": count, "max": count}),
    },
    "replica": {
        "spec.template.slo.minAccuracy": percent,
        "spec.template.tiers": some_tiers,
        "spec.template.switching": switching,
    },
    "node": {
        "spec.cordonedDevices": st.lists(cordoned, max_size=3),
        "status.devices.0.utilisation": st.sampled_from(["0", "1", "1.0", "1.000000001", "2"]),
    },
    "profile": {"spec.batches": st.lists(rows, min_size=1, max_size=3), "spec.loads": st.lists(rates, max_size=3)},
}


def test_both_find_the_same_contradictions(object_case):
    case = object_case
    verdicts = []

    @settings(max_examples=80)
    @given(st.fixed_dictionaries(COMPARED[case.name]))
    def judge(changes):
        verdicts.append(assert_agreement(case, case.changed(changes)))

    judge()
    assert set(verdicts) == {True, False}
