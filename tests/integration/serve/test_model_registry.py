"""Registries that cannot be asked are named, with what is amiss."""

import socket
import ssl

import pytest

from treadle_agent.models.errors import UnreachableError

oci = pytest.importorskip("treadle_agent.models.oci")
ASKING = oci.Asking(lambda _: None, ssl.create_default_context(), 1.0)


def test_a_host_without_an_address(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UnreachableError, match=r"^oci://foo/bar: no address is known for foo"):
        oci.oci_place("oci://foo/bar", None, ASKING)


def test_a_host_where_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnreachableError, match=f": {place} cannot be reached: Connection refused"):
            oci.oci_place(f"oci://{place}/bar:1", None, ASKING)


def test_a_host_that_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UnreachableError, match=f": {place} does not answer in time"):
            oci.oci_place(f"oci://{place}/bar:1", None, ASKING)
