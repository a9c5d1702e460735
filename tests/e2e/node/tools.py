"""Installs what a node is made of besides what is built: `python -m node.tools`."""

from __future__ import annotations

import sys

from images.errors import UnavailableError
from images.tools import provide
from node.settings import PLUGINS

# Program → Debian's package of it.
PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    f"{PLUGINS}/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
}


def main() -> int:
    """Install what is missing; 2 where that cannot be."""
    try:
        provide(lambda line: print(line, file=sys.stderr, flush=True), PROGRAMS, "a node is made of")
    except UnavailableError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
