"""The CEL rules of a CustomResourceDefinition (`x-kubernetes-validations`), evaluated as the API server would.

The same text runs here through cel-python and there through cel-go. Objects are checked as if they were created, so a
transition rule, which speaks of `oldSelf`, has nothing to compare with and holds, as on a create in a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import celpy
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError

Schema = Mapping[str, object]

_TRANSITION = re.compile(r"\boldSelf\b")


class RuleError(Exception):
    """Raised when a rule of the definition itself cannot be compiled or evaluated: a fault of treadle, not of the
    manifest.
    """


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that an object does not keep: the path of the field it is about, and the rule's message."""

    path: str
    message: str


def broken_rules(schema: Schema, value: object, path: str = "") -> Iterator[Broken]:
    """Rules that `value` breaks, outermost first; `value` keeps the schema's other keywords and has its defaults.

    Raises:
        RuleError: a rule cannot be evaluated.
    """
    for rule in _rules(schema):
        if not _TRANSITION.search(rule.text) and not _holds(rule.text, value):
            yield Broken(f"{path}{rule.field_path}".lstrip("."), rule.message)
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties")
        assert isinstance(properties, Mapping)
        for key, member in value.items():
            inner = properties.get(key, others)
            if isinstance(inner, Mapping):
                yield from broken_rules(inner, member, f"{path}.{key}")
    elif isinstance(value, Sequence) and isinstance(items := schema.get("items"), Mapping):
        for index, item in enumerate(value):
            yield from broken_rules(items, item, f"{path}[{index}]")


def compile_rules(schema: Schema) -> None:
    """Compile all rules of a schema beforehand; raises RuleError."""
    for rule in _rules(schema):
        _program(rule.text)
    properties = schema.get("properties", {})
    assert isinstance(properties, Mapping)
    for inner in (*properties.values(), schema.get("additionalProperties"), schema.get("items")):
        if isinstance(inner, Mapping):
            compile_rules(inner)


@dataclass(frozen=True, slots=True)
class _Rule:
    text: str
    message: str
    field_path: str


def _rules(schema: Schema) -> Iterator[_Rule]:
    rules = schema.get("x-kubernetes-validations", ())
    assert isinstance(rules, Sequence)
    for rule in rules:
        yield _Rule(rule["rule"], rule.get("message", f"must keep the rule {rule['rule']}"), rule.get("fieldPath", ""))


def _holds(text: str, value: Any) -> bool:
    try:
        return bool(_program(text).evaluate({"self": json_to_cel(value)}))
    except CELEvalError as error:
        raise RuleError(f"the rule {text!r} cannot be evaluated: {error}") from error


@cache
def _environment() -> celpy.Environment:
    return celpy.Environment()


@cache
def _program(text: str) -> celpy.Runner:
    environment = _environment()
    try:
        return environment.program(environment.compile(text))
    except CELParseError as error:
        raise RuleError(f"the rule {text!r} cannot be compiled: {error}") from error
