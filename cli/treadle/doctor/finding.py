"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """How it is with one thing."""

    OK = "ok"
    NOTE = "note"  # serving works; less well, or not on everything there is
    LACKS = "lacks"  # serving does not work


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. `fix`: what to do, "" where nothing is to be done."""

    subject: str
    verdict: Verdict
    says: str
    fix: str = ""


class Findings(msgspec.Struct, frozen=True):
    """All of one look."""

    findings: tuple[Finding, ...]

    @property
    def lacking(self) -> bool:
        """Whether something keeps it from serving."""
        return any(finding.verdict is Verdict.LACKS for finding in self.findings)


def lines(findings: Iterable[Finding]) -> Iterator[str]:
    """What a person reads."""
    for finding in findings:
        yield f"{finding.verdict:<6} {finding.subject:<14} {finding.says}"
        if finding.fix:
            yield f"{'':21} fix: {finding.fix}"
