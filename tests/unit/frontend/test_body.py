"""Content codings of request bodies: whole streams only, and never more than the bound."""

from __future__ import annotations

import asyncio
import gzip
import random
import time
import tracemalloc
import zlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.frontend import aside as process
from treadle_agent.frontend import body as module
from treadle_agent.frontend import inflation
from treadle_agent.frontend.aside import Aside
from treadle_agent.frontend.body import APART_BYTES, LOOP_BYTES, BodyReader
from treadle_agent.frontend.errors import BadRequestError, FullOfBodiesError, TooLargeError
from treadle_agent.frontend.inflation import inflate
from treadle_agent.frontend.pieces import STEP_BYTES
from treadle_agent.frontend.settings import FrontEndSettings


def decompress(body, coding, limit):
    """Decompressed, in this process where the real one would be asked."""

    async def apart():
        return inflate(body, coding, limit)

    return asyncio.run(module.decompress(body, coding, limit, apart))


PACK = {"gzip": gzip.compress, "deflate": zlib.compress}


@given(st.binary(max_size=500), st.sampled_from(sorted(PACK)))
def test_round_trip(body, coding):
    assert decompress(PACK[coding](body), coding, len(body)) == body
    assert decompress(PACK[coding](body), coding.upper(), 1000) == body


@given(st.binary(max_size=300), st.sampled_from(sorted(PACK)), st.data())
def test_streams_cut_off_or_continued_anywhere_are_refused(body, coding, data):
    packed = PACK[coding](body)
    cut = data.draw(st.integers(0, len(packed) - 1))
    for damaged in (packed[:cut], packed + b"\0", packed + packed):
        with pytest.raises(BadRequestError):
            decompress(damaged, coding, 1000)


def test_a_wrong_checksum_is_refused():
    packed = bytearray(gzip.compress(b"tensor"))
    packed[-5] ^= 1
    with pytest.raises(BadRequestError, match="incorrect data check"):
        decompress(bytes(packed), "gzip", 1000)


@pytest.mark.parametrize("coding", sorted(PACK))
def test_no_more_than_the_bound_is_computed(coding):
    bomb = PACK[coding](bytes(30_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match="larger than 100000 bytes"):
            decompress(bomb, coding, 100_000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_unknown_codings():
    with pytest.raises(BadRequestError, match="use gzip or deflate"):
        decompress(b"", "br", 10)


@pytest.fixture
def made(monkeypatch):
    """How many bytes are made on the event loop."""
    sizes, make = [0], zlib.decompressobj

    class Stream:
        def __init__(self, bits):
            self._stream = make(bits)

        def __getattr__(self, name):
            return getattr(self._stream, name)

        def decompress(self, data, most):
            result = self._stream.decompress(data, most)
            sizes[0] += len(result)
            return result

    monkeypatch.setattr(zlib, "decompressobj", Stream)
    return sizes


async def left(body, coding, limit):
    """What `decompress` makes of a body; None where it leaves it to the process."""

    async def apart():
        return None

    return await module.decompress(body, coding, limit, apart)


@pytest.mark.parametrize("coding", sorted(PACK))
@pytest.mark.parametrize("size", [LOOP_BYTES - 1, LOOP_BYTES, LOOP_BYTES + 1, LOOP_BYTES + 200, 10 * LOOP_BYTES])
def test_a_small_body_that_becomes_large_is_left_to_the_process(coding, size, made):
    body = bytes(size)
    found = asyncio.run(left(PACK[coding](body), coding, size))
    assert made[0] <= LOOP_BYTES
    assert found == (body if size <= LOOP_BYTES else None)


@pytest.mark.parametrize("coding", sorted(PACK))
@pytest.mark.parametrize("size", [LOOP_BYTES, LOOP_BYTES + 1, 10 * LOOP_BYTES])
def test_what_is_wrong_with_it_is_told_wherever_it_is_done(coding, size):
    body = bytes(size)
    assert decompress(PACK[coding](body), coding, size) == body
    with pytest.raises(TooLargeError):
        decompress(PACK[coding](body), coding, size - 1)
    with pytest.raises(BadRequestError, match="cut off"):
        decompress(PACK[coding](body)[:-1], coding, size)
    with pytest.raises(BadRequestError, match="goes on after its end"):
        decompress(PACK[coding](body) + b"\0", coding, size)


def test_a_large_body_is_left_to_the_process_whole(made):
    body = random.Random(3).randbytes(2 * APART_BYTES)
    assert asyncio.run(left(gzip.compress(body), "gzip", len(body))) is None
    assert made[0] == 0


@pytest.mark.parametrize("coding", sorted(PACK))
def test_a_stream_that_ends_where_a_step_does(coding, monkeypatch):
    packed = PACK[coding](b"tensor")
    monkeypatch.setattr(inflation, "STEP_BYTES", len(packed))
    assert decompress(packed, coding, 1000) == b"tensor"
    with pytest.raises(BadRequestError, match="goes on after its end"):
        decompress(packed + b"\0", coding, 1000)


@pytest.mark.parametrize("coding", sorted(PACK))
def test_a_large_body_cut_off_or_continued_anywhere_is_refused(coding):
    packed = PACK[coding](random.Random(5).randbytes(3 * APART_BYTES))
    for cut in (1, APART_BYTES, 2 * APART_BYTES, len(packed) - 1):
        with pytest.raises(BadRequestError, match="cut off"):
            decompress(packed[:cut], coding, 10 * APART_BYTES)
    for rest in (b"\0", packed, bytes(3 * APART_BYTES)):
        with pytest.raises(BadRequestError, match="goes on after its end"):
            decompress(packed + rest, coding, 10 * APART_BYTES)


def test_content_of_any_kind_is_the_same_in_two_steps():
    numbers = random.Random(4)
    pieces = [numbers.randbytes(numbers.choice([1, 3, 300])) * numbers.choice([1, 50, 5000]) for _ in range(40)]
    body = b"".join(pieces)
    assert len(gzip.compress(body)) < APART_BYTES
    assert len(body) > LOOP_BYTES
    assert decompress(gzip.compress(body), "gzip", len(body)) == body


def compressed(body):
    """As much of a request as a body reader looks at where the body came with the head."""
    content = SimpleNamespace(is_eof=lambda: True, read_nowait=lambda: body)
    return SimpleNamespace(headers={"Content-Encoding": "gzip"}, content=content)


async def read_all(*bodies, settings=None):
    """Read bodies, (tenant, body) each, in this order; the tenants that were answered, in order, and those refused."""
    aside = Aside({"inflate": inflate})
    reader, done, faults = BodyReader(settings or FrontEndSettings(), aside), [], []

    async def read(tenant, body):
        try:
            await reader.read(compressed(body), tenant)
        except FullOfBodiesError:
            faults.append(tenant)
        else:
            done.append(tenant)

    async with asyncio.TaskGroup() as group:
        for tenant, body in bodies:
            group.create_task(read(tenant, body))
    aside.close()
    return done, faults


def test_tenants_take_turns_at_having_bodies_decompressed():
    large = gzip.compress(random.Random(0).randbytes(4 * APART_BYTES))
    done, faults = asyncio.run(read_all(*[("greedy", large)] * 6, ("other", large)))
    assert faults == []
    assert done.index("other") <= 2, "one was under way, and one before it in turn"


def test_what_waits_for_longer_than_a_body_may_take_is_refused(monkeypatch):
    monkeypatch.setattr(Aside, "_ask", lambda *_: time.sleep(0.3) or memoryview(b""))
    large = gzip.compress(random.Random(0).randbytes(4 * APART_BYTES))
    done, refused = asyncio.run(read_all(("a", large), ("b", large), settings=FrontEndSettings(body_timeout=0.1)))
    assert (done, refused) == (["a"], ["b"])


def test_what_waits_to_be_decompressed_is_bounded_and_the_greedy_leave(monkeypatch):
    large = gzip.compress(random.Random(0).randbytes(4 * APART_BYTES))
    monkeypatch.setattr(process, "MOST_WAITING", 3 * len(large))
    done, faults = asyncio.run(read_all(*[("greedy", large)] * 6, ("other", large)))
    assert set(faults) == {"greedy"}
    assert "other" in done


class Arriving:
    """The content of a request of which the next piece is always there."""

    def __init__(self, pieces, taken):
        self._pieces, self._taken = pieces, taken

    def is_eof(self):
        return False

    async def readany(self):
        if not self._pieces:
            return b""
        self._pieces -= 1
        self._taken[0] += 1
        return b"x" * STEP_BYTES


def test_of_all_large_bodies_one_piece_is_taken_in_a_turn_of_the_loop():
    async def run():
        aside, taken, counts = Aside({}), [0], []
        reader = BodyReader(FrontEndSettings(), aside)
        requests = [
            SimpleNamespace(headers={}, content=Arriving(8, taken), content_length=None, version=None) for _ in range(4)
        ]
        reading = asyncio.gather(*(reader.read(request, f"tenant-{n}") for n, request in enumerate(requests)))
        while not reading.done():
            before = taken[0]
            await asyncio.sleep(0)
            counts.append(taken[0] - before)
        aside.close()
        assert [len(body) for body in await reading] == [8 * STEP_BYTES] * 4
        assert sum(counts) == 4 * 8
        assert counts[0] <= 2 * 4, "what is small may be whole"
        assert max(counts[1:]) <= 1, counts

    asyncio.run(run())
