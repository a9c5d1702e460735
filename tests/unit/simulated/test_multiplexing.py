"""The papers' figures on the analytic GPU: networks are those of their papers, ways of sharing keep their order."""

from random import Random

import msgspec
import pytest

from treadle.__main__ import main
from treadle.bench.kernels.problems import PROBLEMS
from treadle.simulate.multiplexing import figures
from treadle.simulate.multiplexing.networks import gru, mobilenet, resnet
from treadle.simulate.multiplexing.report import Report
from treadle.simulate.multiplexing.study import study
from treadle_agent.executor.gpu_model import GPUS, GpuModel, Product

MODEL = GpuModel(GPUS["V100"])


@pytest.mark.parametrize(
    ("network", "parameters", "flops"),
    [  # torchvision's counts, biases and normalisation left out there and here alike within a percent
        (resnet(18), 11.69e6, 3.63e9),
        (resnet(50), 25.56e6, 8.18e9),
        (mobilenet(), 3.50e6, 0.602e9),
        (gru(), 2 * 512 * 1536 + 512 * 1000, 2 * 40 * 512 * 1536 + 2 * 512 * 1000),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_networks_are_as_large_as_their_papers_say(network, parameters, flops):
    assert network.weight_bytes / 4 == pytest.approx(parameters, rel=0.02)
    depthwise = 0.04e9 if network.name == "MobileNetV2" else 0.0  # passes here
    assert network.flops + depthwise == pytest.approx(flops, rel=0.02)


def test_a_batch_widens_products_and_keeps_weights():
    network = resnet(18)
    for one, many in zip(network.works(), network.works(8), strict=True):
        if isinstance(one, Product):
            assert many == Product(one.m, 8 * one.n, one.k)
    assert network.works(8)[1].nbytes == 8 * network.works()[1].nbytes


@pytest.mark.parametrize("network", [resnet(18), resnet(50), mobilenet()], ids=lambda one: one.name)
@pytest.mark.parametrize("tenants", [2, 8, 14])
def test_merged_beats_space_beats_time(network, tenants):
    found = figures.slowdown(MODEL, network, tenants)
    assert 1 <= found.merged < found.space < found.time <= tenants


def test_by_space_tenants_fare_unequally_and_merged_alike():
    found = {one.way: one for one in figures.spreads(MODEL, resnet(18), 8, Random(1))}
    assert found["merged"].request == found["merged"].lasting == 0.0
    assert found["space"].request > 0.1 > found["time"].request
    assert found["space"].lasting < found["space"].request  # chance, no lasting straggler


def test_every_tenant_answers_every_request():
    network = gru(64, 2)
    seconds = figures._latencies(network.works(), 3, lambda ready: [ready[-1]], lambda _: 1.0)
    assert [len(one) for one in seconds] == [figures.REQUESTS] * 3
    layers = len(network.layers)
    assert [one[0] for one in seconds] == [3 * layers, 2 * layers, layers]  # the last tenant always goes first


def test_one_process_holds_more_models_than_processes_do():
    network = resnet(50)
    found = figures.memory(GPUS["V100"], network, 18)
    assert found.one_process >= 60
    whole = found.process_bytes + network.weight_bytes + network.activation_bytes
    assert 18 * whole == pytest.approx(16e9)
    used = found.process_bytes + found.one_process * network.weight_bytes + 64 * network.activation_bytes
    assert 16e9 - network.weight_bytes < used <= 16e9


def test_the_collaborative_tile_loses_alone_and_wins_in_company():
    greedy, collaborative = figures.objectives(MODEL, PROBLEMS[1].product)
    assert greedy.alone > 2 * collaborative.alone
    assert collaborative.multiplexed > greedy.multiplexed
    assert greedy.tile != collaborative.tile


def test_the_study_is_the_same_for_the_same_seed():
    one, same, other = (study(GPUS["V100"], seed, command="c", date="d") for seed in (1, 1, 2))
    assert one == same
    assert one.spreads != other.spreads


def test_from_the_command_line_to_file_and_plots(tmp_path, capsys):
    target = tmp_path / "m.json"
    assert main(["simulate", "multiplexing", "--json", str(target), "--plots", str(tmp_path / "plots")]) == 0
    report = msgspec.json.decode(target.read_bytes(), type=Report)
    assert report.simulated
    assert {one.name for one in report.compared} >= {"slowdown-time", "slowdown-space", "models-in-memory"}
    assert "no GPU code has run" in capsys.readouterr().out
    drawn = sorted((tmp_path / "plots").iterdir())
    assert [path.name for path in drawn] == ["memory.svg", "slowdown.svg", "spread.svg"]
    assert all("simulated:V100" in path.read_text() for path in drawn)
