"""A device's memory while a plan is made. A model is in memory once, however many tenants have it."""

from __future__ import annotations

from collections.abc import Iterable

from treadle_api.units import Bytes

Models = Iterable[tuple[str, Bytes]]  # by name, each once


class MemoryAccount:
    """`staying`: bytes of models that somebody keeps, according to the plan; `held`: with what has to be given back."""

    __slots__ = ("_models", "held", "overhead", "size", "staying")

    def __init__(self, size: int) -> None:
        self.size = size
        self.overhead = 0
        self.staying = 0
        self.held = 0
        self._models: dict[str, _Model] = {}

    def keep(self, models: Models) -> None:
        """Somebody has these models, or will have them."""
        self._count(models, stay=1, leave=0)

    def leave(self, models: Models) -> None:
        """Somebody has these models who is going to give them back."""
        self._count(models, stay=0, leave=1)

    def give_back(self, models: Models) -> None:
        """Somebody who kept these models is going to give them back."""
        self._count(models, stay=-1, leave=1)

    def take_back(self, models: Models) -> None:
        """Undo `give_back`."""
        self._count(models, stay=1, leave=-1)

    def forget(self, models: Models) -> None:
        """Undo `keep`."""
        self._count(models, stay=-1, leave=0)

    def settle(self, used: int) -> None:
        """All that is there has been counted: what the agent says is used beyond it is overhead."""
        self.overhead = max(0, used - self.held)

    @property
    def free(self) -> int:
        """Bytes that nobody keeps."""
        return max(0, self.size - self.overhead - self.staying)

    def adds(self, models: Models) -> int:
        """Bytes that these models would add to those that stay."""
        added = 0
        for name, size in models:  # not a sum of a generator: it is asked of each device that is looked at
            if (known := self._models.get(name)) is None or not known.staying:
                added += size
        return added

    def fits(self, models: Models) -> bool:
        """Whether these models fit, once what leaves has left."""
        return self.adds(models) + self.overhead + self.staying <= self.size

    def fits_now(self, models: Models) -> bool:
        """Whether these models fit beside all that is there still."""
        added = self.overhead + self.held
        for name, size in models:
            if (known := self._models.get(name)) is None or not known.held:
                added += size
        return added <= self.size

    def _count(self, models: Models, stay: int, leave: int) -> None:
        for name, size in models:
            model = self._models.get(name)
            if model is None:
                model = self._models[name] = _Model(size)
            stayed, held = model.staying > 0, model.held
            model.staying += stay
            model.leaving += leave
            self.staying += model.size * ((model.staying > 0) - stayed)
            self.held += model.size * (model.held - held)


class _Model:
    """How many keep a model, and how many are giving it back."""

    __slots__ = ("leaving", "size", "staying")

    def __init__(self, size: Bytes) -> None:
        self.size = size
        self.staying = 0
        self.leaving = 0

    @property
    def held(self) -> bool:
        return self.staying + self.leaving > 0
