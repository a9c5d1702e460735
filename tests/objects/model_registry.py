"""A registry's login, and how artifacts get into it."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import urllib.request
from typing import Any

PASSWORD = "open-sesame"
HTPASSWD = "reader:$2b$05$abcdefghijklmnopqrstuutXu9KzOt.1yBoZUeFWoT/914/JfszCO"
LOGIN = {"username": "reader", "password": PASSWORD}
BASIC = f"Basic {base64.b64encode(f'reader:{PASSWORD}'.encode()).decode()}"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def layer(body: bytes, title: str | None) -> dict[str, Any]:
    annotations = {"annotations": {"org.opencontainers.image.title": title}} if title else {}
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    return {"mediaType": "application/octet-stream", "digest": digest, "size": len(body), **annotations}


class Pushing:
    """Puts artifacts into a registry, as its API has it."""

    def __init__(self, host: str, trust: ssl.SSLContext) -> None:
        self.host = host
        self._trust = trust

    def _send(self, method: str, url: str, body: bytes, kind: str) -> str:
        headers = {"Authorization": BASIC, "Content-Type": kind}
        request = urllib.request.Request(url, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=20, context=self._trust) as response:
            return str(response.headers.get("Location", ""))

    def blob(self, repository: str, body: bytes) -> None:
        kind = "application/octet-stream"
        place = self._send("POST", f"https://{self.host}/v2/{repository}/blobs/uploads/", b"", kind)
        self._send("PUT", f"{place}&digest=sha256:{hashlib.sha256(body).hexdigest()}", body, kind)

    def artifact(self, repository: str, tag: str, *files: tuple[bytes, str | None]) -> str:
        """Its digest."""
        for body, _ in (*files, (b"{}", None)):
            self.blob(repository, body)
        config = {**layer(b"{}", None), "mediaType": "application/vnd.oci.empty.v1+json"}
        layers = [layer(body, title) for body, title in files]
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).encode()
        self._send("PUT", f"https://{self.host}/v2/{repository}/manifests/{tag}", manifest, MANIFEST)
        return f"sha256:{hashlib.sha256(manifest).hexdigest()}"
