"""From an untrusted ONNX file to a checked model, and from there to a graph bound to static shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.checker
import onnx.external_data_helper
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from treadle_agent.program.artifact import TensorSpec
from treadle_agent.program.errors import ModelError
from treadle_agent.program.expansion import expanded_nodes
from treadle_agent.program.limits import Limits, check_size, size_message
from treadle_agent.program.model import DType, Shape

OLDEST_OPSET = 11
FIRST_IR_WITH_CONSTANTS = 4
FREE = -1
DTYPES: Mapping[int, DType] = {
    TensorProto.FLOAT: "float32",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.BOOL: "bool",
    TensorProto.UINT8: "uint8",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A checked model with its weights in memory.

    Attributes:
        model: the ONNX model, external data included.
        inputs: what clients send; free dimensions are -1.
        outputs: what clients receive.
        symbols: for each input, the name of each free dimension; equal names must be equal numbers.
        rows: whether dimension 0 of all inputs is one free dimension, and dimension 0 of all outputs is free too.
        external: names of the files beside the model that its weights were read from.
    """

    model: ModelProto
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    symbols: tuple[tuple[str, ...], ...]
    rows: bool
    external: tuple[str, ...]

    def shapes(self, size: int) -> dict[str, Shape]:
        """A binding with one row, and every other free dimension of this size."""
        return {
            one.name: tuple(
                dim if dim != FREE else 1 if self.rows and axis == 0 else size for axis, dim in enumerate(one.shape)
            )
            for one in self.inputs
        }

    def static(self) -> dict[str, Shape] | None:
        """The binding with one row, or None where other dimensions are free too."""
        shapes = self.shapes(FREE)
        return None if any(FREE in shape for shape in shapes.values()) else shapes


def read_model(path: Path, limits: Limits, *, alone: bool = False) -> Source:
    """Read and check a model file; `alone`: it has no files beside it. Raises ModelError."""
    model = _parse(path, limits)
    _check_versions(model)
    _check_functions(model, limits)
    _fix_initializers(model)
    external = _load_external_data(model, path, limits, alone=alone)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise ModelError(f"not a valid ONNX model: {_first_lines(error)}") from error
    return _describe(model, external)


def specification(value: ValueInfoProto) -> tuple[TensorSpec, tuple[str, ...]]:
    """A declared input or output, and the names of its free dimensions ("" where anonymous or fixed)."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise ModelError(
            f"{value.name}: inputs and outputs must be tensors, this is a {kind or 'value without a type'}"
        )
    tensor = value.type.tensor_type
    dtype = DTYPES.get(tensor.elem_type)
    if dtype is None:
        raise ModelError(
            f"{value.name}: element type {type_name(tensor.elem_type)} is not served; "
            f"inputs and outputs must be one of {', '.join(DTYPES.values())}"
        )
    if not tensor.HasField("shape"):
        raise ModelError(
            f"{value.name}: declared without a shape; declare its rank at least, with free dimensions named"
        )
    shape: list[int] = []
    symbols: list[str] = []
    for dim in tensor.shape.dim:
        fixed = dim.WhichOneof("value") == "dim_value" and dim.dim_value >= 0
        shape.append(dim.dim_value if fixed else FREE)
        # Some exporters call every free dimension "?": the same word, not the same number.
        symbols.append("" if fixed or dim.dim_param in {"", "?"} else dim.dim_param)
    return TensorSpec(value.name, dtype, tuple(shape)), tuple(symbols)


def type_name(element: int) -> str:
    """NumPy's name of an ONNX element type."""
    match element:
        case TensorProto.FLOAT:
            return "float32"
        case TensorProto.DOUBLE:
            return "float64"
        case TensorProto.UNDEFINED:
            return "unknown type"
    try:
        return str(TensorProto.DataType.Name(element)).lower()
    except ValueError:
        return f"type {element}"


def _parse(path: Path, limits: Limits) -> ModelProto:
    try:
        check_size(path, limits)
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"the model file cannot be read: {error.strerror}") from error
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise ModelError(f"not an ONNX file: {_first_lines(error)}") from error
    if not model.ir_version or not model.HasField("graph"):
        raise ModelError("not an ONNX file: it has no IR version or no graph")
    return model


def _check_versions(model: ModelProto) -> None:
    if model.ir_version > onnx.IR_VERSION:
        raise ModelError(
            f"ir_version {model.ir_version} is newer than {onnx.IR_VERSION}, which the installed onnx knows: "
            "export with an older IR version, or upgrade onnx and onnxruntime"
        )
    opset = opset_of(model)
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        raise ModelError(
            f"opset {opset} is newer than {newest}, which the installed onnx knows: export with an older opset, "
            "or upgrade onnx and onnxruntime"
        )
    if opset < OLDEST_OPSET:
        raise ModelError(
            f"opset {opset} is older than {OLDEST_OPSET}: convert the model with "
            f"onnx.version_converter.convert_version(model, {OLDEST_OPSET})"
        )


def _check_functions(model: ModelProto, limits: Limits) -> None:
    """Refuse a model whose functions make too much of it, before the checker infers shapes through every call."""
    try:
        count = expanded_nodes(model) if model.functions else 0
    except RecursionError:
        raise ModelError(
            "the model's functions call each other too deeply: put them in the places of their calls"
        ) from None
    if count > limits.nodes:
        raise ModelError(
            f"the model has {count} nodes with its functions in the places of their calls; at most {limits.nodes} are "
            "accepted (Limits.nodes)"
        )


def _fix_initializers(model: ModelProto) -> None:
    """Drop initializers from the inputs, so that they are constants; before IR version 4 all were inputs too.

    ONNX Runtime lets a caller override such an initializer; nobody does here.
    """
    given = {tensor.name for tensor in model.graph.initializer}
    given |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    kept = [value for value in model.graph.input if value.name not in given]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    # Under an older version the checker demands them as inputs, and shape inference does not look for them elsewhere.
    model.ir_version = max(model.ir_version, FIRST_IR_WITH_CONSTANTS)


def opset_of(model: ModelProto) -> int:
    """The version of ONNX's own operators that the model is written for; raises ModelError without one."""
    for entry in model.opset_import:
        if entry.domain in {"", "ai.onnx"}:
            return int(entry.version)
    raise ModelError("the model imports no opset of ai.onnx")


def _load_external_data(model: ModelProto, path: Path, limits: Limits, *, alone: bool) -> tuple[str, ...]:
    """Read weights kept in other files, which must lie in the model's folder, links resolved; returns their names."""
    home = path.parent.resolve()
    external = [
        tensor
        for tensor in _tensors_of_model(model)
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data
    ]
    if alone and external:
        raise ModelError(
            f"{external[0].name}: external data cannot be fetched along: save the model as one file "
            "(onnx.save with save_as_external_data=False), or put all its files into a folder that agents have"
        )
    total = path.stat().st_size
    files: dict[str, None] = {}
    for tensor in external:
        fields = {entry.key: entry.value for entry in tensor.external_data}
        location = fields.get("location", "")
        resolved = (home / location).resolve()
        if (
            not location
            or Path(location).is_absolute()
            or ".." in Path(location).parts
            or not resolved.is_relative_to(home)
        ):
            raise ModelError(f"{tensor.name}: external data {location!r} lies outside the model's folder")
        if not resolved.is_file():
            raise ModelError(f"{tensor.name}: external data {location!r} is not a file in the model's folder")
        try:
            offset, length = int(fields.get("offset", "0")), int(fields.get("length", resolved.stat().st_size))
        except ValueError as error:
            raise ModelError(f"{tensor.name}: external data has an offset or length that is no number") from error
        if offset < 0 or length < 0 or offset + length > resolved.stat().st_size:
            raise ModelError(f"{tensor.name}: external data ends behind the end of {location!r}")
        total += length
        if total > limits.model_bytes:
            raise ModelError(size_message("the model's external data is too large", limits))
        with resolved.open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(length)
        del tensor.external_data[:]
        tensor.data_location = TensorProto.DEFAULT
        files[location] = None
    return tuple(files)


def _tensors_of_model(model: ModelProto) -> Iterator[TensorProto]:
    yield from _tensors_of(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _tensors_of_node(node)


def _tensors_of(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _tensors_of_node(node)


def _tensors_of_node(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        match attribute.type:
            case AttributeProto.TENSOR:
                yield attribute.t
            case AttributeProto.TENSORS:
                yield from attribute.tensors
            case AttributeProto.SPARSE_TENSOR:
                yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
            case AttributeProto.GRAPH:
                yield from _tensors_of(attribute.g)
            case AttributeProto.GRAPHS:
                for graph in attribute.graphs:
                    yield from _tensors_of(graph)


def _describe(model: ModelProto, external: tuple[str, ...]) -> Source:
    inputs = [specification(value) for value in model.graph.input]
    outputs = [specification(value) for value in model.graph.output]
    if not inputs or not outputs:
        raise ModelError("the model has no inputs or no outputs")
    return Source(
        model,
        tuple(spec for spec, _ in inputs),
        tuple(spec for spec, _ in outputs),
        tuple(symbols for _, symbols in inputs),
        _has_rows(inputs, [spec for spec, _ in outputs]),
        external,
    )


def _has_rows(inputs: Sequence[tuple[TensorSpec, tuple[str, ...]]], outputs: Sequence[TensorSpec]) -> bool:
    if not all(spec.shape[:1] == (FREE,) for spec, _ in inputs) or not all(one.shape[:1] == (FREE,) for one in outputs):
        return False
    first = {symbols[0] for _, symbols in inputs}
    # A row dimension that also names another dimension is not a count of independent rows.
    others = {symbol for _, symbols in inputs for symbol in symbols[1:] if symbol}
    return len(first) == 1 and not first & others


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
