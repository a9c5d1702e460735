"""The sliding window that convolutions and pooling share: its attributes, made explicit and the same for all opsets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import numpy as np

from treadle_agent.program.model import Attribute, Shape
from treadle_agent.program.ops.registry import Array, Attributes, UnsupportedError

Ints = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """A window over the spatial axes, all fields one entry an axis; `before` and `after` count padded elements."""

    kernel: Ints
    strides: Ints
    dilations: Ints
    before: Ints
    after: Ints

    @property
    def span(self) -> Ints:
        """Elements from a window's first to its last tap, inclusive."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def trivial(self) -> bool:
        """Whether every window is one element and the windows are the elements."""
        return all(k == s == 1 for k, s in zip(self.kernel, self.strides, strict=True)) and not self.padded

    @property
    def padded(self) -> bool:
        """Whether windows reach beyond the input."""
        return any(self.before) or any(self.after)

    def taps(self) -> Iterator[Ints]:
        """Indices of the kernel's elements in C order."""
        return product(*(range(k) for k in self.kernel))

    def attributes(self) -> dict[str, Attribute]:
        """As attributes of a canonical kernel; `read` is the inverse."""
        return {
            "kernel": self.kernel,
            "strides": self.strides,
            "dilations": self.dilations,
            "before": self.before,
            "after": self.after,
        }

    @classmethod
    def read(cls, attributes: Attributes) -> Window:
        """The window of a canonical kernel."""
        names = ("kernel", "strides", "dilations", "before", "after")
        return cls(*(cast("Ints", attributes[name]) for name in names))


def window_of(attributes: Mapping[str, Any], kernel: Ints, spatial: Shape) -> Window:
    """Read strides, dilations, pads and auto_pad of a Conv or pooling node with input axes `spatial`.

    Raises UnsupportedError for negative pads and unknown auto_pad.
    """
    axes = len(kernel)
    strides = tuple(map(int, attributes.get("strides", (1,) * axes)))
    dilations = tuple(map(int, attributes.get("dilations", (1,) * axes)))
    auto_pad = _text(attributes.get("auto_pad", "NOTSET"))
    bare = Window(kernel, strides, dilations, (0,) * axes, (0,) * axes)
    match auto_pad:
        case "NOTSET" | "":
            pads = tuple(map(int, attributes.get("pads", (0,) * (2 * axes))))
            if min(pads, default=0) < 0:
                raise UnsupportedError(f"negative pads {pads}")
            before, after = pads[:axes], pads[axes:]
        case "VALID":
            return bare
        case "SAME_UPPER" | "SAME_LOWER":
            sizes = zip(spatial, strides, bare.span, strict=True)
            totals = [max((-(-n // stride) - 1) * stride + span - n, 0) for n, stride, span in sizes]
            small, large = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
            before, after = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
        case _:
            raise UnsupportedError(f"auto_pad {auto_pad}")
    return Window(kernel, strides, dilations, before, after)


def windows_over(padded: Array, window: Window, count: Ints) -> Array:
    """View ``(…, *spatial)`` as ``(…, *kernel, *count)``: the input of every tap of every window, nothing copied."""
    axes = len(count)
    lead, strides = padded.shape[:-axes], padded.strides
    spatial = strides[-axes:]
    steps = tuple(s * d for s, d in zip(spatial, window.dilations, strict=True))
    jumps = tuple(s * k for s, k in zip(spatial, window.strides, strict=True))
    shape = (*lead, *window.kernel, *count)
    return np.lib.stride_tricks.as_strided(padded, shape, (*strides[:-axes], *steps, *jumps), writeable=False)


def interior(window: Window, spatial: Shape) -> tuple[slice, ...]:
    """Where the input lies inside its padded copy."""
    return tuple(slice(b, b + n) for b, n in zip(window.before, spatial, strict=True))


def padded_shape(window: Window, spatial: Shape) -> Shape:
    """Spatial shape with the padding."""
    return tuple(b + n + a for b, n, a in zip(window.before, spatial, window.after, strict=True))


def at(array: Array, *index: Any) -> Array:
    """`array[*index]`, for indices that unpack tuples (which NumPy's type hints do not accept)."""
    found: Array = array[index]
    return found


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
