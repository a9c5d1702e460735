"""The table of kernels in terminals of any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from treadle.profile.report import KernelRow, Profile
from treadle.profile.table import KERNEL_COLUMNS, show

SIGNATURE = "gemm[1x1024x64,relu,bias]+softmax[1x1024]"


@pytest.mark.parametrize(("width", "whole"), [(80, False), (100, False), (160, True)])
def test_columns_are_left_out_and_no_word_is_cut(width: int, whole: bool) -> None:
    row = KernelRow("under-load", SIGNATURE, 12, "super-kernel", "128×128×16", "64×64×16", 1024, 0.0123456, 0.0012345)
    console = Console(file=io.StringIO(), width=width, color_system=None)
    show(Profile("simulated:V100", True, ("under-load",), 0.25, (), (row,)), console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    [head] = [line for line in lines if line.startswith("┃")]
    titles = [cell.strip() for cell in head.strip("┃").split("┃")]
    assert {"model", "kernel", "µs alone", "µs each, merged"} <= set(titles) <= set(KERNEL_COLUMNS)
    assert (len(titles) == len(KERNEL_COLUMNS)) == whole
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert [row[0] for row in cells if row[0]] == ["under-load"]
    assert "12345.6" in cells[0]
    assert "".join(row[1] for row in cells) == SIGNATURE
