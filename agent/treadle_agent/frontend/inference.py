"""Inference: from a request's bytes to a call's memory, and back to a response."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec
from aiohttp import hdrs, web

from treadle_agent.executor.gateway import Call, FullError, GoneError, OversizeError, RefusedError
from treadle_agent.executor.protocol import Done, Outcome
from treadle_agent.frontend import large_json
from treadle_agent.frontend.aside import Aside
from treadle_agent.frontend.body import Body, BodyReader
from treadle_agent.frontend.contract import Contract
from treadle_agent.frontend.directory import Directory
from treadle_agent.frontend.errors import (
    BadRequestError,
    BusyError,
    ModelFailedError,
    NotFoundError,
    NotServedYetError,
    RequestError,
    ShedError,
    TooLargeError,
    TooManyRequestsError,
)
from treadle_agent.frontend.forwarding import Forwarder, elapsed
from treadle_agent.frontend.inflation import inflate
from treadle_agent.frontend.messages import (
    BinaryOutput,
    BinaryParameters,
    InferRequest,
    InferResponse,
    JsonOutput,
    PackedTensor,
)
from treadle_agent.frontend.query import Query, json_part, read_query
from treadle_agent.frontend.reply import BINARY, HEADER_LENGTH, Reply, compress
from treadle_agent.frontend.settings import FrontEndSettings
from treadle_agent.frontend.tensors import fill, list_values
from treadle_agent.frontend.turn import TurnLength
from treadle_agent.metrics import RequestOutcome, TenantRequests
from treadle_agent.policy.way_back import WayBack

JSON_ITEM_BYTES = 20  # a float32 as the shortest decimal of the double it becomes, with its comma

_encode = msgspec.json.Encoder().encode
_log = logging.getLogger(__name__)


class _LeftError(NotFoundError):
    """Raised when a tenant left this node while a request for it arrived; `body` is what had."""

    def __init__(self, message: str, body: Body) -> None:
        super().__init__(message)
        self.body = body


class Inference:
    """Answers inference requests of all tenants."""

    def __init__(
        self, directory: Directory, forwarder: Forwarder, settings: FrontEndSettings, turn: TurnLength,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._directory = directory
        self._forwarder = forwarder
        self._settings = settings
        self._turn = turn
        self._clock = clock
        self._way_back = WayBack()
        self._aside = Aside({"inflate": inflate, "pack": large_json.pack})
        self._bodies = BodyReader(settings, self._aside)

    def close(self) -> None:
        """Give up what is still being read."""
        self._aside.close()

    async def infer(self, request: web.BaseRequest, name: str, version: str | None, came: float) -> Reply:
        """Answer one request, and count how it ended; `came`: when it did, in seconds of the clock.

        Raises:
            RequestError: any condition of `frontend.errors`, counted.
        """
        arrival = came - elapsed(request.headers)
        if self._directory.leaving and self._directory.move(name) is not None:
            body = await self._bodies.read(request, name)
            forwarded = await self._forward(request, name, body, arrival)
            return forwarded or await self._infer_here(request, name, version, arrival, body)
        try:
            return await self._infer_here(request, name, version, arrival, None)
        except _LeftError as error:
            forwarded = await self._forward(request, name, error.body, arrival)
            if forwarded is None:
                raise
            return forwarded

    async def _infer_here(
        self, request: web.BaseRequest, name: str, version: str | None, arrival: float, body: Body | None
    ) -> Reply:
        """Answer on a device of this node; `body` is None where it is still to be read."""
        try:
            contract = self._directory.contract(name, version)
        except NotServedYetError:
            self._directory.count(name, RequestOutcome.SHED)
            raise
        deadline = arrival + contract.served.version.deadline
        complete = False
        try:
            if body is None:
                body = await self._read(request, contract)
            complete = True
            contract, query, call = await self._open(request, name, version, arrival, deadline, body)
            try:
                del body  # it may be large, and its tensors are in the call's memory now
                if query.timeout:
                    deadline = arrival + query.timeout
                until = self._way_back.leave(arrival, deadline, self._turn.seconds, self._clock())
                done = await contract.answer(call, until, query.priority, query.tier, query.forbidden)
                back = self._clock()
                reply = _respond(contract, query, call, done, self._settings)
                self._way_back.observe(back - done.finished, back)
            finally:
                call.release()
            tier = contract.tiers[done.tier]
            now = self._clock()
            contract.requests.answered(tier.name, tier.accuracy, now - arrival, in_time=now <= deadline)
        except RequestError as error:
            _count(contract.requests, error)
            raise
        except asyncio.CancelledError:
            if complete:  # The client has gone. Clients give up at their own deadlines: that is a miss, not nobody's.
                contract.requests.count(RequestOutcome.LATE if self._clock() > deadline else RequestOutcome.ERROR)
            raise
        except Exception:  # noqa: BLE001 - a defect here must not cost the client its answer, nor the count
            _log.exception("request to %s failed", name)
            contract.requests.count(RequestOutcome.ERROR)
            raise ModelFailedError("internal error; the server's log has the details") from None
        if len(reply.content) >= self._settings.compress_bytes:
            accept = request.headers.get(hdrs.ACCEPT_ENCODING)
            if accept is not None:
                await compress(reply, accept)
        return reply

    async def _read(self, request: web.BaseRequest, contract: Contract) -> Body:
        """The body. The gate judges what arrives whole; what comes in pieces is judged here."""
        whole = request.content.is_eof()
        body = await self._bodies.read(request, contract.name)
        if not whole and not contract.admission.admit(self._turn.sustained, contract.served.version.deadline):
            raise TooManyRequestsError
        return body

    async def _forward(self, request: web.BaseRequest, name: str, body: Body, arrival: float) -> Reply | None:
        """The answer of the replica that took over, which counts it, too; None where this node is to answer."""
        move = self._directory.move(name)
        if move is None:
            return None
        try:
            return await self._forwarder.forward(request, body, move, arrival)
        except ShedError:
            self._directory.count(name, RequestOutcome.SHED)
            raise

    async def _open(
        self, request: web.BaseRequest, name: str, version: str | None, arrival: float, deadline: float, body: Body
    ) -> tuple[Contract, Query, Call]:
        """Check the request against the version that serves now, and write its tensors into a new call; `deadline` is
        the tenant's.

        The version may be replaced while the body or a program is awaited: then the next one answers.
        """
        header_length = request.headers.get(HEADER_LENGTH)
        text = json_part(body, header_length, self._settings)
        read = await self._read_apart(text, name, len(body), deadline) if len(text) > large_json.LARGE_BYTES else None
        gone: Contract | None = None
        while True:
            try:
                contract = self._directory.contract(name, version)
            except NotFoundError as error:
                raise _LeftError(str(error), body) from None
            if contract is gone:
                raise ShedError(f"model {name!r} is being replaced; try again")
            query, sources = read_query(body, header_length, contract, self._settings, read)
            try:
                if not contract.gateway.bound(contract.served, query.shapes):
                    await self._bind(contract, query, arrival + (query.timeout or contract.served.version.deadline))
                call = contract.gateway.open(contract.served, query.shapes)
            except GoneError:
                gone = contract
                continue
            except KeyError:  # another request's shapes have taken the place of these since they were bound
                continue
            except FullError as error:
                raise _no_room(name, error) from None
            try:
                for view, source, port in zip(call.inputs, sources, contract.inputs, strict=True):
                    fill(view, source, port.datatype)
            except BaseException:
                call.release()
                raise
            return contract, query, call

    async def _read_apart(
        self, text: memoryview, name: str, body_bytes: int, deadline: float
    ) -> InferRequest[PackedTensor]:
        """Large JSON, read outside of the event loop, where its turn comes before its tenant's deadline.

        One that has a deadline of its own waits for its turn: which one is not known before it is read.
        """
        patience = None if large_json.may_name_timeout(text) else deadline - self._clock()
        return await large_json.read(self._aside, text, name, body_bytes, patience)

    async def _bind(self, contract: Contract, query: Query, deadline: float) -> None:
        """Have the input shapes compiled; what outlasts the deadline serves the requests to come."""
        try:
            async with asyncio.timeout(deadline - self._clock()):
                await contract.gateway.bind(contract.served, query.shapes)
        except TimeoutError:
            shapes = ", ".join(str(list(shape)) for shape in query.shapes)
            raise ShedError(f"input shapes {shapes} are new here and still being compiled; try again") from None
        except RefusedError as error:
            raise BadRequestError(f"the model does not accept these input shapes: {error}") from None


def _no_room(name: str, error: FullError) -> RequestError:
    if isinstance(error, OversizeError):
        return TooLargeError(f"model {name!r}: {error}")
    return BusyError(str(error) or f"model {name!r}: the queue is full; try again later")


def _count(requests: TenantRequests, error: RequestError) -> None:
    if error.outcome is None:
        requests.refuse(error.status)
    else:
        requests.count(error.outcome)


def _respond(contract: Contract, query: Query, call: Call, done: Done, settings: FrontEndSettings) -> Reply:
    """The response to an answered call; the tensors are copied once, out of the call's memory."""
    if done.outcome != Outcome.DONE:
        raise _failure(done)
    views = call.outputs
    outputs: list[BinaryOutput | JsonOutput] = []
    parts: list[bytes | memoryview] = [b""]
    json_bytes = 0
    for port, binary in query.outputs:
        view = views[port.position]
        if binary:
            parameters = BinaryParameters(view.nbytes)
            outputs.append(BinaryOutput(port.name, port.datatype.name, view.shape, parameters))
            parts.append(view.data)
        else:
            json_bytes += view.size * JSON_ITEM_BYTES
            if json_bytes > settings.max_json_bytes:
                raise TooLargeError(f"output {port}: too large for JSON; ask for binary_data_output")
            outputs.append(JsonOutput(port.name, port.datatype.name, view.shape, list_values(view)))
    header = _encode(
        InferResponse(contract.name, contract.version, contract.tiers[done.tier].parameters, outputs, query.id)
    )
    if len(parts) == 1:
        return Reply(header)
    parts[0] = header
    return Reply(b"".join(parts), content_type=BINARY, headers=f"{HEADER_LENGTH}: {len(header)}\r\n")


def _failure(done: Done) -> RequestError:
    if done.outcome == Outcome.SHED:
        return ShedError(done.reason or "the deadline cannot be met any more")
    if done.outcome == Outcome.OVERLOADED:
        return BusyError(done.reason or "the queue is full; try again later")
    return ModelFailedError(done.reason or "the model failed on this request")
