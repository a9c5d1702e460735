"""Large requests: read elsewhere to the same values, or refused with the same reason."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
from collections.abc import Iterator
from unittest.mock import create_autospec

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from treadle_agent import heap
from treadle_agent.frontend import aside as module
from treadle_agent.frontend.aside import Aside
from treadle_agent.frontend.errors import BadRequestError, FullOfBodiesError, ShedError
from treadle_agent.frontend.large_json import LARGE_BYTES, may_name_timeout, pack, read
from treadle_agent.frontend.messages import InferRequest, PackedTensor
from treadle_agent.frontend.tensors import DATATYPES


def tensor(**changes: object) -> dict[str, object]:
    return {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4], **changes}


def encoded(document: object) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def packed(document: object) -> InferRequest[PackedTensor]:
    return msgspec.msgpack.decode(pack(encoded(document)), type=InferRequest[PackedTensor])


@given(st.data(), st.sampled_from(sorted(DATATYPES)), st.booleans())
def test_values_are_packed_and_the_rest_is_kept(data, dtype, nested):
    elements = {"allow_nan": False, "allow_infinity": False} if dtype == "float32" else {}
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=5))
    array = data.draw(hnp.arrays(dtype, shape, elements=hnp.from_dtype(np.dtype(dtype), **elements)))
    one = tensor(datatype=DATATYPES[dtype].name, shape=shape, data=array.tolist() if nested else array.ravel().tolist())
    binary = {"name": "z", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
    rest = {"id": "7", "parameters": {"timeout": 5}, "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}
    found = packed({"inputs": [one, binary], **rest})
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
        packed(document)


def test_a_type_that_is_not_known_is_left_to_the_contract():
    assert packed({"inputs": [tensor(datatype="BYTES", data=["a"])]}).inputs[0].datatype == "BYTES"


@pytest.fixture
def aside() -> Iterator[Aside]:
    made = Aside({"pack": pack})
    yield made
    made.close()


OWN = {"timeout": 5}
LONG = tensor(data=[0.125] * LARGE_BYTES, shape=[LARGE_BYTES])
PAD = "i" * (LARGE_BYTES // 2)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"parameters": OWN, "inputs": [LONG]}, True),
        ({"id": PAD, "parameters": OWN, "inputs": [LONG]}, True),
        ({"inputs": [LONG], "parameters": OWN}, True),
        ({"inputs": [LONG, LONG], "parameters": OWN, "id": PAD}, True),
        ({"inputs": [LONG], "id": PAD}, False),
    ],
)
def test_a_timeout_is_found_wherever_it_may_stand(document, named):
    request = packed(document)
    assert request.parameters.timeout == (5 if named else 0)
    assert may_name_timeout(memoryview(encoded(document))) == named


def test_what_waits_past_its_deadline_is_not_read(aside, monkeypatch):
    asked: list[bytes] = []
    ask_process = aside._ask
    monkeypatch.setattr(aside, "_ask", lambda order, text: asked.append(bytes(text)) or ask_process(order, text))

    async def run() -> list[object]:
        texts = [memoryview(encoded({"inputs": [tensor()], "id": name})) for name in ("first", "late", "patient")]
        await read(aside, texts[0], "a", 1)
        os.kill(aside._process.pid, signal.SIGSTOP)
        waiting = [asyncio.create_task(read(aside, texts[0], "a", 1))]
        await asyncio.sleep(0.01)
        waiting += [asyncio.create_task(read(aside, *each)) for each in ((texts[1], "b", 1, 0.05), (texts[2], "b", 1))]
        await asyncio.wait(waiting[1:2], timeout=5.0)
        assert waiting[1].done(), "it is told when its deadline is over, not when its turn comes"
        os.kill(aside._process.pid, signal.SIGCONT)
        found = await asyncio.gather(*waiting, return_exceptions=True)
        return [*found, *await asyncio.gather(read(aside, texts[1], "b", 1, -0.1), return_exceptions=True)]

    first, late, patient, overdue = asyncio.run(run())
    assert (type(late), type(overdue)) == (ShedError, ShedError)
    assert (first.id, patient.id) == ("first", "patient")
    assert not any(b"late" in text for text in asked)


def test_a_deadline_is_for_the_wait_alone(aside):
    async def run() -> None:
        text = memoryview(encoded({"inputs": [tensor()]}))
        await read(aside, text, "a", 1)
        os.kill(aside._process.pid, signal.SIGSTOP)
        reading = asyncio.create_task(read(aside, text, "a", 1, 0.02))
        await asyncio.sleep(0.1)
        assert not reading.done(), "the process has it: the next one's turn comes when it is done"
        os.kill(aside._process.pid, signal.SIGCONT)
        await reading

    asyncio.run(run())


def test_no_more_wait_than_there_is_memory_for(monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 1000)
    aside = Aside({"pack": pack})

    async def run() -> list[object]:  # their tensors may be in a binary part, which waits, too
        text = memoryview(encoded({"inputs": [tensor()]}))
        return await asyncio.gather(*(read(aside, text, "a", size) for size in (1, 900, 101)), return_exceptions=True)

    assert [type(one) for one in asyncio.run(run())] == [InferRequest, InferRequest, FullOfBodiesError]
    aside.close()


def test_a_process_that_looks_for_no_cycles_is_left_none(monkeypatch):
    monkeypatch.setattr(module.forkserver, "follow_parent", lambda: None)
    monkeypatch.setattr(module.os, "sched_setscheduler", lambda *_: None)
    monkeypatch.setattr(module, "heap", create_autospec(heap))  # this is not a process of its own
    texts = [encoded(one) for one, _ in BAD] + [encoded({"inputs": [tensor(shape=[2, 2], data=[[1, 2], [3, 4]])]})]
    coming = [part for text in texts for part in (msgspec.msgpack.encode(("pack", ())), text)][::-1]

    class Line:
        def __init__(self, _: object) -> None:
            pass

        def receive(self) -> bytes:
            assert not gc.isenabled()
            if not coming:
                raise EOFError  # whoever asked is gone: the process ends, and says nothing
            return coming.pop()

        def send(self, _: bytes) -> None:
            assert gc.collect() == 0, "it would stay in memory"

    monkeypatch.setattr(module, "Line", Line)
    gc.collect()
    try:
        module.serve(None, {"pack": pack}, False)
    finally:
        gc.enable()
    assert coming == []
