"""Paths and what they name."""

from __future__ import annotations

import re

import pytest

from treadle_agent.frontend.errors import MethodError, NotFoundError
from treadle_agent.frontend.routes import Resource, Route, resolve


@pytest.mark.parametrize(
    ("path", "method", "route"),
    [
        ("/v2", "GET", Route(Resource.SERVER)),
        ("/v2/", "HEAD", Route(Resource.SERVER)),
        ("/v2/health/live", "GET", Route(Resource.LIVE)),
        ("/v2/health/ready?verbose=1", "GET", Route(Resource.READY)),
        ("/metrics", "GET", Route(Resource.METRICS)),
        ("/debug/timeline?seconds=3", "GET", Route(Resource.TIMELINE)),
        ("/v2/models/a", "GET", Route(Resource.MODEL, "a")),
        ("/v2/models/a.b/ready", "GET", Route(Resource.MODEL_READY, "a.b")),
        ("/v2/models/a/infer", "POST", Route(Resource.INFER, "a")),
        ("/v2/models/a/versions/3", "GET", Route(Resource.MODEL, "a", "3")),
        ("/v2/models/a/versions/3/infer", "POST", Route(Resource.INFER, "a", "3")),
        ("/v2/models/infer/infer", "POST", Route(Resource.INFER, "infer")),
        ("http://proxy:80/v2/models/a/infer", "POST", Route(Resource.INFER, "a")),
        ("/v2/models/a%2Fb/infer", "POST", Route(Resource.INFER, "a/b")),
    ],
)
def test_routes(path, method, route):
    assert resolve(path, method) == route


@pytest.mark.parametrize(
    "path", ["", "/", "/v1", "/v2/models", "/v2/models/", "/v2/models/a/b", "/v2/models/a/versions"]
)
def test_nothing_there(path):
    with pytest.raises(NotFoundError) as error:
        resolve(path, "GET")
    told = str(error.value).partition("paths are ")[2]
    for known in re.split(", | and ", told):  # each of them is one
        resolve(known.replace("…", "/v2/models"), "POST" if known.endswith("/infer") else "GET")


def test_methods():
    with pytest.raises(MethodError, match="use POST"):
        resolve("/v2/models/a/infer", "GET")
    with pytest.raises(MethodError, match="use GET, HEAD"):
        resolve("/metrics", "POST")
