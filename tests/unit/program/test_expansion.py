"""Nodes are counted where functions are called: in graphs, in functions, and in branches of either."""

from __future__ import annotations

from onnx import FunctionProto, NodeProto, TensorProto, helper

from treadle_agent.program.expansion import expanded_nodes

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]


def call(name: str, **attributes: object) -> NodeProto:
    return helper.make_node(name, ["a"], ["b"], domain="own" if name.islower() else "", **attributes)


def function(name: str, *nodes: NodeProto) -> FunctionProto:
    return helper.make_function("own", name, ["a"], ["b"], nodes, OPSETS)


def count(nodes: list[NodeProto], *functions: FunctionProto) -> int:
    port = helper.make_tensor_value_info("a", TensorProto.FLOAT, [1])
    model = helper.make_model(helper.make_graph(nodes, "g", [port], [port]), opset_imports=OPSETS)
    model.functions.extend(functions)
    return expanded_nodes(model)


def branches(*nodes: NodeProto) -> NodeProto:
    return call(
        "If", then_branch=helper.make_graph(nodes, "then", [], []), else_branch=helper.make_graph([], "e", [], [])
    )


def test_without_functions():
    assert count([call("Relu"), call("Exp")]) == 2
    assert count([branches(call("Relu"), branches(call("Exp")))]) == 4


def test_a_function_counts_at_every_call():
    two = function("two", call("Relu"), call("Exp"))
    assert count([call("two"), call("Relu"), call("two")], two) == 5
    assert count([branches(call("two"))], two) == 3
    assert count([call("four")], function("four", call("two"), branches(call("two"))), two) == 5
    assert count([helper.make_node("two", ["a"], ["b"], domain="other")], two) == 1


def test_what_calls_itself_is_counted_to_an_end():
    assert count([call("f")], function("f", call("f"), call("Relu"))) == 2
    assert count([call("f")], function("f", call("g")), function("g", call("f"))) == 1
