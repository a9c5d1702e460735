"""Hostile models: each gets a clear error within seconds, and the parent lives."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from treadle_agent.program.errors import ModelError
from treadle_agent.program.limits import Limits
from treadle_agent.program.loader import Loader

MIB = 1 << 20
Write = Callable[[str], Path]
SECONDS = 30.0


@pytest.fixture(autouse=True)
def in_seconds() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SECONDS


def refusal(loader: Loader, model: Path) -> str:
    with pytest.raises(ModelError) as caught:
        loader.compile(model)
    return str(caught.value)


def test_an_unsupported_operator_crosses_with_its_triple(loader: Loader, text_model: Write) -> None:
    with pytest.raises(ModelError) as caught:
        loader.compile(text_model("g (float[N, 4] x) => (float[N, 4] y) { a = Cosh(x)\n y = Acosh(a) }"))
    assert caught.value.unsupported == (("Cosh", 9, "float32"), ("Acosh", 9, "float32"))


def test_an_operator_of_another_domain_is_listed(loader: Loader, tmp_path: Path) -> None:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "xy"]
    node = helper.make_node("Frobnicate", ["x"], ["y"], domain="org.example")
    model = helper.make_model(
        helper.make_graph([node], "g", ports[:1], ports[1:]),
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("org.example", 1)],
    )
    onnx.save_model(model, tmp_path / "custom.onnx")
    assert "org.example.Frobnicate" in refusal(loader, tmp_path / "custom.onnx")


@pytest.mark.parametrize("elements", ["1000000000", "100000000000000"])
def test_a_constant_of_a_shape_beyond_memory(loader: Loader, text_model: Write, elements: str) -> None:
    text = f"""g (float[N, 4] x) => (float[M] y) {{
      shape = Constant<value = int64[1] {{{elements}}}>()
      zeros = ConstantOfShape(shape)
      one = Constant<value = float {{1.0}}>()
      big = Add(zeros, one)
      y = Identity(big)
    }}"""
    assert "MiB are accepted for a tensor (Limits.tensor_bytes)" in refusal(loader, text_model(text))


def test_many_tensors_each_within_the_limit(loader: Loader, text_model: Write) -> None:
    # Sixteen times 400 MB, none of which is too large alone.
    body = "\n".join(
        f"c{i} = Expand(w, shape)\n e{i} = Exp(c{i})\n s{i} = ReduceSum<keepdims = 1>(e{i})" for i in range(16)
    )
    total = "\n".join(f"t{i + 1} = Add({'x' if i == 0 else f't{i}'}, s{i})" for i in range(16))
    text = f"""g (float[N, 1] x) => (float[N, 1] y) {{
      shape = Constant<value = int64[2] {{10000, 10000}}>()
      w = Constant<value = float[1, 1] {{1.0}}>()
      {body}
      {total}
      y = Identity(t16)
    }}"""
    assert "Limits.memory_bytes" in refusal(loader, text_model(text))


def test_declared_dimensions_without_data(loader: Loader, tmp_path: Path, text_model: Write) -> None:
    model = onnx.load_model(
        text_model("g (float[N, 4] x) => (float[N, 4] y) { y = Add(x, w) }"), load_external_data=False
    )
    model.graph.initializer.append(
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40, 4], raw_data=b"\0" * 16)
    )
    path = tmp_path / "bomb.onnx"
    path.write_bytes(model.SerializeToString())
    assert "not a valid ONNX model" in refusal(loader, path)


def test_an_activation_beyond_memory(loader: Loader, text_model: Write) -> None:
    text = """g (float[N, 4] x) => (float[A, B] y) {
      repeats = Constant<value = int64[2] {100000, 100000}>()
      y = Tile(x, repeats)
    }"""
    assert "Limits.tensor_bytes" in refusal(loader, text_model(text))


def test_a_cycle(loader: Loader, tmp_path: Path) -> None:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "xy"]
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ports[:1], ports[1:]), ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
    )
    (tmp_path / "cycle.onnx").write_bytes(model.SerializeToString())
    assert "topologically sorted" in refusal(loader, tmp_path / "cycle.onnx")


def test_a_loop_that_does_not_end(tmp_path: Path, endless: Path) -> None:
    quick = Loader(tmp_path / "cache", Limits(wall_seconds=2.0))
    assert "Limits.wall_seconds" in refusal(quick, endless)
    busy = Loader(tmp_path / "cache", Limits(cpu_seconds=2))
    assert "Limits.cpu_seconds" in refusal(busy, endless)


def test_a_loader_that_is_closed_waits_for_no_model(tmp_path: Path, endless: Path, mlp: Callable[..., Path]) -> None:
    loader = Loader(tmp_path / "cache")
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(refusal, loader, endless) for _ in range(2)]
        end = time.monotonic() + 10.0
        while len(loader._children) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        began = time.monotonic()
        loader.close()
        assert [one.result(5.0) for one in waiting] == ["treadle is stopping"] * 2
        assert time.monotonic() - began < 2.0
    assert refusal(loader, mlp()) == "treadle is stopping"
    assert not list((tmp_path / "cache").iterdir()), "nothing is left behind"


def test_a_model_that_nobody_wants_any_more_is_given_up(tmp_path: Path, endless: Path) -> None:
    unwanted = threading.Event()
    threading.Timer(0.5, unwanted.set).start()
    began = time.monotonic()
    with pytest.raises(ModelError, match="nobody wants this model any more"):
        Loader(tmp_path / "cache").compile(endless, unwanted=unwanted)
    assert time.monotonic() - began < 5.0
    assert not list((tmp_path / "cache").iterdir()), "nothing is left behind"


def test_a_graph_of_many_nodes(loader: Loader, text_model: Write) -> None:
    body = "\n".join(f"t{i + 1} = Relu({'x' if i == 0 else f't{i}'})" for i in range(30_000))
    text = f"g (float[N, 4] x) => (float[N, 4] y) {{ {body}\n y = Relu(t30000) }}"
    assert "at most 20000 are accepted (Limits.nodes)" in refusal(loader, text_model(text))


def laughing(levels: int) -> onnx.ModelProto:
    """Functions each of which calls the one before twice."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("bomb", 1)]
    graph = helper.make_graph(
        [helper.make_node(f"f{levels}", ["x"], ["y"], domain="bomb")], "g", [_port("x")], [_port("y")]
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=opsets)
    for level in range(levels + 1):
        names = ["a", "m", "b"] if level else ["a", "b"]
        op, domain = (f"f{level - 1}", "bomb") if level else ("Relu", "")
        body = [helper.make_node(op, [i], [o], domain=domain) for i, o in itertools.pairwise(names)]
        model.functions.append(helper.make_function("bomb", f"f{level}", ["a"], ["b"], body, opsets))
    return model


@pytest.mark.parametrize("levels", [15, 60])
def test_functions_that_call_each_other_without_measure(loader: Loader, tmp_path: Path, levels: int) -> None:
    (tmp_path / "laughing.onnx").write_bytes(laughing(levels).SerializeToString())
    message = refusal(loader, tmp_path / "laughing.onnx")
    assert f"the model has {2**levels} nodes" in message
    assert "Limits.nodes" in message


def test_functions_within_measure_are_no_bomb(loader: Loader, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(laughing(4).SerializeToString())
    assert loader.compile(tmp_path / "model.onnx").is_dir()


def test_functions_that_call_each_other_in_a_long_row(loader: Loader, tmp_path: Path) -> None:
    model = laughing(3000)
    for function in model.functions[1:]:
        del function.node[1:]
        function.node[0].output[0] = "b"
    (tmp_path / "row.onnx").write_bytes(model.SerializeToString())
    assert "call each other too deeply" in refusal(loader, tmp_path / "row.onnx")


def test_a_function_that_calls_itself(loader: Loader, tmp_path: Path) -> None:
    model = laughing(1)
    model.functions[1].node[0].op_type = "f1"
    (tmp_path / "round.onnx").write_bytes(model.SerializeToString())
    assert "must not be recursive" in refusal(loader, tmp_path / "round.onnx")


def test_subgraphs_nested_beyond_reason(loader: Loader, tmp_path: Path) -> None:
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["o0"])], "inner", [], [_port("o0")])
    for level in range(1, 60):
        node = helper.make_node("If", ["c"], [f"o{level}"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], f"g{level}", [], [_port(f"o{level}")])
        if graph.ByteSize() > MIB:
            break
    graph.input.extend([_port("x"), helper.make_tensor_value_info("c", TensorProto.BOOL, [])])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    (tmp_path / "deep.onnx").write_bytes(model.SerializeToString())
    message = refusal(loader, tmp_path / "deep.onnx")
    assert "If" in message or "Limits" in message or "not an ONNX file" in message


def _port(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [4])


def test_a_pipe_is_not_a_model(loader: Loader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "pipe.onnx is not a file" in refusal(loader, tmp_path / "pipe.onnx")


def test_a_missing_file_is_named(loader: Loader, tmp_path: Path) -> None:
    assert "No such file" in refusal(loader, tmp_path / "missing.onnx")


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        (Limits(wall_seconds=0.001), "Limits.wall_seconds"),
        (Limits(memory_bytes=24 * MIB), "Limits.memory_bytes"),
        (Limits(file_bytes=100), "Limits.file_bytes"),
    ],
)
def test_a_limit_that_is_met_is_named(tmp_path: Path, mlp: Callable[..., Path], limits: Limits, field: str) -> None:
    model = mlp((512, 2048, 512))
    assert field in refusal(Loader(tmp_path / "cache", limits), model)
    assert Loader(tmp_path / "cache").compile(model).is_dir()  # and the next one is not hurt
