"""The kernels' own text, run on this processor, against NumPy; and that the checks around it see what they must."""

import numpy as np
import pytest
from kernels_on_host import HostKernels, KernelFaultError

from treadle_agent.executor.cuda.tables import MATRICES, SHAPE, TENSORS
from treadle_agent.executor.cuda.variants import TILES, Element, Tile, Variant

FACTORS = (("float32", "float32"), ("float16", "float32"), ("float32", "float16"))  # left, right
TOLERANCE = 1e-5  # of factors that are rounded already: products and sums are float32, whatever they are kept as


def span(array: np.ndarray) -> tuple[int, int]:
    return array.ctypes.data, array.ctypes.data + array.nbytes


def of(shape, element: str, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(element)


def matrices(a, b, c, bias=None, *, alpha=1.0, beta=0.0) -> np.ndarray:
    entry = np.zeros((), MATRICES)
    for name, one in (("a", a), ("b", b), ("c", c)):
        entry[name] = one.ctypes.data
        entry[f"{name}_row"], entry[f"{name}_column"] = (step // one.itemsize for step in one.strides)
    entry["m"], entry["k"], entry["n"] = *a.shape, b.shape[1]
    if bias is not None:
        wide = np.broadcast_to(bias, c.shape)
        entry["bias"] = bias.ctypes.data
        entry["bias_row"], entry["bias_column"] = (step // bias.itemsize for step in wide.strides)
    entry["alpha"], entry["beta"] = alpha, beta
    return entry


@pytest.mark.parametrize(("left", "right"), FACTORS)
@pytest.mark.parametrize("tile", TILES, ids=lambda one: one.name)
def test_grouped_products_of_ragged_shapes(tile: Tile, left: Element, right: Element) -> None:
    variant = Variant("gemm", tile, left, right)
    shapes = [
        (1, 10, 3),
        (tile.rows + 1, tile.columns + 3, 2 * tile.depth + 1),
        (5, 1, 17),
        (tile.rows, tile.columns, 8),
    ]
    problems, wanted, given = [], [], []
    for seed, (m, n, k) in enumerate(shapes):
        a, b, bias = of((k, m), left, seed).T, of((k, n), right, seed + 50), of((n,), "float32", seed + 90)
        c = np.full((m, n), np.nan, np.float32)
        problems.append(matrices(a, b, c, bias, alpha=0.5, beta=2.0))
        wanted.append(0.5 * a.astype(np.float32) @ b.astype(np.float32) + 2.0 * bias)
        given.append((a, b, c, bias))
    table = np.array(problems, MATRICES)
    tiles = [tile.tiles(m, n) for m, n, _ in shapes]
    first = np.array([0, *np.cumsum(tiles)[:-1]], np.int32)
    ranges = [span(one.T if one.ndim == 2 and not one.flags.c_contiguous else one) for each in given for one in each]
    HostKernels(variant.source, [variant.function]).launch(
        "grouped_gemm",
        (sum(tiles),),
        (tile.threads,),
        (np.uint64(table.ctypes.data), np.uint64(first.ctypes.data), np.int32(len(shapes))),
        [*ranges, span(table), span(first)],
    )
    for (_, _, c, _), expected in zip(given, wanted, strict=True):
        np.testing.assert_allclose(c, expected, rtol=TOLERANCE, atol=TOLERANCE * 8)


CONVOLUTIONS = {
    "padded": ((2, 3, 7, 9), (5, 3, 3, 3), 1, (1, 1), (1, 1), (1, 1)),
    "strided, dilated": ((1, 4, 11, 10), (6, 4, 3, 2), 1, (2, 3), (2, 1), (2, 0)),
    "groups": ((2, 4, 5, 5), (6, 2, 2, 2), 2, (1, 1), (1, 1), (0, 0)),
    "depthwise": ((1, 6, 6, 6), (6, 1, 3, 3), 6, (1, 1), (1, 1), (1, 1)),
}


SMALL_TILES = [
    (case, tile, element) for case in CONVOLUTIONS for tile in TILES[:3] for element in ("float32", "float16")
]
LARGE_TILES = [("padded", tile, "float32") for tile in TILES[3:]]  # they take long here


@pytest.mark.parametrize(("case", "tile", "element"), SMALL_TILES + LARGE_TILES, ids=str)
def test_convolutions_of_several_problems(case: str, tile: Tile, element: Element) -> None:
    data_shape, weight_shape, groups, strides, dilations, before = CONVOLUTIONS[case]
    out = [
        (size + 2 * pad - dilation * (taps - 1) - 1) // stride + 1
        for size, pad, dilation, taps, stride in zip(
            data_shape[2:], before, dilations, weight_shape[2:], strides, strict=True
        )
    ]
    shape = np.array(
        [(*data_shape, weight_shape[0], *out, groups, *weight_shape[2:], *strides, *dilations, *before)], SHAPE
    )
    table, held = np.zeros(2, TENSORS), []
    for index in range(2):
        data, weight, bias = (
            of(shape_of, one, index + 5 * place)
            for place, (shape_of, one) in enumerate(
                ((data_shape, "float32"), (weight_shape, element), (weight_shape[:1], "float32"))
            )
        )
        result = np.full((data_shape[0], weight_shape[0], *out), np.nan, np.float32)
        held.append((data, weight, bias, result))
        table[index] = tuple(one.ctypes.data for one in held[-1])
    variant = Variant("convolution", tile, element)
    columns = data_shape[0] * out[0] * out[1]
    HostKernels(variant.source, [variant.function]).launch(
        "convolution",
        (tile.tiles(weight_shape[0] // groups, columns), groups, 2),
        (tile.threads,),
        (np.uint64(table.ctypes.data), np.uint64(shape.ctypes.data)),
        [span(one) for one in (table, shape, *held[0], *held[1])],
    )
    for data, weight, bias, result in held:
        expected = convolved(data, weight, bias, groups, strides, dilations, before, out)
        np.testing.assert_allclose(result, expected, rtol=TOLERANCE, atol=TOLERANCE * 8)


def convolved(data, weight, bias, groups, strides, dilations, before, out) -> np.ndarray:
    data, weight = data.astype(np.float64), weight.astype(np.float64)
    filters, channels = weight.shape[0] // groups, weight.shape[1]
    padded = np.pad(data, ((0, 0), (0, 0), *((one, one) for one in before)))
    result = np.zeros((data.shape[0], weight.shape[0], *out)) + bias.astype(np.float64)[:, None, None]
    for group in range(groups):
        part, rows = padded[:, group * channels : (group + 1) * channels], slice(group * filters, (group + 1) * filters)
        for y in range(weight.shape[2]):
            for x in range(weight.shape[3]):
                top, left = y * dilations[0], x * dilations[1]
                taps = part[
                    :,
                    :,
                    top : top + (out[0] - 1) * strides[0] + 1 : strides[0],
                    left : left + (out[1] - 1) * strides[1] + 1 : strides[1],
                ]
                result[:, rows] += np.einsum("nchw,fc->nfhw", taps, weight[rows, :, y, x])
    return result


def broken(old: str, new: str) -> tuple[HostKernels, Tile]:
    variant = Variant("gemm", TILES[0])
    assert old in variant.source
    return HostKernels(variant.source.replace(old, new, 1), [variant.function]), variant.tile


def run_broken(kernels: HostKernels, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    a, b, c = of((17, 35), "float32", 1), of((35, 19), "float32", 2), np.zeros((17, 19), np.float32)
    table, first = np.array([matrices(a, b, c)], MATRICES), np.zeros(1, np.int32)
    arguments = (np.uint64(table.ctypes.data), np.uint64(first.ctypes.data), np.int32(1))
    ranges = [span(one) for one in (a, b, c, table, first)]
    kernels.launch("grouped_gemm", (tile.tiles(17, 19),), (tile.threads,), arguments, ranges)
    return c, a @ b


def test_a_read_beyond_a_buffer_is_refused() -> None:
    with pytest.raises(KernelFaultError, match="outside every buffer"):
        run_broken(*broken("first_m + im < m && first_k + ik < k ?", "first_k + ik < k ?"))


def test_a_write_beyond_a_buffer_is_refused() -> None:
    with pytest.raises(KernelFaultError, match="outside every buffer"):
        run_broken(*broken("if (im < m && in < n) result", "if (in < n) result"))


def test_an_index_beyond_a_shared_array_is_refused() -> None:
    with pytest.raises(KernelFaultError, match=r"index 2.. of a shared array"):
        run_broken(*broken("TILE_K * TILE_N);", "TILE_K * TILE_N - 9);"))


def test_a_barrier_that_some_threads_never_reach_is_refused() -> None:
    with pytest.raises(KernelFaultError, match="divergent barrier"):
        run_broken(*broken("    __syncthreads();\n", "    if (thread < 7) return;\n    __syncthreads();\n"))


def test_threads_at_different_barriers_are_refused() -> None:
    split = "    if (thread < 7) { __syncthreads(); }\n    else { __syncthreads(); }\n"
    with pytest.raises(KernelFaultError, match="at line"):
        run_broken(*broken("    __syncthreads();\n", split))


def test_a_missing_barrier_gives_wrong_numbers() -> None:
    got, wanted = run_broken(*broken("    __syncthreads();\n", ""))
    assert not np.allclose(got, wanted, rtol=1e-3)


def test_the_unbroken_kernel_passes_the_same_run() -> None:
    got, wanted = run_broken(*broken("    __syncthreads();\n", "    __syncthreads();\n"))
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
