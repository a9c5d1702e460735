"""Which kernels of a program are launched as one graph."""

import pytest

from treadle_agent.executor.cuda.bound import Bound
from treadle_agent.executor.cuda.graphs import runs_of_own


@pytest.mark.parametrize(
    ("launches", "own", "runs"),
    [
        ([], [], []),
        ([1], [True], []),  # one launch is one launch
        ([1, 1], [True, True], [range(2)]),
        ([1, 1, 1, 1, 1], [True, True, False, True, True], [range(2), range(3, 5)]),  # cuBLAS lies between
        ([1, 1, 1, 1], [False, True, True, False], [range(1, 3)]),
        ([1, 1, 1], [True, False, True], []),
        ([1, 0, 1], [True, True, True], [range(3)]),  # an output without elements lies between
        ([1, 0, 0], [True, True, True], []),
    ],
)
def test_runs_of_own_kernels(launches: list[int], own: list[bool], runs: list[range]) -> None:
    assert runs_of_own(launches, own) == runs


class Graph:
    def launch(self) -> None: ...


def bound(shares: tuple[float, ...]) -> Bound:
    launches = tuple((lambda: None,) for _ in range(5))
    return Bound(launches, 1, None, (), None, None, (), shares, {1: (4, Graph())})


SHARES = (0.0, 0.1, 0.2, 0.4, 0.8, 1.0)


@pytest.mark.parametrize(
    ("begin", "end", "pieces"),
    [
        (0, 5, [range(1), range(1, 4), range(4, 5)]),
        (1, 4, [range(1, 4)]),
        (0, 3, [range(1), range(1, 2), range(2, 3)]),  # cut: kernel by kernel
        (2, 5, [range(2, 3), range(3, 4), range(4, 5)]),
        (3, 3, []),
    ],
)
def test_a_run_is_a_piece_where_it_lies_within_as_a_whole(begin: int, end: int, pieces: list[range]) -> None:
    assert [kernels for kernels, _ in bound(SHARES).pieces(begin, end)] == pieces


def test_a_runs_time_is_told_by_its_kernels_shares() -> None:
    assert bound(SHARES).told(range(1, 4), 7.0) == pytest.approx([1.0, 2.0, 4.0])
    assert bound(SHARES).told(range(2, 3), 7.0) == [7.0]
    assert bound((0.0,) * 6).told(range(1, 4), 6.0) == [2.0] * 3, "nothing is known of them"
