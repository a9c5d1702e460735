"""Each CEL rule of the definition: an object that keeps it, one that breaks it, and what the author is told."""

from __future__ import annotations

import pytest

from treadle.crds import read_definition
from treadle.rules import Broken, RuleError, broken_rules
from treadle.schema import ObjectSchema, Problem

DEFINITION = read_definition()

# Where a rule reports, the start of its message; (path, value) that keeps it, and that breaks it.
CASES = [
    ("metadata.name", "must have at most 55", ("metadata.name", "a" * 55), ("metadata.name", "a" * 56)),
    ("metadata.name", "must have at most 55", ("metadata.name", "a-1"), ("metadata.name", "1-a")),
    ("spec.slo.deadline", "must be longer than zero", ("spec.slo.deadline", "1h"), ("spec.slo.deadline", "1h1ms")),
    ("spec.slo.deadline", "must be longer than zero", ("spec.slo.deadline", "1ms"), ("spec.slo.deadline", "0s")),
    ("spec.slo.objective", "must be above 0", ("spec.slo.objective", "99.9"), ("spec.slo.objective", "100")),
    ("spec.slo.window", "must be 1m to 2160h", ("spec.slo.window", "60s"), ("spec.slo.window", "59s")),
    ("spec.slo.minAccuracy", "must not be above", ("spec.slo.minAccuracy", "97"), ("spec.slo.minAccuracy", "98")),
    ("spec.tiers", "tier names must be unique", ("spec.tiers.0.name", "tiny"), ("spec.tiers.0.name", "large")),
    (
        "spec.tiers[0].model.uri",
        "must be https://",
        ("spec.tiers.0.model.uri", "file:///m.onnx"),
        ("spec.tiers.0.model.uri", "http://h/m.onnx"),
    ),
    (
        "spec.load.requestsPerSecond",
        "must be above 0",
        ("spec.load.requestsPerSecond", "0.1"),
        ("spec.load.requestsPerSecond", "0.0"),
    ),
    ("spec.replicas.max", "must not be below", ("spec.replicas.max", 1), ("spec.replicas", {"min": 2, "max": 1})),
    ("spec.nodeSelector", "label keys", ("spec.nodeSelector", {"k" * 317: ""}), ("spec.nodeSelector", {"k" * 318: ""})),
    ("spec.switching.tier", "is required by mode", ("spec.switching.tier", "large"), ("spec.switching.tier", ...)),
    ("spec.switching.tier", "is for mode Pinned", ("spec.switching", {}), ("spec.switching", {"tier": "large"})),
    ("spec.switching.tier", "must be the name of", ("spec.switching.tier", "small"), ("spec.switching.tier", "huge")),
    ("spec.switching.tier", "must not be a tier", ("spec.slo.minAccuracy", "97.5"), ("spec.slo.minAccuracy", "97.51")),
]


def at(path: str) -> tuple[object, ...]:
    return tuple(int(step) if step.isdigit() else step for step in path.split("."))


def rules(schema: object) -> list[dict[str, str]]:
    """All rules of a schema, by walking everything in it."""
    if isinstance(schema, dict):
        own = schema.get("x-kubernetes-validations", [])
        return [*own, *(rule for key, inner in schema.items() if not key.startswith("x-") for rule in rules(inner))]
    return [rule for inner in schema for rule in rules(inner)] if isinstance(schema, list) else []


@pytest.mark.parametrize(("field", "message", "keeps", "breaks"), CASES)
def test_rule(changed, field, message, keeps, breaks):
    schema = ObjectSchema(DEFINITION)
    assert schema.problems(schema.complete(changed((at(keeps[0]), keeps[1])))) == []
    found = list(broken_rules(DEFINITION.schema, schema.complete(changed((at(breaks[0]), breaks[1])))))
    assert any(one.path == field and one.message.startswith(message) for one in found), found


def test_every_rule_has_a_case_and_a_message():
    messages = [rule["message"] for rule in rules(DEFINITION.schema)]
    assert len(messages) == 14
    assert [one for one in messages if not any(one.startswith(message) for _, message, _, _ in CASES)] == []


def test_no_rule_needs_the_former_object():
    assert [rule["rule"] for rule in rules(DEFINITION.schema) if "oldSelf" in rule["rule"]] == []


def test_transition_rules_hold_on_creation():
    schema = {"x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is immutable"}]}
    assert list(broken_rules(schema, "a")) == []


def test_rules_with_no_field_path_are_about_the_object_they_are_on():
    schema = {"properties": {"a": {"items": {"x-kubernetes-validations": [{"rule": "self > 1", "message": "is low"}]}}}}
    assert list(broken_rules(schema, {"a": [2, 1]})) == [Broken("a[1]", "is low")]


@pytest.mark.parametrize("rule", ["self +", "self.nothing > 1"])
def test_a_wrong_rule_is_our_fault_and_not_the_manifests(rule):
    with pytest.raises(RuleError, match="cannot be"):
        list(broken_rules({"x-kubernetes-validations": [{"rule": rule}]}, {"a": 1}))


def test_schema_problems_come_before_rules(changed):
    schema = ObjectSchema(DEFINITION)
    manifest = changed((("spec", "slo", "minAccuracy"), 98), (("spec", "switching"), {"mode": "Pinned"}))
    assert schema.problems(schema.complete(manifest)) == [
        Problem("spec.slo.minAccuracy", "must be a string, not an integer: quote it")
    ]
