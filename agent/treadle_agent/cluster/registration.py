"""The InferenceNode of this node: made when the agent starts, kept true, and looked after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from treadle_agent.cluster.errors import KubeError, NotFoundError
from treadle_agent.cluster.kube import NODES, Json, KubeClient
from treadle_agent.cluster.manifests import node_manifest
from treadle_agent.cluster.reporting import differs
from treadle_api.fields import FieldError
from treadle_api.node import Device, Node, read_node

BUSIER = 0.1  # of the last window: a smaller change of a device's utilisation is not worth a write
LOOKS = 12  # between two readings of the object: somebody may have deleted it, or written its status

_log = logging.getLogger(__name__)

Describe = Callable[[Node | None], Node]
"""From what was told of the node to what is true of it now."""


class Registration:
    """One node's. `rest` in seconds: figures are told no more often."""

    def __init__(self, client: KubeClient, name: str, describe: Describe, rest: float) -> None:
        self._client = client
        self._name = name
        self._describe = describe
        self._rest = rest
        self._told: Node | None = None
        self._looks = 0
        self._failing = False
        self._wake = asyncio.Event()

    def look_soon(self) -> None:
        """Something has changed that others are to know at once."""
        self._wake.set()

    async def run(self) -> None:
        """Look every `rest` seconds, and when asked to; never returns."""
        while True:
            self._wake.clear()
            await self.look()
            try:
                async with asyncio.timeout(self._rest):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def look(self) -> None:
        """Tell what has changed; what cannot be told now is told later."""
        self._looks += 1
        try:
            if self._told is None or self._looks % LOOKS == 0:
                self._told = await self._find()
            node = self._describe(self._told)
            if self._told is None or is_due(self._told, node):
                answer = await self._client.apply(NODES, "", self._name, node_manifest(node), "status")
                self._told = replace(node, generation=_generation(answer))
        except KubeError as error:
            if isinstance(error, NotFoundError):
                self._told = None  # somebody has deleted it
            if not self._failing:
                _log.warning("the InferenceNode cannot be written; it is tried again: %s", error)
            self._failing = True
        else:
            self._failing = False

    async def _find(self) -> Node | None:
        """The InferenceNode as the API server has it, of an earlier run perhaps; None where that cannot be read."""
        try:
            return read_node(await self._client.get(NODES, "", self._name))
        except NotFoundError:
            manifest = {"apiVersion": NODES.api_version, "kind": NODES.name, "metadata": {"name": self._name}}
            return read_node(await self._client.create(NODES, "", manifest))
        except FieldError as error:
            _log.warning("the InferenceNode is written anew: %s", error)
        return None


def is_due(told: Node, node: Node) -> bool:
    """Whether to write: anything but a figure has changed, or a figure has moved."""
    before, after = (
        (one.address, one.agent_version, one.conditions, [_facts(device) for device in one.devices])
        for one in (told, node)
    )
    return before != after or any(map(_moved, told.devices, node.devices))


def _facts(device: Device) -> tuple[object, ...]:
    return device.id, device.model, device.memory, device.healthy, device.reason, device.precisions


def _moved(before: Device, after: Device) -> bool:
    return (
        differs(before.used, after.used)
        or abs(after.utilisation - before.utilisation) > BUSIER
        or differs(before.stretch, after.stretch)
        or differs(before.merge_factor, after.merge_factor)
    )


def _generation(manifest: Json) -> int:
    metadata = manifest.get("metadata")
    generation = metadata.get("generation", 0) if isinstance(metadata, dict) else 0
    return int(generation)
