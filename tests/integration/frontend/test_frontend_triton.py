"""The public tritonclient against the front end, sync and asyncio, JSON and binary."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

ROWS = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)


def tensor(name: str, values: np.ndarray, datatype: str, *, binary: bool = True) -> Any:
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


@pytest.fixture
def client(site):
    with triton.InferenceServerClient(site.url) as client:
        yield client


def test_server_and_model_documents(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata["name"] == "treadle"
    assert "binary_tensor_data" in metadata["extensions"]
    assert client.is_model_ready("linear")
    assert client.is_model_ready("linear", "1")
    assert not client.is_model_ready("linear", "7")
    assert not client.is_model_ready("nobody")
    assert client.get_model_metadata("linear.default") == {
        "name": "linear",
        "versions": ["1"],
        "platform": "treadle_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    }


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True, None])
@pytest.mark.parametrize("model", ["linear", "linear.default"])
def test_sync_client(client, weights, binary_in, binary_out, model):
    outputs = None if binary_out is None else [triton.InferRequestedOutput("y", binary_data=binary_out)]
    inputs = [tensor("x", ROWS, "FP32", binary=binary_in)]
    result = client.infer(model, inputs, outputs=outputs, request_id="r-1", model_version="1")
    np.testing.assert_allclose(result.as_numpy("y"), ROWS @ weights, rtol=1e-6)
    response = result.get_response()
    assert response["id"] == "r-1"
    assert response["model_name"] == "linear"
    assert response["model_version"] == "1"
    assert response["parameters"] == {"tier": "large", "accuracy": 97.5}
    assert ("data" in response["outputs"][0]) == (binary_out is False)


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True])
def test_asyncio_client(site, weights, binary_in, binary_out):
    async def run() -> np.ndarray:
        async with triton_aio.InferenceServerClient(site.url) as client:
            inputs = [tensor("x", ROWS, "FP32", binary=binary_in)]
            outputs = [triton_aio.InferRequestedOutput("y", binary_data=binary_out)]
            results = await asyncio.gather(*(client.infer("linear", inputs, outputs=outputs) for _ in range(20)))
            return np.stack([result.as_numpy("y") for result in results])

    np.testing.assert_allclose(asyncio.run(run()), np.stack([ROWS @ weights] * 20), rtol=1e-6)


@pytest.mark.parametrize("binary", [False, True])
def test_every_type_and_several_tensors_in_any_order(client, binary):
    number = np.array([[2**40], [-(2**53) + 1]], np.int64)
    flag = np.array([[True], [False]])
    byte = np.array([[1, 2, 255], [0, 7, 9]], np.uint8)
    small = np.array([[-(2**31) + 1], [5]], np.int32)
    inputs = [
        tensor("small", small, "INT32", binary=binary),
        tensor("byte", byte, "UINT8", binary=not binary),
        tensor("number", number, "INT64", binary=binary),
        tensor("flag", flag, "BOOL", binary=binary),
    ]
    outputs = [
        triton.InferRequestedOutput("negative", binary_data=binary),
        triton.InferRequestedOutput("xor", binary_data=binary),
        triton.InferRequestedOutput("reversed", binary_data=not binary),
        triton.InferRequestedOutput("total", binary_data=binary),
    ]
    result = client.infer("plumbing", inputs, outputs=outputs)
    np.testing.assert_array_equal(result.as_numpy("total"), number + byte.sum(1, keepdims=True, dtype=np.int64) + small)
    np.testing.assert_array_equal(result.as_numpy("xor"), flag ^ (number > 0))
    np.testing.assert_array_equal(result.as_numpy("reversed"), byte[:, ::-1])
    np.testing.assert_array_equal(result.as_numpy("negative"), -small)
    assert [output["name"] for output in result.get_response()["outputs"]] == ["negative", "xor", "reversed", "total"]
    only = client.infer("plumbing", inputs, outputs=[triton.InferRequestedOutput("xor")]).get_response()
    assert [output["name"] for output in only["outputs"]] == ["xor"]


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [False, True])
def test_compression_both_ways(site, client, algorithm, binary):
    x = np.random.default_rng(3).standard_normal((3, 20_000), dtype=np.float32)
    for columns in (2_000, 20_000):  # compressed on the event loop, and in a thread
        result = client.infer(
            "means",
            [tensor("x", x[:, :columns], "FP32", binary=binary)],
            outputs=[triton.InferRequestedOutput("mean", binary_data=binary)],
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
        np.testing.assert_allclose(result.as_numpy("mean"), x[:, :columns].mean(axis=0), rtol=1e-5, atol=1e-6)
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2000], "data": [0.5] * 2000}]})
    _, fields, plain = site.request("POST", "/v2/models/means/infer", body.encode())
    assert "content-encoding" not in fields
    _, fields, packed = site.request("POST", "/v2/models/means/infer", body.encode(), {"Accept-Encoding": algorithm})
    assert fields["content-encoding"] == algorithm
    assert (gzip.decompress if algorithm == "gzip" else zlib.decompress)(packed) == plain


def test_scalars_and_free_dimensions(client):
    x = np.array(1.5, np.float32)
    assert client.infer("scalar", [tensor("x", x, "FP32")]).as_numpy("y") == np.float32(3)
    for columns in (3, 5):
        x = np.arange(2 * columns, dtype=np.float32).reshape(2, columns)
        np.testing.assert_allclose(client.infer("means", [tensor("x", x, "FP32")]).as_numpy("mean"), x.mean(axis=0))


def test_large_tensors_cross_in_both_directions(client):
    rows = np.random.default_rng(1).random((4, 2), dtype=np.float32)
    np.testing.assert_array_equal(
        client.infer("wide", [tensor("x", rows, "FP32")]).as_numpy("y"), np.repeat(rows, 300_000, axis=1)
    )
    x = np.random.default_rng(2).random((1000, 4000), dtype=np.float32)
    means = client.infer("means", [tensor("x", x, "FP32")]).as_numpy("mean")
    np.testing.assert_allclose(means, x.mean(axis=0), rtol=1e-4)


def test_timeout_and_priority_reach_the_executor(site, client):
    site.call(site.front_end._turn.stop)  # what a request waited before it was read, and its way back, come off
    site.front_end._turn.seconds = 0.0
    site.now = 100.0
    site.gateway.clock = lambda: 100.0
    inputs = [tensor("x", ROWS, "FP32")]
    client.infer("linear", inputs)
    client.infer("linear", inputs, timeout=250_000, priority=3)
    assert site.gateway.deadlines == [105.0, 100.25]
    assert site.gateway.priorities == [0, 3]
    assert site.gateway.wishes == [(-1, 0)] * 2


def test_errors_reach_the_client_as_they_are(site, client):
    with pytest.raises(InferenceServerException, match=r"unexpected input 'z'; the model takes 'x' FP32 \[-1, 4\]"):
        client.infer("linear", [tensor("z", ROWS, "FP32")])
    with pytest.raises(InferenceServerException, match="there is no model 'nobody'") as caught:
        client.infer("nobody", [tensor("x", ROWS, "FP32")])
    assert caught.value.status() == "404"
