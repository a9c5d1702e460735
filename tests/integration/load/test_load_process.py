"""The generator against small servers: what it sends, what it records, and what it says of servers that misbehave."""

import asyncio
import json

import numpy as np
import pytest

from treadle.load.limit import measure_limit
from treadle.load.process import GeneratorError, LoadProcess
from treadle.load.records import LOST, UNANSWERED, concatenate, latency
from treadle.load.schedule import Phase, Schedule, constant, poisson
from treadle.load.targets import infer_target


class Server:
    """Answers each request by `behaviour(number of the request, its body)`: bytes to send, None to hang up, or a
    number of seconds to wait before a plain answer.
    """

    def __init__(self, behaviour):
        self.behaviour, self.count, self.bodies, self.tasks = behaviour, 0, [], []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 22)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader, writer):
        self.tasks.append(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
                self.bodies.append(body)
                self.count += 1
                reply = self.behaviour(self.count - 1, body)
                if reply is None:
                    break
                if isinstance(reply, float):
                    await asyncio.sleep(reply)
                    reply = answer({})
                for begin in range(0, len(reply), 1000):  # in pieces, as networks do
                    writer.write(reply[begin : begin + 1000])
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def answer(document, status=200):
    body = json.dumps(document).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def load(behaviour, schedule, *, targets=None, connections=16, **options):
    targets = targets or [infer_target("m", [{"x": np.zeros(4, np.float32)}], binary=False)]
    server = Server(behaviour)

    async def run():
        async with server as url, LoadProcess(targets, schedule, url, connections=connections, **options) as process:
            return concatenate([batch async for batch in process]), process

    batch, process = asyncio.run(run())
    return batch, server, process


def test_every_request_is_sent_once_and_recorded():
    schedule = poisson([Phase(0.5, 400)], seed=5, weights=[1, 1])
    inputs = [{"x": np.full(2000, value, np.float32)} for value in range(3)]
    targets = [infer_target(name, inputs, binary=False, output="y", labels=[[0]] * 3) for name in "ab"]
    scores = {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 0.0]}
    padding = {"name": "p", "datatype": "FP32", "shape": [900], "data": [0.5] * 900}
    batch, server, process = load(
        lambda n, _: answer({"outputs": [padding, scores], "parameters": {"tier": "big" if n % 2 else "small"}}),
        schedule, targets=targets, keep_body=True,
    )  # fmt: skip
    records = batch.records
    assert server.count == len(schedule) == len(records) == len(batch.bodies)
    assert records["request"].tolist() == list(range(len(schedule)))
    assert np.array_equal(records["intended"], schedule.times)
    assert np.array_equal(records["target"], schedule.targets)
    assert set(records["status"]) == {200}
    assert np.all(records["sent"] >= records["intended"])
    assert np.all(records["finished"] > records["sent"])
    assert np.all(records["rows"] == 1)
    assert np.all(records["correct"] == 1)
    assert sorted(batch.tiers[tier] for tier in set(records["tier"])) == ["big", "small"]
    assert json.loads(batch.bodies[0])["outputs"][1]["name"] == "y"
    sent = {json.loads(body)["inputs"][0]["data"][0] for body in server.bodies}
    assert sent == {0.0, 1.0, 2.0}
    assert process.cpu_seconds < process.wall_seconds < 5


def test_a_slow_server_does_not_slow_the_load_and_waiting_counts():
    schedule = constant([Phase(0.2, 100)], seed=0)  # 20 requests in 0.2 s, answered one by one in 1 s
    batch, _, _ = load(lambda *_: 0.05, schedule, connections=1)
    assert np.array_equal(batch.records["intended"], schedule.times)
    waited = latency(batch.records)
    assert waited[0] < 0.3
    assert waited[-1] > 0.7
    assert np.all(np.diff(batch.records["finished"]) > 0.045)


def test_lost_connections_are_errors_and_the_load_goes_on():
    schedule = constant([Phase(1.0, 50)], seed=0)
    batch, server, _ = load(lambda n, _: None if n % 5 == 2 else answer({}), schedule, connections=4)
    statuses = batch.records["status"]
    assert len(statuses) == 50
    assert (statuses == LOST).sum() == sum(n % 5 == 2 for n in range(server.count)) > 5
    assert (statuses == 200).sum() == 50 - (statuses == LOST).sum()


def test_refusals_keep_their_status():
    batch, _, _ = load(lambda *_: answer({"error": "full"}, 503), constant([Phase(0.2, 50)], seed=0))
    assert set(batch.records["status"]) == {503}
    assert set(batch.records["tier"]) == {-1}


@pytest.mark.parametrize(
    "reply", [b"SSH-2.0-hello\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nno length", answer("not an object")]
)
def test_what_is_not_the_protocol_is_an_error(reply):
    batch, _, _ = load(lambda *_: reply, constant([Phase(0.1, 50)], seed=0), connections=2, grace=0.2)
    assert set(batch.records["status"]) <= {LOST, UNANSWERED}
    assert LOST in batch.records["status"]


def test_a_run_is_bounded_in_time():
    batch, _, process = load(lambda *_: 30.0, constant([Phase(0.2, 20)], seed=0), connections=2, grace=0.3)
    assert set(batch.records["status"]) == {UNANSWERED}
    assert len(batch.records) == 4
    assert process.wall_seconds < 3
    assert np.isnan(batch.records["sent"]).sum() == 2  # two never found a free connection


def test_a_server_that_does_not_listen_is_named():
    async def run():
        schedule = constant([Phase(0.1, 10)], seed=0)
        targets = [infer_target("m", [{"x": np.zeros(1, np.float32)}], binary=True)]
        async with LoadProcess(targets, schedule, "http://127.0.0.1:9"):
            pass

    with pytest.raises(GeneratorError, match=r"127\.0\.0\.1:9"):
        asyncio.run(run())


def test_leaving_early_ends_the_process():
    async def run():
        targets = [infer_target("m", [{"x": np.zeros(1, np.float32)}], binary=True)]
        schedule = Schedule(np.array([0.0, 60.0]), np.zeros(2, np.int32), 60.0)
        async with Server(lambda *_: answer({})) as url, LoadProcess(targets, schedule, url, connections=4) as process:
            async for _ in process:
                break
            child = process._process
        return child.returncode

    assert asyncio.run(asyncio.wait_for(run(), 10)) is not None


def test_the_generator_knows_its_own_limit():
    assert asyncio.run(measure_limit(0.5)) > 1000
