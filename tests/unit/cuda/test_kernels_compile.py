"""Every kernel variant is compiled to machine code for every architecture: no spills, and within what it declares."""

import pytest

from treadle_agent.executor.cuda.variants import ARCHITECTURES, Variant, generated, variants


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("variant", variants(), ids=lambda one: f"{one.file}-{one.left}-{one.right}-{one.tile.name}")
def test_a_variant_keeps_what_it_declares(nvrtc, variant: Variant, architecture: int) -> None:
    used = nvrtc(variant.source, architecture)
    assert list(used) == [variant.function]
    kernel = used[variant.function]
    assert kernel.spilled == 0
    assert kernel.stack == 0
    assert kernel.registers <= variant.tile.registers
    assert kernel.shared <= variant.tile.shared_bytes + 1024  # 1 KiB is the system's, on sm_90 and later


def test_a_spill_is_seen(nvrtc) -> None:
    greedy = """
    extern "C" __global__ void __launch_bounds__(1024) greedy(const float* in, float* out) {
      float kept[96];
      #pragma unroll
      for (int i = 0; i < 96; ++i) kept[i] = in[i * threadIdx.x];
      for (int round = 0; round < 9; ++round)
        #pragma unroll
        for (int i = 0; i < 96; ++i) kept[i] = kept[(i + 7) % 96] * kept[i] + in[round];
      #pragma unroll
      for (int i = 0; i < 96; ++i) out[i * 1024 + threadIdx.x] = kept[i];
    }"""
    assert nvrtc(greedy, 80)["greedy"].spilled > 0


def test_a_wrong_text_is_refused_with_the_compilers_words(nvrtc) -> None:
    with pytest.raises(AssertionError, match="undefined"):
        nvrtc('extern "C" __global__ void f() { nothing(); }', 80)


def test_generated_kernels_compile(nvrtc) -> None:
    text = generated({"p": (5, "at<float>(slot)[i] = 1.0f;")}, {}, per_thread=4)
    assert nvrtc(text, 70)["p"].spilled == 0
