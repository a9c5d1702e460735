"""A cluster as its users see it: kubectl, and a kubeconfig for each service account."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from bed.addresses import free_port
from bed.control_plane import ControlPlane
from bed.credentials import write_kubeconfig
from bed.eventually import eventually
from bed.lifeline import Lifeline
from bed.program import Program
from bed.proxy import Proxy

TREE = Path(__file__).parents[3]
CRDS = TREE / "crds"
RBAC = TREE / "charts" / "treadle" / "rbac"
SYSTEM_NAMESPACE = "treadle-system"
TOKEN_LIFE = "8h"  # longer than any run
TREADLE_KINDS = "inferencetenants,inferencereplicas,inferencenodes,modelprofiles"


class KubectlError(Exception):
    """Raised when kubectl exits with an error; its words are what kubectl wrote to stderr."""


class Cluster:
    """A control plane with our kinds defined, and the means to use it as any user would."""

    def __init__(self, binaries: Path, lifeline: Lifeline, control_plane: ControlPlane | None = None) -> None:
        """`control_plane`: one that is not the usual kind."""
        self.lifeline = lifeline
        self.folder = lifeline.folder
        self.control_plane = control_plane or ControlPlane(binaries, lifeline)
        self.kubeconfig = self.control_plane.kubeconfig
        self.kubectl_binary = binaries / "kubectl"
        self._numbers = itertools.count(1)  # in the names of files

    @classmethod
    @contextmanager
    def running(cls, binaries: Path) -> Iterator[Self]:
        """A cluster, for as long as the context lasts."""
        with Lifeline() as lifeline:
            cluster = cls(binaries, lifeline)
            try:
                cluster.control_plane.start()
                cluster.apply_crds()
                cluster.control_plane.start_controllers()
                cluster.kubectl("create", "namespace", SYSTEM_NAMESPACE)
                eventually(lambda: cluster.exists("serviceaccount", "default", "-n", SYSTEM_NAMESPACE))
                yield cluster
            finally:
                cluster.control_plane.stop()

    @classmethod
    @contextmanager
    def bare(cls, binaries: Path) -> Iterator[Self]:
        """One that knows neither our kinds nor our namespace: for what is to bring them itself."""
        with Lifeline() as lifeline:
            cluster = cls(binaries, lifeline)
            try:
                cluster.control_plane.start()
                cluster.control_plane.start_controllers()
                yield cluster
            finally:
                cluster.control_plane.stop()

    @property
    def export_line(self) -> str:
        """For another shell: by it kubectl, treadle and the Python that has treadle are found, and the cluster."""
        return (
            f"export KUBECONFIG={self.kubeconfig} PATH={self.kubectl_binary.parent}:{Path(sys.executable).parent}:$PATH"
        )

    def kubectl(
        self, *arguments: str | Path, stdin: str | None = None, kubeconfig: Path | None = None, seconds: float = 60.0
    ) -> str:
        """What `kubectl ARGUMENTS` prints, run as the administrator or whoever `kubeconfig` is for.

        Raises:
            KubectlError: it exits with an error.
        """
        done = subprocess.run(
            [self.kubectl_binary, *arguments],
            env=self.environment(kubeconfig, GOGC="off"),  # too short a life to collect in: a third of its time
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            raise KubectlError(done.stderr.strip())
        return done.stdout

    def get(self, *arguments: str, kubeconfig: Path | None = None) -> dict[str, Any]:
        """What `kubectl get ARGUMENTS -o json` returns: an object, or a list's."""
        decoded: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json", kubeconfig=kubeconfig))
        return decoded

    def exists(self, *arguments: str) -> bool:
        """Whether `kubectl get ARGUMENTS` finds anything."""
        return bool(self.kubectl("get", *arguments, "--ignore-not-found", "-o", "name").strip())

    def apply(self, manifest: str | dict[str, Any], *arguments: str, kubeconfig: Path | None = None) -> str:
        """`kubectl apply` of YAML text, or of a decoded object."""
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        return self.kubectl("apply", "-f", "-", *arguments, stdin=text, kubeconfig=kubeconfig)

    def apply_crds(self) -> None:
        """Define our kinds, and wait until they are served."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", CRDS)
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", CRDS)

    def apply_rbac(self) -> None:
        """Make the service accounts, roles and bindings that the chart ships."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", RBAC)

    def kubeconfig_for(
        self,
        service_account: str,
        namespace: str = SYSTEM_NAMESPACE,
        *,
        server: str | None = None,
        bound_to: tuple[str, str] | None = None,
    ) -> Path:
        """A new kubeconfig with a token of a service account that exists.

        `server`: the URL of a proxy, say; `bound_to`: kind and name of a Pod or Node whose token it is to be.
        """
        command = ["create", "token", service_account, "-n", namespace, f"--duration={TOKEN_LIFE}"]
        if bound_to is not None:
            command += [f"--bound-object-kind={bound_to[0]}", f"--bound-object-name={bound_to[1]}"]
        token = self.kubectl(*command).strip()
        path = self.folder / f"{service_account}-{next(self._numbers)}.kubeconfig"
        authority = self.control_plane.credentials.authority
        return write_kubeconfig(path, server or self.control_plane.server, authority, token, namespace)

    def environment(self, kubeconfig: Path | None = None, **more: str) -> dict[str, str]:
        """For a process that talks to this cluster, and is to end with it."""
        caches = str(self.folder / "kubectl-cache")
        return self.lifeline.environment(KUBECONFIG=str(kubeconfig or self.kubeconfig), KUBECACHEDIR=caches, **more)

    def program(
        self,
        name: str,
        *command: str | Path,
        kubeconfig: Path | None = None,
        folder: Path | None = None,
        **variables: str,
    ) -> Program:
        """A process that talks to this cluster, run in `folder`; not started yet."""
        log = self.folder / f"{next(self._numbers)}-{name}.log"
        environment = self.environment(kubeconfig, PYTHONUNBUFFERED="1", **variables)
        return Program(name, command, environment, log, folder)

    @contextmanager
    def proxy(self) -> Iterator[Proxy]:
        """A way to the API server that can fail; give `server=proxy.url` to `kubeconfig_for`."""
        with Proxy(self.control_plane.address, free_port()) as proxy:
            yield proxy

    def wipe(self) -> None:
        """Delete every object of our kinds and the Leases beside them, and wait until they are gone."""
        self.kubectl("delete", TREADLE_KINDS, "--all", "--all-namespaces", "--timeout=60s", seconds=90.0)
        self.kubectl("delete", "leases", "--all", "-n", SYSTEM_NAMESPACE)
