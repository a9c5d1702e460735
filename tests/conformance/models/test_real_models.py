"""The models inside the wheels `magika` and `rapidocr_onnxruntime`: kernels and segments against ONNX Runtime."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from treadle import wheels
from treadle.demo.files import read_model
from treadle.demo.tenants import FILES_ASKED, file_tenant
from treadle_agent.program import segments
from treadle_agent.program.artifact import Artifact, read_artifact
from treadle_agent.program.compilation import read_weights
from treadle_agent.program.interpreter import Interpreter
from treadle_agent.program.loader import Loader
from treadle_agent.program.model import Activation, Program

RELATIVE, ABSOLUTE = 1e-3, 1e-4
Array = np.ndarray
ROOT = Path(__file__).parents[3]
WheelFile = Callable[[wheels.Wheel, str], Path]


def reference(model: Path, feeds: Mapping[str, Array]) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, dict(feeds))


def kernels(loader: Loader, folder: Path, feeds: Mapping[str, Array]) -> dict[str, Array]:
    program = loader.bind(folder, {name: value.shape for name, value in feeds.items()})
    assert program.arena_bytes <= 1.5 * busiest(program)
    return Interpreter(program, read_weights(folder, read_artifact(folder))).run(feeds)


def chained(folder: Path, feeds: Mapping[str, Array]) -> dict[str, Array]:
    tensors = dict(feeds)
    for segment in read_artifact(folder).segments:
        session = segments.open_segment(folder, segment)
        given = session.run(segment.outputs, {name: tensors[name] for name in segment.inputs})
        tensors.update(zip(segment.outputs, given, strict=True))
    return tensors


def busiest(program: Program) -> int:
    """Bytes of the slot in use at the busiest kernel: no arena can be smaller."""
    first: dict[int, int] = {port.value: -1 for port in program.inputs}
    last: dict[int, int] = {}
    for moment, kernel in enumerate(program.kernels):
        for value in kernel.outputs:
            first.setdefault(value, moment)
            last.setdefault(value, moment)
        for operand in kernel.inputs:
            if isinstance(operand, Activation):
                first.setdefault(operand.index, moment)  # a view, counted from where it is read
                last[operand.index] = moment
    return max(
        sum(
            {
                program.offsets[value]: program.values[value].nbytes
                for value in first
                if first[value] <= moment <= last.get(value, -1)
            }.values()
        )
        for moment in range(len(program.kernels))
    )


def agree(loader: Loader, model: Path, feeds: Mapping[str, Array]) -> list[Array]:
    """Kernels and segments give ONNX Runtime's numbers and choices; returns ONNX Runtime's outputs."""
    folder = loader.compile(model)
    artifact = read_artifact(folder)
    assert artifact.kernels_refused == ""
    expected = reference(model, feeds)
    for results in (kernels(loader, folder, feeds), chained(folder, feeds)):
        for spec, want in zip(artifact.outputs, expected, strict=True):
            got = results[spec.name]
            np.testing.assert_allclose(got, want, rtol=RELATIVE, atol=ABSOLUTE)
            np.testing.assert_array_equal(got.argmax(-1), want.argmax(-1))
    return expected


@pytest.fixture(scope="module")
def magika(wheel_file: WheelFile) -> Path:
    return wheel_file(wheels.MAGIKA, wheels.MAGIKA_MODEL)


@pytest.fixture(scope="module")
def classifier(wheel_file: WheelFile) -> Path:
    return wheel_file(wheels.RAPIDOCR, wheels.RAPIDOCR_CLASSIFIER)


@pytest.fixture(scope="module")
def recognizer(wheel_file: WheelFile) -> Path:
    return wheel_file(wheels.RAPIDOCR, wheels.RAPIDOCR_RECOGNIZER)


@pytest.mark.parametrize("rows", [1, 4])
def test_magika_tells_the_files_of_this_tree_apart(
    magika: Path, wheel_file: WheelFile, real_loader: Loader, rows: int
) -> None:
    extractor = read_model(magika, wheel_file(wheels.MAGIKA, wheels.MAGIKA_CONFIG).read_bytes())
    files = {"pyproject.toml": "toml", "cli/treadle/wheels.py": "python", "Makefile": "makefile", "LICENSE": "txt"}
    features = np.concatenate([extractor.features((ROOT / name).read_bytes()) for name in files])
    for begin in range(0, len(files), rows):
        (scores,) = agree(real_loader, magika, {"bytes": features[begin : begin + rows]})
        labels = [extractor.labels[index] for index in scores.argmax(-1)]
        assert labels == list(files.values())[begin : begin + rows]


def test_the_demo_asks_magika_about_real_files(magika: Path, wheel_file: WheelFile) -> None:
    model = read_model(magika, wheel_file(wheels.MAGIKA, wheels.MAGIKA_CONFIG).read_bytes())
    tenant = file_tenant(model, [Path(sysconfig.get_path("platlib"))])
    (tier,) = tenant.tiers
    assert tenant.name == "files"
    assert tier.model == magika
    assert tier.accuracy > 80
    assert tenant.deadline > tier.service > 0
    assert len(tenant.inputs) == len(tenant.labels) == FILES_ASKED
    assert len({model.labels[label] for (label,) in tenant.labels}) >= 4, "files of many kinds"
    assert all(features["bytes"].shape == (1, model.begin + model.end) for features in tenant.inputs)
    right = [
        reference(magika, features)[0].argmax() == label
        for features, (label,) in zip(tenant.inputs, tenant.labels, strict=True)
    ]
    assert tier.accuracy == pytest.approx(100 * np.mean(right))


@pytest.mark.parametrize("upside_down", [False, True])
@pytest.mark.parametrize(("rows", "width"), [(1, 192), (3, 192), (1, 320)])
def test_the_classifier_sees_which_way_up_text_is(
    classifier: Path, real_loader: Loader, lines: Callable[..., Array], rows: int, width: int, upside_down: bool
) -> None:
    (scores,) = agree(real_loader, classifier, {"x": lines(rows, 48, width, upside_down=upside_down)})
    assert set(scores.argmax(-1)) == {int(upside_down)}


@pytest.mark.parametrize(("rows", "width"), [(1, 320), (4, 320), (1, 448)])
def test_the_recognizer_reads_lines(
    recognizer: Path,
    real_loader: Loader,
    lines: Callable[..., Array],
    sentences: tuple[str, ...],
    rows: int,
    width: int,
) -> None:
    (scores,) = agree(real_loader, recognizer, {"x": lines(rows, 48, width)})
    assert [read(recognizer, one) for one in scores] == list(sentences[:rows])


def read(recognizer: Path, scores: Array) -> str:
    """Greedy decoding of connectionist temporal classification: repeats merged, blanks (class 0) dropped."""
    metadata = {one.key: one.value for one in onnx.load_model(recognizer).metadata_props}
    characters = ["", *metadata["character"].splitlines(), " "]
    best = scores.argmax(-1)
    kept = [int(one) for position, one in enumerate(best) if one and (not position or one != best[position - 1])]
    return "".join(characters[one] for one in kept).strip()  # a margin may be read as a blank


def test_rows_of_the_real_models_are_independent(
    magika: Path, classifier: Path, recognizer: Path, real_loader: Loader
) -> None:
    artifacts: list[Artifact] = [read_artifact(real_loader.compile(one)) for one in (magika, classifier, recognizer)]
    assert [one.batchable for one in artifacts] == [True, True, True]
