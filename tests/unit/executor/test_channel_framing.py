from __future__ import annotations

import socket
import struct
import threading
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.executor.channel import (
    LONGEST_FRAME,
    BrokenChannelError,
    Deframer,
    ExecutorChannel,
    PeerGoneError,
    frame,
)
from treadle_agent.executor.protocol import Bind, Cancel, Done, Submit, ToExecutor, ToFrontEnd
from treadle_agent.program.model import TensorType


@given(st.lists(st.binary(max_size=300), max_size=8), st.data())
def test_bodies_survive_any_split(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(frame, bodies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    deframer, found = Deframer(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += [bytes(body) for body in deframer.feed(stream[start:end])]
    assert found == bodies


def test_an_absurd_length_is_no_frame() -> None:
    with pytest.raises(BrokenChannelError, match="frame of"):
        Deframer().feed(struct.pack("<I", LONGEST_FRAME + 1))


MESSAGES: list[ToExecutor] = [
    Submit(1, 2, 3, 4, 65536, 1.0, 2.0, priority=1, tier=0, solo=True),
    Bind(1, 0, (TensorType("float32", (1, 8)),), (TensorType("int64", ()),)),
    Cancel(1, 2**40),
]


def pair() -> tuple[socket.socket, ExecutorChannel]:
    here, there = socket.socketpair()
    here.settimeout(5)
    return here, ExecutorChannel(there)


def test_executor_receives_all_that_is_there_and_never_waits() -> None:
    here, channel = pair()
    assert channel.receive() == []
    body = frame(msgspec.msgpack.encode(MESSAGES))
    here.sendall(body + body + body[:7])
    assert channel.receive() == MESSAGES * 2
    here.sendall(body[7:])
    channel.wait(5)
    assert channel.receive() == MESSAGES
    here.close()
    with pytest.raises(PeerGoneError):
        channel.receive()
    channel.close()


def test_a_frame_without_messages_is_told_apart() -> None:
    here, channel = pair()
    here.sendall(frame(b"\xc1 no msgpack"))
    with pytest.raises(BrokenChannelError, match="holds no messages"):
        channel.receive()
    here.close()
    channel.close()


def test_posts_leave_as_one_frame_even_when_the_socket_is_full() -> None:
    here, channel = pair()
    sent: list[ToFrontEnd] = [Done(number, 0, reason="r" * 100) for number in range(20_000)]
    for message in sent:
        channel.post(message)
    channel.flush()  # does not block, although nobody reads
    received, deframer = [], Deframer()

    def read() -> None:
        while len(received) < len(sent):
            for body in deframer.feed(here.recv(1 << 20)):
                received.extend(msgspec.msgpack.decode(body, type=list[ToFrontEnd]))

    reader = threading.Thread(target=read)
    reader.start()
    end = time.monotonic() + 20
    while reader.is_alive() and time.monotonic() < end:
        channel.wait(0.01)
    reader.join()
    assert received == sent
    here.close()
    channel.close()


def test_wait_ends_at_a_wake_from_another_thread_and_on_time() -> None:
    here, channel = pair()
    started = time.monotonic()
    channel.wait(0.002)
    assert 0.002 <= time.monotonic() - started < 1
    waker = threading.Thread(target=channel.wake)
    waker.start()
    channel.wait(30)
    waker.join()
    assert time.monotonic() - started < 20
    channel.wake()
    channel.wake()
    channel.wait(30)  # wakes before a wait are one wake
    started = time.monotonic()
    channel.wait(0.01)
    assert time.monotonic() - started >= 0.01
    here.close()
    channel.close()
