"""One device of the node, as the front end sees it."""

from __future__ import annotations

import asyncio

from treadle_agent.executor.gateway import Gateway
from treadle_agent.frontend.catalog import Catalog
from treadle_agent.frontend.contract import Contract
from treadle_agent.frontend.moves import Moves
from treadle_agent.metrics import RequestMetrics
from treadle_agent.policy.routing import Backlog


class Site:
    """A device's executor, the tenants it serves, those that leave it, and what is counted about it.

    `device` is unique on the node. A node agent owns the catalog; who tells it what to serve owns the moves. What is
    kept of a tenant is forgotten when it leaves the catalog; requests of it that are under way go on.
    """

    def __init__(self, device: str, gateway: Gateway, catalog: Catalog | None = None) -> None:
        self.device = device
        self.gateway = gateway
        self.catalog = catalog or Catalog()
        self.moves = Moves()
        self.requests = RequestMetrics()
        self.timeline = asyncio.Lock()  # held by who records one
        self.backlog = Backlog()  # kept where there are several devices to choose from
        self.contracts: dict[str, Contract] = {}  # by tenant, made when first asked for
        self.catalog.on_removal(self._forget)

    def _forget(self, key: str) -> None:
        self.contracts.pop(key, None)
        self.requests.forget(key)
