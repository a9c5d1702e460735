"""Limits of the front end."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FrontEndSettings:
    """What one client, and all together, may ask of the front end.

    Attributes:
        max_body_bytes: Largest request body, after decompression; more is answered 413.
        max_arriving_bytes: All bodies together that are not complete yet; more is answered 503.
        max_json_bytes: Largest JSON part of a request, and largest tensor data rendered as JSON (estimated); more is
            answered 413. An answer's JSON is written on the event loop: this bounds how long one can stop the others.
            Tensors beyond it travel in the binary extension.
        max_timeout: Longest `timeout` a request may ask for, in seconds.
        max_connections: Connections open at a time, or what the process's limit of open files leaves. Beyond it the
            one that has been open for longest without a whole request head, else the newest, is answered 503 and
            closed.
        max_header_bytes: Longest request line, and longest header field.
        max_headers: Number of header fields.
        body_timeout: Seconds a client may take to send a body, then 408; and to read a response, then it is cut off.
        keepalive_timeout: Seconds an idle connection, or one that has not sent a whole request head, stays open.
        lingering_time: Seconds during which the rest of a refused body is read and dropped, so that the client sees
            the answer instead of a reset.
        drain_timeout: Seconds that requests under way get to finish when the front end stops.
        compress_bytes: Smallest response body worth compressing for a client that accepts it.
        statistics_timeout: Seconds the gateway gets to report for `/metrics`; Prometheus itself waits 10.
    """

    max_body_bytes: int = 64 * MEBIBYTE
    max_arriving_bytes: int = 512 * MEBIBYTE
    max_json_bytes: int = 8 * MEBIBYTE
    max_timeout: float = 3600.0
    max_connections: int = 4096
    max_header_bytes: int = 8190
    max_headers: int = 64
    body_timeout: float = 30.0
    keepalive_timeout: float = 75.0
    lingering_time: float = 2.0
    drain_timeout: float = 30.0
    compress_bytes: int = 1024
    statistics_timeout: float = 8.0
