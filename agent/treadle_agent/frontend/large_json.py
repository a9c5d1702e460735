"""Large JSON requests, read in a process of their own: whatever they hold, the event loop goes on.

JSON is read with the interpreter's lock held, so that a thread would not do: in the tenth of a second that some
megabytes take nobody would be answered.
"""

from __future__ import annotations

import asyncio
import gc
import os
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import msgspec

from treadle_agent.frontend.errors import BadRequestError, FullOfBodiesError, NotReadError, ShedError
from treadle_agent.frontend.messages import InferRequest, PackedTensor, RawTensor
from treadle_agent.frontend.tensors import DATATYPES, parse_json
from treadle_agent.frontend.turns import NoTurnError, Turns
from treadle_agent.program import forkserver

LARGE_BYTES = 65536  # what is smaller takes the event loop a millisecond
MOST_WAITING = 256 << 20  # bytes of the bodies of requests that wait: each is in memory as a whole
PATIENCE = 30.0  # seconds for one: some megabytes take a second; a process that takes longer hangs, and is replaced
NICENESS = 5  # large requests give way to what the tenants run

_TIMEOUT = b'"timeout"'  # the parameter's name in JSON: a request without it has its tenant's deadline
_CODES = {datatype.name: datatype for datatype in DATATYPES.values()}
_BAD, _GOOD = b"\0", b"\1"

_decode = msgspec.json.Decoder(InferRequest[RawTensor]).decode
_decode_packed = msgspec.msgpack.Decoder(InferRequest[PackedTensor]).decode


class LargeJson:
    """The process, started by the first large request; it reads one at a time, of each tenant in turn."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="large-json")  # waits for the process
        self._turns = Turns(1, MOST_WAITING)
        self._lock = threading.Lock()  # for the two below
        self._process: BaseProcess | None = None
        self._closed = False
        self._pipe: Connection | None = None

    async def read(
        self, text: memoryview, tenant: str, body_bytes: int, patience: float | None = None
    ) -> InferRequest[PackedTensor]:
        """A request, its values packed.

        Args:
            text: its JSON.
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
            async with asyncio.timeout(patience) as waiting, self._turns.turn(tenant, body_bytes):
                waiting.reschedule(None)
                answer = await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, text)
        except NoTurnError:
            raise FullOfBodiesError("too many large requests wait to be read; send tensors in binary") from None
        except TimeoutError:
            raise _overdue() from None
        if answer[:1] == _BAD:
            raise BadRequestError(answer[1:].decode())
        return _decode_packed(memoryview(answer)[1:])

    def close(self) -> None:
        """End the process; who waits for it gets NotReadError."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _ask(self, text: memoryview) -> bytes:
        try:
            if self._pipe is None:
                self._pipe = self._start()
            self._pipe.send_bytes(text)
            if not self._pipe.poll(PATIENCE):
                raise EOFError
            return self._pipe.recv_bytes()
        except (EOFError, OSError):
            self._drop()
            raise NotReadError("the process that reads large requests has ended; try again") from None

    def _start(self) -> Connection:
        ours, theirs = forkserver.context().Pipe()
        process = forkserver.context().Process(target=serve, args=(theirs,), name="treadle-large-json", daemon=True)
        with self._lock:
            if self._closed:
                raise EOFError
            forkserver.start(process)
            self._process = process
        theirs.close()
        return ours

    def _drop(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if process is not None:
            process.kill()
            process.join()
            process.close()


def _overdue() -> ShedError:
    return ShedError("the deadline passed before the request's JSON could be read; send tensors in binary")


async def may_name_timeout(text: memoryview) -> bool:
    """Whether a request's JSON may have a `timeout` of its own; looked for in steps that hold up nobody."""
    for begin in range(0, len(text), LARGE_BYTES):
        if _TIMEOUT in bytes(text[begin : begin + LARGE_BYTES + len(_TIMEOUT) - 1]):
            return True
        await asyncio.sleep(0)
    return False


def serve(pipe: Connection) -> None:
    """Entry of the process: answer one request after another."""
    forkserver.follow_parent()
    os.nice(NICENESS)
    gc.disable()  # nested values are lists by the million, without a cycle; the search took two thirds of the time
    while True:
        try:
            text = pipe.recv_bytes()
        except EOFError:
            return  # whoever asked is gone
        try:
            pipe.send_bytes(_GOOD + pack(text))
        except BadRequestError as error:
            pipe.send_bytes(_BAD + str(error).encode())


def pack(text: bytes) -> bytes:
    """A request of packed values, as MessagePack, from its JSON.

    Raises:
        BadRequestError: see `LargeJson.read`.
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
    return PackedTensor(tensor.name, tensor.shape, tensor.datatype, tensor.parameters, data)
