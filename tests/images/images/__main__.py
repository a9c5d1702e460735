"""Builds the images, with no registry of images, and prints where their archives are, one a line.

    PYTHONPATH=tests/images python3 -m images [operator] [agent] [agent-cuda12] [agent-cuda13]

Without names: operator and agent. Progress goes to stderr. Exit codes: 0 they are there; 1 one does not build; 2 this
machine lacks a tool.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import NoReturn

from images import store
from images.build import build
from images.errors import BuildError, UnavailableError
from images.recipe import IMAGES
from images.tools import provide

USUAL = ("operator", "agent")
START = time.monotonic()


def main(arguments: list[str] | None = None) -> int:
    """Build what is missing, and say where it lies."""
    parser = argparse.ArgumentParser(prog="python -m images", description="build the images")
    parser.add_argument(
        "names", nargs="*", metavar="IMAGE", help=f"of {', '.join(IMAGES)} (default: {', '.join(USUAL)})"
    )
    names = parser.parse_args(arguments).names or USUAL
    if unknown := [name for name in names if name not in IMAGES]:
        parser.error(f"there is no image {unknown[0]}; there are {', '.join(IMAGES)}")
    signal.signal(signal.SIGTERM, _end)
    wanted = [IMAGES[name] for name in names]
    try:
        provide(_tell)
        with store.held(_tell, alone=True):
            for image in wanted:
                build(image, _tell)
            store.keep_in_bounds(_tell)
    except UnavailableError as error:
        _tell(f"ERROR: {error}")
        return 2
    except BuildError as error:
        _tell(f"ERROR: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    for image in wanted:
        print(store.archive(image))
        _tell(f"what {image.name} holds is listed in {store.bill(image)}")
    return 0


def _tell(line: str) -> None:
    print(f"images {time.monotonic() - START:5.0f} s  {line}", file=sys.stderr, flush=True)


def _end(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
