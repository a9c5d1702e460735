"""Whole models on the analytic GPU: nothing is lost, queues behave as queues do, merging carries more."""

import msgspec
import pytest

from treadle.__main__ import main
from treadle.simulate.goodput.architectures import Architecture
from treadle.simulate.goodput.play import arrivals, play
from treadle.simulate.goodput.report import Report
from treadle.simulate.goodput.study import ALSO_OURS, OURS, WAYS, goodput
from treadle.simulate.multiplexing.networks import gru, mobilenet, resnet
from treadle_agent.executor.gpu_model import GPUS, GpuModel

MODEL = GpuModel(GPUS["V100"])
RESNET, GRU = Architecture(MODEL, resnet(18)), Architecture(MODEL, gru(256, 4))
ALL = 10**9


def offer(way, tenants, rate, count=400):
    shared = WAYS[way]
    return play(shared.make, shared.lanes, tenants, arrivals(tenants, rate, count, 1), ALL)


@pytest.mark.parametrize("way", WAYS)
def test_without_haste_every_request_is_answered_in_time(way):
    found = offer(way, [RESNET, GRU] * 2, 20.0)
    assert found.good == found.offered == 400


@pytest.mark.parametrize("way", WAYS)
def test_far_beyond_capacity_some_are_answered_and_many_are_not(way):
    found = offer(way, [RESNET] * 4, 50 / RESNET.service)
    assert found.good < 0.5 * found.offered
    assert found.good > 0 or way == "time"  # with all in turn, none is done in time


@pytest.mark.parametrize("way", ["time", "no-delay EDF"])
def test_one_at_a_time_carries_no_more_than_one_service_after_another(way):
    rate, _ = goodput(WAYS[way], [RESNET] * 4, 600, 1)
    assert 0.3 / RESNET.service < rate < 1 / RESNET.service


def test_merging_carries_more_than_every_other_way():
    found = {way: goodput(shared, [RESNET] * 8, 600, 1) for way, shared in WAYS.items()}
    best = max(rate for way, (rate, _) in found.items() if way not in {OURS, ALSO_OURS})
    rate, outcome = found[OURS]
    assert rate > 1.3 * best
    assert outcome.problems > 1.5 * outcome.launches


def test_only_space_time_merges():
    for way in WAYS:
        found = offer(way, [RESNET] * 4, 0.5 / RESNET.service)
        assert (found.problems > found.launches) == (way in {OURS, ALSO_OURS})


def test_by_space_models_slow_each_other_down_but_less_than_turns_would():
    factors = [RESNET.slowing(company) for company in (1, 2, 4, 8)]
    assert factors[0] == pytest.approx(1.0)
    assert factors == sorted(factors)
    assert all(factor < company for factor, company in zip(factors[1:], (2, 4, 8), strict=True))


@pytest.mark.parametrize("network", [resnet(18), resnet(50), mobilenet(), gru()], ids=lambda one: one.name)
@pytest.mark.parametrize("gpu", GPUS)
def test_expected_costs_err_by_less_than_a_fifth_however_many_are_merged(gpu, network):
    architecture = Architecture(GpuModel(GPUS[gpu]), network)
    for executable in architecture.executables():
        for problems in (1, 2, 3, 5, 8, 12, 16, 23, 33, 48, 64):
            true = architecture.seconds(executable.rows, problems, 0, executable.length)
            assert executable.cost.expected(problems) == pytest.approx(true, rel=0.2), (executable.rows, problems)


def test_a_run_is_part_of_the_whole():
    kernels = len(resnet(18).layers)
    parts = RESNET.seconds(2, 3, 0, 7) + RESNET.seconds(2, 3, 7, kernels)
    assert parts == pytest.approx(RESNET.seconds(2, 3, 0, kernels))


def test_an_early_end_says_that_too_many_were_missed():
    tenants = [RESNET] * 4
    asked = arrivals(tenants, 50 / RESNET.service, 400, 1)
    cut, whole = (play(WAYS["time"].make, 1, tenants, asked, allowed) for allowed in (4, ALL))
    assert cut.launches < whole.launches
    assert cut.good < 0.99 * 400


def test_from_the_command_line_to_the_file(tmp_path, capsys):
    target = tmp_path / "goodput.json"
    words = ["--models", "GRU-512", "--tenants", "2", "--requests", "200", "--json", str(target)]
    assert main(["simulate", "goodput", *words]) == 0
    report = msgspec.json.decode(target.read_bytes(), type=Report)
    assert [row.way for row in report.rows] == list(WAYS)
    assert report.simulated
    assert "no GPU code has run" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("words", [["--models", "VGG"], ["--tenants", "0"], ["--requests", "3"]])
def test_wrong_usage(words, capsys):
    assert main(["simulate", "goodput", *words]) == 2
    assert words[0] in capsys.readouterr().err
