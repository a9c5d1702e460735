"""Who agent and operator are to the API server when they run in a Pod."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.config import incluster_config

from treadle_agent.cluster import connection as of_the_agent
from treadle_agent.cluster import kube
from treadle_agent.cluster.settings import ClusterSettings
from treadle_operator.kube import connection as of_the_operator

BOTH = pytest.mark.parametrize("module", [of_the_agent, of_the_operator], ids=["agent", "operator"])


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a Pod's token, with what else the kubelet gives a Pod."""
    file, authority = tmp_path / "token", tmp_path / "ca.crt"
    file.write_text("one")
    authority.write_text("a certificate")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(file))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return file


@BOTH
def test_the_pods_own_account(token: Path, module: Any) -> None:
    async def body() -> None:
        found = await module.load_connection(None)
        assert found.host == "https://10.0.0.1:6443"
        assert found.ssl_ca_cert == str(token.parent / "ca.crt")
        assert (await found.get_api_key_with_prefix("BearerToken")).lower() == "bearer one"

    asyncio.run(body())


@BOTH
def test_a_pods_token_is_read_again_before_it_ends(token: Path, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubelet writes a new one long before the old one, which lives for an hour, has ended."""

    async def body() -> None:
        found = await module.load_connection(None)
        token.write_text("two")  # noqa: ASYNC240
        later = incluster_config.datetime.datetime.now() + incluster_config.datetime.timedelta(minutes=2)

        class Later(incluster_config.datetime.datetime):  # type: ignore[name-defined, misc]
            @classmethod
            def now(cls, tz: Any = None) -> Any:  # noqa: ARG003 - as the real one
                return later

        monkeypatch.setattr(incluster_config.datetime, "datetime", Later)
        assert (await found.get_api_key_with_prefix("BearerToken")).lower() == "bearer two"

    asyncio.run(body())


@BOTH
def test_a_kubeconfig_that_is_named_goes_before_the_pods_account(
    token: Path, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(token.parent / "none"))
    with pytest.raises(module.ConnectionConfigError, match=r"kubeconfig .*none, which KUBECONFIG names, cannot be"):
        asyncio.run(module.load_connection(None))


@BOTH
def test_a_pod_without_its_token_is_told_so(token: Path, module: Any) -> None:
    token.unlink()
    with pytest.raises(module.ConnectionConfigError, match=r"the Pod's service account cannot be used: .*token"):
        asyncio.run(module.load_connection(None))


@BOTH
@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ("{0}/none", "{0}/none, which KUBECONFIG names, cannot be used: there is no such file; set KUBECONFIG to"),
        ("{0}/a:{0}/b", "{0}/a:{0}/b, which KUBECONFIG names, cannot be used: there is none of these files; "),
        ("{0}", "{0}, which KUBECONFIG names, cannot be used: {0}: Is a directory; "),
        ("{0}/empty", "{0}/empty, which KUBECONFIG names, cannot be used: it is no kubeconfig; "),
        ("", "{0}/.kube/config, which is the default, cannot be used: there is no such file; set KUBECONFIG to"),
    ],
)
def test_which_kubeconfig_was_looked_at_and_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, named: str, reason: str
) -> None:
    (tmp_path / "empty").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", named.format(tmp_path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(module.ConnectionConfigError, match=re.escape("kubeconfig " + reason.format(tmp_path))):
        asyncio.run(module.load_connection(None))


def test_a_connection_that_goes_dead_as_the_api_server_returns_is_noticed_within_90_seconds() -> None:
    noticed = kube.WATCH_SECONDS + kube.WATCH_GRACE  # at the latest: the watch began just before
    tried_again = ClusterSettings("a", "10.0.0.1:8000").reach.longest
    assert noticed + tried_again + kube.REQUEST_SECONDS <= 90.0


def test_a_context_and_the_namespace_that_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = {"cluster": "here", "user": "me"}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "first",
        "clusters": [{"name": one, "cluster": {"server": f"http://{one}:1"}} for one in ("here", "there")],
        "users": [{"name": "me", "user": {}}],
        "contexts": [
            {"name": "first", "context": context | {"namespace": "shop"}},
            {"name": "second", "context": context | {"cluster": "there"}},
        ],
    }
    file = tmp_path / "config"
    file.write_text(json.dumps(kubeconfig))  # JSON is YAML
    monkeypatch.setenv("KUBECONFIG", str(file))

    async def host(name: str | None) -> str:
        return str((await of_the_operator.load_connection(None, name)).host)

    assert asyncio.run(host(None)) == "http://here:1"
    assert asyncio.run(host("second")) == "http://there:1"
    assert of_the_operator.default_namespace(file) == "shop"
    assert of_the_operator.default_namespace(None, "second") == "default"
    with pytest.raises(of_the_operator.ConnectionConfigError, match=r"^--context third: .*, which has first, second$"):
        asyncio.run(host("third"))
    del kubeconfig["current-context"]
    file.write_text(json.dumps(kubeconfig))
    assert asyncio.run(host("first")) == "http://here:1", "the one that is named is enough"
    assert of_the_operator.default_namespace(file, "first") == "shop"
