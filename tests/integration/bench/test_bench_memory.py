"""`treadle bench memory` with models small enough for a test: real processes hold them, and agree."""

import pytest

from treadle.bench import models
from treadle.bench.memory.command import HolderError, Subject, compare
from treadle.bench.memory.report import FROM_FILES, OURS, YARDSTICK

WIDTHS, SIZE = (3, 64, 128, 256, 512), 16


def small(seed):
    return models.convolutional(WIDTHS, SIZE, 10, seed=seed).SerializeToString()


def test_every_way_holds_the_models_and_answers_alike():
    told = []
    report = compare(Subject("small", small, (1, 3, SIZE, SIZE)), 3, told.append)
    assert [one.server for one in report.held] == [OURS, YARDSTICK, FROM_FILES]
    assert report.deviation < 1e-5
    assert report.weights_mb == pytest.approx(len(small(0)) / 1e6)
    for one in report.held:
        assert one.full_mb > one.empty_mb + 2 * report.weights_mb
        assert 0 < one.anonymous_mb <= one.full_mb
        assert one.ratio == pytest.approx(report.held[0].full_mb / one.full_mb)
    assert len(told) == 9


def test_a_model_that_ends_its_holder_is_told():
    with pytest.raises(HolderError, match=r"process ended \(0\.onnx\)"):
        compare(Subject("broken", lambda _: b"no model", (1, 3, SIZE, SIZE)), 1, print)
