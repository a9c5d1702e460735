"""An inference request, checked against the contract of the version that will answer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from treadle_agent.frontend.body import Body
from treadle_agent.frontend.contract import Contract, Port, tensor_bytes
from treadle_agent.frontend.errors import BadRequestError, TooLargeError
from treadle_agent.frontend.messages import (
    FlatTensor,
    InferRequest,
    InputTensor,
    PackedTensor,
    RawTensor,
    RequestedOutput,
)
from treadle_agent.frontend.settings import FrontEndSettings
from treadle_agent.frontend.tensors import Source, check_count, parse_json
from treadle_agent.frontend.wishes import read_wishes
from treadle_agent.program.model import Shape

_LENGTH_DIGITS = 12  # of a body's JSON part: no body has more bytes

_decode = msgspec.json.Decoder(InferRequest[RawTensor]).decode
_decode_flat = msgspec.json.Decoder(InferRequest[FlatTensor]).decode


@dataclass(frozen=True, slots=True)
class Query:
    """A request that fits its contract, without its tensors. `shapes` are in the order of the model's inputs; `outputs`
    are the ports to answer with, and whether in binary; `timeout` in seconds, 0 for the tenant's deadline; `tier`,
    `forbidden` as in `protocol.Submit`.
    """

    id: str
    shapes: tuple[Shape, ...]
    outputs: tuple[tuple[Port, bool], ...]
    timeout: float
    priority: int
    tier: int
    forbidden: int


def json_part(body: Body, header_length: str | None, settings: FrontEndSettings) -> memoryview:
    """The JSON of a request body; `header_length` is its Inference-Header-Content-Length, None when all of it is.

    Raises:
        BadRequestError: the header says no size within the body.
        TooLargeError: it exceeds `max_json_bytes`.
    """
    size = len(body) if header_length is None else _json_bytes(header_length, len(body))
    if size > settings.max_json_bytes:
        raise TooLargeError(
            f"the JSON part of a request may have {settings.max_json_bytes} bytes; send larger tensors in binary"
        )
    return memoryview(body)[:size]


def read_query(
    body: Body,
    header_length: str | None,
    contract: Contract,
    settings: FrontEndSettings,
    read: InferRequest[PackedTensor] | None = None,
) -> tuple[Query, tuple[Source, ...]]:
    """Read a request body; `header_length` as in `json_part`, `read` is what another process has read in its JSON.

    The sources, in the order of the model's inputs, refer to the body's memory or are lists of Python's numbers, which
    are larger still: only the query may be kept while the request waits.

    Raises:
        BadRequestError: it does not fit the protocol or the contract; says what was expected.
        TooLargeError: the JSON part exceeds `max_json_bytes`.
    """
    text = json_part(body, header_length, settings)
    request = read or _decoded(text, flat=header_length is None and contract.takes_floats)
    parameters = request.parameters
    if parameters.timeout > settings.max_timeout * 1e6:
        raise BadRequestError(f"parameters.timeout: at most {settings.max_timeout:g} s, in microseconds")
    tier, forbidden = read_wishes(contract.served.version, contract.tenant, parameters.tier, parameters.forbid_tiers)
    ports = contract.match(request.inputs)
    shapes, sources = _order(ports, request.inputs, _sources(ports, request.inputs, memoryview(body), len(text)))
    query = Query(
        id=request.id,
        shapes=shapes,
        outputs=_outputs(contract, request.outputs, binary=parameters.binary_data_output),
        timeout=parameters.timeout * 1e-6,
        priority=parameters.priority,
        tier=tier,
        forbidden=forbidden,
    )
    return query, sources


def _decoded(text: memoryview, *, flat: bool) -> InferRequest[FlatTensor] | InferRequest[RawTensor]:
    if flat:
        try:
            return _decode_flat(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # nested lists, or an error: read in general, which can tell
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"the request's JSON: {error}") from None


def _json_bytes(header_length: str, body_bytes: int) -> int:
    plain = header_length.isascii() and header_length.isdigit() and len(header_length) <= _LENGTH_DIGITS
    if not plain or int(header_length) > body_bytes:
        raise BadRequestError(
            f"Inference-Header-Content-Length: {header_length!r} should be the size of the JSON part of the body's "
            f"{body_bytes} bytes"
        )
    return int(header_length)


def _sources(
    ports: Sequence[Port],
    tensors: Sequence[FlatTensor] | Sequence[RawTensor] | Sequence[PackedTensor],
    body: memoryview,
    start: int,
) -> list[Source]:
    sources: list[Source] = []
    for index, port in enumerate(ports):
        tensor = tensors[index]
        parameters = tensor.parameters
        if parameters.shared_memory_region is not None:
            raise BadRequestError(f"input {port}: shared memory regions are not served; send the values")
        size = parameters.binary_data_size
        if size is None:
            if not len(tensor.data):
                raise BadRequestError(f"input {port}: neither data nor parameters.binary_data_size is given")
            try:
                sources.append(_values(tensor, port))
            except BadRequestError as error:
                raise BadRequestError(f"input {port}: {error}") from None
            continue
        expected = tensor_bytes(port, tensor.shape)
        if size != expected or len(tensor.data):
            raise BadRequestError(
                f"input {port}: shape {list(tensor.shape)} needs binary_data_size {expected} and no data; got {size}"
            )
        if start + size > len(body):
            raise BadRequestError(
                f"input {port}: the binary part is truncated: {expected} bytes expected, {len(body) - start} left"
            )
        sources.append(body[start : start + size])
        start += size
    if start != len(body):
        raise BadRequestError(f"the body has {len(body) - start} bytes more than its inputs' binary_data_size say")
    return sources


def _values(tensor: FlatTensor | RawTensor | PackedTensor, port: Port) -> Source:
    if isinstance(tensor, RawTensor):
        return parse_json(tensor.data, port.datatype, tensor.shape)
    if isinstance(tensor, PackedTensor):
        return memoryview(tensor.data)
    check_count(tensor.data, tensor.shape)
    return tensor.data


def _order(
    ports: Sequence[Port], tensors: Sequence[InputTensor], sources: Sequence[Source]
) -> tuple[tuple[Shape, ...], tuple[Source, ...]]:
    """Shapes and sources in the order of the model's inputs."""
    order = sorted(range(len(ports)), key=lambda index: ports[index].position)
    return tuple(tensors[index].shape for index in order), tuple(sources[index] for index in order)


def _outputs(
    contract: Contract, requested: Sequence[RequestedOutput], *, binary: bool
) -> tuple[tuple[Port, bool], ...]:
    return tuple(
        (port, binary if output is None or output.parameters.binary_data is None else output.parameters.binary_data)
        for port, output in contract.select(requested)
    )
