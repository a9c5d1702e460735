"""A question to a driver, which may never answer: it is put in a thread of its own, and not again meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread


class Inquiry:
    """`ask` blocks. Its thread is a daemon: one that hangs in the driver must not keep the process from ending."""

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask
        self._pending: asyncio.Future[str] | None = None

    async def answer(self, seconds: float) -> str | None:
        """The answer; None while there is none.

        It is waited for so long, and not at all where the last question is still pending.
        """
        if self._pending is None:
            pending, patience = self._put(), seconds
        else:
            pending, patience = self._pending, 0.0
        self._pending = pending
        done, _ = await asyncio.wait([pending], timeout=patience)
        if not done:
            return None
        self._pending = None
        return pending.result()

    def _put(self) -> asyncio.Future[str]:
        answer: Future[str] = Future()

        def run() -> None:
            try:
                answer.set_result(self._ask())
            except Exception as error:  # noqa: BLE001 - whoever waits for the answer meets it
                answer.set_exception(error)

        Thread(target=run, name="inquiry", daemon=True).start()
        return asyncio.wrap_future(answer)
