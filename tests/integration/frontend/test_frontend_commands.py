"""`treadle top` and `treadle trace` of a server that speaks TLS and asks who is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trustme

from treadle.__main__ import main
from treadle_agent.frontend.app import FrontEnd
from treadle_agent.frontend.tls import Tls
from treadle_callers.callers import Caller, PathRight
from treadle_callers.settings import GuardSettings

TOKEN = "a-token-of-op"
NAME = "treadle-agent"  # what the certificate is for


class Reviewer:
    """`op` may read metrics and timelines, `bob` nothing."""

    async def identify(self, token: str, _: str) -> Caller | None:
        return {TOKEN: Caller("op"), "a-token-of-bob": Caller("bob")}.get(token)

    async def allows(self, caller: Caller, right: object) -> bool:
        return caller.user == "op" and isinstance(right, PathRight)


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.crt")
    return made


@pytest.fixture
def url(make_site: Any, authority: trustme.CA, tmp_path: Path):
    """Of a front end as the chart has it, with one timeline."""
    certificate = authority.issue_cert(NAME)
    certificate.private_key_pem.write_to_path(tmp_path / "tls.key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    site = make_site()
    site.gateway.timeline = json.dumps({"traceEvents": [], "otherData": {"dropped": 0}}).encode()
    front_end = FrontEnd(site.devices, site.settings)
    site.call(lambda: front_end.protect(Reviewer(), GuardSettings("treadle.dev")))
    port = site.run(front_end.start("127.0.0.1", 0, Tls(tmp_path)))
    yield f"https://127.0.0.1:{port}"
    site.run(front_end.stop())


@pytest.fixture
def options(url: str, tmp_path: Path) -> list[str]:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    secured = ["--ca-file", str(tmp_path / "ca.crt"), "--tls-server-name", NAME]
    return ["--url", url, "--token-file", str(tmp_path / "token"), *secured]


def test_top_shows_what_the_token_lets_see(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--json", *options]) in (0, 1), "shown, whether promises are kept or not"
    document = json.loads(capsys.readouterr().out)
    assert "linear" in {tenant["name"] for tenant in document["tenants"]}


def test_trace_records_what_the_token_lets_see(options: list[str], tmp_path: Path) -> None:
    assert main(["trace", str(tmp_path / "t.json"), "--seconds", "0.01", *options]) == 0
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"] == []


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (None, "name a token by --token-file"),
        ("a-token-of-nobody", "is it still valid, and for the API server's own audience?"),
        ("a-token-of-bob", "the token's owner needs the right to get this URL"),
    ],
)
def test_who_is_not_let_in_is_told_what_to_do(
    url: str, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], token: str | None, said: str
) -> None:
    given = options if token is not None else ["--url", url, *options[4:]]
    (tmp_path / "token").write_text(token or "")
    assert main(["top", "--once", *given]) == 2
    assert said in (told := capsys.readouterr().err)
    assert main(["trace", str(tmp_path / "t.json"), "--seconds", "0.01", *given]) == 1
    assert said in (also := capsys.readouterr().err)
    assert "a-token" not in told + also
    assert not (tmp_path / "t.json").exists()


def test_a_server_that_is_not_trusted_is_told_nothing(
    url: str, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = trustme.CA()
    other.cert_pem.write_to_path(tmp_path / "other.crt")
    for access in (options[2:4], [*options[2:4], "--ca-file", str(tmp_path / "other.crt")], options[2:6]):
        assert main(["top", "--once", "--url", url, *access]) == 2
        assert "is not trusted: " in (told := capsys.readouterr().err)
        assert "name its authority by --ca-file, and its name by --tls-server-name" in told


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"--token-file": "none"}, "none cannot be read: No such file or directory"),
        ({"--token-file": "empty"}, "empty: does not hold one token"),
        ({"--token-file": "two"}, "two: does not hold one token"),
        ({"--ca-file": "none"}, "none cannot be used: No such file or directory"),
        ({"--ca-file": "empty"}, "empty cannot be used: it holds no certificate"),
    ],
)
def test_files_that_are_not_what_they_should_be(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, str], said: str
) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "two").write_text("a token\nand another")
    flags = [part for flag, name in changed.items() for part in (flag, str(tmp_path / name))]
    ca = [] if "--ca-file" in changed else ["--ca-file", str(tmp_path / "ca.crt"), "--tls-server-name", NAME]
    assert main(["top", "--once", "--url", url, *flags, *ca]) == 2
    assert said in (told := capsys.readouterr().err)
    assert "start one" not in told, "there is a server, or none is looked for yet"


def test_the_other_scheme_is_named_where_one_is_wrong(
    url: str, options: list[str], make_site: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for given, fault in (
        (["--url", url.replace("https", "http")], "does not answer by HTTP; is it https://?\n"),
        (["--url", f"https://{make_site().url}", *options[4:]], "; is it http://?\n"),
    ):
        assert main(["top", "--once", *given]) == 2
        assert main(["trace", str(tmp_path / "t.json"), *given]) == 1
        for said in capsys.readouterr().err.splitlines(keepends=True):
            assert f": {given[1]} does not answer by " in said
            assert said.endswith(fault)


def test_what_is_for_https_is_not_for_http(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--url", "http://127.0.0.1:1", "--tls-server-name", "x"]) == 2
    assert "--ca-file and --tls-server-name are for https" in capsys.readouterr().err
    assert main(["top", "--once", "-n", "team", "--token-file", "t"]) == 2
    assert "--token-file, --ca-file and --tls-server-name are for a server" in capsys.readouterr().err
