"""Real servers of models, which `make model-servers` builds, and a store that trusts them."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import trustme
from model_bucket import ID, KEY, Bucket
from model_registry import HTPASSWD, Pushing

from bed.addresses import free_port
from bed.eventually import eventually
from bed.program import Program
from controlplane import cache
from treadle_agent.models.secrets import Secret
from treadle_agent.models.sources import Sources
from treadle_agent.models.store import ModelStore
from treadle_agent.settings import ModelStoreSettings


class Kept:
    """Secrets by name."""

    def __init__(self, secrets: Mapping[str, Mapping[str, str]]) -> None:
        self._secrets = secrets

    async def read(self, _: str, name: str) -> Secret:
        return Secret(name, {key: value.encode() for key, value in self._secrets[name].items()})


@pytest.fixture(scope="session")
def servers() -> Path:
    """The folder of the servers. Without it: skipped, or a failure where a cluster is required."""
    if absent := cache.missing_servers():
        reason = (
            f"no control plane: {', '.join(absent)} not built in {cache.servers_folder()}; run `make model-servers`"
        )
        if os.environ.get("TREADLE_REQUIRE_CLUSTER") == "1":
            pytest.fail(f"TREADLE_REQUIRE_CLUSTER=1, but {reason}", pytrace=False)
        pytest.skip(reason)
    return cache.servers_folder()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> trustme.CA:
    """Who vouches for the servers; `certificate` has what it gave them."""
    return trustme.CA()


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The files of a server's certificate and key."""
    folder = tmp_path_factory.mktemp("certificate")
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.create_default_context()
    authority.configure_trust(made)
    return made


@pytest.fixture
def store(trust: ssl.SSLContext, tmp_path: Path) -> Callable[..., ModelStore]:
    """Makes stores: ``store(hosts, secrets)``."""

    def make(hosts: tuple[str, ...], secrets: Mapping[str, Mapping[str, str]], folder: str = "store") -> ModelStore:
        settings = ModelStoreSettings(attempts=1)
        return ModelStore(tmp_path / folder, settings, trust, Sources(hosts), Kept(secrets))

    return make


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts servers, ``served(name, port, *command, **environment)``, and waits until they listen."""
    made: list[Program] = []

    def start(name: str, port: int, *command: str | Path, **environment: str) -> Program:
        program = Program(name, command, {**os.environ, **environment}, tmp_path / f"{name}.log")
        program.start()
        made.append(program)

        def listens() -> bool:
            assert program.alive, program.tail()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        eventually(listens, 30.0)
        return program

    yield start
    for program in made:
        program.kill()


@pytest.fixture
def bucket(servers: Path, served: Callable[..., Program], certificate: tuple[Path, Path], tmp_path: Path) -> Bucket:
    """Of a server that lets in whoever has the keys."""
    (tmp_path / "data" / "models").mkdir(parents=True)
    files = ["--cert", certificate[0], "--key", certificate[1]]
    login = {"ROOT_ACCESS_KEY": ID, "ROOT_SECRET_KEY": KEY}
    place = free_port()
    listen = ["--port", f"127.0.0.1:{place}", *files, "posix", "--nometa", tmp_path / "data"]
    served("versitygw", place, servers / "versitygw", *listen, **login)
    return Bucket(f"127.0.0.1:{place}", tmp_path / "data")


@pytest.fixture
def registry(
    servers: Path,
    served: Callable[..., Program],
    certificate: tuple[Path, Path],
    tmp_path: Path,
    trust: ssl.SSLContext,
) -> Pushing:
    """A registry that lets in the reader alone."""
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    cert, key = map(str, certificate)
    place = free_port()
    settings = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": f"127.0.0.1:{place}", "tls": {"certificate": cert, "key": key}, "secret": "of the test"},
        "auth": {"htpasswd": {"realm": "registry", "path": str(tmp_path / "htpasswd")}},
    }
    (tmp_path / "registry.yaml").write_text(json.dumps(settings))  # JSON is YAML
    served("registry", place, servers / "registry", "serve", tmp_path / "registry.yaml")
    return Pushing(f"127.0.0.1:{place}", trust)
