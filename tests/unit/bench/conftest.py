"""A report whose figures reach every target, to be spoilt by tests; and the scripts that write pages."""

import importlib
from collections.abc import Callable
from types import ModuleType

import pytest

from treadle.bench.serving.report import Machine, Memory, Report, Row, Saturation


def row(suite, server, load, goodput=1000.0, p50=1.0):
    return Row(suite, server, load, 2000.0, goodput, 1500.0, p50, 9.0, 0.1, None, 1, 2, 0, 3, 0.2)


@pytest.fixture
def report():
    mine, plain = "treadle:space-time", "aiohttp"
    rows = [row(suite, server, 0.25) for suite in ("magika", "rapidocr-cls") for server in (mine, plain)]
    rows += [row("mlp-binary", mine, 2.0), row("mlp-binary", plain, 2.0, goodput=0.0)]
    rows += [row("mlp-json", mine, 2.0), row("mlp-json", plain, 2.0, 300.0), row("mlp-json", "mlserver", 2.0, 200.0)]
    rows += [row(suite, mine, 2.0) for suite in ("magika", "rapidocr-cls")]
    rows += [row(suite, plain, 2.0, 100.0) for suite in ("magika", "rapidocr-cls")]
    rates = {
        ("mlp-binary", mine): 9000.0, ("mlp-binary", plain): 6000.0, ("mlp-json", mine): 7000.0,
        ("mlp-json", plain): 5000.0, ("mlp-json", "mlserver"): 1600.0, ("merging", mine): 9000.0,
        ("merging", "treadle:time"): 2500.0,
    }  # fmt: skip
    return Report(
        machine=Machine("a processor", 2, 8.0, "Linux"),
        versions={"python": "3.11"},
        command="treadle bench serving",
        date="2026-01-01T00:00:00+00:00",
        quick=False,
        seconds=3.0,
        rounds=3,
        limit_rps=50_000.0,
        saturation=tuple(Saturation(*key, rps, (rps,), 5.5) for key, rps in rates.items()),
        rows=tuple(rows),
        memory=(
            Memory("embedding", mine, 64, 60.0, 100.0, 165.0, 90.0, 150.0),
            Memory("conv", mine, 64, 680.0, 120.0, 820.0, 100.0, 800.0),
            Memory("conv", plain, 64, 680.0, 100.0, 1600.0, 90.0, 1580.0),
        ),
        left_out=(),
    )


@pytest.fixture
def script() -> Callable[[str], ModuleType]:
    """A script of benchmarks/ by its name."""
    return importlib.import_module
