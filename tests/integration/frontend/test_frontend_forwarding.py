"""Requests for a tenant that has left are passed on, with what is left of their deadline, and not in circles."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import threading
import time

import numpy as np
import pytest
import tritonclient.http as triton

GOOD = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
KEY = "linear.default"


def leave(site, *successors: str, deadline: float = 5.0) -> None:
    site.call(lambda: site.devices[0].moves.begin(KEY, successors, deadline))


def away(site) -> None:
    """The tenant's replica here is deleted."""
    site.call(lambda: site.catalog.remove([KEY]))
    site.call(lambda: site.devices[0].moves.end(KEY, time.monotonic() + 60.0))


@pytest.fixture
def pair(make_site):
    """A node that a tenant leaves, and the one where it goes."""
    old, new = make_site(), make_site()
    leave(old, new.url)
    return old, new


def test_the_successor_answers_and_counts(pair):
    old, new = pair
    status, answer = old.infer(GOOD)
    assert status == 200
    assert answer["outputs"][0]["shape"] == [1, 3]
    assert (old.gateway.answered, new.gateway.answered) == (0, 1)
    assert new.outcomes() == {("large", "good"): 1}
    assert old.outcomes() == {}


def test_its_clients_are_told_to_look_elsewhere(pair):
    old, _ = pair
    _, fields, _ = old.request("POST", "/v2/models/linear/infer", json.dumps(GOOD).encode())
    assert fields["connection"] == "close"
    assert old.request("GET", "/v2/models/linear/ready")[0] == 503
    assert old.request("GET", "/v2/models/plumbing/ready")[0] == 200
    assert old.request("GET", "/v2/health/ready")[0] == 200
    assert "connection" not in old.request("GET", "/v2/models/plumbing/ready")[1]


@pytest.mark.parametrize("name", ["linear", KEY])
@pytest.mark.parametrize("gone", [False, True])
def test_by_any_name_and_after_it_is_gone(pair, name, gone):
    old, new = pair
    if gone:
        away(old)
    assert old.infer(GOOD, model=name)[0] == 200
    assert new.gateway.answered == 1
    assert old.infer(GOOD, model=f"{name}/versions/1")[0] == 200, "whatever the version is called over there"


def test_after_a_while_nobody_is_passed_on_any_more(make_site):
    old, new = make_site(), make_site()
    leave(old, new.url)
    old.call(lambda: old.catalog.remove([KEY]))
    old.call(lambda: old.devices[0].moves.end(KEY, time.monotonic() - 1.0))
    old.call(lambda: old.devices[0].moves.forget_ended(time.monotonic()))
    assert old.infer(GOOD)[0] == 404
    assert not old.devices[0].moves


def test_binary_tensors_and_compression_pass(pair):
    old, new = pair
    with triton.InferenceServerClient(old.url) as client:
        tensor = triton.InferInput("x", [2, 4], "FP32")
        tensor.set_data_from_numpy(np.ones((2, 4), np.float32), binary_data=True)
        answer = client.infer("linear", [tensor], request_compression_algorithm="gzip")
        assert answer.as_numpy("y").shape == (2, 3)
    wide = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
    old.call(lambda: old.devices[0].moves.begin("wide.default", (new.url,), 5.0))
    body = json.dumps({**wide, "parameters": {"binary_data_output": True}}).encode()
    status, fields, packed = old.request("POST", "/v2/models/wide/infer", body, {"Accept-Encoding": "gzip"})
    assert (status, fields["content-encoding"]) == (200, "gzip")
    assert len(gzip.decompress(packed)) - int(fields["inference-header-content-length"]) == 4 * 600_000
    assert new.gateway.answered == 2


def test_refusals_of_the_successor_pass_with_their_headers(pair):
    old, new = pair
    new.gateway.full = True
    status, fields, body = old.request("POST", "/v2/models/linear/infer", json.dumps(GOOD).encode())
    assert (status, fields["retry-after"]) == (429, "1")
    assert "no memory" in json.loads(body)["error"]
    assert old.infer({"inputs": []})[0] == 400


def test_what_was_spent_here_is_taken_off_the_deadline(pair):
    old, new = pair
    new.now = 1000.0
    new.gateway.deadlines.clear()
    connection = socket.create_connection(("127.0.0.1", old.port), timeout=20)
    body = json.dumps({**GOOD, "parameters": {"timeout": 2_000_000}}).encode()
    with connection:
        head = f"POST /v2/models/linear/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        connection.sendall(head + body[:10])
        old.wait_for(lambda: old.front_end._in_flight == 1)
        time.sleep(0.3)  # the body is under way for so long
        connection.sendall(body[10:])
        assert b"200 OK" in connection.recv(65536)
    [deadline] = new.gateway.deadlines
    assert 1001.0 < deadline < 1001.75, "2 s less what the body took"


def test_a_request_whose_deadline_passes_over_there_is_shed_here(make_site):
    old = make_site()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        leave(old, f"127.0.0.1:{silent.getsockname()[1]}", deadline=0.1)
        started = time.monotonic()
        status, answer = old.infer(GOOD)
        assert status == 503
        assert "took over did not answer in time" in answer["error"]
        assert time.monotonic() - started < 3.0
    assert old.outcomes() == {("", "shed"): 1}


def test_a_successor_that_cannot_be_reached_is_passed_over(make_site):
    old, new = make_site(), make_site()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{unused.getsockname()[1]}"
        leave(old, nowhere, new.url)
        assert [old.infer(GOOD)[0] for _ in range(4)] == [200] * 4
        assert new.gateway.answered == 4
        leave(old, nowhere)
        assert old.infer(GOOD)[0] == 200, "who is still here answers"
        assert old.gateway.answered == 1
        away(old)
        assert old.infer(GOOD)[0] == 404


def test_without_a_successor_it_answers_itself_and_closes(make_site):
    old = make_site()
    leave(old)
    _, fields, _ = old.request("POST", "/v2/models/linear/infer", json.dumps(GOOD).encode())
    assert fields["connection"] == "close"
    assert old.gateway.answered == 1


def test_two_that_point_at_each_other_do_not_play_ball(make_site):
    one, other = make_site(), make_site()
    leave(one, other.url)
    leave(other, one.url)
    assert one.infer(GOOD)[0] == 200
    assert one.gateway.answered + other.gateway.answered == 1
    away(one)
    away(other)
    assert one.infer(GOOD)[0] == 404


@pytest.mark.parametrize("hops", ["3", "99", "-1", "x", "²", "9" * 40])
def test_a_request_that_was_passed_on_often_enough_is_answered_here(pair, hops):
    old, new = pair
    body = json.dumps(GOOD).encode()
    headers = {"Treadle-Hops": hops.encode().decode("latin-1"), "Treadle-Elapsed": "soon"}
    assert old.request("POST", "/v2/models/linear/infer", body, headers)[0] == 200
    assert (old.gateway.answered, new.gateway.answered) == (1, 0)


def test_a_tenant_that_leaves_while_a_body_arrives(make_site):
    old, new = make_site(), make_site()
    body = json.dumps(GOOD).encode()
    connection = http.client.HTTPConnection("127.0.0.1", old.port, timeout=20)

    def parts():
        yield body[:10]
        old.wait_for(lambda: old.front_end._in_flight == 1)
        leave(old, new.url)
        away(old)
        yield body[10:]

    connection.request("POST", "/v2/models/linear/infer", parts(), {"Content-Length": str(len(body))})
    assert connection.getresponse().status == 200
    connection.close()
    assert new.gateway.answered == 1


def test_a_client_that_goes_away_takes_its_request_with_it(pair, make_gate):
    old, new = pair
    gate = make_gate(new)
    new.gateway.gate = gate.event
    connection = http.client.HTTPConnection("127.0.0.1", old.port, timeout=20)
    connection.request("POST", "/v2/models/linear/infer", json.dumps(GOOD).encode())
    new.wait_for(lambda: new.gateway.waiting == 1)
    connection.close()
    new.wait_for(lambda: new.gateway.cancelled == 1)
    gate.open()


def test_many_at_once(pair):
    old, new = pair
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(old.infer(GOOD)[0])) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert statuses == [200] * 32
    assert new.gateway.answered == 32


@pytest.fixture
def silent():
    """HOST:PORT of a host that takes no connection and says nothing: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield "{}:{}".format(*listener.getsockname())


def test_one_that_says_nothing_is_passed_over_for_who_is_left_here(make_site, silent):
    old = make_site()
    leave(old, silent)
    assert old.infer(GOOD)[0] == 200
    assert old.gateway.answered == 1
