"""The compile-time variants of the kernels: which tiles there are, and what each may use of a multiprocessor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

Element = Literal["float32", "float16"]

ARCHITECTURES = (70, 80, 90, 100, 120)  # Volta, Ampere, Hopper, Blackwell of the data centre and of the desk
OPTIONS = ("--std=c++17", "--fmad=true")
REGISTERS = 65536  # of a multiprocessor, on every one of these
REGISTERS_OF_A_THREAD = 255
POINT_THREADS = 256
ROW_THREADS = 128
POINT_STEPS = (1, 4)  # elements a thread: one for small kernels, which then spread over more multiprocessors

_C_ELEMENTS: dict[Element, str] = {"float32": "float", "float16": "half_bits"}


@dataclass(frozen=True, slots=True)
class Tile:
    """How a block computes a piece of a product: `rows` x `columns` outputs, `depth` terms at a time.

    `thread_rows` x `thread_columns`: the outputs of one thread. `blocks`: how many blocks a multiprocessor must be able
    to hold at once, which bounds a thread's registers; that nothing spills is checked for every architecture.
    """

    rows: int
    columns: int
    depth: int
    thread_rows: int
    thread_columns: int
    blocks: int

    @property
    def registers(self) -> int:
        """The most that a thread may take."""
        return min(REGISTERS_OF_A_THREAD, REGISTERS // (self.threads * self.blocks))

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.rows // self.thread_rows * (self.columns // self.thread_columns)

    @property
    def shared_bytes(self) -> int:
        """Shared memory of a block."""
        return 4 * self.depth * (self.rows + 1 + self.columns)

    @property
    def name(self) -> str:
        """Readable and unique."""
        return f"{self.rows}x{self.columns}"

    def tiles(self, m: int, n: int) -> int:
        """Blocks that an ``(m, n)`` product takes."""
        return -(-m // self.rows) * -(-n // self.columns)


TILES = (
    Tile(16, 16, 16, 1, 1, 2),  # for what is small: most problems of a super-kernel
    Tile(8, 128, 16, 1, 4, 2),  # for few rows: one request against a layer's weights
    Tile(32, 32, 16, 2, 2, 2),
    Tile(64, 64, 16, 4, 4, 2),
    Tile(128, 128, 8, 8, 8, 1),
)


@dataclass(frozen=True, slots=True)
class Variant:
    """A kernel file compiled for one tile, and the element types of its two factors: of a convolution the filters are
    the left one. What is added, and the result, are float32.
    """

    file: Literal["gemm", "convolution"]
    tile: Tile
    left: Element = "float32"
    right: Element = "float32"

    @property
    def function(self) -> str:
        """The kernel in it."""
        return "grouped_gemm" if self.file == "gemm" else "convolution"

    @property
    def source(self) -> str:
        """The whole text."""
        tile = self.tile
        defines: dict[str, int | str] = {
            "TILE_M": tile.rows,
            "TILE_N": tile.columns,
            "TILE_K": tile.depth,
            "THREAD_M": tile.thread_rows,
            "THREAD_N": tile.thread_columns,
            "BLOCKS": tile.blocks,
            "LEFT": _C_ELEMENTS[self.left],
            "RIGHT": _C_ELEMENTS[self.right],
        }
        return _defined(defines) + text("prelude.cuh") + text("tile.cuh") + text(f"{self.file}.cu")


def variants() -> tuple[Variant, ...]:
    """All that are ever compiled ahead of a model."""
    return tuple(
        variant
        for tile in TILES
        for variant in (
            Variant("gemm", tile),
            Variant("gemm", tile, left="float16"),
            Variant("gemm", tile, right="float16"),
            Variant("convolution", tile),
            Variant("convolution", tile, left="float16"),
        )
    )


def generated(point: dict[str, tuple[int, str]], rows: dict[str, str], *, per_thread: int) -> str:
    """The text of a program's own kernels: element-wise ones by name (elements, body), folding ones (body)."""
    defines = {"POINT_THREADS": POINT_THREADS, "PER_THREAD": per_thread, "ROW_THREADS": ROW_THREADS}
    parts = [_defined(defines), text("prelude.cuh")]
    for name, (elements, body) in point.items():
        kernel = text("pointwise.cu").replace("@NAME@", name).replace("@ELEMENTS@", str(elements))
        parts.append(kernel.replace("@BODY@", body))
    parts += [text("rows.cu").replace("@NAME@", name).replace("@BODY@", body) for name, body in rows.items()]
    return "".join(parts)


@cache
def text(name: str) -> str:
    """A file of the kernels' folder; the placeholders in its opening comment go."""
    lines = files(__package__).joinpath("kernels", name).read_text("utf-8").splitlines(keepends=True)
    while lines and lines[0].startswith("//"):
        del lines[0]
    return "".join(lines)


def _defined(values: Mapping[str, int | str]) -> str:
    return "".join(f"#define {name} {value}\n" for name, value in values.items())
