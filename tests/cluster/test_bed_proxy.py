"""The proxy fails in the ways it says, and only then."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from bed.addresses import LOOPBACK, free_port
from bed.proxy import Proxy

SILENCE = 0.3  # seconds without an answer that count as silence


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that sends everything back."""
    listener = socket.create_server((LOOPBACK, 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


@pytest.fixture
def open_proxy(echo: tuple[str, int]) -> Iterator[Proxy]:
    with Proxy(echo, free_port()) as proxy:
        yield proxy


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((LOOPBACK, proxy.port), timeout=5)


def answers(client: socket.socket, seconds: float = 5.0) -> bool:
    client.settimeout(seconds)
    client.sendall(b"x" * 200_000)
    left = 200_000
    try:
        while left:
            received = client.recv(left)
            assert received, "the end of the stream"
            left -= len(received)
    except TimeoutError:
        return False
    return True


def test_it_forwards(open_proxy: Proxy) -> None:
    with connect(open_proxy) as one, connect(open_proxy) as other:
        assert answers(one)
        assert answers(other)
        assert open_proxy.accepted == 2


def test_the_end_of_a_stream_is_passed_on(open_proxy: Proxy) -> None:
    with connect(open_proxy) as client:
        client.sendall(b"last")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"last"
        assert client.recv(100) == b""


def test_cut_resets_connections_and_refuses_new_ones_until_restored(open_proxy: Proxy) -> None:
    with connect(open_proxy) as client:
        assert answers(client)
        open_proxy.cut()
        with pytest.raises(ConnectionRefusedError):
            connect(open_proxy)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    open_proxy.restore()
    with connect(open_proxy) as client:
        assert answers(client)


def test_a_blackholed_connection_is_silent_for_ever_and_new_ones_wait(open_proxy: Proxy) -> None:
    with connect(open_proxy) as old:
        assert answers(old)
        open_proxy.blackhole()
        assert not answers(old, SILENCE)
        with connect(open_proxy) as new:
            new.sendall(b"hello")
            new.settimeout(SILENCE)
            with pytest.raises(TimeoutError):
                new.recv(5)
            open_proxy.restore()
            new.settimeout(5)
            assert new.recv(5) == b"hello"
        assert not answers(old, SILENCE), "it came back: a client that never notices would pass"


def test_connections_that_wait_can_be_cut(open_proxy: Proxy) -> None:
    open_proxy.blackhole()
    with connect(open_proxy) as waiting:
        open_proxy.cut()
        waiting.settimeout(5)
        with pytest.raises(ConnectionResetError):
            waiting.recv(1)


def test_a_target_that_is_away_ends_the_connection() -> None:
    with Proxy((LOOPBACK, free_port()), free_port()) as proxy, connect(proxy) as client:
        assert client.recv(1) == b""
