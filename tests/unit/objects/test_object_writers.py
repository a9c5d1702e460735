"""What the operator and the agents write is accepted by the definitions, and read back as what it was written from."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from treadle_agent.cluster.manifests import node_manifest, profile_manifest, status_manifest
from treadle_api.conditions import Condition, ConditionStatus
from treadle_api.node import Device, Node, read_node
from treadle_api.profile import BatchLatency, Profile, read_profile
from treadle_api.replica import Figures, ReplicaStatus, TierFigures, read_replica
from treadle_api.tenant import Model, Precision, Slo, Tenant, Tier, read_tenant
from treadle_operator.kube.manifests import replica_spec
from treadle_operator.policy.changes import ReplicaSpec
from treadle_operator.tenant_status import CounterOffer, TenantStatus, read_tenant_status, status_fields

NOW = "2026-11-22T20:30:00Z"
conditions = st.lists(
    st.builds(
        Condition,
        st.sampled_from(["Ready", "Straggling", "Admitted"]),
        st.sampled_from(ConditionStatus),
        st.just("Reason"),
        st.text(max_size=20),
        st.integers(0, 9),
        st.just(NOW),
    ),
    max_size=3,
    unique_by=lambda one: one.type,
).map(tuple)
milliseconds = st.integers(1, 3_600_000).map(lambda count: count / 1000)
nanoseconds = st.integers(0, 10**12).map(lambda count: count / 1e9)
percents = st.integers(0, 1_000_000).map(lambda count: count / 10_000)
counts = st.integers(0, 10**9)
digests = st.sampled_from(["ab" * 32, "0f" * 32])
memory = st.integers(0, 1 << 50)


@st.composite
def promises(draw: st.DrawFn, whole: Tenant) -> Tenant:
    """The whole tenant with other numbers."""
    accuracies = draw(st.lists(percents, min_size=1, max_size=4))
    tiers = tuple(
        Tier(f"t{number}", accuracy, Model("m.onnx", draw(st.none() | digests)), draw(st.sampled_from(Precision)))
        for number, accuracy in enumerate(sorted(accuracies, reverse=True))
    )
    floor = draw(st.sampled_from(accuracies))
    objective = draw(percents.filter(lambda percent: 0 < percent < 100))
    window = draw(st.integers(60_000, 90 * 86_400_000)) / 1000
    pinned = draw(st.none() | st.sampled_from([tier.name for tier in tiers if tier.accuracy >= floor]))
    return replace(whole, slo=Slo(draw(milliseconds), objective, window, floor), tiers=tiers, pinned=pinned)


def test_a_replica_is_written_for_the_tenant_that_is_read_of_it(object_cases):
    case = object_cases["replica"]
    whole = read_replica(case.whole).tenant

    @settings(max_examples=60)
    @given(promises(whole), st.booleans(), st.lists(st.sampled_from(["10.0.0.1:80", "[fd00::1]:8000"]), max_size=2))
    def judge(tenant, draining, successors):
        spec = ReplicaSpec(tenant, 3, "node-1", "0", 4, draining, tuple(successors))
        manifest = case.changed({"spec": replica_spec(spec)})
        assert case.problems(manifest) == []
        found = read_replica(manifest)
        assert found.tenant == tenant
        assert (found.draining, found.successors, found.epoch) == (draining, tuple(successors), 4)

    judge()


tiers = st.lists(
    st.builds(
        TierFigures,
        st.sampled_from(["a", "b", "c"]),
        digests,
        digests | st.just(""),
        st.sampled_from(["merged", "segments"]),
        nanoseconds,
        memory,
        st.sampled_from(Precision),
    ),
    max_size=3,
    unique_by=lambda one: one.name,
).map(tuple)
figures = st.builds(
    Figures, st.just(60.0), counts, counts, counts, counts, nanoseconds, st.tuples(*[counts] * 32), nanoseconds
)


def test_what_an_agent_tells_of_a_replica(object_cases):
    case = object_cases["replica"]

    @settings(max_examples=60)
    @given(
        st.builds(
            ReplicaStatus,
            st.integers(0, 9),
            st.integers(0, 9),
            conditions,
            st.just("10.0.0.7:8000"),
            st.none() | st.just("a"),
            tiers,
            figures | st.just(Figures(0.0)),
        )
    )
    def judge(status):
        manifest = case.changed({"status": status_manifest(status)["status"]})
        assert case.problems(manifest) == []
        assert read_replica(manifest).status == status

    judge()


def test_what_an_agent_tells_of_its_node(object_cases):
    case = object_cases["node"]
    device = st.builds(
        Device,
        st.sampled_from(["0", "host", "GPU-5c9b1f0e"]),
        st.sampled_from(["host", "NVIDIA L4"]),
        memory,
        memory,
        st.integers(0, 100).map(lambda count: count / 100),
        nanoseconds,
        st.booleans(),
        st.text(max_size=9),
        precisions=st.sampled_from([(Precision.FLOAT32,), tuple(Precision)]),
    )

    @settings(max_examples=60)
    @given(st.lists(device, max_size=3, unique_by=lambda one: one.id).map(tuple), conditions, st.integers(0, 9))
    def judge(devices, present, generation):
        node = Node("node-1.rack-2", False, (), "10.0.0.7:8000", devices, present, generation, "0.1.0", generation)
        manifest = case.changed({"spec": None, "metadata.generation": generation, **node_manifest(node)})
        assert case.problems(manifest) == []
        assert read_node(manifest) == node

    judge()


def test_what_an_agent_measured(object_cases):
    case = object_cases["profile"]

    @settings(max_examples=60)
    @given(st.dictionaries(st.integers(2, 64), st.tuples(nanoseconds, nanoseconds), max_size=4), digests, memory)
    def judge(points, digest, size):
        batches = tuple(
            BatchLatency(rows, min(pair), max(pair)) for rows, pair in sorted({1: (0.1, 0.2), **points}.items())
        )
        profile = Profile(digest, "NVIDIA L4", digest, size, batches)
        manifest = {**case.whole, "metadata": {"name": profile.name}, **profile_manifest(profile)}
        assert case.problems(manifest) == []
        assert read_profile(manifest) == profile

    judge()


def test_what_the_operator_tells_of_a_tenant(object_cases):
    case = object_cases["tenant"]
    rates = st.floats(1e-9, 1e9).map(lambda rate: float(f"{rate:.3g}"))
    offers = st.builds(CounterOffer, st.none() | milliseconds, st.none() | percents, st.none() | rates)
    hundredths = st.integers(0, 10_000).map(lambda count: count / 100)

    @settings(max_examples=80)
    @given(
        st.builds(
            TenantStatus,
            st.integers(0, 9),
            conditions,
            st.integers(0, 1000),
            st.integers(0, 1000),
            st.none() | st.just("large"),
            st.none() | hundredths,
            st.none() | milliseconds,
            st.none() | rates,
            st.just("http://digits-treadle.shop.svc"),
            st.none() | offers,
        )
    )
    def judge(status):
        manifest = case.changed({"status": status_fields(status)})
        assert case.problems(manifest) == []
        assert read_tenant_status(manifest).conditions == status.conditions
        assert read_tenant(manifest) == read_tenant(case.whole)

    judge()
