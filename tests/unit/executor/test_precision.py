"""How a row of weights is stored at each precision."""

import numpy as np
import pytest

from treadle_agent.executor.precision import PrecisionError, converted, stored
from treadle_agent.program.artifact import WeightEntry
from treadle_agent.program.model import TensorType
from treadle_api.tenant import Precision

SHAPES = ((3, 5), (7,), (1, 9), (6, 1, 3, 3), (4, 1, 1, 1), (2, 2), ())
HALVES = [True, False, False, True, False, True, False]


def entries(dtype: str = "float32") -> tuple[list[WeightEntry], int]:
    made, end = [], 0
    for shape in SHAPES:
        type_ = TensorType(dtype, shape)
        made.append(WeightEntry(type_, end))
        end += -(-type_.nbytes // 64) * 64
    return made, end


def row(values: list[np.ndarray], given: list[WeightEntry], nbytes: int) -> np.ndarray:
    data = np.zeros(nbytes, np.uint8)
    for value, entry in zip(values, given, strict=True):
        data[entry.offset : entry.offset + value.nbytes] = value.reshape(-1).view(np.uint8)
    return data


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.TF32])
def test_elsewhere_a_row_is_what_the_file_is(precision: Precision) -> None:
    given, nbytes = entries()
    weights, stored_bytes = stored(given, nbytes, precision)
    assert stored_bytes == nbytes
    assert [(one.source, one.offset, one.half) for one in weights] == [(one.offset,) * 2 + (False,) for one in given]


def test_matrices_are_halves_and_all_else_is_as_it_was() -> None:
    given, nbytes = entries()
    values = [np.random.default_rng(1).standard_normal(shape).astype(np.float32) for shape in SHAPES]
    values[0][0, 0], values[0][1, 1], values[5][0, 0] = np.nan, np.inf, 1e-30
    weights, stored_bytes = stored(given, nbytes, Precision.FLOAT16)
    assert [one.half for one in weights] == HALVES
    found = converted(row(values, given, nbytes), weights, stored_bytes)
    ends = [0]
    for weight, value, half in zip(weights, values, HALVES, strict=True):
        assert weight.offset % 64 == 0
        assert weight.offset >= ends[-1], "they do not overlap"
        kept = value.astype(np.float16 if half else np.float32)
        ends.append(weight.offset + kept.nbytes)
        assert found[weight.offset : ends[-1]].tobytes() == kept.tobytes()
    assert ends[-1] <= stored_bytes < nbytes


def test_numbers_of_other_types_are_never_rounded() -> None:
    given, nbytes = entries("int32")
    weights, stored_bytes = stored(given, nbytes, Precision.FLOAT16)
    assert not any(one.half for one in weights)
    assert stored_bytes == nbytes


@pytest.mark.parametrize(("largest", "fits"), [(65504.0, True), (65519.0, True), (65520.0, False), (-1e6, False)])
def test_what_float16_has_no_number_for_is_refused(largest: float, fits: bool) -> None:
    given, nbytes = entries()
    values = [np.ones(shape, np.float32) for shape in SHAPES]
    values[1][0] = 1e30  # stays float32
    values[3][0, 0, 0, 0] = largest
    weights, stored_bytes = stored(given, nbytes, Precision.FLOAT16)
    data = row(values, given, nbytes)
    if fits:
        assert np.isfinite(converted(data, weights, stored_bytes).view(np.float16)[:15]).all()
        return
    with pytest.raises(PrecisionError, match=r"weight 3 holds .*65504: set precision Float32"):
        converted(data, weights, stored_bytes)
