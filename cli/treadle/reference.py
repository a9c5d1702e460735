"""``python -m treadle.reference`` renders every definition as a page of documentation in docs/reference."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from treadle.crds import ALL, Definition, read_definition

Schema = Mapping[str, Any]

_HEAD = """\
<!-- Written by `python -m treadle.reference`; change crds/ instead. -->

# {kind}

{about}

`apiVersion: {api_version}`, `kind: {kind}`; {scope}, `kubectl get {short_name}`{selectors}.{guide}
Durations are Gateway API durations (numbers with `h`, `m`, `s` or `ms`); decimals are quoted strings. A field marked
**required** must be given when the object it belongs to is.
"""
_GUIDES = {"InferenceTenant": " How to write one: [docs/tenants.md](../tenants.md)."}


def pages() -> dict[str, str]:
    """The Markdown of each definition's page, by the name of its file."""
    definitions = [read_definition(name) for name in ALL]
    return {f"{definition.kind.lower()}.md": render(definition) for definition in definitions}


def render(definition: Definition) -> str:
    """One definition as Markdown."""
    properties: Any = definition.schema["properties"]
    fields = [f"`{path.lstrip('.')}`" for path in definition.selectable]
    head = _HEAD.format(
        kind=definition.kind,
        about=definition.schema["description"],
        api_version=definition.api_version,
        scope="in a namespace" if definition.namespaced else "cluster-wide",
        short_name=definition.short_name,
        selectors=f", field selectors {' and '.join(fields)}" if fields else "",
        guide=_GUIDES.get(definition.kind, ""),
    )
    parts = [head, *_rules(definition.schema, "")]
    for name in ("metadata", "spec", "status"):
        if name in properties and "properties" in properties[name]:
            parts.append(f"\n## {name}\n")
            if "description" in properties[name]:
                parts.append(f"\n{properties[name]['description']}\n")
            parts.extend(_rules(properties[name], name))
            parts.extend(_fields(properties[name], name))
    return "".join(parts)


def _fields(schema: Schema, path: str) -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        field = f"{path}.{name}"
        yield f"\n### `{field}`\n\n"
        required = ", **required**" if name in schema.get("required", ()) else ""
        yield f"{_type(inner)}{required}{_bounds(inner)}{_bounds_of_members(inner)}\n\n"
        yield f"{inner['description']}\n"
        yield from _rules(inner, field)
        yield from _fields(inner, field)
        if "items" in inner:
            yield from _rules(inner["items"], f"{field}[]")
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


def _bounds_of_members(schema: Schema) -> str:
    """Limits and form of the values in a list or map of plain values."""
    members = schema.get("items", schema.get("additionalProperties"))
    bounds = _bounds(members) if isinstance(members, Mapping) else ""
    return f"; each{bounds[1:]}" if bounds else ""


def _rules(schema: Schema, path: str) -> Iterator[str]:
    rules = schema.get("x-kubernetes-validations", ())
    if rules:
        yield "\n"
    for rule in rules:
        field = f"{path}{rule.get('fieldPath', '')}".lstrip(".")
        yield f"- `{field}` {rule['message']}.\n"


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m treadle.reference", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/reference"), help="default: docs/reference")
    folder: Path = parser.parse_args().folder
    for name, text in pages().items():
        folder.joinpath(name).write_text(text, encoding="utf-8")
        print(folder / name)


if __name__ == "__main__":
    _main()
