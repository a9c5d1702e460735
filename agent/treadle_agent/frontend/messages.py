"""The JSON documents of the Open Inference Protocol v2 that inference reads and writes.

Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md, and Triton's extensions for binary
tensor data and request parameters. Parameters that are not listed here carry no meaning and are ignored.
"""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

import msgspec

Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class InputParameters(msgspec.Struct, frozen=True):
    """Parameters of one input tensor."""

    binary_data_size: Natural | None = None
    shared_memory_region: str | None = None


class InputTensor(msgspec.Struct):
    """One input, without its values."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: InputParameters = InputParameters()


class RawTensor(InputTensor):
    """One input of any type; its values stay raw JSON until the model's type for it is known."""

    data: msgspec.Raw = msgspec.Raw()


class FlatTensor(InputTensor):
    """One input whose values are a flat list of numbers: the common case, read in one pass."""

    data: list[float] = []


class PackedTensor(InputTensor):
    """One input whose values another process has read: `data` is little-endian, of the type that `datatype` says, in
    the memory of what was received.
    """

    data: memoryview = memoryview(b"")


T = TypeVar("T", bound=InputTensor)


class OutputParameters(msgspec.Struct, frozen=True):
    """Parameters of one requested output."""

    binary_data: bool | None = None
    classification: int = 0
    shared_memory_region: str | None = None


class RequestedOutput(msgspec.Struct):
    """One output that the client asks for."""

    name: str
    parameters: OutputParameters = OutputParameters()


class RequestParameters(msgspec.Struct, frozen=True):
    """Parameters of a request: `timeout` in microseconds (0: the tenant's deadline), `priority` 1 is the highest
    (0: the tenant's), `tier` the only one to answer, `forbid_tiers` those not to answer, separated by commas.
    """

    timeout: Natural = 0
    priority: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
    binary_data_output: bool = False
    tier: str = ""
    forbid_tiers: str = ""


class InferRequest(msgspec.Struct, Generic[T]):
    """The body of an inference request, without its binary part."""

    inputs: list[T]
    id: str = ""
    parameters: RequestParameters = RequestParameters()
    outputs: list[RequestedOutput] = []


class BinaryParameters(msgspec.Struct):
    """Parameters of an output whose values follow the JSON part."""

    binary_data_size: int


class BinaryOutput(msgspec.Struct):
    """One output of a response in the binary extension."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: BinaryParameters


class JsonOutput(msgspec.Struct):
    """One output of a response in JSON; values are flat, in row-major order, null where not finite."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[float] | list[int] | list[bool]


class ResponseParameters(msgspec.Struct, frozen=True):
    """Which tier answered, and its accuracy in percent."""

    tier: str
    accuracy: float


class InferResponse(msgspec.Struct, omit_defaults=True):
    """The body of an inference response, without its binary part."""

    model_name: str
    model_version: str
    parameters: ResponseParameters
    outputs: list[BinaryOutput | JsonOutput]
    id: str = ""
