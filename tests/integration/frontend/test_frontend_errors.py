"""Every way a request can be wrong, or come at the wrong time: a status, a reason, one outcome, and nothing else."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from treadle_agent.executor.protocol import Done, Outcome

GOOD = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}


def changed(**fields):
    return {"inputs": [GOOD["inputs"][0] | fields]}


def without(field):
    return {"inputs": [{name: value for name, value in GOOD["inputs"][0].items() if name != field}]}


BAD = [
    (b"", "truncated"),
    (b"{", "truncated"),
    (b"[]", "Expected `object`"),
    (b"\xff\xfe", "JSON"),
    (b'{"inputs": [' + b"[" * 100_000, "JSON"),
    (json.dumps(GOOD).encode() + b"x", "JSON"),
    ({}, "missing required field `inputs`"),
    ({"inputs": []}, "expected each of 'x' FP32 [-1, 4] once; got none"),
    ({"inputs": GOOD["inputs"] * 2}, "expected each of 'x' FP32 [-1, 4] once; got 'x', 'x'"),
    (changed(name="z"), "unexpected input 'z'; the model takes 'x' FP32 [-1, 4]"),
    (changed(datatype="INT32"), "got datatype 'INT32', expected FP32"),
    (changed(datatype="BYTES"), "got datatype 'BYTES', expected FP32"),
    (changed(shape=[4]), "got shape [4], expected [-1, 4]"),
    (changed(shape=[1, 5]), "got shape [1, 5], expected [-1, 4]"),
    (changed(shape=[0, 4], data=[]), "got shape [0, 4], expected [-1, 4]"),
    (changed(shape=[-1, 4]), "got shape [-1, 4], expected [-1, 4]"),
    (changed(shape=[2**62, 4]), "at most 32"),
    (changed(shape=[2**80, 4]), "at most 32"),
    (changed(shape=4), "Expected `array`"),
    (changed(data=[1, 2, 3]), "data has 3 values; shape [1, 4] needs 4"),
    (changed(data=[1, 2, 3, 4, 5]), "data has 5 values; shape [1, 4] needs 4"),
    (changed(data=[[1, 2], [3, 4]]), "not nested as its shape [1, 4]"),
    (changed(data=[[[1, 2, 3, 4]]]), "nested as the shape [1, 4]"),
    (changed(data=[1, 2, 3, "4"]), "expected FP32 values"),
    (changed(data=[1, 2, 3, None]), "expected FP32 values"),
    (changed(data=[1, 2, 3, 1e300]), "out of range for FP32"),
    (changed(data=3), "nested as the shape"),
    (without("data"), "neither data nor parameters.binary_data_size"),
    (without("shape"), "missing required field `shape`"),
    (changed(parameters={"shared_memory_region": "r"}), "shared memory regions are not served"),
    (GOOD | {"outputs": [{"name": "q"}]}, "unexpected output 'q'; the model gives 'y' FP32 [-1, 3]"),
    (GOOD | {"outputs": [{"name": "y"}, {"name": "y"}]}, "outputs: each may be asked for once"),
    (GOOD | {"outputs": [{"name": "y", "parameters": {"classification": 2}}]}, "classification"),
    (GOOD | {"parameters": {"timeout": -1}}, "timeout"),
    (GOOD | {"parameters": {"timeout": "soon"}}, "timeout"),
    (GOOD | {"parameters": {"timeout": 10**15}}, "at most 3600 s"),
    (GOOD | {"parameters": {"priority": -1}}, "priority"),
]


@pytest.mark.parametrize(("document", "reason"), BAD, ids=range(len(BAD)))
def test_bad_requests_are_told_what_was_expected(site, document, reason):
    status, answer = site.infer(document)
    assert (status, list(answer)) == (400, ["error"])
    assert reason in answer["error"]
    assert site.infer(GOOD)[0] == 200
    assert site.outcomes() == {("large", "good"): 1}


@pytest.mark.parametrize(
    ("values", "shape", "datatype", "name"),
    [
        ([2**31], [1, 1], "INT32", "small"),
        ([2**63], [1, 1], "INT64", "number"),
        ([1.5], [1, 1], "INT64", "number"),
        ([1], [1, 1], "BOOL", "flag"),
        ([256, 0, 0], [1, 3], "UINT8", "byte"),
        ([-1, 0, 0], [1, 3], "UINT8", "byte"),
    ],
)
def test_values_that_do_not_fit_their_type(site, values, shape, datatype, name):
    good = {
        "number": {"datatype": "INT64", "shape": [1, 1], "data": [1]},
        "flag": {"datatype": "BOOL", "shape": [1, 1], "data": [True]},
        "byte": {"datatype": "UINT8", "shape": [1, 3], "data": [1, 2, 3]},
        "small": {"datatype": "INT32", "shape": [1, 1], "data": [1]},
    }
    document = {"inputs": [{"name": key, **value} for key, value in good.items()]}
    assert site.infer(document, model="plumbing")[0] == 200
    bad = good | {name: {"datatype": datatype, "shape": shape, "data": values}}
    status, answer = site.infer({"inputs": [{"name": key, **value} for key, value in bad.items()]}, model="plumbing")
    assert status == 400
    assert name in answer["error"] or datatype in answer["error"]


def test_rows_of_all_inputs_are_equal(site):
    inputs = [
        {"name": "number", "datatype": "INT64", "shape": [2, 1], "data": [1, 2]},
        {"name": "flag", "datatype": "BOOL", "shape": [1, 1], "data": [True]},
        {"name": "byte", "datatype": "UINT8", "shape": [2, 3], "data": [1, 2, 3, 1, 2, 3]},
        {"name": "small", "datatype": "INT32", "shape": [2, 1], "data": [1, 2]},
    ]
    status, answer = site.infer({"inputs": inputs}, model="plumbing")
    assert status == 400
    assert "same number of rows" in answer["error"]


def test_binary_parts_are_checked(site):
    document = changed(parameters={"binary_data_size": 16})
    del document["inputs"][0]["data"]
    assert site.infer(document, bytes(16))[0] == 200
    for binary, reason in ((bytes(15), "truncated: 16 bytes expected, 15 left"), (bytes(17), "1 bytes more")):
        status, answer = site.infer(document, binary)
        assert status == 400
        assert reason in answer["error"]
    status, answer = site.infer(changed(parameters={"binary_data_size": 12}), bytes(12))
    assert status == 400
    assert "needs binary_data_size 16" in answer["error"]
    for length in ("-1", "x", "99999999999999999999", "0" * 4301, "1e3", "٣"):
        headers = {"Inference-Header-Content-Length": length.encode("utf-8").decode("latin-1")}
        status, _, answer = site.request("POST", "/v2/models/linear/infer", json.dumps(GOOD).encode(), headers)
        assert status == 400
        assert b"Inference-Header-Content-Length" in answer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2/models/nobody/infer", 404),
        ("POST", "/v2/models/linear/versions/9/infer", 404),
        ("GET", "/v2/models/nobody", 404),
        ("GET", "/v2/models/nobody/ready", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models//ready", 404),
        ("GET", "/v2/models/linear/versions", 404),
        ("GET", "/", 404),
        ("GET", "/v2/repository/index", 404),
        ("GET", "/v2/models/linear/infer", 405),
        ("DELETE", "/v2/models/linear", 405),
        ("POST", "/metrics", 405),
    ],
)
def test_paths_and_methods(site, method, path, status):
    got, headers, body = site.request(method, path, b"{}" if method == "POST" else None)
    assert got == status
    assert headers["content-type"] == "application/json"
    assert list(json.loads(body)) == ["error"]
    assert (status == 405) == ("allow" in headers)


def test_ambiguous_names_need_the_namespace(site, entry, served):
    site.call(lambda: site.catalog.put(entry("linear", served("linear", 50), "other")))
    status, answer = site.infer(GOOD)
    assert status == 400
    assert "linear.default, linear.other" in answer["error"]
    assert site.infer(GOOD, model="linear.other")[1]["model_version"] == "50"
    assert site.infer(GOOD, model="linear.default")[1]["model_version"] == "1"


def test_tenants_without_a_served_version_answer_503(site, entry):
    site.call(lambda: site.catalog.put(entry("slow", None, loading=True)))
    site.call(lambda: site.catalog.put(entry("bad", None, refusal="spec.tiers[0].model: not ONNX")))
    for name, reason in (("slow", "loading"), ("bad", "not ONNX")):
        status, headers, body = site.request("POST", f"/v2/models/{name}/infer", json.dumps(GOOD).encode())
        assert (status, headers["retry-after"]) == (503, "1")
        assert reason in json.loads(body)["error"]
        assert site.request("GET", f"/v2/models/{name}/ready")[0] == 503
        assert site.outcomes(name) == {("", "shed"): 1}


def test_a_tenant_that_is_not_run_any_more_is_not_ready(site):
    assert site.request("GET", "/v2/models/linear/ready")[0] == 200
    site.gateway.faults[1] = "it ended the executor twice"
    assert site.request("GET", "/v2/models/linear/ready")[0] == 503
    assert site.request("GET", "/v2/models/plumbing/ready")[0] == 200


@pytest.mark.parametrize(
    ("outcome", "status", "retry", "counted"),
    [
        (Outcome.SHED, 503, "1", ("", "shed")),
        (Outcome.OVERLOADED, 429, "1", ("", "shed")),
        (Outcome.ERROR, 500, None, ("", "error")),
    ],
)
def test_what_the_executor_refuses(site, outcome, status, retry, counted):
    site.gateway.done = Done(0, outcome, reason="the reason")
    got, headers, body = site.request("POST", "/v2/models/linear/infer", json.dumps(GOOD).encode())
    assert (got, headers.get("retry-after"), json.loads(body)) == (status, retry, {"error": "the reason"})
    assert site.outcomes() == {counted: 1}


def test_full_memory_answers_429(site):
    site.gateway.full = True
    status, answer = site.infer(GOOD)
    assert (status, answer) == (429, {"error": "no memory for more requests"})
    assert site.outcomes() == {("", "shed"): 1}


def test_what_no_memory_would_hold_answers_413(site):
    site.gateway.oversize = True
    status, answer = site.infer(GOOD)
    assert (status, answer) == (413, {"error": "model 'linear': more than there is"})
    assert site.outcomes() == {}


def test_a_scalars_data_is_a_list_of_one(site):
    scalar = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [], "data": [5]}]}
    assert site.infer(scalar, model="scalar")[0] == 200
    scalar["inputs"][0]["data"] = 5
    status, answer = site.infer(scalar, model="scalar")
    assert status == 400
    assert "data must be one flat list" in answer["error"]
    assert site.outcomes("scalar") == {("large", "good"): 1}


def test_answers_after_the_deadline_are_late(site):
    document = GOOD | {"parameters": {"timeout": 1}}
    assert site.infer(document)[0] == 200
    assert site.outcomes() == {("large", "late"): 1}


def test_a_version_replaced_while_its_program_is_compiled_is_followed(site, entry, served, make_gate):
    gate = make_gate(site)
    site.gateway.bind_gate = gate.event
    document = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 3]}]}
    answers = gate.in_background(lambda: site.infer(document, model="means"))

    def replace():
        site.gateway.gone.add(3)
        site.catalog.put(entry("means", served("means", 60)))

    site.call(replace)
    gate.open()
    status, answer = answers.result(20)
    assert (status, answer["model_version"]) == (200, "60")
    site.gateway.gone.add(60)
    assert site.infer(document, model="means")[0] == 503


def test_shapes_the_model_refuses(site):
    site.gateway.bind_refusal = "node 'reshape': 6 elements do not fit 4"
    document = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 3]}]}
    status, answer = site.infer(document, model="means")
    assert status == 400
    assert "node 'reshape'" in answer["error"]


def test_new_shapes_are_compiled_beyond_the_deadline_of_the_first_request(site, make_gate):
    gate = make_gate(site)
    site.gateway.bind_gate = gate.event
    document = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 3]}]}
    status, answer = site.infer(document | {"parameters": {"timeout": 20_000}}, model="means")
    assert status == 503
    assert "still being compiled" in answer["error"]
    gate.open()
    site.gateway.bind_gate = None
    assert site.infer(document, model="means")[1]["outputs"][0]["data"] == [1, 3]


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("br", b"{}"),
        ("gzip", b"not gzip at all"),
        ("deflate", b"\xff" * 30),
        ("gzip", gzip.compress(json.dumps(GOOD).encode(), mtime=0)[:-20]),
        ("deflate", zlib.compress(json.dumps(GOOD).encode())[:-20]),
    ],
)
def test_damaged_or_unknown_codings(site, coding, body):
    status, answer = site.infer(body, **{"Content-Encoding": coding})
    assert status == 400
    assert "error" in answer
    assert site.infer(gzip.compress(json.dumps(GOOD).encode(), mtime=0), **{"Content-Encoding": "gzip"})[0] == 200


def test_malformed_http_gets_json_too(site):
    for request, status in ((b"\x00\x01\x02\r\n\r\n", b"400"), (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", b"431")):
        with site.connect() as connection:
            connection.sendall(request)
            answer = b""
            while part := connection.recv(65536):
                answer += part
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.split()[1] == status
        assert "malformed HTTP" in json.loads(body)["error"]
    assert site.infer(GOOD)[0] == 200


def test_not_a_number_is_null_in_json(site):
    document = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}]}
    status, answer = site.infer(document, b"\x00\x00\xc0\x7f" * 4)
    assert (status, answer["outputs"][0]["data"]) == (200, [None] * 3)
