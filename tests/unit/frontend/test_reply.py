"""Content codings that clients accept (RFC 9110, section 12.5.3), and the bytes of a response head."""

from __future__ import annotations

import pytest

from treadle_agent.frontend.errors import MethodError, ShedError
from treadle_agent.frontend.reply import Reply, accepted_encoding, error_reply


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("", ""),
        ("identity", ""),
        ("br", ""),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("GZip, Deflate, br", "gzip"),
        ("deflate, gzip;q=0", "deflate"),
        ("gzip;q=0.0", ""),
        ("gzip; q=0.5", "gzip"),
        ("*", "gzip"),
        ("*;q=0", ""),
        ("gzip;q=0, *", "deflate"),
        ("gzip;q=high", ""),
    ],
)
def test_accepted_encoding(accept, coding):
    assert accepted_encoding(accept) == coding


def test_heads():
    head = Reply(b"{}", headers="X: y\r\n").head(close=False)
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX: y\r\nDate: ")
    assert head.endswith(b"GMT\r\nContent-Length: 2\r\n\r\n")
    assert b"Connection: close\r\n" in Reply(b"").head(close=True)
    assert b"Retry-After: 1\r\n" in error_reply(ShedError("late")).head(close=False)
    refused = error_reply(MethodError("PUT", "GET, HEAD"))
    assert b"405 Method Not Allowed" in refused.head(close=False)
    assert b"Allow: GET, HEAD\r\n" in refused.head(close=False)
    assert refused.content == b'{"error":"PUT is not allowed here; use GET, HEAD"}'
