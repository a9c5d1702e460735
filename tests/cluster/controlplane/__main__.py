"""Builds the control plane that tests/cluster runs against, once for each set of versions, and prints its folder.

    PYTHONPATH=tests/cluster python3 -m controlplane [--if-possible] [--model-servers | --definitions]

Needs Python, and Go or a package index that has it. Progress goes to stderr; the last line of stdout is the folder.
Exit codes: 0 it is there; 1 the tree is at fault; 2 this machine cannot build it. With --if-possible, 2 becomes 0 and
one loud line, unless TREADLE_REQUIRE_CLUSTER=1. With --model-servers, what is built are the servers that tests have
models come from; with --definitions, those of other projects' kinds that the chart has objects of. Each has a folder of
its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from controlplane import cache
from controlplane.build import build
from controlplane.components import COMPONENTS, MODEL_SERVERS
from controlplane.definitions import write_definitions
from controlplane.errors import BuildError, UnavailableError
from controlplane.toolchain import fetch_kubectl, find_go

START = time.monotonic()


@dataclass(frozen=True, slots=True)
class Product:
    """What can be built: its name, the tests that are skipped without it, how it is built, and where it lies then."""

    name: str
    tests: str
    build: Callable[[], None]
    folder: Callable[[], Path]


def main(arguments: list[str] | None = None) -> int:
    """Build what is missing, and say where it all lies."""
    parser = argparse.ArgumentParser(prog="python -m controlplane", description="build the control plane for tests")
    parser.add_argument("--if-possible", action="store_true", help="not being able to is no error")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--model-servers", action="store_true", help="build what tests have models come from instead")
    instead.add_argument("--definitions", action="store_true", help="write other projects' definitions instead")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    product = Product("CONTROL PLANE", "tests/cluster", _build_missing, cache.folder)
    if options.model_servers:
        product = Product("MODEL SERVERS", "tests/cluster/agent/models", _build_servers, cache.servers_folder)
    if options.definitions:
        tests = "tests/cluster/chart that ask for them"
        product = Product("DEFINITIONS", tests, _write_definitions, cache.definitions_folder)
    try:
        product.build()
    except UnavailableError as error:
        if not options.if_possible or os.environ.get("TREADLE_REQUIRE_CLUSTER") == "1":
            _tell(f"ERROR: {error}")
            return 2
        _tell(f"NO {product.name}, so the tests in {product.tests} will be SKIPPED: {error}")
        return 0
    except BuildError as error:
        _tell(f"ERROR: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    print(product.folder())
    return 0


def _build_missing() -> None:
    if not cache.missing():
        return
    with cache.one_builder_at_a_time(_tell):
        folder = cache.folder()
        missing = cache.missing()  # whoever held the lock may have built them
        folder.mkdir(exist_ok=True)
        for left_over in folder.glob(".building-*"):
            shutil.rmtree(left_over)
        if missing:
            _tell(f"building {', '.join(missing)} into {folder}: about a quarter of an hour on two cores, once")
        if "kubectl" in missing:
            fetch_kubectl(folder / "kubectl", cache.root() / "tools", _tell)
        wanted = [component for component in COMPONENTS if component.name in missing]
        if wanted:
            go = find_go(cache.root() / "tools", _tell)
            for component in wanted:
                build(component, go, folder, _tell)


def _build_servers() -> None:
    if not cache.missing_servers():
        return
    with cache.one_builder_at_a_time(_tell):
        folder = cache.servers_folder()
        folder.mkdir(exist_ok=True)
        missing = cache.missing_servers()
        _tell(f"building {', '.join(missing)} into {folder}: some minutes on two cores, once")
        go = find_go(cache.root() / "tools", _tell)
        for component in MODEL_SERVERS:
            if component.name in missing:
                build(component, go, folder, _tell)


def _write_definitions() -> None:
    if not cache.missing_definitions():
        return
    with cache.one_builder_at_a_time(_tell):
        folder = cache.definitions_folder()
        folder.mkdir(exist_ok=True)
        if cache.missing_definitions():
            write_definitions(find_go(cache.root() / "tools", _tell), folder, _tell)


def _tell(line: str) -> None:
    print(f"controlplane {time.monotonic() - START:5.0f} s  {line}", file=sys.stderr, flush=True)


def _end(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
