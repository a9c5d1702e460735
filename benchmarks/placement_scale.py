"""The operator at scale, on a real API server: thousands of tenants on hundreds of nodes, whose agents are played.

    python benchmarks/placement_scale.py [--tenants 2000] [--nodes 200] [--json FILE]

Three parts. Cold: all tenants exist, and the operator starts. Loss: a tenth of the nodes falls silent at once. Edit:
every tenant is edited, as fast as the API server takes it. etcd, API server, controllers, operator and agents share
this machine. Needs `make controlplane`. `--check` holds the result to its targets and to the committed ranges.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shlex
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from rich.console import Console

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "cluster"))

from bed.addresses import LOOPBACK, free_port  # noqa: E402
from bed.audit import read_requests  # noqa: E402
from bed.cluster import SYSTEM_NAMESPACE, Cluster  # noqa: E402
from bed.program import Program  # noqa: E402
from check_placement import failures, read_expected  # noqa: E402
from controlplane import cache  # noqa: E402
from treadle.bench.machine import machine, versions  # noqa: E402
from treadle.bench.placement.agents import Part, PlayedAgents, PlayedNode  # noqa: E402
from treadle.bench.placement.report import LEASE_SECONDS, PartReport, Report, targets_of  # noqa: E402
from treadle_agent.cluster.following import Follower  # noqa: E402
from treadle_agent.cluster.kube import Json, Selection  # noqa: E402
from treadle_agent.cluster.kube import Kind as AgentKind  # noqa: E402
from treadle_agent.cluster.kube import KubeClient as AgentClient  # noqa: E402
from treadle_api.backoff import Backoff, BackoffTiming  # noqa: E402
from treadle_api.units import Seconds  # noqa: E402
from treadle_operator.kube import kinds  # noqa: E402
from treadle_operator.kube.client import KubeClient  # noqa: E402
from treadle_operator.kube.connection import load_connection  # noqa: E402

NAMESPACE = "default"
MODELS = 300  # of each tier
AT_A_TIME = 16  # requests
PATIENCE = 900.0  # seconds for a part
WRITING = frozenset({"create", "update", "patch", "delete", "apply"})


class Counter:
    """Requests are counted by the audit log."""

    def requested(self, verb: str, code: int) -> None:
        """See `kube.client.Counter`."""


class ReadyTenants:
    """The tenants that are ready, by a watch: to list thousands of them again and again would be what is measured."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def listed(self, objects: Sequence[Json]) -> None:
        """See `following.Sink`."""
        self.names.clear()
        for manifest in objects:
            self.changed(manifest)

    def changed(self, manifest: Json) -> None:
        """See `following.Sink`."""
        (self.names.add if is_ready(manifest) else self.names.discard)(name_of(manifest))

    def removed(self, manifest: Json) -> None:
        """See `following.Sink`."""
        self.names.discard(name_of(manifest))


class Bench:
    """One cluster, one operator, and the world around it."""

    def __init__(
        self,
        cluster: Cluster,
        client: KubeClient,
        agents: PlayedAgents,
        watching: AgentClient,
        operator: Program,
        port: int,
    ) -> None:
        self._ready = ReadyTenants()
        selection = Selection(AgentKind(kinds.TENANTS.name, kinds.TENANTS.api_version, kinds.TENANTS.plural), "", "")
        self._follower = Follower(watching, selection, self._ready, Backoff(BackoffTiming(Seconds(0.1), Seconds(2.0))))
        self._cluster = cluster
        self._client = client
        self._agents = agents
        self._operator = operator
        self._port = port
        self._console = Console(stderr=True)
        self._rss = 0.0

    async def run(self, tenants: int, nodes: int, command: str) -> Report:
        """All three parts."""
        names = [f"tenant-{number:04}" for number in range(tenants)]
        agents = asyncio.create_task(self._agents.run())
        following = asyncio.create_task(self._follower.run())
        try:
            await self._until("nodes", lambda: self._count(kinds.NODES, nodes))
            create_seconds = await self._each("creating tenants", names, self._create)
            cold = await self._part("cold", tenants, self._start_operator, set())
            lost = {f"node-{number:03}" for number in range(nodes // 10)}
            moved = len([node for _, node in self._agents.places() if node in lost])

            async def lose() -> None:
                for name in lost:
                    self._agents.lose(name)

            loss = await self._part("loss", tenants, lose, lost)
            edit_seconds = 0.0

            async def edit_all() -> None:
                nonlocal edit_seconds
                edit_seconds = await self._each("editing tenants", names, self._edit)

            edit = await self._part("edit", tenants, edit_all, lost)
        finally:
            for task in (agents, following):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        report = Report(
            command=command,
            date=time.strftime("%Y-%m-%d"),
            machine=machine(),
            versions=versions(),
            tenants=tenants,
            nodes=nodes,
            cold=cold,
            loss=loss,
            edit=edit,
            create_seconds=round(create_seconds, 2),
            edit_seconds=round(edit_seconds, 2),
            moved_tenants=moved,
            rss_mib=round(self._rss, 1),
        )
        return msgspec.structs.replace(report, targets=targets_of(report))

    async def _part(self, name: str, tenants: int, begin: Callable[[], Awaitable[None]], lost: set[str]) -> PartReport:
        """Begin something; wait until every tenant is placed on a living node, then until each is ready."""
        plans_before = self._plans() if name != "cold" else {}
        writes_before = self._writes()
        begun = time.monotonic()
        await begin()
        placed = await self._until(f"{name}: placed", lambda: self._all_placed(tenants, lost), begun)
        ready = await self._until(f"{name}: ready", lambda: self._all_ready(tenants), begun)
        await self._until(f"{name}: at rest", self._at_rest, begun)
        plans = {bound: count - plans_before.get(bound, 0.0) for bound, count in self._plans().items()}
        writes = {who: count - writes_before.get(who, 0) for who, count in self._writes().items()}
        self._rss = max(self._rss, peak_mib(self._operator.pid))
        part = PartReport(
            placed_seconds=round(placed, 2),
            ready_seconds=round(ready, 2),
            plans=int(plans[float("inf")]),
            plan_p50_seconds=quantile(plans, 0.5),
            plan_p99_seconds=quantile(plans, 0.99),
            operator_writes=round(writes.get("treadle-operator", 0) / tenants, 2),
            agent_writes=round(writes.get("treadle-agent", 0) / tenants, 2),
        )
        self._console.print(f"{name}: {part}")
        return part

    async def _start_operator(self) -> None:
        self._operator.start()

    async def _create(self, name: str) -> None:
        manifest = {
            "apiVersion": kinds.TENANTS.api_version,
            "kind": kinds.TENANTS.name,
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": spec_of(name, "100ms"),
        }
        await self._client.create(kinds.TENANTS, NAMESPACE, manifest)

    async def _edit(self, name: str) -> None:
        await self._client.merge(kinds.TENANTS, NAMESPACE, name, {"spec": spec_of(name, "120ms")})

    async def _each(self, what: str, names: Iterable[str], act: Callable[[str], Awaitable[None]]) -> float:
        turns = asyncio.Semaphore(AT_A_TIME)

        async def one(name: str) -> None:
            async with turns:
                await act(name)

        begun = time.monotonic()
        await asyncio.gather(*map(one, names))
        took = time.monotonic() - begun
        self._console.print(f"{what}: {took:.1f} s")
        return took

    async def _until(self, what: str, check: Callable[[], Awaitable[bool]], begun: float | None = None) -> float:
        begun = time.monotonic() if begun is None else begun
        while not await check():
            if time.monotonic() - begun > PATIENCE:
                raise TimeoutError(f"{what}: not within {PATIENCE:g} s\n{self._operator.tail()}")
            await asyncio.sleep(0.5)
        self._console.print(f"{what}: {time.monotonic() - begun:.1f} s")
        return time.monotonic() - begun

    async def _count(self, kind: kinds.Kind, count: int) -> bool:
        found = 0
        async for page in self._client.pages(kind):
            found += len(page.items)
        return found >= count

    async def _all_placed(self, tenants: int, lost: set[str]) -> bool:
        return len({name for name, node in self._agents.places() if node not in lost}) == tenants

    async def _all_ready(self, tenants: int) -> bool:
        return len(self._ready.names) == tenants

    async def _at_rest(self) -> bool:
        before = sum(self._writes().values())
        await asyncio.sleep(2.0)
        return sum(self._writes().values()) == before

    def _writes(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for request in read_requests(self._cluster.control_plane.audit_log):
            if request.verb in WRITING and request.resource != "leases" and request.code < 400:
                who = request.user.rpartition(":")[2]
                found[who] = found.get(who, 0) + 1
        return found

    def _plans(self) -> dict[float, float]:
        """Plans made, by the histogram's upper bounds in seconds, cumulative."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self._port}/metrics", timeout=30.0) as answer:
            text = answer.read().decode()
        found = re.findall(r'^treadle_operator_plan_seconds_bucket\{le="([^"]+)"\} (\S+)$', text, re.MULTILINE)
        return {float(bound): float(count) for bound, count in found}


def spec_of(name: str, deadline: str) -> dict[str, object]:
    """A tenant with two tiers; some tenants share their models."""
    tiers = [("large", "97.5"), ("small", "92.1")]
    shared = int(name.rpartition("-")[2]) % MODELS
    return {
        "slo": {"deadline": deadline, "minAccuracy": "80"},
        "tiers": [
            {"name": tier, "accuracy": accuracy, "model": {"uri": f"https://models/{shared}-{tier}.onnx"}}
            for tier, accuracy in tiers
        ],
    }


def name_of(manifest: Json) -> str:
    """An object's name."""
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["name"])


def is_ready(tenant: object) -> bool:
    """Whether a tenant is ready, and its present generation at that."""
    assert isinstance(tenant, dict)
    conditions = tenant.get("status", {}).get("conditions", [])
    generation = tenant["metadata"]["generation"]
    return any(
        one["type"] == "Ready" and one["status"] == "True" and one["observedGeneration"] == generation
        for one in conditions
    )


def quantile(cumulative: dict[float, float], share: float) -> float:
    """The upper bound of the bucket in which the quantile lies."""
    total = cumulative[float("inf")]
    return next(bound for bound, count in sorted(cumulative.items()) if count >= share * total)


def peak_mib(pid: int) -> float:
    """Peak resident memory of a process."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


async def measure(cluster: Cluster, options: argparse.Namespace, command: str) -> Report:
    """Start what is needed, and run."""
    client = KubeClient(await load_connection(cluster.kubeconfig), Counter())
    agent_client = AgentClient(await load_connection(cluster.kubeconfig_for("treadle-agent")))
    watching = AgentClient(await load_connection(cluster.kubeconfig))
    nodes = [
        PlayedNode(f"node-{number:03}", f"10.{number // 250}.{number % 250}.1:8080") for number in range(options.nodes)
    ]
    agents = PlayedAgents(agent_client, SYSTEM_NAMESPACE, nodes, Part(lease_seconds=LEASE_SECONDS))
    port = free_port()
    operator = cluster.program(
        "operator", sys.executable, "-m", "treadle_operator", "--listen", f"{LOOPBACK}:{port}",
        kubeconfig=cluster.kubeconfig_for("treadle-operator"),
    )  # fmt: skip
    try:
        return await Bench(cluster, client, agents, watching, operator, port).run(
            options.tenants, options.nodes, command
        )
    finally:
        operator.kill()
        await client.close()
        await agent_client.close()
        await watching.close()


def main() -> int:
    """0 done, 1 a target missed or outside of the committed ranges, 2 no control plane."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=2000)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here")
    parser.add_argument("--check", action="store_true", help="hold the result to its targets and ranges")
    options = parser.parse_args()
    if absent := cache.missing():
        print(f"{', '.join(absent)} not built yet: `make controlplane` does it", file=sys.stderr)
        return 2
    with Cluster.running(cache.folder()) as cluster:
        cluster.apply_rbac()
        report = asyncio.run(measure(cluster, options, shlex.join(["python", *sys.argv])))
    text = msgspec.json.format(msgspec.json.encode(report), indent=1)
    print(text.decode())
    if options.json is not None:
        options.json.write_bytes(text)
    lines = failures(report, read_expected()) if options.check else []
    print(*lines, sep="\n")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
