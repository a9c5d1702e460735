"""A bucket of models, and the keys to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ID, KEY = "AKIAREADER", "its-secret-access-key"


@dataclass(frozen=True)
class Bucket:
    """The bucket `models` of the server at `host`, which keeps its objects in `folder`."""

    host: str
    folder: Path

    def put(self, key: str, body: bytes) -> str:
        """Its URI."""
        place = self.folder / "models" / key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body)
        return f"s3://models/{key}"


def keys(host: str, **changed: str) -> dict[str, str]:
    """What a Secret holds that lets in at `host`, but for what is changed."""
    login = {"AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": KEY, "AWS_ENDPOINT_URL": f"https://{host}"}
    return {**login, **changed}
