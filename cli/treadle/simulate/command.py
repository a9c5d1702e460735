"""`treadle simulate`: finds the simulation that is asked for; each is a module as a subcommand of `treadle` is."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True, slots=True)
class _Simulation:
    name: str
    module: str  # with `add_arguments(parser)` and `run(arguments) -> exit code`
    help: str


_SIMULATIONS: tuple[_Simulation, ...] = (
    _Simulation(
        "model-switching",
        "treadle.simulate.model_switching.command",
        "effective accuracy of a tenant through a load spike, by switching policy and against single tiers",
    ),
    _Simulation(
        "multiplexing",
        "treadle.simulate.multiplexing.command",
        "sharing a GPU by time, by space and merged, as in the papers",
    ),
    _Simulation("goodput", "treadle.simulate.goodput.command", "the loads that whole models of many tenants bear"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle simulate` takes."""
    simulations = parser.add_subparsers(title="simulations", metavar="SIMULATION", required=True)
    for simulation in _SIMULATIONS:
        text = f"{simulation.help[0].upper()}{simulation.help[1:]}. Figures are simulated, not measured."
        subparser = simulations.add_parser(simulation.name, help=simulation.help, description=text)
        subparser.set_defaults(simulation=simulation.module)
        import_module(simulation.module).add_arguments(subparser)


def run(arguments: argparse.Namespace) -> int:
    """Run the simulation; its exit code."""
    return int(import_module(arguments.simulation).run(arguments))
