"""The definition (schema and CEL) and treadle_api accept the same objects, and read the same defaults."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from treadle.crds import read_definition
from treadle.schema import ObjectSchema
from treadle_api.fields import FieldError
from treadle_api.tenant import Tenant, read_tenant

SCHEMA = ObjectSchema(read_definition())
ABSENT = object()
Strategy = st.SearchStrategy[object]

junk = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2000), st.floats(), st.text(max_size=5), st.lists(st.text(), max_size=2)
)
LABELS = ["a", "b", "a-b", "a1", "1a", "", "A", "a.b", "-a", "a-", "a\n", *("a" * n for n in (55, 56, 63, 64))]
label = st.sampled_from(LABELS) | st.from_regex(r"[a-c0-1-]{0,3}", fullmatch=True)
PERCENTS = [
    "0",
    "99",
    "100",
    "100.0",
    "100.00001",
    "100.1",
    "00",
    "099",
    "78.31",
    "78.31234",
    ".5",
    "5.",
    "1e1",
    "-1",
    "99\n",
]
percent = st.sampled_from(["", *PERCENTS]) | st.decimals(0, 101, places=2).map(str)
DURATIONS = [
    "750ms",
    "0s",
    "0ms",
    "1h",
    "1h1ms",
    "60m",
    "3600s",
    "3600001ms",
    "99999h",
    "59s",
    "1m",
    "2160h",
    "2160h1s",
    "1.5s",
    "1d",
    "1s\n",
    "1s1s1s1s1s",
]
duration = st.sampled_from(["", *DURATIONS]) | st.from_regex(r"([0-9]{1,5}(h|m|s|ms)){1,4}", fullmatch=True)
URIS = [
    "",
    "a b",
    " a",
    "a" * 2048,
    "a" * 2049,
    "m.onnx",
    "/m",
    "file:///m",
    "file:///",
    "file://m",
    "file:/m",
    "https://h/m",
    "https://h",
    "https://h/",
    "https:///m",
    "https://h?/m",
    "http://h/m",
    "oci://r/m",
    "a://b",
    "a\n",
    "é.onnx",
]
uri = st.sampled_from(URIS) | st.text(min_size=1, max_size=8)
DIGESTS = ["ab" * 32, "AB" * 32, "ab" * 31, "ab" * 33, "", "ab" * 32 + "\n"]
sha256 = st.sampled_from(DIGESTS)
RATES = ["250", "0", "0.0", "0.000001", "1.1234567", "999999999", "1234567890", "-1", "1e3", ""]
rate = st.sampled_from(RATES)
LABEL_VALUES = ["", "a100", "A.b_c-d", "-a", "a b", "a" * 63, "a" * 64, "a\n"]
label_value = st.sampled_from(LABEL_VALUES)
LABEL_KEYS = ["", "gpu", "treadle.dev/gpu", "k" * 317, "k" * 318]
label_key = st.sampled_from(LABEL_KEYS) | st.text(max_size=3)


def fields(required: dict[str, Strategy], optional: dict[str, Strategy]) -> Strategy:
    """Objects whose fields are mostly of the right type, sometimes junk, sometimes absent."""
    rarely = st.integers(0, 40)

    def member(strategy: st.SearchStrategy[object], *, often: bool) -> st.SearchStrategy[object]:
        return rarely.flatmap(
            lambda n: junk if n == 1 else st.just(ABSENT) if n == 2 or (often and n % 2) else strategy
        )

    members = {key: member(value, often=False) for key, value in required.items()}
    members |= {key: member(value, often=True) for key, value in optional.items()}
    return st.fixed_dictionaries(members).map(lambda found: {k: v for k, v in found.items() if v is not ABSENT})


model = fields({"uri": uri}, {"sha256": sha256})
tier = fields({"name": label, "accuracy": percent, "model": model}, {})
good_tier = st.fixed_dictionaries(
    {"name": st.sampled_from("abc"), "accuracy": st.integers(0, 100).map(str), "model": st.just({"uri": "m.onnx"})}
)
count = st.integers(-1, 1002)
slo_options = {"objective": percent, "window": duration, "minAccuracy": percent}
mode = st.sampled_from(["Automatic", "Pinned", "automatic", ""])
manifests = fields(
    {
        "apiVersion": st.sampled_from(["treadle.dev/v1alpha1"] * 20 + ["v1"]),
        "kind": st.sampled_from(["InferenceTenant"] * 20 + ["Pod"]),
        "metadata": fields({"name": label}, {"namespace": label}),
        "spec": fields(
            {
                "slo": fields(
                    {"deadline": duration}, {"objective": percent, "window": duration, "minAccuracy": percent}
                ),
                "tiers": st.one_of(
                    st.lists(good_tier, min_size=1, max_size=3, unique_by=lambda one: one["name"]),
                    st.lists(good_tier, min_size=0, max_size=17),
                    st.lists(tier, min_size=1, max_size=2),
                ),
            },
            {
                "load": fields({"requestsPerSecond": rate}, {}),
                "priority": st.integers(-1, 12),
                "replicas": fields({}, {"min": count, "max": count}),
                "nodeSelector": st.dictionaries(label_key, st.one_of(label_value, junk), max_size=17),
                "switching": fields({}, {"mode": mode, "tier": label}),
            },
        ),
    },
    {},
)


def read(manifest: dict[str, object]) -> Tenant | None:
    try:
        return read_tenant(manifest)
    except FieldError:
        return None


def tiers(count: int) -> list[object]:
    return [{"name": f"t{n}", "accuracy": "99", "model": {"uri": "m"}} for n in range(count)]


EDGES: list[tuple[tuple[object, ...], list[object]]] = [
    (("metadata", "name"), LABELS),
    (("metadata", "namespace"), LABELS),
    (("spec", "slo", "deadline"), DURATIONS),
    (("spec", "slo", "window"), DURATIONS),
    (("spec", "slo", "objective"), PERCENTS),
    (("spec", "slo", "minAccuracy"), PERCENTS),
    (("spec", "tiers"), [tiers(count) for count in (0, 1, 16, 17)]),
    (("spec", "tiers", 0, "name"), LABELS),
    (("spec", "tiers", 0, "accuracy"), PERCENTS),
    (("spec", "tiers", 0, "model", "uri"), URIS),
    (("spec", "tiers", 0, "model", "sha256"), DIGESTS),
    (("spec", "load", "requestsPerSecond"), RATES),
    (("spec", "priority"), [0, 1, 10, 11]),
    (("spec", "replicas"), [{"min": a, "max": b} for a in (0, 1, 2, 1000, 1001) for b in (0, 1, 2, 1000, 1001)]),
    (("spec", "nodeSelector"), [{"a": value} for value in LABEL_VALUES] + [{key: "a"} for key in LABEL_KEYS]),
    (("spec", "nodeSelector"), [{str(n): "" for n in range(count)} for count in (16, 17)]),
    (("spec", "switching"), [{"mode": mode, "tier": "large"} for mode in ("Automatic", "Pinned", "pinned", "")]),
    (("spec", "switching"), [{"mode": "Pinned", "tier": "a" * length} for length in (0, 63, 64)]),
]


@pytest.mark.parametrize(
    ("path", "values"), EDGES, ids=lambda one: ".".join(map(str, one)) if type(one) is tuple else ""
)
def test_both_draw_the_same_line(changed, path, values):
    """Objects that are right but for one value, on either side of what is allowed."""
    verdicts = set()
    for value in [*values, None, True, 1, 1.5, "", [], {}, ["a"]]:
        manifest = changed((("spec", "switching"), ...), (path, value))
        problems = SCHEMA.problems(SCHEMA.complete(manifest))
        assert (read(manifest) is None) == bool(problems), (value, problems)
        verdicts.add(bool(problems))
    assert verdicts == {True, False}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(manifests)
@example({})
def test_both_accept_the_same_objects(manifest):
    completed = SCHEMA.complete(manifest)
    problems = SCHEMA.problems(completed)
    tenant = read(manifest)
    assert (tenant is None) == bool(problems), problems or tenant
    if tenant is not None:
        assert read_tenant(completed) == tenant, "their defaults differ"


small = st.fixed_dictionaries(
    {
        "minAccuracy": st.sampled_from(["0", "50", "90", "99.5"]),
        "tiers": st.lists(good_tier, min_size=1, max_size=4),
        "switching": fields({}, {"mode": st.sampled_from(["Automatic", "Pinned"]), "tier": st.sampled_from("abc")}),
        "replicas": fields({}, {"min": st.integers(1, 3), "max": st.integers(1, 3)}),
    }
)


@settings(max_examples=300, deadline=None)
@given(small)
def test_both_find_the_same_contradictions(parts):
    """Well-formed fields only, so that the rules between fields decide."""
    manifest = {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceTenant",
        "metadata": {"name": "a"},
        "spec": {"slo": {"deadline": "1s", "minAccuracy": parts.pop("minAccuracy")}, **parts},
    }
    problems = SCHEMA.problems(SCHEMA.complete(manifest))
    assert (read(manifest) is None) == bool(problems), problems
