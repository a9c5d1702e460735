"""The paths of the front end. Inference takes the shortest way: one cached look-up of its path."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from urllib.parse import unquote

from aiohttp import hdrs

from treadle_agent.frontend.errors import MethodError, NotFoundError


class Resource(Enum):
    """What a path names."""

    SERVER = auto()
    LIVE = auto()
    READY = auto()
    METRICS = auto()
    TIMELINE = auto()
    MODEL = auto()
    MODEL_READY = auto()
    INFER = auto()


@dataclass(frozen=True, slots=True)
class Route:
    """A path, taken apart; `model` is empty where it names none, `version` None where any version will do."""

    resource: Resource
    model: str = ""
    version: str | None = None


_FIXED = {
    ("v2",): Resource.SERVER,
    ("v2", "health", "live"): Resource.LIVE,
    ("v2", "health", "ready"): Resource.READY,
    ("metrics",): Resource.METRICS,
    ("debug", "timeline"): Resource.TIMELINE,
}
_HELP = "paths are /v2, /v2/health/live, /v2/health/ready, /v2/models/NAME, …/NAME/ready, …/NAME/infer and /metrics"
_OF_MODEL = {(): Resource.MODEL, ("ready",): Resource.MODEL_READY, ("infer",): Resource.INFER}


@lru_cache(maxsize=1024)
def resolve(path: str, method: str) -> Route:
    """The route of a raw request target and method.

    Raises:
        NotFoundError: nothing is there.
        MethodError: it does not take the method.
    """
    route = _resolve(path.partition("?")[0])
    allowed = (hdrs.METH_POST,) if route.resource is Resource.INFER else (hdrs.METH_GET, hdrs.METH_HEAD)
    if method not in allowed:
        raise MethodError(method, ", ".join(allowed))
    return route


def _resolve(path: str) -> Route:
    if not path.startswith("/"):  # absolute form, as proxies write it (RFC 9112, section 3.2.2)
        path = path.partition("://")[2].partition("/")[2]
    parts = tuple(path.strip("/").split("/"))
    if (fixed := _FIXED.get(parts)) is not None:
        return Route(fixed)
    if len(parts) >= 3 and parts[:2] == ("v2", "models") and parts[2]:
        model, rest = unquote(parts[2]), parts[3:]
        version = None
        if len(rest) >= 2 and rest[0] == "versions":
            version, rest = unquote(rest[1]), rest[2:]
        if (resource := _OF_MODEL.get(rest)) is not None:
            return Route(resource, model, version)
    raise NotFoundError(f"there is nothing at {path[:200]!r}; {_HELP}")
