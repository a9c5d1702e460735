"""Large JSON requests, read in the process for large bodies: some megabytes take a tenth of a second."""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from treadle_agent.frontend.aside import Aside
from treadle_agent.frontend.errors import BadRequestError, FullOfBodiesError, ShedError
from treadle_agent.frontend.messages import InferRequest, PackedTensor, RawTensor
from treadle_agent.frontend.tensors import DATATYPES, parse_json
from treadle_callers.turns import NoTurnError

LARGE_BYTES = 65536  # what is smaller takes the event loop a millisecond

_TIMEOUT = b'"timeout"'  # the parameter's name in JSON: a request without it has its tenant's deadline
_CODES = {datatype.name: datatype for datatype in DATATYPES.values()}

_decode = msgspec.json.Decoder(InferRequest[RawTensor]).decode
_decode_packed = msgspec.msgpack.Decoder(InferRequest[PackedTensor]).decode


async def read(
    aside: Aside, text: memoryview, tenant: str, body_bytes: int, patience: float | None = None
) -> InferRequest[PackedTensor]:
    """A request, its values packed.

    Args:
        aside: the process, which knows the work "pack".
        text: the request's JSON.
        tenant: whose it is; tenants take turns.
        body_bytes: of what is kept in memory meanwhile.
        patience: seconds that it may wait for its turn; None: any.

    Raises:
        BadRequestError: it is none, or too much of it is not values.
        FullOfBodiesError: too many wait.
        NotReadError: the process has ended.
        ShedError: its turn did not come in time.
    """
    if patience is not None and patience <= 0.0:
        raise _overdue()
    try:
        return _decode_packed(await aside.ask("pack", text, tenant=tenant, size=body_bytes, patience=patience))
    except NoTurnError:
        raise FullOfBodiesError("too many large requests wait to be read; send tensors in binary") from None
    except TimeoutError:
        raise _overdue() from None


def _overdue() -> ShedError:
    return ShedError("the deadline passed before the request's JSON could be read; send tensors in binary")


def may_name_timeout(text: memoryview) -> bool:
    """Whether a request's JSON may have a `timeout` of its own.

    The request's parameters stand before its inputs or behind them, and what stands there has not more than
    `LARGE_BYTES`: `pack` refuses the others.
    """
    return _TIMEOUT in bytes(text[:LARGE_BYTES]) or _TIMEOUT in bytes(text[-LARGE_BYTES:])


def pack(text: bytes | memoryview) -> bytes:
    """A request of packed values, as MessagePack, from its JSON.

    Raises:
        BadRequestError: see `read`.
    """
    try:
        request = _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"the request's JSON: {error}") from None
    values = sum(len(tensor.data) for tensor in request.inputs)
    if len(text) - values > LARGE_BYTES:
        raise BadRequestError(
            f"the request's JSON has {len(text) - values} bytes beside its tensors' data; at most {LARGE_BYTES}"
        )
    try:
        inputs = [_pack(tensor) for tensor in request.inputs]
        return msgspec.msgpack.encode(InferRequest(inputs, request.id, request.parameters, request.outputs))
    except (OverflowError, ValueError):  # JSON's numbers have no bound; MessagePack's have, and Python's text of them
        raise BadRequestError("the request's JSON has a number that is out of range") from None


def _pack(tensor: RawTensor) -> PackedTensor:
    # The contract will say what is wrong with a type that is not known, and with data where there must be none.
    if not len(tensor.data) or (datatype := _CODES.get(tensor.datatype)) is None:
        data = bytes(tensor.data)[:1]
    else:
        try:
            values: Any = parse_json(tensor.data, datatype, tensor.shape)
            data = struct.pack(f"<{len(values)}{datatype.code}", *values)
        except BadRequestError as error:
            raise BadRequestError(f"input {tensor.name!r}: {error}") from None
        except (struct.error, OverflowError):
            raise BadRequestError(f"data has a number out of range for {datatype.name}") from None
    return PackedTensor(tensor.name, tensor.shape, tensor.datatype, tensor.parameters, memoryview(data))
