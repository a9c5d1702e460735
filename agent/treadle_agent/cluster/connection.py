"""Where the API server is, and who we are to it."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import Configuration


class ConnectionConfigError(Exception):
    """Raised when there is no usable kubeconfig, and this is no Pod either."""


async def load_connection(kubeconfig: Path | None) -> Configuration:
    """The connection that `kubeconfig` names, or else $KUBECONFIG, or else the Pod's, or else ~/.kube/config.

    Raises:
        ConnectionConfigError: the one that is to be used cannot be; the message says which, and why.
    """
    configuration = Configuration()
    named = str(kubeconfig) if kubeconfig is not None else os.environ.get("KUBECONFIG") or None
    try:
        if named is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            source = "the Pod's service account"
            config.load_incluster_config(client_configuration=configuration)
        else:
            source = f"kubeconfig {named or '~/.kube/config'}"
            if named is not None and not any(os.path.isfile(part) for part in named.split(":")):  # noqa: PTH113, ASYNC240
                raise FileNotFoundError("there is no such file")
            await config.load_kube_config(
                str(kubeconfig) if kubeconfig is not None else None, client_configuration=configuration
            )
    except (config.ConfigException, yaml.YAMLError, OSError, KeyError, TypeError, ValueError) as error:
        raise ConnectionConfigError(
            f"{source} cannot be used: {error}; give --kubeconfig FILE, set KUBECONFIG, or run in a Pod"
        ) from error
    return configuration
