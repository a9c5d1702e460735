"""Who may talk to the API server, and how a client is told."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

ADMIN = "admin"
CONTROLLERS = "system:kube-controller-manager"
MASTERS = "system:masters"  # the group that may do everything


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files: an authority, the API server's certificate from it, the key that signs service accounts' tokens.

    `tokens` are of the users that are not service accounts.
    """

    authority: Path
    certificate: Path
    key: Path
    service_account_key: Path
    token_file: Path
    tokens: dict[str, str]

    @classmethod
    def create(cls, folder: Path, hosts: tuple[str, ...], users: Mapping[str, str]) -> Credentials:
        """Make all of them in `folder`. `hosts`: what the API server is called by; `users`: each one's group."""
        authority = trustme.CA()
        served = authority.issue_cert(*hosts, "kubernetes.default.svc")
        tokens = {user: secrets.token_hex(16) for user in users}
        lines = (f'{token},{user},{user},"{users[user]}"\n' for user, token in tokens.items())
        signing = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        made = cls(
            authority=folder / "authority.pem",
            certificate=folder / "api-server.pem",
            key=folder / "api-server.key",
            service_account_key=folder / "service-accounts.key",
            token_file=folder / "tokens.csv",
            tokens=tokens,
        )
        made.authority.write_bytes(authority.cert_pem.bytes())
        made.certificate.write_bytes(served.cert_chain_pems[0].bytes())
        made.key.write_bytes(served.private_key_pem.bytes())
        made.service_account_key.write_bytes(signing)
        made.token_file.write_text("".join(lines))
        return made


def read_token(kubeconfig: Path) -> str:
    """The token in a kubeconfig that `write_kubeconfig` wrote."""
    token: str = json.loads(kubeconfig.read_text())["users"][0]["user"]["token"]
    return token


def write_kubeconfig(path: Path, server: str, authority: Path, token: str, namespace: str = "default") -> Path:
    """A kubeconfig with one context."""
    cluster = {"server": server, "certificate-authority": str(authority)}
    context = {"cluster": "bed", "user": "bed", "namespace": namespace}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bed", "cluster": cluster}],
        "users": [{"name": "bed", "user": {"token": token}}],
        "contexts": [{"name": "bed", "context": context}],
        "current-context": "bed",
    }
    path.write_text(json.dumps(config, indent=2))  # JSON is YAML
    path.chmod(0o600)
    return path
