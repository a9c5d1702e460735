"""Networks as lists of launches: shapes only, no weights; normalisation and activations are fused into their layer.

Sources: He et al. 2016 (ResNet, table 1), Sandler et al. 2018 (MobileNetV2, table 2); a GRU as the 2018 paper's RNN
problem has it: 512 wide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from treadle_agent.executor.gpu_model import FLOAT_BYTES, Pass, Product, Work

IMAGE = 224  # pixels across
CLASSES = 1000


@dataclass(frozen=True, slots=True)
class Layer:
    """A launch for one request: a product of `m` filters by `n` columns, or a pass where `m` is 0.

    Counts are of elements; `moved` are activations read and written.
    """

    m: int
    n: int
    k: int
    moved: int
    weights: int = 0

    def work(self, requests: int = 1) -> Work:
        """The launch for requests of one tenant, batched."""
        if self.m:
            return Product(self.m, self.n * requests, self.k)
        return Pass(float(FLOAT_BYTES * (self.moved * requests + self.weights)))


@dataclass(frozen=True, slots=True)
class Network:
    """A named sequence of layers."""

    name: str
    layers: tuple[Layer, ...]

    def works(self, requests: int = 1) -> tuple[Work, ...]:
        """Its launches for requests of one tenant, batched."""
        return tuple(layer.work(requests) for layer in self.layers)

    @property
    def weight_bytes(self) -> int:
        """Bytes of its weights."""
        return FLOAT_BYTES * sum(layer.weights for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        """Bytes that its largest layer reads and writes: no arena for one request is smaller."""
        return FLOAT_BYTES * max(layer.moved for layer in self.layers)

    @property
    def flops(self) -> float:
        """Multiplications and additions of one request."""
        return sum(work.flops for work in self.works() if isinstance(work, Product))


def resnet(depth: int) -> Network:
    """ResNet-18 or -50 at 224×224."""
    blocks = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]
    block, widening = (_bottleneck, 4) if depth == 50 else (_basic, 1)
    layers = [_conv(3, 64, 7, IMAGE // 2, stride=2), _pool(64, IMAGE // 2, IMAGE // 4)]
    channels, size = 64, IMAGE // 4
    for stage, count in enumerate(blocks):
        width = 64 << stage
        for index in range(count):
            stride = 2 if stage and not index else 1
            size //= stride
            layers += block(channels, width, size, stride)
            channels = width * widening
    return Network(f"ResNet-{depth}", (*layers, _pool(channels, size, 1), _dense(channels, CLASSES)))


def mobilenet() -> Network:
    """MobileNetV2 at 224×224."""
    layers = [_conv(3, 32, 3, IMAGE // 2, stride=2)]
    channels, size = 32, IMAGE // 2
    for expansion, width, count, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ):  # fmt: skip
        for index in range(count):
            stride = first if not index else 1
            layers += _inverted(channels, width, expansion, size // stride, stride)
            channels, size = width, size // stride
    last = 1280
    return Network(
        "MobileNetV2", (*layers, _conv(channels, last, 1, size), _pool(last, size, 1), _dense(last, CLASSES))
    )


def gru(hidden: int = 512, steps: int = 20) -> Network:
    """A GRU over a sequence: one projection of all steps, then a product and an element-wise pass a step."""
    gates = 3 * hidden
    step = (Layer(gates, 1, hidden, hidden + gates), Layer(0, 0, 0, gates + 2 * hidden))
    project = Layer(gates, steps, hidden, steps * (hidden + gates), gates * hidden)
    weighted = Layer(gates, 1, hidden, hidden + gates, gates * hidden)
    return Network("GRU-512", (project, weighted, step[1], *step * (steps - 1), _dense(hidden, CLASSES)))


def _conv(inputs: int, filters: int, window: int, size: int, stride: int = 1) -> Layer:
    """A convolution to `size`×`size`."""
    k, n = inputs * window**2, size**2
    return Layer(filters, n, k, inputs * n * stride**2 + filters * n, filters * k)


def _depthwise(channels: int, size: int, stride: int) -> Layer:
    """A 3×3 convolution of each channel alone: a pass, since no tile would reuse anything."""
    return Layer(0, 0, 0, channels * size**2 * (1 + stride**2), 9 * channels)


def _pool(channels: int, before: int, after: int) -> Layer:
    return Layer(0, 0, 0, channels * (before**2 + after**2))


def _add(channels: int, size: int) -> Layer:
    return Layer(0, 0, 0, 3 * channels * size**2)


def _dense(inputs: int, units: int) -> Layer:
    return Layer(units, 1, inputs, inputs + units, units * inputs)


def _basic(inputs: int, width: int, size: int, stride: int) -> Iterator[Layer]:
    yield _conv(inputs, width, 3, size, stride)
    yield _conv(width, width, 3, size)
    yield from _shortcut(inputs, width, size, stride)


def _bottleneck(inputs: int, width: int, size: int, stride: int) -> Iterator[Layer]:
    yield _conv(inputs, width, 1, size * stride)
    yield _conv(width, width, 3, size, stride)
    yield _conv(width, 4 * width, 1, size)
    yield from _shortcut(inputs, 4 * width, size, stride)


def _shortcut(inputs: int, outputs: int, size: int, stride: int) -> Sequence[Layer]:
    add = _add(outputs, size)
    return (add,) if inputs == outputs else (_conv(inputs, outputs, 1, size, stride), add)


def _inverted(inputs: int, width: int, expansion: int, size: int, stride: int) -> Iterator[Layer]:
    middle = inputs * expansion
    if expansion > 1:
        yield _conv(inputs, middle, 1, size * stride)
    yield _depthwise(middle, size, stride)
    yield _conv(middle, width, 1, size)
    if stride == 1 and inputs == width:
        yield _add(width, size)
