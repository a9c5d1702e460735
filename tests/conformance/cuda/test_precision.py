"""A tier's precision on the cuda device: what is rounded, that nothing else is, and who shares nothing with whom."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from device_bench import ROW_BYTES, Bench, gpu_bench, host_bench, weights_file
from strict_cublas import Cublas
from strict_cupy import modules
from strict_world import World

from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.cuda.lowering import UnsupportedOnGpuError, constant_layout, lower
from treadle_agent.executor.cuda.program import GpuProgram, source_of
from treadle_agent.executor.cuda.slab import GpuSlab
from treadle_agent.executor.cuda.tuner import GpuTuner
from treadle_agent.executor.cuda.variants import ARCHITECTURES
from treadle_agent.executor.kept_tuner import KeptTuner
from treadle_agent.executor.library import Library, LoadedTier
from treadle_agent.executor.precision import PrecisionError
from treadle_agent.executor.statistics import Lookups
from treadle_agent.executor.tuning_cache import TuningCache
from treadle_agent.program.artifact import ARTIFACT_VERSION, Artifact, TensorSpec, WeightEntry
from treadle_agent.program.interpreter import Interpreter
from treadle_agent.program.model import Activation, Kernel, Port, Program, TensorType, Weight
from treadle_api.replica import LoadedReason
from treadle_api.tenant import Precision

FLOAT32, TF32, FLOAT16 = Precision.FLOAT32, Precision.TF32, Precision.FLOAT16
TF32_ROUNDING = 2.0**-10  # of each factor, relative, whether they are rounded or cut
NEIGHBOURS, APART = [0, 1, 2], [0, 2, 5]  # read by stride, and by pointer


def by_library(gpu: Gpu, folder: Path, precision: Precision) -> Bench:
    return gpu_bench(gpu, folder, gpu_bench(gpu, folder).body.library_products(), precision)


def test_float16_is_float32_with_rounded_matrices(gpu: Gpu, tmp_path: Path) -> None:
    exact, rounded = host_bench(tmp_path), host_bench(tmp_path, rounded=True)
    bench = gpu_bench(gpu, tmp_path, precision=FLOAT16)
    got, wanted, other = (one.run(APART) for one in (bench, rounded, exact))
    for tenant in APART:
        np.testing.assert_allclose(got[tenant], wanted[tenant], rtol=1e-5, atol=1e-6)
        assert np.abs(got[tenant] - other[tenant]).max() > 2e-5


def test_float16_halves_what_matrices_take_and_nothing_else(gpu: Gpu, tmp_path: Path) -> None:
    slab = GpuSlab(gpu, gpu_bench(gpu, tmp_path).slab.entries, ROW_BYTES, FLOAT16)
    assert [weight.half for weight in slab.weights] == [True, False, True, False, True]
    slab.acquire("one", weights_file(tmp_path, 1))
    sizes = [2 * 108, 4 * 6, 2 * 17 * 180, 4 * 17, 2 * 170]
    assert slab.nbytes == sum(-(-size // 64) * 64 for size in sizes)


@pytest.mark.parametrize("tenants", [NEIGHBOURS, APART])
def test_tf32_rounds_the_factors_that_cublas_multiplies(gpu: Gpu, tmp_path: Path, tenants: list[int]) -> None:
    bench, exact = by_library(gpu, tmp_path, TF32), host_bench(tmp_path)
    got, wanted = bench.run(tenants), exact.run(tenants)
    for tenant in tenants:
        np.testing.assert_allclose(got[tenant], wanted[tenant], rtol=0.0, atol=8 * TF32_ROUNDING)


@pytest.mark.parametrize("tenants", [NEIGHBOURS, APART])
def test_tf32_is_asked_for_where_it_was_chosen_and_nowhere_else(
    gpu: Gpu, cupy_and_cublas: tuple[object, Cublas], tmp_path: Path, tenants: list[int]
) -> None:
    _, cublas = cupy_and_cublas
    plain, fast = by_library(gpu, tmp_path, FLOAT32), by_library(gpu, tmp_path, TF32)
    before, rounded, after = plain.run(tenants), fast.run(tenants), plain.run(tenants)
    assert cublas.computed == ["float32", "tf32", "float32"]
    for tenant in tenants:
        assert after[tenant].tobytes() == before[tenant].tobytes()
        assert np.abs(rounded[tenant] - before[tenant]).max() > 1e-6


@pytest.mark.parametrize("library", [False, True])
def test_the_bits_of_a_float32_tenant_do_not_depend_on_its_neighbours_precision(
    gpu: Gpu, tmp_path: Path, library: bool
) -> None:
    products = gpu_bench(gpu, tmp_path).body.library_products() if library else frozenset()
    plain = gpu_bench(gpu, tmp_path, products)
    others = [gpu_bench(gpu, tmp_path, products - _halved(one), one) for one in (TF32, FLOAT16)]
    alone = plain.run(APART)
    groups = [(bench, bench.group(APART)) for bench in (others[0], plain, others[1])]
    for bench, group in groups:
        bench.device.stage(group)
    for begin in range(plain.body.length):  # all take turns on the device, a kernel at a time
        for bench, group in groups:
            bench.device.run(group, begin, begin + 1)
    for bench, group in groups:
        bench.device.collect(group)
    answers = plain.answers(groups[1][1])
    assert {tenant: one.tobytes() for tenant, one in answers.items()} == {
        tenant: one.tobytes() for tenant, one in alone.items()
    }


def _halved(precision: Precision) -> frozenset[int]:
    """Kernels that cuBLAS cannot compute at a precision: all of this program's."""
    return frozenset(range(16)) if precision is FLOAT16 else frozenset()


def test_signatures_tell_the_precision(gpu: Gpu, tmp_path: Path) -> None:
    plain, fast = (by_library(gpu, tmp_path, one).body for one in (FLOAT32, TF32))
    half = gpu_bench(gpu, tmp_path, precision=FLOAT16).body
    product = "MatMul[f32 2x17, f32 17x10 -> f32 2x10]"
    assert product in plain.signatures
    assert f"{product} tf32" in fast.signatures
    assert len(set(plain.signatures) - set(fast.signatures)) == 1  # own kernels are what they were
    assert "MatMul[f32 2x17, f16 17x10 -> f32 2x10]" in half.signatures
    assert "Conv[f32 2x4x5x6, f16 6x2x3x3, f32 6 -> f32 2x6x5x6]" in half.signatures
    assert half.library_products() == frozenset()


MATRIX, TABLE = TensorType("float32", (3, 5)), TensorType("float32", (4, 3))
LAYER = (("axis", 0), ("epsilon", 1e-5), ("results", ("Y",)))
X, Y = TensorType("float32", (4, 3)), TensorType("float32", (4, 5))


def _reading() -> Program:
    """Generated kernels read matrices too: a look-up, a sum; and a product the other way round, and one of a batch."""
    types = (TensorType("int64", (4,)), X, X, X, X, TensorType("float32", (2, 4, 2)))
    kernels = (
        Kernel("Gather", (("axis", 0),), (Weight(0), Activation(0)), (1,)),
        Kernel("Add", (), (Activation(1), Weight(0)), (2,)),
        Kernel("MatMul", (), (Weight(1), Activation(2)), (3,)),
        Kernel("LayerNormalization", LAYER, (Activation(3), Weight(0), None), (4,)),
        Kernel("MatMul", (), (Activation(4), Weight(2)), (5,)),
    )
    weights = (TABLE, TensorType("float32", (4, 4)), TensorType("float32", (2, 3, 2)))
    offsets = (0, 64, 128, 192, 256, 320)
    return Program((Port("i", 0),), (Port("y", 5),), types, offsets, 384, weights, (), kernels)


def _slab(gpu: Gpu, program: Program, folder: Path, values: list[np.ndarray]) -> tuple[GpuSlab, int]:
    entries, data = [], b""
    for type_, value in zip(program.weights, values, strict=True):
        entries.append(WeightEntry(type_, len(data)))
        data += value.tobytes().ljust(64, b"\0")
    slab = GpuSlab(gpu, entries, len(data), FLOAT16)
    (folder / "weights.bin").write_bytes(data)
    return slab, slab.acquire("one", folder / "weights.bin")


def test_generated_kernels_read_float16_too(gpu: Gpu, slot_of, tmp_path: Path) -> None:
    program, random = _reading(), np.random.default_rng(1)
    values = [random.standard_normal(type_.shape).astype(np.float32) for type_ in program.weights]
    slab, row = _slab(gpu, program, tmp_path, values)
    body = GpuProgram(gpu, program, slab, 2)
    slot, chosen = slot_of(gpu, body), np.array([2, 0, 3, 3])
    slot.write(1, 0, chosen)
    with gpu.stream() as stream:
        bound = body.compose([(1, row)], stream)
        for launches in bound.launches:
            for launch in launches:
                launch()
        stream.synchronize()
    rounded = [value.astype(np.float16).astype(np.float32) for value in values]
    wanted = Interpreter(program, rounded).run({"i": chosen})["y"]
    np.testing.assert_allclose(slot.read(1, 5), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_generated_kernels_that_read_float16_compile(nvrtc, architecture: int) -> None:
    program = _reading()
    lowered = lower(program, (0, 64, 128), constant_layout(program)[1], {0, 1, 2})
    used = nvrtc(source_of(lowered, per_thread=1), architecture)
    assert len(used) == 3
    assert all(kernel.spilled == 0 for kernel in used.values())


@pytest.mark.parametrize(
    ("op", "attributes", "operands"),
    [
        ("MatMul", (), (Weight(0), Weight(1))),
        ("Gemm", (("alpha", 1.0), ("beta", 1.0), ("trans_a", False), ("trans_b", False)),
         (Activation(0), Weight(1), Weight(0))),
    ],
)  # fmt: skip
def test_a_product_of_more_than_one_float16_operand_is_refused_by_name(op: str, attributes, operands) -> None:
    square = TensorType("float32", (4, 4))
    kernel = Kernel(op, attributes, operands, (1,))
    program = Program((Port("x", 0),), (Port("y", 1),), (square, square), (0, 64), 128, (square, square), (), (kernel,))
    assert len(lower(program, (0, 64), ())) == 1
    with pytest.raises(UnsupportedOnGpuError, match=rf"{op} \(more of it .*float16\): set precision Float32"):
        lower(program, (0, 64), (), {0, 1})


def tier(folder: Path, name: str, precision: Precision, largest: float = 1.0) -> LoadedTier:
    home = folder / name
    home.mkdir()
    kernel = Kernel("MatMul", (), (Activation(0), Weight(0)), (1,))
    program = Program((Port("x", 0),), (Port("y", 1),), (X, Y), (0, 64), 192, (MATRIX,), (), (kernel,))
    port = (TensorSpec("x", "float32", (4, -1)),), (TensorSpec("y", "float32", (4, -1)),)
    artifact = Artifact(ARTIFACT_VERSION, name, "", *port, False, (WeightEntry(MATRIX, 0),), 64, (), "", {}, {})
    (home / "artifact.json").write_bytes(msgspec.json.encode(artifact))
    (home / "weights.bin").write_bytes(np.linspace(-1.0, largest, 16, dtype=np.float32).tobytes())
    (home / "program-x=4x3.json").write_bytes(msgspec.json.encode(program))
    return LoadedTier(name, home, precision)


def test_tiers_of_different_precision_share_neither_program_nor_slab_nor_measurement(gpu: Gpu, tmp_path: Path) -> None:
    before = gpu.used
    tuner = GpuTuner(gpu)
    cache = TuningCache(tmp_path / "tuning", tuner.identity)
    library = Library(KeptTuner(tuner, cache), max_problems=2)
    tiers = [tier(tmp_path, f"{one}-{number}", one) for one in Precision for number in range(2)]
    executables = [library.prepare(one, (X,))[0] for one in tiers]
    assert [executables.index(one) for one in executables] == [0, 0, 2, 2, 4, 4]
    assert len({id(one.slab) for one in tiers}) == 3
    assert [one.slab.precision for one in tiers if one.slab] == [one for one in Precision for _ in range(2)]
    assert cache.lookups == Lookups(hits=0, misses=3)
    for one in tiers:
        library.forget(one)
    del library, executables, tiers, one
    assert gpu.used == before


def test_weights_beyond_float16_are_refused_with_the_fix_and_hold_nothing(gpu: Gpu, tmp_path: Path) -> None:
    before = gpu.used
    library = Library(GpuTuner(gpu), max_problems=2)
    large = tier(tmp_path, "large", FLOAT16, largest=1e5)
    with pytest.raises(PrecisionError, match=r"weight 0 holds .*65504: set precision Float32") as caught:
        library.prepare(large, (X,))
    assert caught.value.cause is LoadedReason.MODEL_UNSUPPORTED
    library.forget(large)
    assert gpu.used == before
    fits = tier(tmp_path, "fits", FLOAT32, largest=1e5)
    assert library.prepare(fits, (X,))


@pytest.mark.parametrize(("capability", "refused"), [((7, 5), True), ((8, 0), False), ((9, 0), False)])
def test_a_gpu_without_tf32_refuses_it_and_names_the_fix(capability: tuple[int, int], refused: bool, lost) -> None:
    def lose(reason: str) -> None:
        raise lost(reason)

    library = Library(GpuTuner(Gpu(*modules(World(capability=capability)), lose)), max_problems=2)
    for precision in (FLOAT32, FLOAT16):
        library.check(precision)
    if not refused:
        library.check(TF32)
        return
    with pytest.raises(PrecisionError, match=r"capability 7\.5, and TF32 begins at 8\.0: set precision") as caught:
        library.check(TF32)
    assert caught.value.cause is LoadedReason.PRECISION_UNSUPPORTED
