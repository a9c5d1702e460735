"""The real API server judges the objects of tests/objects, which the unit tests judge without one."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from api_objects import Case, Manifest, dotted, edges
from kubernetes import config
from kubernetes.client import ApiException, CustomObjectsApi

from bed.cluster import Cluster, KubectlError
from treadle.crds import definition_text

GROUP, VERSION = "treadle.dev", "v1alpha1"
BASE = "base"


@dataclass(frozen=True)
class Cause:
    """One thing that the API server found wrong."""

    field: str
    message: str


class ApiServer:
    """Asks the API server what it would make of a manifest, and nothing comes of it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._api = CustomObjectsApi(config.new_client_from_config(config_file=str(cluster.kubeconfig)))
        self.namespace = namespace

    def keep(self, case: Case) -> None:
        """Create the whole object of a kind, called BASE, without a status."""
        body = {key: value for key, value in case.whole.items() if key != "status"}
        self._create(case, {**body, "metadata": {"name": BASE}})

    def forget(self, case: Case) -> None:
        """Delete it."""
        self._call("delete", case, BASE)

    def create(self, case: Case, manifest: Manifest) -> Manifest:
        """The object that a create would make."""
        return self._create(case, manifest, dry_run="All", field_validation="Strict")

    def update(self, case: Case, manifest: Manifest, part: str) -> Manifest:
        """What the object called BASE would be, with another spec or status."""
        suffix = "_status" if part == "status" else ""
        body = {part: manifest.get(part)}
        return self._call("patch", case, BASE, body, suffix=suffix, dry_run="All", field_validation="Strict")

    def causes(self, case: Case, manifest: Manifest, part: object = "spec") -> list[Cause]:
        """What is wrong with a manifest, as on a create, or with its status, as on a write of it."""
        try:
            if part == "status":
                self.update(case, manifest, "status")
            else:
                self.create(case, {key: value for key, value in manifest.items() if key != "status"})
        except ApiException as error:
            return causes_of(error)
        return []

    def write_status(self, case: Case) -> None:
        """Give the object called BASE the whole object's status."""
        self._call("patch", case, BASE, {"status": case.whole["status"]}, suffix="_status")

    def _create(self, case: Case, manifest: Manifest, **options: str) -> Manifest:
        manifest = copy.deepcopy(manifest)
        if "namespace" in manifest["metadata"]:
            manifest["metadata"]["namespace"] = self.namespace
        return self._call("create", case, manifest, **options)

    def _call(self, verb: str, case: Case, *arguments: object, suffix: str = "", **options: str) -> Manifest:
        plural = case.definition.partition(".")[0]
        scope = "namespaced" if "namespace" in case.whole["metadata"] else "cluster"
        call = getattr(self._api, f"{verb}_{scope}_custom_object{suffix}")
        place = (self.namespace, plural) if scope == "namespaced" else (plural,)
        answer: Manifest = call(GROUP, VERSION, *place, *arguments, **options)
        return answer


def causes_of(error: ApiException) -> list[Cause]:
    """What the API server says is wrong."""
    assert error.status in {400, 422}, error
    status = json.loads(error.body)
    causes = status.get("details", {}).get("causes", [])
    return [Cause(one["field"], one["message"]) for one in causes] or [Cause("", status["message"])]


@pytest.fixture(scope="module")
def server(cluster: Cluster, object_cases: dict[str, Case]) -> Iterator[ApiServer]:
    """The API server with one object of each kind, called BASE."""
    namespace = "judged-objects"
    cluster.kubectl("create", "namespace", namespace)
    server = ApiServer(cluster, namespace)
    for case in object_cases.values():
        server.keep(case)
    yield server
    for case in object_cases.values():
        server.forget(case)
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def test_the_whole_object_is_accepted(server, object_case):
    for part in ("spec", "status"):
        if part in object_case.whole:
            assert server.causes(object_case, object_case.whole, part) == []


def test_rule(server, object_case, object_rule):
    part = object_rule.field.partition(".")[0]
    assert server.causes(object_case, object_case.changed(object_rule.keeps), part) == []
    found = server.causes(object_case, object_case.changed(object_rule.breaks), part)
    if object_rule.native:
        assert [one for one in found if one.field.startswith(object_rule.field) and object_rule.native in one.message]
    else:
        assert [one for one in found if one.field == object_rule.field and object_rule.message in one.message], found


def test_transition(server, object_case, object_transition):
    """Bindings cannot be changed; what is beside them can."""
    server.update(object_case, object_case.changed(object_transition.keeps), "spec")
    with pytest.raises(ApiException) as error:
        server.update(object_case, object_case.changed(object_transition.breaks), "spec")
    (found,) = causes_of(error.value)
    assert found.field == object_transition.field
    assert object_transition.message in found.message


def test_wrong_values_are_refused_with_the_fields_name(server, wrong_object):
    for why, field, manifest in wrong_object.refused:
        found = server.causes(wrong_object.case, manifest, wrong_object.steps[0])
        assert [one for one in found if one.field == field], (why, found)


def test_unknown_fields_are_refused_by_name(server, object_case):
    for steps, schema, _ in object_case.fields():
        if "properties" in schema:
            found = server.causes(object_case, object_case.changed({(*steps, "unheardOf"): 1}), steps[0])
            field = f"{dotted(steps)}.unheardOf"
            assert [one for one in found if f'unknown field "{field}"' in one.message], (field, found)


def test_it_judges_as_the_evaluator_without_a_cluster_does(server, object_case):
    """Objects that are right but for one value near the border of what is allowed; a seeded choice of those."""
    dice = random.Random(4)
    for steps, schema, value in object_case.fields():
        near = edges(schema, value)
        for other in dice.sample(near, min(6, len(near))):
            manifest = object_case.changed({steps: other})
            found, expected = server.causes(object_case, manifest, steps[0]), object_case.problems(manifest)
            assert bool(found) == bool(expected), (steps, other, found, expected)


def required_only(schema: Mapping[str, Any], value: Any) -> Any:
    """A value without what may be left out."""
    if isinstance(value, dict) and "properties" in schema:
        return {
            key: required_only(schema["properties"][key], member)
            for key, member in value.items()
            if key in schema.get("required", ())
        }
    if isinstance(value, list):
        return [required_only(schema["items"], item) for item in value]
    return value


@pytest.mark.parametrize("given", ["everything", "what must be"])
def test_defaults_are_those_of_the_evaluator(server, object_case, given):
    manifest = {key: value for key, value in object_case.whole.items() if key != "status"}
    if given == "what must be":
        spec = required_only(object_case.schema["properties"]["spec"], manifest["spec"])
        manifest = {**manifest, "spec": spec}
    stored = server.create(object_case, manifest)["spec"]
    assert stored == object_case.completed(manifest)["spec"]
    assert (stored == manifest["spec"]) == (given == "everything" or object_case.name == "profile")


def test_nothing_but_statuses_comes_through_the_status_subresource(server, object_case):
    """What the operator writes and what the agent writes cannot touch each other."""
    if "status" not in object_case.whole:
        with pytest.raises(ApiException) as error:
            server.update(object_case, {"status": {}}, "status")
        assert error.value.status == 404
        return
    before = server.update(object_case, {"spec": {}}, "spec")
    with_status = server.update(object_case, {"status": object_case.whole["status"]}, "status")
    assert with_status["status"] == object_case.whole["status"]
    assert with_status["spec"] == before["spec"]
    assert with_status["metadata"]["generation"] == before["metadata"]["generation"]


COLUMNS = {
    "tenant": {
        "DEADLINE": "750ms",
        "ADMITTED": "False",
        "READY": "",
        "SLO MET": "",
        "REPLICAS": "1",
        "TIER": "large",
        "ACCURACY": "96.25",
        "P99": "420ms",
    },
    "replica": {
        "TENANT": "digits",
        "NODE": "node-1.rack-2",
        "DEVICE": "GPU-5c9b1f0e",
        "LOADED": "True",
        "SERVING": "",
        "DRAINING": "true",
        "TIER": "large",
    },
    "node": {
        "READY": "True",
        "ALIVE": "",
        "UNSCHEDULABLE": "true",
        "MODEL": "NVIDIA A100-SXM4-80GB",
        "UNHEALTHY": "GPU-00000000",
        "CORDONED": "GPU-00000000",
    },
    "profile": {
        "DEVICE MODEL": "NVIDIA A100-SXM4-80GB",
        "MEMORY BYTES": "1048576",
        "P50 S": "0.0042",
        "P99 S": "0.0048",
    },
}
WIDE = {
    "tenant": {
        "OBJECTIVE": "99.9",
        "ACCURACY MET": "",
        "STRAGGLING": "",
        "RATE": "248.5",
        "URL": "http://digits-treadle.shop.svc",
    },
    "replica": {"STRAGGLING": "", "GOOD": "100", "LATE": "2", "SHED": "3", "ERROR": "1", "ADDRESS": "10.0.0.7:8000"},
    "node": {"REASON": "Serving", "MERGE": "3.75", "ADDRESS": "10.0.0.7:8000", "VERSION": "0.1.0"},
    "profile": {"SHA256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
}


def test_the_columns_answer_at_a_glance(cluster, server, object_case):
    if "status" in object_case.whole:
        server.write_status(object_case)
    names = yaml.safe_load(definition_text(object_case.definition))["spec"]["names"]
    asked = ("get", names["shortNames"][0], BASE, "-n", server.namespace)
    shown = columns(cluster.kubectl(*asked))
    assert shown.pop("AGE")
    assert shown == {"NAME": BASE, **COLUMNS[object_case.name]}
    wide = columns(cluster.kubectl(*asked, "-o", "wide"))
    assert wide.pop("AGE")
    assert wide == shown | WIDE[object_case.name]


def columns(table: str) -> dict[str, str]:
    """The one row of a table of kubectl's: the columns' names are at least three spaces apart."""
    header, row = table.splitlines()
    starts = [match.start() for match in re.finditer(r"(?:(?<=^)|(?<= {3}))\S", header)]
    ends = [*starts[1:], max(len(header), len(row))]
    return {header[start:end].strip(): row[start:end].strip() for start, end in zip(starts, ends, strict=True)}


def test_all_kinds_are_one_category(cluster, server, object_cases):
    found = cluster.kubectl("get", "treadle", "-n", server.namespace, "-o", "name").split()
    kinds = {case.definition.replace("s.", ".", 1) for case in object_cases.values()}
    assert {f"{kind}/{BASE}" for kind in kinds} <= set(found)


@pytest.mark.parametrize(
    ("name", "selector", "matches"),
    [
        ("replica", "spec.nodeName=node-1.rack-2", True),
        ("replica", "spec.nodeName=node-2.rack-2", False),
        ("replica", "spec.tenantName=digits,spec.nodeName!=node-2.rack-2", True),
        ("replica", "spec.tenantName=letters", False),
        ("node", "spec.unschedulable=true", True),
        ("node", "spec.unschedulable=false", False),
        ("profile", "spec.deviceModel=NVIDIA A100-SXM4-80GB", True),
        ("profile", "spec.sha256=00", False),
    ],
)
def test_field_selectors(cluster, server, object_cases, name, selector, matches):
    kind = object_cases[name].definition
    found = cluster.get(kind, "-n", server.namespace, f"--field-selector={selector}")["items"]
    assert [one["metadata"]["name"] for one in found if one["metadata"]["name"] == BASE] == [BASE] * matches


def test_other_fields_cannot_select(cluster, server, object_cases):
    with pytest.raises(KubectlError, match=r"field label not supported: spec\.device"):
        cluster.get(object_cases["replica"].definition, "-n", server.namespace, "--field-selector=spec.device=0")


def test_kubectl_says_what_to_do(cluster, server, object_cases):
    """As a user sees it, once: the field and the fix."""
    manifest = object_cases["tenant"].changed({"spec.switching.tier": "huge", "metadata.namespace": server.namespace})
    del manifest["status"]
    with pytest.raises(KubectlError) as error:
        cluster.apply(manifest)
    assert "spec.switching.tier" in str(error.value)
    assert "must be the name of one of the tiers" in str(error.value)


def test_fields_are_explained(cluster, object_case):
    said = cluster.kubectl("explain", f"{object_case.definition.partition('.')[0]}.spec")
    assert " ".join(object_case.schema["properties"]["spec"]["description"].split()) in " ".join(said.split())


def test_whole_numbers_are_integers(server, object_cases):
    manifest = object_cases["tenant"].changed({"spec.priority": 2.0})
    del manifest["status"]
    stored = server.create(object_cases["tenant"], manifest)
    assert stored["spec"] == object_cases["tenant"].completed(manifest)["spec"]
    assert type(stored["spec"]["priority"]) is int
