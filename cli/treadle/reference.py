"""``python -m treadle.reference FILE`` renders the InferenceTenant definition as a page of documentation."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from treadle.crds import read_definition

Schema = Mapping[str, Any]

_HEAD = """\
<!-- Written by `python -m treadle.reference docs/reference/inferencetenant.md`; change crds/ instead. -->

# InferenceTenant

`apiVersion: {api_version}`, `kind: {kind}`. How to write one: [docs/tenants.md](../tenants.md). Durations are Gateway
API durations (numbers with `h`, `m`, `s` or `ms`); decimals are quoted strings. A field marked **required** must be
given when the object it belongs to is.
"""


def render() -> str:
    """The page, as Markdown."""
    definition = read_definition()
    properties = definition.schema["properties"]
    assert isinstance(properties, Mapping)
    parts = [_HEAD.format(api_version=definition.api_version, kind=definition.kind)]
    required: Any = definition.schema["required"]
    for name in ("metadata", "spec", "status"):
        parts.append(f"\n## {name}\n")
        if "description" in properties[name]:
            parts.append(f"\n{properties[name]['description']}\n")
        parts.extend(_fields(properties[name], name))
        if name in required:
            parts.extend(_rules(properties[name], name))
    return "".join(parts)


def _fields(schema: Schema, path: str) -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        field = f"{path}.{name}"
        yield f"\n### `{field}`\n\n"
        yield f"{_type(inner)}{', **required**' if name in schema.get('required', ()) else ''}{_bounds(inner)}\n\n"
        yield f"{inner['description']}\n"
        yield from _rules(inner, field)
        yield from _fields(inner, field)
        if "items" in inner:
            yield from _fields(inner["items"], f"{field}[]")


def _type(schema: Schema) -> str:
    if "items" in schema:
        return f"list of {schema['items']['type']}s"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"map of {schema['additionalProperties']['type']}s"
    return str(schema["type"])


def _bounds(schema: Schema) -> str:
    """Default, limits and form of a value, in words."""
    found = []
    if "enum" in schema:
        found.append(f"one of {', '.join(f'`{value}`' for value in schema['enum'])}")
    for key, words in (
        ("minimum", "at least {}"),
        ("maximum", "at most {}"),
        ("minItems", "at least {} items"),
        ("maxItems", "at most {} items"),
        ("maxProperties", "at most {} entries"),
        ("maxLength", "at most {} characters"),
        ("pattern", "matches `{}`"),
        ("example", "for example `{}`"),
    ):
        if key in schema:
            found.append(words.format(schema[key]))
    if "default" in schema:
        default = schema["default"]
        members = default.items() if isinstance(default, Mapping) else ()
        shown = ", ".join(f"{key}: {value}" for key, value in members) or default
        found.append(f"default `{shown}`")
    return "".join(f"; {one}" for one in found)


def _rules(schema: Schema, path: str) -> Iterator[str]:
    rules = schema.get("x-kubernetes-validations", ())
    if rules:
        yield "\n"
    for rule in rules:
        yield f"- `{path}{rule.get('fieldPath', '')}` {rule['message']}.\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
