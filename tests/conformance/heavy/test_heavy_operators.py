"""The compute-heavy operators against ONNX Runtime, and the promise that problems do not touch each other's bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

OPERATORS = [
    "MatMul",
    "Gemm",
    "Conv",
    "ConvTranspose",
    "MaxPool",
    "AveragePool",
    "GlobalPool",
    "BatchNormalization",
    "LayerNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "RMSNormalization",
    "RNN",
    "GRU",
    "LSTM",
    "Resize",
]

bounded = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.usefixtures("budgets")
@pytest.mark.parametrize("name", OPERATORS)
def test_every_version_agrees_with_onnx_runtime(name: str, makers: Any) -> None:
    @bounded
    @given(st.data())
    def check(data: st.DataObject) -> None:
        case = makers[name](data.draw)
        note(str(case))
        session = case.session()
        problems = [case.feeds(seed) for seed in (1, 2)]
        expected = [case.expected(session, feeds) for feeds in problems]
        for found, wanted in zip(case.run(problems, expected[0]), expected, strict=True):
            for ours, theirs in zip(found, wanted, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)

    check()


@pytest.mark.usefixtures("budgets")
@pytest.mark.parametrize("name", OPERATORS)
def test_bits_of_a_problem_depend_neither_on_the_others_nor_on_strides(name: str, makers: Any) -> None:
    @bounded
    @given(st.data(), st.integers(1, 32), st.integers(0, 7), st.integers(0, 7))
    def check(data: st.DataObject, count: int, gap: int, other: int) -> None:
        case = makers[name](data.draw)
        note(str(case))
        problems = [case.feeds(seed) for seed in range(count)]
        results = case.expected(case.session(), problems[0])
        together = case.run(problems, results, 64 * gap)
        chosen = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=4, unique=True))
        groups = [chosen, *([r] for r in range(0, count, max(1, count // 6)))]
        for group in groups:
            apart = case.run([problems[r] for r in group], results, 64 * other)
            for r, found in zip(group, apart, strict=True):
                assert [a.tobytes() for a in found] == [a.tobytes() for a in together[r]]

    check()


@pytest.mark.parametrize("name", OPERATORS)
def test_rows_of_a_batch_agree_with_rows_alone(name: str, makers: Any) -> None:
    @settings(bounded, max_examples=25)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        case = makers[name](data.draw)
        if case.batch_axes is None or case.dtype != "float32":
            return
        note(str(case))
        feeds = case.feeds(3)
        session = case.session()
        (together,) = case.run([feeds], case.expected(session, feeds))
        axes = {f"x{index}": axis for index, axis in case.batch_axes.items() if f"x{index}" in feeds}
        rows = feeds["x0"].shape[axes["x0"]]
        alone = []
        for row in range(rows):
            one = {n: v if n not in axes else v.take([row], axes[n]) for n, v in feeds.items()}
            shapes = [None if not n else one[n].shape for n in case.names]
            single = type(case)(**{**case.__dict__, "inputs": shapes})
            alone += single.run([one], single.expected(single.session(), one))
        for position, whole in enumerate(together):
            parts = [found[position] for found in alone]
            axis = next(
                a
                for a in range(whole.ndim)
                if parts[0].shape == (*whole.shape[:a], whole.shape[a] // rows, *whole.shape[a + 1 :])
            )
            np.testing.assert_allclose(np.concatenate(parts, axis), whole, rtol=1e-5, atol=1e-5)

    check()
