"""Every rule and bound of the definitions: an object that keeps it, one that breaks it, what its author is told.

Two judges here, the schema evaluator and treadle_api; tests/cluster has the third, a real API server.
"""

from __future__ import annotations

import pytest

from treadle.rules import broken_rules
from treadle_api.fields import FieldError
from treadle_api.node import read_node
from treadle_api.profile import read_profile
from treadle_api.replica import read_replica
from treadle_api.tenant import read_tenant

READERS = {"tenant": read_tenant, "replica": read_replica, "node": read_node, "profile": read_profile}


def rules(schema: object) -> list[dict[str, str]]:
    """All rules of a schema, by walking everything in it."""
    if isinstance(schema, dict):
        own = schema.get("x-kubernetes-validations", [])
        return [*own, *(rule for key, inner in schema.items() if not key.startswith("x-") for rule in rules(inner))]
    return [rule for inner in schema for rule in rules(inner)] if isinstance(schema, list) else []


def test_the_whole_object_has_every_field_and_is_accepted(object_case):
    assert list(object_case.fields())
    assert object_case.problems(object_case.whole) == []
    READERS[object_case.name](object_case.whole)


def test_rule(object_case, object_rule):
    kept, broken = object_case.changed(object_rule.keeps), object_case.changed(object_rule.breaks)
    assert object_case.problems(kept) == []
    READERS[object_case.name](kept)
    found = list(broken_rules(object_case.schema, object_case.completed(broken)))
    assert [one.path for one in found if one.message.startswith(object_rule.message)] == [object_rule.field]
    with pytest.raises(FieldError) as error:
        READERS[object_case.name](broken)
    if object_rule.native:
        assert error.value.field.startswith(object_rule.field)
    else:
        inside, parent = error.value.field.startswith(object_rule.field), object_rule.field.rpartition(".")[0]
        assert inside or error.value.field == parent


def test_every_rule_has_a_message_and_a_case(object_case):
    for rule in rules(object_case.schema):
        known = object_case.transitions if "oldSelf" in rule["rule"] else object_case.rules
        assert any(rule["message"].startswith(one.message) for one in known), rule


def test_wrong_values_are_refused_with_the_fields_name(wrong_object):
    for why, field, manifest in wrong_object.refused:
        found = wrong_object.case.problems(manifest)
        assert any(one.field == field or one.field.startswith(f"{field}.") for one in found), (why, found)


def test_wrong_values_cannot_be_read(wrong_object):
    for why, field, manifest in wrong_object.refused:
        if (wrong_object.case.name, wrong_object.steps[0]) == ("tenant", "status"):
            assert read_tenant(manifest), "a tenant is its spec, whatever its status is"
        else:
            with pytest.raises(FieldError) as error:
                READERS[wrong_object.case.name](manifest)
            assert error.value.field.startswith(field), why


def test_a_wrong_form_is_told_in_words(object_case):
    """By the evaluator and by the readers, never as a pattern."""
    for steps, schema, _ in object_case.fields():
        if "pattern" not in schema:
            continue
        wrong = object_case.changed({steps: "\n"})
        told = [one.reason for one in object_case.problems(wrong)]
        if (object_case.name, steps[0]) != ("tenant", "status"):  # which nobody reads as a whole
            with pytest.raises(FieldError) as error:
                READERS[object_case.name](wrong)
            told.append(error.value.reason)
        assert not any("^" in one or "[" in one or "of the form" in one for one in told), told
