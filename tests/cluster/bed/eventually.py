"""Waiting for the world to become so, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def eventually(check: Callable[[], Result], seconds: float = 30.0, every: float = 0.2) -> Result:
    """The first true result of `check`; a false one and an AssertionError mean not yet.

    Raises:
        AssertionError: not within `seconds`; with what was seen last.
    """
    end = time.monotonic() + seconds
    while True:
        last: AssertionError | None = None
        result: Result | None = None
        try:
            result = check()
        except AssertionError as error:
            last = error
        if result:
            return result
        if time.monotonic() > end:
            seen = str(last) if last is not None else repr(result)
            raise AssertionError(f"not so within {seconds:g} s; last: {seen}") from last
        time.sleep(every)
