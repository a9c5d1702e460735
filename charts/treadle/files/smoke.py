"""What `helm test` asks: does an operator answer, does it know its kinds, and has an agent told of its node?"""

import os
import sys
import time
from urllib.request import urlopen

OPERATOR = "{TREADLE_OPERATOR_SERVICE_HOST}:{TREADLE_OPERATOR_SERVICE_PORT}".format_map(os.environ)
SECONDS = 60.0
NODES = 'treadle_operator_objects{kind="inferencenodes"}'


def missing() -> str:
    """What is not there yet, and where to look; empty when all is."""
    try:
        with urlopen(f"http://{OPERATOR}/readyz", timeout=5):
            pass
        with urlopen(f"http://{OPERATOR}/metrics", timeout=5) as answer:
            figures = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[0] != "#")
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
