"""The tenants of this node as the front end looks them up; the node agent alone changes it.

Everything runs on one event loop: an entry is replaced in one assignment, so a look-up sees one version of a tenant or
the next, never half of each. A request that looked a version up before it was replaced may still open calls on it until
the gateway has drained it; when `open` raises GoneError after an await, look the tenant up again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from treadle_agent.executor.gateway import Served
from treadle_api.tenant import Tenant


class UnknownTenantError(LookupError):
    """Raised when no tenant of this node has the name (404)."""


class AmbiguousTenantError(LookupError):
    """Raised when tenants of several namespaces have the name (400): the message lists the full names."""


class NotServedError(LookupError):
    """Raised when the tenant is known and no version of it is served yet (503); the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tenant of this node.

    `tenant` holds the facts of the version that is served, or those wanted while none is. `served` is None until the
    first version has loaded. `loading`: a version is on its way, `step` says how far. `refusal`: why the wanted version
    is not served, as ``field: reason``; a tenant may be served in its previous version and have a refusal.
    """

    tenant: Tenant
    served: Served | None = None
    loading: bool = False
    refusal: str = ""
    step: str = ""

    @property
    def key(self) -> str:
        """``name.namespace``."""
        return self.tenant.key

    def not_served(self) -> NotServedError:
        """Why no version is served."""
        return NotServedError(f"{self.key} is loading" if self.loading else f"{self.key}: {self.refusal}")


def only_key(name: str, keys: Collection[str]) -> str:
    """The one key of a client's name for a tenant; raises UnknownTenantError, AmbiguousTenantError."""
    if len(keys) > 1:
        raise AmbiguousTenantError(f"{name!r} is the name of several tenants: {', '.join(sorted(keys))}")
    for key in keys:
        return key
    raise UnknownTenantError(f"there is no model {name!r}")


class Catalog:
    """Tenants by ``name`` or ``name.namespace``, and whether this node should be sent requests."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._keys_by_name: dict[str, list[str]] = {}
        self._removed: list[Callable[[str], None]] = []
        self._reconciled = False
        self._stopping = False

    def on_removal(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the key of each tenant that is removed."""
        self._removed.append(listener)

    def find(self, name: str) -> Entry:
        """The tenant that a client calls `name`, served or not.

        Raises:
            UnknownTenantError: there is none.
            AmbiguousTenantError: there are several, in different namespaces.
        """
        if (entry := self._entries.get(name)) is not None:
            return entry
        return self._entries[only_key(name, self._keys_by_name.get(name, ()))]

    def get(self, key: str) -> Entry | None:
        """The tenant of a key."""
        return self._entries.get(key)

    def match(self, name: str) -> Sequence[str]:
        """The keys of the tenants that a client may mean by `name`."""
        return (name,) if name in self._entries else self._keys_by_name.get(name, ())

    def serving(self, name: str) -> tuple[Tenant, Served]:
        """What answers requests for `name` now.

        Raises:
            UnknownTenantError, AmbiguousTenantError: see `find`.
            NotServedError: it is loading, or was refused.
        """
        entry = self.find(name)
        if entry.served is None:
            raise entry.not_served()
        return entry.tenant, entry.served

    def entries(self) -> tuple[Entry, ...]:
        """All tenants, ordered by key."""
        return tuple(self._entries[key] for key in sorted(self._entries))

    @property
    def ready(self) -> bool:
        """Whether requests should come here: all tenants of the first reconciliation are served or refused, or wait
        for a slow download, and the node is not stopping. One tenant's refusal, or a later one's loading, does not take
        the others off.
        """
        return self._reconciled and not self._stopping

    def put(self, entry: Entry) -> None:
        """Add a tenant, or replace what is known of it."""
        if entry.key not in self._entries:
            self._keys_by_name.setdefault(entry.tenant.name, []).append(entry.key)
        self._entries[entry.key] = entry

    def remove(self, keys: Iterable[str]) -> None:
        """Forget tenants; requests that looked them up before go on."""
        for key in keys:
            entry = self._entries.pop(key)
            same_name = self._keys_by_name[entry.tenant.name]
            same_name.remove(key)
            if not same_name:
                del self._keys_by_name[entry.tenant.name]
            for listener in self._removed:
                listener(key)

    def mark_reconciled(self) -> None:
        """The first reconciliation is complete."""
        self._reconciled = True

    def mark_stopping(self) -> None:
        """The process was asked to stop: readiness goes off, requests that still come are answered."""
        self._stopping = True
