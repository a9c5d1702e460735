"""Whether the tiers of a tenant can stand in for each other: the same inputs and outputs, in the same order."""

from __future__ import annotations

from collections.abc import Sequence

from treadle_agent.program.artifact import Artifact, TensorSpec


def difference(ours: Artifact, theirs: Artifact, our_name: str) -> str:
    """How the interface of a model, `theirs`, differs from that of the tier `our_name`; "" where it does not."""
    return _difference("input", ours.inputs, theirs.inputs, our_name) or _difference(
        "output", ours.outputs, theirs.outputs, our_name
    )


def _difference(kind: str, ours: Sequence[TensorSpec], theirs: Sequence[TensorSpec], our_name: str) -> str:
    our_names, their_names = ([spec.name for spec in specs] for specs in (ours, theirs))
    if our_names != their_names:
        return f"its {kind}s are {', '.join(their_names)}, those of tier {our_name} are {', '.join(our_names)}"
    return "; ".join(
        f"its {kind} {mine.name} is {_type(other)}, that of tier {our_name} is {_type(mine)}"
        for mine, other in zip(ours, theirs, strict=True)
        if mine != other
    )


def _type(spec: TensorSpec) -> str:
    shape = ", ".join("any" if dim < 0 else str(dim) for dim in spec.shape)
    return f"{spec.dtype}[{shape}]"
