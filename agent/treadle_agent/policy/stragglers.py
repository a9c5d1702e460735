"""Who slows the others: tenants whose kernels take longer than they should, and devices that slow all of theirs.

A super-kernel ends with its slowest problem, so that a slow launch accuses all its tenants. Whoever is suspected is
tried apart from the others: first in cells of a few, at last alone. What was slow alone, while others were not that run
the same kernels, is a straggler: it stays alone, and is reported. Where nothing is as fast as it should be, the device
is the straggler; where only these kernels are slow, for everybody, nobody is: what runs beside them has changed.

The test is Page's CUSUM (1954): each launch adds its stretch less LIMIT to the tenant's guilt, which is never below 0;
no launch adds or takes more than STEP, so that a hiccup accuses nobody. A tenant whose stretch is 1 with a standard
deviation of s comes up to EVIDENCE, from any moment at which its guilt is 0, with a probability below
exp(-2 (LIMIT - 1) EVIDENCE / s²) (Lundberg's bound): exp(-60) at s = 5 %, 3e-7 at 10 %; and to be found a straggler it
has to come up to it twice at least, once of them alone. Of a tenant whose launches vary by more than NOISE nothing can
be said so, and nothing is: on a host that others use too, many a short kernel takes twice its time. A tenant whose
stretch stays below LIMIT is never found one in the mean; one of 1.25 is tried after about seven launches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isqrt
from typing import NamedTuple

LIMIT = 1.15  # a stretch that stays above it is too much
STEP = 0.10  # what one launch can add to a tenant's guilt or take from it
EVIDENCE = 0.5  # guilt or innocence that decides
NOISE = 0.10  # standard deviation of a stretch up to which guilt says something
NOISE_GAIN = 0.1  # weight of one launch in a tenant's variance
QUIET = 0.05**2  # a tenant's variance until more is known of it
PARDON = 10.0  # innocence of a straggler that gets it back into company: a hundred launches
RECOVERED = 1.07  # below it a device is well again
TRIAL = 30  # launches a suspect, after which a trial without a verdict ends
PAUSE = 200  # launches until the first trial, and after one that convicted nobody; twice as many after each further
LONGEST_PAUSE = 100_000
OWN_GAIN = 0.2  # weight of one launch in a tenant's stretch
DEVICE_GAIN = 0.02  # in a device's

TOGETHER = 0  # the company of tenants that nobody suspects
ALONE = -1  # of a straggler (`policy.scheduling`)


class Apart(NamedTuple):
    """A decision: this tenant shares launches with tenants of this company only."""

    tenant: int
    company: int


@dataclass(slots=True, eq=False)
class _Trial:
    """Tenants that are suspected of the same slow launches of the same `kernels`.

    `usual`: evidence that these kernels are fast enough for somebody; `elsewhere`: that others are; `left`: launches
    until it ends without a verdict; `convicted`: it has found a straggler.
    """

    kernels: object
    suspects: set[int] = field(default_factory=set)
    usual: float = 0.0
    elsewhere: float = 0.0
    left: int = 0
    convicted: bool = False


@dataclass(slots=True, eq=False)
class _Record:
    kernels: object = None  # what it ran last
    company: int = TOGETHER
    guilt: float = 0.0
    innocence: float = 0.0
    stretch: float = 1.0
    last: float = 1.0
    variance: float = QUIET
    straggling: bool = False
    trial: _Trial | None = None

    @property
    def guilty(self) -> bool:
        """Whether its launches were slow, and not just now and then."""
        return self.guilt >= EVIDENCE and self.variance <= NOISE * NOISE

    def learn(self, kernels: object, shown: float, excess: float) -> None:
        """Learn from one launch."""
        self.kernels = kernels
        step, self.last = shown - self.last, shown
        self.variance += NOISE_GAIN * (step * step / 2.0 - self.variance)
        self.stretch += OWN_GAIN * (shown - self.stretch)
        guilt, innocence = self.guilt + excess, self.innocence - excess
        self.guilt = 0.0 if guilt < 0.0 else min(EVIDENCE + STEP, guilt)
        self.innocence = max(0.0, innocence)

    def move(self, company: int) -> None:
        self.company, self.guilt, self.innocence = company, 0.0, 0.0


class Stragglers:
    """The tenants of one device. `device_straggling`: it slows all of them; `device_stretch`: its usual launches'."""

    def __init__(self) -> None:
        self.device_straggling = False
        self.device_stretch = 1.0
        self._records: dict[int, _Record] = {}
        self._companies = TOGETHER
        self._trials: list[_Trial] = []
        self._wait = PAUSE  # launches until a trial may begin
        self._pause = PAUSE

    def straggling(self, tenant: int) -> bool:
        """Whether a tenant was found a straggler."""
        return tenant in self._records and self._records[tenant].straggling

    def stretch(self, tenant: int) -> float:
        """What a tenant's launches lately took over what they should have; 1 where nothing is known."""
        return self._records[tenant].stretch if tenant in self._records else 1.0

    def forget(self, tenant: int) -> None:
        """A tenant is gone."""
        record = self._records.pop(tenant, None)
        if record is not None and record.trial is not None:
            record.trial.suspects.discard(tenant)

    def observe(self, tenants: Sequence[int], stretch: float, kernels: object) -> list[Apart]:
        """Learn a launch's stretch; what follows for its tenants, or those tried with them, usually nothing.

        `kernels`: what was run; tenants are compared with those who run the same.
        """
        known = self._records
        records = [known[tenant] if tenant in known else self._record(tenant) for tenant in tenants]
        excess = stretch / (self.device_stretch if self.device_straggling else 1.0) - LIMIT
        excess = min(max(excess, -STEP), STEP)
        if excess < 0.0:  # what a straggler makes slow says nothing about the device
            self.device_stretch += DEVICE_GAIN * (stretch - self.device_stretch)
        shown = min(stretch, 2.0)
        for record in records:
            record.learn(kernels, shown, excess)
        if self.device_straggling and self.device_stretch < RECOVERED:
            self.device_straggling = False
        company = records[0].company
        if any(record.company != company for record in records):
            return []  # begun before they were told apart
        if company == TOGETHER:
            self._outside(excess, kernels)
            self._wait -= self._wait > 0
            return self._suspect(kernels) if not self._wait and any(one.guilty for one in records) else []
        return self._try(sorted(tenants), company, kernels)

    def _record(self, tenant: int) -> _Record:
        record = self._records[tenant] = _Record()
        return record

    def _outside(self, excess: float, kernels: object) -> None:
        """What those in no trial show is evidence in all trials."""
        self._trials = [trial for trial in self._trials if trial.suspects]
        for trial in self._trials:
            if trial.kernels is kernels:
                trial.usual = max(0.0, trial.usual - excess)
            else:
                trial.elsewhere = max(0.0, trial.elsewhere - excess)

    def _suspect(self, kernels: object) -> list[Apart]:
        """Begin a trial of those whose launches of these kernels were slow."""
        trial = _Trial(kernels)
        self._trials.append(trial)
        trial.suspects = {
            tenant
            for tenant, record in self._records.items()
            if record.company == TOGETHER and record.kernels is kernels and record.guilt >= EVIDENCE / 2
        }
        trial.left = TRIAL * len(trial.suspects)
        for tenant in trial.suspects:
            self._records[tenant].trial = trial
        return self._split(sorted(trial.suspects))

    def _split(self, tenants: Sequence[int]) -> list[Apart]:
        """Put tenants into cells of about the root of their number."""
        size = isqrt(len(tenants)) if len(tenants) > 3 else 1
        moves = []
        for index, tenant in enumerate(tenants):
            if index % size == 0:
                self._companies += 1
            self._records[tenant].move(self._companies)
            moves.append(Apart(tenant, self._companies))
        return moves

    def _try(self, tenants: Sequence[int], company: int, kernels: object) -> list[Apart]:
        """Go on with the trial of those who ran together, in one cell."""
        if company == ALONE:
            return self._pardon(tenants[0])
        trial = self._records[tenants[0]].trial
        assert trial is not None, "only suspects are in a cell"
        trial.left -= 1
        if trial.left < 0:
            moves = [self._release(tenant) for tenant in sorted(trial.suspects)]
        elif trial.kernels is kernels:
            moves = self._go_on(trial, tenants, company)
        else:
            return []
        if not trial.suspects and not trial.convicted:  # a machine that others disturb must not be tried all the time
            self._wait, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        return moves

    def _go_on(self, trial: _Trial, tenants: Sequence[int], company: int) -> list[Apart]:
        moves = []
        for tenant in tenants:
            if self._records[tenant].innocence >= EVIDENCE:
                moves.append(self._release(tenant))
                trial.usual = EVIDENCE
        cell = [tenant for tenant in sorted(trial.suspects) if self._records[tenant].company == company]
        if len(cell) > 1 and any(self._records[tenant].guilty for tenant in cell):
            return moves + self._split(cell)
        return moves + self._judge(trial)

    def _judge(self, trial: _Trial) -> list[Apart]:
        """Who is slow alone is a straggler if the same is fast for others; if nothing is fast, the device is.

        Slow still: what was slow for everybody for a moment is forgotten as fast as it came.
        """
        cells = Counter(self._records[tenant].company for tenant in trial.suspects)
        guilty = [
            tenant
            for tenant in sorted(trial.suspects)
            if self._records[tenant].guilty and cells[self._records[tenant].company] == 1
        ]
        if guilty and trial.usual >= EVIDENCE:
            trial.convicted, self._pause = True, PAUSE
            for tenant in guilty:
                trial.suspects.discard(tenant)
                self._records[tenant].move(ALONE)
                self._records[tenant].straggling, self._records[tenant].trial = True, None
            return [Apart(tenant, ALONE) for tenant in guilty]
        if not guilty or len(guilty) < len(trial.suspects):
            return []
        if trial.elsewhere >= EVIDENCE:
            return [self._release(tenant) for tenant in guilty]
        accused = [tenant for one in self._trials for tenant in sorted(one.suspects)]
        if len(accused) == 1 or not all(self._records[tenant].guilty for tenant in accused):
            return []
        self.device_straggling = True
        self.device_stretch = sum(self._records[tenant].stretch for tenant in accused) / len(accused)
        return [self._release(tenant) for tenant in accused]

    def _release(self, tenant: int) -> Apart:
        record = self._records[tenant]
        if record.trial is not None:
            record.trial.suspects.discard(tenant)
        record.trial, record.straggling = None, False
        record.move(TOGETHER)
        return Apart(tenant, TOGETHER)

    def _pardon(self, tenant: int) -> list[Apart]:
        return [self._release(tenant)] if self._records[tenant].innocence >= PARDON else []
