"""Content codings of request bodies: whole streams only, and never more than the bound."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.frontend.body import decompress
from treadle_agent.frontend.errors import BadRequestError, TooLargeError

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
