"""Where the API server is, and who we are to it: from a kubeconfig, or from the Pod we run in."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

_SERVICE_HOST = "KUBERNETES_SERVICE_HOST"


class ConnectionConfigError(Exception):
    """Raised when there is no usable kubeconfig, and this is no Pod either."""


async def load_connection(kubeconfig: Path | None) -> Configuration:
    """The connection that `kubeconfig` names, or else $KUBECONFIG, or else the Pod's, or else ~/.kube/config.

    Raises:
        ConnectionConfigError: none of them can be used; the message says which was tried.
    """
    # A proxy is the kubeconfig's matter. aiohttp would ask the environment, in a thread, at each request.
    configuration = Configuration(client_session_kwargs={"trust_env": False})
    in_pod = kubeconfig is None and not os.environ.get("KUBECONFIG") and bool(os.environ.get(_SERVICE_HOST))
    source = "the Pod's service account" if in_pod else f"kubeconfig {kubeconfig or _default()}"
    try:
        if in_pod:
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(
                str(kubeconfig) if kubeconfig is not None else None, client_configuration=configuration
            )
    except (config.ConfigException, yaml.YAMLError, OSError, KeyError, TypeError, ValueError) as error:
        raise ConnectionConfigError(f"{source} cannot be used: {error}; give --kubeconfig FILE") from error
    return configuration


def _default() -> str:
    return os.environ.get("KUBECONFIG") or "~/.kube/config"
