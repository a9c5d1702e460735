"""etcd, kube-apiserver and kube-controller-manager, as processes of the harness."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from pathlib import Path

from bed.addresses import LOOPBACK, free_port
from bed.credentials import ADMIN, CONTROLLERS, MASTERS, Credentials, write_kubeconfig
from bed.lifeline import Lifeline
from bed.program import Program

START = 60.0  # seconds to become ready: the machine may be busy
SERVICE_RANGE = "10.96.0.0/16"
FIRST_SERVICE = "10.96.0.1"  # the API server's, for Pods

# What objects need to live and die: no nodes, no pods.
CONTROLLER_NAMES = (
    "clusterrole-aggregation-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
)

# Who used which permission: enough to compare a role's rules with.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
}


class ControlPlane:
    """A control plane of its own, with RBAC. `binaries`: the folder that `make controlplane` prints.

    `host`: this machine's address that its API server is reached at; `users`: more who may talk to it, with groups.
    """

    def __init__(
        self, binaries: Path, lifeline: Lifeline, host: str = LOOPBACK, users: Mapping[str, str] | None = None
    ) -> None:
        self.folder = lifeline.folder / "control-plane"
        self.folder.mkdir()
        self.audit_log = self.folder / "audit.log"
        everybody = {ADMIN: MASTERS, CONTROLLERS: MASTERS, **(users or {})}
        self.credentials = Credentials.create(self.folder, (host, FIRST_SERVICE, "localhost"), everybody)
        self.address = (host, free_port(host))
        self.server = f"https://{host}:{self.address[1]}"
        self.kubeconfig = self.kubeconfig_of(ADMIN)
        etcd = f"http://{LOOPBACK}:{free_port()}"
        environment = lifeline.environment()

        def program(*command: str) -> Program:
            return Program(command[0], [binaries / command[0], *command[1:]], environment, self.folder / command[0])

        self.etcd = program("etcd", *self._etcd(etcd, f"http://{LOOPBACK}:{free_port()}"))
        self.api_server = program("kube-apiserver", *self._api_server(etcd))
        self.controllers = program("kube-controller-manager", *self._controllers())

    def start(self) -> None:
        """Start the API server, and return when it answers.

        Raises:
            AssertionError: it does not within a minute; with the end of its output.
        """
        self.etcd.start()
        self.api_server.start()
        self.wait_until_ready()

    def start_controllers(self) -> None:
        """Start the controllers; the garbage collector knows at once the kinds that are defined by now, later ones
        within half a minute.
        """
        self.controllers.start()

    def stop(self) -> None:
        """End all three; nothing of it is worth a farewell."""
        for program in (self.controllers, self.api_server, self.etcd):
            program.kill()

    def wait_until_ready(self) -> None:
        """Return when the API server says that it is ready."""
        end = time.monotonic() + START
        while not self._ready():
            for program in (self.etcd, self.api_server):
                assert program.alive, f"{program.name} ended\n{program.tail()}"
            assert time.monotonic() < end, f"no API server within {START:g} s\n{self.api_server.tail()}"
            time.sleep(0.05)

    def _ready(self) -> bool:
        context = ssl.create_default_context(cafile=self.credentials.authority)
        connection = http.client.HTTPSConnection(*self.address, timeout=5, context=context)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _etcd(self, clients: str, peers: str) -> list[str]:
        return [
            f"--data-dir={self.folder / 'etcd-data'}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",  # nothing here outlives the machine
            "--log-level=warn",
        ]

    def _api_server(self, etcd: str) -> list[str]:
        policy = self.folder / "audit-policy.json"
        policy.write_text(json.dumps(AUDIT_POLICY))
        mine = self.credentials
        return [
            f"--etcd-servers={etcd}",
            f"--bind-address={self.address[0]}",
            f"--secure-port={self.address[1]}",
            "--endpoint-reconciler-type=none",  # it would publish an endpoint of its own, and refuses loopback
            f"--tls-cert-file={mine.certificate}",
            f"--tls-private-key-file={mine.key}",
            f"--token-auth-file={mine.token_file}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={mine.service_account_key}",
            f"--service-account-signing-key-file={mine.service_account_key}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--authorization-mode=RBAC",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-maxsize=4000",  # megabytes: one file, whatever the load
        ]

    def _controllers(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig_of(CONTROLLERS)}",
            "--secure-port=0",  # nobody asks it anything
            "--leader-elect=false",
            f"--root-ca-file={self.credentials.authority}",
            f"--service-account-private-key-file={self.credentials.service_account_key}",  # for Secrets with tokens
            f"--controllers={','.join(CONTROLLER_NAMES)}",
        ]

    def kubeconfig_of(self, user: str) -> Path:
        """A kubeconfig with the token of a user that is not a service account."""
        name = user.rsplit(":", 1)[-1]
        path = self.folder / f"{name}.kubeconfig"
        return write_kubeconfig(path, self.server, self.credentials.authority, self.credentials.tokens[user])
