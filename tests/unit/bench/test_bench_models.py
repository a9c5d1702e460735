"""Generated models: equal seeds are equal, other seeds differ in weights alone, and they are what they say."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from treadle.bench import models
from treadle.simulate.multiplexing.networks import resnet

BUILDERS = {
    "mlp": (lambda seed: models.mlp((784, 256, 128, 10), seed=seed), (784,)),
    "embedding": (lambda seed: models.embedding(256, 16, 8, 10, seed=seed), (8,)),
    "gru": (lambda seed: models.gru(16, 5, 8, 10, seed=seed), (5, 8)),
    "conv": (lambda seed: models.convolutional((3, 64, 128, 256, 512, 256), 64, 10, seed=seed), (3, 64, 64)),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_models_differ_in_weights_alone(name):
    build, _ = BUILDERS[name]
    first, again, other = build(1), build(1), build(2)
    assert first.SerializeToString() == again.SerializeToString()
    assert [node.SerializeToString() for node in first.graph.node] == [
        node.SerializeToString() for node in other.graph.node
    ]
    assert first.SerializeToString() != other.SerializeToString()


@pytest.mark.parametrize("name", BUILDERS)
def test_rows_are_free_and_inputs_matter(name):
    build, shape = BUILDERS[name]
    session = ort.InferenceSession(build(1).SerializeToString(), providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(0).random((3, *shape), dtype=np.float32)
    (result,) = session.run(None, {models.INPUT: rows})
    assert result.shape == (3, 10)
    assert np.isfinite(result).all()
    assert np.abs(result - result[0]).max() > 1e-3


def test_the_convolutional_model_is_as_large_as_said():
    weights = sum(onnx.numpy_helper.to_array(one).nbytes for one in BUILDERS["conv"][0](0).graph.initializer)
    assert 10e6 < weights < 11.5e6


@pytest.mark.parametrize(("depth", "parameters"), [(18, 11.69e6), (50, 25.56e6)])
def test_a_resnet_is_as_large_as_its_paper_says_and_as_the_simulation_has_it(depth, parameters):
    model = models.resnet(depth, 32, seed=1)
    weights = sum(onnx.numpy_helper.to_array(one).size for one in model.graph.initializer)
    assert weights == pytest.approx(parameters, rel=0.002)
    biases = sum(one.dims[0] for one in model.graph.initializer if len(one.dims) == 1)
    assert 4 * (weights - biases) == resnet(depth).weight_bytes
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(0).random((2, 3, 32, 32), dtype=np.float32)
    (result,) = session.run(None, {models.INPUT: rows})
    assert result.shape == (2, 1000)
    assert np.isfinite(result).all()
    assert np.abs(result[0] - result[1]).max() > 1e-3
