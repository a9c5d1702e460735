"""TLS: a certificate and its key from files, taken up again when they change; peers hold the same ones."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

LOOK_SECONDS = 10.0
HANDSHAKE_SECONDS = 10.0

_log = logging.getLogger(__name__)


class TlsError(Exception):
    """Raised when certificate and key cannot be used."""


class Tls:
    """Reads `tls.crt` and `tls.key` of a folder, as a Secret is mounted: both change at once.

    `server` and `client` are what connections begin with; those that are there go on as they began. A client takes a
    server for an agent that shows one of the certificates of this folder, or the one before: all agents share a Secret.
    """

    def __init__(self, folder: Path) -> None:
        """Raises TlsError."""
        self._folder = folder
        self._pairs: list[tuple[str, str]] = []  # certificate and key, as they are written; the newest first
        # What listens keeps the context that it was given; each handshake is handed on to the newest one.
        self.server = self._current = self._load()
        self.server.sni_callback = self._choose
        self.client = self._trusting()

    def look(self) -> None:
        """Take up what has changed; what cannot be used is logged, and the one before stays."""
        try:
            if self._read() == self._pairs[0]:
                return
            self._current = self._load()
        except (OSError, TlsError) as error:
            _log.warning("the certificate in %s cannot be renewed: %s", self._folder, error)
            return
        self.client = self._trusting()
        _log.info("the certificate in %s was renewed", self._folder)

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def _version(self) -> Path:
        """Of a mounted Secret: one version of it, whatever happens meanwhile."""
        return (self._folder / "tls.crt").resolve().parent

    def _read(self) -> tuple[str, str]:
        folder = self._version()
        return (folder / "tls.crt").read_text(), (folder / "tls.key").read_text()

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        try:
            folder = self._version()
            context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
            pair = self._read()
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise TlsError("tls.key is not the key of the certificate in tls.crt") from error
            raise TlsError(f"tls.crt must hold a certificate, and tls.key its key, as PEM: {error}") from error
        except (OSError, ValueError) as error:
            raise TlsError(str(error)) from error
        if pair not in self._pairs:
            self._pairs = [pair, *self._pairs[:1]]
        return context

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def _trusting(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # peers are called by address; the certificate itself is what is looked at
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        for certificate, _ in self._pairs:
            context.load_verify_locations(cadata=_first(certificate))
        return context


def _first(chain: str) -> str:
    """The leaf alone: whoever else its authority certifies is no agent."""
    end = "-----END CERTIFICATE-----"
    head, found, _ = chain.partition(end)
    return head + found + "\n"
