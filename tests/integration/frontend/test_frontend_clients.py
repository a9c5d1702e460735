"""Clients that are slow, greedy or gone do not stop the others, and cost no block of memory."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import socket
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from treadle_agent.frontend import aside

GOOD = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
BODY = json.dumps(GOOD).encode()
HEAD = b"POST /v2/models/linear/infer HTTP/1.1\r\nHost: here\r\n"


def read_response(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One response of a connection that may go on."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65536)
        assert part, received
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(fields["content-length"]):
        body += connection.recv(65536)
    return int(status.split()[1]), fields, body


def closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_slow_client_is_timed_out_while_others_are_served(make_site):
    site = make_site(body_timeout=0.5, lingering_time=0.2)
    with site.connect() as slow:
        slow.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:10])
        for _ in range(20):
            assert site.infer(GOOD)[0] == 200
        status, fields, body = read_response(slow)
        assert (status, fields["connection"]) == (408, "close")
        assert "did not arrive within 0.5 s" in json.loads(body)["error"]
        assert closed(slow)


def test_a_body_in_small_pieces_is_put_together(site):
    with site.connect() as connection:
        for byte in HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY:
            connection.sendall(bytes([byte]))
        assert read_response(connection)[0] == 200


def test_a_head_that_never_ends_is_cut_off(make_site):
    site = make_site(keepalive_timeout=0.3)
    with site.connect() as slow:
        slow.sendall(HEAD)
        assert closed(slow)


def test_declared_sizes_are_refused_before_the_body_is_sent(make_site):
    site = make_site(max_body_bytes=1000)
    with site.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 100000000000\r\n\r\n")
        status, fields, body = read_response(connection)
    assert (status, fields["connection"]) == (413, "close")
    assert "larger than 1000 bytes" in json.loads(body)["error"]
    assert site.infer(GOOD)[0] == 200


def test_chunked_bodies_are_bounded(make_site):
    site = make_site(max_body_bytes=1000)
    assert site.request("POST", "/v2/models/linear/infer", iter([BODY[:20], BODY[20:]]))[0] == 200
    with site.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"200\r\n" + b" " * 512 + b"\r\n")
        connection.sendall(b"200\r\n" + b" " * 512 + b"\r\n")
        assert read_response(connection)[0] == 413


def test_small_bodies_that_decompress_to_large_ones_are_refused(make_site):
    site = make_site(max_body_bytes=2_000_000)
    bomb = gzip.compress(b" " * 100_000_000, 9)
    assert len(bomb) < 400_000
    begin = time.process_time()
    status, _, body = site.request("POST", "/v2/models/linear/infer", bomb, {"Content-Encoding": "gzip"})
    assert (status, list(json.loads(body))) == (413, ["error"])
    assert time.process_time() - begin < 0.1  # all of it takes longer
    assert site.infer(GOOD)[0] == 200
    _, _, text = site.request("GET", "/metrics")
    assert b'treadle_refused_requests_total{code="413",tenant="linear",tenant_namespace="default"} 1.0' in text


def test_damaged_framing_ends_the_connection_and_nothing_else(make_site, caplog):
    site = make_site(body_timeout=0.3)
    for rest in (b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}\r\n00zz"):
        head, _, framing = rest.partition(b"\r\n\r\n")
        with site.connect() as connection:
            connection.sendall(HEAD + head + b"\r\n\r\n")
            site.wait_for(lambda: site.front_end._in_flight == 1)
            connection.sendall(framing)
            status, fields, body = read_response(connection)
            assert status in (400, 408)  # aiohttp's C parser does not tell a handler that already waits for the body
            assert (fields["connection"], list(json.loads(body))) == ("close", ["error"])
            assert closed(connection)
    assert site.infer(GOOD)[0] == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_client_that_goes_away_while_it_sends(site, caplog):
    with site.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:10])
        site.wait_for(lambda: site.front_end._in_flight == 1)
    site.wait_for(lambda: site.front_end._in_flight == 0)
    assert site.outcomes() == {}
    assert site.infer(GOOD)[0] == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_json_is_bounded_apart_from_binary(make_site):
    site = make_site(max_json_bytes=1000)
    rows = 32
    document = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [rows, 4], "data": [0.123456789] * 4 * rows}]}
    status, answer = site.infer(document)
    assert status == 413
    assert "send larger tensors in binary" in answer["error"]
    document = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [rows, 4], "parameters": {"binary_data_size": 512}}]
    }
    status, answer = site.infer(document, bytes(512))
    assert status == 413
    assert "ask for binary_data_output" in answer["error"]
    assert site.infer(GOOD)[0] == 200


@pytest.mark.parametrize("rows", [10, 1000])
def test_large_json_is_answered_like_small(site, rows, weights):
    x = [[row / 8 + column for column in range(4)] for row in range(32)]
    document = {"id": " " * rows, "inputs": [{"name": "x", "datatype": "FP32", "shape": [32, 4], "data": x}]}
    body = json.dumps(document, indent=rows).encode()
    assert (len(body) > 65536) == (rows == 1000)
    status, answer = site.infer(body)
    assert (status, answer["id"]) == (200, document["id"])
    assert answer["outputs"][0]["data"] == pytest.approx((np.array(x) @ weights).ravel().tolist())
    assert (site.front_end._inference._aside._process is not None) == (rows == 1000), "in a process of its own"
    x[3][2] = "7"
    status, answer = site.infer(json.dumps(document, indent=rows).encode())
    assert status == 400
    assert "expected FP32 values" in answer["error"]


def test_a_large_request_that_waits_past_its_deadline_is_not_read(site, entry, served, monkeypatch):
    monkeypatch.setattr(aside, "SPARE_SECONDS", 60.0)  # the process that is stopped stays the one
    site.call(lambda: site.catalog.put(entry("linear", served("linear", 60, 0.3))))
    body, patient = (
        json.dumps({**GOOD, **more}).encode().replace(b"4]}", b"4" + b" " * 70_000 + b"]}")
        for more in ({}, {"parameters": {"timeout": 20_000_000}})
    )
    assert site.infer(body)[0] == 200
    reader = site.front_end._inference._aside
    pid = reader._process.pid
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as clients:
        reading = clients.submit(site.infer, body)
        site.wait_for(lambda: not reader._turns._free)
        waiting = clients.submit(site.infer, patient)
        site.wait_for(lambda: len(reader._turns._line) == 1)
        status, answer = site.infer(body)
        os.kill(pid, signal.SIGCONT)
        assert status == 503
        assert "the deadline passed" in answer["error"]
        assert (reading.result()[0], waiting.result()[0]) == (200, 200)
    assert site.outcomes()["", "shed"] == 1


def test_an_error_repeats_no_more_than_a_page_of_the_request(site):
    status, answer = site.infer({"inputs": [{**GOOD["inputs"][0], "name": "x" * 60_000}]})
    assert status == 400
    assert 1000 < len(answer["error"]) <= 4096
    status, answer = site.infer({"inputs": GOOD["inputs"] * 500})
    assert status == 400
    assert len(answer["error"]) < 1000


def test_bodies_of_all_clients_together_are_bounded(make_site):
    site = make_site(max_arriving_bytes=100_000, lingering_time=0.2)
    connections = [site.connect() for _ in range(3)]
    try:
        for connection in connections:
            connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + bytes(40_000))
        refused = [connection for connection in connections if connection is connections[-1]]
        status, fields, _ = read_response(refused[0])
        assert (status, fields["retry-after"]) == (503, "1")
        assert site.infer(GOOD)[0] == 200
    finally:
        for connection in connections:
            connection.close()


def test_connections_are_bounded(make_site):
    site = make_site(max_connections=2)
    first, second = site.connect(), site.connect()
    with first, second:
        for connection in (first, second):
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
            assert read_response(connection)[0] == 200
        with site.connect() as third:
            status, fields, _ = read_response(third)
            assert (status, fields["connection"], fields["retry-after"]) == (503, "close", "1")
            assert closed(third)
        first.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        assert read_response(first)[0] == 200
    site.wait_for(lambda: site.request("GET", "/v2/health/live")[0] == 200)


def test_who_says_nothing_gives_way_to_who_asks(make_site):
    site = make_site(max_connections=3)
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with contextlib.ExitStack() as stack:
        asking, slow, silent = (stack.enter_context(site.connect()) for _ in range(3))
        asking.sendall(request)
        assert read_response(asking)[0] == 200
        slow.sendall(HEAD)
        site.wait_for(lambda: len(site.front_end._server.connections) == 3)
        for gone in (slow, silent):
            newcomer = stack.enter_context(site.connect())
            newcomer.sendall(request)
            assert read_response(newcomer)[0] == 200
            status, fields, body = read_response(gone)
            assert (status, fields["connection"]) == (503, "close")
            assert json.loads(body) == {"error": "too many connections"}
            assert closed(gone)
            asking.sendall(request)
            assert read_response(asking)[0] == 200
        refused = stack.enter_context(site.connect())
        assert read_response(refused)[0] == 503, "all others have asked"


def test_a_request_refused_at_the_door_is_one(make_site):
    site = make_site(max_connections=1)
    site.call(site.front_end._turn.stop)
    site.front_end._turn.sustained = 60.0
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with site.connect() as first:
        first.sendall(request)
        assert read_response(first)[0] == 503
        with site.connect() as second:
            assert b"too many connections" in read_response(second)[2]
        first.sendall(request)
        assert b"more requests arrive" in read_response(first)[2]


def test_expect_continue_is_answered_before_the_body_or_refused(site):
    with site.connect() as connection:
        connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert read_response(connection)[0] == 200
    with site.connect() as connection:
        head = HEAD.replace(b"linear", b"nobody")
        connection.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert read_response(connection)[0] == 404


def test_keep_alive_pipelining_and_http_1_0(site):
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with site.connect() as connection:
        connection.sendall(request * 5)
        stream = connection.makefile("rb")
        for _ in range(5):
            assert stream.readline().startswith(b"HTTP/1.1 200")
            length = 0
            while (line := stream.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            assert b'"tier":"large"' in stream.read(length)
    with site.connect() as connection:
        connection.sendall(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert read_response(connection)[0] == 200
        assert closed(connection)


@pytest.mark.parametrize("binary", [True, False])
def test_a_request_that_waits_holds_its_tensors_once(site, make_gate, binary):
    count = 500_000
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, count]}
    if binary:
        tensor["parameters"] = {"binary_data_size": 4 * count}
    tensors = [tensor if binary else tensor | {"data": [0.5] * count}]
    head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    body = head + bytes(4 * count) if binary else head
    fields = b"Content-Length: %d\r\n" % len(body) + b"Inference-Header-Content-Length: %d\r\n" % len(head) * binary
    gate = make_gate(site)
    assert site.infer(GOOD)[0] == 200  # what is made once is there
    site.gateway.gate = gate.event
    with site.connect() as connection:
        tracemalloc.start()
        try:
            connection.sendall(HEAD.replace(b"linear", b"means") + fields + b"\r\n" + body)
            site.wait_for(lambda: site.gateway.waiting == 1)
            # The thread that asked the process for large bodies may be a moment behind.
            site.wait_for(lambda: tracemalloc.get_traced_memory()[0] < 1.5 * 4 * count)
        finally:
            tracemalloc.stop()
        gate.open()
        assert read_response(connection)[0] == 200


def test_a_client_that_goes_away_cancels_its_request(site, make_gate):
    gate = make_gate(site)
    site.gateway.gate = gate.event
    for _ in range(3):
        with site.connect() as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
            site.wait_for(lambda: site.gateway.waiting == 1)
        site.wait_for(lambda: site.gateway.waiting == 0)
    assert (site.gateway.cancelled, site.gateway.open_calls, site.gateway.answered) == (3, 0, 0)
    assert site.outcomes() == {("", "error"): 3}


def test_a_client_that_gives_up_after_the_deadline_is_a_late_answer(site, make_gate):
    gate = make_gate(site)
    site.gateway.gate = gate.event
    site.now = 100.0
    with site.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        site.wait_for(lambda: site.gateway.waiting == 1)
        site.now = 106.0
    site.wait_for(lambda: site.gateway.waiting == 0)
    assert site.outcomes() == {("", "late"): 1}


def test_a_client_that_does_not_read_stops_nobody(make_site):
    site = make_site(body_timeout=0.5)
    document = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [8, 2], "data": [1.0] * 16}],
        "parameters": {"binary_data_output": True},
    }
    body = json.dumps(document).encode()
    with site.connect() as connection:
        head = HEAD.replace(b"linear", b"wide")
        connection.sendall((head + b"Content-Length: %d\r\n\r\n" % len(body) + body) * 4)
        site.wait_for(lambda: site.gateway.answered >= 1)
        for _ in range(20):
            assert site.infer(GOOD)[0] == 200
        assert site.gateway.open_calls == 0
        assert site.gateway.answered < 24  # the next page of a client that has not taken the last one waits
        site.wait_for(lambda: not site.front_end._server.connections)  # it is cut off


def test_draining_lets_accepted_requests_end(make_site, make_gate):
    site = make_site()
    gate = make_gate(site)
    site.gateway.gate = gate.event
    idle = site.connect()
    with idle:
        idle.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: here\r\n\r\n")
        assert read_response(idle)[0] == 200
        answer = gate.in_background(lambda: site.request("POST", "/v2/models/linear/infer", BODY))
        draining = threading.Thread(target=lambda: site.run(site.front_end.drain()))
        draining.start()
        site.wait_for(lambda: site.request("GET", "/v2/health/ready")[0] == 503)
        assert site.request("GET", "/v2/health/live")[0] == 200
        idle.sendall(b"GET /v2/models/linear/ready HTTP/1.1\r\nHost: here\r\n\r\n")
        status, fields, _ = read_response(idle)
        assert (status, fields["connection"]) == (200, "close")
        assert closed(idle)
        assert draining.is_alive()
        gate.open()
        status, fields, _ = answer.result(20)
        assert (status, fields["connection"]) == (200, "close")
        draining.join(20)
        assert not draining.is_alive()
