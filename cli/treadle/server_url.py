"""A running server, as commands ask it."""

from __future__ import annotations

import argparse
import http.client
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8080"  # of `treadle serve`


class NoServerError(Exception):
    """Raised when nobody can be asked: how one is asked is wrong, or nothing answers; the message says which."""


class NothingAnswersError(NoServerError):
    """Raised when the URL is in order, and there is nobody."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a server is told, and by what it is known.

    `token_file`: holds a bearer token, and is read for each request, since tokens are renewed. `ca_file`: the
    authorities that may vouch for it, in place of the system's. `server_name`: the name its certificate is for, where
    that is not the URL's host.
    """

    token_file: Path | None = None
    ca_file: Path | None = None
    server_name: str | None = None


def add_access_arguments(parser: argparse._ActionsContainer) -> None:
    """Declare how a server is asked that asks who is there, or speaks TLS."""
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="a bearer token: kubectl create token NAME > FILE"
    )
    parser.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="whom to trust for https, as PEM (default: as the system does)"
    )
    parser.add_argument(
        "--tls-server-name",
        metavar="NAME",
        help="the name that the server's certificate is for (default: the URL's host), as through a port-forward",
    )


def access_of(arguments: argparse.Namespace) -> Access:
    """What `add_access_arguments` declared."""
    return Access(arguments.token_file, arguments.ca_file, arguments.tls_server_name)


class ServerUrl:
    """The server at a URL. `prefix`: the URL's own path, "" where it has none."""

    def __init__(self, url: str, access: Access = Access()) -> None:
        """Raises NoServerError."""
        wrong = NoServerError(f"--url {url}: must be like {DEFAULT_URL}, or https://HOST:PORT")
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError:
            raise wrong from None
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise wrong
        self._url = url.rstrip("/")
        self._host = parts.hostname
        self.prefix = parts.path.rstrip("/")
        self._access = access
        self._trust = _trust(access.ca_file) if parts.scheme == "https" else None
        if self._trust is None and (access.ca_file or access.server_name):
            raise NoServerError(f"--url {url}: --ca-file and --tls-server-name are for https")

    def __str__(self) -> str:
        return self._url

    def get(self, path: str, patience: float) -> tuple[int, bytes]:
        """The status and the body of one answer, for which `patience` is the seconds that each step may take.

        Raises:
            NoServerError: there is none, or not as it is asked.
        """
        headers = {"Authorization": f"Bearer {token}"} if (token := self._token()) else {}
        connection = self._connection(patience)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        except ssl.SSLCertVerificationError as error:
            fix = "name its authority by --ca-file, and its name by --tls-server-name"
            raise NoServerError(f"{self} is not trusted: {error.verify_message.rstrip('.')}; {fix}") from error
        except ssl.SSLError as error:
            raise NoServerError(f"{self} does not answer by TLS: {error.reason}; is it http://?") from error
        except http.client.BadStatusLine as error:
            fix = "is it https://?" if self._trust is None else "is it treadle's?"
            raise NoServerError(f"{self} does not answer by HTTP; {fix}") from error
        except (OSError, http.client.HTTPException) as error:
            raise NothingAnswersError(f"no server answers at {self}: {error}") from error
        finally:
            connection.close()

    def _connection(self, patience: float) -> http.client.HTTPConnection:
        if self._trust is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=patience)
        name = self._access.server_name or self._host
        return _Secured(self._host, self._port, self._trust, name, patience)

    def _token(self) -> str:
        path = self._access.token_file
        if path is None:
            return ""
        try:
            token = path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise NoServerError(f"--token-file {path} cannot be read: {reason}") from None
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise NoServerError(f"--token-file {path}: does not hold one token")
        return token


def refusal_of(status: int, access: Access) -> str:
    """What to do where a server does not let in; "" for other answers."""
    if status == HTTPStatus.UNAUTHORIZED:
        if access.token_file is None:
            return "name a token by --token-file"
        return f"--token-file {access.token_file}: is it still valid, and for the API server's own audience?"
    if status == HTTPStatus.FORBIDDEN and access.token_file is not None:
        return "the token's owner needs the right to get this URL, as ClusterRole treadle-metrics has it for /metrics"
    return ""


class _Secured(http.client.HTTPSConnection):
    """By TLS to a server of a name that need not be the host's."""

    def __init__(self, host: str, port: int | None, trust: ssl.SSLContext, name: str, patience: float) -> None:
        super().__init__(host, port, context=trust, timeout=patience)
        self._trust = trust
        self._name = name

    def connect(self) -> None:
        """Connect, and have the server prove its name."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._trust.wrap_socket(self.sock, server_hostname=self._name)


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # an SSLError is one: the file holds no certificate
        reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise NoServerError(f"--ca-file {ca_file} cannot be used: {reason}") from None
