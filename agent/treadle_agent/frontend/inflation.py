"""Content codings undone (RFC 9110, section 8.4), never further than a bound."""

from __future__ import annotations

import zlib

from treadle_agent.frontend.errors import BadRequestError, TooLargeError

STEP_BYTES = 131072  # made at a time
_WINDOW_BITS = {"gzip": 31, "deflate": 15}  # deflate is the zlib format (RFC 9110, section 8.4.1.2)


class Inflation:
    """One being undone; `content` is what there is so far.

    Raises:
        BadRequestError: the coding is not known.
    """

    def __init__(self, body: bytes | memoryview, coding: str) -> None:
        bits = _WINDOW_BITS.get(coding.lower())
        if bits is None:
            raise BadRequestError(f"Content-Encoding {coding!r} is not known; use gzip or deflate")
        self.content = bytearray()
        self._coding = coding
        self._body = body
        self._taken = 0  # bytes of it
        self._stream = zlib.decompressobj(bits)

    def reach(self, size: int) -> bool:
        """Decompress until there are `size` bytes; False where there may be more.

        Raises:
            BadRequestError: the stream is damaged.
        """
        while len(self.content) < size and not self._stream.eof:
            given = self._stream.unconsumed_tail or self._take()
            try:
                made = self._stream.decompress(given, min(STEP_BYTES, size - len(self.content)))
            except zlib.error as error:
                raise BadRequestError(f"the body is not {self._coding}: {error}") from None
            self.content += made
            if not given and not made:
                break
        return self._stream.eof or len(self.content) < size

    def end(self, limit: int) -> bytearray:
        """The content, once it has reached its end, or one byte more than `limit`.

        Raises:
            BadRequestError: the stream is cut off or followed by something.
            TooLargeError: there is more than `limit`.
        """
        if len(self.content) > limit:
            raise too_large(limit)
        if not self._stream.eof or self._stream.unused_data or self._taken < len(self._body):
            raise BadRequestError(f"the body's {self._coding} stream is cut off, or goes on after its end")
        return self.content

    def _take(self) -> bytes | memoryview:
        """The next part of the body: what is left of a part that is given whole would be copied at every step."""
        begin, self._taken = self._taken, self._taken + STEP_BYTES
        return self._body[begin : self._taken]


def inflate(body: bytes | memoryview, coding: str, limit: int) -> bytearray:
    """A body's content; raises as `Inflation` does."""
    inflation = Inflation(body, coding)
    inflation.reach(limit + 1)
    return inflation.end(limit)


def too_large(limit: int) -> TooLargeError:
    """A body has more than `limit` bytes."""
    return TooLargeError(f"the body is larger than {limit} bytes")
