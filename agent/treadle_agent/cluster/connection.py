"""Where the API server is, and who we are to it."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from treadle_api.kubeconfig import Sought, absent, sought

_SERVICE_HOST = "KUBERNETES_SERVICE_HOST"


class ConnectionConfigError(Exception):
    """Raised when there is no usable kubeconfig, and this is no Pod either."""


async def load_connection(kubeconfig: Path | None) -> Configuration:
    """The connection that `kubeconfig` names, or else $KUBECONFIG, or else the Pod's, or else ~/.kube/config.

    Raises:
        ConnectionConfigError: the one that is to be used cannot be; the message says which, and why.
    """
    configuration = Configuration()
    variable = os.environ.get("KUBECONFIG")
    if kubeconfig is None and not variable and os.environ.get(_SERVICE_HOST):
        _read_account(configuration)
    else:
        flag = str(kubeconfig) if kubeconfig is not None else None
        await _read_file(sought(flag, variable, os.path.expanduser("~")), configuration)  # noqa: PTH111, ASYNC240
    return configuration


def _read_account(configuration: Configuration) -> None:
    try:
        config.load_incluster_config(client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        raise ConnectionConfigError(
            f"the Pod's service account cannot be used: {error}; give the Pod one, or set KUBECONFIG"
        ) from error


async def _read_file(file: Sought, configuration: Configuration) -> None:
    try:
        if not any(os.path.exists(os.path.expanduser(part)) for part in file.files):  # noqa: PTH110, PTH111, ASYNC240
            raise ConnectionConfigError(file.problem(absent(file.files)))
        await config.load_kube_config(file.joined, client_configuration=configuration)
    except OSError as error:
        raise ConnectionConfigError(file.problem(f"{error.filename}: {error.strerror}")) from error
    except (config.ConfigException, yaml.YAMLError, ValueError) as error:
        raise ConnectionConfigError(file.problem(str(error))) from error
    except (AttributeError, KeyError, TypeError) as error:  # from looking into what is another kind of document
        raise ConnectionConfigError(file.problem("it is no kubeconfig")) from error
