"""Where to cut a model into segments: few tensors cross, and no segment costs more than a bound."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnx import GraphProto, NodeProto

MOST_CROSSING = 3


@dataclass(frozen=True, slots=True)
class Step:
    """A node seen as a piece of work: what it reads and gives (initializers left out), and its seconds."""

    reads: tuple[str, ...]
    gives: tuple[str, ...]
    seconds: float


def crossing(steps: Sequence[Step], outputs: Sequence[str]) -> list[tuple[str, ...]]:
    """For each gap behind a step, the tensors produced before it and read behind it, in the order they are met.

    The inputs of the model are not among them: any segment may read those.
    """
    last: dict[str, int] = {}
    for position, step in enumerate(steps):
        last.update(dict.fromkeys(step.reads, position))
    alive: dict[str, None] = {}
    gaps = []
    for position, step in enumerate(steps):
        alive.update(dict.fromkeys(name for name in step.gives if last.get(name, -1) > position))
        for name in step.reads:
            if last[name] <= position:
                alive.pop(name, None)
        gaps.append(tuple(name for name in alive if name not in outputs or last.get(name, -1) > position))
    return gaps


def choose(steps: Sequence[Step], gaps: Sequence[tuple[str, ...]], bound: float) -> list[int]:
    """Gaps to cut at, so that each segment costs at most `bound` seconds where the model allows it.

    Of the gaps within reach the one with the fewest crossing tensors is taken, the farthest among equals. A segment
    below a quarter of the bound is not worth a session.
    """
    cuts: list[int] = []
    reach: list[int] = []
    spent = list(itertools.accumulate(step.seconds for step in steps))
    begun = 0.0
    for position in range(len(steps)):
        while reach and spent[position] - begun > bound:
            cut = min(reach, key=lambda gap: (len(gaps[gap]), -gap))
            cuts.append(cut)
            begun = spent[cut]
            reach = [gap for gap in reach if spent[gap] - begun >= bound / 4]
        cost = spent[position] - begun
        # Behind the bound only where nothing before it will do.
        if len(gaps[position]) <= MOST_CROSSING and bound / 4 <= cost and (cost <= bound or not reach):
            reach.append(position)
    while cuts and spent[-1] - spent[cuts[-1]] < bound / 4:
        cuts.pop()
    return cuts


def read_names(node: NodeProto) -> Iterator[str]:
    """All outer values a node reads, those its subgraphs capture included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from _captured(graph)


def _captured(graph: GraphProto) -> Iterator[str]:
    own = {one.name for one in (*graph.input, *graph.initializer)} | {
        name for node in graph.node for name in node.output
    }
    for node in graph.node:
        yield from (name for name in read_names(node) if name not in own)
    yield from (one.name for one in graph.output if one.name not in own)
