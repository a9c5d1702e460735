"""The bits of a problem depend neither on how many problems run with it, nor on which, nor on where their slots lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treadle_agent.program import ops
from treadle_agent.program.folding import static_type
from treadle_agent.program.ops import registry

assert ops.__all__  # importing the package fills the table
Array = np.ndarray[Any, Any]
SPECIAL = np.asarray([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-42, -1e-42, 88.8, -104.0, 1.0], np.float32)
OPERATORS = sorted(registry.NORMALISE)
MOST = 32


def _slots(rows: Array, gap: int) -> Array:
    """Rows at a stride of `gap` elements more than they need."""
    size = rows[0].size
    room = np.full((len(rows), size + gap), 77, rows.dtype)
    room[:, :size] = rows.reshape(len(rows), size)
    return room[:, :size].reshape(rows.shape)


def _rows(example: Array, count: int, generator: np.random.Generator, *, special: bool) -> Array:
    """`count` problems with numbers like the example's; a few of them at the edges of float32."""
    rows = generator.permuted(np.broadcast_to(example.reshape(1, -1), (count, example.size)), axis=1)
    if example.dtype == np.float32 and example.size > 1:  # a single number is an exponent, a bound …
        rows = rows * generator.choice(np.asarray([1.0, 0.1, 3.0], np.float32), rows.shape)
        if special:
            rows = np.where(generator.random(rows.shape) < 0.1, generator.choice(SPECIAL, rows.shape), rows)
    return rows.astype(example.dtype).reshape(count, *example.shape)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A kernel of an operator's newest version, and arrays like its operands and outputs."""

    canonical: registry.Canonical
    operands: tuple[Array | None, ...]
    fixed: frozenset[int]  # operands known at load
    results: tuple[Array, ...]


@pytest.fixture(scope="module", params=OPERATORS)
def prepared(
    request: pytest.FixtureRequest, examples_of: Callable[[str, int, str], Any], node_runner: Any
) -> list[Prepared]:
    operator = request.param
    version = max(registry.NORMALISE[operator].versions)
    found = []
    for example in examples_of(operator, version, "bool" if operator in {"And", "Or", "Not", "Xor"} else "float32"):
        model = example.model(operator, version)
        types = [static_type(value) for value in model.graph.output]
        results = tuple(np.empty(one.shape, one.dtype) for one in types if one)
        canonical = registry.normalise(node_runner(model).node(example.feeds, results))
        places = [len(example.inputs) if one is None else one for one in canonical.operands]
        operands = tuple(example.inputs[one] if one < len(example.inputs) else None for one in places)
        fixed = frozenset(index for index, one in enumerate(places) if one in example.plumbing)
        if not canonical.view:
            found.append(Prepared(canonical, operands, fixed, results))
    return found


@settings(max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_problem_computes_the_same_bits_in_any_company(prepared: list[Prepared], data: st.DataObject) -> None:
    if not prepared:
        return  # a view in every example
    kernel = data.draw(st.sampled_from(prepared), "kernel")
    count = data.draw(st.integers(1, MOST), "problems")
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), "seed"))
    special = data.draw(st.booleans(), "special values")
    # What works on constants and weights alone is folded at load: operand 0 is somebody's own.
    constants = data.draw(st.sets(st.integers(1, 3), max_size=2), "operands that are constants")
    shared = data.draw(st.sets(st.integers(1, 3), max_size=2), "weights that are one tenant's as another's")
    operands: list[Array | None] = []
    for place, array in enumerate(kernel.operands):
        if array is None or place in kernel.fixed or place in constants:
            operands.append(None if array is None else array[np.newaxis])
        elif place in shared:
            operands.append(np.broadcast_to(array, (count, *array.shape)))
        else:
            operands.append(_rows(array, count, generator, special=special))
    chosen = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1), "subset"))
    together = _launch(kernel, operands, count, data.draw(st.integers(0, 40), "gap"))
    some = [one if one is None or len(one) == 1 else _those(one, chosen) for one in operands]
    subset = _launch(kernel, some, len(chosen), data.draw(st.integers(0, 40), "subset's gap"))
    for place, problem in enumerate(chosen):
        alone = [one if one is None or len(one) == 1 else one[problem : problem + 1] for one in operands]
        for solo, many, few in zip(_launch(kernel, alone, 1, 0), together, subset, strict=True):
            assert _bits(solo[0]) == _bits(many[problem]) == _bits(few[place])


def _bits(array: Array) -> bytes:
    """The bytes, all NaNs alike: which sign a sum of two NaNs has is the compiler's choice, loop by loop."""
    if array.dtype != np.float32:
        return array.tobytes()
    return np.where(np.isnan(array), np.float32(np.nan), array).tobytes()


def _those(rows: Array, problems: list[int]) -> Array:
    return rows[: len(problems)] if not rows.strides[0] else rows[problems]


def _launch(kernel: Prepared, operands: Sequence[Array | None], count: int, gap: int) -> list[Array]:
    inputs = [one if one is None or len(one) == 1 or not one.strides[0] else _slots(one, gap) for one in operands]
    outputs = [_slots(np.full((count, *one.shape), 1, one.dtype), gap) for one in kernel.results]
    with np.errstate(all="ignore"):
        registry.BIND[kernel.canonical.op](kernel.canonical.attributes, inputs, outputs)()
    return outputs


@pytest.mark.parametrize(
    "prepared", ["ArgMax", "Concat", "Gather", "Pad", "ReduceSum", "Softmax", "TopK"], indirect=True
)
def test_constants_alone_give_every_problem_the_same_answer(prepared: list[Prepared]) -> None:
    for kernel in prepared:
        operands = [None if one is None else one[np.newaxis] for one in kernel.operands]
        for solo, many in zip(_launch(kernel, operands, 1, 0), _launch(kernel, operands, 3, 5), strict=True):
            assert all(row.tobytes() == solo[0].tobytes() for row in many)
