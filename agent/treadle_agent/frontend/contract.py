"""What requests to one version of a tenant must look like, and how its answers are labelled.

Everything that depends on the version alone is worked out once, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import msgspec

from treadle_agent.executor.gateway import Gateway, Served
from treadle_agent.frontend.contender import Answer, Contender
from treadle_agent.frontend.errors import BadRequestError
from treadle_agent.frontend.messages import InputTensor, RequestedOutput, ResponseParameters
from treadle_agent.frontend.tensors import DATATYPES, Datatype
from treadle_agent.metrics import TenantRequests
from treadle_agent.policy.admission import Admission
from treadle_agent.program.artifact import ROW_COUNTS, TensorSpec
from treadle_agent.program.model import ITEM_BYTES, Shape
from treadle_api.tenant import Tenant

_NAMED = 32  # inputs in a message: a request could have any number
MOST_ROWS = ROW_COUNTS[-1]  # no program takes more; splitting a request could answer it from two tiers


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output; `shape` has -1 where a dimension is free."""

    position: int
    name: str
    datatype: Datatype
    shape: Shape
    item_bytes: int

    def __str__(self) -> str:
        return f"{self.name!r} {self.datatype.name} {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class TierLabel:
    """The tier as answers and metrics name it; `accuracy` is a ratio."""

    name: str
    accuracy: float
    parameters: ResponseParameters


class Contract:
    """One version's inputs, outputs and tiers, as clients see them, and the device that holds to it.

    `contender`: it among the node's devices, None where there is one device only.
    """

    def __init__(
        self,
        tenant: Tenant,
        served: Served,
        requests: TenantRequests,
        gateway: Gateway,
        contender: Contender | None = None,
    ) -> None:
        self.tenant = tenant  # as it is now: an edit that the device need not know makes no other contract
        self.name = tenant.name
        self.served = served
        self.requests = requests
        self.gateway = gateway
        self.contender = contender
        self.answer: Answer = gateway.answer if contender is None else contender.answer
        self.admission = Admission()
        self.version = str(served.version.id)  # its name in paths and documents
        self.inputs = tuple(_port(position, spec) for position, spec in enumerate(served.inputs))
        self.takes_floats = all(port.datatype.code == "f" for port in self.inputs)
        self.outputs = tuple(_port(position, spec) for position, spec in enumerate(served.outputs))
        self.tiers = tuple(
            TierLabel(tier.name, tier.accuracy / 100, ResponseParameters(tier.name, tier.accuracy))
            for tier in served.version.tiers
        )
        self._by_name = {port.name: port for port in self.inputs}
        self._outputs_by_name = {port.name: port for port in self.outputs}

    @property
    def metadata(self) -> bytes:
        """The model metadata document."""
        return msgspec.json.encode(
            {
                "name": self.name,
                "versions": [self.version],
                "platform": "treadle_onnx",
                "inputs": [_describe(port) for port in self.inputs],
                "outputs": [_describe(port) for port in self.outputs],
            }
        )

    def match(self, tensors: Sequence[InputTensor]) -> tuple[Port, ...]:
        """The ports of a request's inputs, in the request's order.

        Raises:
            BadRequestError: a name, type or shape is not what the model takes, or an input is missing or given twice.
        """
        ports = tuple(self._input(tensor) for tensor in tensors)
        if len({port.position for port in ports}) != len(self.inputs) or len(ports) != len(self.inputs):
            given = ", ".join(repr(tensor.name) for tensor in tensors[:_NAMED]) or "none"
            given += ", …" if len(tensors) > _NAMED else ""
            expected = ", ".join(map(str, self.inputs))
            raise BadRequestError(f"inputs: expected each of {expected} once; got {given}")
        if self.served.batchable:
            rows = tensors[0].shape[0]
            if any(tensor.shape[0] != rows for tensor in tensors):
                raise BadRequestError("inputs: all must have the same number of rows (dimension 0)")
            if rows > MOST_ROWS:
                raise BadRequestError(f"inputs: {rows} rows (dimension 0); at most {MOST_ROWS} in one request")
        return ports

    def _input(self, tensor: InputTensor) -> Port:
        port = self._by_name.get(tensor.name)
        if port is None:
            expected = ", ".join(map(str, self.inputs))
            raise BadRequestError(f"unexpected input {tensor.name!r}; the model takes {expected}")
        if tensor.datatype != port.datatype.name:
            raise BadRequestError(f"input {port}: got datatype {tensor.datatype!r}, expected {port.datatype.name}")
        shape = tensor.shape
        if len(shape) != len(port.shape) or any(
            given < 1 or (given != fixed and fixed >= 0) for given, fixed in zip(shape, port.shape, strict=True)
        ):
            raise BadRequestError(
                f"input {port}: got shape {list(shape)}, expected {list(port.shape)} (-1: any size from 1)"
            )
        return port

    def select(self, requested: Sequence[RequestedOutput]) -> tuple[tuple[Port, RequestedOutput | None], ...]:
        """The outputs a request asks for, in its order; all of the model's when it names none.

        Raises:
            BadRequestError: there is no such output, or it is asked for twice, or in a way that is not served.
        """
        if not requested:
            return tuple((port, None) for port in self.outputs)
        selected = []
        for output in requested:
            port = self._outputs_by_name.get(output.name)
            if port is None:
                expected = ", ".join(map(str, self.outputs))
                raise BadRequestError(f"unexpected output {output.name!r}; the model gives {expected}")
            if output.parameters.classification:
                raise BadRequestError(f"output {output.name!r}: the classification extension is not served")
            if output.parameters.shared_memory_region is not None:
                raise BadRequestError(f"output {output.name!r}: shared memory regions are not served")
            selected.append((port, output))
        # Else a response could be any number of times larger than the outputs.
        if len(selected) > 1 and len({port.position for port, _ in selected}) != len(selected):
            raise BadRequestError("outputs: each may be asked for once")
        return tuple(selected)


def tensor_bytes(port: Port, shape: Shape) -> int:
    """Size of a tensor of the port in the binary extension."""
    return prod(shape) * port.item_bytes


def _port(position: int, spec: TensorSpec) -> Port:
    return Port(position, spec.name, DATATYPES[spec.dtype], spec.shape, ITEM_BYTES[spec.dtype])


def _describe(port: Port) -> dict[str, str | Shape]:
    return {"name": port.name, "datatype": port.datatype.name, "shape": port.shape}
