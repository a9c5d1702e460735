"""What a client Pod runs: requests to a tenant, `python -c CALLER HOST TENANT connects|soon|until-told`.

`connects` sends none, and prints how long the connection took. `soon` asks until there is an answer, and prints it.
`until-told` sends from several threads until its stdin ends, then prints what came of it: how many were answered, the
longest that one took, and what went wrong with any. No request is sent twice. Half of the threads keep their connection
for as long as they may, half open one for each request. Each carries the token that the kubelet has put into the file
TOKEN. Python's standard library only.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from pathlib import Path

THREADS = 4
PAUSE = 0.01  # seconds between two requests of a thread
PATIENCE = 20.0  # seconds for an answer
LOOK = 1.0  # seconds for an answer: a connection to what the node does not know yet is tried again ever more rarely
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}).encode()
WANTED = [2, 4, 6, 8]
TOKEN = Path("/var/run/secrets/treadle/token")  # renewed by the kubelet


class Caller:
    """Requests to one tenant, over one connection at a time."""

    def __init__(self, host: str, tenant: str, patience: float = PATIENCE) -> None:
        self._path = f"/v2/models/{tenant}/infer"
        self._connection = http.client.HTTPConnection(host, timeout=patience)

    def ask(self) -> list[float]:
        """The tensor that comes back; anything else is an error."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN.read_text()}"}
        step = "no connection"
        try:
            if self._connection.sock is None:
                self._connection.connect()
            step = f"no answer to port {self._connection.sock.getsockname()[1]}"
            self._connection.request("POST", self._path, BODY, headers)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise RuntimeError(f"{step}: {type(error).__name__}: {error}") from error
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"HTTP {answer.status}: {body.decode()[:200]}")
        data: list[float] = json.loads(body)["outputs"][0]["data"]
        return data

    def close(self) -> None:
        """The next request opens a connection."""
        self._connection.close()


class Load:
    """What came of the requests of all threads."""

    def __init__(self, host: str, tenant: str) -> None:
        self._told = threading.Event()
        self.answered = 0
        self.longest = 0.0
        self.wrong: list[str] = []
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._threads = [
            threading.Thread(target=self._send, args=(Caller(host, tenant), number % 2 == 0))
            for number in range(THREADS)
        ]

    def run(self) -> None:
        """Send until stdin ends."""
        for thread in self._threads:
            thread.start()
        sys.stdin.read()
        self._told.set()
        for thread in self._threads:
            thread.join()

    def _send(self, caller: Caller, keeps: bool) -> None:
        while not self._told.wait(PAUSE):
            start, wrong = time.monotonic(), ""
            try:
                if (data := caller.ask()) != WANTED:
                    wrong = f"{data} came back"
            except RuntimeError as error:
                wrong = str(error)
            if not keeps:
                caller.close()
            with self._lock:
                self.longest = max(self.longest, time.monotonic() - start)
                self.answered += not wrong
                if wrong:
                    way = "kept" if keeps else "new"
                    self.wrong.append(f"after {start - self._start:.2f} s, {way} connection: {wrong}")


def soon(caller: Caller) -> list[float]:
    """The first answer: nodes learn of a new Service within a second."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return caller.ask()
        except RuntimeError:
            if time.monotonic() > end:
                raise
            time.sleep(PAUSE)


def main(host: str, tenant: str, how: str) -> None:
    """Send, and print."""
    if how == "connects":
        start = time.monotonic()
        http.client.HTTPConnection(host, timeout=PATIENCE).connect()
        print(time.monotonic() - start)
        return
    if how == "soon":
        print(json.dumps(soon(Caller(host, tenant, LOOK))))
        return
    load = Load(host, tenant)
    load.run()
    print(json.dumps({"answered": load.answered, "longest": round(load.longest, 3), "wrong": load.wrong}))


if __name__ == "__main__":
    main(*sys.argv[1:])
