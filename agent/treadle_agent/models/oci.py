"""Models in registries: an OCI artifact's manifest says which blob is the ONNX file. oras asks; the transport gets it.

What oras asks, also for a token and after redirects, it asks of allowed hosts alone, within a time, with our trust.
"""

from __future__ import annotations

import json
import ssl
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import requests
from oras.auth import TokenAuth
from oras.container import Container
from oras.defaults import annotation_title, default_manifest_media_type, docker_manifest_media_type
from oras.provider import Registry
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NameResolutionError
from yarl import URL

from treadle_agent.models.errors import RefusedByServerError, UnreachableError
from treadle_agent.models.places import AUTHORIZATION, Place, basic
from treadle_agent.models.secrets import Secret, SecretError
from treadle_agent.models.transport import error_of

_MOST_BYTES = 4 << 20  # of a manifest, as registries have it
_USE = "oci (or .dockerconfigjson)"


@dataclass(frozen=True, slots=True)
class Asking:
    """How registries are asked: whom (raises NotAllowedError), with whose trust, and how long for an answer."""

    check: Callable[[URL], None]
    trust: ssl.SSLContext
    silence: float


class _Layer(msgspec.Struct):
    digest: str
    annotations: dict[str, str] = {}


class _Manifest(msgspec.Struct):
    layers: list[_Layer] = []


def oci_place(uri: str, secret: Secret | None, asking: Asking) -> Place:
    """Of ``oci://REGISTRY/NAME:TAG``, or ``@sha256:…``. Blocks while the registry is asked.

    The blob is the artifact's only layer, or the one whose title ends in ``.onnx``.

    Raises:
        FetchError: there is none, or it may not be had.
    """
    host, _, name = uri.removeprefix("oci://").partition("/")
    container = Container(f"{host}/{name}" if "." in host or ":" in host else f"{host}:443/{name}")
    auth = _Auth(_login(host, secret) if secret is not None else None)
    registry = _registry(auth, asking)
    accept = {"Accept": f"{default_manifest_media_type}, {docker_manifest_media_type}"}
    try:
        response = registry.do_request(f"https://{container.manifest_url()}", "GET", headers=accept)
        if response.status_code != 200:
            raise error_of(response.status_code)(
                f"{uri}: the registry answers {response.status_code} {response.reason}"
            )
        layer = _layer(uri, msgspec.json.decode(response.content, type=_Manifest).layers)
    except requests.exceptions.SSLError as error:
        raise RefusedByServerError(f"{uri}: the registry's certificate is not trusted: {error}") from None
    except requests.exceptions.RequestException as error:
        raise UnreachableError(f"{uri}: {_unreached(error)}") from None
    except msgspec.MsgspecError:
        raise RefusedByServerError(f"{uri}: the registry's answer is not an artifact's manifest") from None
    except ValueError:  # what oras has for a question that it cannot answer
        fix = "name a Secret that lets in, in secretName" if secret is None else "does the Secret let in?"
        raise RefusedByServerError(f"{uri}: the registry does not let in: {fix}") from None
    finally:
        registry.session.close()
    headers = {AUTHORIZATION: auth.said} if auth.said else {}
    return Place(URL(f"https://{container.get_blob_url(layer.digest)}"), headers, sha256=layer.digest[7:])


def _unreached(error: requests.exceptions.RequestException) -> str:
    """Which host was asked (a registry names others), and how far that came."""
    host = URL(getattr(error.request, "url", None) or "").authority or "the registry"
    reason = getattr(error.args[0], "reason", None) if error.args else None  # urllib3's, of its last try
    if isinstance(reason, NameResolutionError):
        return f"no address is known for {host}: is the registry's name right?"
    if isinstance(error, requests.exceptions.Timeout):
        return f"{host} does not answer in time"
    why = getattr(getattr(reason, "__cause__", None), "strerror", None) or type(error).__name__
    return f"{host} cannot be reached: {why}"


def _layer(uri: str, layers: Sequence[_Layer]) -> _Layer:
    models = [one for one in layers if one.annotations.get(annotation_title, "").endswith(".onnx")]
    found = models if len(layers) > 1 else layers
    if len(found) != 1:
        titles = ", ".join(one.annotations.get(annotation_title, "without a title") for one in layers) or "none"
        raise RefusedByServerError(
            f"{uri}: the artifact must have one file, or one whose title ends in .onnx; it has {titles}"
        )
    if not found[0].digest.startswith("sha256:") or len(found[0].digest) != 7 + 64:
        raise RefusedByServerError(f"{uri}: the file's digest must be a sha256, and is {found[0].digest[:80]!r}")
    return found[0]


def _login(host: str, secret: Secret) -> str:
    """What the Secret says to a registry, as basic authentication has it; raises SecretError."""
    if (text := secret.text(".dockerconfigjson")) is None:
        return basic(*secret.login(_USE))
    try:
        entry: Mapping[str, str] = json.loads(text)["auths"][host]
        if "auth" in entry:
            user, _, password = b64decode(entry["auth"]).decode().partition(":")
            return basic(user, password)
        return basic(entry["username"], entry["password"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SecretError(f".dockerconfigjson of Secret {secret.name} has no login for {host}: add it") from None


class _Auth(TokenAuth):  # type: ignore[misc, unused-ignore]
    """Answers a registry by the login that is given, never by what a machine's own configuration says.

    `said`: what let in, for the blob.
    """

    def __init__(self, login: str | None) -> None:
        super().__init__()
        self.said = ""
        self._login = login
        if login is not None:
            self._basic_auth = login.partition(" ")[2]

    def load_configs(self, container: object, configs: object = None) -> None:
        """There are none."""

    def authenticate_request(
        self,
        original: requests.Response,
        headers: dict[str, str] | None,
        refresh: bool = False,  # noqa: FBT001, FBT002
    ) -> tuple[dict[str, str], bool]:
        """What is to be said to a registry that asks, and whether it is worth while."""
        headers = dict(headers or {})
        if original.headers.get("Www-Authenticate", "").lower().startswith("basic"):
            changed = self._login is not None and headers.get(AUTHORIZATION) != self._login
            headers |= {AUTHORIZATION: self._login} if self._login is not None else {}
        else:
            headers, changed = super().authenticate_request(original, headers, refresh)
        self.said = headers.get(AUTHORIZATION, "")
        return headers, changed


class _Once(Registry):  # type: ignore[misc, unused-ignore]
    """Asks once: who waits before another try is the store."""

    do_request = Registry.do_request.__wrapped__


class _Adapter(HTTPAdapter):
    """Each request, whichever led to it."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """With our trust."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._asking.trust)  # type: ignore[no-untyped-call, unused-ignore]

    def cert_verify(self, *_: object) -> None:
        """That is the context's."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override, unused-ignore]
        """Of allowed hosts, within a time, and no more than a manifest has."""
        url = URL(request.url or "")
        if url.scheme != "https":
            raise RefusedByServerError(f"{url.host} is to be asked by {url.scheme}, which is not https")
        self._asking.check(url)
        response = super().send(request, **{**kwargs, "timeout": self._asking.silence, "stream": True})
        body = response.raw.read(_MOST_BYTES + 1, decode_content=True)
        if len(body) > _MOST_BYTES:
            response.close()
            raise RefusedByServerError(
                f"{url.host} answers with more than {_MOST_BYTES} bytes where a manifest was asked for"
            )
        response._content = body  # noqa: SLF001 - as requests has it once a body is read
        response.raw.release_conn()
        return response


def _registry(auth: _Auth, asking: Asking) -> _Once:
    registry = _Once()
    adapter = _Adapter(asking)
    registry.session.mount("https://", adapter)
    registry.session.mount("http://", adapter)
    auth.session, auth._tls_verify = registry.session, True  # noqa: SLF001 - as its own factory does
    registry.auth = auth
    return registry
