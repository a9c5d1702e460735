"""Tensor values on the wire: what goes in comes out, and what is cut off is refused."""

from __future__ import annotations

import json
import struct
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from treadle_agent.executor.gateway import Served
from treadle_agent.executor.protocol import TierSpec, Version
from treadle_agent.frontend.contract import Contract
from treadle_agent.frontend.errors import BadRequestError
from treadle_agent.frontend.query import read_query
from treadle_agent.frontend.settings import FrontEndSettings
from treadle_agent.frontend.tensors import DATATYPES, fill, list_values, parse_json
from treadle_agent.metrics import TenantRequests, TenantSeries
from treadle_agent.program.artifact import TensorSpec

SETTINGS = FrontEndSettings()
DTYPES = st.sampled_from(sorted(DATATYPES))


@st.composite
def arrays(draw, min_dims=0):
    dtype = draw(DTYPES)
    shape = draw(hnp.array_shapes(min_dims=min_dims, max_dims=4, max_side=4))
    elements = {"allow_nan": False, "allow_infinity": False} if dtype == "float32" else {}
    return dtype, draw(hnp.arrays(dtype, shape, elements=hnp.from_dtype(np.dtype(dtype), **elements)))


def contract_for(named):
    """A version that takes and gives tensors of these names and arrays."""
    specs = tuple(TensorSpec(name, dtype, (-1,) * array.ndim) for name, (dtype, array) in named.items())
    version = Version(1, "t.default", 1.0, 1, 1, (TierSpec("only", 90.0, ""),))
    served = Served(version, specs, specs, False, ("merged",), (0.001,))
    gateway = SimpleNamespace(answer=None)  # nothing is answered here
    return Contract(SimpleNamespace(name="t"), served, TenantRequests(TenantSeries("t", "default", ("only",))), gateway)


def read(document, binary, contract):
    header = json.dumps(document).encode()
    return read_query(header + binary, str(len(header)) if binary else None, contract, SETTINGS)


def filled(query, sources, contract):
    views = [np.empty(shape, spec.dtype) for shape, spec in zip(query.shapes, contract.served.inputs, strict=True)]
    for view, source, port in zip(views, sources, contract.inputs, strict=True):
        fill(view, source, port.datatype)
    return views


def same_bits(left, right):
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


@given(arrays(), st.booleans())
def test_json_round_trip(typed, nested):
    dtype, array = typed
    datatype = DATATYPES[dtype]
    written = array.tolist() if nested and array.ndim else list_values(array)
    values = parse_json(msgspec.Raw(msgspec.json.encode(written)), datatype, array.shape)
    view = np.empty(array.shape, dtype)
    fill(view, values, datatype)
    assert same_bits(view, array)


@given(st.dictionaries(st.text(min_size=1, max_size=5), arrays(), min_size=1, max_size=4), st.data())
def test_binary_and_json_inputs_in_any_order(named, data):
    contract = contract_for(named)
    tensors, binary = [], b""
    for name in data.draw(st.permutations(sorted(named))):
        dtype, array = named[name]
        tensor = {"name": name, "datatype": DATATYPES[dtype].name, "shape": list(array.shape)}
        if data.draw(st.booleans()):
            tensor["parameters"] = {"binary_data_size": array.nbytes}
            binary += array.astype(array.dtype.newbyteorder("<")).tobytes()
        else:
            tensor["data"] = array.reshape(-1).tolist()
        tensors.append(tensor)
    query, sources = read({"inputs": tensors}, binary, contract)
    for view, (_, array) in zip(filled(query, sources, contract), named.values(), strict=True):
        assert same_bits(view, array)


@given(arrays(), arrays(), st.data())
def test_a_request_cut_off_or_lengthened_anywhere_is_refused(first, second, data):
    named = {"a": first, "b": second}
    contract = contract_for(named)
    tensors = [
        {
            "name": name,
            "datatype": DATATYPES[dtype].name,
            "shape": list(array.shape),
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, (dtype, array) in named.items()
    ]
    header = json.dumps({"inputs": tensors}).encode()
    body = header + first[1].tobytes() + second[1].tobytes()
    read_query(body, str(len(header)), contract, SETTINGS)
    cut = data.draw(st.integers(0, len(body) - 1))
    for damaged in (body[:cut], body + b"\0" * (cut + 1)):
        with pytest.raises(BadRequestError):
            read_query(damaged, str(len(header)), contract, SETTINGS)
    with pytest.raises(BadRequestError):
        read_query(body, str(cut if cut != len(header) else cut + 1), contract, SETTINGS)


@given(st.binary(max_size=200), st.one_of(st.none(), st.text(max_size=6), st.integers(-2, 300).map(str)))
def test_arbitrary_bytes_are_refused(body, header_length):
    contract = contract_for({"x": ("float32", np.zeros((1, 2), np.float32))})
    with pytest.raises(BadRequestError):
        read_query(body, header_length, contract, SETTINGS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.just("x") | json_values,
            "datatype": st.just("FP32") | json_values,
            "shape": st.just([1, 2]) | json_values,
            "data": st.just([1, 2]) | json_values,
            "parameters": json_values | st.fixed_dictionaries({"binary_data_size": json_values}),
        },
    )
)
def test_arbitrary_documents_are_refused_or_fit(tensor):
    contract = contract_for({"x": ("float32", np.zeros((1, 2), np.float32))})
    try:
        query, sources = read({"inputs": [tensor]}, b"", contract)
        views = filled(query, sources, contract)
    except BadRequestError:
        return
    assert views[0].shape == query.shapes[0]


def test_numbers_out_of_range_are_refused_instead_of_wrapped():
    for dtype, value in [
        ("int32", 2**31), ("int32", -(2**31) - 1), ("int64", 2**63), ("uint8", 256), ("uint8", -1), ("float32", 3.5e38),
    ]:  # fmt: skip
        with pytest.raises(BadRequestError, match="out of range"):
            fill(np.empty((1,), dtype), [value], DATATYPES[dtype])
    largest = float(np.finfo(np.float32).max)
    view = np.empty((1,), np.float32)
    fill(view, [largest], DATATYPES["float32"])
    assert view[0] == np.float32(largest)


def test_any_byte_but_zero_is_true():
    view = np.empty((2, 2), np.bool_)
    fill(view, memoryview(bytes([0, 1, 2, 255])), DATATYPES["bool"])
    assert view.view(np.uint8).tolist() == [[0, 1], [1, 1]]


def test_binary_keeps_what_json_cannot_hold():
    view = np.empty((3,), np.float32)
    fill(view, memoryview(struct.pack("<3f", float("nan"), float("inf"), -0.0)), DATATYPES["float32"])
    assert np.isnan(view[0])
    assert np.isinf(view[1])
    assert np.signbit(view[2])
