"""Where the API server is, and who we are to it: from a kubeconfig, or from the Pod we run in."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger

from treadle_api.kubeconfig import Sought, absent, sought
from treadle_api.objects import DEFAULT_NAMESPACE

_SERVICE_HOST = "KUBERNETES_SERVICE_HOST"
_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class ConnectionConfigError(Exception):
    """Raised when there is no usable kubeconfig, and this is no Pod either."""


async def load_connection(kubeconfig: Path | None, context: str | None = None) -> Configuration:
    """The connection that `kubeconfig` names, or else $KUBECONFIG, or else the Pod's, or else ~/.kube/config.

    `context`: which one of the kubeconfig's, not the current one.

    Raises:
        ConnectionConfigError: the one that is to be used cannot be; the message says which, and why.
    """
    # A proxy is the kubeconfig's matter. aiohttp would ask the environment, in a thread, at each request.
    configuration = Configuration(client_session_kwargs={"trust_env": False})
    file = _sought(kubeconfig, context)
    if file is None:
        _read_account(configuration)
    else:
        await _read_file(file, context, configuration)
    return configuration


def default_namespace(kubeconfig: Path | None, context: str | None = None) -> str:
    """The namespace that is meant where none is named, as kubectl has it; for a connection that could be loaded."""
    file = _sought(kubeconfig, context)
    if file is None:
        return _ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip()
    chosen = KubeConfigLoader(KubeConfigMerger(file.joined).config, active_context=context).current_context
    return str(chosen["context"].get("namespace") or DEFAULT_NAMESPACE)


def _sought(kubeconfig: Path | None, context: str | None) -> Sought | None:
    """The kubeconfig that is to be read; None for the Pod's account."""
    variable = os.environ.get("KUBECONFIG")
    if kubeconfig is None and context is None and not variable and os.environ.get(_SERVICE_HOST):
        return None
    flag = str(kubeconfig) if kubeconfig is not None else None
    return sought(flag, variable, os.path.expanduser("~"))  # noqa: PTH111


def _read_account(configuration: Configuration) -> None:
    try:
        config.load_incluster_config(client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        raise ConnectionConfigError(
            f"the Pod's service account cannot be used: {error}; give the Pod one, or set KUBECONFIG"
        ) from error


async def _read_file(file: Sought, context: str | None, configuration: Configuration) -> None:
    try:
        if not any(os.path.exists(os.path.expanduser(part)) for part in file.files):  # noqa: PTH110, PTH111, ASYNC240
            raise ConnectionConfigError(file.problem(absent(file.files)))
        if context is not None and context not in (known := _contexts(file)):
            has = ", ".join(sorted(known)) or "none"
            of = f"must be one of kubeconfig {file.joined}"
            raise ConnectionConfigError(f"--context {context}: {of}, which has {has}")
        await config.load_kube_config(file.joined, context=context, client_configuration=configuration)
    except OSError as error:
        raise ConnectionConfigError(file.problem(f"{error.filename}: {error.strerror}")) from error
    except (config.ConfigException, yaml.YAMLError, ValueError) as error:
        raise ConnectionConfigError(file.problem(str(error))) from error
    except (AttributeError, KeyError, TypeError) as error:  # from looking into what is another kind of document
        raise ConnectionConfigError(file.problem("it is no kubeconfig")) from error


def _contexts(file: Sought) -> set[str]:
    return {str(one["name"]) for one in KubeConfigMerger(file.joined).config["contexts"]}
