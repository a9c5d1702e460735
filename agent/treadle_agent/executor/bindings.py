"""The input shapes a version is served with, as the front end knows them: static types, and plans of blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from treadle_agent.executor.gateway import FullError
from treadle_agent.executor.protocol import block_layout, with_rows
from treadle_agent.program.model import Shape, TensorType

Shapes = tuple[Shape, ...]
# Element type, shape, and offset inside the block: what an array over shared memory is made of.
Place = tuple["np.dtype[np.generic]", Shape, int]

_PLANS = 1024  # remembered for one version: requests' shapes with their rows


def split_rows(shapes: Shapes, *, batchable: bool) -> tuple[int, Shapes]:
    """Rows, and the shapes of one row; raises ValueError where the inputs differ in their rows."""
    if not batchable:
        return 1, shapes
    if not all(shapes) or len({shape[0] for shape in shapes}) != 1:
        raise ValueError(f"dimension 0 of all inputs is the batch and must be the same: {list(shapes)}")
    return shapes[0][0], tuple((1, *shape[1:]) for shape in shapes)


class Binding:
    """One row's static input and output types. `number` names them to the executor; `calls` use them now; `used`: when
    they were last asked for, counted in requests of the version.
    """

    __slots__ = ("calls", "inputs", "number", "outputs", "used")

    def __init__(self, number: int, inputs: tuple[TensorType, ...], outputs: tuple[TensorType, ...]) -> None:
        self.number = number
        self.inputs = inputs
        self.outputs = outputs
        self.calls = self.used = 0


class Plan:
    """Where the tensors of a request with given shapes lie in its block, worked out once."""

    __slots__ = ("binding", "inputs", "nbytes", "outputs", "rows")

    def __init__(self, binding: Binding, rows: int, *, batchable: bool) -> None:
        types = [with_rows(one, rows, batchable=batchable) for one in (*binding.inputs, *binding.outputs)]
        offsets, self.nbytes = block_layout(types)
        places = [(np.dtype(one.dtype), one.shape, at) for one, at in zip(types, offsets, strict=True)]
        self.binding = binding
        self.rows = rows
        self.inputs: tuple[Place, ...] = tuple(places[: len(binding.inputs)])
        self.outputs: tuple[Place, ...] = tuple(places[len(binding.inputs) :])


class Bindings:
    """A version's bindings: at most `limit`; the least recently used one gives way, but never one that is in use."""

    def __init__(self, *, batchable: bool, limit: int) -> None:
        self._batchable = batchable
        self._limit = limit
        self._made = self._uses = 0
        self._bindings: dict[Shapes, Binding] = {}  # by one row's shapes
        self._plans: dict[Shapes, Plan] = {}  # by a request's own shapes: one look-up on the hot path

    def __iter__(self) -> Iterator[Binding]:
        return iter(self._bindings.values())

    def __len__(self) -> int:
        return len(self._bindings)

    def plan(self, shapes: Shapes) -> Plan:
        """The plan for a request's shapes; raises KeyError where they are not bound."""
        plan = self._plans.get(shapes)
        if plan is None:
            try:
                rows, one_row = split_rows(shapes, batchable=self._batchable)
            except ValueError as error:
                raise KeyError(shapes) from error
            if rows < 1:
                raise KeyError(shapes)
            plan = Plan(self._bindings[one_row], rows, batchable=self._batchable)
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[shapes] = plan
        self._uses += 1
        plan.binding.used = self._uses
        return plan

    def __contains__(self, one_row: Shapes) -> bool:
        return one_row in self._bindings

    def add(
        self, one_row: Shapes, inputs: tuple[TensorType, ...], outputs: tuple[TensorType, ...]
    ) -> tuple[Binding, Binding | None]:
        """The new binding and the one that gave way to it.

        Raises FullError when `limit` bindings are all in use by requests under way.
        """
        evicted = self._evict() if len(self._bindings) >= self._limit else None
        # Numbers are not used again: the executor may still be preparing the old binding of a number.
        binding = self._bindings[one_row] = Binding(self._made, inputs, outputs)
        binding.used = self._uses
        self._made += 1
        return binding, evicted

    def _evict(self) -> Binding:
        free = [
            (binding.used, binding.number, one_row) for one_row, binding in self._bindings.items() if not binding.calls
        ]
        if free:
            binding = self._bindings.pop(min(free)[2])
            self._plans = {shapes: plan for shapes, plan in self._plans.items() if plan.binding is not binding}
            return binding
        raise FullError(f"requests of {self._limit} different input shapes are under way: try again later")
