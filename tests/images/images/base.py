"""Makes the image that the others begin with."""

from __future__ import annotations

import tempfile

from images import store
from images.recipe import KEPT, LEFT_OUT, SUITE, base_digest
from images.tools import Tell


def make_base(say: Tell) -> str:
    """The name of Debian as its own tool lays it out, since there is no registry to have it from; made once."""
    name = f"localhost/treadle-base:{SUITE}-{base_digest()}"
    if not store.is_there(name):
        say(f"making a base of Debian {SUITE}: some minutes, once")
        rules = [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
        rules += [f"--dpkgopt=path-include={path}" for path in KEPT]
        with tempfile.TemporaryDirectory(prefix="treadle-base-", dir=store.root()) as folder:
            tar = f"{folder}/base.tar"
            store.said(["mmdebstrap", "--variant=minbase", *rules, SUITE, tar])
            store.said(store.podman("import", "--quiet", tar, name))
    return name
