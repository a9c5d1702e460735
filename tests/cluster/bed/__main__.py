"""A cluster for a person to try things on: `make cluster`. Runs until Ctrl-C, which leaves nothing behind."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading

from bed.cluster import Cluster
from controlplane import cache


def main() -> int:
    """Bring it up, say how to use it, and wait."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    if absent := cache.missing():
        print(f"{', '.join(absent)} not built yet: `make controlplane` does it", file=sys.stderr)
        return 2
    print("starting etcd, kube-apiserver and kube-controller-manager ...", file=sys.stderr, flush=True)
    with Cluster.running(cache.folder()) as cluster:
        cluster.apply_rbac()
        print(f"export KUBECONFIG={cluster.kubeconfig} PATH={cache.folder()}:$PATH", flush=True)
        print("up, with treadle's kinds and roles; paste the line above into another shell.", file=sys.stderr)
        print("Ctrl-C ends it.", file=sys.stderr, flush=True)
        ended.wait()
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
