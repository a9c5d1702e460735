"""One cluster with a real node for all tests here. The harness itself is in `node/`."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane import cache


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The folder that `make controlplane` fills."""
    absent = cache.missing()
    if absent:
        pytest.fail(f"{', '.join(absent)} not built in {cache.folder()}; run `make e2e`", pytrace=False)
    return cache.folder()
