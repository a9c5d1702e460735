"""A tenant's EndpointSlices: one for each port that its agents listen on, which in production is one."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from treadle_operator.policy.changes import ApplyEndpointSlice, DeleteEndpointSlice, service_name
from treadle_operator.snapshot import AddressType, Endpoint, EndpointSliceView, ReplicaView, TenantView


def slice_changes(
    view: TenantView,
    answering: Iterable[tuple[ReplicaView, bool]],
    own: Iterable[EndpointSliceView],
    present: Mapping[str, EndpointSliceView],
) -> Iterator[ApplyEndpointSlice | DeleteEndpointSlice]:
    """The changes that make a tenant's slices name the agents that answer.

    Slices that name one more that is ready come first: so a move to another port leaves no moment without any.

    Args:
        view: the tenant.
        answering: its replicas that answer, each with whether new connections may go to it.
        own: its slices as they are.
        present: all slices, by ``NAMESPACE/NAME``: one of an earlier tenant of the name may be in the way.
    """
    tenant, wanted = view.tenant, wanted_slices(view, answering)
    later: list[ApplyEndpointSlice] = []
    for name, one in sorted(wanted.items()):
        old = present.get(f"{tenant.namespace}/{name}")
        if old is None or (old.tenant_uid == view.uid and (old.port, old.endpoints) != (one.port, one.endpoints)):
            if _ready(one.endpoints) <= _ready(() if old is None else old.endpoints):
                later.append(one)
            else:
                yield one
    yield from later
    for old in own:
        if old.name not in wanted:
            yield DeleteEndpointSlice(old.namespace, old.name, old.uid, old.resource_version)


def wanted_slices(view: TenantView, answering: Iterable[tuple[ReplicaView, bool]]) -> dict[str, ApplyEndpointSlice]:
    """The slices by name. An agent is one endpoint, however many of its devices serve the tenant."""
    groups: dict[tuple[AddressType, int], dict[str, Endpoint]] = {}
    for one, ready in answering:
        if (place := _parse(one.replica.status.address)) is None:
            continue
        family, address, port = place
        group = groups.setdefault((family, port), {})
        ready = ready or (address in group and group[address].ready)
        group[address] = Endpoint(address, one.replica.node, ready=ready, serving=True, terminating=not ready)
    slices = {}
    for (family, port), endpoints in groups.items():
        service = service_name(view.tenant.name)
        name = f"{service}-{port}" + ("-v6" if family is AddressType.IPV6 else "")
        slices[name] = ApplyEndpointSlice(
            namespace=view.tenant.namespace,
            name=name,
            service=service,
            tenant_name=view.tenant.name,
            tenant_uid=view.uid,
            address_type=family,
            port=port,
            endpoints=tuple(sorted(endpoints.values())),
        )
    return slices


def _ready(endpoints: Iterable[Endpoint]) -> set[str]:
    return {one.address for one in endpoints if one.ready}


@lru_cache(4096)  # each plan asks for the address of each replica, of which there are as many as agents
def _parse(address: str) -> tuple[AddressType, str, int] | None:
    """Family, address and port; None for what an EndpointSlice may not hold, as the API server checks it."""
    host, _, port = address.rpartition(":")
    try:
        parsed = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    if parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified:
        return None
    return AddressType.IPV4 if parsed.version == 4 else AddressType.IPV6, str(parsed), int(port)
