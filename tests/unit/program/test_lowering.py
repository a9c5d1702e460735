"""From ONNX to a program: what is structure and what is a tenant's."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from treadle_agent.program import arena
from treadle_agent.program.errors import ModelError
from treadle_agent.program.interpreter import Interpreter
from treadle_agent.program.lowering import Lowered
from treadle_agent.program.model import Activation, Constant, Program, Weight

Lower = Callable[..., Lowered]

MLP = """g (float[N, 4] x) => (float[N, 2] y) {
  m = MatMul(x, w1)
  a = Add(m, b1)
  r = Relu(a)
  n = MatMul(r, w2)
  l = Add(n, b2)
  y = Softmax<axis = -1>(l)
}"""
# The same model as another exporter writes it: other names, nodes out of use, weights as Constant nodes, another order.
MLP_AGAIN = """g (float[N, 4] x) => (float[N, 2] y) {
  second_bias = Constant<value = float[2] {0.0, 0.0}>()
  unused = Mul(x, x)
  h0 = MatMul(x, layers_0_weight)
  h1 = Add(h0, layers_0_bias)
  h2 = Relu(h1)
  h3 = MatMul(h2, layers_1_weight)
  h4 = Add(h3, second_bias)
  y = Softmax<axis = -1>(h4)
}"""


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def test_architecture_is_blind_to_names_order_and_weights(lower: Lower) -> None:
    one = lower(MLP, {"b2": random(3, 2), "w2": random(2, 3, 2), "b1": random(1, 3), "w1": random(0, 4, 3)})
    other = lower(
        MLP_AGAIN,
        {
            "layers_0_weight": random(9, 4, 3),
            "layers_0_bias": np.zeros(3, np.float32),
            "layers_1_weight": np.zeros((3, 2), np.float32),
        },
    )
    assert msgspec.json.encode(one.program) == msgspec.json.encode(other.program)
    assert one.program.architecture == other.program.architecture
    assert [value.shape for value in one.weights] == [(4, 3), (3,), (3, 2), (2,)]
    np.testing.assert_array_equal(one.weights[0], random(0, 4, 3))
    assert not one.program.constants


def test_public_names_and_shapes_are_part_of_the_architecture(lower: Lower) -> None:
    weights = {"b2": random(3, 2), "w2": random(2, 3, 2), "b1": random(1, 3), "w1": random(0, 4, 3)}
    assert lower(MLP, weights).program.architecture != lower(MLP.replace("y", "z"), weights).program.architecture
    assert lower(MLP, weights).program.architecture != lower(MLP, weights, shapes={"x": (2, 4)}).program.architecture


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_bias_that_does_nothing_in_one_model_stays_a_weight(lower: Lower, value: float) -> None:
    text = "g (float[N, 4] x) => (float[N, 4] y) { a = Add(x, b)\n m = Mul(a, s)\n y = Relu(m) }"
    odd = lower(text, {"b": np.zeros(1, np.float32), "s": np.full(1, value, np.float32)})
    plain = lower(text, {"b": random(0, 1), "s": random(1, 1)})
    assert odd.program == plain.program
    assert len(odd.program.weights) == 2


def test_equal_weights_stay_two_and_one_weight_read_twice_stays_one(lower: Lower) -> None:
    text = "g (float[N, 4] x) => (float[N, 4] y) { a = Add(x, b)\n m = Mul(a, c)\n y = Sub(m, b) }"
    lowered = lower(text, {"b": random(0, 4), "c": random(0, 4)})
    assert [kernel.inputs[1] for kernel in lowered.program.kernels] == [Weight(0), Weight(1), Weight(0)]


def test_views_share_storage_and_cost_no_kernel(lower: Lower) -> None:
    text = """g (float[N, 4] x) => (float[N, 2, 2] y) {
      shape = Constant<value = int64[3] {0, 2, 2}>()
      a = Relu(x)
      y = Reshape(a, shape)
    }"""
    program = lower(text).program
    assert [kernel.op for kernel in program.kernels] == ["Relu"]
    relu, output = program.kernels[0].outputs[0], program.outputs[0].value
    assert relu != output
    assert program.offsets[relu] == program.offsets[output]
    assert program.values[output].shape == (1, 2, 2)
    assert not program.constants


def test_an_input_lives_as_long_as_it_is_read(lower: Lower) -> None:
    text = "g (float[N, 64] x) => (float[N, 64] y) { a = Relu(x)\n b = Tanh(a)\n c = Exp(b)\n y = Add(c, x) }"
    program = lower(text).program
    inside = program.offsets[program.inputs[0].value]
    others = [program.offsets[kernel.outputs[0]] for kernel in program.kernels[:-1]]
    assert inside not in others


def test_known_answers_are_still_written_each_time(lower: Lower) -> None:
    text = """g (float[N, 4] x) => (float[N, 4] y, float[2] table) {
      one = Constant<value = float {1.0}>()
      y = Add(x, one)
      table = Identity(w)
    }"""
    lowered = lower(text, {"w": random(0, 2)}, shapes={"x": (1, 4)})
    x = random(1, 1, 4)
    results = Interpreter(lowered.program, lowered.weights).run({"x": x})
    np.testing.assert_array_equal(results["table"], random(0, 2))
    np.testing.assert_array_equal(results["y"], x + 1)


GRU = """g (float[T, N, 3] x) => (float[T, D, N, 2] y) {
  shape = Shape(x)
  one = Constant<value = int64[1] {1}>()
  rows = Gather(shape, one)
  hidden = Constant<value = int64[1] {2}>()
  sizes = Concat<axis = 0>(one, rows, hidden)
  start = ConstantOfShape<value = float[1] {0.0}>(sizes)
  y, last = GRU<hidden_size = 2>(x, w, r, b, , start)
}"""


def test_states_sized_by_the_batch_are_structure(lower: Lower) -> None:
    weights = {"w": random(0, 1, 6, 3), "r": random(1, 1, 6, 2), "b": np.zeros((1, 12), np.float32)}
    one = lower(GRU, weights, shapes={"x": (5, 1, 3)})
    many = lower(GRU, weights, shapes={"x": (5, 4, 3)}, table=one.weights)
    assert many.program.weights == one.program.weights
    assert len(one.program.weights) == 3
    (gru,) = many.program.kernels
    assert [type(operand) for operand in gru.inputs if operand] == [Activation, Weight, Weight, Weight, Constant]
    assert many.program.constants[0].type.shape == (1, 4, 2)


def test_weights_lie_as_their_kernel_likes_them(lower: Lower) -> None:
    weights = {"w": random(0, 1, 6, 3), "r": random(1, 1, 6, 2), "b": random(2, 1, 12)}
    lowered = lower(GRU, weights, {"x": (5, 1, 3)})
    (gru,) = lowered.program.kernels
    assert dict(gru.attributes)["weights_by_input"] is True
    assert [weight.shape for weight in lowered.program.weights] == [(1, 3, 6), (1, 2, 6), (1, 12)]
    for laid, name in zip(lowered.weights, "wr", strict=False):
        np.testing.assert_array_equal(laid, weights[name].swapaxes(1, 2))


def test_what_is_not_known_at_load_lies_as_it_comes(lower: Lower) -> None:
    text = """g (float[5, 1, 3] x, float[1, 6, 2] r) => (float[5, 1, 1, 2] y) {
      y, last = GRU<hidden_size = 2>(x, w, r)
    }"""
    (gru,) = lower(text, {"w": random(0, 1, 6, 3)}, {"x": (5, 1, 3), "r": (1, 6, 2)}).program.kernels
    assert "weights_by_input" not in dict(gru.attributes)


def test_equal_weights_keep_their_places_in_every_binding(lower: Lower) -> None:
    text = "g (float[N, 4] x) => (float[N, 4] y) { a = Add(x, b)\n m = Mul(a, c)\n y = Sub(m, b) }"
    weights = {"b": np.zeros(4, np.float32), "c": np.zeros(4, np.float32)}
    one = lower(text, weights)
    many = lower(text, weights, shapes={"x": (8, 4)}, table=one.weights)
    assert [kernel.inputs[1] for kernel in many.program.kernels] == [Weight(0), Weight(1), Weight(0)]


EXPANDED = """g (float[N, 3] x) => (float[N, 3] y) {
  shape = Shape(x)
  start = Expand(learned, shape)
  e = Exp(start)
  y = Add(x, e)
}"""


def test_weights_that_grow_with_the_batch_are_refused_for_it(lower: Lower) -> None:
    one = lower(EXPANDED, {"learned": random(0, 1, 3)})
    with pytest.raises(ModelError, match=r"constant of shape \[4, 3\] from its weights"):
        lower(EXPANDED, {"learned": random(0, 1, 3)}, shapes={"x": (4, 3)}, table=one.weights)


def test_a_uniform_weight_that_grows_with_the_batch_becomes_structure(lower: Lower) -> None:
    zeros = {"learned": np.zeros((1, 3), np.float32)}
    one = lower(EXPANDED, zeros)
    many = lower(EXPANDED, zeros, shapes={"x": (4, 3)}, table=one.weights)
    assert many.program.weights == one.program.weights
    assert many.program.constants[0].type.shape == (4, 3)


def test_a_condition_known_at_load_is_inlined(lower: Lower) -> None:
    text = """g (float[N, 4] x) => (float[N, 4] y) {
      shape = Shape(x)
      index = Constant<value = int64 {1}>()
      size = Gather(shape, index)
      four = Constant<value = int64 {4}>()
      is_four = Equal(size, four)
      y = If(is_four) <
        then_branch = yes () => (float[N, 4] t) { t = Relu(x) },
        else_branch = no () => (float[N, 4] e) { e = Tanh(x) }
      >
    }"""
    assert [kernel.op for kernel in lower(text).program.kernels] == ["Relu"]


def test_all_unsupported_operators_are_listed_at_once(lower: Lower) -> None:
    text = """g (float[N, 4] x) => (float[N, 4] y) {
      a = Cosh(x)
      b = Relu(a)
      c = Acosh(b)
      d = Cosh(c)
      e = Cast<to = 11>(d)
      f = Neg(e)
      y = Cast<to = 1>(f)
    }"""
    with pytest.raises(ModelError) as caught:
        lower(text, opset=18)
    assert caught.value.unsupported == (
        ("Cosh", 9, "float32"),
        ("Acosh", 9, "float32"),
        ("Cast", 13, "float64"),
        ("Neg", 13, "float64"),
    )
    assert "Acosh (opset 9, float32)" in str(caught.value)


def test_a_shape_that_depends_on_data_is_named(reason: Callable[..., str]) -> None:
    text = """g (float[N, 4] x, int64[2] shape) => (float[A, B] y) { a = Relu(x)\n y = Reshape(a, shape) }"""
    assert "shape" in reason(text.replace("float[N, 4]", "float[1, 4]"))


def test_programs_survive_json(lower: Lower) -> None:
    program = lower(
        GRU, {"w": random(0, 1, 6, 3), "r": random(1, 1, 6, 2), "b": random(2, 1, 12)}, {"x": (5, 1, 3)}
    ).program
    assert msgspec.json.decode(msgspec.json.encode(program), type=Program) == program


def test_an_arena_of_a_chain_is_as_small_as_its_busiest_kernel(lower: Lower) -> None:
    body = "\n".join(f"t{i + 1} = Tanh({'x' if i == 0 else f't{i}'})" for i in range(9))
    program = lower(f"g (float[N, 256] x) => (float[N, 256] y) {{ {body}\n y = Exp(t9) }}").program
    assert program.arena_bytes == 2 * arena.padded(1024)


def test_a_function_of_known_operators_needs_no_kernel_of_its_own(lower: Lower) -> None:
    lowered = lower("g (float[N, 4] x) => (float[N, 4] y) { y = Mish(x) }", opset=18)
    assert [kernel.op for kernel in lowered.program.kernels] == ["Softplus", "Tanh", "Mul"]
