"""Which columns of a table a terminal has room for: a word that is cut in two tells little. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def fitting(needs: Sequence[int], spare: Sequence[int], room: int) -> list[int]:
    """The positions of the columns to show: all that have room together, the most spare left out first.

    Args:
        needs: characters that each column takes, with what is beside it.
        spare: how soon each may be left out: the highest first, those of 0 never.
        room: characters that there are.
    """
    shown = list(range(len(needs)))
    while sum(needs[one] for one in shown) > room:
        last = max(shown, key=lambda one: spare[one])
        if spare[last] == 0:
            break
        shown.remove(last)
    return shown
