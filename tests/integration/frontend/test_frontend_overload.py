"""A loop that cannot keep up refuses at the door, and the connection goes on."""

import socket
import time
from collections.abc import Callable
from typing import Any

HEAD = b"POST /v2/models/%s/infer HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}"


def test_refused_at_the_door_and_answered_on_the_same_connection(make_site: Callable[..., Any]) -> None:
    site = make_site()
    turn = site.front_end._turn
    site.call(turn.stop)
    name = next(entry.tenant.name for entry in site.catalog.entries() if entry.served)
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        statuses = []
        for seconds in (0.0, 60.0, 0.0):
            turn.sustained = seconds
            connection.sendall(HEAD % name.encode())
            response = connection.recv(65536)
            statuses.append(int(response.split()[1]))
    assert statuses == [400, 503, 400]  # {} is no inference request, but the door does not read bodies


def test_a_body_that_comes_in_pieces_is_refused_like_any_other(make_site: Callable[..., Any]) -> None:
    site = make_site()
    turn = site.front_end._turn
    site.call(turn.stop)
    name = next(entry.tenant.name for entry in site.catalog.entries() if entry.served)
    request = HEAD % name.encode()
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        statuses = []
        for seconds in (0.0, 60.0, 0.0):
            turn.sustained = seconds
            connection.sendall(request[:-1])
            time.sleep(0.05)
            connection.sendall(request[-1:])
            response = connection.recv(65536)
            statuses.append(int(response.split()[1]))
    assert statuses == [400, 503, 400]
