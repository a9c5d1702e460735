"""From a name in a path to the version that answers, with its contract and its counters."""

from __future__ import annotations

from treadle_agent.frontend.catalog import AmbiguousTenantError, Catalog, Entry, NotServedError, UnknownTenantError
from treadle_agent.frontend.contract import Contract
from treadle_agent.frontend.errors import BadRequestError, NotFoundError, NotServedYetError
from treadle_agent.metrics import RequestMetrics, TenantRequests, TenantSeries


class Directory:
    """The catalog as request handlers use it."""

    def __init__(self, catalog: Catalog, metrics: RequestMetrics) -> None:
        self._catalog = catalog
        self._metrics = metrics
        self._contracts: dict[str, Contract] = {}

    def contract(self, name: str, version: str | None) -> Contract:
        """The contract of the version that serves `name` now.

        Raises:
            NotFoundError: there is no such tenant, or `version` is not the one that is served.
            BadRequestError: the name is ambiguous.
            NotServedYetError: the tenant is loading, or was refused.
        """
        try:
            tenant, served = self._catalog.serving(name)
        except UnknownTenantError as error:
            raise NotFoundError(_message(error)) from None
        except AmbiguousTenantError as error:
            raise BadRequestError(_message(error)) from None
        except NotServedError as error:
            raise NotServedYetError(_message(error)) from None
        contract = self._contracts.get(tenant.key)
        if contract is None or contract.served is not served:
            contract = Contract(tenant.name, served, self.requests(name))
            self._contracts[tenant.key] = contract
        if version is not None and version != contract.version:
            raise NotFoundError(f"model {name!r} has no version {version!r}; version {contract.version} is served")
        return contract

    def requests(self, name: str) -> TenantRequests:
        """The counters of a tenant that the catalog has, served or not."""
        return self._metrics.of(_series(self._catalog.find(name)))

    def refresh(self) -> None:
        """Begin the counters of new tenants at zero, and forget those of tenants that have gone."""
        entries = self._catalog.entries()
        self._metrics.retain(_series(entry) for entry in entries)
        keys = {entry.key for entry in entries}
        self._contracts = {key: contract for key, contract in self._contracts.items() if key in keys}


def _series(entry: Entry) -> TenantSeries:
    tenant = entry.tenant
    tiers = entry.served.version.tiers if entry.served else tenant.served_tiers
    return TenantSeries(tenant.name, tenant.namespace, tuple(tier.name for tier in tiers))


def _message(error: LookupError) -> str:
    return str(error.args[0])
