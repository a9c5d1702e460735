"""Peer (a): what a good engineer writes in an afternoon. aiohttp on uvloop, one ONNX Runtime session a tenant.

    python -m treadle.bench.peers.plain_server --models MAP.json --port N [--threads N] [--queue-limit N]

Sessions use one thread each, as the fastest setting for many small models. `--threads 0` runs them on the event loop,
which is fastest for models of tens of microseconds; otherwise N threads run them side by side (ONNX Runtime releases
the interpreter lock). With `--queue-limit` sessions run on the event loop, and a request is refused with 503 while that
many are waiting.
"""

from __future__ import annotations

import argparse
import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import uvloop
from aiohttp import web

from treadle.bench.peers.turns import QueueFullError, Turns

_HEADER = "Inference-Header-Content-Length"
_DTYPES = {"FP32": "<f4", "INT32": "<i4", "INT64": "<i8", "BOOL": "?", "UINT8": "u1"}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
Array = npt.NDArray[Any]


class _Parameters(msgspec.Struct):
    binary_data_size: int = -1
    binary_data_output: bool = False


class _Input(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: list[float] | None = None
    parameters: _Parameters | None = None


class _Request(msgspec.Struct):
    inputs: list[_Input]
    parameters: _Parameters | None = None


class Model:
    """One tenant's session."""

    def __init__(self, name: str, path: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._name = name
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, feeds: dict[str, Array]) -> list[Array]:
        """All outputs, in the model's order."""
        outputs: list[Array] = self._session.run(self._outputs, feeds)
        return outputs

    def answer(self, outputs: list[Array], *, binary: bool) -> web.Response:
        """The response that carries `outputs`."""
        described: list[dict[str, Any]] = [
            {"name": name, "datatype": _NAMES[array.dtype], "shape": array.shape}
            for name, array in zip(self._outputs, outputs, strict=True)
        ]
        document = {"model_name": self._name, "outputs": described}
        if not binary:
            for tensor, array in zip(described, outputs, strict=True):
                tensor["data"] = array.ravel().tolist()
            return web.Response(body=msgspec.json.encode(document), content_type="application/json")
        for tensor, array in zip(described, outputs, strict=True):
            tensor["parameters"] = {"binary_data_size": array.nbytes}
        header = msgspec.json.encode(document)
        return web.Response(
            body=b"".join([header, *(array.tobytes() for array in outputs)]),
            headers={_HEADER: str(len(header)), "Content-Type": "application/octet-stream"},
        )


def decode(body: bytes, header_length: str | None) -> tuple[dict[str, Array], bool]:
    """Tensors by name, and whether the answer is to be binary."""
    end = len(body) if header_length is None else int(header_length)
    request = _decoder.decode(memoryview(body)[:end])
    feeds = {}
    for tensor in request.inputs:
        dtype = _DTYPES[tensor.datatype]
        if tensor.data is None:
            count = int(np.prod(tensor.shape))
            array = np.frombuffer(body, dtype, count, end)
            end += array.nbytes
        else:
            array = np.array(tensor.data, dtype)
        feeds[tensor.name] = array.reshape(tensor.shape)
    return feeds, bool(request.parameters and request.parameters.binary_data_output)


_decoder = msgspec.json.Decoder(_Request)


class Server:
    """Routes, and the queue where there is one."""

    def __init__(self, models: dict[str, Model], threads: int, queue_limit: int) -> None:
        self._models = models
        self._pool = ThreadPoolExecutor(threads) if threads else None
        self._turns = Turns(queue_limit) if queue_limit else None

    async def infer(self, request: web.Request) -> web.Response:
        """POST /v2/models/NAME/infer."""
        model = self._models.get(request.match_info["name"])
        if model is None:
            raise web.HTTPNotFound
        if self._turns:
            try:
                await self._turns.take()
            except QueueFullError:
                return web.Response(status=503, headers={"Retry-After": "1"}, body=b'{"error":"queue full"}')
        body = await request.read()
        feeds, binary = decode(body, request.headers.get(_HEADER))
        if self._pool:
            outputs = await asyncio.get_running_loop().run_in_executor(self._pool, model.run, feeds)
        else:
            outputs = model.run(feeds)
        return model.answer(outputs, binary=binary)

    async def ready(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """GET /v2/health/ready: models were loaded before the port was opened."""
        return web.Response()

    async def model_ready(self, request: web.Request) -> web.Response:
        """GET /v2/models/NAME/ready."""
        return web.Response(status=200 if request.match_info["name"] in self._models else 404)


def main() -> None:
    """Load every model, then serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", required=True, type=Path)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--threads", default=0, type=int)
    parser.add_argument("--queue-limit", default=0, type=int)
    arguments = parser.parse_args()
    paths = msgspec.json.decode(arguments.models.read_bytes(), type=dict[str, str])
    models = {name: Model(name, path) for name, path in paths.items()}

    async def application() -> web.Application:
        server = Server(models, arguments.threads, arguments.queue_limit)
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v2/models/{name}/infer", server.infer)
        app.router.add_get("/v2/health/ready", server.ready)
        app.router.add_get("/v2/models/{name}/ready", server.model_ready)
        return app

    loop = uvloop.new_event_loop()
    web.run_app(application(), host="127.0.0.1", port=arguments.port, access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    main()
