"""One device of this node, with all that is known of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from treadle_agent.cluster.gauge import DeviceGauge, VersionFigures
from treadle_agent.cluster.hardware import DeviceFacts
from treadle_agent.cluster.inquiry import Inquiry
from treadle_agent.cluster.reconciler import Reconciler
from treadle_agent.cluster.settings import ClusterSettings
from treadle_agent.cluster.status import Observation
from treadle_agent.cluster.window import Totals, Window, read_totals
from treadle_agent.frontend.scrape import Report, read_report
from treadle_agent.frontend.site import Site
from treadle_agent.node_events import Event, Refused, Removed, Serving
from treadle_api.backoff import Backoff
from treadle_api.node import Device
from treadle_api.profile import profile_name
from treadle_api.replica import TierFigures

STATISTICS_SECONDS = 8.0
HARDWARE_SECONDS = 4.0
FEW = 50  # answers in a window that tell nothing yet of how long a model takes

Measured = Callable[[TierFigures, str, Sequence[tuple[int, float]]], None]
"""Told of a tier, the kind of device, and seconds by rows of a launch on it: `profiles.Profiles.measured`."""


class LocalDevice:
    """`fault` says what is wrong with the hardware, "" where nothing is; `flipped` is told of tenants (their keys)."""

    def __init__(
        self,
        facts: DeviceFacts,
        site: Site,
        settings: ClusterSettings,
        measured: Measured,
        fault: Callable[[], str],
        flipped: Callable[[str, str], None],
    ) -> None:
        self.facts = facts
        self.site = site
        backoff: Backoff[str] = Backoff(settings.retry)
        self.reconciler = Reconciler(site, backoff, settings.address, settings.linger_seconds, self._on_event)
        self._measured = measured
        self._hardware = Inquiry(fault)
        self._flipped = flipped
        self._gauge = DeviceGauge()
        self._windows: dict[str, Window] = {}
        self._reason = ""

    async def look(self) -> None:
        """Ask the executor how it is, and take in what was counted since."""
        try:
            async with asyncio.timeout(STATISTICS_SECONDS):
                report = read_report(self.site.device, await self.site.gateway.statistics())
        except TimeoutError:
            report = Report(self.site.device, None, None)
        now = asyncio.get_running_loop().time()
        self._gauge.add(report, now)
        self._gauge.retain(self._windows.keys())
        self._reason = self._gauge.fault or await self._hardware_fault()
        for key, window in self._windows.items():
            window.add(self._totals(key), now)
            self._refine(key, window)

    def observation(self, key: str) -> Observation:
        """What is known of a tenant here."""
        entry = self.site.catalog.get(key)
        served = entry.served if entry is not None else None
        version = self._gauge.version(served.version.id) if served is not None else None
        tiers, window = self.reconciler.tiers(key), self._windows.get(key)
        return Observation(
            entry=entry,
            tiers=tiers if version is None else tuple(_as_it_runs(tier, version) for tier in tiers),
            refused=self.reconciler.refused(key),
            under_way=self.site.gateway.under_way(served) if served is not None else 0,
            straggling=version.straggling if version is not None else False,  # nothing has run yet
            stretch=version.stretch if version is not None else 1.0,
            isolated=self._gauge.isolated(served.version.id) if served is not None else "",
            fault=self._gauge.fault,
            figures=window.figures if window is not None else None,
            active_tier=window.active_tier if window is not None else None,
        )

    @property
    def profiles(self) -> frozenset[str]:
        """The names of the ModelProfiles of what is loaded."""
        return frozenset(profile_name(model, self.facts.model) for model in self.reconciler.models)

    def describe(self) -> Device:
        """As an InferenceNode's status has it."""
        merge_factor = self._gauge.merge_factor
        return Device(
            id=self.facts.id,
            model=self.facts.model,
            memory=self.facts.memory,
            used=self.reconciler.used,
            utilisation=round(self._gauge.utilisation, 2),
            stretch=round(self._gauge.stretch, 3),
            healthy=not self._reason,
            reason=self._reason,
            merge_factor=round(merge_factor, 2) if merge_factor is not None else None,
            precisions=self.facts.precisions,
        )

    def _on_event(self, event: Event) -> None:
        match event:
            case Serving(tenant, served):
                window = self._windows.setdefault(tenant.key, Window())
                tiers, totals = self.reconciler.tiers(tenant.key), self._totals(tenant.key)
                window.serve(tuple(tier.name for tier in tiers), totals)
                window.add(totals, asyncio.get_running_loop().time())
                for tier, batches in zip(tiers, served.batches, strict=True):
                    self._measured(tier, self.facts.model, batches)
                self._flipped(self.facts.id, tenant.key)
            case Removed(key):
                self._windows.pop(key, None)
            case Refused(key):
                self._flipped(self.facts.id, key)

    async def _hardware_fault(self) -> str:
        answer = await self._hardware.answer(HARDWARE_SECONDS)
        return "its driver does not answer" if answer is None else answer

    def _totals(self, key: str) -> Totals:
        requests, seconds = self.site.requests.get(key), self._gauge.seconds(key)
        return read_totals(requests, seconds) if requests is not None else Totals(device_seconds=seconds)

    def _refine(self, key: str, window: Window) -> None:
        """Where many requests were answered lately, what their tier takes now is known better than at its load.

        But not where it, or its device, is slower than usual: a profile is of all devices of a kind.
        """
        entry = self.site.catalog.get(key)
        if entry is None or entry.served is None or window.figures.total < FEW:
            return
        version = self._gauge.version(entry.served.version.id)
        if version is None or not (version.usual and self._gauge.usual):
            return
        for tier, batches in zip(self.reconciler.tiers(key), entry.served.batches, strict=True):
            if tier.name == version.tier:
                corrected = [(rows, seconds * version.correction) for rows, seconds in batches]
                self._measured(tier, self.facts.model, corrected)


def _as_it_runs(tier: TierFigures, version: VersionFigures) -> TierFigures:
    """What was told when it was loaded, but for what others that were loaded since have changed."""
    return replace(tier, implementation=version.implementations.get(tier.name, tier.implementation))
