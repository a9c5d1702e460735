"""The live table: what each tenant is asked and gets, now and so far. Without a terminal, a line every few seconds."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from treadle.demo.runs import Sample
from treadle.demo.scoring import Score, score
from treadle.demo.tenants import Tenant
from treadle.demo.traffic import spike
from treadle.load.records import RECORD, Batch, Records

NOW_SECONDS = 2.0  # what "now" covers
LINE_SECONDS = 3.0
TIER_STYLES = ("bright_blue", "cyan", "yellow", "magenta")
BAR = 8


class LiveTable:
    """An observer of the main run that can be rendered at any time."""

    def __init__(self, tenants: Sequence[Tenant], seconds: float) -> None:
        self._tenants = tenants
        self._deadlines = [tenant.deadline for tenant in tenants]
        self._seconds = seconds
        self._spike = spike(seconds)
        self._totals = [_Totals() for _ in tenants]
        self._recent: deque[Records] = deque()
        self._tiers: tuple[str, ...] = ()
        self._elapsed = 0.0
        self._samples: deque[Sample] = deque(maxlen=5)

    def answered(self, batch: Batch) -> None:
        """See `Observer`."""
        if not len(batch.records):
            return
        self._tiers = batch.tiers
        self._elapsed = max(self._elapsed, float(batch.records["finished"].max()))
        self._recent.append(batch.records)
        while self._recent and self._recent[0]["finished"].max() < self._elapsed - NOW_SECONDS:
            self._recent.popleft()
        for index, total in enumerate(self._totals):
            total.add(score(batch.records[batch.records["target"] == index], self._deadlines))

    def counted(self, sample: Sample) -> None:
        """See `Observer`."""
        self._samples.append(sample)

    def __rich__(self) -> RenderableType:
        recent = self._now()
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)  # 80 columns, 24 lines
        table.add_column("tenant", no_wrap=True)
        for name in ("req/s", "p99/deadline"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("tiers now", no_wrap=True)
        for name in ("good", "late", "shed", "failed", "eff. acc."):
            table.add_column(name, justify="right", no_wrap=True)
        family = ""
        for index, (tenant, total) in enumerate(zip(self._tenants, self._totals, strict=True)):
            if family and tenant.family != family:
                table.add_section()
            family = tenant.family
            mine = recent[recent["target"] == index]
            table.add_row(
                tenant.name,
                f"{len(mine) / self._window():.0f}",
                _p99(score(mine, self._deadlines), tenant.deadline),
                self._tier_bar(tenant, mine),
                str(total.good),
                *(Text(str(count), "red" if count else "dim") for count in (total.late, total.shed, total.failed)),
                f"{total.effective_accuracy:.1f} %" if total.sent else "–",
            )
        return Group(self._headline(), table, self._legend())

    def line(self) -> str:
        """One line of plain text."""
        recent = self._now()
        now = score(recent, self._deadlines)
        mix = " ".join(f"{name} {share:.0%}" for name, share in self._mix(recent))
        total = sum((total.sent for total in self._totals), 0)
        good, late, shed, failed = (
            sum(counts) for counts in zip(*((t.good, t.late, t.shed, t.failed) for t in self._totals), strict=True)
        )
        return (
            f"{self._elapsed:5.1f} s {self._phase():<8} {now.sent / self._window():6.0f} req/s  "
            f"p99 {now.p99 * 1000:5.0f} ms  pages by: {mix or '–'}  merge factor {self._merge_factor():.1f}  "
            f"so far {total} requests: {good} good, {late} late, {shed} shed, {failed} failed"
        )

    def _now(self) -> Records:
        if not self._recent:
            return np.empty(0, RECORD)
        records = np.concatenate(list(self._recent))
        kept: Records = records[records["finished"] >= self._elapsed - NOW_SECONDS]
        return kept

    def _window(self) -> float:
        return max(0.1, min(NOW_SECONDS, self._elapsed))

    def _phase(self) -> str:
        begin, end = self._spike
        return "SPIKE" if begin <= self._elapsed < end else "calm"

    def _headline(self) -> Text:
        recent = self._now()
        text = Text()
        text.append(f"{min(self._elapsed, self._seconds):5.1f} / {self._seconds:.0f} s  ")
        text.append(f" {self._phase()} ", "bold white on red" if self._phase() == "SPIKE" else "white on green")
        text.append(f"  {len(recent) / self._window():.0f} requests/s  ")
        text.append(f"merge factor {self._merge_factor():.1f} kernels a launch", "bold")
        return text

    def _legend(self) -> Text:
        text = Text("tiers: ")
        for name, style in self._styles().items():
            text.append("█ ", style)
            text.append(f"{name}  ")
        text.append("  late, shed and failed count as wrong", "dim")
        return text

    def _styles(self) -> dict[str, str]:
        names = max((tenant.tiers for tenant in self._tenants), key=len)
        return {tier.name: style for tier, style in zip(names, TIER_STYLES, strict=False)}

    def _mix(self, records: Records) -> list[tuple[str, float]]:
        tiered = [index for index, tenant in enumerate(self._tenants) if len(tenant.tiers) > 1]
        answered = records[np.isin(records["target"], tiered) & (records["tier"] >= 0)]
        names = {tier.name for index in tiered for tier in self._tenants[index].tiers}
        shares = [
            (name, float(np.mean(answered["tier"] == position)))
            for position, name in enumerate(self._tiers)
            if len(answered) and name in names
        ]
        return [(name, share) for name, share in shares if share > 0]

    def _tier_bar(self, tenant: Tenant, records: Records) -> Text:
        if len(tenant.tiers) == 1:
            return Text("–", "dim")
        styles, text = self._styles(), Text()
        answered = records[records["tier"] >= 0]
        counts = {
            tier.name: int(np.sum(answered["tier"] == self._tiers.index(tier.name)))
            for tier in tenant.tiers
            if tier.name in self._tiers
        }
        most = max(counts, key=lambda name: counts[name], default="")
        total = sum(counts.values())
        if not total:
            return Text("·" * BAR, "dim")
        edges = np.round(np.cumsum([0, *counts.values()]) / total * BAR).astype(int)
        for name, width in zip(counts, np.diff(edges), strict=True):
            text.append("█" * int(width), styles[name])
        text.append(f" {most}", styles[most])
        return text

    def _merge_factor(self) -> float:
        if len(self._samples) < 2:
            return 0.0
        factor = self._samples[-1].counters.since(self._samples[0].counters).merge_factor
        return 0.0 if math.isnan(factor) else factor


class _Totals:
    """A tenant's counts since the run began."""

    def __init__(self) -> None:
        self.sent = self.good = self.late = self.shed = self.failed = 0
        self.credit = 0.0

    def add(self, part: Score) -> None:
        self.sent += part.sent
        self.good += part.good
        self.late += part.late
        self.shed += part.shed
        self.failed += part.failed + part.unanswered
        self.credit += part.credit

    @property
    def effective_accuracy(self) -> float:
        return 100 * self.credit / self.sent


class PlainLines:
    """Prints a line every LINE_SECONDS of the run, for logs and continuous integration."""

    def __init__(self, table: LiveTable, console: Console) -> None:
        self._table, self._console, self._next = table, console, LINE_SECONDS

    def answered(self, batch: Batch) -> None:
        """See `Observer`."""
        self._table.answered(batch)
        if len(batch.records) and batch.records["finished"].max() >= self._next:
            self._next += LINE_SECONDS
            self._console.print(self._table.line(), highlight=False, soft_wrap=True)

    def counted(self, sample: Sample) -> None:
        """See `Observer`."""
        self._table.counted(sample)


def _p99(now: Score, deadline: float) -> Text:
    p99 = "–" if math.isnan(now.p99) else f"{now.p99 * 1000:.0f}"
    return Text(f"{p99}/{deadline * 1000:.0f} ms", "red" if now.p99 > deadline else "green")
