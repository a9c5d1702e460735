"""The node agent against a strict executor in memory: what is served follows what is wanted."""

from __future__ import annotations

import asyncio

import pytest

from treadle_agent.node_events import Loading, Refused, Removed, Serving
from treadle_api.replica import LoadedReason


async def settle(condition, turns: int = 2000) -> None:
    """Let the loop run until a condition holds, which threads may bring about."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come about")


def test_tenants_are_served_with_what_the_manifest_says(node, tenant):
    async def run() -> None:
        it = node()
        wanted = tenant("a", "best.onnx", "good.onnx", "poor.onnx", minAccuracy="80", deadline="250ms", priority=2)
        assert await it.agent.apply([wanted, tenant("b")]) == []
        version = it.catalog.find("a").served.version
        assert (version.tenant, version.deadline, version.priority, version.queue_limit) == ("a.default", 0.25, 2, 7)
        assert [(tier.name, tier.accuracy) for tier in version.tiers] == [("best", 90), ("good", 80)]
        assert version.pinned == -1
        assert "poor.onnx" not in it.compiler.compiled, "tiers below the floor are not loaded"
        assert it.catalog.ready
        assert {type(event) for event in it.events} == {Loading, Serving}
        await it.agent.close()

    asyncio.run(run())


def test_a_pinned_tier_is_named_by_its_place(node, tenant):
    async def run() -> None:
        it = node()
        await it.agent.apply([tenant("a", "x.onnx", "y.onnx", switching={"mode": "Pinned", "tier": "y"})])
        assert it.catalog.find("a").served.version.pinned == 1

    asyncio.run(run())


def test_the_unchanged_is_untouched(node, tenant):
    async def run() -> None:
        it = node()
        await it.agent.apply([tenant("a"), tenant("b")])
        before = it.answering()
        await it.agent.apply([tenant("a"), tenant("b", deadline="2s")])
        assert it.answering()["a.default"] == before["a.default"]
        assert it.answering()["b.default"] != before["b.default"]
        assert [version.tenant for version in it.gateway.loaded].count("a.default") == 1

    asyncio.run(run())


def test_the_new_version_serves_before_the_old_one_goes(node, tenant):
    async def run() -> None:
        it = node()
        await it.agent.apply([tenant("a")])
        (old,) = it.gateway.live
        it.gateway.hold = asyncio.Event()
        applying = asyncio.create_task(it.agent.apply([tenant("a", "n.onnx")]))
        await settle(lambda: it.gateway.loading == 1)
        assert it.answering() == {"a.default": old}
        assert it.catalog.find("a").loading
        assert it.gateway.retired == []
        it.gateway.hold.set()
        assert await applying == []
        (new,) = it.answering().values()
        assert new != old
        await settle(lambda: it.gateway.retired == [old])
        assert list(it.gateway.live) == [new]

    asyncio.run(run())


def test_a_change_that_the_executor_need_not_know_loads_nothing(node, tenant):
    async def run() -> None:
        it = node()
        await it.agent.apply([tenant("a")])
        await it.agent.apply([tenant("a", objective="90", replicas={"min": 2})])
        assert len(it.gateway.loaded) == 1
        assert it.catalog.find("a").tenant.slo.objective == 90

    asyncio.run(run())


def test_what_is_not_run_any_more_is_loaded_anew_when_its_manifest_changes(node, tenant):
    async def run() -> None:
        it = node()
        await it.agent.apply([tenant("a"), tenant("b")])
        [gone] = [version for version in it.gateway.loaded if version.tenant == "a.default"]
        it.gateway.faults[gone.id] = "it ended the executor"
        await it.agent.apply([tenant("a"), tenant("b", objective="90")])
        assert len(it.gateway.loaded) == 2, "somebody else's change is none of it"
        await it.agent.apply([tenant("a", objective="90"), tenant("b", objective="90")])
        assert [version.tenant for version in it.gateway.loaded].count("a.default") == 2

    asyncio.run(run())


def test_a_bad_version_leaves_the_previous_one(node, tenant):
    async def run() -> None:
        it = node()
        await it.agent.apply([tenant("a")])
        before = it.answering()
        (refused,) = await it.agent.apply([tenant("a", "m.onnx", "broken.onnx")])
        assert it.answering() == before
        assert (refused.field, refused.previous, refused.temporary) == ("spec.tiers[broken].model", True, False)
        assert "Foo" in refused.reason
        assert it.catalog.find("a").refusal == f"{refused.field}: {refused.reason}"
        assert it.gateway.retired == []
        await it.agent.apply([tenant("a")])
        assert it.answering() == before, "going back costs nothing"
        assert it.catalog.find("a").refusal == ""
        assert len(it.gateway.loaded) == 1

    asyncio.run(run())


def test_refusals_name_field_and_reason_while_the_others_are_served(node, tenant):
    async def run() -> None:
        it = node()
        it.gateway.refuse["full.default"] = "the device's memory is full"
        refused = await it.agent.apply(
            [
                tenant("good"),
                tenant("wide", "m.onnx", "wide.onnx"),
                tenant("renamed", "m.onnx", "renamed.onnx"),
                tenant("missing", "missing.onnx"),
                tenant("offline", "offline.onnx"),
                tenant("full"),
                tenant("other", "n.onnx", namespace="x"),
                tenant("sha", "m.onnx"),
                tenant("bug", "bug.onnx"),
            ]
        )
        assert sorted(it.answering()) == ["good.default", "other.x", "sha.default"]
        found = {one.key.removesuffix(".default"): one for one in refused}
        assert found["wide"].field == "spec.tiers[wide].model"
        assert found["wide"].reason == (
            "its input x is float32[any, 5], that of tier m is float32[any, 4]; all tiers must agree"
        )
        assert found["renamed"].reason == "its outputs are z, those of tier m are y; all tiers must agree"
        assert found["missing"].field == "spec.tiers[missing].model.uri"
        assert found["offline"].field == "spec.tiers[offline].model.uri"
        assert sorted(key for key, one in found.items() if one.temporary) == ["bug", "offline"]
        assert (found["full"].field, found["full"].reason) == ("spec.tiers", "the device's memory is full")
        assert "ZeroDivisionError" in found["bug"].reason
        assert it.catalog.ready, "refused tenants do not take the node off"

    asyncio.run(run())


@pytest.mark.parametrize("cause", ["LoadFailed", "ExecutorFailed"])
def test_the_executor_says_whether_it_lies_in_the_device(node, tenant, cause):
    async def run() -> None:
        it = node()
        it.gateway.refuse["a.default"], it.gateway.cause = "no", LoadedReason(cause)
        assert [one.cause for one in await it.agent.apply([tenant("a")])] == [cause]

    asyncio.run(run())


def test_the_refused_are_tried_again(node, tenant):
    async def run() -> None:
        it = node()
        it.gateway.refuse["a.default"] = "full"
        assert [one.reason for one in await it.agent.apply([tenant("a")])] == ["full"]
        it.gateway.refuse.clear()
        assert await it.agent.apply([tenant("a")]) == []
        assert list(it.answering()) == ["a.default"]

    asyncio.run(run())


def test_the_deleted_drain(node, tenant):
    async def run() -> None:
        it = node()
        await it.agent.apply([tenant("a"), tenant("b")])
        gone = it.answering()["a.default"]
        await it.agent.apply([tenant("b")])
        assert list(it.answering()) == ["b.default"]
        await settle(lambda: it.gateway.retired == [gone])
        assert Removed("a.default") in it.events

    asyncio.run(run())


def test_a_version_that_is_superseded_while_it_loads_is_unloaded(node, tenant):
    async def run() -> None:
        it = node()
        it.gateway.hold = asyncio.Event()
        first = asyncio.create_task(it.agent.apply([tenant("a"), tenant("b")]))
        await settle(lambda: it.gateway.loading == 2)
        second = asyncio.create_task(it.agent.apply([tenant("a", "n.onnx")]))
        await asyncio.sleep(0)
        it.gateway.hold.set()
        assert await second == []
        assert await first == []
        (version,) = (one for one in it.gateway.live.values() if one.tiers[0].name == "n")
        assert it.answering() == {"a.default": version.id}
        await settle(lambda: list(it.gateway.live) == [version.id])

    asyncio.run(run())


def test_loads_run_side_by_side_within_a_bound(node, tenant):
    async def run() -> None:
        it = node()
        it.gateway.hold = asyncio.Event()
        applying = asyncio.create_task(it.agent.apply([tenant(f"t{n}") for n in range(6)]))
        await settle(lambda: it.gateway.loading == 2)
        it.gateway.hold.set()
        await applying
        assert it.gateway.most_loading == 2
        assert len(it.answering()) == 6

    asyncio.run(run())


@pytest.mark.parametrize(("long_load", "gives_way"), [(0.0, True), (60.0, False)])
def test_a_tenant_whose_tiers_take_long_lets_others_be_loaded_between_them(node, tenant, long_load, gives_way):
    async def run() -> None:
        it = node(long_load=long_load)
        tenants = [tenant(name, *(f"{name}{number}" for number in range(3))) for name in "abc"]
        assert await it.agent.apply(tenants) == []
        before = set(it.compiler.compiled[: it.compiler.compiled.index("c0")])
        assert before.isdisjoint({"a2", "b2"}) == gives_way
        assert it.compiler.most_compiling <= 2
        assert it.answering().keys() == {"a.default", "b.default", "c.default"}

    asyncio.run(run())


def test_models_that_nobody_wants_any_more_are_not_compiled_beside_others(node, tenant):
    async def run() -> None:
        it = node()
        for edit in range(5):
            applying = asyncio.create_task(it.agent.apply([tenant("a", f"endless{edit}")]))
            await settle(lambda edit=edit: f"endless{edit}" in it.compiler.compiled)
        assert await it.agent.apply([tenant("a", "m.onnx")]) == []
        await applying
        assert it.compiler.most_compiling <= 2
        assert it.compiler.compiling == 0

    asyncio.run(run())


def test_readiness_waits_for_all_tenants_of_the_first_reconciliation(node, tenant):
    async def run() -> None:
        it = node()
        it.gateway.hold = asyncio.Event()
        applying = asyncio.create_task(it.agent.apply([tenant("a")]))
        await settle(lambda: it.gateway.loading == 1)
        assert not it.catalog.ready
        it.gateway.hold.set()
        await applying
        assert it.catalog.ready
        it.gateway.hold = asyncio.Event()
        applying = asyncio.create_task(it.agent.apply([tenant("a"), tenant("b")]))
        await settle(lambda: it.gateway.loading == 1)
        assert it.catalog.ready, "a later tenant does not take the others off"
        await it.agent.close()
        await applying

    asyncio.run(run())


def test_slow_downloads_keep_no_other_tenant_from_being_loaded(node, tenant):
    async def run() -> None:
        it = node()
        slow = [tenant(f"s{n}", f"slow{n}.onnx") for n in range(3)]  # one more than may be loaded at a time
        applying = asyncio.create_task(it.agent.apply([*slow, tenant("a", "m.onnx", "n.onnx"), tenant("b")]))
        await settle(lambda: sorted(it.answering()) == ["a.default", "b.default"])
        assert not it.catalog.ready, "the others may come soon"
        it.store.arrived.set()
        assert await applying == []
        assert len(it.answering()) == 5

    asyncio.run(run())


def test_readiness_does_not_wait_for_a_slow_download(node, tenant):
    async def run() -> None:
        it = node(fetch_patience=0.05)
        wanted = [tenant("s", "slow.onnx"), tenant("t", "slow-missing.onnx"), tenant("a"), tenant("b", "broken.onnx")]
        it.gateway.hold = asyncio.Event()
        applying = asyncio.create_task(it.agent.apply(wanted))
        await asyncio.sleep(0.1)
        assert not it.catalog.ready, "what is here is loaded first, however long that takes"
        it.gateway.hold.set()
        async with asyncio.timeout(20):
            assert [one.key for one in await applying] == ["b.default"]
        assert it.catalog.ready
        assert list(it.answering()) == ["a.default"]
        assert it.catalog.find("s").loading
        assert [one.key for one in await it.agent.apply(wanted)] == ["b.default"], "what is under way goes on"
        it.store.arrived.set()
        await settle(lambda: sorted(it.answering()) == ["a.default", "s.default"])
        await settle(lambda: not it.catalog.find("t").loading)
        assert [one.key for one in it.events if isinstance(one, Refused)][-1] == "t.default"
        assert it.catalog.ready

    asyncio.run(run())


def test_a_slow_download_that_nobody_wants_any_more_is_given_up(node, tenant):
    async def run() -> None:
        it = node()
        applying = asyncio.create_task(it.agent.apply([tenant("a", "slow.onnx")]))
        await settle(lambda: it.agent._fetching)
        assert await it.agent.apply([tenant("a")]) == []
        assert await applying == []
        assert list(it.answering()) == ["a.default"]
        assert not it.agent._fetching

    asyncio.run(run())


def test_events_say_what_is_being_done(node, tenant):
    async def run() -> None:
        it = node()
        await it.agent.apply([tenant("a"), tenant("b", "missing.onnx")])
        steps = [event.step for event in it.events if isinstance(event, Loading) and event.key == "a.default"]
        assert steps == ["fetching tier m, 1 MiB", "compiling tier m", "loading and measuring"]
        assert [event.key for event in it.events if isinstance(event, Refused)] == ["b.default"]

    asyncio.run(run())


def test_files_of_what_is_served_are_held_until_it_is_retired(node, tenant):
    async def run() -> None:
        it = node()
        await it.agent.apply([tenant("a", "x.onnx", "y.onnx"), tenant("b", "x.onnx")])
        assert it.cache.held == {"x.onnx": 4, "y.onnx": 2}  # models, and what is compiled of them
        await it.agent.apply([tenant("a", "z.onnx")])
        await settle(lambda: len(it.gateway.retired) == 2)
        await settle(lambda: +it.cache.held == {"z.onnx": 2})
        await it.agent.apply([])
        await settle(lambda: not +it.cache.held)

    asyncio.run(run())


def test_files_of_what_is_refused_or_superseded_are_given_up(node, tenant):
    async def run() -> None:
        it = node()
        it.gateway.refuse = {"b.default": "no room"}
        await it.agent.apply([tenant("a", "x.onnx", "broken.onnx"), tenant("b", "y.onnx")])
        assert not +it.cache.held
        it.gateway.hold = asyncio.Event()
        first = asyncio.create_task(it.agent.apply([tenant("c", "old.onnx")]))
        await settle(lambda: it.gateway.loading == 1)
        second = asyncio.create_task(it.agent.apply([tenant("c", "new.onnx")]))
        await settle(lambda: it.gateway.loading == 2)
        assert +it.cache.held == {"old.onnx": 2, "new.onnx": 2}, "the executor reads what it was told to load"
        it.gateway.hold.set()
        await asyncio.gather(first, second)
        await settle(lambda: +it.cache.held == {"new.onnx": 2})

    asyncio.run(run())


def test_what_was_cleared_before_it_was_held_is_made_again(node, tenant):
    async def run() -> None:
        it = node()
        it.cache.to_clear = {"m.onnx"}
        assert await it.agent.apply([tenant("a")]) == []
        assert +it.cache.held == {"m.onnx": 2}

    asyncio.run(run())
