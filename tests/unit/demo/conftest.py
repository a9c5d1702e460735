"""Recorded-looking runs for the demo's tests: no server, no clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from treadle.demo.counters import Counters
from treadle.demo.runs import Run, Sample
from treadle.demo.tenants import Tenant, Tier
from treadle.load.records import RECORD, Records

TIERS = ("large", "medium", "small", "only")


@pytest.fixture
def tenants() -> tuple[Tenant, ...]:
    """Two page readers with three tiers and one digit reader with one."""
    models = Path("models")
    tiers = (
        Tier("large", 99.4, models / "large.onnx", 0.008),
        Tier("medium", 95.0, models / "medium.onnx", 0.0025),
        Tier("small", 87.0, models / "small.onnx", 0.00002),
    )
    only = (Tier("only", 94.0, models / "only.onnx", 0.00001),)
    inputs = ({"image": np.zeros((1, 4), np.float32)},)
    return (
        Tenant("pages-1", "pages", 0.1, tiers, inputs, ((0, 1, 2, 3),), "scores"),
        Tenant("pages-2", "pages", 0.1, tiers, inputs, ((0, 1, 2, 3),), "scores"),
        Tenant("digits-1", "digits", 0.05, only, inputs, ((0,),), "scores"),
    )


@pytest.fixture
def record() -> Callable[..., Records]:
    """One record with the fields given; the rest is an answer after 10 ms, all right."""

    def make(**fields: float) -> Records:
        row = {"intended": 1.0, "status": 200, "tier": 0, "rows": 4, "correct": 4} | fields
        row.setdefault("finished", row["intended"] + row.pop("latency", 0.01))
        records = np.zeros(1, RECORD)
        for name, value in row.items():
            records[name] = value
        return records

    return make


@pytest.fixture
def synthetic_run(tenants: tuple[Tenant, ...]) -> Callable[..., Run]:
    """A run of `seconds` in which `tier` answers in the spike, `late` of the spike's requests late; counts agree."""

    def make(name: str, label: str, *, tier: int = 2, late: float = 0.0, seconds: float = 9.0) -> Run:
        random = np.random.default_rng(7)
        count = int(200 * seconds)
        records = np.zeros(count, RECORD)
        records["request"] = np.arange(count)
        records["target"] = random.integers(0, len(tenants), count)
        records["intended"] = np.sort(random.uniform(0, seconds, count))
        spiked = (records["intended"] >= seconds / 3) & (records["intended"] < 2 * seconds / 3)
        pages = records["target"] < 2
        records["tier"] = np.where(pages, np.where(spiked, tier, 0), 3)
        records["status"] = 200
        records["rows"] = np.where(pages, 64, 1)
        share = np.array([0.99, 0.95, 0.87, 0.94])[records["tier"]]
        records["correct"] = random.binomial(records["rows"], share)
        delay = np.where(spiked & (random.random(count) < late), 0.5, random.uniform(0.002, 0.04, count))
        records["finished"] = records["intended"] + delay
        requests = {each.name: int(np.sum(records["target"] == index)) for index, each in enumerate(tenants)}
        samples = tuple(
            Sample(step / 2, Counters(requests, 1000 * step, 1000 * step + 3000 * max(0, step - 6)))
            for step in range(1, int(2 * seconds) + 1)
        )
        return Run(name, label, seconds, records, TIERS, samples, complete=True)

    return make
