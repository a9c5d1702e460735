"""What is refused before anything is computed, and what a model says of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from treadle_agent.program.errors import ModelError
from treadle_agent.program.limits import Limits
from treadle_agent.program.onnx_import import Source, read_model

RELU = "g (float[N, 4] x) => (float[N, 4] y) { y = Relu(x) }"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (RELU, True),
        ("g (float[3, 4] x) => (float[3, 4] y) { y = Relu(x) }", False),
        ("g (float[N, 4] x) => (float[M, 4] y) { y = Relu(x) }", True),
        ("g (float[N, 4] a, float[N, 4] b) => (float[N, 4] y) { y = Add(a, b) }", True),
        ("g (float[N, 4] a, float[M, 4] b) => (float[K, 4] y) { y = Add(a, b) }", False),
        ("g (float[N, N] x) => (float[N, N] y) { y = Relu(x) }", False),
        ("g (float[N, 4] x) => (float y) { y = ReduceSum<keepdims = 0>(x) }", False),
    ],
)
def test_rows_are_the_free_dimension_that_all_share(read: Callable[..., Source], text: str, rows: bool) -> None:
    assert read(text, opset=11 if "Reduce" in text else 17).rows is rows


def test_free_dimensions_are_minus_one(read: Callable[..., Source]) -> None:
    source = read("g (float[N, 3, H, 32] x) => (float[N, 3, H, 32] y) { y = Relu(x) }")
    assert [one.shape for one in source.inputs] == [(-1, 3, -1, 32)]
    assert source.static() is None
    assert source.shapes(8) == {"x": (1, 3, 8, 32)}


@pytest.mark.parametrize(
    ("text", "opset", "message"),
    [
        (RELU, 10, "onnx.version_converter"),
        (RELU, 99, "opset 99 is newer than"),
        ("g (float16[N, 4] x) => (float16[N, 4] y) { y = Relu(x) }", 17, "x: element type float16 is not served"),
        ("g (string[N] x) => (string[N] y) { y = Identity(x) }", 17, "x: element type string"),
        ("g (float x) => (float[N, 4] y) { y = Reshape(x, x) }", 17, "not a valid ONNX model"),
        ("g (float[N, 4] x) => (float[N, 4] y) { y = Relu(z) }", 17, "not a valid ONNX model"),
        ("g (float[N, 4] x) => (float[N, 4] y) { a = Relu(b)\n b = Relu(a)\n y = Add(x, a) }", 17, "sorted"),
        ("g (float[2, 4] x, float[3, 5] z) => (float[N, 4] y) { y = Add(x, z) }", 17, "not a valid ONNX model"),
    ],
)
def test_wrong_models_are_refused_with_the_reason(
    reason: Callable[..., str], text: str, opset: int, message: str
) -> None:
    assert message in reason(text, opset=opset)


@pytest.mark.parametrize("data", [b"", b"\x08", b"PK\x03\x04 not an onnx file", b"\x00" * 4096, bytes(range(256)) * 16])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"not an ONNX file|not a valid ONNX model"):
        read_model(path, Limits())


def test_every_truncation_is_refused(save: Callable[..., Path]) -> None:
    path = save("g (float[N, 4] x) => (float[N, 3] y) { y = MatMul(x, w) }", {"w": np.ones((4, 3), np.float32)})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            read_model(path, Limits())


def test_large_files_are_refused_unread(save: Callable[..., Path]) -> None:
    path = save(RELU)
    with path.open("r+b") as file:
        file.truncate(2 << 30)
    with pytest.raises(ModelError, match=r"at most 1024 MiB are accepted \(Limits.model_bytes\)"):
        read_model(path, Limits())


def external(tmp_path: Path, location: str, **fields: str) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"\0" * 64)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "own.bin").write_bytes(np.arange(16, dtype=np.float32).tobytes())
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {RELU.replace("Relu(x)", "Add(x, w)")}')
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **fields}.items():
        weight.external_data.add(key=key, value=value)
    model.graph.initializer.append(weight)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


def test_external_data_in_the_folder_is_read(tmp_path: Path) -> None:
    source = read_model(external(tmp_path, "own.bin", offset="16", length="16"), Limits())
    np.testing.assert_array_equal(numpy_helper.to_array(source.model.graph.initializer[0]), [4, 5, 6, 7])
    assert source.external == ("own.bin",)


@pytest.mark.parametrize(
    ("location", "fields", "message"),
    [
        ("../secret.bin", {}, "outside the model's folder"),
        ("/etc/passwd", {}, "outside the model's folder"),
        ("link.bin", {}, "outside the model's folder"),
        ("", {}, "outside the model's folder"),
        (".", {}, "is not a file in the model's folder"),
        ("sub/../../secret.bin", {}, "outside the model's folder"),
        ("missing.bin", {}, "is not a file in the model's folder"),
        ("own.bin", {"offset": "60", "length": "16"}, "ends behind the end"),
        ("own.bin", {"offset": "-16"}, "ends behind the end"),
        ("own.bin", {"offset": "many"}, "no number"),
        ("own.bin", {"length": "8"}, "not a valid ONNX model"),
    ],
)
def test_external_data_elsewhere_is_refused(
    tmp_path: Path, location: str, fields: dict[str, str], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        read_model(external(tmp_path, location, **fields), Limits())


def test_external_data_beside_a_model_that_was_fetched_alone_is_anothers(tmp_path: Path) -> None:
    path = external(tmp_path, "own.bin", length="16")
    with pytest.raises(ModelError, match="external data cannot be fetched along: save the model as one file"):
        read_model(path, Limits(), alone=True)


def test_external_data_counts_towards_the_size(tmp_path: Path) -> None:
    path = external(tmp_path, "own.bin", length="64")
    with pytest.raises(ModelError, match="external data is too large"):
        read_model(path, Limits(model_bytes=path.stat().st_size))


def test_external_data_of_a_subgraph_is_checked_too(tmp_path: Path) -> None:
    path = external(tmp_path, "own.bin", length="16")
    model = onnx.load_model(path, load_external_data=False)
    weight = model.graph.initializer.pop()
    weight.external_data[0].value = "../secret.bin"
    inner = helper.make_graph([helper.make_node("Identity", ["w"], ["i"])], "inner", [], [], [weight])
    inner.output.append(helper.make_tensor_value_info("i", TensorProto.FLOAT, [4]))
    model.graph.node.insert(0, helper.make_node("If", ["c"], ["w"], then_branch=inner, else_branch=inner))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "c"))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="outside the model's folder"):
        read_model(path, Limits())
