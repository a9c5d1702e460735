"""Reading untyped objects field by field, so that every error names the field as a manifest's author wrote it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from treadle_api.forms import in_words
from treadle_api.units import UnitError

T = TypeVar("T")


class FieldError(ValueError):
    """Raised when an object cannot be read; `field` is a path such as ``spec.tiers[1].accuracy``."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class MissingFieldError(FieldError):
    """Raised when a required field is absent."""


class FieldTypeError(FieldError):
    """Raised when a field holds another type than declared, such as a number where a quoted string belongs."""


class FieldValueError(FieldError):
    """Raised when a field's value is outside of what is allowed for it."""


class ContradictionError(FieldError):
    """Raised when fields that are right one by one do not fit each other."""


@dataclass(frozen=True, slots=True)
class Fields:
    """One object inside a document, and where it is. As in the API server, a null member is an absent one."""

    path: str
    values: Mapping[str, object]

    def field(self, key: str) -> str:
        """The path of one member."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Whether a member is there and not null."""
        return self.values.get(key) is not None

    def child(self, key: str, *, optional: bool = False) -> Fields:
        """A member that is an object; an absent optional one reads as empty."""
        value = self._value(key, {} if optional else None)
        return Fields(self.field(key), _object(self.field(key), value))

    def children(self, key: str, most: int, *, least: int = 1, unique: str = "") -> Iterator[Fields]:
        """The members of a list of `least` to `most` objects; with a `least` of 0 an absent one reads as empty.

        `unique` names the member in which all of them differ.
        """
        seen: list[object] = []
        for index, item in enumerate(self._items(key, most, least)):
            path = f"{self.field(key)}[{index}]"
            child = Fields(path, _object(path, item))
            if unique and child.has(unique):
                value = child.values[unique]
                if value in seen:
                    raise ContradictionError(child.field(unique), f"{value!r} is that of an earlier item too")
                seen.append(value)
            yield child

    def texts(self, key: str, pattern: re.Pattern[str], most_items: int, most: int) -> tuple[str, ...]:
        """An optional list of strings of 1 to `most` characters that match `pattern` in full."""
        items = self._items(key, most_items, 0)
        return tuple(_text(f"{self.field(key)}[{index}]", item, pattern, most) for index, item in enumerate(items))

    def integers(self, key: str, length: int, least: int, most: int) -> tuple[int, ...]:
        """A list of exactly `length` integers within bounds, both included."""
        items = self._items(key, length, length)
        return tuple(_integer(f"{self.field(key)}[{index}]", item, least, most) for index, item in enumerate(items))

    def text(
        self, key: str, pattern: re.Pattern[str] | None, most: int, default: str | None = None, *, least: int = 1
    ) -> str:
        """A string member of `least` to `most` characters that matches `pattern` in full."""
        return _text(self.field(key), self._value(key, default), pattern, most, least)

    def parsed(self, key: str, parse: Callable[[str], T], most: int, default: str | None = None) -> T:
        """A string member of 1 to `most` characters, through `parse`, whose UnitError becomes a FieldValueError."""
        text = self.text(key, None, most, default)
        try:
            return parse(text)
        except UnitError as error:
            raise FieldValueError(self.field(key), str(error)) from error

    def integer(self, key: str, least: int, most: int, default: int | None = None) -> int:
        """An integer member within bounds, both included."""
        return _integer(self.field(key), self._value(key, default), least, most)

    def boolean(self, key: str, default: bool | None = None) -> bool:  # noqa: FBT001 - a value, not a switch
        """A member that is true or false."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise FieldTypeError(self.field(key), f"must be true or false, not {_kind(value)}")
        return value

    def strings(self, key: str, pattern: re.Pattern[str], most_items: int, most: int) -> Mapping[str, str]:
        """An optional member that maps non-empty strings to strings that match `pattern`, which may be empty."""
        inner = self.child(key, optional=True)
        if len(inner.values) > most_items:
            raise FieldValueError(inner.path, f"must have at most {most_items} entries, has {len(inner.values)}")
        present = {name: value for name, value in inner.values.items() if value is not None}
        return {name: _text(inner.field(name), value, pattern, most, least=0) for name, value in present.items()}

    def _items(self, key: str, most: int, least: int) -> Sequence[object]:
        field, value = self.field(key), self._value(key, None if least else ())
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            raise FieldTypeError(field, f"must be a list, not {_kind(value)}")
        if not least <= len(value) <= most:
            wanted = f"exactly {most}" if least == most else f"{least} to {most}"
            raise FieldValueError(field, f"must have {wanted} items, has {len(value)}")
        return value

    def _value(self, key: str, default: object) -> object:
        value = self.values.get(key)
        value = default if value is None else value
        if value is None:
            raise MissingFieldError(self.field(key), "is required")
        return value


def _object(field: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise FieldTypeError(field, f"must be an object, not {_kind(value)}")
    return value


def _integer(field: str, value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise FieldTypeError(field, f"must be an integer, not {_kind(value)}")
    if not least <= value <= most:
        raise FieldValueError(field, f"must be {least} to {most}, is {value}")
    return value


def _text(field: str, value: object, pattern: re.Pattern[str] | None, most: int, least: int = 1) -> str:
    if not isinstance(value, str):
        raise FieldTypeError(field, f"must be a string, not {_kind(value)}: quote it")
    if not least <= len(value) <= most:
        raise FieldValueError(field, f"must have {least} to {most} characters, has {len(value)}")
    if pattern is not None and not pattern.fullmatch(value):
        raise FieldValueError(field, f"{value!r} must be {in_words(pattern.pattern)}")
    return value


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case Mapping():
            return "an object"
        case _:
            return "a list" if isinstance(value, Sequence) else f"a {type(value).__name__}"
