"""The definition's schema, evaluated without a cluster."""

from __future__ import annotations

import pytest

from treadle.crds import Definition, read_definition
from treadle.schema import ObjectSchema

SCHEMA = ObjectSchema(read_definition())


def problems(manifest):
    return SCHEMA.problems(SCHEMA.complete(manifest))


def test_the_whole_manifest_is_accepted(changed):
    assert problems(changed()) == []


@pytest.mark.parametrize(
    ("path", "value", "field", "reason"),
    [
        (("spec", "slo", "deadlin"), "1s", "spec.slo.deadlin", "is not a known field; did you mean deadline?"),
        (("spec", "zzz"), 1, "spec.zzz", "is not a known field; known here: slo, tiers, load, priority"),
        (
            ("spec", "tiers", 0, "model", "url"),
            "m",
            "spec.tiers[0].model.url",
            "is not a known field; did you mean uri?",
        ),
        (("spec", "slo", "deadline"), ..., "spec.slo.deadline", "is required"),
        (("metadata", "name"), ..., "metadata.name", "is required"),
        (("metadata", "namespace"), "a.b", "metadata.namespace", "'a.b' must be lower-case letters, digits and -,"),
        (("spec", "tiers", 1, "accuracy"), 97.5, "spec.tiers[1].accuracy", "must be a string, not a number: quote it"),
        (("spec", "priority"), "high", "spec.priority", "must be an integer, not a string"),
        (("spec", "priority"), 1.5, "spec.priority", "must be an integer, not a number"),
        (("spec", "priority"), True, "spec.priority", "must be an integer, not a boolean"),
        (("spec", "priority"), 11, "spec.priority", "must be at most 10, is 11"),
        (
            ("spec", "slo", "deadline"),
            "750x",
            "spec.slo.deadline",
            "'750x' must be whole numbers with h, m, s or ms, largest unit hours: a day is 24h, for example 750ms",
        ),
        (("spec", "slo", "deadline"), "100", "spec.slo.deadline", "'100' needs a unit, for example 100ms"),
        (
            ("spec", "slo", "deadline"),
            100,
            "spec.slo.deadline",
            'must be a string with a unit, for example "100ms", not 100',
        ),
        (("spec", "slo", "deadline"), "1000000", "spec.slo.deadline", "'1000000' must be whole numbers"),
        (("spec", "slo", "window"), "30", "spec.slo.window", "'30' needs a unit, for example 30h"),
        (("spec", "slo", "objective"), "199", "spec.slo.objective", "'199' must be 0 to 100 with at most 4 decimals"),
        (("spec", "slo", "deadline"), "1s\n", "spec.slo.deadline", "'1s\\n' must be whole numbers"),
        (("spec", "tiers"), [], "spec.tiers", "must have at least 1 items, has 0"),
        (("spec", "tiers", 1, "name"), "small", "spec.tiers[1].name", "has the name 'small' of an earlier item"),
        (("spec", "switching", "mode"), "pinned", "spec.switching.mode", "'pinned' must be one of Automatic, Pinned"),
        (("spec", "nodeSelector", "gpu"), "a b", "spec.nodeSelector.gpu", "'a b' must be letters, digits"),
        (("kind",), "Pod", "kind", "must be InferenceTenant, is 'Pod'"),
        (("apiVersion",), ..., "apiVersion", "must be treadle.dev/v1alpha1"),
        (("spec",), None, "spec", "is required"),
    ],
)
def test_problems_name_the_field_and_the_fix(changed, path, value, field, reason):
    found = problems(changed((path, value)))
    assert any(one.field == field and one.reason.startswith(reason) for one in found), found


def test_all_problems_are_found_at_once(changed):
    found = problems(changed((("spec", "priority"), 0), (("spec", "slo", "deadline"), ...), (("spec", "x"), 1)))
    assert [one.field for one in found] == ["spec.priority", "spec.slo.deadline", "spec.x"]


def test_metadata_is_the_api_servers_business(changed):
    assert problems(changed((("metadata", "labels"), {"a": "b"}), (("metadata", "generation"), 3))) == []


def test_a_status_is_ignored_as_on_a_create(changed):
    assert problems(changed((("status",), {"anything": 1}))) == []


def test_defaults_are_set_inside_of_defaults(changed):
    completed = SCHEMA.complete(changed((("spec", "replicas"), ...), (("spec", "switching"), {})))
    assert completed["spec"]["replicas"] == {"min": 1}
    assert completed["spec"]["switching"] == {"mode": "Automatic"}


def test_whole_numbers_are_integers(changed):
    completed = SCHEMA.complete(changed((("spec", "priority"), 2.0), (("spec", "unheardOf"), [1.0])))
    assert completed["spec"]["priority"] == 2
    assert type(completed["spec"]["priority"]) is int
    assert type(completed["spec"]["unheardOf"][0]) is float


def test_nulls_are_dropped_then_defaulted(changed):
    completed = SCHEMA.complete(changed((("spec", "priority"), None), (("spec", "load"), None)))
    assert completed["spec"]["priority"] == 5
    assert "load" not in completed["spec"]


def test_the_manifest_itself_is_not_changed(changed):
    manifest = changed((("spec", "replicas"), ...))
    SCHEMA.complete(manifest)
    assert "replicas" not in manifest["spec"]


def test_nullable_fields_keep_their_null():
    properties = {
        "metadata": {"type": "object", "properties": {}},
        "a": {"type": "string", "nullable": True, "default": "x"},
    }
    schema = ObjectSchema(
        Definition("v1", "A", {"type": "object", "properties": {**properties, "apiVersion": {}, "kind": {}}})
    )
    completed = schema.complete({"apiVersion": "v1", "kind": "A", "metadata": {"name": "n"}, "a": None})
    assert (completed["a"], schema.problems(completed)) == (None, [])
