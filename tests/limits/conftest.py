"""One server for all of these tests."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from hostile.server import Server, serving

OPEN_FILES = 12_000  # ten thousand connections, and what else a process has


@pytest.fixture(scope="session", autouse=True)
def open_files() -> Iterator[None]:
    """As many descriptors as the hostile need, here and in what is started from here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, open_files: None) -> Iterator[Server]:
    """`treadle serve` with the tenants `good` and `attacked`."""
    with serving(tmp_path_factory.mktemp("limits")) as started:
        yield started


@pytest.fixture(scope="session")
def beside(tmp_path_factory: pytest.TempPathFactory, open_files: None) -> Iterator[Server]:
    """Another one, which takes of the processors only what nobody else wants."""
    with serving(tmp_path_factory.mktemp("beside"), spare=True) as started:
        yield started
