from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from treadle_agent.executor.replay import Crash, Decision, End, ReplayPolicy, Unanswered

NOW = 100.0


def crash(launched: set[int] | None = None, **terms: object) -> Crash:
    standard = Crash(End.CRASHED, "signal SIGSEGV", frozenset(launched or ()), complete=True, loading=None, served=True)
    return replace(standard, **terms)  # type: ignore[arg-type]


def waiting(request: int, version: int = 1, deadline: float = NOW + 1, **terms: object) -> Unanswered:
    return Unanswered(request, version, deadline, **{"awaited": True, **terms})  # type: ignore[arg-type]


def policy() -> ReplayPolicy:
    return ReplayPolicy(slowest_backoff=5.0)


def test_who_was_not_on_the_device_runs_again_and_who_was_runs_alone() -> None:
    decision = policy().decide(crash({2, 3}), [waiting(1), waiting(2), waiting(3, deadline=NOW + 0.5)], NOW)
    assert decision == Decision((1,), (3, 2), (), (), {}, 0.0)


def test_overdue_requests_are_shed_but_suspects_among_them_still_run_alone() -> None:
    requests = [waiting(1, deadline=NOW), waiting(2, deadline=NOW - 1), waiting(3, awaited=False), waiting(4)]
    decision = policy().decide(crash({2, 3}), requests, NOW)
    assert decision == Decision((4,), (2, 3), (1,), (2, 1), {}, 0.0)


def test_a_kill_from_outside_does_not_make_dead_requests_run() -> None:
    requests = [waiting(2, deadline=NOW - 1), waiting(3, awaited=False), waiting(4)]
    decision = policy().decide(crash({2, 3, 4}, end=End.KILLED), requests, NOW)
    assert decision == Decision((), (4,), (2, 3), (2,), {}, 0.0)


def test_the_culprit_is_found_at_the_second_fault_and_clears_the_others() -> None:
    rule = policy()
    rule.decide(crash({1, 2, 3}), [waiting(1, 11), waiting(2, 12), waiting(3, 13)], NOW)
    suspects = [waiting(1, 11, suspect=True, alone=True), waiting(2, 12, suspect=True), waiting(9, 11), waiting(3, 13)]
    decision = rule.decide(crash({1}), suspects, NOW)
    assert list(decision.isolate) == [11]
    assert "SIGSEGV" in decision.isolate[11]
    assert (set(decision.resubmit), decision.solo) == ({2, 3}, ())


def test_a_solo_request_is_not_blamed_for_a_death_beside_others() -> None:
    decision = policy().decide(crash({1, 2}), [waiting(1, suspect=True, alone=True), waiting(2, 5)], NOW)
    assert decision.isolate == {}
    assert set(decision.solo) == {1, 2}


def test_being_killed_from_outside_while_alone_takes_two_deaths() -> None:
    rule, alone = policy(), waiting(1, suspect=True, alone=True)
    killed = crash({1}, end=End.KILLED)
    assert rule.decide(killed, [alone], NOW).isolate == {}
    assert list(rule.decide(killed, [alone], NOW).isolate) == [1]


def test_strikes_are_forgotten_with_their_request() -> None:
    rule, alone = policy(), waiting(1, suspect=True, alone=True)
    killed = crash({1}, end=End.KILLED)
    rule.decide(killed, [alone], NOW)
    rule.decide(killed, [], NOW)
    assert rule.decide(killed, [alone], NOW).isolate == {}


def test_a_record_that_could_not_name_all_suspects_all() -> None:
    assert policy().decide(crash({1}, complete=False), [waiting(1), waiting(2)], NOW).solo == (1, 2)


def test_deaths_between_launches_make_those_that_were_there_twice_suspects() -> None:
    rule = policy()
    assert rule.decide(crash(), [waiting(1), waiting(2, posted=False)], NOW).solo == ()
    assert rule.decide(crash(), [waiting(1), waiting(2), waiting(3)], NOW).solo == (1,)
    assert rule.decide(crash(end=End.KILLED), [waiting(4)], NOW).solo == ()


def test_loads_that_end_the_process_are_refused_at_the_second_time() -> None:
    rule, loading = policy(), crash(loading=7)
    assert rule.decide(loading, [], NOW).isolate == {}
    assert list(rule.decide(loading, [waiting(1, 7), waiting(2, 8)], NOW).isolate) == [7]
    rule.decide(loading, [], NOW)
    rule.loaded(7)
    assert rule.decide(loading, [], NOW).isolate == {}, "a load that succeeded wipes the slate"


def test_input_shapes_that_end_it_again_after_each_load_are_found() -> None:
    rule, binding = policy(), crash(binding=7)
    assert rule.decide(binding, [], NOW).isolate == {}
    rule.loaded(7)
    assert "input shapes" in rule.decide(binding, [waiting(1, 7), waiting(2, 8)], NOW).isolate[7]


def test_neither_a_launch_nor_what_was_loaded_beside_it_is_blamed_at_once() -> None:
    rule, alone = policy(), waiting(1, 11, suspect=True, alone=True)
    assert rule.decide(crash({1}, binding=7), [alone], NOW).isolate == {}
    assert list(rule.decide(crash({1}), [alone], NOW).isolate) == [11]


def test_restarts_wait_only_while_nothing_is_served() -> None:
    rule, fruitless = policy(), crash(served=False)
    delays = [rule.decide(fruitless, [], NOW).delay for _ in range(12)]
    assert delays[:4] == [0.0, 0.05, 0.1, 0.2]
    assert delays[-1] == 5.0
    assert rule.decide(crash(), [], NOW).delay == 0.0
    assert rule.decide(fruitless, [], NOW).delay == 0.0


REQUESTS = st.lists(
    st.builds(
        Unanswered,
        request=st.integers(0, 30),
        version=st.integers(0, 4),
        deadline=st.floats(NOW - 2, NOW + 2),
        awaited=st.booleans(),
        posted=st.booleans(),
        suspect=st.booleans(),
        alone=st.booleans(),
    ),
    unique_by=lambda one: one.request,
    max_size=20,
)
CRASHES = st.builds(
    Crash,
    end=st.sampled_from(End),
    reason=st.just("signal SIGABRT"),
    launched=st.frozensets(st.integers(0, 30)),
    complete=st.booleans(),
    loading=st.one_of(st.none(), st.integers(0, 4)),
    binding=st.one_of(st.none(), st.integers(0, 4)),
    served=st.booleans(),
)


@given(st.lists(st.tuples(CRASHES, REQUESTS), min_size=1, max_size=4))
def test_every_request_has_one_fate(history: list[tuple[Crash, list[Unanswered]]]) -> None:
    rule = policy()
    for death, requests in history:
        decision = rule.decide(death, requests, NOW)
        named = [*decision.resubmit, *decision.solo, *decision.drop]
        isolated = [one.request for one in requests if one.version in decision.isolate]
        assert sorted(named + isolated) == sorted(one.request for one in requests)
        by_number = {one.request: one for one in requests}
        alive = {one.request for one in requests if one.awaited and one.deadline > NOW} - set(isolated)
        assert alive <= {*decision.resubmit, *decision.solo}, "a request with time left is never dropped"
        assert all(by_number[request].awaited for request in decision.overdue)
        assert set(decision.overdue).isdisjoint(alive)
        assert set(decision.overdue) <= {*decision.solo, *decision.drop}


@settings(max_examples=200)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=25), st.integers(0, 24), st.integers(1, 8), st.sampled_from(End)
)
def test_in_a_simulated_executor_one_culprit_costs_two_faults_and_one_tenant(
    versions: list[int], culprit: int, width: int, end: End
) -> None:
    """Batches of `width` run until the culprit's kills the executor; suspects run alone, after the others."""
    culprit %= len(versions)
    rule, faults, answered = policy(), 0, set[int]()
    order, solo, isolated = list(range(len(versions))), list[int](), dict[int, str]()
    while order or solo:
        if order:
            batch, alone = order[:width], None
        else:
            batch, alone = solo[:1], solo[0]
        if culprit not in batch:
            answered.update(batch)
            order, solo = [one for one in order if one not in batch], [one for one in solo if one not in batch]
            continue
        faults += 1
        left = [waiting(one, versions[one], suspect=one in solo, alone=one == alone) for one in (*order, *solo)]
        decision = rule.decide(crash(set(batch), end=end), left, NOW)
        isolated |= decision.isolate
        order, solo = list(decision.resubmit), list(decision.solo)
    assert faults == (3 if end is End.KILLED else 2)
    assert list(isolated) == [versions[culprit]]
    innocent = {one for one, version in enumerate(versions) if version != versions[culprit]}
    assert innocent <= answered
