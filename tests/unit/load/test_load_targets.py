"""Prepared requests follow the protocol, answers are read from both encodings, and only loopback is a target."""

import json

import numpy as np
import pytest

from treadle.load.answers import labels_of, tier_of
from treadle.load.targets import NotLoopbackError, infer_target, loopback

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_json_body():
    target = infer_target("a.b", [{"x": ARRAY}], binary=False, parameters={"timeout": 5000})
    document = json.loads(target.variants[0].body)
    assert target.path == "/v2/models/a.b/infer"
    assert document == {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [0, 1, 2, 3, 4, 5]}],
        "parameters": {"timeout": 5000},
    }


def test_binary_body_ends_with_the_tensors():
    ids = np.array([7], np.int64)
    variant = infer_target("m", [{"x": ARRAY.T, "ids": ids}], binary=True).variants[0]
    length = int(variant.head.decode().partition("Inference-Header-Content-Length: ")[2])
    document = json.loads(variant.body[:length])
    assert [tensor["parameters"]["binary_data_size"] for tensor in document["inputs"]] == [24, 8]
    assert document["parameters"]["binary_data_output"] is True
    assert variant.body[length:] == np.ascontiguousarray(ARRAY.T).tobytes() + ids.tobytes()


def test_labels_travel_with_their_variant():
    target = infer_target("m", [{"x": ARRAY}, {"x": ARRAY}], binary=True, labels=[[1, 2], [0, 3]], output="y")
    assert [variant.labels for variant in target.variants] == [(1, 2), (0, 3)]
    with pytest.raises(ValueError, match="zip"):
        infer_target("m", [{"x": ARRAY}], binary=True, labels=[[1], [2]])


def test_answer_in_json():
    scores = {"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [0.1, 0.9, 3, -1]}
    integers = {"name": "label", "datatype": "INT64", "shape": [2], "data": [4, 5]}
    body = json.dumps({"model_name": "m", "outputs": [scores, integers], "parameters": {"tier": "fast", "accuracy": 1}})
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json"
    assert tier_of(head, body.encode()) == "fast"
    assert labels_of(head, body.encode(), "y").tolist() == [1, 0]
    assert labels_of(head, body.encode(), "label").tolist() == [4, 5]
    with pytest.raises(ValueError, match="no output 'z'"):
        labels_of(head, body.encode(), "z")


def test_answer_in_binary_with_an_output_before_the_one_asked_for():
    first, second = np.array([9], np.int64), np.array([[0, 1, 0], [5, 0, 0]], np.float32)
    outputs = [
        {"name": "n", "datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": 8}},
        {"name": "y", "datatype": "FP32", "shape": [2, 3], "parameters": {"binary_data_size": 24}},
    ]
    document = json.dumps({"outputs": outputs}).encode()
    head = b"HTTP/1.1 200 OK\r\ninference-header-content-length: %d\r\nX: y" % len(document)
    body = document + first.tobytes() + second.tobytes()
    assert tier_of(head, body) == ""
    assert labels_of(head, body, "y").tolist() == [1, 0]
    assert labels_of(head, body, "n").tolist() == [9]


@pytest.mark.parametrize("url", ["http://127.0.0.1:81", "http://localhost:81", "http://127.3.2.1:81"])
def test_this_machine_is_a_target(url):
    assert loopback(url)[1] == 81


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1", "https://127.0.0.1", "http://example.org", "localhost:80", "http://0.0.0.0"]
)
def test_other_machines_are_not(url):
    with pytest.raises(NotLoopbackError, match=r"127\.0\.0\.1"):
        loopback(url)
