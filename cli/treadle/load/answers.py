"""Reading an answer of the Open Inference Protocol: which tier gave it, and how many of its labels are right."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.load.targets import DATATYPES

_JSON_BYTES = re.compile(rb"(?i)\r\ninference-header-content-length: *(\d+)")
_DTYPES = {datatype: np.dtype(dtype).newbyteorder("<") for dtype, datatype in DATATYPES.items()}


class _Parameters(msgspec.Struct):
    tier: str = ""
    binary_data_size: int = -1


class _Brief(msgspec.Struct):
    parameters: _Parameters | None = None


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: msgspec.Raw = msgspec.Raw()
    parameters: _Parameters | None = None


class _Answer(msgspec.Struct):
    outputs: list[_Output]
    parameters: _Parameters | None = None


_brief = msgspec.json.Decoder(_Brief)
_answer = msgspec.json.Decoder(_Answer)
_flat = msgspec.json.Decoder(list[Any])


def tier_of(head: bytes, body: bytes) -> str:
    """The tier that a successful answer names in its parameters, or ""."""
    document = _brief.decode(_split(head, body)[0])
    return document.parameters.tier if document.parameters else ""


def labels_of(head: bytes, body: bytes, output: str) -> npt.NDArray[np.int64]:
    """The label of each row of tensor `output`: its largest entry's index along the last axis, or the integer itself.

    Raises ValueError (msgspec's errors among them) when the answer does not hold such a tensor.
    """
    document, tail = _split(head, body)
    offset = 0
    for tensor in _answer.decode(document).outputs:
        size = tensor.parameters.binary_data_size if tensor.parameters else -1
        if tensor.name == output:
            dtype = _DTYPES[tensor.datatype]
            if size >= 0:
                values = np.frombuffer(tail, dtype, size // dtype.itemsize, offset)
            else:
                values = np.asarray(_flat.decode(tensor.data), dtype)
            if np.issubdtype(dtype, np.integer):
                return values.ravel().astype(np.int64)
            labels: npt.NDArray[np.int64] = values.reshape(tensor.shape).argmax(axis=-1).ravel()
            return labels
        offset += max(size, 0)
    raise ValueError(f"the answer holds no output {output!r}")


def _split(head: bytes, body: bytes) -> tuple[bytes, bytes]:
    found = _JSON_BYTES.search(head)
    return (body, b"") if found is None else (body[: int(found[1])], body[int(found[1]) :])
