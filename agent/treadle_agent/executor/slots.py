"""Arena slots: where a stream's activations lie. Streams that begin together get neighbouring slots."""

from __future__ import annotations


class Slots:
    """The free slots of an arena with `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._free = list(range(capacity))  # ascending

    def __len__(self) -> int:
        return len(self._free)

    def take(self, count: int) -> list[int]:
        """Take `count` slots, ascending; consecutive ones where there are any. The caller knows there is room."""
        free = self._free
        assert count <= len(free)
        start = 0
        for index in range(len(free) - count + 1):
            if free[index + count - 1] - free[index] == count - 1:
                start = index
                break
        taken = free[start : start + count]
        del free[start : start + count]
        return taken

    def give(self, slots: list[int]) -> None:
        """Give slots back."""
        self._free = sorted(self._free + slots)
