"""How weights lie in a device's memory at each precision: as the model has them, or its matrices as float16. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from treadle_agent.program.artifact import WeightEntry
from treadle_agent.program.model import ALIGNMENT, TensorType
from treadle_api.replica import LoadedReason
from treadle_api.tenant import Precision

FIRST_WITH_TF32 = (8, 0)  # compute capability

Bytes = npt.NDArray[np.uint8]


class PrecisionError(ValueError):
    """Raised when a tier cannot be computed as precisely, or imprecisely, as it asks; the message ends with the fix.

    `cause`: whether the device or the model is the reason.
    """

    def __init__(self, message: str, cause: LoadedReason) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """One weight of a row: its byte offset in weights.bin and in the device's row; `half`: there as float16."""

    type: TensorType
    source: int
    offset: int
    half: bool


def stored(
    entries: Sequence[WeightEntry], row_bytes: int, precision: Precision
) -> tuple[tuple[StoredWeight, ...], int]:
    """How a row lies on the device, and its bytes there; `row_bytes`: of weights.bin."""
    if precision is not Precision.FLOAT16:
        return tuple(StoredWeight(entry.type, entry.offset, entry.offset, half=False) for entry in entries), row_bytes
    weights, end = [], 0
    for entry in entries:
        half = _is_matrix(entry.type)
        weights.append(StoredWeight(entry.type, entry.offset, end, half))
        nbytes = entry.type.nbytes // 2 if half else entry.type.nbytes
        end += -(-nbytes // ALIGNMENT) * ALIGNMENT
    return tuple(weights), end


def converted(data: Bytes, weights: Sequence[StoredWeight], nbytes: int) -> Bytes:
    """The device's row of `nbytes` made of the bytes of weights.bin.

    Raises:
        PrecisionError: float16 has no number as large as one of them.
    """
    row = np.zeros(nbytes, np.uint8)
    for number, weight in enumerate(weights):
        given = data[weight.source : weight.source + weight.type.nbytes]
        if weight.half:
            given = _halves(number, given.view(np.float32)).view(np.uint8)
        row[weight.offset : weight.offset + len(given)] = given
    return row


def _is_matrix(type_: TensorType) -> bool:
    """What takes memory: more than one axis along which there is more than one element. Biases and scales are none."""
    return type_.dtype == "float32" and sum(extent > 1 for extent in type_.shape) > 1


def _halves(number: int, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Values rounded to the nearest float16; NaN and infinity stay what they are."""
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    lost = np.isinf(halves) & np.isfinite(values)
    if lost.any():
        raise PrecisionError(
            f"weight {number} holds {values[lost][0]:g}, and the largest float16 is 65504: set precision Float32",
            LoadedReason.MODEL_UNSUPPORTED,
        )
    return halves
