"""What is asked: targets with many prepared bodies each, in the Open Inference Protocol's two encodings."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
DATATYPES = {
    "float32": "FP32", "int32": "INT32", "int64": "INT64", "bool": "BOOL", "uint8": "UINT8",
}  # fmt: skip
BINARY_HEADER = "Inference-Header-Content-Length"


class NotLoopbackError(ValueError):
    """Raised when a load is aimed anywhere but at this machine."""


class Variant(msgspec.Struct, frozen=True):
    """One prepared request: `head` holds further header lines, `labels` the right class of each row where known."""

    body: bytes
    head: bytes
    labels: tuple[int, ...] = ()


class Target(msgspec.Struct, frozen=True):
    """A URL path and the requests it is asked in turn.

    `output`: the answer's tensor whose largest entry along the last axis (or whose value, for integers) is compared
    with `Variant.labels`; empty: answers are not scored.
    """

    path: str
    variants: tuple[Variant, ...]
    output: str = ""


def infer_target(
    tenant: str,
    inputs: Sequence[Mapping[str, Array]],
    *,
    binary: bool,
    labels: Sequence[Sequence[int]] = (),
    output: str = "",
    parameters: Mapping[str, int | str] | None = None,
) -> Target:
    """A target for `tenant`: a variant for each mapping of input names to tensors in `inputs`."""
    encode = _binary if binary else _json
    variants = [encode(tensors, dict(parameters or {})) for tensors in inputs]
    if labels:
        variants = [
            msgspec.structs.replace(variant, labels=tuple(map(int, row)))
            for variant, row in zip(variants, labels, strict=True)
        ]
    return Target(f"/v2/models/{urllib.parse.quote(tenant)}/infer", tuple(variants), output)


def loopback(base_url: str) -> tuple[str, int]:
    """Host and port of `base_url`; raises NotLoopbackError unless it is plain HTTP on this machine."""
    url = urllib.parse.urlsplit(base_url)
    if url.scheme != "http" or url.hostname is None:
        raise NotLoopbackError(f"base_url {base_url!r}: expected http://127.0.0.1:PORT")
    host = "127.0.0.1" if url.hostname == "localhost" else url.hostname
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise NotLoopbackError(f"base_url {base_url!r}: load goes to loopback addresses only, such as http://127.0.0.1")
    return host, url.port or 80


def _json(tensors: Mapping[str, Array], parameters: dict[str, int | str]) -> Variant:
    inputs = [{**_declare(name, array), "data": array.ravel().tolist()} for name, array in tensors.items()]
    document = {"inputs": inputs} | ({"parameters": parameters} if parameters else {})
    return Variant(msgspec.json.encode(document), b"Content-Type: application/json\r\n")


def _binary(tensors: Mapping[str, Array], parameters: dict[str, int | str]) -> Variant:
    inputs = [
        {**_declare(name, array), "parameters": {"binary_data_size": array.nbytes}} for name, array in tensors.items()
    ]
    header = msgspec.json.encode({"inputs": inputs, "parameters": {**parameters, "binary_data_output": True}})
    body = b"".join([header, *(np.ascontiguousarray(array).tobytes() for array in tensors.values())])
    head = f"Content-Type: application/octet-stream\r\n{BINARY_HEADER}: {len(header)}\r\n"
    return Variant(body, head.encode())


def _declare(name: str, array: Array) -> dict[str, Any]:
    return {"name": name, "shape": list(array.shape), "datatype": DATATYPES[array.dtype.name]}
