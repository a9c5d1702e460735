"""The analytic GPU keeps its own laws: bounds, waves, monotonicity; each ablation changes what it should."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.executor.gpu_model import GPUS, ISSUE_SECONDS, TILES, GpuModel, Pass, Product, Rules

V100 = GPUS["V100"]
MODEL = GpuModel(V100)
sizes = st.integers(1, 2000)
products = st.builds(Product, sizes, sizes, sizes)
works = products | st.builds(Pass, st.floats(4, 1e9))
models = st.sampled_from([GpuModel(gpu) for gpu in GPUS.values()])
counts = st.integers(1, 200)


@given(models, products, counts)
def test_no_launch_is_faster_than_its_arithmetic_or_its_bytes(model, product, problems):
    seconds = model.kernel(product, problems)
    gpu = model.gpu
    assert seconds >= problems * product.nbytes / gpu.bandwidth * (1 - 1e-12)
    if problems > 1 or not product.is_matrix_vector:
        assert seconds >= problems * product.flops / gpu.flops * (1 - 1e-12)


@given(models, products, counts, counts)
def test_more_problems_take_no_less(model, product, few, more):
    few, more = sorted((few, more))
    if product.is_matrix_vector and few == 1:
        few = 2  # alone it is another kernel
        more = max(few, more)
    assert model.kernel(product, few) <= model.kernel(product, more)


@given(models, st.tuples(sizes, sizes, sizes), st.tuples(sizes, sizes, sizes), counts)
def test_larger_problems_take_no_less(model, one, other, problems):
    small = Product(*(min(pair) for pair in zip(one, other, strict=True)))
    large = Product(*(max(pair) for pair in zip(one, other, strict=True)))
    if problems == 1 and small.is_matrix_vector != large.is_matrix_vector:
        problems = 2
    assert model.kernel(small, problems) <= model.kernel(large, problems) * (1 + 1e-12)


@given(models, st.lists(works, min_size=1, max_size=12))
def test_at_once_is_between_the_longest_alone_and_one_after_another(model, several):
    together = model.at_once(several)
    assert together <= model.one_after_another(several) * (1 + 1e-12)
    alone = max(model.kernel(work) for work in several)
    assert together >= alone * (1 - 1e-12)


@given(models, products, st.integers(2, 60))
def test_a_super_kernel_is_no_slower_than_equal_launches_at_once(model, product, problems):
    if not product.is_matrix_vector:
        assert model.launch(product, problems) <= model.at_once([product] * problems) * (1 + 1e-12)


def test_tiles_go_in_whole_waves():
    tile = TILES[0]
    product = Product(tile.rows, tile.columns, 256)  # one tile
    model = GpuModel(replace(V100, bandwidth=math.inf), Rules(traffic=False))
    wave = 2 * tile.rows * tile.columns * product.k * V100.multiprocessors / V100.flops
    for problems, waves in ((1, 1), (79, 1), (80, 1), (81, 2), (160, 2), (161, 3)):
        assert model.kernel(product, problems, tile) == pytest.approx(waves * wave)


def test_what_is_left_of_an_edge_tile_costs_a_whole_one():
    tile = TILES[0]
    whole, edge = (Product(tile.rows * 80 - cut, tile.columns, 1 << 14) for cut in (0, tile.rows - 1))
    assert MODEL.kernel(edge, 1, tile) == pytest.approx(MODEL.kernel(whole, 1, tile))


def test_large_products_reach_most_of_the_peak_and_small_ones_little():
    large, small = Product(8192, 8192, 8192), Product(64, 64, 64)
    assert 0.8 < large.flops / MODEL.kernel(large) / V100.flops < 1
    assert small.flops / MODEL.kernel(small) / V100.flops < 0.02


def test_the_tile_is_chosen_for_what_runs_in_the_launch():
    product = Product(256, 256, 256)
    assert MODEL.best_tile(product) == TILES[0]  # alone: as many multiprocessors as can be had
    assert MODEL.best_tile(product, 120) == TILES[-1]  # in company: the least traffic
    for tile in TILES:
        assert MODEL.kernel(product, 120) <= MODEL.kernel(product, 120, tile)


def test_a_lone_matrix_vector_product_is_a_pass_over_its_bytes():
    for product in (Product(512, 1, 512), Product(1, 512, 512)):
        assert MODEL.kernel(product) == pytest.approx(product.nbytes / V100.bandwidth)
        assert MODEL.kernel(product, 2) > 3 * MODEL.kernel(product)  # merged it is tiled
        tiled = GpuModel(V100, Rules(matrix_vector=False))
        assert tiled.kernel(product) > 3 * MODEL.kernel(product)
        assert tiled.kernel(product, 2) == MODEL.kernel(product, 2)


def test_the_traffic_term_is_what_a_large_tile_saves():
    product, free = Product(1024, 1024, 1024), GpuModel(V100, Rules(traffic=False))
    added = [MODEL.kernel(product, 1, tile) - free.kernel(product, 1, tile) for tile in TILES]
    assert added == sorted(added, reverse=True)
    operands = 8 * 8 * (128 + 128) * 1024 * 4
    assert added[-1] == pytest.approx(operands / V100.l2_bandwidth)


def test_issue_that_overlaps_hides_behind_long_kernels_and_bounds_short_ones():
    overlapped = GpuModel(V100, Rules(overlapped_issue=True))
    long, short = Product(4096, 4096, 4096), Pass(64.0)
    kernel = MODEL.kernel(long)
    assert MODEL.one_after_another([long] * 10) == pytest.approx(10 * (kernel + ISSUE_SECONDS))
    assert overlapped.one_after_another([long] * 10) == pytest.approx(10 * kernel + ISSUE_SECONDS)
    assert overlapped.one_after_another([short] * 10) == pytest.approx(10 * ISSUE_SECONDS, rel=0.01)
    assert overlapped.at_once([short] * 10) == pytest.approx(10 * ISSUE_SECONDS, rel=0.01)


def test_a_product_that_leaves_the_device_idle_gains_from_company_up_to_the_limit():
    product = Product(64, 64, 4096)  # one tile
    alone = MODEL.kernel(product)
    for limit in (2, 8):
        model = GpuModel(V100, Rules(at_once=limit))
        device = model.at_once([product] * 16) - 16 * ISSUE_SECONDS
        assert device == pytest.approx(alone * math.ceil(16 / limit), rel=0.05)


def test_a_newer_gpu_is_faster():
    for work in (Product(1024, 1024, 1024), Pass(1e8), Product(512, 1, 512)):
        times = [GpuModel(GPUS[name]).kernel(work) for name in ("V100", "A100", "H100")]
        assert times == sorted(times, reverse=True)
