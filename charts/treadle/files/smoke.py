"""What `helm test` asks: does an operator answer, does it know its kinds, and has an agent told of its node?"""

import os
import sys
import time
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

OPERATOR = "{TREADLE_OPERATOR_SERVICE_HOST}:{TREADLE_OPERATOR_SERVICE_PORT}".format_map(os.environ)
TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")  # there is one where the operator asks for it
SECONDS = 60.0
NODES = 'treadle_operator_objects{kind="inferencenodes"}'


def get(path: str, token: str = "") -> str:
    """What the operator answers. Raises OSError."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urlopen(Request(f"http://{OPERATOR}{path}", headers=headers), timeout=5) as answer:
        return answer.read().decode()


def told_to_all() -> bool:
    """Whether the operator tells its metrics to who has no token. Raises OSError."""
    try:
        get("/metrics")
    except HTTPError as error:
        if error.code == HTTPStatus.UNAUTHORIZED:
            return False
        raise
    return True


def missing() -> str:
    """What is not there yet, and where to look; empty when all is."""
    try:
        get("/readyz")
        token = TOKEN.read_text() if TOKEN.exists() else ""
        if token and told_to_all():
            return "the operator tells its metrics to all; see the arguments of deployment/treadle-operator: --auth"
        figures = dict(line.rsplit(" ", 1) for line in get("/metrics", token).splitlines() if line[0] != "#")
    except OSError as error:
        return f"the operator at {OPERATOR} is not ready: {error}; see kubectl logs deployment/treadle-operator"
    if float(figures.get(NODES, 0)) < 1:
        return "no agent has told of its node; see kubectl get daemonset treadle-agent, and the logs of its Pods"
    return ""


def main() -> None:
    """Ask until all is there, or a minute has passed."""
    end = time.monotonic() + SECONDS
    while said := missing():
        if time.monotonic() > end:
            sys.exit(said)
        time.sleep(1)
    print("the operator is ready, and knows of nodes")


main()
