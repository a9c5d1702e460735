"""treadle on a real node, for a person to watch: `make demo-cluster`. Runs until Ctrl-C, which leaves nothing behind.

Installs the chart, applies the example tenants, sends them a load that comes and goes, and shows `treadle top`: live on
a terminal, else now and then. The line for another shell goes to stdout, and so does the view; progress to stderr.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from bed.cluster import SYSTEM_NAMESPACE, Cluster, KubectlError
from bed.helm import Helm, HelmError
from bed.program import Program
from controlplane import cache
from images import store
from images.recipe import IMAGES
from node import client, examples, install_page, node, release, tenant, visitors

READING = 10.0  # seconds before the live view takes the screen
EVERY = 15.0  # seconds between two views where there is no terminal
START = time.monotonic()


def main() -> int:
    """Bring it up, show it, and end it."""
    signal.signal(signal.SIGINT, _interrupted)  # also where a shell has started it in the background
    signal.signal(signal.SIGTERM, _interrupted)
    wanted = (IMAGES["operator"], IMAGES["agent"])
    absent = [*cache.missing(), *(image.name for image in wanted if not store.archive(image).exists())]
    if absent:
        _tell(f"not built yet: {', '.join(absent)}; `make demo-cluster` does it")
        return 2
    binaries = cache.folder()
    try:
        with ExitStack() as stack:
            stack.callback(_tell, "ended; nothing is left of it")
            _tell("starting a control plane and a node: containerd, kubelet, kube-proxy")
            with store.held(_tell, alone=False):
                archives = [store.archive(image) for image in wanted]
                cluster, _ = stack.enter_context(node.running(binaries, archives))
            stack.callback(_tell, "ending all of it")
            _install(cluster, Helm(binaries, cluster))
            _serve(cluster)
            load = _load(cluster, wanted[1].reference)
            load.start()
            stack.callback(load.kill)
            print(cluster.export_line, flush=True)
            _tell("up: paste the line above into another shell, then: kubectl get it -A. Ctrl-C here ends everything")
            _show(cluster, load)
    except (KubectlError, HelmError, AssertionError) as error:
        _tell(f"ERROR: {error}")
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _install(cluster: Cluster, helm: Helm) -> None:
    _tell("training the examples' models")
    folder = cluster.folder / "models"
    examples.train(folder)
    _tell("helm install treadle charts/treadle")
    cluster.kubectl("create", "namespace", SYSTEM_NAMESPACE)
    examples.provide_models(cluster, folder)
    release.install(helm, install_page.values(examples.VALUES))
    _tell("waiting for the operator's and the agent's Pods")
    release.wait(cluster)


def _serve(cluster: Cluster) -> None:
    for example in examples.TENANTS:
        _tell(f"kubectl apply -f examples/{example.file}")
        examples.apply(cluster, example)
    for example in examples.TENANTS:
        tenant.wait(cluster, example.name, example.namespace)
        _tell(f"{example.namespace}/{example.name} is Ready")


def _load(cluster: Cluster, image: str) -> Program:
    """What sends requests from a Pod."""
    _tell("starting a Pod that sends them requests: half a minute of calm, half a minute of more, and so on")
    client.Client.started(cluster, image)
    words: list[str] = []
    for namespace in {example.namespace for example in examples.TENANTS}:
        client.let_in(cluster, namespace)
    for one in examples.TENANTS:
        host = tenant.address(cluster, one.name, one.namespace)
        words += [host, one.name, str(one.rows), str(one.calm), str(one.spike)]
    return cluster.program("visitors", cluster.kubectl_binary, *client.running(visitors, *words))


def _show(cluster: Cluster, load: Program) -> None:
    """Live until Ctrl-C; without a terminal until a signal."""
    top: list[str | Path] = [sys.executable, "-m", "treadle", "top", "-A", "--kubeconfig", cluster.kubeconfig]
    if sys.stdout.isatty():
        _tell(f"the live view opens in {READING:g} s")
        time.sleep(READING)
        _show_live(top, cluster.environment())
        return
    while load.alive:
        subprocess.run(top, env=cluster.environment(), check=False)
        time.sleep(EVERY)
    raise AssertionError(load.tail())


def _show_live(top: list[str | Path], environment: dict[str, str]) -> None:
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is for what has the screen: it gives it back, and ends
    with subprocess.Popen(top, env=environment) as view:
        try:
            code = view.wait()
        except KeyboardInterrupt:  # by SIGTERM
            view.send_signal(signal.SIGINT)
            raise
    assert code == 0, f"treadle top ended with exit code {code}"


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _tell(line: str) -> None:
    print(f"{time.monotonic() - START:4.0f} s  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
