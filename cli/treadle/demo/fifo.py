"""What people run today: aiohttp and an ONNX Runtime session a tenant, first come, first served.

Each tenant's most accurate tier answers; one compute thread, as treadle's executor has; nothing is batched, shed or
switched. Speaks as much of the Open Inference Protocol as the demo's load asks for: binary tensors.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import uvloop
import yaml
from aiohttp import web

from treadle.demo.recipes import open_session
from treadle.load.targets import BINARY_HEADER, DATATYPES

DTYPES = {datatype: np.dtype(dtype) for dtype, datatype in DATATYPES.items()}
BODY_LIMIT = 4 << 20


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int] = {}


class _Request(msgspec.Struct):
    inputs: list[_Tensor]


class FifoServer:
    """Sessions by tenant, and the one thread that runs them."""

    def __init__(self, manifests: Path) -> None:
        self._sessions: dict[str, tuple[str, onnxruntime.InferenceSession]] = {}
        for path in sorted(manifests.glob("*.yaml")):
            document = yaml.safe_load(path.read_text())
            tier = max(document["spec"]["tiers"], key=lambda tier: float(tier["accuracy"]))
            session = open_session((manifests / tier["model"]["uri"]).read_bytes())
            self._sessions[document["metadata"]["name"]] = (tier["name"], session)
        self._compute = ThreadPoolExecutor(1)

    def app(self) -> web.Application:
        """The HTTP application."""
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_get("/v2/health/ready", self._healthy)
        app.router.add_get("/v2/models/{tenant}/ready", self._ready)
        app.router.add_post("/v2/models/{tenant}/infer", self._infer)
        return app

    async def _healthy(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _ready(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if request.match_info["tenant"] in self._sessions else 404)

    async def _infer(self, request: web.Request) -> web.Response:
        tenant = request.match_info["tenant"]
        tier, session = self._sessions[tenant]
        inputs = _decode(await request.read(), int(request.headers[BINARY_HEADER]))
        results = await asyncio.get_running_loop().run_in_executor(self._compute, session.run, None, inputs)
        names = [output.name for output in session.get_outputs()]
        body, header_length = _encode(tenant, tier, dict(zip(names, results, strict=True)))
        return web.Response(body=body, headers={BINARY_HEADER: str(header_length)})


def _decode(body: bytes, header_length: int) -> dict[str, Any]:
    inputs, offset = {}, header_length
    for tensor in msgspec.json.decode(body[:header_length], type=_Request).inputs:
        size = tensor.parameters["binary_data_size"]
        dtype = DTYPES[tensor.datatype]
        flat = np.frombuffer(body, dtype, size // dtype.itemsize, offset)
        inputs[tensor.name] = flat.reshape(tensor.shape)
        offset += size
    return inputs


def _encode(tenant: str, tier: str, outputs: dict[str, Any]) -> tuple[bytes, int]:
    header = msgspec.json.encode(
        {
            "model_name": tenant,
            "outputs": [
                {
                    "name": name,
                    "datatype": DATATYPES[array.dtype.name],
                    "shape": list(array.shape),
                    "parameters": {"binary_data_size": array.nbytes},
                }
                for name, array in outputs.items()
            ],
            "parameters": {"tier": tier},
        }
    )
    return b"".join([header, *(array.tobytes() for array in outputs.values())]), len(header)


async def _serve(manifests: Path, port: int) -> None:
    runner = web.AppRunner(FifoServer(manifests).app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as event_loop:
        event_loop.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
