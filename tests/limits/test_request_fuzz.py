"""Requests that are wrong in any way: answered with 200, or with a documented status and the reason."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostile.client import Client, explains
from hostile.server import Server
from hostile.tenants import BODY, INFER, TENSOR
from hostile.wire import Answer, request

LENGTH = "Inference-Header-Content-Length"
WHOLE = {
    "id": "7",
    "parameters": {"timeout": 4_000_000, "priority": 1, "binary_data_output": False, "tier": "only"},
    "inputs": [{**TENSOR, "data": [1, 2, 3, 4], "parameters": {}}],
    "outputs": [{"name": "y", "parameters": {"binary_data": False}}],
}
ODD = [
    None, True, 0, -1, 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**400, -0.0, 0.5, 1e308, 1e-320, float("nan"), float("inf"),
    "", "x", "y", "only", "FP32", "FP64", "BYTES", "\0", "\ud800", "é" * 300, "1", "NaN", "x" * 5000,
    [], [[]], [1], [1, 2, 3, 4], [[1, 2, 3, 4]], [[1, 2], [3, 4]], [[1], [1, 2, 3]], [None] * 4, ["1"] * 4, [True] * 4,
    [0, 4], [2**40, 4], [-1, 4], [4, 1], [1, 4, 1], [1] * 40, {}, {"name": "x"}, {"data": [1]},
]  # fmt: skip

odd = st.sampled_from(ODD)
fuzz = settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    """Somebody who calls the attacked tenant; at the end it must answer as ever."""
    made = Client(server.host, server.port)
    yield made
    answer = made.ask(request(INFER, BODY))
    assert (answer.status, answer.document["outputs"][0]["data"]) == (200, [2.0] * 4)
    made.close()


def check(answer: Answer) -> None:
    if answer.status == 200:
        length = int(answer.fields.get(LENGTH.lower(), len(answer.body)))
        [output] = json.loads(answer.body[:length])["outputs"]
        assert output["name"] == "y"
    else:
        assert explains(answer), answer


def places(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all values in a document but itself."""
    inside = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in inside:
        yield (*path, key)
        yield from places(value, (*path, key))


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """A request of which some values are others, gone, doubled or beside others."""
    document = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(document)) or [()]))
        if not path:
            break
        parent = document
        for step in path[:-1]:
            parent = parent[step]
        match draw(st.sampled_from(["replace", "remove", "double", "add"])):
            case "replace":
                parent[path[-1]] = copy.deepcopy(draw(odd | st.integers() | st.floats() | st.text(max_size=20)))
            case "remove":
                del parent[path[-1]]
            case "double" if isinstance(parent, list):
                parent.extend(copy.deepcopy(parent))
            case _ if isinstance(parent, dict):
                parent[draw(st.text(max_size=5))] = copy.deepcopy(draw(odd))
    return document


@fuzz
@given(documents())
def test_documents_of_wrong_types(client: Client, document: Any) -> None:
    check(client.ask(request(INFER, json.dumps(document).encode(errors="surrogatepass"))))


@fuzz
@given(documents())
def test_large_documents_of_wrong_types(client: Client, document: Any) -> None:
    text = json.dumps(document).encode(errors="surrogatepass")
    check(client.ask(request(INFER, text.replace(b'"data": [', b'"data": [' + b" " * 70_000))))


@fuzz
@given(st.data())
def test_bytes_that_are_others(client: Client, data: st.DataObject) -> None:
    body = bytearray(json.dumps(WHOLE).encode())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    check(client.ask(request(INFER, bytes(body))))


NUMBERS = st.sampled_from(["", "-1", "+1", "1e3", "0x10", "16.0", "99999999999999999999", "0" * 4000, "½", "1,2", " 1"])


@fuzz
@given(
    length=st.none() | st.integers(-5, 300).map(str) | NUMBERS,
    right=st.booleans(),
    size=odd | st.integers(0, 40) | st.just(16),
    tail=st.binary(max_size=40) | st.just(bytes(16)),
    rest=st.dictionaries(st.sampled_from(["data", "shape", "datatype"]), odd, max_size=1),
    wanted=st.booleans(),
)
def test_binary_tensors(
    client: Client, length: Any, right: bool, size: Any, tail: bytes, rest: Any, wanted: bool
) -> None:
    tensor = {**TENSOR, "parameters": {"binary_data_size": size}, **rest}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": wanted}}).encode(errors="surrogatepass")
    length = str(len(text)) if right else length
    check(client.ask(request(INFER, text + tail, *([f"{LENGTH}: {length}"] if length is not None else []))))


FIELD = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)
NAMES = ["Content-Encoding", "Content-Type", "Accept-Encoding", "Accept", LENGTH, "Treadle-Elapsed", "Expect", "Cookie"]


@fuzz
@given(st.dictionaries(st.sampled_from(NAMES), FIELD | NUMBERS | st.sampled_from(["gzip", "deflate", "nan", "inf"])))
def test_header_fields(client: Client, fields: dict[str, str]) -> None:
    check(client.ask(request(INFER, BODY, *(f"{name}: {value}" for name, value in fields.items()))))


@fuzz
@given(st.data())
def test_damaged_streams(client: Client, data: st.DataObject) -> None:
    packed = bytearray(gzip.compress(BODY, mtime=0))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at : at + data.draw(st.integers(0, 10))] = data.draw(st.binary(max_size=10))
    check(client.ask(request(INFER, bytes(packed), "Content-Encoding: gzip")))
