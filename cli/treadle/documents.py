"""YAML documents as kubectl takes them: no duplicate keys, no dates, no other tags, bounded in size."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import yaml

MOST_BYTES = 1 << 20  # etcd refuses objects above 1.5 MiB
MOST_NODES = 100_000  # aliases make small files large ("billion laughs")
MOST_DIGITS = 64  # of a number as it is written
MOST_FAULTS = 100  # documents of a file that are none, until it is taken for something else

_PREFIX = "tag:yaml.org,2002:"
_TAGS: tuple[str | None, ...] = (
    *(_PREFIX + kind for kind in ("str", "int", "float", "bool", "null", "seq", "map")),
    None,
)

_MARK = re.compile(r"---(?=\s|\Z)")
_LINE = re.compile("[^\n\r\x85\u2028\u2029]*(?:\r\n|[\n\r\x85\u2028\u2029]|\\Z)")


class DocumentError(Exception):
    """A file, or one document of it, is not acceptable YAML; `document` counts from 1."""

    def __init__(self, document: int, reason: str) -> None:
        super().__init__(reason)
        self.document = document


class _Loader(yaml.SafeLoader):
    """YAML's values that JSON has, too; mappings have unique keys that are strings."""

    merged = 0  # members of mappings that merge keys have added

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:  # noqa: FBT001, FBT002 - PyYAML's signature
        """PyYAML trusts that a scalar is what its tag says, and fails in many ways where it is not."""
        if not isinstance(node, yaml.ScalarNode):
            return super().construct_object(node, deep)
        try:
            if node.tag != f"{_PREFIX}str" and len(node.value) > MOST_DIGITS:
                raise ValueError
            value = super().construct_object(node, deep)
            _check_scalar(value)
        except yaml.YAMLError:
            raise
        except Exception as error:
            shown = repr(node.value[:MOST_DIGITS]) + ("…" if len(node.value) > MOST_DIGITS else "")
            kind = node.tag.removeprefix(_PREFIX)
            raise yaml.constructor.ConstructorError(
                None, None, f"{shown} is not a value of the type {kind}", node.start_mark
            ) from error
        return value

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        before = len(node.value)
        super().flatten_mapping(node)
        self.merged += max(0, len(node.value) - before)
        if self.merged > MOST_NODES:
            raise yaml.constructor.ConstructorError(
                None, None, f"merge keys make more than {MOST_NODES} values", node.start_mark
            )

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:  # noqa: FBT001, FBT002 - PyYAML's signature
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "must be a mapping", node.start_mark)
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


_Loader.yaml_constructors = {tag: yaml.SafeLoader.yaml_constructors[tag] for tag in _TAGS}
# A date in a manifest is a string, as everywhere in JSON.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_documents(file: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    """The documents of a file that are not empty, each with its number in the file, counted from 1.

    Raises:
        DocumentError: the next document cannot be read. Those before it were yielded.
        OSError: the file cannot be read.
    """
    for found in each_document(file):
        if isinstance(found, DocumentError):
            raise found
        yield found


def each_document(file: Path) -> Iterator[tuple[int, Mapping[str, object]] | DocumentError]:
    """The documents of a file that are not empty, as `read_documents` has them, and in place of one why it is none.

    Raises:
        OSError: the file cannot be read.
    """
    with file.open("rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        yield DocumentError(1, f"the file has more than {MOST_BYTES} bytes")
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield DocumentError(1, f"byte {error.start} is not UTF-8")
        return
    number, faults = 1, 0
    for line, part in _parts(text):
        if faults >= MOST_FAULTS:
            yield DocumentError(number, f"is not read, nor what follows: {faults} documents before it are no manifests")
            return
        for found in _read_part(part, line, number):
            number, document = found
            if isinstance(document, DocumentError):
                faults += 1
                yield document
            elif document is not None:
                yield number, document
            number += 1


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """The text cut at YAML's marks, beyond which no fault reaches, each part with the number of lines before it."""
    cuts = [(0, 0)]
    directives: tuple[int, int] | None = None  # where those of the next document begin
    for number, line in enumerate(_LINE.finditer(text)):
        here = (number, line.start())
        if line[0].startswith("%"):
            directives = directives or here
        elif _MARK.match(line[0]):
            cuts.append(directives or here)
            directives = None
        elif line[0].strip() and not line[0].lstrip().startswith("#"):
            directives = None
    for (number, start), (_, end) in pairwise([*cuts, (0, len(text))]):
        yield number, text[start:end]


def _read_part(part: str, line: int, number: int) -> Iterator[tuple[int, Mapping[str, object] | DocumentError | None]]:
    """The documents of a part of a file, with their numbers; None for an empty one. After one that is no YAML, none."""
    documents = yaml.load_all(part, _Loader)
    while True:
        try:
            document = next(documents)
            if not isinstance(document, Mapping | None):
                raise DocumentError(number, "must be an object with apiVersion, kind, metadata and spec")
            _count(document, MOST_NODES, number)
        except StopIteration:
            return
        except DocumentError as error:
            yield number, error
        except Exception as error:  # noqa: BLE001 - PyYAML's own errors, and what it does not foresee
            yield number, DocumentError(number, _reason(error, line))
            return
        else:
            yield number, document
        number += 1


def _reason(error: Exception, line: int) -> str:
    """`line`: how many come before the part that the error is in."""
    match error:
        case yaml.MarkedYAMLError(problem_mark=mark, problem=problem):
            place = f"line {line + mark.line + 1}, column {mark.column + 1}: " if mark else ""
            return f"{place}{problem}"
        case RecursionError():
            return "is nested too deeply"
        case _:
            return "cannot be read: " + re.sub(r"\s+", " ", str(error))


def _check_scalar(value: object) -> None:
    """Raise ValueError for what JSON, or an API server, cannot hold."""
    match value:
        case str():
            value.encode()  # fails for half of a surrogate pair
        case int() if not -(1 << 63) <= value < 1 << 63:
            raise ValueError("more than 64 bits")
        case float() if not math.isfinite(value):
            raise ValueError("not finite")


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
