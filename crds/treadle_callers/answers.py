"""How long an answer about a caller is believed, and what is kept of answers.

While it is fresh an answer is believed. Before it stops being so it is due: believed still, and asked again meanwhile,
so that nobody waits who keeps asking. Then it is old: asked again first, and believed only where nobody answers, for a
bounded time. What cannot be believed is no answer: then nobody is let in.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum, auto
from math import inf
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Standing(Enum):
    """What an answer of before is good for."""

    FRESH = auto()  # believed
    DUE = auto()  # believed, and to be asked again meanwhile
    OLD = auto()  # to be asked again first; believed where nobody answers


@dataclass(frozen=True, slots=True)
class AnswerTiming:
    """Seconds.

    Attributes:
        believed: how long a yes is; the second half of that it is due.
        outage: how much longer an answer is believed while nobody answers.
        refused: how long a no is believed: who was just given a right waits so long.
        retry: between two tries while nobody answers; nobody waits for the second one who asks until twice that.
    """

    believed: float = 60.0
    outage: float = 300.0
    refused: float = 5.0
    retry: float = 5.0


@dataclass(slots=True)
class Answer(Generic[V]):
    """One answer. `asked`: when the question was sent, which is the moment that it is true of."""

    value: V
    granted: bool
    asked: float
    failed: float = field(default=-inf)  # when asking again last failed

    def standing(self, timing: AnswerTiming, now: float) -> Standing | None:
        """What it is good for; None: nothing."""
        age, since = now - self.asked, now - self.failed
        believed = timing.believed if self.granted else min(timing.refused, timing.believed)
        if age >= timing.believed + timing.outage:
            return None
        if age < believed:
            is_due = self.granted and age >= believed / 2 and since >= timing.retry
            return Standing.DUE if is_due else Standing.FRESH
        if since < timing.retry:
            return Standing.FRESH
        return Standing.DUE if since < 2 * timing.retry else Standing.OLD


class Answers(Generic[K, V]):
    """At most `most` answers that grant, and as many that refuse: these drive out none that grants."""

    def __init__(self, timing: AnswerTiming, most: int) -> None:
        self._timing = timing
        self._most = most
        self._granted: OrderedDict[K, Answer[V]] = OrderedDict()
        self._refused: OrderedDict[K, Answer[V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._granted) + len(self._refused)

    def find(self, key: K, now: float) -> tuple[Answer[V], Standing] | None:
        """The answer that is kept, and what it is good for."""
        for kept in (self._granted, self._refused):
            if (answer := kept.get(key)) is not None:
                standing = answer.standing(self._timing, now)
                if standing is None:
                    del kept[key]
                    return None
                kept.move_to_end(key)
                return answer, standing
        return None

    def put(self, key: K, value: V, *, granted: bool, asked: float) -> Answer[V]:
        """Keep an answer in the place of the one before; where there is no room, the longest unused one goes."""
        kept, other = (self._granted, self._refused) if granted else (self._refused, self._granted)
        other.pop(key, None)
        answer = kept[key] = Answer(value, granted, asked)
        kept.move_to_end(key)
        if len(kept) > self._most:
            kept.popitem(last=False)
        return answer

    def failed(self, key: K, now: float) -> None:
        """Nobody answered the question when it was asked again."""
        for kept in (self._granted, self._refused):
            if (answer := kept.get(key)) is not None:
                answer.failed = now
