"""What a client Pod runs for one request by TLS: `python -c SECURE_CALLER HOST NAME TENANT AUTHORITY`.

HOST is where the tenant's Service is, NAME what its certificate is to be for, AUTHORITY, as PEM, who vouches for that.
Prints what came back, and the certificate's serial number. Python's standard library only.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
from pathlib import Path

PORT = 80  # of a tenant's Service, by TLS, too
PATIENCE = 20.0  # seconds for an answer
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}).encode()
TOKEN = Path("/var/run/secrets/treadle/token")  # renewed by the kubelet


class Connection(http.client.HTTPSConnection):
    """One to an address, whose certificate is for a name: there is no DNS."""

    def __init__(self, host: str, name: str, authority: str) -> None:
        self._trust = ssl.create_default_context(cadata=authority)
        self._name = name
        super().__init__(host, PORT, timeout=PATIENCE, context=self._trust)

    def connect(self) -> None:
        """As by HTTP, then by TLS."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._trust.wrap_socket(self.sock, server_hostname=self._name)


def main(host: str, name: str, tenant: str, authority: str) -> None:
    """Ask, and print."""
    connection = Connection(host, name, authority)
    connection.connect()
    certificate = connection.sock.getpeercert() or {}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN.read_text()}"}
    connection.request("POST", f"/v2/models/{tenant}/infer", BODY, headers)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    if answer.status != http.HTTPStatus.OK:
        sys.exit(f"HTTP {answer.status}: {body}")
    print(json.dumps({"data": body["outputs"][0]["data"], "serial": certificate["serialNumber"]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
