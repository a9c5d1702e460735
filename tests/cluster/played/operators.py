"""Operator processes as the chart will run them, and what they tell of themselves."""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request

from bed.addresses import LOOPBACK, free_port
from bed.cluster import Cluster
from bed.program import Program
from bed.proxy import Proxy
from played.api_proxy import ApiProxy

# `python -m treadle_operator`, with all that it, and what it stands on, has to say.
_DEBUG = """\
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
logging.getLogger("treadle_operator").setLevel = lambda _: None
from treadle_operator.__main__ import main
sys.exit(main())
"""
_LEADING = r"leading, epoch (\d+)"


class OperatorProcess:
    """One operator; `program` can be started, stopped, killed and paused."""

    def __init__(
        self, cluster: Cluster, name: str, *options: str, way: Proxy | ApiProxy | None = None, debug: bool = False
    ) -> None:
        self._port = free_port()
        self.kubeconfig = cluster.kubeconfig_for("treadle-operator", server=way.url if way is not None else None)
        main = ("-c", _DEBUG) if debug else ("-m", "treadle_operator")
        command = (sys.executable, *main, "--listen", f"{LOOPBACK}:{self._port}", *options)
        self.program: Program = cluster.program(name, *command, kubeconfig=self.kubeconfig)

    def probe(self, path: str, token: str = "") -> tuple[int, str]:
        """Status and text of a GET; (0, why) where nobody answers."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"http://{LOOPBACK}:{self._port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5.0) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def metric(self, line: str) -> float:
        """The sum of the samples whose name and labels match a pattern."""
        _, text = self.probe("/metrics")
        values = re.findall(rf"^{line} (\S+)$", text, re.MULTILINE)
        return sum(map(float, values))

    def writes(self) -> float:
        """Requests so far that wrote anything but the leader's Lease."""
        return self.metric(r'treadle_operator_api_requests_total\{code="\d+",verb="(?:create|apply|patch|delete)"\}')

    def epoch(self, seconds: float = 30.0) -> int:
        """The epoch that it leads, or has led, in last; waits until it has one."""
        self.program.wait_for(_LEADING, seconds)
        return int(re.findall(_LEADING, self.program.output)[-1])
