"""Models in registries: an OCI artifact's manifest says which blob is the ONNX file.

What there is to know of registries' names, types and challenges oras knows; what is asked, also for a token, the
transport asks, as of any server.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence

import msgspec
from oras.auth.utils import parse_auth_header
from oras.container import Container
from oras.defaults import annotation_title, default_manifest_media_type, docker_manifest_media_type
from yarl import URL

from treadle_agent.models.errors import RefusedByServerError
from treadle_agent.models.places import AUTHORIZATION, Place, basic
from treadle_agent.models.secrets import Secret, SecretError
from treadle_agent.models.transport import Document, Transport, error_of

_USE = "oci (or .dockerconfigjson)"
_MANIFESTS = f"{default_manifest_media_type}, {docker_manifest_media_type}"
_CHALLENGE = 1024  # characters of a challenge that are read: the time that takes grows with the square


class _Layer(msgspec.Struct):
    digest: str
    annotations: dict[str, str] = {}


class _Manifest(msgspec.Struct):
    layers: list[_Layer] = []


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""


async def oci_place(uri: str, secret: Secret | None, transport: Transport) -> Place:
    """Of ``oci://REGISTRY/NAME:TAG``, or ``@sha256:…``; the registry is asked for the artifact's manifest.

    The blob is the artifact's only layer, or the one whose title ends in ``.onnx``.

    Raises:
        FetchError: there is none, or it may not be had.
    """
    host, _, name = uri.removeprefix("oci://").partition("/")
    try:
        container = Container(f"{host}/{name}" if "." in host or ":" in host else f"{host}:443/{name}")
        url = URL(f"https://{container.manifest_url()}")
    except ValueError:
        raise RefusedByServerError(f"{uri} is not oci://REGISTRY/NAME:TAG") from None
    login = _login(host, secret) if secret is not None else None
    said: dict[str, str] = {}
    answer = await transport.read(Place(url), _MANIFESTS)
    if answer.status == 401:
        said = {AUTHORIZATION: await _let_in(uri, answer, login, url, transport)}
        answer = await transport.read(Place(url, said), _MANIFESTS)
    if answer.status != 200:
        fix = f": {_fix(login)}" if answer.status in (401, 403) else ""
        raise error_of(answer.status)(f"{uri}: the registry answers {answer.status} {answer.reason}{fix}")
    try:
        layers = msgspec.json.decode(answer.body, type=_Manifest).layers
    except msgspec.MsgspecError:
        raise RefusedByServerError(f"{uri}: the registry's answer is not an artifact's manifest") from None
    layer = _layer(uri, layers)
    return Place(URL(f"https://{container.get_blob_url(layer.digest)}"), said, sha256=layer.digest[7:])


async def _let_in(uri: str, answer: Document, login: str | None, url: URL, transport: Transport) -> str:
    """What is to be said to a registry that asks who is there: the login, or the token that its token server gives."""
    challenge = answer.challenge[:_CHALLENGE]
    refused = RefusedByServerError(f"{uri}: the registry does not let in: {_fix(login)}")
    if challenge.lower().startswith("basic"):
        if login is None:
            raise refused
        return login
    asked = parse_auth_header(challenge)
    query = {"service": asked.service, "scope": asked.scope}
    try:
        realm = URL(asked.realm or "").update_query({key: value for key, value in query.items() if value})
    except ValueError:
        raise refused from None
    if realm.host is None:
        raise refused
    place = Place(realm, {AUTHORIZATION: login} if login is not None else {}, named_by=url)
    given = await transport.read(place, "application/json")
    if given.status >= 500 or given.status == 429:
        raise error_of(given.status)(f"{uri}: the registry's token server answers {given.status} {given.reason}")
    try:
        token = msgspec.json.decode(given.body, type=_Token)
    except msgspec.MsgspecError:
        raise refused from None
    if given.status != 200 or not (said := token.token or token.access_token) or not said.isprintable():
        raise refused
    return f"Bearer {said}"


def _fix(login: str | None) -> str:
    return "name a Secret that lets in, in secretName" if login is None else "does the Secret let in?"


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
