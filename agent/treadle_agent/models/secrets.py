"""What lets an agent in at a model's server: a Secret that the tenant names. Nothing of it is ever shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from treadle_agent.models.errors import FetchError, UnreachableError
from treadle_api.replica import LoadedReason


class SecretError(FetchError):
    """Raised when the Secret cannot be read, or does not hold what the model's server asks for."""

    field = "secretName"
    cause = LoadedReason.MODEL_REFUSED


class SecretUnreachableError(UnreachableError):
    """Raised when nobody can be asked for the Secret now."""

    field = "secretName"


@dataclass(frozen=True, slots=True)
class Secret:
    """One Secret; `values` by key, which its text form leaves out."""

    name: str
    values: Mapping[str, bytes] = field(repr=False)

    def text(self, key: str) -> str | None:
        """A value, without the line's end that an editor may have left; None where there is none."""
        if (value := self.values.get(key)) is None:
            return None
        try:
            return value.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise SecretError(f"key {key} of Secret {self.name} is not text") from None

    def required(self, key: str, use: str) -> str:
        """A value without which there is no `use`; raises SecretError."""
        if not (value := self.text(key)):
            raise SecretError(f"Secret {self.name} lacks the key {key}, which {use} needs: add it")
        return value

    def login(self, use: str) -> tuple[str, str]:
        """Its user name and password, by the keys of Kubernetes' own type; raises SecretError."""
        user, password = self.required("username", use), self.required("password", use)
        if ":" in user:  # where HTTP has the password begin
            raise SecretError(f"key username of Secret {self.name} has a colon, which {use} cannot have")
        return user, password


class Secrets(Protocol):
    """Where Secrets are read: the API server."""

    async def read(self, namespace: str, name: str) -> Secret:
        """One of a namespace; raises SecretError or SecretUnreachableError."""


class NoSecrets:
    """Where there is no cluster."""

    async def read(self, namespace: str, name: str) -> Secret:
        """There is none."""
        raise SecretError(
            f"there is no cluster here, and so no Secret {name} of namespace {namespace}: fetch the model to a file, "
            "and name that"
        )
