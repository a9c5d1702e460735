"""The objects of this folder: accepted and refused ones of every kind, as data.

The schema evaluator and treadle_api judge them in tests/unit/objects, a real API server in tests/cluster.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from treadle.crds import Definition, read_definition
from treadle.schema import ObjectSchema, Problem

FOLDER = Path(__file__).parent
Manifest = dict[str, Any]
Steps = tuple[str | int, ...]


@dataclass(frozen=True)
class Rule:
    """A rule: where it reports, how its message starts, a change that keeps it, one that breaks it.

    `native`: what an API server says instead, whose own check comes first.
    """

    field: str
    message: str
    keeps: Manifest
    breaks: Manifest
    native: str = ""


@dataclass(frozen=True)
class Case:
    """One kind of object: a manifest with every field, its rules, and its rules about updates."""

    name: str
    definition: str
    whole: Manifest
    rules: tuple[Rule, ...]
    transitions: tuple[Rule, ...]

    @property
    def schema(self) -> Mapping[str, Any]:
        """The kind's OpenAPI schema."""
        return _definition(self.definition).schema

    def problems(self, manifest: Manifest) -> list[Problem]:
        """What an API server would find wrong with a manifest, and with its status as if that were written."""
        schema = _object_schema(self.definition)
        return schema.problems(schema.complete(manifest, with_status=True))

    def completed(self, manifest: Manifest) -> Manifest:
        """A manifest with its defaults, as an API server would store it."""
        return _object_schema(self.definition).complete(manifest, with_status=True)

    def changed(self, changes: Mapping[Steps | str, object]) -> Manifest:
        """The whole manifest with other values at some paths: ``spec.tiers.0.name``, or its steps."""
        manifest = copy.deepcopy(self.whole)
        for path, value in changes.items():
            *above, last = steps(path)
            place: Any = manifest
            for step in above:
                place = place[step]
            place[last] = copy.deepcopy(value)
        return manifest

    def fields(self) -> Iterator[tuple[Steps, Mapping[str, Any], Any]]:
        """Each field in spec and status: where it is, its schema and its value, of lists the first item."""
        properties = self.schema["properties"]
        for part in ("spec", "status"):
            if part in properties:
                yield from _fields(properties[part], self.whole[part], (part,))


@dataclass(frozen=True)
class Wrong:
    """Values that one field may not have: why, where that is reported, and the manifest. `steps`: where it is."""

    case: Case
    steps: Steps
    refused: tuple[tuple[str, str, Manifest], ...]


def steps(path: Steps | str) -> Steps:
    """The keys and indices of a dotted path."""
    return tuple(int(step) if step.isdigit() else step for step in path.split(".")) if isinstance(path, str) else path


def dotted(path: Steps) -> str:
    """A path as it is reported."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def _fields(schema: Mapping[str, Any], value: Any, path: Steps) -> Iterator[tuple[Steps, Mapping[str, Any], Any]]:
    yield path, schema, value
    if isinstance(value, dict):
        for key, inner in schema.get("properties", dict.fromkeys(value, schema.get("additionalProperties"))).items():
            assert key in value, f"the whole manifest lacks {dotted((*path, key))}"
            yield from _fields(inner, value[key], (*path, key))
    elif isinstance(value, list):
        yield from _fields(schema["items"], value[0], (*path, 0))


def _wrong_values(schema: Mapping[str, Any], value: Any, path: Steps) -> Iterator[tuple[str, Steps, object]]:
    """What a field may not be: why, where that is reported, and the field's value."""
    other: object = 7 if schema["type"] == "string" else "seven"
    yield "another type", path, other
    for key in schema.get("required", ()):
        yield "required", (*path, key), {name: member for name, member in value.items() if name != key}
    if "enum" in schema:
        yield "enum", path, "nonsense"
    if "pattern" in schema:
        yield "pattern", path, "\n"
    if "format" in schema and schema["format"] == "date-time":
        yield "no such day", path, "2026-02-30T00:00:00Z"
    bounds = {
        "minimum": lambda least: least - 1,
        "maximum": lambda most: most + 1,
        "minLength": lambda least: "a" * (least - 1),
        "maxLength": lambda most: "a" * (most + 1),
        "minItems": lambda least: value[: least - 1],
        "maxItems": lambda most: value[:1] * (most + 1),
        "maxProperties": lambda most: {f"k{number}": "" for number in range(most + 1)},
    }
    for key, beyond in bounds.items():
        if key in schema:
            yield key, path, beyond(schema[key])
    if "x-kubernetes-list-map-keys" in schema:
        yield "a key twice", (*path, 1), value[:1] * 2


@cache
def _definition(name: str) -> Definition:
    return read_definition(name)


@cache
def _object_schema(name: str) -> ObjectSchema:
    return ObjectSchema(_definition(name))


@cache
def cases() -> tuple[Case, ...]:
    """Every kind."""
    found = []
    for file in sorted(FOLDER.glob("*.yaml")):
        data = yaml.safe_load(file.read_text())
        rules, transitions = (tuple(Rule(**rule) for rule in data.pop(key)) for key in ("rules", "transitions"))
        found.append(Case(file.stem, rules=rules, transitions=transitions, **data))
    return tuple(found)


def wrong_objects(case: Case) -> Iterator[Wrong]:
    """Wrong values of every field of a kind."""
    for path, schema, value in case.fields():
        refused = (
            (why, dotted(at), case.changed({path: wrong})) for why, at, wrong in _wrong_values(schema, value, path)
        )
        yield Wrong(case, path, tuple(refused))


_UNIQUE = re.compile(r"self\.all\(a, self\.exists_one\(b, b\.(\w+) == a\.\1\)\)")
LABELS = ["a", "b", "a-b", "a1", "1a", "A", "a.b", "a..b", "-a", "a-", "a\n", *("a" * n for n in (55, 56, 63, 64, 253))]
FORMS = yaml.safe_load((FOLDER / "forms" / "strings.yaml").read_text())
JUNK = [None, True, False, 0, 1, 1.5, "", [], {}, ["a"], [None]]
LABEL_KEYS = ["", "gpu", "treadle.dev/gpu", "k" * 317, "k" * 318]


def edges(schema: Mapping[str, Any], value: Any) -> list[Any]:
    """Values around the border of what a field may be."""
    match schema["type"]:
        case "string":
            longest = schema.get("maxLength", 1)
            forms = FORMS[schema.get("pattern", "")]
            return [value, *forms, f"{value}\n", "a" * longest, "a" * (longest + 1), "1" * longest]
        case "integer":
            return [bound + step for bound in (schema["minimum"], schema["maximum"]) for step in (-1, 0, 1)]
        case "array":
            most = schema["maxItems"]
            keys = schema.get("x-kubernetes-list-map-keys") or _unique(schema)
            items = (
                [_numbered(value[-1], keys, number) for number in range(most + 1)] if keys else value[:1] * (most + 1)
            )
            return [[], value, value[::-1], value[:1] * 2, items[:most], items]
        case "object" if "additionalProperties" in schema:
            keyed = [{key: "a"} for key in LABEL_KEYS]
            return [*keyed, *({str(number): "" for number in range(count)} for count in (16, 17))]
        case "boolean":
            return [True, False]
        case _:
            return [{}, value, *({key: value[key] for key in value if key != left} for left in value)]


def _unique(schema: Mapping[str, Any]) -> list[str]:
    """The members in which a rule has all items of a list differ."""
    rules = (rule["rule"] for rule in schema.get("x-kubernetes-validations", ()))
    return [found[1] for rule in rules if (found := _UNIQUE.fullmatch(rule))]


def _numbered(item: Any, keys: list[str], number: int) -> Any:
    """An item of a list with another key."""
    changed = copy.deepcopy(item)
    for key in keys:
        changed[key] = number + 1 if isinstance(item[key], int) else f"{item[key][:1]}{number}"
    return changed
