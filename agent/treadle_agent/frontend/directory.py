"""From a name in a path to the version that answers, with its contract and its counters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from treadle_agent.executor.gateway import Served
from treadle_agent.frontend.catalog import AmbiguousTenantError, Entry, NotServedError, UnknownTenantError, only_key
from treadle_agent.frontend.contender import Contender
from treadle_agent.frontend.contract import Contract
from treadle_agent.frontend.errors import BadRequestError, NotFoundError, NotServedYetError
from treadle_agent.frontend.moves import Move
from treadle_agent.frontend.site import Site
from treadle_agent.metrics import RequestOutcome, TenantSeries
from treadle_agent.policy.routing import choose_device
from treadle_api.tenant import Tenant


class Directory:
    """The catalogs of all devices as request handlers use them."""

    def __init__(self, sites: Sequence[Site], clock: Callable[[], float]) -> None:
        self._sites = sites
        self._clock = clock
        self._only = sites[0] if len(sites) == 1 else None

    @property
    def leaving(self) -> bool:
        """Whether any tenant leaves any device; asked with every request."""
        for site in self._sites:  # noqa: SIM110 - a third of the time of any()
            if site.moves:
                return True
        return False

    def keys(self, name: str) -> Collection[str]:
        """The keys of all tenants that a client may mean by `name`: served, not served yet, or leaving."""
        if self._only is not None and not self._only.moves:
            return self._only.catalog.match(name)
        return {key for site in self._sites for key in (*site.catalog.match(name), *site.moves.match(name))}

    def contract(self, name: str, version: str | None) -> Contract:
        """The contract of the version that serves `name` now, on the device that can answer first.

        Raises:
            NotFoundError: there is no such tenant, or `version` is not one that is served.
            BadRequestError: the name is ambiguous.
            NotServedYetError: the tenant is loading, or was refused.
        """
        try:
            if self._only is not None:
                contract = self._of(self._only, *self._only.catalog.serving(name))
            else:
                contract = _first(self._serving(name), version)
        except UnknownTenantError as error:
            raise NotFoundError(_message(error)) from None
        except AmbiguousTenantError as error:
            raise BadRequestError(_message(error)) from None
        except NotServedError as error:
            raise NotServedYetError(_message(error)) from None
        if version is not None and version != contract.version:
            raise NotFoundError(f"model {name!r} has no version {version!r}; version {contract.version} is served")
        return contract

    def move(self, name: str) -> Move | None:
        """Where requests for `name` go, now that every device that had the tenant gives it up; None where one stays."""
        keys = self.keys(name)
        if len(keys) != 1:
            return None
        [key], found = keys, None
        for site in self._sites:
            move, entry = site.moves.get(key), site.catalog.get(key)
            if move is None and entry is not None and entry.served is not None:
                return None
            found = found or move
        return found

    def count(self, name: str, outcome: RequestOutcome) -> None:
        """Count a request that no device took; nothing for a name that is nobody's."""
        for site in self._sites:
            if keys := site.catalog.match(name):
                site.requests.of(_series(site.catalog.find(keys[0]))).count(outcome)
                return

    def refresh(self) -> None:
        """Begin the counters of new tenants at zero."""
        for site in self._sites:
            for entry in site.catalog.entries():
                site.requests.of(_series(entry))

    def _serving(self, name: str) -> list[Contract]:
        """The contracts of all devices that serve a tenant; of those that it leaves only where no other is left."""
        key = only_key(name, {key for site in self._sites for key in site.catalog.match(name)})
        entries = [(site, entry) for site in self._sites if (entry := site.catalog.get(key)) is not None]
        serving = [(site, entry.tenant, entry.served) for site, entry in entries if entry.served is not None]
        if not serving:
            raise entries[0][1].not_served()
        staying = [one for one in serving if key not in one[0].moves] or serving
        return [self._of(*one) for one in staying]

    def _of(self, site: Site, tenant: Tenant, served: Served) -> Contract:
        contract = site.contracts.get(tenant.key)
        if contract is None or contract.served is not served:
            requests = site.requests.of(_series(Entry(tenant, served)))
            alone = self._only is not None
            contender = None if alone else Contender(site.gateway, served, site.backlog, self._clock)
            contract = Contract(tenant, served, requests, site.gateway, contender)
            site.contracts[tenant.key] = contract
        contract.tenant = tenant
        return contract


def _first(contracts: Sequence[Contract], version: str | None) -> Contract:
    """The contract whose device is done first, among those of a version where one of them is."""
    asked = [contract for contract in contracts if contract.version == version] or contracts
    if len(asked) == 1:
        return asked[0]
    return asked[choose_device([contract.contender.candidate for contract in asked if contract.contender])]


def _series(entry: Entry) -> TenantSeries:
    tenant = entry.tenant
    tiers = entry.served.version.tiers if entry.served else tenant.served_tiers
    return TenantSeries(tenant.name, tenant.namespace, tuple(tier.name for tier in tiers))


def _message(error: LookupError) -> str:
    return str(error.args[0])
