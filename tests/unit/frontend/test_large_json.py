"""Large requests: read elsewhere to the same values, or refused with the same reason."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from treadle_agent.frontend import large_json
from treadle_agent.frontend.errors import BadRequestError, FullOfBodiesError, NotReadError, ShedError
from treadle_agent.frontend.large_json import LARGE_BYTES, LargeJson, may_name_timeout, pack
from treadle_agent.frontend.messages import InferRequest, PackedTensor
from treadle_agent.frontend.tensors import DATATYPES


def tensor(**changes: object) -> dict[str, object]:
    return {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4], **changes}


def encoded(document: object) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def read(document: object) -> InferRequest[PackedTensor]:
    return msgspec.msgpack.decode(pack(encoded(document)), type=InferRequest[PackedTensor])


@given(st.data(), st.sampled_from(sorted(DATATYPES)), st.booleans())
def test_values_are_packed_and_the_rest_is_kept(data, dtype, nested):
    elements = {"allow_nan": False, "allow_infinity": False} if dtype == "float32" else {}
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=5))
    array = data.draw(hnp.arrays(dtype, shape, elements=hnp.from_dtype(np.dtype(dtype), **elements)))
    one = tensor(datatype=DATATYPES[dtype].name, shape=shape, data=array.tolist() if nested else array.ravel().tolist())
    binary = {"name": "z", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
    rest = {"id": "7", "parameters": {"timeout": 5}, "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}
    found = read({"inputs": [one, binary], **rest})
    np.testing.assert_array_equal(np.frombuffer(found.inputs[0].data, array.dtype).reshape(shape), array)
    assert [(given.name, given.shape) for given in found.inputs] == [("x", shape), ("z", (1, 4))]
    assert found.inputs[1].parameters.binary_data_size == 16
    assert (found.id, found.parameters.timeout, found.outputs[0].parameters.binary_data) == ("7", 5, True)


BAD = [
    (b'{"inputs": [' + b"[" * 100_000, "the request's JSON"),
    (b"\xff\xfe", "the request's JSON"),
    ({"inputs": [tensor(data=[1, 2, 3])]}, "input 'x': data has 3 values"),
    ({"inputs": [tensor(data=[1, 2, 3, "4"])]}, "input 'x': data: .* expected FP32 values"),
    ({"inputs": [tensor(data=[1, 2, 3, 1e300])]}, "out of range for FP32"),
    ({"inputs": [tensor(datatype="UINT8", data=[1, 2, 3, 256])]}, "out of range for UINT8"),
    ({"inputs": [tensor()] * 2000}, "bytes beside its tensors' data; at most 65536"),
    ({"inputs": [tensor(name="x" * LARGE_BYTES)]}, "bytes beside its tensors' data; at most 65536"),
    ({"inputs": [tensor()], "id": "i" * LARGE_BYTES}, "bytes beside its tensors' data; at most 65536"),
    ({"inputs": [tensor(shape=[2**62] * 400)]}, "a number that is out of range"),
    ({"inputs": [tensor(datatype="BYTES", shape=[2**70])]}, "a number that is out of range"),
    ({"inputs": [tensor()], "outputs": [{"name": "y", "parameters": {"classification": 2**70}}]}, "out of range"),
]


@pytest.mark.parametrize(("document", "reason"), BAD, ids=range(len(BAD)))
def test_what_is_wrong_is_told(document, reason):
    with pytest.raises(BadRequestError, match=reason):
        read(document)


def test_a_type_that_is_not_known_is_left_to_the_contract():
    assert read({"inputs": [tensor(datatype="BYTES", data=["a"])]}).inputs[0].datatype == "BYTES"


@pytest.fixture
def reader() -> Iterator[LargeJson]:
    made = LargeJson()
    yield made
    made.close()


def ask(reader: LargeJson, document: object) -> InferRequest[PackedTensor]:
    text = memoryview(encoded(document))
    return asyncio.run(reader.read(text, "a", len(text)))


def test_the_process_answers_one_after_another(reader):
    big = {"inputs": [tensor(shape=[100_000], data=[0.5] * 100_000)]}
    assert ask(reader, big).inputs[0].data == np.full(100_000, 0.5, "<f4").tobytes()
    first = reader._process.pid
    with pytest.raises(BadRequestError, match="data has 3 values"):
        ask(reader, {"inputs": [tensor(data=[1, 2, 3])]})
    assert ask(reader, {"inputs": [tensor()]}).inputs[0].data == np.array([1, 2, 3, 4], "<f4").tobytes()
    assert reader._process.pid == first


def test_the_process_looks_for_no_cycles_and_leaves_none(monkeypatch):
    monkeypatch.setattr(large_json.forkserver, "follow_parent", lambda: None)
    monkeypatch.setattr(large_json.os, "nice", lambda _: None)
    texts = [encoded(one) for one, _ in BAD] + [encoded({"inputs": [tensor(shape=[2, 2], data=[[1, 2], [3, 4]])]})]

    class Pipe:
        def recv_bytes(self) -> bytes:
            assert not gc.isenabled()
            if not texts:
                raise EOFError  # whoever asked is gone: the process ends, and says nothing
            return texts.pop()

        def send_bytes(self, _: bytes) -> None:
            assert gc.collect() == 0, "it would stay in memory"

    gc.collect()
    try:
        large_json.serve(Pipe())
    finally:
        gc.enable()
    assert texts == []


def test_one_that_has_died_costs_one_request(reader):
    ask(reader, {"inputs": [tensor()]})
    os.kill(reader._process.pid, signal.SIGKILL)
    with pytest.raises(NotReadError):
        ask(reader, {"inputs": [tensor()]})
    assert ask(reader, {"inputs": [tensor()]}).inputs[0].name == "x"


def test_one_that_hangs_is_replaced(reader, monkeypatch):
    ask(reader, {"inputs": [tensor()]})
    os.kill(reader._process.pid, signal.SIGSTOP)
    with monkeypatch.context() as hasty:
        hasty.setattr(large_json, "PATIENCE", 0.2)
        with pytest.raises(NotReadError, match="try again"):
            ask(reader, {"inputs": [tensor()]})
    assert ask(reader, {"inputs": [tensor()]}).inputs[0].name == "x"


def test_no_more_wait_than_there_is_memory_for(monkeypatch):
    monkeypatch.setattr(large_json, "MOST_WAITING", 1000)
    reader = LargeJson()

    async def run() -> list[object]:  # their tensors may be in a binary part, which waits, too
        text = memoryview(encoded({"inputs": [tensor()]}))
        bodies = (2000, 500, 400, 101, 100, 1)  # the first one does not wait
        return await asyncio.gather(*(reader.read(text, "a", each) for each in bodies), return_exceptions=True)

    found = asyncio.run(run())
    taken, refused = InferRequest, FullOfBodiesError
    assert [type(one) for one in found] == [taken, taken, taken, refused, taken, refused]
    assert ask(reader, {"inputs": [tensor()]}).inputs[0].name == "x"
    reader.close()


def test_tenants_take_turns(reader):
    async def run() -> list[str]:
        read: list[str] = []

        async def ask_for(tenant: str) -> None:
            await reader.read(memoryview(encoded({"inputs": [tensor()]})), tenant, 1)
            read.append(tenant)

        await asyncio.gather(*map(ask_for, "aaaaab"))
        return read

    assert asyncio.run(run()) == ["a", "a", "b", "a", "a", "a"]


@pytest.mark.parametrize("begin", [0, 10, LARGE_BYTES - 4, LARGE_BYTES, 2 * LARGE_BYTES - 1, 3 * LARGE_BYTES - 9])
def test_a_timeout_is_found_wherever_it_stands(begin):
    text = bytearray(b" " * 3 * LARGE_BYTES)
    assert not asyncio.run(may_name_timeout(memoryview(bytes(text))))
    text[begin : begin + 9] = b'"timeout"'
    assert asyncio.run(may_name_timeout(memoryview(bytes(text))))


def test_what_waits_past_its_deadline_is_not_read(reader, monkeypatch):
    asked: list[bytes] = []
    ask_process = reader._ask
    monkeypatch.setattr(reader, "_ask", lambda text: asked.append(bytes(text)) or ask_process(text))

    async def run() -> list[object]:
        texts = [memoryview(encoded({"inputs": [tensor()], "id": name})) for name in ("first", "late", "patient")]
        await reader.read(texts[0], "a", 1)
        os.kill(reader._process.pid, signal.SIGSTOP)
        waiting = [asyncio.create_task(reader.read(texts[0], "a", 1))]
        await asyncio.sleep(0.01)
        waiting += [asyncio.create_task(reader.read(*each)) for each in ((texts[1], "b", 1, 0.05), (texts[2], "b", 1))]
        await asyncio.wait(waiting[1:2], timeout=5.0)
        assert waiting[1].done(), "it is told when its deadline is over, not when its turn comes"
        os.kill(reader._process.pid, signal.SIGCONT)
        found = await asyncio.gather(*waiting, return_exceptions=True)
        return [*found, *await asyncio.gather(reader.read(texts[1], "b", 1, -0.1), return_exceptions=True)]

    first, late, patient, overdue = asyncio.run(run())
    assert (type(late), type(overdue)) == (ShedError, ShedError)
    assert (first.id, patient.id) == ("first", "patient")
    assert not any(b"late" in text for text in asked)


def test_a_deadline_is_for_the_wait_alone(reader):
    async def run() -> None:
        text = memoryview(encoded({"inputs": [tensor()]}))
        await reader.read(text, "a", 1)
        os.kill(reader._process.pid, signal.SIGSTOP)
        reading = asyncio.create_task(reader.read(text, "a", 1, 0.02))
        await asyncio.sleep(0.1)
        assert not reading.done(), "the process has it: the next one's turn comes when it is done"
        os.kill(reader._process.pid, signal.SIGCONT)
        await reading

    asyncio.run(run())


def test_who_waits_is_told_when_it_closes(reader):
    async def run() -> None:
        text = memoryview(encoded({"inputs": [tensor()]}))
        await reader.read(text, "a", 1)
        os.kill(reader._process.pid, signal.SIGSTOP)
        waiting = asyncio.create_task(reader.read(text, "a", 1))
        await asyncio.sleep(0.05)
        reader.close()
        with pytest.raises(NotReadError):
            await waiting

    asyncio.run(run())
