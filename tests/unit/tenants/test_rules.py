"""How CEL rules are evaluated. What the rules of the definitions say is tested in tests/unit/objects."""

from __future__ import annotations

import pytest

from treadle.crds import read_definition
from treadle.rules import Broken, RuleError, broken_rules
from treadle.schema import ObjectSchema, Problem

DEFINITION = read_definition()


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


def test_no_tiers_are_not_taken_for_too_high_a_floor(changed):
    manifest = changed((("spec", "tiers"), []))
    assert not [one for one in broken_rules(DEFINITION.schema, manifest) if "minAccuracy" in one.path]


def test_schema_problems_come_before_rules(changed):
    schema = ObjectSchema(DEFINITION)
    manifest = changed((("spec", "slo", "minAccuracy"), 98), (("spec", "switching"), {"mode": "Pinned"}))
    assert schema.problems(schema.complete(manifest)) == [
        Problem("spec.slo.minAccuracy", "must be a string, not an integer: quote it")
    ]
