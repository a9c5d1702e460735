"""TLS: served, renewed without a restart, and between agents."""

from __future__ import annotations

import http.client
import json
import ssl

import pytest
import trustme

from treadle_agent.frontend.app import FrontEnd
from treadle_agent.frontend.tls import Tls, TlsError

GOOD = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}).encode()
KEY = "linear.default"


def write(folder, authority, certificate, key=None):
    """As cert-manager does, with the chain."""
    (folder / "tls.crt").write_bytes(certificate.cert_chain_pems[0].bytes() + authority.cert_pem.bytes())
    (folder / "tls.key").write_bytes((key or certificate).private_key_pem.bytes())


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def folder(tmp_path, authority):
    write(tmp_path, authority, authority.issue_cert("agent.test"))
    return tmp_path


@pytest.fixture
def secured(make_site):
    """A front end that speaks TLS, of a site whose own does not: its port."""
    made = []

    def make(tls):
        site = make_site()
        front_end = FrontEnd(site.devices, site.settings)
        made.append((site, front_end))
        return site, site.run(front_end.start("127.0.0.1", 0, tls))

    yield make
    for site, front_end in made:
        site.run(front_end.stop())


def ask(port, authority, method="GET", path="/v2/models/linear", body=None, headers=()):
    """Status, and the number of the certificate that was shown."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.check_hostname = False
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        connection.connect()
        shown = connection.sock.getpeercert()["serialNumber"]
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        response.read()
        return response.status, shown
    finally:
        connection.close()


def test_it_is_served_by_tls_alone(secured, folder, authority):
    _, port = secured(Tls(folder))
    assert ask(port, authority)[0] == 200
    assert ask(port, authority, "POST", "/v2/models/linear/infer", GOOD)[0] == 200
    plain = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    plain.request("GET", "/v2/health/live")
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.getresponse()
    plain.close()


def test_a_renewed_certificate_is_shown_and_a_damaged_one_is_not(secured, folder, authority, caplog):
    tls = Tls(folder)
    site, port = secured(tls)
    _, first = ask(port, authority)
    for damage in (
        lambda: write(folder, authority, authority.issue_cert("agent.test"), authority.issue_cert("other.test")),
        lambda: (folder / "tls.crt").write_text("this is none"),
        (folder / "tls.key").unlink,
    ):
        damage()
        site.call(tls.look)
        assert ask(port, authority) == (200, first)
    assert caplog.text.count("cannot be renewed") == 3
    write(folder, authority, authority.issue_cert("agent.test"))
    site.call(tls.look)
    status, second = ask(port, authority)
    assert (status, second != first) == (200, True)


def test_it_looks_by_itself(secured, folder, authority, monkeypatch):
    monkeypatch.setattr("treadle_agent.frontend.tls.LOOK_SECONDS", 0.05)
    site, port = secured(Tls(folder))
    _, first = ask(port, authority)
    write(folder, authority, authority.issue_cert("agent.test"))
    site.wait_for(lambda: ask(port, authority)[1] != first)


def test_what_cannot_be_used_at_the_start_is_refused(tmp_path, authority):
    with pytest.raises(TlsError, match=r"No such file or directory"):
        Tls(tmp_path)
    write(tmp_path, authority, authority.issue_cert("agent.test"), authority.issue_cert("other.test"))
    with pytest.raises(TlsError, match=r"^tls\.key is not the key of the certificate in tls\.crt$"):
        Tls(tmp_path)
    (tmp_path / "tls.crt").write_text("")
    with pytest.raises(TlsError, match=r"^tls\.crt must hold a certificate, and tls\.key its key, as PEM: "):
        Tls(tmp_path)


def leave(site, port):
    site.call(lambda: site.devices[0].moves.begin(KEY, (f"127.0.0.1:{port}",), 5.0))


def test_agents_pass_requests_on_by_tls_also_while_one_has_the_certificate_before(secured, folder, authority, tmp_path):
    there = Tls(folder)
    new, to = secured(there)
    write(folder, authority, authority.issue_cert("agent.test"))
    here = Tls(folder)
    old, port = secured(here)
    leave(old, to)
    ask(port, authority, "POST", "/v2/models/linear/infer", GOOD)
    assert new.gateway.answered == 0, "of which it has never heard"
    new.call(there.look)
    assert ask(port, authority, "POST", "/v2/models/linear/infer", GOOD)[0] == 200
    assert new.gateway.answered == 1
    write(folder, authority, authority.issue_cert("agent.test"))
    old.call(here.look)
    assert ask(port, authority, "POST", "/v2/models/linear/infer", GOOD)[0] == 200
    assert new.gateway.answered == 2


def test_nobody_else_is_passed_a_request_whoever_certified_it(secured, folder, authority, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    write(other, authority, authority.issue_cert("agent.test"))
    stranger, to = secured(Tls(other))
    old, port = secured(Tls(folder))
    leave(old, to)
    assert ask(port, authority, "POST", "/v2/models/linear/infer", GOOD)[0] == 200
    assert (stranger.gateway.answered, old.gateway.answered) == (0, 1), "whoever is left here answers"
