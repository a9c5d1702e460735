"""All that waits, in the orders that decisions need it.

Every change keeps the indices up to date, so that a decision reads a few entries of them, however many tenants wait.
They are made of costs as those stood when a queue last changed. Costs drift: `renew` makes all anew, and what is about
to be launched is judged by the costs of the moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from treadle_agent.policy.agenda import Agenda
from treadle_agent.policy.coalescing import Signature
from treadle_agent.policy.latency import Executable
from treadle_agent.policy.queues import ANSWER_SHARE, Request, Tenant

ALONE = -1  # a tenant's company when nobody may share its launches


@dataclass(slots=True, eq=False)
class _Noted:
    """What is in the indices of one tenant."""

    backlog: float
    serial: float
    binding: int  # of its head, and the tier that was asked for
    asked: int
    signatures: tuple[Signature, ...]
    earliest: float = 0.0  # deadline
    slowest: float = 0.0  # seconds of one row at worst


class Waiting:
    """Tenants with requests.

    `urgent`: when each one's head must be begun at the latest, at its fastest tier. `doom`: before it none of a
    tenant's requests is too late. `seconds`: what waits, at each tenant's current tier; `serial_seconds`: the most that
    it can take, request by request at the slowest tiers.
    """

    def __init__(self) -> None:
        self.tenants: dict[int, Tenant] = {}  # in order of their first waiting request, or of their turn
        self.urgent = Agenda()
        self.doom = Agenda()
        self.seconds = 0.0
        self.serial_seconds = 0.0
        self._noted: dict[int, _Noted] = {}
        self._signatures: dict[Executable, Signature] = {}  # by the executable of the fewest rows

    def note(self, tenant: Tenant) -> None:
        """A tenant's queue has changed."""
        key, line = tenant.id, tenant.line
        noted = self._noted.get(key)
        if not line:
            if noted is not None:
                self._forget(tenant, noted)
            return
        head = line[0][3]
        binding, asked = head.binding, head.tier
        if noted is None:
            self.tenants[key] = tenant
            noted = self._noted[key] = _Noted(0.0, 0.0, binding, asked, self._join(tenant, binding, asked))
        elif noted.binding != binding or noted.asked != asked:
            self._leave(tenant, noted)
            noted.binding, noted.asked, noted.signatures = binding, asked, self._join(tenant, binding, asked)
        fastest, earliest, slowest = tenant.fastest(), tenant.earliest, _slowest(tenant)
        self.urgent.put(key, head.deadline - fastest)
        self.doom.put(key, earliest - fastest - ANSWER_SHARE * tenant.deadline)
        noted.earliest, noted.slowest = earliest, slowest
        backlog = tenant.backlog
        # Executables double in rows: a request of r rows takes at most 2r - 1 times what one row takes.
        serial = (2 * tenant.rows - len(line)) * slowest
        self.seconds += backlog - noted.backlog
        self.serial_seconds += serial - noted.serial
        noted.backlog, noted.serial = backlog, serial

    def arrived(self, tenant: Tenant, request: Request) -> None:
        """A request has come to a tenant's queue."""
        noted = self._noted.get(tenant.id)
        if noted is None or tenant.head is request or tenant.earliest < noted.earliest:
            self.note(tenant)
            noted = self._noted[tenant.id]
        else:  # most of a crowd: neither the first to go nor the first to be too late
            backlog = request.rows * tenant.tiers[tenant.current].row_seconds
            serial = (2 * request.rows - 1) * noted.slowest
            noted.backlog += backlog
            noted.serial += serial
            self.seconds += backlog
            self.serial_seconds += serial
        for signature in noted.signatures:
            signature.arrivals.add(request.arrival)
            signature.fresh = True

    def signature(self, executables: Sequence[Executable]) -> Signature | None:
        """What waits for these executables of an architecture; None where nothing can merge there."""
        first = executables[0]
        if not first.mergeable:
            return None
        signature = self._signatures.get(first)
        if signature is None:
            signature = self._signatures[first] = Signature()
        return signature

    def company(self, signature: Signature, head: Tenant, room: int) -> list[Tenant]:
        """Who may join `head`; the most urgent first where not all have room."""
        company = [one for one in signature.waiting.values() if one is not head and one.company == head.company]
        if len(company) >= room:
            company.sort(key=lambda one: self.urgent.moment(one.id))
        return company

    def to_the_end_of_the_line(self, tenant: Tenant) -> None:
        """It is the other tenants' turn."""
        if tenant.id in self.tenants:
            self.tenants[tenant.id] = self.tenants.pop(tenant.id)

    def renew(self) -> None:
        """Once a second: costs have drifted, executables may have been exchanged, sums of differences grow inexact."""
        tenants = self.tenants
        for key, noted in self._noted.items():
            self._leave(tenants[key], noted)
        self._noted = {}
        self.seconds = self.serial_seconds = 0.0
        for tenant in tenants.values():
            self.note(tenant)
        self._signatures = {first: one for first, one in self._signatures.items() if one.look()}

    def _forget(self, tenant: Tenant, noted: _Noted) -> None:
        self._leave(tenant, noted)
        self.urgent.drop(tenant.id)
        self.doom.drop(tenant.id)
        self.seconds -= noted.backlog
        self.serial_seconds -= noted.serial
        del self._noted[tenant.id], self.tenants[tenant.id]

    def _join(self, tenant: Tenant, binding: int, asked: int) -> tuple[Signature, ...]:
        """Wait for the signatures that could answer a head of this binding and pinned tier."""
        if tenant.company == ALONE:
            return ()
        pinned = tenant.pinned if tenant.pinned >= 0 else asked
        found: list[Signature] = []
        for tier in tenant.tiers if pinned < 0 else (tenant.tiers[pinned],):
            executables = tier.buckets.get(binding)
            signature = self.signature(executables) if executables else None
            if signature is not None and tenant.id not in signature.waiting:
                signature.join(tenant)
                found.append(signature)
        return tuple(found)

    def _leave(self, tenant: Tenant, noted: _Noted) -> None:
        for signature in noted.signatures:
            del signature.waiting[tenant.id]


def _slowest(tenant: Tenant) -> float:
    """Seconds of one row of a tenant's costliest input shapes at its slowest tier."""
    slowest = 0.0
    for tier in tenant.tiers:
        for executables in tier.buckets.values():
            if executables and (seconds := executables[0].cost.expected(1)) > slowest:
                slowest = seconds
    return slowest
