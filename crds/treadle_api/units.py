"""Units and identities as types, and the strings that manifests write them in (no floats in objects: DESIGN §3)."""

from __future__ import annotations

import math
import re
from typing import NewType

Seconds = NewType("Seconds", float)
Bytes = NewType("Bytes", int)
Percent = NewType("Percent", float)
PerSecond = NewType("PerSecond", float)
TenantName = NewType("TenantName", str)
TierName = NewType("TierName", str)

# Gateway API GEP-2257: one to four numbers of at most five digits, each with its unit.
_DURATION = re.compile(r"(?:[0-9]{1,5}(?:h|m|s|ms)){1,4}")
_DURATION_PART = re.compile(r"([0-9]{1,5})(ms|h|m|s)")
_UNIT_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_DECIMAL = re.compile(r"[0-9]+(?:\.[0-9]+)?")


class UnitError(ValueError):
    """Raised when a string is not a duration or a decimal number."""


def parse_duration(text: str) -> Seconds:
    """Seconds of a Gateway API duration such as ``750ms``, ``1m30s`` or ``720h``.

    Raises:
        UnitError: the text has another form.
    """
    if not _DURATION.fullmatch(text):
        raise UnitError(f"{text!r} is not a duration: write numbers with h, m, s or ms, like 750ms, 1m30s or 24h")
    # Whole milliseconds: one length of time is one number, in whatever units it is written.
    milliseconds = sum(int(number) * _UNIT_MILLISECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    return Seconds(milliseconds / 1000)


def parse_decimal(text: str) -> float:
    """The number that a plain decimal string such as ``78.31`` denotes; no sign, no exponent.

    Raises:
        UnitError: the text has another form.
    """
    if not _DECIMAL.fullmatch(text):
        raise UnitError(f"{text!r} is not a decimal number: write digits with an optional fraction, like 99 or 78.31")
    return float(text)


def format_duration(seconds: Seconds) -> str:
    """The shortest duration in whole milliseconds that is not below `seconds`: ``1m30s``, ``750ms``."""
    rest = max(0, round(seconds * 1e3))
    if rest / 1e3 < seconds and not math.isclose(rest / 1e3, seconds, rel_tol=1e-12, abs_tol=1e-9):
        rest += 1
    parts: list[str] = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def format_rate(rate: float, exact: float | None = None) -> str:
    """A rate for people, to three digits: ``1500``, ``0.25``; in full where it is the `exact` one of their manifest."""
    return format_decimal(rate, 6) if rate == exact else format_decimal(float(f"{rate:.3g}"))


def format_decimal(value: float, places: int = 9) -> str:
    """A number that is not negative as a plain decimal with at most `places` (1 to 9) digits behind the point."""
    return f"{value:.{places}f}".rstrip("0").rstrip(".")
