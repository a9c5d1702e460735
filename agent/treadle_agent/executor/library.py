"""The models on this device: architectures with their slabs and programs, tiers with their rows or segment chains.

Everything here runs on the executor's loading thread; what the dispatch thread reads is swapped in by the closures
that `take_changes` hands over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from treadle_agent.executor.precision import PrecisionError
from treadle_agent.executor.segment_chain import SegmentChain
from treadle_agent.executor.slab import Weights
from treadle_agent.executor.tuner import Profile, Tuner, merging_is_over, merging_wins
from treadle_agent.policy.latency import Correction, Executable
from treadle_agent.policy.queues import Tier
from treadle_agent.program.artifact import (
    LAUNCH_BOUND_SECONDS,
    ROW_COUNTS,
    Artifact,
    binding_key,
    read_artifact,
    read_program,
)
from treadle_agent.program.model import Program, TensorType
from treadle_api.replica import LoadedReason
from treadle_api.tenant import Precision

MERGED = "merged"
SEGMENTS = "segments"
UNBOUND = "unbound"  # free dimensions besides the rows: chosen when the first request shows its shapes

CHAIN_BATCH_SECONDS = 0.010  # a batch of several requests through a segment chain may take this long


class LoadedTier(Tier):
    """A tier with its model's artifact. `row`: where its weights lie in its slab, once an architecture merged it."""

    __slots__ = ("_chain", "artifact", "folder", "holders", "precision", "row", "slab")

    def __init__(self, name: str, folder: Path, precision: Precision = Precision.FLOAT32) -> None:
        super().__init__(name, 0.0)
        self.folder = folder
        self.precision = precision
        self.artifact: Artifact = read_artifact(folder)
        self.holders: dict[tuple[TensorType, ...], list[Executable]] = {}  # by the types of one row's inputs
        self.slab: Weights | None = None
        self.row = -1
        self._chain: SegmentChain | None = None

    @property
    def default_types(self) -> tuple[TensorType, ...] | None:
        """The types of one row's inputs, where nothing but the rows is free."""
        if not self.artifact.architecture:
            return None
        return tuple(
            TensorType(spec.dtype, (1, *spec.shape[1:]) if self.artifact.batchable else spec.shape)
            for spec in self.artifact.inputs
        )

    @property
    def batches(self) -> tuple[tuple[int, float], ...]:
        """Rows of one launch, ascending, and the seconds it takes alone, where nothing but the rows is free."""
        executables = self.holders.get(self.default_types or (), ())
        return tuple((one.rows, one.cost.expected(1)) for one in executables if one.batches or one.rows == 1)

    def chain(self) -> SegmentChain:
        """The tier's segments, opened when first asked for."""
        if self._chain is None:
            self._chain = SegmentChain(self.folder, self.artifact)
        return self._chain

    def close_chain(self) -> None:
        """Let go of the sessions; streams that still run them keep them."""
        self._chain = None

    def take_row(self, slab: Weights) -> None:
        """Load the weights into `slab`; raises OSError."""
        if self.slab is None:
            self.row = slab.acquire(self.artifact.model_sha256, self.folder / "weights.bin")
            self.slab = slab

    def close(self) -> None:
        """Give weights and sessions back."""
        if self.slab is not None:
            self.slab.release(self.artifact.model_sha256)
            self.slab = None
        self._chain = None

    def program(self, types: Sequence[TensorType], rows: int = 1) -> Program | None:
        """The program for `rows` rows of these input types, where the loader has compiled one."""
        shapes = {
            spec.name: (rows, *type_.shape[1:]) if self.artifact.batchable else type_.shape
            for spec, type_ in zip(self.artifact.inputs, types, strict=True)
        }
        return None if self.artifact.kernels_refused else read_program(self.folder, binding_key(shapes))


class Architecture:
    """Tiers whose models differ in weights only, for one binding: their measured costs and merged executables."""

    def __init__(self, slab: Weights, merged: Profile | None, segments: dict[int, Profile]) -> None:
        self.slab = slab
        self.merged = merged
        self.segments = segments  # by rows
        self.merging = False
        self.outgrown = False  # merging won for fewer members
        self.executables: list[Executable] = []
        self.members: dict[LoadedTier, tuple[TensorType, ...]] = {}


class Library:
    """All architectures and slabs of a device. Tiers that differ in precision share neither."""

    def __init__(self, tuner: Tuner, *, max_problems: int) -> None:
        self._tuner = tuner
        self.max_problems = max_problems
        self.architectures: dict[tuple[object, ...], Architecture] = {}
        self.slabs: dict[tuple[object, ...], Weights] = {}
        self._changes: list[Callable[[], None]] = []

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights in slabs."""
        return sum(slab.nbytes for slab in self.slabs.values())

    def take_changes(self) -> list[Callable[[], None]]:
        """What the dispatch thread must apply since the last call."""
        changes, self._changes = self._changes, []
        return changes

    def begin(self) -> None:
        """What the loading thread does before all else."""
        self._tuner.begin()

    def check(self, precision: Precision) -> None:
        """Raise PrecisionError where this device does not compute so."""
        if why := self._tuner.refuses(precision):
            raise PrecisionError(f"this device {why}", LoadedReason.PRECISION_UNSUPPORTED)

    def prepare(self, tier: LoadedTier, types: tuple[TensorType, ...]) -> list[Executable]:
        """Make `tier` runnable for these types of one row's inputs; the list stays up to date by `take_changes`.

        Raises:
            OSError, msgspec.DecodeError: the artifact folder is damaged.
            PrecisionError: float16 cannot hold the weights.
        """
        holder = tier.holders.get(types)
        if holder is None:
            program = tier.program(types)
            if program is None:
                holder = self._chain_executables(tier, types, {})
                tier.holders[types] = holder
            else:
                holder = tier.holders[types] = []
                try:
                    self._join(self._architecture(program, tier, types), tier, types)
                except BaseException:
                    self.unbind(tier, types)
                    raise
        if not tier.service:
            tier.service = tier.row_seconds = holder[0].cost.expected(1)
        return holder

    def implementation(self, tier: LoadedTier) -> str:
        """How a tier runs."""
        if not tier.holders:
            return UNBOUND
        merging = any(one.merging for one in self.architectures.values() if tier in one.members)
        return MERGED if merging else SEGMENTS

    def unbind(self, tier: LoadedTier, types: tuple[TensorType, ...]) -> None:
        """Forget these input types of a tier; its weights stay."""
        tier.holders.pop(types, None)
        self._leave(tier, types)

    def forget(self, tier: LoadedTier) -> None:
        """Unload a tier that nothing runs any more."""
        for types in tier.holders:
            self._leave(tier, types)
        tier.close()
        # An architecture whose tiers run as segments may merge later: its slab must then be the one that others find.
        kept = {id(architecture.slab) for architecture in self.architectures.values()}
        self.slabs = {key: slab for key, slab in self.slabs.items() if len(slab) or id(slab) in kept}

    def _leave(self, tier: LoadedTier, types: tuple[TensorType, ...]) -> None:
        for key, architecture in list(self.architectures.items()):
            if architecture.members.get(tier) == types:
                del architecture.members[tier]
                if not architecture.members:
                    del self.architectures[key]

    def _architecture(self, program: Program, tier: LoadedTier, types: tuple[TensorType, ...]) -> Architecture:
        layout = (*tier.artifact.weights, tier.artifact.weight_bytes, tier.precision)
        key = (layout, program.architecture, *_architectures(tier, types))
        architecture = self.architectures.get(key)
        if architecture is None:
            slab = self.slabs.get(layout)
            if slab is None:  # an empty one is false, and may have been promised to another binding of the tier
                weights, row_bytes = tier.artifact.weights, tier.artifact.weight_bytes
                slab = self.slabs[layout] = self._tuner.slab(weights, row_bytes, tier.precision)
            segments = {1: self._tuner.segments(tier.chain(), types)} if self._tuner.runs_segments else {}
            merged = None
            if self._may_merge(tier, types, segments.get(1)):
                merged = self._tuner.merged(program, slab, tier.folder / "weights.bin")
            architecture = self.architectures[key] = Architecture(slab, merged, segments)
        return architecture

    def _may_merge(self, tier: LoadedTier, types: tuple[TensorType, ...], segments: Profile | None) -> bool:
        """Whether kernels are worth a trial, which may take long for arithmetic, and serve any number of rows."""
        complete = not tier.artifact.batchable or tier.program(types, ROW_COUNTS[-1]) is not None
        return complete and (segments is None or segments.per_request(1) <= LAUNCH_BOUND_SECONDS)

    def _join(self, architecture: Architecture, tier: LoadedTier, types: tuple[TensorType, ...]) -> None:
        """Add a member; all merge once merging wins for their number, until it is over for good."""
        architecture.members[tier] = types
        merged, segments, population = architecture.merged, architecture.segments.get(1), len(architecture.members)
        if architecture.merging and merging_is_over(merged, segments, population):
            self._turn_back(architecture, tier)
            return
        if not architecture.merging and not architecture.outgrown and merging_wins(merged, segments, population):
            architecture.executables = list(self._merged_executables(architecture, tier, types))
            architecture.merging = True
        if not architecture.merging:
            tier.holders[types] += self._own_segments(architecture, tier, types)
            return
        for member in architecture.members:
            if member.slab is None:
                member.take_row(architecture.slab)
                member.close_chain()
        self._share(architecture, tier)

    def _turn_back(self, architecture: Architecture, new: LoadedTier) -> None:
        """Let all members run their segments. What is merged on the device needs its rows: they go with their tiers."""
        members = architecture.members
        made = {member: self._own_segments(architecture, member, types) for member, types in members.items()}
        architecture.merging, architecture.outgrown, architecture.executables = False, True, []
        for member, executables in made.items():
            if member is new:
                member.holders[members[member]] += executables
            else:
                self._swap(member.holders[members[member]], executables)

    def _own_segments(
        self, architecture: Architecture, tier: LoadedTier, types: tuple[TensorType, ...]
    ) -> list[Executable]:
        """A member's own chain, at the architecture's measured costs where it is cut like the one that was measured.

        The loader cuts by measured time: chains of one architecture may differ in length, and in what they cost.
        """
        alone = architecture.segments.get(1)
        alike = alone is not None and len(alone.shares) == tier.chain().length + 1
        return self._chain_executables(tier, types, architecture.segments if alike else {})

    def _share(self, architecture: Architecture, new: LoadedTier) -> None:
        """Give all members the architecture's executables: `new` at once, the others by a change."""
        for member, types in architecture.members.items():
            if member is new:
                member.holders[types][:] = architecture.executables
            else:
                self._swap(member.holders[types], architecture.executables)

    def _merged_executables(
        self, architecture: Architecture, tier: LoadedTier, types: tuple[TensorType, ...]
    ) -> Iterator[Executable]:
        """An architecture's programs, ascending in rows."""
        correction = Correction()
        for rows in ROW_COUNTS if tier.artifact.batchable else (1,):
            program = tier.program(types, rows)
            assert program is not None, f"{tier.folder} has no program for {rows} rows"
            profile = architecture.merged
            if rows > 1:
                profile = self._tuner.merged(program, architecture.slab, tier.folder / "weights.bin")
            assert profile is not None, "what was worth a trial with one row is with more"
            capacity = 2 * self.max_problems
            yield Executable(
                f"{tier.name}/{rows}",
                rows,
                profile.shares,
                mergeable=True,
                cost=profile.cost(correction),
                body=self._tuner.body(program, architecture.slab, capacity, profile),
                capacity=capacity,
            )

    def _chain_executables(
        self, tier: LoadedTier, types: Sequence[TensorType], profiles: dict[int, Profile]
    ) -> list[Executable]:
        """Executables over the chain: one row, and batches while they stay short; missing profiles are measured."""
        if not self._tuner.runs_segments:
            reason = tier.artifact.kernels_refused or "its weights are too many"
            raise ValueError(f"this device runs programs only, and the model has none: {reason}")
        chain = tier.chain()
        correction = Correction()
        made = []
        for rows in ROW_COUNTS if tier.artifact.batchable else [1]:
            short = rows == 1 or profiles[1].per_request(1) * rows <= CHAIN_BATCH_SECONDS
            if short and rows not in profiles:
                batch = [TensorType(one.dtype, (rows, *one.shape[1:])) if rows > 1 else one for one in types]
                profiles[rows] = self._tuner.segments(chain, batch)
            alone = profiles[1]
            profile = profiles.get(rows) or Profile(((1, alone.per_request(1) * rows),), alone.shares)
            cost, name = profile.cost(correction), f"{tier.name}/{rows}"
            made.append(Executable(name, rows, profile.shares, mergeable=False, batches=short, cost=cost, body=chain))
        return made

    def _swap(self, holder: list[Executable], executables: Sequence[Executable]) -> None:
        wanted = list(executables)
        self._changes.append(lambda: holder.__setitem__(slice(None), wanted))


def _architectures(tier: LoadedTier, types: Sequence[TensorType]) -> list[str | None]:
    """What the programs for several rows compute. One member's run for all: a model may do for two rows what another
    does not, though for one row both do the same.
    """
    if not tier.artifact.batchable:
        return []
    programs = (tier.program(types, rows) for rows in ROW_COUNTS[1:])
    return [program.architecture if program is not None else None for program in programs]
