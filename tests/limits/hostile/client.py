"""A client that notices when it is not answered."""

from __future__ import annotations

import json
import socket
from typing import Any

from hostile.wire import Answer


class Client:
    """One connection after another: a new one where the server has closed the last."""

    def __init__(self, host: str, port: int) -> None:
        self._place = (host, port)
        self._connection: socket.socket | None = None

    def ask(self, data: bytes) -> Answer:
        """Send one whole request; status 0 where the connection ends without an answer."""
        kept = self._connection is not None
        answer = self._ask(data)
        # Whoever keeps a connection has to reckon with its end, but not twice.
        return self._ask(data) if kept and not answer.status else answer

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, data: bytes) -> Answer:
        if self._connection is None:
            self._connection = socket.create_connection(self._place, timeout=30)
        answer = Answer(0)
        try:
            self._connection.sendall(data)
            with self._connection.makefile("rb") as stream:
                answer = _read(stream)
        except ConnectionError:
            pass
        if not answer.status or answer.closes:
            self.close()
        return answer


def _read(stream: Any) -> Answer:
    first = stream.readline().decode("latin-1")
    if not first:
        return Answer(0)
    fields = {}
    while line := stream.readline().decode("latin-1").rstrip("\r\n"):
        name, _, value = line.partition(": ")
        fields[name.lower()] = value
    return Answer(int(first.split()[1]), fields, stream.read(int(fields["content-length"])))


def explains(answer: Answer) -> bool:
    """Whether it is an error as the documentation has it: a status, and ``{"error": why}``."""
    if answer.status not in (400, 404, 405, 408, 413, 429, 431, 503):
        return False
    document = json.loads(answer.body)
    return list(document) == ["error"] and isinstance(document["error"], str) and len(document["error"]) > 0
