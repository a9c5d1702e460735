"""Questions about callers: who asks the same shares one answer, few are asked at a time, and askers take turns.

Else a flood of tokens that are nobody's would keep those out who have not been seen before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from treadle_callers.answers import Answer, Answers, Standing
from treadle_callers.callers import ReviewError
from treadle_callers.settings import GuardSettings
from treadle_callers.turns import NoTurnError, Turns

K = TypeVar("K", bound=Hashable)
Q = TypeVar("Q")
V = TypeVar("V")

KNOWN = ""  # who asks again what was answered before

_log = logging.getLogger(__name__)


class Inquiries(Generic[K, Q, V]):
    """One kind of question, and the answers of before; an answer that is true grants. Lives on one event loop.

    A question is not its key: a token is asked about, and only its digest kept.
    """

    def __init__(
        self, ask: Callable[[Q], Awaitable[V]], settings: GuardSettings, clock: Callable[[], float]
    ) -> None:  # fmt: skip
        self._ask = ask
        self._settings = settings
        self._clock = clock
        self._answers = Answers[K, V](settings.timing, settings.most_answers)
        self._asking: dict[K, asyncio.Task[Answer[V] | None]] = {}
        self._answered = True
        self._turns = Turns(settings.most_asked, settings.most_waiting - settings.most_asked)

    def known(self, key: K, question: Q) -> Answer[V] | None:
        """The answer, where it is known and believed."""
        found = self._answers.find(key, self._clock())
        if found is None or found[1] is Standing.OLD:
            return None
        if found[1] is Standing.DUE:
            self._begin(key, question, KNOWN)
        return found[0]

    async def answer(self, key: K, question: Q, asker: str) -> V:
        """The answer, asked for where it is not known; askers take turns.

        Raises:
            ReviewError: nobody answers, or too many wait, and no answer of before can be believed.
        """
        if (known := self.known(key, question)) is not None:
            return known.value
        # Others wait for it, too: it goes on when this one's client has gone.
        answer = await asyncio.shield(self._begin(key, question, asker))
        if answer is None:
            found = self._answers.find(key, self._clock())
            if found is None:
                raise ReviewError("nobody answers")
            answer = found[0]
        return answer.value

    async def close(self) -> None:
        """Ask nobody any more."""
        asking = tuple(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _begin(self, key: K, question: Q, asker: str) -> asyncio.Task[Answer[V] | None]:
        """What asks, now or already."""
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._learn(key, question, asker), name="review")
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return task

    async def _learn(self, key: K, question: Q, asker: str) -> Answer[V] | None:
        asked = self._clock()
        try:
            async with asyncio.timeout(self._settings.patience), self._turns.turn(asker):
                value = await self._ask(question)
        except NoTurnError:
            return None  # says nothing of who answers
        except (ReviewError, TimeoutError) as error:
            if self._answered:
                reason = str(error) or f"no answer in {self._settings.patience:g} s"
                seconds = self._settings.timing.outage
                _log.warning("nobody says who may call; what was said before holds for %g s more: %s", seconds, reason)
            self._answered = False
            self._answers.failed(key, self._clock())
            return None
        self._answered = True
        return self._answers.put(key, value, granted=bool(value), asked=asked)
