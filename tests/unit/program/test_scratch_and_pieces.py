"""Scratch that a thread's launches share, and the cutting of work into pieces."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from math import prod

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle_agent.program.ops import recurrent
from treadle_agent.program.ops.problems import pieces
from treadle_agent.program.ops.registry import BIND
from treadle_agent.program.ops.scratch import scratch

assert recurrent.DEFAULTS


def test_arrays_of_one_call_do_not_overlap_and_calls_share_memory() -> None:
    first, second = scratch((3, 5), (7,))
    assert not np.may_share_memory(first, second)
    assert first.ctypes.data % 64 == second.ctypes.data % 64 == 0
    (again,) = scratch((3, 5))
    assert again.ctypes.data == first.ctypes.data


def test_outgrown_scratch_stays_valid_and_the_new_one_is_at_least_twice_as_large() -> None:
    def outgrow() -> None:
        (old,) = scratch((1 << 20,))
        old.fill(3)
        (grown,) = scratch(((1 << 20) + 64,))
        assert not np.may_share_memory(old, grown)
        assert (old == 3).all()
        # Grown by half again, it need not move: growing costs a constant factor, not a buffer a call.
        (further,) = scratch(((1 << 20) + (1 << 19),))
        assert further.ctypes.data == grown.ctypes.data

    with ThreadPoolExecutor(1) as fresh:  # a thread that has no scratch yet
        fresh.submit(outgrow).result()


@settings(derandomize=True, database=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(1, 50), st.integers(1, 2000))
def test_pieces_cover_everything_once_within_the_budget(sizes: list[int], item: int, budget: int) -> None:
    seen = np.zeros(sizes, int)
    for piece in pieces(sizes, item, budget):
        seen[piece] += 1
        elements = prod(each.stop - each.start for each in piece)
        assert elements * item <= budget or elements == 1
    assert (seen == 1).all()


@settings(derandomize=True, database=None)
@given(st.integers(1, 40), st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 999))
def test_how_a_problem_is_cut_does_not_depend_on_their_number(count: int, inner: list[int], budget: int) -> None:
    alone = {str(piece[1:]) for piece in pieces((1, *inner), 8, budget)}
    assert {str(piece[1:]) for piece in pieces((count, *inner), 8, budget)} == alone


def test_one_launch_on_two_threads_at_once_uses_two_scratches() -> None:
    random = np.random.default_rng(0)
    shapes = ((4, 30, 1, 8), (4, 1, 48, 8), (4, 1, 48, 16))
    data, weight, repeated = (random.standard_normal(shape).astype(np.float32) for shape in shapes)
    attributes = {
        "direction": "forward",
        "activations": ("sigmoid", "tanh"),
        "alphas": (0.0, 0.0),
        "betas": (0.0, 0.0),
        "clip": 0.0,
        "batch_first": False,
        "linear_before_reset": True,
        "results": ("Y_h",),
    }

    def bound(values: np.ndarray) -> tuple[np.ndarray, object]:
        out = np.zeros((4, 1, 1, 16), np.float32)
        return out, BIND["GRU"](attributes, [values, weight, repeated, None, None, None], [out])

    expected = []
    for values in (data, -data):
        out, launch = bound(values)
        launch()
        expected.append(out.copy())
    bindings = [bound(values) for values in (data, -data)]  # both on this thread
    wrong: list[int] = []
    barrier = threading.Barrier(2)

    def hammer(index: int) -> None:
        out, launch = bindings[index]
        barrier.wait(timeout=10)
        for _ in range(150):
            launch()
            if out.tobytes() != expected[index].tobytes():
                wrong.append(index)

    threads = [threading.Thread(target=hammer, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not wrong
