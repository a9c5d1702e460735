"""Checking an object against its CustomResourceDefinition as a strict API server does, without a cluster.

In the API server's order: whole numbers become integers, nulls of fields that may not be null are dropped, defaults are
set, the OpenAPI schema is checked and unknown fields are refused, and last the CEL rules, which may rely on all that.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import re2
from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators
from jsonschema.protocols import Validator

from treadle.crds import Definition
from treadle.rules import broken_rules, compile_rules
from treadle_api.forms import in_words

Schema = Mapping[str, object]
Object = dict[str, object]

_SHOWN_CHARACTERS = 60
_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field."""

    field: str
    reason: str


class ObjectSchema:
    """The checks of one custom resource."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._schema = _with_object_meta(definition.schema)
        compile_rules(self._schema)
        self._validator: Validator = _Checker(_strict(self._schema), format_checker=_formats)

    def complete(self, manifest: Mapping[str, object], *, with_status: bool = False) -> Object:
        """A copy without ignored nulls, with the defaults: the object as an API server would store it.

        As on a create, its status is left out; `with_status`, it stays, as in a write of the status.
        """
        copy = {key: deepcopy(value) for key, value in manifest.items() if with_status or key != "status"}
        _make_integers(self._schema, copy)
        _drop_nulls(self._schema, copy)
        _set_defaults(self._schema, copy)
        return copy

    def problems(self, completed: dict[str, Any]) -> list[Problem]:
        """Everything that is wrong with a completed object; empty when an API server would accept it."""
        for key, expected in (("apiVersion", self._definition.api_version), ("kind", self._definition.kind)):
            if (found := completed.get(key)) != expected:
                return [Problem(key, f"must be {expected}" + (f", is {_show(found)}" if found else ""))]
        found = [problem for error in self._validator.iter_errors(completed) for problem in _explain(error)]
        if found:
            return sorted(found, key=lambda problem: problem.field)
        return [Problem(broken.path, broken.message) for broken in broken_rules(self._schema, completed)]


def _with_object_meta(schema: Schema) -> Object:
    """The schema with what the API server itself demands of metadata, whose other fields are its own business."""
    properties = schema["properties"]
    assert isinstance(properties, Mapping)
    metadata, required = properties["metadata"], schema.get("required", ())
    assert isinstance(required, Sequence)
    label = {"type": "string", "minLength": 1, "maxLength": 63, "pattern": _LABEL}
    name = {"type": "string", "minLength": 1, "maxLength": 253, "pattern": _SUBDOMAIN}
    members = {"name": name, **metadata.get("properties", {}), "namespace": label}
    complete = {**metadata, "required": ["name"], "properties": members, "x-kubernetes-preserve-unknown-fields": True}
    return {
        **schema,
        "required": [*{"metadata": None, **dict.fromkeys(required)}],
        "properties": {**properties, "metadata": complete},
    }


def _strict(schema: Schema) -> Object:
    """The schema with unknown fields refused, as `kubectl apply` refuses them."""
    strict = dict(schema)
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        strict["properties"] = {name: _strict(inner) for name, inner in properties.items()}
        strict["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    elif isinstance(others := schema.get("additionalProperties"), Mapping):
        strict["additionalProperties"] = _strict(others)
    if isinstance(items := schema.get("items"), Mapping):
        strict["items"] = _strict(items)
    if schema.get("nullable"):
        strict["type"] = [schema["type"], "null"]
    return strict


def _members(schema: Schema, value: object) -> Iterator[tuple[Any, Schema, object]]:
    """The members and list items inside a value, each with its key or index and its schema."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        assert isinstance(properties, Mapping)
        for key, member in value.items():
            inner = properties.get(key, schema.get("additionalProperties"))
            if isinstance(inner, Mapping):
                yield key, inner, member
    elif isinstance(value, list) and isinstance(items := schema.get("items"), Mapping):
        for index, item in enumerate(value):
            yield index, items, item


def _make_integers(schema: Schema, value: object) -> None:
    """Write 1.0 as 1 where an integer belongs, as an API server does."""
    for place, inner, member in [*_members(schema, value)]:
        if inner.get("type") == "integer" and isinstance(member, float) and member.is_integer():
            assert isinstance(value, dict | list)
            value[place] = int(member)
        _make_integers(inner, member)


def _drop_nulls(schema: Schema, value: object) -> None:
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        assert isinstance(properties, Mapping)
        for key in [key for key, member in value.items() if member is None]:
            inner = properties.get(key, schema.get("additionalProperties"))
            if isinstance(inner, Mapping) and not inner.get("nullable"):
                del value[key]
    for _, inner, member in _members(schema, value):
        _drop_nulls(inner, member)


def _set_defaults(schema: Schema, value: object) -> None:
    properties = schema.get("properties")
    if isinstance(value, dict) and isinstance(properties, Mapping):
        for key, inner in properties.items():
            if "default" in inner and key not in value:
                value[key] = deepcopy(inner["default"])
    for _, inner, member in _members(schema, value):
        _set_defaults(inner, member)


def _pattern(_: Validator, pattern: str, instance: object, __: Schema) -> Iterator[ValidationError]:
    """Patterns through RE2, whose syntax and `$` are those of the API server's."""
    if isinstance(instance, str) and not re2.search(pattern, instance):
        yield ValidationError("does not match")


def _list_map_keys(_: Validator, keys: Sequence[str], instance: object, __: Schema) -> Iterator[ValidationError]:
    """Items of a list of type map are told apart by their keys."""
    if not isinstance(instance, list):
        return
    seen: list[object] = []
    for index, item in enumerate(instance):
        identity = [item.get(key) for key in keys] if isinstance(item, dict) else None
        if identity is not None and None not in identity and identity in seen:
            shown = ", ".join(f"{key} {_show(item[key])}" for key in keys)
            yield ValidationError(f"has the {shown} of an earlier item", path=[index, *keys])
        seen.append(identity)


_Checker = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {"pattern": _pattern, "x-kubernetes-list-map-keys": _list_map_keys},
)

_formats = FormatChecker(formats=())


@_formats.checks("date-time", raises=ValueError)
def _date_time(value: object) -> bool:
    """A time of the calendar; the pattern beside the format says in which form."""
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


def _explain(error: ValidationError) -> Iterator[Problem]:
    """The problems of one schema error, in words that name the fix."""
    field, schema = _field(error), error.schema
    value: Any = error.instance
    assert isinstance(schema, Mapping)
    match error.validator:
        case "additionalProperties":
            yield from _unknown_fields(field, value, schema)
        case "required":
            missing = error.message.split("'")[1]
            yield Problem(f"{field}.{missing}".lstrip("."), "is required")
        case "type":
            if error.validator_value == "string" and (with_unit := _with_unit(value, schema)):
                yield Problem(field, f'must be a string with a unit, for example "{with_unit}", not {value}')
                return
            quote = ": quote it" if error.validator_value == "string" and not isinstance(value, dict | list) else ""
            yield Problem(field, f"must be {_article(schema['type'])}, not {_article(_type_name(value))}{quote}")
        case "pattern":
            if with_unit := _with_unit(value, schema):
                yield Problem(field, f"{_show(value)} needs a unit, for example {with_unit}")
                return
            example = f", for example {schema['example']}" if "example" in schema else ""
            yield Problem(field, f"{_show(value)} must be {in_words(str(error.validator_value))}{example}")
        case "enum":
            yield Problem(field, f"{_show(value)} must be one of {', '.join(map(str, schema['enum']))}")
        case "minLength" | "maxLength" | "minItems" | "maxItems" | "maxProperties":
            most = error.validator.startswith("max")
            unit = {"L": "characters", "I": "items", "P": "entries"}[error.validator[3]]
            bound = f"at {'most' if most else 'least'} {error.validator_value}"
            yield Problem(field, f"must have {bound} {unit}, has {len(value)}")
        case "minimum" | "maximum":
            bound = "most" if error.validator == "maximum" else "least"
            yield Problem(field, f"must be at {bound} {error.validator_value}, is {value}")
        case _:
            yield Problem(field, error.message)


def _with_unit(value: object, schema: Schema) -> str:
    """A bare number with the unit of the field's example, or "" where that does not make it right."""
    unit = str(schema.get("example", "")).lstrip("0123456789")
    completed = f"{value}{unit}"
    number = isinstance(value, int | str) and not isinstance(value, bool) and str(value).isdecimal()
    return completed if number and unit.isalpha() and re2.search(schema.get("pattern", ""), completed) else ""


def _unknown_fields(field: str, value: Object, schema: Schema) -> Iterator[Problem]:
    known = schema["properties"]
    assert isinstance(known, Mapping)
    for key in value.keys() - known.keys():
        near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        yield Problem(f"{field}.{key}".lstrip("."), f"is not a known field; {hint}")


def _field(error: ValidationError) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    return "".join(steps).lstrip(".")


def _type_name(value: object) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _article(name: object) -> str:
    return "null" if name == "null" else f"{'an' if str(name)[0] in 'aeio' else 'a'} {name}"


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
