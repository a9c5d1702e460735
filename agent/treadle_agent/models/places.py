"""From a model's URI to where it is asked for, and by what right."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from yarl import URL

from treadle_agent.models.errors import NotAllowedError, RefusedByServerError
from treadle_agent.models.secrets import Secret
from treadle_agent.models.sources import shown

AUTHORIZATION = "Authorization"


@dataclass(frozen=True, slots=True)
class Place:
    """A file on a server, and what is said to be let in; `headers` go to the server of `url` and to no other.

    `signed`: what lets in is the URL's query. `sha256`: the file's, where the server has said it. `named_by`: another
    server that has named this one; it is judged as one that the other redirects to.
    """

    url: URL = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    signed: bool = False
    sha256: str | None = None
    named_by: URL | None = None


def read_url(uri: str) -> URL:
    """A URI as a URL.

    Raises:
        RefusedByServerError: it is none.
        NotAllowedError: it says who may read it, which everybody sees who sees the manifest.
    """
    try:
        url = URL(uri)
    except ValueError as error:
        raise RefusedByServerError(f"{uri} is not a URL") from error
    if url.user is not None or url.password is not None:
        raise NotAllowedError(
            f"{shown(url)}: a user name and a password do not belong into a manifest: put them into a Secret, and name "
            "it in secretName"
        )
    return url


def https_place(url: URL, secret: Secret | None) -> Place:
    """Of a file that a web server has; raises SecretError."""
    if secret is None:
        return Place(url)
    if token := secret.text("token"):
        return Place(url, {AUTHORIZATION: f"Bearer {token}"})
    return Place(url, {AUTHORIZATION: basic(*secret.login("https (or token)"))})


def basic(user: str, password: str) -> str:
    """What HTTP says for a user name and a password."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
