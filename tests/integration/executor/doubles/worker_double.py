"""A double of the executor process: it speaks the protocol, computes ``y = 2 x + version``, and dies on command.

The first element of a request's first input may be one of the orders below; each is carried out in a launch that
the flight record names, together with whatever else was ready. The tenant's name may be an order about loading.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time

import numpy as np

from treadle_agent.executor.channel import ExecutorChannel, PeerGoneError
from treadle_agent.executor.flight_record import Activity
from treadle_agent.executor.protocol import (
    Bind,
    Cancel,
    Done,
    Load,
    Loaded,
    Outcome,
    Refused,
    Report,
    Statistics,
    Submit,
    ToExecutor,
    Unbind,
    Unload,
    Unloaded,
    block_layout,
    with_rows,
)
from treadle_agent.executor.shared_memory import SharedMemory
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_api.replica import LoadedReason

ABORT, HANG, KILL_SELF, SLOW, BETWEEN = -1001.0, -1002.0, -1003.0, -1004.0, -1005.0
SLOW_SECONDS = 0.3
LAUNCH = 8  # requests at most in one launch


def main(connection: socket.socket, memory: SharedMemory, settings: WorkerSettings) -> None:
    worker = Worker(ExecutorChannel(connection), memory)
    try:
        worker.run()
    except PeerGoneError:
        return


class Worker:
    def __init__(self, channel: ExecutorChannel, memory: SharedMemory) -> None:
        self.channel = channel
        self.memory = memory
        self.bindings: dict[tuple[int, int], Bind] = {}
        self.queue: list[Submit] = []
        self.unloading: set[int] = set()
        self.loaded: set[int] = set()
        self.answered = 0
        self.solo = 0

    def run(self) -> None:
        while True:
            for message in self.channel.receive():
                self.take(message)
            if self.queue:
                self.launch()
            for version in [one for one in self.unloading if not any(r.version == one for r in self.queue)]:
                self.unloading.remove(version)
                self.loaded.discard(version)
                self.channel.post(Unloaded(version))
            self.channel.flush()
            if not self.queue:
                self.channel.wait(None)

    def take(self, message: ToExecutor) -> None:
        match message:
            case Load():
                self.load(message)
            case Bind():
                self.bind(message)
            case Unbind():
                del self.bindings[message.version, message.binding]
            case Unload():
                self.unloading.add(message.version)
            case Submit():
                self.submit(message)
            case Cancel():
                self.cancel(message.request)
            case Report():
                self.report(message)

    def bind(self, message: Bind) -> None:
        assert (message.version, message.binding) not in self.bindings
        self.bindings[message.version, message.binding] = message

    def submit(self, message: Submit) -> None:
        assert message.version in self.loaded
        if self.inputs(message)[0].flat[0] == BETWEEN:
            os.abort()
        self.queue.append(message)

    def cancel(self, number: int) -> None:
        for request in [one for one in self.queue if one.request == number]:
            self.queue.remove(request)
            self.channel.post(Done(number, Outcome.SHED, reason="cancelled"))

    def report(self, message: Report) -> None:
        counts = {"answered": self.answered, "solo": self.solo, "loaded": sorted(self.loaded)}
        document = json.dumps({**counts, "bindings": len(self.bindings)})
        self.channel.post(Statistics(message.sequence, document.encode()))

    def load(self, message: Load) -> None:
        version = message.version
        if version.tenant == "refused":
            self.channel.post(Refused(version.id, "the double refuses it"))
            return
        if version.tenant == "imprecise":
            self.channel.post(Refused(version.id, "it computes otherwise", LoadedReason.PRECISION_UNSUPPORTED))
            return
        if version.tenant.startswith("crash-load"):
            self.memory.record.begin(15, Activity.LOAD, [version.id], time.monotonic(), 1.0)
            os.abort()
        if version.tenant == "silent-crash-load":
            os.abort()
        self.loaded.add(version.id)
        count = len(version.tiers)
        self.channel.post(Loaded(version.id, ("double",) * count, (0.001,) * count, (((1, 0.001),),) * count))

    def inputs(self, request: Submit) -> list[np.ndarray]:
        return self.views(request)[0]

    def views(self, request: Submit) -> tuple[list[np.ndarray], list[np.ndarray]]:
        binding = self.bindings[request.version, request.binding]
        types = [with_rows(one, request.rows, batchable=True) for one in (*binding.inputs, *binding.outputs)]
        offsets, _ = block_layout(types)
        arrays = [self.memory.view(request.block + at, one) for at, one in zip(offsets, types, strict=True)]
        return arrays[: len(binding.inputs)], arrays[len(binding.inputs) :]

    def launch(self) -> None:
        solo = [one for one in self.queue if one.solo]
        batch = solo[:1] or self.queue[:LAUNCH]
        for request in batch:
            self.queue.remove(request)
        now = time.monotonic()
        names = [one.request for one in batch]
        self.memory.record.begin(0, Activity.LAUNCH, names, now, 0.001)
        for request in batch:
            self.compute(request, now)
        self.memory.record.end(0)
        self.answered += len(batch)
        self.solo += len(solo[:1])

    def compute(self, request: Submit, now: float) -> None:
        inputs, outputs = self.views(request)
        order = float(inputs[0].flat[0])
        if order == ABORT:
            os.abort()
        elif order == HANG:
            time.sleep(3600)
        elif order == KILL_SELF:
            os.kill(os.getpid(), signal.SIGKILL)
        elif order == SLOW:
            time.sleep(SLOW_SECONDS)
        for source, target in zip(inputs, outputs, strict=True):
            np.multiply(source, 2.0, out=target)
            target += request.version
        self.channel.post(Done(request.request, Outcome.DONE, 0, now, time.monotonic()))
