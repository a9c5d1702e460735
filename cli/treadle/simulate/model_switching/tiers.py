"""The tiers of the simulated tenant: published figures, or a file's."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from treadle.simulate.errors import InputError

_COLUMNS = ("name", "accuracy", "saturation")
MOST_TIERS = 16


@dataclass(frozen=True, slots=True)
class SimulatedTier:
    """`accuracy` in percent; `saturation`: requests a second that all servers together can answer."""

    name: str
    accuracy: float
    saturation: float


# Top-1 on ImageNet as torchvision publishes it for its first weights; saturation on 16 cores over 4 replicas of
# 4 threads (Zhang et al. 2020).
RESNETS = (
    SimulatedTier("resnet152", 78.31, 62.0),
    SimulatedTier("resnet101", 77.37, 83.0),
    SimulatedTier("resnet50", 76.13, 143.0),
    SimulatedTier("resnet34", 73.31, 186.0),
    SimulatedTier("resnet18", 69.76, 322.0),
)
RESNET_CORES = 16
RESNET_SERVERS = 4


def read_tiers(file: Path) -> tuple[SimulatedTier, ...]:
    """Tiers of a CSV file with the columns name, accuracy (percent) and saturation (requests/s), most accurate first.

    Raises:
        InputError: the file cannot be read, or a line of it is not a tier.
    """
    try:
        with file.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--tiers {file}: {error}") from error
    tiers = [_tier(row, f"--tiers {file}, line {line}") for line, row in enumerate(rows, start=2)]
    if not 1 <= len(tiers) <= MOST_TIERS or len({tier.name for tier in tiers}) != len(tiers):
        raise InputError(f"--tiers {file}: needs 1 to {MOST_TIERS} tiers of different names below a line of columns")
    return tuple(sorted(tiers, key=lambda tier: -tier.accuracy))


def _tier(row: dict[str, str], place: str) -> SimulatedTier:
    name, accuracy, saturation = (row.get(column) or "" for column in _COLUMNS)
    try:
        tier = SimulatedTier(name.strip(), float(accuracy), float(saturation))
    except ValueError as error:
        raise InputError(f"{place}: {error}; the columns are {', '.join(_COLUMNS)}") from error
    if not tier.name or not 0 <= tier.accuracy <= 100 or not 0 < tier.saturation < float("inf"):
        raise InputError(f"{place}: needs a name, an accuracy of 0 to 100 and a saturation above 0")
    return tier
