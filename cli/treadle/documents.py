"""YAML documents as kubectl takes them: no duplicate keys, no dates, no other tags, bounded in size."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

MOST_BYTES = 1 << 20  # etcd refuses objects above 1.5 MiB
MOST_NODES = 100_000  # aliases make small files large ("billion laughs")


class DocumentError(Exception):
    """Raised when a file, or one document of it, is not acceptable YAML; `document` counts from 1."""

    def __init__(self, document: int, reason: str) -> None:
        super().__init__(reason)
        self.document = document


class _Loader(yaml.SafeLoader):
    """YAML's values that JSON has, too; mappings have unique keys that are strings."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:  # noqa: FBT001, FBT002 - PyYAML's signature
        keys = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        seen: set[str] = set()
        for key in keys:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(None, None, "keys must be strings", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is here twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# A date in a manifest is a string, as everywhere in JSON.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_documents(file: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    """The documents of a file that are not empty, each with its number in the file, counted from 1.

    Raises:
        DocumentError: the next document cannot be read. Those before it were yielded; those behind it are lost.
        OSError: the file cannot be read.
    """
    with file.open("rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise DocumentError(1, f"the file has more than {MOST_BYTES} bytes")
    number = 1
    try:
        for document in yaml.load_all(data.decode("utf-8"), _Loader):
            if document is not None:
                if not isinstance(document, Mapping):
                    raise DocumentError(number, "must be an object with apiVersion, kind, metadata and spec")
                _count(document, MOST_NODES, number)
                yield number, document
            number += 1
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise DocumentError(number, f"{place}{error.problem}") from error
    except yaml.YAMLError as error:
        raise DocumentError(number, re.sub(r"\s+", " ", str(error))) from error
    except UnicodeDecodeError as error:
        raise DocumentError(number, f"byte {error.start} is not UTF-8") from error
    except RecursionError as error:
        raise DocumentError(number, "is nested too deeply") from error


def _count(value: object, budget: int, number: int) -> int:
    """Nodes left of the budget once `value` is counted as a tree."""
    if budget <= 0:
        raise DocumentError(number, f"has more than {MOST_NODES} values: aliases multiply them")
    budget -= 1
    if isinstance(value, Mapping):
        for member in value.values():
            budget = _count(member, budget, number)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            budget = _count(item, budget, number)
    return budget
