"""A snapshot of objects in files: `kubectl get … -o yaml`, or manifests written by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from treadle.documents import DocumentError, read_documents
from treadle.manifests import manifest_files
from treadle_api.conditions import ConditionStatus, find_condition
from treadle_api.node import ALIVE, Node
from treadle_api.objects import DEFAULT_NAMESPACE
from treadle_operator.kube import kinds
from treadle_operator.mirror import Mirror
from treadle_operator.snapshot import Snapshot

_KINDS = {kind.name: kind for kind in (*kinds.OWN, kinds.CORE_NODES)}
_EPOCH_BEGAN = "1970-01-01T00:00:00Z"


class GivenObjectsError(Exception):
    """Raised when a file of objects cannot be read; the message names file and document."""


def read_given(path: Path) -> Snapshot:
    """The objects of a file or folder; of kinds that no plan needs nothing is read.

    What only an API server writes is made up where it is missing. Leases are of the moment, and not looked for: an
    agent is taken to live unless its InferenceNode's condition `Alive` says otherwise.

    Raises:
        GivenObjectsError: a file cannot be read, or nothing in it tells of a device.
    """
    mirror = Mirror(lambda: None)
    for number, document in enumerate(_documents(path), 1):
        kind = _KINDS.get(str(document.get("kind")))
        if kind is not None and document.get("apiVersion") == kind.api_version:
            mirror.take(kind, _completed(document, number, namespaced=kind.namespaced))
    nodes = mirror.snapshot(0, frozenset()).nodes
    if not nodes:
        hint = "kubectl get inode,mp,it,ir,node -A -o yaml"
        raise GivenObjectsError(f"{path}: no InferenceNode is among the objects; `{hint}` gets all that are needed")
    return mirror.snapshot(0, frozenset(name for name, view in nodes.items() if not _is_silent(view.node)))


def _is_silent(node: Node) -> bool:
    """Whether the operator has told that its agent is not heard of."""
    alive = find_condition(node.conditions, ALIVE)
    return alive is not None and alive.status is ConditionStatus.FALSE


def _documents(path: Path) -> Iterator[Mapping[str, object]]:
    try:
        for file in manifest_files(path):
            for number, document in read_documents(file):
                yield from _items(document, f"{file} document {number}")
    except DocumentError as error:
        raise GivenObjectsError(f"{path} document {error.document}: {error}") from error
    except OSError as error:
        raise GivenObjectsError(f"{path}: cannot be read: {error.strerror}") from error


def _items(document: Mapping[str, object], source: str) -> Iterator[Mapping[str, object]]:
    """The objects of a list as kubectl prints it, or the object itself."""
    if not str(document.get("kind", "")).endswith("List"):
        yield document
        return
    items = document.get("items")
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, Mapping):
            raise GivenObjectsError(f"{source}: items must be objects")
        yield item


def _completed(document: Mapping[str, object], number: int, *, namespaced: bool) -> dict[str, object]:
    given = document.get("metadata")
    metadata = dict(given) if isinstance(given, Mapping) else {}
    if namespaced:
        metadata.setdefault("namespace", DEFAULT_NAMESPACE)
    metadata.setdefault("uid", f"given-{number}")
    metadata.setdefault("resourceVersion", str(number))
    metadata.setdefault("creationTimestamp", _EPOCH_BEGAN)
    metadata.setdefault("generation", 1)
    return {**document, "metadata": metadata}
