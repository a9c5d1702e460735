"""Secrets that tenants name, read from the API server once for each fetch, and kept nowhere."""

from __future__ import annotations

import binascii
from base64 import b64decode

import msgspec

from treadle_agent.cluster.errors import KubeError, NotFoundError, RefusedError
from treadle_agent.cluster.kube import Kind, KubeClient
from treadle_agent.models.secrets import Secret, SecretError, SecretUnreachableError

SECRETS = Kind("Secret", "v1", "secrets")
ACCOUNT = "treadle-agent"


class _Stored(msgspec.Struct):
    data: dict[str, str] = {}


class KubeSecrets:
    """Reads those that a namespace's owner lets agents read; agents have no right of their own to any."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        """`namespace`: the agents' own, where their service account is."""
        self._client = client
        self._namespace = namespace

    async def read(self, namespace: str, name: str) -> Secret:
        """One of a namespace; raises SecretError or SecretUnreachableError, neither of which tells what is in it."""
        try:
            found = msgspec.convert(await self._client.get(SECRETS, namespace, name), _Stored)
            values = {key: b64decode(value) for key, value in found.data.items()}
        except NotFoundError:
            raise SecretError(f"there is no Secret {name} in namespace {namespace}: create it") from None
        except RefusedError as error:
            if error.status != 403:
                raise SecretError(f"Secret {name} cannot be read: the API server answers {error.status}") from None
            raise SecretError(
                f"agents may not read Secret {name}; whoever may make roles in namespace {namespace} lets them: "
                f"(kubectl create role {name}-reader -n {namespace} --verb=get --resource=secrets "
                f"--resource-name={name} && kubectl create rolebinding {name}-reader -n {namespace} "
                f"--role={name}-reader --serviceaccount={self._namespace}:{ACCOUNT})"
            ) from None
        except KubeError as error:
            raise SecretUnreachableError(f"Secret {name} cannot be read now: {error}") from None
        except (msgspec.ValidationError, binascii.Error):
            raise SecretError(f"Secret {name} is not what Secrets are") from None
        return Secret(name, values)
