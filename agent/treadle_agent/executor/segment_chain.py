"""A compute-bound model on the host: a chain of ONNX Runtime sessions, each a bounded, timed piece (DESIGN §4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from treadle_agent.program.artifact import Artifact, Segment
from treadle_agent.program.ops.registry import Array
from treadle_agent.program.segments import open_segment


class SegmentChain:
    """The segments of one model, in order. `run` executes some of them on the tensors that earlier ones left."""

    def __init__(self, folder: Path, artifact: Artifact) -> None:
        self.segments: Sequence[Segment] = artifact.segments
        self.inputs = tuple(spec.name for spec in artifact.inputs)
        self.outputs = tuple(spec.name for spec in artifact.outputs)
        self.weight_bytes = artifact.weight_bytes
        self._sessions = [open_segment(folder, segment) for segment in artifact.segments]
        self.digest = artifact.architecture or artifact.model_sha256
        count = len(artifact.segments)
        self.signatures = [f"Segment[{self.digest[:12]} {index}/{count}]" for index in range(1, count + 1)]
        self._last_use = {name: index for index, segment in enumerate(self.segments) for name in segment.inputs}

    @property
    def length(self) -> int:
        """Number of segments."""
        return len(self._sessions)

    def run(self, tensors: dict[str, Array], begin: int, end: int, clock: Callable[[], float]) -> list[float]:
        """Execute segments begin..end on `tensors` (name → array), adding what they give and dropping what no later
        segment takes; returns the seconds of each.
        """
        durations: list[float] = []
        last = clock()
        for index in range(begin, end):
            segment = self.segments[index]
            feed: Mapping[str, Array] = {name: tensors[name] for name in segment.inputs}
            given = self._sessions[index].run(segment.outputs, feed)
            tensors.update(zip(segment.outputs, given, strict=True))
            for name in segment.inputs:
                if self._last_use[name] == index and name not in self.outputs:
                    del tensors[name]
            now = clock()
            durations.append(now - last)
            last = now
        return durations
