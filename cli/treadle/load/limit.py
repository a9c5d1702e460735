"""The generator's own limit on this machine: what it reaches against a server that does nothing.

A measurement near this limit says more about the generator than about the server.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

from treadle.load.process import GeneratorError, LoadProcess
from treadle.load.schedule import at_once
from treadle.load.targets import Target, Variant

_ANSWER = b'{"model_name":"m","outputs":[],"parameters":{"tier":"t"}}'


async def measure_limit(seconds: float = 2.0, *, connections: int = 32, body_bytes: int = 3136) -> float:
    """Requests per second the generator reaches alone, in a closed loop of `connections`, on bodies of `body_bytes`."""
    server = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdout=asyncio.subprocess.PIPE)
    try:
        assert server.stdout is not None
        port = int(await server.stdout.readline())
        target = Target("/", (Variant(bytes(body_bytes), b""),))
        schedule = at_once(int(200_000 * seconds), 1, seconds=seconds)
        answered = 0
        url = f"http://127.0.0.1:{port}"
        async with LoadProcess([target], schedule, url, connections=connections, grace=0.0) as run:
            async for batch in run:
                answered += int((batch.records["status"] == 200).sum())
        if not 0 < answered < len(schedule):
            raise GeneratorError(f"the generator's limit was not found: {answered} of {len(schedule)} answered")
        return answered / seconds
    finally:
        server.terminate()
        await server.wait()


class _Trivial(asyncio.Protocol):
    """Takes whatever one segment or more bring until a whole request is there, and gives one fixed answer."""

    def __init__(self) -> None:
        self._left = 0
        self._reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(_ANSWER), _ANSWER)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not derive from it

    def data_received(self, data: bytes) -> None:
        if not self._left:
            head, _, body = data.partition(b"\r\n\r\n")  # the generator sends a head in one piece
            self._left = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            data = body
        self._left -= len(data)
        if not self._left:
            self._transport.write(self._reply)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Trivial, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
